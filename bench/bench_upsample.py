"""Upsampling by two, at sizes of small generators and autoencoders."""

from nnjit.bench.cases import Kernel, suite

CASES = [Kernel("upsample", verb, (n, c, h, h), n * c * h * h)
         for n, c, h in [(64, 64, 7), (64, 32, 14)] for verb in ("forward", "backward")]

test_upsample = suite(CASES)


def in_torch(torch):
    return {
        "forward": lambda x, size: torch.nn.functional.interpolate(x, scale_factor=size, mode="nearest"),
        "backward": lambda dy, size: torch.ops.aten.upsample_nearest2d_backward(
            dy, dy.shape[2:], (*dy.shape[:2], dy.shape[2] // size, dy.shape[3] // size)),
    }


def in_jax(jax):
    def backward(dy, size):
        n, c, h, w = dy.shape
        return dy.reshape(n, c, h // size, size, w // size, size).sum((3, 5))

    return {"forward": lambda x, size: x.repeat(size, 2).repeat(size, 3), "backward": backward}

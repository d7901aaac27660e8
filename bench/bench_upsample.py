"""Upsampling by two, at sizes of small generators and autoencoders."""

from nnjit.bench.cases import Kernel, suite

CASES = [Kernel("upsample", verb, (n, c, h, h), n * c * h * h)
         for n, c, h in [(64, 64, 7), (64, 32, 14)] for verb in ("forward", "backward")]

test_upsample = suite(CASES)


def _pair(size):
    return size if isinstance(size, tuple) else (size, size)


def in_torch(torch):
    def backward(dy, size):
        rows, columns = _pair(size)
        small = (*dy.shape[:2], dy.shape[2] // rows, dy.shape[3] // columns)
        return torch.ops.aten.upsample_nearest2d_backward(dy, dy.shape[2:], small)

    return {
        "forward": lambda x, size: torch.nn.functional.interpolate(x, scale_factor=size, mode="nearest"),
        "backward": backward,
    }


def in_jax(jax):
    def backward(dy, size):
        (n, c, h, w), (rows, columns) = dy.shape, _pair(size)
        return dy.reshape(n, c, h // rows, rows, w // columns, columns).sum((3, 5))

    def forward(x, size):
        rows, columns = _pair(size)
        return x.repeat(rows, 2).repeat(columns, 3)

    return {"forward": forward, "backward": backward}

"""Global average pooling: at the end of a network for small images, and of one for large ones."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for shape in [(32, 64, 8, 8), (32, 512, 7, 7), (64, 16, 32, 32)]:
    numbers = shape[0] * shape[1] * shape[2] * shape[3]
    CASES += [Kernel("global_avg_pool", verb, shape, numbers) for verb in ("forward", "backward")]

test_global_avg_pool = suite(CASES)


def in_torch(torch):
    def backward(dy, x):
        return dy.div(x[0, 0].numel())[..., None, None].expand_as(x).contiguous()

    return {"forward": lambda x: x.mean((2, 3)), "backward": backward}


def in_jax(jax):
    def backward(dy, x):
        return jax.numpy.broadcast_to((dy / x[0, 0].size)[..., None, None], x.shape)

    return {"forward": lambda x: x.mean((2, 3)), "backward": backward}

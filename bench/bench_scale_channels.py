"""Channels of images by numbers, at the sizes of squeeze-and-excitation in EfficientNet."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c, h in [(32, 32, 32), (32, 96, 16), (32, 240, 8)]:
    CASES += [
        Kernel("scale_channels", "forward", (n, c, h, h), n * c * h * h),
        Kernel("scale_channels", "backward", (n, c, h, h), 3 * n * c * h * h),
    ]

test_scale_channels = suite(CASES)


def _forward(x, scale):
    return x * scale[:, :, None, None]


def _backward(dy, x, scale):
    return dy * scale[:, :, None, None], (dy * x).sum((2, 3))


def in_torch(torch):
    return {"forward": _forward, "backward": _backward}


def in_jax(jax):
    return {"forward": _forward, "backward": _backward}

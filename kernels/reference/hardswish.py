"""Hard swish: y = x * clip(x + 3, 0, 6) / 6 (Howard et al. 2019, MobileNetV3).

dy/dx is 0 for x <= -3, 1 for x >= 3, else x / 3 + 1 / 2 = (x + 1.5) / 3; at the two corners as in PyTorch. It takes x:
y falls to -0.375 at x = -1.5 and rises from there.
"""

import numpy as np

DIMENSIONS = ("N", "C")
SHAPES = ((1,), (7,), (8,), (9,), (15,), (16,), (17,), (63,), (64,), (65,), (4095,), (4096,), (4097,), (10_001,))


def inputs(rng, shape, dtype):
    x = (3 * rng.standard_normal(shape)).astype(dtype)
    return [("forward", (x,), {}), ("backward", (rng.standard_normal(shape).astype(dtype), x), {})]


def forward(x, *, out=None, parallel=None):
    return np.multiply(x, np.clip(x + 3, 0, 6) / 6, out=out)


def backward(dy, x, *, out=None, parallel=None):
    dx = np.empty_like(dy) if out is None else out
    dx[...] = np.where(x <= -3, 0, np.where(x >= 3, dy, dy * ((x + 1.5) / 3)))
    return dx

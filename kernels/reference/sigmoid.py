"""Logistic sigmoid: y = 1 / (1 + exp(-x)), written with exp(-|x|) so that nothing overflows.

dy/dx = y (1 - y).
"""

import numpy as np

DIMENSIONS = ("N", "C")
SHAPES = ((1,), (7,), (8,), (9,), (15,), (16,), (17,), (63,), (64,), (65,), (4095,), (4096,), (4097,), (10_001,))


def inputs(rng, shape, dtype):
    x = (3 * rng.standard_normal(shape)).astype(dtype)
    return [("forward", (x,), {}), ("backward", (rng.standard_normal(shape).astype(dtype), forward(x)), {})]


def forward(x, *, out=None, parallel=None):
    e = np.exp(-np.abs(x))
    return np.divide(np.where(x < 0, e, 1), 1 + e, out=out)


def backward(dy, y, *, out=None, parallel=None):
    return np.multiply(dy, y * (1 - y), out=out)

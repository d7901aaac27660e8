"""Sigmoid linear unit: y = x * sigmoid(x) (Elfwing, Uchibe, Doya 2018; "swish" in Ramachandran, Zoph, Le 2017).

dy/dx = s + x s (1 - s) = s (1 + x (1 - s)), s = sigmoid(x). It takes x: y falls to -0.28 at x = -1.28 and rises from
there.
"""

import numpy as np

from . import sigmoid

DIMENSIONS = ("N", "C")
SHAPES = ((1,), (7,), (8,), (9,), (15,), (16,), (17,), (63,), (64,), (65,), (4095,), (4096,), (4097,), (10_001,))


def inputs(rng, shape, dtype):
    x = (3 * rng.standard_normal(shape)).astype(dtype)
    return [("forward", (x,), {}), ("backward", (rng.standard_normal(shape).astype(dtype), x), {})]


def forward(x, *, out=None, parallel=None):
    return np.multiply(x, sigmoid.forward(x), out=out)


def backward(dy, x, *, out=None, parallel=None):
    s = sigmoid.forward(x)
    return np.multiply(dy, s * (1 + x * (1 - s)), out=out)

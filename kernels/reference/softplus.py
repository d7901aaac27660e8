"""Softplus: y = log(1 + exp(x)) (Dugas, Bengio, Belisle, Nadeau, Garcia 2001).

It is written max(x, 0) + log(1 + exp(-|x|)), so that nothing overflows.

dy/dx = 1 / (1 + exp(-x)), the sigmoid.
"""

import numpy as np

from . import sigmoid

DIMENSIONS = ("N", "C")
SHAPES = ((1,), (7,), (8,), (9,), (15,), (16,), (17,), (63,), (64,), (65,), (4095,), (4096,), (4097,), (10_001,))


def inputs(rng, shape, dtype):
    x = (3 * rng.standard_normal(shape)).astype(dtype)
    return [("forward", (x,), {}), ("backward", (rng.standard_normal(shape).astype(dtype), x), {})]


def forward(x, *, out=None, parallel=None):
    return np.add(np.maximum(x, 0), np.log1p(np.exp(-np.abs(x))), out=out)


def backward(dy, x, *, out=None, parallel=None):
    return np.multiply(dy, sigmoid.forward(x), out=out)

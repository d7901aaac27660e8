"""Hyperbolic tangent: y = (exp(x) - exp(-x)) / (exp(x) + exp(-x)).

dy/dx = 1 - y^2, written (1 - y)(1 + y), which keeps its precision where y is close to 1 or -1.
"""

import numpy as np

DIMENSIONS = ("N", "C")
SHAPES = ((1,), (7,), (8,), (9,), (15,), (16,), (17,), (63,), (64,), (65,), (4095,), (4096,), (4097,), (10_001,))


def inputs(rng, shape, dtype):
    x = (2 * rng.standard_normal(shape)).astype(dtype)
    return [("forward", (x,), {}), ("backward", (rng.standard_normal(shape).astype(dtype), forward(x)), {})]


def forward(x, *, out=None, parallel=None):
    return np.tanh(x, out=out)


def backward(dy, y, *, out=None, parallel=None):
    return np.multiply(dy, (1 - y) * (1 + y), out=out)

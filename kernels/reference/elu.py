"""Exponential linear unit: y = x where x > 0, else alpha (exp(x) - 1) (Clevert, Unterthiner, Hochreiter 2016).

dy/dx = 1 where y > 0, else alpha exp(x) = y + alpha.
"""

import numpy as np

DIMENSIONS = ("N", "C")
SHAPES = ((1,), (7,), (8,), (9,), (15,), (16,), (17,), (63,), (64,), (65,), (4095,), (4096,), (4097,), (10_001,))


def inputs(rng, shape, dtype):
    x, dy = (2 * rng.standard_normal(shape)).astype(dtype), rng.standard_normal(shape).astype(dtype)
    return [
        ("forward", (x,), {}),
        ("backward", (dy, forward(x)), {}),
        ("forward", (x,), {"alpha": 0.3}),
        ("backward", (dy, forward(x, alpha=0.3)), {"alpha": 0.3}),
    ]


def forward(x, *, alpha=1.0, out=None, parallel=None):
    return np.add(np.maximum(x, 0), alpha * np.expm1(np.minimum(x, 0)), out=out)


def backward(dy, y, *, alpha=1.0, out=None, parallel=None):
    return np.multiply(dy, np.where(y > 0, 1, y + alpha), out=out)

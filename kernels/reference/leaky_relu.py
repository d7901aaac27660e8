"""Leaky rectified linear unit: y = x where x > 0, else negative_slope * x (Maas, Hannun, Ng 2013).

The gradient is dy where y > 0, else negative_slope * dy: y has the sign of x. Name and default of the slope are
PyTorch's.
"""

import numpy as np

DIMENSIONS = ("N", "C")
SHAPES = ((1,), (7,), (8,), (9,), (15,), (16,), (17,), (40,), (4095,), (4096,), (4097,), (70_001,))


def inputs(rng, shape, dtype):
    x = rng.standard_normal(shape).astype(dtype)
    return [("forward", (x,), {}), ("backward", (rng.standard_normal(shape).astype(dtype), forward(x)), {})]


def forward(x, *, negative_slope=0.01, out=None, parallel=None):
    y = np.where(x > 0, x, negative_slope * x)
    return y if out is None else np.positive(y, out=out)


def backward(dy, y, *, negative_slope=0.01, out=None, parallel=None):
    dx = np.where(y > 0, dy, negative_slope * dy)
    return dx if out is None else np.positive(dx, out=out)

"""Sum: y = a + b, such as a residual block's input and output (He, Zhang, Ren, Sun 2016).

dy/da = dy/db = 1: the gradient goes to both unchanged.
"""

import numpy as np

DIMENSIONS = ("N", "C")
SHAPES = ((1,), (7,), (8,), (9,), (15,), (16,), (17,), (40,), (4095,), (4096,), (4097,), (70_001,))


def inputs(rng, shape, dtype):
    a, b = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    return [("forward", (a, b), {})]


def forward(a, b, *, out=None, parallel=None):
    return np.add(a, b, out=out)

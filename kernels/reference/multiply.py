"""Product element by element: y = a * b, such as a gate (Srivastava, Greff, Schmidhuber 2015).

da = dy * b, db = dy * a.
"""

import numpy as np

DIMENSIONS = ("N", "C")
SHAPES = ((1,), (7,), (8,), (9,), (15,), (16,), (17,), (40,), (4095,), (4096,), (4097,), (70_001,))


def inputs(rng, shape, dtype):
    a, b, dy = (rng.standard_normal(shape).astype(dtype) for _ in range(3))
    return [("forward", (a, b), {}), ("backward", (dy, a, b), {})]


def forward(a, b, *, out=None, parallel=None):
    return np.multiply(a, b, out=out)


def backward(dy, a, b, *, out=(None, None), parallel=None):
    db = np.multiply(dy, a, out=out[1])  # first: out[0] may be dy
    return np.multiply(dy, b, out=out[0]), db

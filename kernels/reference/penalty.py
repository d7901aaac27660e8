"""L1 and L2 regularization: the penalty l1 * (sum of |w|) + l2 * (sum of w^2), added to the loss, and its gradient
l1 * sign(w) + 2 * l2 * w, added to that of w ("Neural Networks from Scratch in Python", chapter 14).

The sign of 0 is 1 there. A penalty whose factor is 0 is left out.
"""

import numpy as np

DIMENSIONS = ("K", "C")
SHAPES = ((0,), (1,), (7,), (8,), (9,), (15,), (16,), (17,), (100,), (4095,), (4096,), (4097,), (10_001,))


def inputs(rng, shape, dtype):
    w, dw = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    cases = []
    for options in ({"l1": 0.125, "l2": 0.25}, {"l1": 0.125}, {"l2": 0.25}):
        cases += [("forward", (w,), options), ("backward", (dw, w), options)]
    return cases


def forward(w, *, l1=0.0, l2=0.0, parallel=None):
    return float((l1 * np.sum(np.abs(w)) if l1 else 0) + (l2 * np.sum(w**2) if l2 else 0))


def backward(dw, w, *, l1=0.0, l2=0.0, out=None, parallel=None):
    return np.add(dw + l1 * np.where(w < 0, -1, 1).astype(w.dtype), 2 * l2 * w, out=out)

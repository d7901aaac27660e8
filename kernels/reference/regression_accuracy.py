"""Regression accuracy: the number of outputs with |y - targets| < precision.

From "Neural Networks from Scratch in Python" (Accuracy_Regression), where the precision is the standard deviation of
all targets over 250.
"""

import numpy as np

DIMENSIONS = ("N", "C")
SHAPES = ((0,), (1,), (7,), (8,), (9,), (15,), (16,), (17,), (40,), (4095,), (4096,), (4097,), (70_001,))


def inputs(rng, shape, dtype):
    y, targets = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    # eighths: many differences are 0, and many are the precision itself
    eighths = tuple((rng.integers(-8, 9, shape) / 8).astype(dtype) for _ in range(2))
    return [("forward", (y, targets), {"precision": 0.5}), ("forward", eighths, {"precision": 0.25})]


def forward(y, targets, *, precision, parallel=None):
    return int(np.count_nonzero(np.abs(y - targets) < precision))

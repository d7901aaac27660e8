"""Mean absolute error: loss[i] = mean over j of |targets[i, j] - y[i, j]|.

The gradient of the mean loss over N rows is sign(y - targets) / C / N, 0 where they are equal. "Neural Networks from
Scratch in Python", chapter 17, takes sign(targets - y), which is that of the targets: such a step leads uphill.
"""

import numpy as np

DIMENSIONS = ("N", "C")
SHAPES = ((1, 1), (16, 16), (17, 9), (31, 17), (5, 33), (4095, 1), (4096, 1), (8209, 1), (2100, 2), (1400, 3),
          (600, 8), (600, 16), (90, 100), (2, 4097))


def inputs(rng, shape, dtype):
    y, targets = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    return [("forward", (y, targets), {}), ("backward", (y, targets), {})]


def forward(y, targets, *, out=None, parallel=None):
    return np.mean(np.abs(targets - y), axis=1, out=out)


def backward(y, targets, *, out=None, parallel=None):
    return np.divide(np.sign(y - targets), y.size, out=out)

"""Huber loss: loss[i] = mean over j of r^2 / 2 where |r| <= delta, else delta (|r| - delta / 2); r = targets - y
(Huber 1964, "Robust estimation of a location parameter"; divided by the columns as the losses of "Neural Networks from
Scratch in Python").

The gradient of the mean loss over N rows is clip(y - targets, -delta, delta) / C / N.
"""

import numpy as np

DIMENSIONS = ("N", "C")
SHAPES = ((1, 1), (16, 16), (17, 9), (31, 17), (5, 33), (4095, 1), (4096, 1), (8209, 1), (2100, 2), (1400, 3),
          (600, 8), (600, 16), (90, 100), (2, 4097))


def inputs(rng, shape, dtype):
    y, targets = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    return [("forward", (y, targets), {}), ("backward", (y, targets), {})]


def forward(y, targets, *, delta=1.0, out=None, parallel=None):
    r = np.abs(targets - y)
    return np.mean(np.where(r <= delta, 0.5 * r**2, delta * (r - 0.5 * delta)), axis=1, out=out)


def backward(y, targets, *, delta=1.0, out=None, parallel=None):
    return np.divide(np.clip(y - targets, -delta, delta), y.size, out=out)

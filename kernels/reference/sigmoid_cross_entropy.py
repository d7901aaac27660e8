"""Sigmoid followed by binary cross-entropy, fused: loss[i] = mean over j of softplus(x) - t x, t the target of x[i, j].

That is -(t log y + (1 - t) log(1 - y)) with y = 1 / (1 + exp(-x)), since log y = x - softplus(x) and
log(1 - y) = -softplus(x). Computed as (1 - t) max(x, 0) - t min(x, 0) + log(1 + exp(-|x|)): nothing overflows, nothing
cancels and no clip is needed. A share of 0 times an infinite score is 0. The gradient of the mean loss over N rows is
(y - t) / C / N ("Neural Networks from Scratch in Python", chapter 16, has the two separately).
"""

import numpy as np

from . import sigmoid

DIMENSIONS = ("N", "C")
SHAPES = ((1, 1), (16, 16), (17, 9), (31, 17), (5, 33), (4095, 1), (4096, 1), (8209, 1), (2100, 2), (1400, 3),
          (600, 8), (600, 16), (90, 100), (2, 4097))


def inputs(rng, shape, dtype):
    x = (3 * rng.standard_normal(shape)).astype(dtype)
    targets = np.clip(2 * rng.random(shape) - 0.5, 0, 1).astype(dtype)  # a quarter 0, a quarter 1, the rest between
    y = forward(x, targets)[1]
    return [("forward", (x, targets), {}), ("backward", (y, targets), {})]


def forward(x, targets, *, out=(None, None), parallel=None):
    wrong = np.where(x > 0, 1 - targets, targets)
    terms = np.multiply(wrong, np.abs(x), out=np.zeros_like(x), where=wrong != 0) + np.log1p(np.exp(-np.abs(x)))
    return np.mean(terms, axis=1, out=out[0]), sigmoid.forward(x, out=out[1])


def backward(y, targets, *, out=None, parallel=None):
    return np.divide(y - targets, y.size, out=out)

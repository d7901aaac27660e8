"""Each row times a weight of its own, y[i, j] = x[i, j] * weights[i]: how much a sample counts in a loss.

y is linear in x, so the gradient with respect to x is scaled alike; the weights are given, not learnt.
"""

import numpy as np

DIMENSIONS = ("N", "C")
SHAPES = ((1, 1), (130, 1), (63, 3), (64, 16), (65, 17), (200, 40), (20_000, 7))


def inputs(rng, shape, dtype):
    x, dy = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    weights = rng.random(shape[:1]).astype(dtype)
    return [
        ("forward", (x, weights), {}),
        ("backward", (dy, weights), {}),
        ("forward", (np.ascontiguousarray(x[:, 0]), weights), {}),
        ("backward", (np.ascontiguousarray(dy[:, 0]), weights), {}),
    ]


def forward(x, weights, *, out=None, parallel=None):
    return np.multiply(x, weights if x.ndim == 1 else weights[:, None], out=out)


def backward(dy, weights, *, out=None, parallel=None):
    return forward(dy, weights, out=out)

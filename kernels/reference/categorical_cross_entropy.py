"""Categorical cross-entropy of probabilities: loss[i] = -log p[i, label[i]], or -sum over j of t[i, j] log p[i, j].

p is clipped to [1e-7, 1 - 1e-7] first, as in "Neural Networks from Scratch in Python", so that a confident mistake
costs 16.1 and not infinity. The gradient of the mean loss over N rows, -t / (p N), uses the clipped p as well: the
book's unclipped one is -inf at p = 0.
"""

import numpy as np

DIMENSIONS = ("N", "C")
SHAPES = ((1, 2), (3, 2), (17, 3), (33, 10), (65, 8), (70, 16), (40, 17), (9, 100), (130, 5))
CLIP = 1e-7


def inputs(rng, shape, dtype):
    rows, classes = shape
    p = rng.random(shape) + 0.01
    p = (p / p.sum(axis=1, keepdims=True)).astype(dtype)
    labels = rng.integers(0, classes, rows)
    one_hot = (labels[:, None] == np.arange(classes)).astype(dtype)
    return [
        ("forward", (p, labels), {}),
        ("backward", (p, labels), {}),
        ("forward", (p, one_hot), {}),
        ("backward", (p, one_hot), {}),
    ]


def forward(p, labels, *, out=None, parallel=None):
    if labels.ndim == 1:
        picked = p[np.arange(len(p)), labels]
        return np.negative(np.log(np.clip(picked, CLIP, 1 - CLIP)), out=out)
    return np.negative(np.sum(labels * np.log(np.clip(p, CLIP, 1 - CLIP)), axis=1), out=out)


def backward(p, labels, *, out=None, parallel=None):
    rows = np.arange(len(p))
    if labels.ndim == 1:
        dp = np.empty_like(p) if out is None else out
        dp.fill(0)
        dp[rows, labels] = -1 / np.clip(p[rows, labels], CLIP, 1 - CLIP) / len(p)
        return dp
    return np.divide(labels, np.clip(p, CLIP, 1 - CLIP) * -len(p), out=out)

"""Softmax followed by categorical cross-entropy, fused: loss[i] = log(sum over j of exp x[i, j]) - x[i, label[i]].

Computed as log s + m - x with m the row's maximum and s the sum of exp(x - m): nothing overflows and no clip is
needed. The gradient of the mean loss over N rows is (y - t) / N, y the softmax and t the one-hot labels
("Neural Networks from Scratch in Python", chapter 9).
"""

import numpy as np

DIMENSIONS = ("N", "C")
SHAPES = ((1, 1), (3, 2), (17, 3), (33, 10), (65, 8), (70, 16), (40, 17), (9, 100), (130, 5))


def inputs(rng, shape, dtype):
    rows, classes = shape
    x = (2 * rng.standard_normal(shape)).astype(dtype)
    labels = rng.integers(0, classes, rows)
    one_hot = (labels[:, None] == np.arange(classes)).astype(dtype)
    y = forward(x, labels)[1]
    return [
        ("forward", (x, labels), {}),
        ("backward", (y, labels), {}),
        ("forward", (x, one_hot), {}),
        ("backward", (y, one_hot), {}),
    ]


def forward(x, labels, *, out=(None, None), parallel=None):
    shifted = x - np.max(x, axis=1, keepdims=True)
    y = np.exp(shifted, out=out[1])
    s = np.sum(y, axis=1, keepdims=True)
    y /= s
    if labels.ndim == 1:
        scores = shifted[np.arange(len(x)), labels]
        return np.subtract(np.log(s[:, 0]), scores, out=out[0]), y
    terms = np.multiply(labels, np.log(s) - shifted, out=np.zeros_like(y), where=labels != 0)
    return np.sum(terms, axis=1, out=out[0]), y


def backward(y, labels, *, out=None, parallel=None):
    if labels.ndim == 1:
        dx = np.empty_like(y) if out is None else out
        np.copyto(dx, y)
        dx[np.arange(len(y)), labels] -= 1
    else:
        dx = np.subtract(y, labels, out=out)
    dx /= len(y)
    return dx

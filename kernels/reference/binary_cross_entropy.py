"""Binary cross-entropy: loss[i] = mean over j of -(t log p + (1 - t) log(1 - p)), t = targets[i, j], p = p[i, j].

p is clipped to [1e-7, 1 - 1e-7], and 1 - p with it, as in "Neural Networks from Scratch in Python", chapter 16: a
confident mistake costs 16.1 and not infinity. The gradient of the mean loss over N rows is
-(t / p - (1 - t) / (1 - p)) / C / N with the clipped p. 1 - p is clipped by itself, since 1 - 1e-7 is rounded.
"""

import numpy as np

DIMENSIONS = ("N", "C")
SHAPES = ((1, 1), (16, 16), (17, 9), (31, 17), (5, 33), (4095, 1), (4096, 1), (8209, 1), (2100, 2), (1400, 3),
          (600, 8), (600, 16), (90, 100), (2, 4097))
CLIP = 1e-7


def inputs(rng, shape, dtype):
    p = (0.9 * rng.random(shape) + 0.05).astype(dtype)
    targets = np.clip(2 * rng.random(shape) - 0.5, 0, 1).astype(dtype)  # a quarter 0, a quarter 1, the rest between
    return [("forward", (p, targets), {}), ("backward", (p, targets), {})]


def forward(p, targets, *, out=None, parallel=None):
    q, p = np.clip(1 - p, CLIP, 1 - CLIP), np.clip(p, CLIP, 1 - CLIP)
    return np.mean(-(targets * np.log(p) + (1 - targets) * np.log(q)), axis=1, out=out)


def backward(p, targets, *, out=None, parallel=None):
    q, p = np.clip(1 - p, CLIP, 1 - CLIP), np.clip(p, CLIP, 1 - CLIP)
    return np.divide((1 - targets) / q - targets / p, p.size, out=out)

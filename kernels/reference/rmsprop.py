"""RMSprop (Tieleman, Hinton 2012, lecture 6.5 of "Neural Networks for Machine Learning"):
cache = rho * cache + (1 - rho) * dw^2; w = w - learning_rate * dw / (sqrt(cache) + epsilon).

epsilon stands outside the root, 1e-7 as in "Neural Networks from Scratch in Python". The kernel ends the cache before
it is denormal.
"""

import numpy as np

DIMENSIONS = ("K", "C")
SHAPES = ((0,), (1,), (7,), (8,), (9,), (15,), (16,), (17,), (100,), (4095,), (4096,), (4097,), (10_001,))


def inputs(rng, shape, dtype):
    w, dw, root = (rng.standard_normal(shape).astype(dtype) for _ in range(3))
    unused = [x.copy() for x in (w, dw, root * root)]
    for x, rest in zip(unused[1:], (0, 5)):  # where the cache of unused weights would come to rest, in denormal steps
        x[..., ::16] = rest * np.finfo(dtype).smallest_subnormal
    return [("step", (w, dw, root * root), {"learning_rate": 0.05}), ("step", tuple(unused), {"learning_rate": 0.05})]


def step(w, dw, cache, *, learning_rate, rho=0.9, epsilon=1e-7, parallel=None):
    cache *= rho
    cache += (1 - rho) * dw**2
    w -= learning_rate * dw / (np.sqrt(cache) + epsilon)

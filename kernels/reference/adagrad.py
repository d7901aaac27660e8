"""AdaGrad (Duchi, Hazan, Singer 2011): cache = cache + dw^2; w = w - learning_rate * dw / (sqrt(cache) + epsilon).

epsilon stands outside the root, 1e-7 as in "Neural Networks from Scratch in Python".
"""

import numpy as np

DIMENSIONS = ("K", "C")
SHAPES = ((0,), (1,), (7,), (8,), (9,), (15,), (16,), (17,), (100,), (4095,), (4096,), (4097,), (10_001,))


def inputs(rng, shape, dtype):
    w, dw, root = (rng.standard_normal(shape).astype(dtype) for _ in range(3))
    return [("step", (w, dw, root * root), {"learning_rate": 0.05})]


def step(w, dw, cache, *, learning_rate, epsilon=1e-7, parallel=None):
    cache += dw**2
    w -= learning_rate * dw / (np.sqrt(cache) + epsilon)

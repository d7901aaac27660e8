"""Step: y = 1 where x > 0, else 0 (McCulloch, Pitts 1943; the perceptron's, Rosenblatt 1958).

At 0 it is 0, as in "Neural Networks from Scratch in Python", chapter 4. dy/dx = 0 wherever there is one.
"""

import numpy as np

DIMENSIONS = ("N", "C")
SHAPES = ((1,), (7,), (8,), (9,), (15,), (16,), (17,), (40,), (4095,), (4096,), (4097,), (70_001,))


def inputs(rng, shape, dtype):
    x = rng.standard_normal(shape).astype(dtype)
    return [("forward", (x,), {}), ("backward", (rng.standard_normal(shape).astype(dtype), forward(x)), {})]


def forward(x, *, out=None, parallel=None):
    return np.heaviside(x, 0, out=out)


def backward(dy, y, *, out=None, parallel=None):
    return np.multiply(dy, 0, out=out)

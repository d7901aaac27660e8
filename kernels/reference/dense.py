"""Dense layer: y = f(x w + b) with f the identity, relu, sigmoid or tanh.

Gradients by the chain rule, with f' written in terms of y: dz = dy * f'(y); dx = dz w^T, dw = x^T dz,
db = the sum of dz over the batch ("Neural Networks from Scratch in Python", chapter 9).
"""

import numpy as np

from . import relu, sigmoid, tanh

DIMENSIONS = ("N", "K", "C")
SHAPES = ((1, 1, 1), (5, 3, 3), (17, 30, 10), (30, 20, 33), (257, 5, 17), (700, 6, 3), (100, 400, 170))
ACTIVATIONS = {"relu": relu, "sigmoid": sigmoid, "tanh": tanh}


def inputs(rng, shape, dtype):
    rows, features, neurons = shape
    x = rng.standard_normal((rows, features)).astype(dtype)
    w = (rng.standard_normal((features, neurons)) / max(features, 1) ** 0.5).astype(dtype)  # sigmoids not at their ends
    b = rng.standard_normal(neurons).astype(dtype)
    dy = rng.standard_normal((rows, neurons)).astype(dtype)
    cases: list = []
    for activation in (None, *ACTIVATIONS):
        options = {"activation": activation}
        cases.append(("forward", (x, w, b), options))
        cases.append(("backward", (dy, x, w, forward(x, w, b, **options)), options))
    return cases


def forward(x, w, b, *, activation=None, out=None, parallel=None):
    y = np.matmul(x, w, out=out)
    y += b
    return y if activation is None else ACTIVATIONS[activation].forward(y, out=y)


def backward(dy, x, w, y=None, *, activation=None, input_gradient=True, weight_gradient=True, out=(None, None, None),
             parallel=None):
    dz = dy if activation is None else ACTIVATIONS[activation].backward(dy, y)
    dx = np.matmul(dz, w.T, out=out[0]) if input_gradient else None
    if not weight_gradient:
        return dx, None, None
    return dx, np.matmul(x.T, dz, out=out[1]), np.sum(dz, axis=0, out=out[2])

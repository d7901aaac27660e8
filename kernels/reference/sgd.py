"""Stochastic gradient descent with momentum: v = momentum * v - learning_rate * dw; w = w + v (Polyak 1964).

Without momentum: w = w - learning_rate * dw, and no v is kept. With nesterov the new v already counts:
w = w + momentum * v - learning_rate * dw (Sutskever et al. 2013, in the form of PyTorch, whose v is ours divided by
-learning_rate).
"""

DIMENSIONS = ("K", "C")
SHAPES = ((0,), (1,), (7,), (8,), (9,), (15,), (16,), (17,), (100,), (4095,), (4096,), (4097,), (10_001,))


def inputs(rng, shape, dtype):
    w, dw, v = (rng.standard_normal(shape).astype(dtype) for _ in range(3))
    return [
        ("step", (w, dw), {"learning_rate": 0.1}),
        ("step", (w, dw, v), {"learning_rate": 0.1, "momentum": 0.9}),
        ("step", (w, dw, v), {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    ]


def step(w, dw, v=None, *, learning_rate, momentum=0.0, nesterov=False, parallel=None):
    if v is None:
        w -= learning_rate * dw
    else:
        v *= momentum
        v -= learning_rate * dw
        w += momentum * v - learning_rate * dw if nesterov else v

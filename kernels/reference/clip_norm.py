"""Clipping of gradients by their norm (Pascanu, Mikolov, Bengio 2013, algorithm 1): the norm is the root of the sum of
squares; x = x * max_norm / (norm + 1e-6) where that factor is below 1, as torch.nn.utils.clip_grad_norm_ does.
"""

import numpy as np

DIMENSIONS = ("K", "C")
SHAPES = ((0,), (1,), (7,), (8,), (9,), (15,), (16,), (17,), (100,), (4095,), (4096,), (4097,), (10_001,))


def inputs(rng, shape, dtype):
    x = rng.standard_normal(shape).astype(dtype)
    return [
        ("forward", (x,), {}),
        ("step", (x,), {"norm": 1.0, "max_norm": 1.0}),  # a factor of 0.999999 can be timed a million times
        ("step", (x,), {"norm": 8.0, "max_norm": 1.0}),
        ("step", (x,), {"max_norm": 0.5}),
    ]


def forward(x, *, parallel=None):
    wide = x.astype(np.result_type(x, np.float64))
    return float(np.sqrt(np.sum(wide**2)))


def step(x, *, max_norm, norm=None, parallel=None):
    norm = forward(x) if norm is None else norm
    factor = max_norm / (norm + 1e-6)
    if not factor >= 1:
        x *= factor
    return norm

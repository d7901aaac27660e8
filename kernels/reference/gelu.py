"""Gaussian error linear unit: y = x Phi(x), Phi the distribution function of the normal distribution (Hendrycks, Gimpel
2016), not approximated.

Phi(x) = erfc(-x / sqrt 2) / 2. dy/dx = Phi(x) + x phi(x), with phi(x) = exp(-x^2 / 2) / sqrt(2 pi), the density.
Beyond 40 nothing changes but y = x: so the infinities give limits, and no infinity meets a 0.
"""

import math

import numpy as np

DIMENSIONS = ("N", "C")
SHAPES = ((1,), (7,), (8,), (9,), (15,), (16,), (17,), (63,), (64,), (65,), (4095,), (4096,), (4097,), (10_001,))


def inputs(rng, shape, dtype):
    x = (2 * rng.standard_normal(shape)).astype(dtype)
    return [("forward", (x,), {}), ("backward", (rng.standard_normal(shape).astype(dtype), x), {})]


_erfc = np.vectorize(math.erfc, otypes=[np.float64])  # NumPy has none


def _distribution(x):
    return (_erfc(x.astype(np.float64) / -math.sqrt(2)) / 2).astype(x.dtype)


def forward(x, *, out=None, parallel=None):
    return np.multiply(np.maximum(x, -40), _distribution(x), out=out)


def backward(dy, x, *, out=None, parallel=None):
    x = np.clip(x, -40, 40)
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return np.multiply(dy, _distribution(x) + x * density, out=out)

"""Matrix product: c[i, j] = sum over k of a[i, k] * b[k, j].

Gradients (Goodfellow, Bengio, Courville 2016, section 6.5.6): da = dc b^T, db = a^T dc.
"""

import numpy as np

DIMENSIONS = ("M", "K", "N")
SHAPES = ((1, 1, 1), (2, 3, 1), (3, 1, 16), (5, 7, 3), (14, 8, 10), (15, 9, 17), (16, 16, 16), (29, 5, 33),
          (8, 40, 32))


def inputs(rng, shape, dtype):
    m, k, n = shape
    a = rng.standard_normal((m, k)).astype(dtype)
    b = rng.standard_normal((k, n)).astype(dtype)
    dc = rng.standard_normal((m, n)).astype(dtype)
    transposed = (np.ascontiguousarray(a.T).T, np.ascontiguousarray(b.T).T)
    return [
        ("forward", (a, b), {}),
        ("backward", (dc, a, b), {}),
        ("forward", transposed, {}),
        ("backward", (dc, *transposed), {}),
    ]


def forward(a, b, *, out=None, parallel=None):
    return np.matmul(a, b, out=out)


def backward(dc, a, b, *, out=(None, None), parallel=None):
    return np.matmul(dc, b.T, out=out[0]), np.matmul(a.T, dc, out=out[1])

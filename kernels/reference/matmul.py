"""Matrix product: c[i, j] = sum over k of a[i, k] * b[k, j].

Gradients (Goodfellow, Bengio, Courville 2016, section 6.5.6): da = dc b^T, db = a^T dc.
"""

import numpy as np

DIMENSIONS = ("M", "K", "N")


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

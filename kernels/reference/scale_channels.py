"""Each channel of each image times a number, y[n, c] = x[n, c] * scale[n, c] (Hu et al. 2018, squeeze-and-excitation).

    dx[n, c] = dy[n, c] * scale[n, c];  dscale[n, c] = the row sum of dy[n, c] * x[n, c]
"""

import numpy as np

DIMENSIONS = ("N", "C", "H", "W")
SHAPES = ((2, 3, 0, 4), (5, 13, 4, 4), (63, 1, 5, 3), (3, 43, 17, 1), (16, 8, 10, 20))


def inputs(rng, shape, dtype):
    x, dy = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    scale = rng.random(shape[:2]).astype(dtype)
    return [
        ("forward", (x, scale), {}),
        ("backward", (dy, x, scale), {}),
    ]


def forward(x, scale, *, out=None, parallel=None):
    return np.multiply(x, scale[:, :, None, None], out=out)


def backward(dy, x, scale, *, out=None, parallel=None):
    dx, dscale = out or (None, None)
    dscale = np.sum(dy * x, axis=(2, 3), out=dscale)
    return forward(dy, scale, out=dx), dscale

"""Nearest-neighbour upsampling: y[n, c, i, j] = x[n, c, i // rows, j // columns].

dx is the sum of dy over each block, its elements row by row from the first on: it starts the sum.
"""

import numpy as np

DIMENSIONS = ("N", "C", "H", "W")
SHAPES = ((3, 5, 4, 4), (2, 3, 17, 31), (9, 16, 7, 7))


def inputs(rng, shape, dtype):
    n, c, h, w = shape
    cases = []
    for size in (2, (1, 3)):
        rows, columns = _pair(size)
        x, dy = (rng.standard_normal(each).astype(dtype) for each in (shape, (n, c, h * rows, w * columns)))
        cases += [("forward", (x,), {"size": size}), ("backward", (dy,), {"size": size})]
    return cases


def _fits(lengths, size):
    """Whether lengths by letters are those of whole blocks."""
    rows, columns = _pair(size)
    return lengths.get("P", 0) % rows == 0 and lengths.get("Q", 0) % columns == 0


def _pair(size):
    return size if isinstance(size, (tuple, list)) else (size, size)


def forward(x, *, size, out=None, parallel=None):
    rows, columns = _pair(size)
    y = x.repeat(rows, axis=2).repeat(columns, axis=3)
    if out is None:
        return y
    out[...] = y
    return out


def backward(dy, *, size, out=None, parallel=None):
    rows, columns = _pair(size)
    n, c, h, w = dy.shape
    return np.sum(dy.reshape(n, c, h // rows, rows, w // columns, columns), axis=(3, 5), out=out)

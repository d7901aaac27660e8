"""Layer normalization along the last axis: y = (x - m) / sqrt(v + eps) * gamma + beta, m and v of each row."""

import math

import numpy as np
from numba import prange

from .core import check
from .core.blocks import SUM_ROWS
from .core.compile import inline, loops, pick, shared
from .core.memory import load, pointer, shift, store
from .core.moments import known, row_moments
from .core.public import public
from .core.vectors import fma, fold_sum, lanes, splat, sqrt

FOUR = 4  # rows at a time
PARALLEL_FROM = 32_768  # elements


@shared
def _forward_rows(x, gamma, beta, eps, y, m, r, first, last):
    n = x.shape[1]
    row_moments(x, n, first, last, pointer(m), pointer(r))
    center = load(m, first, last, 0.0) / n
    inverse = 1.0 / sqrt(load(r, first, last, 0.0) / n + eps)
    store(m, first, last, center)
    store(r, first, last, inverse)
    for row in range(first, last):
        start, end = row * n, (row + 1) * n
        center, inverse = splat(x, m[row]), splat(x, r[row])
        for j in range(0, n, lanes(x)):
            unit = (load(x, start + j, end, 0.0) - center) * inverse
            store(y, start + j, end, fma(unit, load(gamma, j, n, 0.0), load(beta, j, n, 0.0)))


@loops(writes=("y", "m", "r"))
def _forward(x, gamma, beta, eps, y, m, r):
    """x and y (N, C), m and r (N,)."""
    for group in prange((x.shape[0] + FOUR - 1) // FOUR):
        _forward_rows(x, gamma, beta, eps, y, m, r, group * FOUR, min((group + 1) * FOUR, x.shape[0]))


@public
def forward(x, gamma, beta, *, eps=1e-5, out=None, parallel=None):
    """Normalize each row: all along the last axis.

    x : (..., C) float32 or float64, any strides; not modified
    gamma, beta : (C,) dtype of x, any strides; not modified
    eps : a finite number, at least 0
    out : a tuple of arrays to write, None for those to allocate: y, m and r, (..., C), (...) and (...), dtype of x,
        C-contiguous; none may overlap an input
    parallel : None decides by size; True or False overrides

    Returns (y, m, r): y = fma((x - m) r, gamma, beta), shape and dtype of x, and for `backward` m, the mean, and r =
    1 / sqrt(v + eps) with the biased variance v of each row, of the axes before the last.
    Raises TypeError for other or unequal dtypes, ValueError for shapes that do not fit or C = 0.
    No rows give empty arrays. NaN propagates within its row.
    Formula and source: kernels/reference/layer_norm.py
    """
    eps = check.not_negative("eps", eps)
    y, m, r = check.outs(out, 3)
    x, rows = _rows("x", x)
    gamma, beta = _of_columns("gamma", gamma, x), _of_columns("beta", beta, x)
    y = check.out("out[0]", y, x.shape, x.dtype, x, gamma, beta)
    m = check.out("out[1]", m, x.shape[:-1], x.dtype, x, gamma, beta, y)
    r = check.out("out[2]", r, x.shape[:-1], x.dtype, x, gamma, beta, y, m)
    pick(_forward, x.size >= PARALLEL_FROM, parallel)(
        rows, gamma, beta, eps, y.reshape(rows.shape), m.ravel(), r.ravel())
    return y, m, r


def _rows(name, x):
    """The array, and as (N, C)."""
    x = check.array(name, x)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f"{name} must have shape (..., C) with at least one column, got shape {x.shape}")
    return x, x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _of_columns(name, given, x):
    given = check.array(name, given, 1)
    check.dtype_of(name, given, "x", x)
    if given.shape[0] != x.shape[-1]:
        raise ValueError(f"{name} must have shape ({x.shape[-1]},) to match x {x.shape}, got {given.shape}")
    return given


def _of_rows(name, given, x):
    given = check.array(name, given)
    check.dtype_of(name, given, "x", x)
    if given.shape != x.shape[:-1]:
        raise ValueError(f"{name} must have shape {x.shape[:-1]} to match x {x.shape}, got {given.shape}")
    return given


@inline
def _unit(x, at, end, m, r):
    return (load(x, at, end, 0.0) - m) * r


@inline
def _row_sums(dy, x, gamma, n, row, m, r):
    """The sums of g = dy gamma and of g (x - m) r along a row."""
    start, end = row * n, (row + 1) * n
    total = product = splat(x, -0.0)
    for j in range(0, n, lanes(x)):
        g = load(dy, start + j, end, 0.0) * load(gamma, j, n, 0.0)
        total = total + known(x, g, n - j)
        product = product + known(x, g * _unit(x, start + j, end, m, r), n - j)
    return splat(x, fold_sum(total)), splat(x, fold_sum(product))


@shared
def _backward_block(dy, x, gamma, m, r, dx, sums, products, block):
    """dx of a block of rows, and their sums of dy (x - m) r and of dy, added from the first to the last."""
    n = x.shape[1]
    first, last = block * SUM_ROWS, min((block + 1) * SUM_ROWS, x.shape[0])
    dgamma, dbeta = shift(pointer(products), block * n), shift(pointer(sums), block * n)
    for j in range(0, n, lanes(x)):
        store(dgamma, j, n, splat(x, -0.0))
        store(dbeta, j, n, splat(x, -0.0))
    for row in range(first, last):
        center, inverse = splat(x, m[row]), splat(x, r[row])
        a, b = _row_sums(dy, x, gamma, n, row, center, inverse)
        a, b = a / n, b / n
        start, end = row * n, (row + 1) * n
        for j in range(0, n, lanes(x)):
            v, u = load(dy, start + j, end, 0.0), _unit(x, start + j, end, center, inverse)
            g = v * load(gamma, j, n, 0.0)
            store(dx, start + j, end, inverse * ((g - a) - u * b))
            store(dgamma, j, n, load(dgamma, j, n, 0.0) + v * u)
            store(dbeta, j, n, load(dbeta, j, n, 0.0) + v)


@shared
def _add_blocks(sums, total, j):
    n = total.size
    found = splat(total, -0.0 if sums.shape[0] else 0.0)
    for block in range(sums.shape[0]):
        found = found + load(sums, block * n + j, (block + 1) * n, 0.0)
    store(total, j, n, found)


@loops(writes=("dx", "dgamma", "dbeta", "sums", "products"))
def _backward(dy, x, gamma, m, r, dx, dgamma, dbeta, sums, products):
    """dy, x, dx (N, C), m and r (N,); sums and products (blocks of SUM_ROWS rows, C) are room."""
    for block in prange(sums.shape[0]):
        _backward_block(dy, x, gamma, m, r, dx, sums, products, block)
    for j in range(0, x.shape[1], lanes(x)):
        _add_blocks(products, dgamma, j)
        _add_blocks(sums, dbeta, j)


@public
def backward(dy, x, gamma, m, r, *, out=None, parallel=None):
    """The gradients with respect to x, gamma and beta.

    dy, x : (..., C) float32 or float64, same dtype and shape, any strides; not modified
    gamma : (C,) as given to `forward`, dtype of x; not modified
    m, r : (...) of `forward`, dtype of x, any strides; not modified
    out : a tuple of arrays to write, None for those to allocate: dx, dgamma and dbeta, (..., C), (C,) and (C,), dtype
        of x, C-contiguous; none may overlap an input
    parallel : None decides by size; True or False overrides

    Returns (dx, dgamma, dbeta), dtype of x. With u = (x - m) r and g = dy gamma, dx = r ((g - (sum of g) / C) -
    u ((sum of g u) / C)), sums along the row; dbeta and dgamma are the sums of dy and dy u over the rows, in blocks of
    256 rows added in order.
    Raises TypeError for other or unequal dtypes, ValueError for shapes that do not fit or C = 0.
    No rows give zeros for dgamma and dbeta. NaN propagates.
    Formula and source: kernels/reference/layer_norm.py
    """
    dx, dgamma, dbeta = check.outs(out, 3)
    x, rows = _rows("x", x)
    dy = check.same("dy", dy, "x", x)
    gamma, m, r = _of_columns("gamma", gamma, x), _of_rows("m", m, x), _of_rows("r", r, x)
    read = (dy, x, gamma, m, r)
    dx = check.out("out[0]", dx, x.shape, x.dtype, *read)
    dgamma = check.out("out[1]", dgamma, gamma.shape, x.dtype, *read, dx)
    dbeta = check.out("out[2]", dbeta, gamma.shape, x.dtype, *read, dx, dgamma)
    blocks = (rows.shape[0] + SUM_ROWS - 1) // SUM_ROWS
    sums, products = np.empty((2, blocks, rows.shape[1]), x.dtype)
    nest = pick(_backward, x.size >= PARALLEL_FROM, parallel)
    given, wanted = dy.reshape(rows.shape), dx.reshape(rows.shape)
    nest(given, rows, gamma, m.ravel(), r.ravel(), wanted, dgamma, dbeta, sums, products)
    return dx, dgamma, dbeta

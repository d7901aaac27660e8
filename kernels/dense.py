"""Dense layer: y = f(x w + b), the bias and the activation f fused into the product."""

import numpy as np
from numba import prange

from .core import check
from .core.blocks import SUM_ROWS
from .core.compile import inline, loops, pick, shared
from .matmul import (A_TRANSPOSED, ACTIVATION, B_TRANSPOSED, BIAS, NO_ACTIVATION, RELU, SIGMOID, TANH, product)
from .core.memory import load, store
from .core.public import public
from .core.vectors import lanes, select, splat

ACTIVATIONS = {None: NO_ACTIVATION, "relu": RELU, "sigmoid": SIGMOID, "tanh": TANH}
PARALLEL_FROM = 131_072  # elements of dz, as in relu's backward


@public
def forward(x, w, b, *, activation=None, out=None, parallel=None):
    """The output of a dense layer.

    x : (N, K) float32 or float64, any strides; not modified
    w : (K, C), b : (C,) dtype of x, any strides; not modified
    activation : None, "relu", "sigmoid" or "tanh"
    out : (N, C) dtype of x, C-contiguous, written and returned; must not overlap an input
    parallel : None decides by size; True or False overrides

    Returns y (N, C), dtype of x: each sum one chain over ascending k as in `matmul`, then + b, then f.
    Raises TypeError for other or unequal dtypes, ValueError for shapes that do not fit or another activation.
    K = 0 gives f(b) in each row, N = 0 or C = 0 an empty array; NaN propagates.
    Formula and source: kernels/reference/dense.py
    """
    function = check.one_of("activation", activation, ACTIVATIONS)
    x, x_transposed, w, w_transposed, rows, depth, neurons = _factors(x, w)
    b = check.array("b", b, 1)
    check.dtype_of("b", b, "x", x)
    if b.shape[0] != neurons:
        raise ValueError(f"b must have shape ({neurons},) to match w, got {b.shape}")
    y = check.out("out", out, (rows, neurons), x.dtype, x, w, b)
    flags = BIAS + A_TRANSPOSED * x_transposed + B_TRANSPOSED * w_transposed + ACTIVATION * function
    # b as a matrix, since the loops are compiled for that
    return product(x, w, y, flags, rows * neurons * depth, parallel, b[None])


def _factors(x, w):
    x, x_transposed, w, w_transposed = check.factors("x", x, "w", w)
    rows, depth = x.shape[::-1] if x_transposed else x.shape
    size, neurons = w.shape[::-1] if w_transposed else w.shape
    if size != depth:
        raise ValueError(f"w must have shape ({depth}, n) to match x {(rows, depth)}, got {(size, neurons)}")
    return x, x_transposed, w, w_transposed, rows, depth, neurons


@inline
def _gradient(dy, y, at, end, activation):
    """dz = dy * f'(y), with f' as in the backward of relu, sigmoid and tanh."""
    v = load(dy, at, end, 0.0)
    if activation == NO_ACTIVATION:
        return v
    u = load(y, at, end, 0.0)
    if activation == RELU:
        return select(u <= 0.0, 0.0, v)
    if activation == SIGMOID:
        return v * (u * (1.0 - u))
    return v * ((1.0 - u) * (1.0 + u))


@inline
def _add_gradient(total, dy, y, dz, at, end, activation):
    v = _gradient(dy, y, at, end, activation)
    if activation != NO_ACTIVATION:
        store(dz, at, end, v)
    return total + v


@shared
def _gradient_block(dy, y, dz, sums, activation, block, j):
    """dz for a block of rows and four vectors of columns from j on, and in one row of `sums` these rows added from the
    first to the last."""
    rows, columns = dy.shape
    w = lanes(dy)
    first, end, last = block * SUM_ROWS * columns, min((block + 1) * SUM_ROWS, rows) * columns, (block + 1) * columns
    a = b = c = d = splat(dy, -0.0)
    at = block * columns + j
    if columns - j <= w:
        for row in range(first, end, columns):
            a = _add_gradient(a, dy, y, dz, row + j, row + columns, activation)
    else:  # four sums side by side, since each waits for its last addition
        for row in range(first, end, columns):
            a = _add_gradient(a, dy, y, dz, row + j, row + columns, activation)
            b = _add_gradient(b, dy, y, dz, row + j + w, row + columns, activation)
            c = _add_gradient(c, dy, y, dz, row + j + 2 * w, row + columns, activation)
            d = _add_gradient(d, dy, y, dz, row + j + 3 * w, row + columns, activation)
        store(sums, at + w, last, b)
        store(sums, at + 2 * w, last, c)
        store(sums, at + 3 * w, last, d)
    store(sums, at, last, a)


@loops(writes=("dz", "sums"), rows=True, sums=("sums",))
def _gradient_blocks(dy, y, dz, sums, activation):
    """dz, and the sums of its blocks of SUM_ROWS rows."""
    width = 4 * lanes(dy)
    parts = (dy.shape[1] + width - 1) // width
    for task in prange(sums.shape[0] * parts):
        _gradient_block(dy, y, dz, sums, activation, task // parts, task % parts * width)


@loops(writes=("db",))
def _add_blocks(sums, db):
    """db = the blocks' sums, added from the first to the last."""
    for j in prange(db.size):
        total = db.dtype.type(0)
        for block in range(sums.shape[0]):
            total = sums[block, j] if block == 0 else total + sums[block, j]
        db[j] = total


@public
def backward(dy, x, w, y=None, *, activation=None, input_gradient=True, weight_gradient=True, out=None,
             parallel=None):
    """The gradients with respect to x, w and b.

    dy : (N, C) float32 or float64, any strides; not modified
    x : (N, K), w : (K, C) as given to `forward`, dtype of dy; not modified
    y : (N, C) the output of `forward`; needed where there is an activation
    activation : as given to `forward`
    input_gradient : True, or False: skips dx (a network's first layer needs none) and returns None for it
    weight_gradient : True, or False: skips dw and db (a layer that is not trained needs none) and returns None
    out : a tuple of (N, K), (K, C) and (C,) arrays to write, None for those to allocate
    parallel : None decides by size; True or False overrides

    Returns (dx, dw, db), shapes of x, w and b, dtype of dy. The sum of db adds blocks of 256 rows in order.
    Raises TypeError for other or unequal dtypes, ValueError for shapes that do not fit.
    N = 0 gives zeros for dw and db; NaN propagates.
    Formula and source: kernels/reference/dense.py
    """
    function = check.one_of("activation", activation, ACTIVATIONS)
    input_gradient = check.flag("input_gradient", input_gradient)
    weight_gradient = check.flag("weight_gradient", weight_gradient)
    dx, dw, db = check.outs(out, 3)
    x, x_transposed, w, w_transposed, rows, depth, neurons = _factors(x, w)
    dy = check.array("dy", dy, 2)
    check.dtype_of("dy", dy, "x", x)
    if dy.shape != (rows, neurons):
        raise ValueError(f"dy must have shape {(rows, neurons)} to match x and w, got {dy.shape}")
    if function != NO_ACTIVATION:
        if y is None:
            raise ValueError(f"y, the output of forward, is needed for activation {activation!r}")
        y = check.same("y", y, "dy", dy)
    read = (dy, x, w) if function == NO_ACTIVATION else (dy, x, w, y)
    dw = check.out("out[1]", dw, (depth, neurons), x.dtype, *read) if weight_gradient else None
    db = check.out("out[2]", db, (neurons,), x.dtype, *read, dw) if weight_gradient else None
    if input_gradient:
        dx = check.out("out[0]", dx, (rows, depth), x.dtype, *read, *((dw, db) if weight_gradient else ()))
    dz = dy if function == NO_ACTIVATION else np.empty(dy.shape, dy.dtype)
    if weight_gradient or function != NO_ACTIVATION:
        sums = np.empty(((rows + SUM_ROWS - 1) // SUM_ROWS, neurons), dy.dtype)
        nest = pick(_gradient_blocks, dy.size >= PARALLEL_FROM, parallel)
        nest(dy, dy if function == NO_ACTIVATION else y, dz, sums, function)
    work = rows * neurons * depth
    if weight_gradient:
        pick(_add_blocks, False, parallel)(sums, db)
        product(x, dz, dw, A_TRANSPOSED * (not x_transposed), work, parallel)
    if input_gradient:
        product(dz, w, dx, B_TRANSPOSED * (not w_transposed), work, parallel)
        return dx, dw, db
    return None, dw, db

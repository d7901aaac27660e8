"""Logarithm of softmax along the last axis: y[i, j] = x[i, j] - m[i] - log(s[i]), with m the row's maximum and s the
sum of exp(x - m)."""

from numba import prange

from .core import check
from .core.elementary import exp, log
from .core.compile import inline, loops, pick, shared
from .core.narrow import W32
from .core.memory import load, scratch, store, transpose
from .core.public import public
from .core.vectors import fold_sum, lanes, select, splat
from .softmax import ROWS, group_sums, row_maximum

PARALLEL_FROM = 32_768  # elements; that of softmax, whose exponentials take most of the time both ways
TOGETHER = 256  # rows of up to so many columns share a logarithm: at 20 columns 15 % faster, at 4000 5 % slower


@inline
def _forward_rows(x, y, i, rows):
    """Up to as many rows as there are lanes, with the lanes along each; one logarithm for all."""
    n, w = x.shape[1], lanes(x)
    sums = scratch(x, 1)
    store(sums, 0, w, splat(x, 1.0))
    for r in range(rows):
        start, end = (i + r) * n, (i + r + 1) * n
        m = row_maximum(x, start, end)
        total = splat(x, -0.0)
        for at in range(start, end, w):
            v = load(x, at, end, float("-inf")) - m
            store(y, at, end, v)
            nothing = v <= float("-inf")  # its exponential, 0, would come from denormal numbers, 60 ns a row
            total = total + select(nothing, -0.0, exp(select(nothing, 0.0, v)))
        sums[r] = fold_sum(total)
    store(sums, 0, w, log(load(sums, 0, w, 1.0)))
    for r in range(rows):
        start, end = (i + r) * n, (i + r + 1) * n
        for at in range(start, end, w):
            store(y, at, end, load(y, at, end, 0.0) - sums[r])


@inline
def _forward_group(x, y, i, rows):
    """As many narrow rows as there are lanes, one row a lane, from row i on; `rows` of them exist. The same bits."""
    n, w = x.shape[1], lanes(x)
    shifted = scratch(x, W32)
    log_s = log(group_sums(x, i, rows, shifted, scratch(x, W32)))
    for j in range(n):
        at, end = j * w, (j + 1) * w
        store(shifted, at, end, load(shifted, at, end, 0.0) - log_s)
    transpose(shifted, 0, w, n, rows, y, i * n, n)


@shared
def _forward_block(x, y, start, end):
    n, w = x.shape[1], lanes(x)
    step = w if n <= TOGETHER else 1
    for i in range(start, end, step):
        if n <= w:
            _forward_group(x, y, i, min(w, end - i))
        else:
            _forward_rows(x, y, i, min(step, end - i))


@loops(writes=("y",), rows=True)
def _forward_blocks(x, y):
    for block in prange((x.shape[0] + ROWS - 1) // ROWS):
        _forward_block(x, y, block * ROWS, min((block + 1) * ROWS, x.shape[0]))


@public
def forward(x, *, out=None, parallel=None):
    """The logarithm of the softmax of each row.

    x : (N, C) float32 or float64, any strides; not modified
    out : (N, C) dtype of x, C-contiguous, written and returned; may be x itself
    parallel : None decides by size; True or False overrides

    Returns y (N, C), dtype of x. Largest error half an ulp and 2^-24 (C / 16 + 6 + 2 log C), in float64
    2^-53 (C / 8 + 5 + 2 log C), given the rounded differences from the maximum: each lane of the sum is one chain.
    Raises TypeError for another dtype, ValueError for another shape or C = 0.
    N = 0 gives an empty array; a NaN or +inf makes its row NaN, and so does a row of -inf alone; else -inf stays.
    Formula and source: kernels/reference/log_softmax.py
    """
    x = check.array("x", x, 2)
    check.columns("x", x)
    y = check.out("out", out, x.shape, x.dtype, alias=x)
    pick(_forward_blocks, x.size >= PARALLEL_FROM, parallel)(x, y)
    return y


@inline
def _backward_row(dy, y, dx, i):  # one row a lane was no faster: 128x10 took 2.7 us instead of 2.4
    n = y.shape[1]
    start, end = i * n, (i + 1) * n
    total = splat(y, -0.0)
    for at in range(start, end, lanes(y)):
        total = total + load(dy, at, end, -0.0)
    s = splat(y, fold_sum(total))
    for at in range(start, end, lanes(y)):
        store(dx, at, end, load(dy, at, end, 0.0) - exp(load(y, at, end, 0.0)) * s)


@loops(writes=("dx",), rows=True)
def _backward_rows(dy, y, dx):
    for i in prange(y.shape[0]):
        _backward_row(dy, y, dx, i)


@public
def backward(dy, y, *, out=None, parallel=None):
    """The gradient with respect to x, from the gradient dy and the output y of `forward`.

    dy, y : (N, C), same dtype, float32 or float64, any strides; not modified
    out : (N, C) dtype of y, C-contiguous, written and returned; may be dy itself
    parallel : None decides by size; True or False overrides

    Returns dx = dy - exp(y) * (sum of dy along the row), each operation rounded; (N, C), dtype of y.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes. NaN propagates within its row.
    Formula and source: kernels/reference/log_softmax.py
    """
    y = check.array("y", y, 2)
    dy = check.same("dy", dy, "y", y)
    dx = check.out("out", out, y.shape, y.dtype, y, alias=dy)
    pick(_backward_rows, y.size >= PARALLEL_FROM, parallel)(dy, y, dx)
    return dx

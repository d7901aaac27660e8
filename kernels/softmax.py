"""Softmax along the last axis: y[i, j] = exp(x[i, j] - m[i]) / s[i], with m the row's maximum and s the row's sum."""

from numba import prange

from .core import check
from .core.elementary import exp
from .core.compile import inline, loops, pick, shared
from .core.narrow import W32, columns_of, fold_columns
from .core.memory import load, scratch, store, transpose
from .core.public import public
from .core.vectors import fold_max, fold_sum, lanes, select, splat

ROWS = 64  # rows per task: a multiple of the lanes
PARALLEL_FROM, PARALLEL_BACKWARD_FROM = 32_768, 131_072  # elements; bench/thresholds.py at 2 threads


@inline
def row_maximum(x, start, end):
    """The maximum of a row, in all lanes. A NaN is lost, and found again in the sum of exponentials."""
    top = splat(x, float("-inf"))
    for at in range(start, end, lanes(x)):
        v = load(x, at, end, float("-inf"))
        top = select(v > top, v, top)
    return splat(x, fold_max(top))


@inline
def forward_row(x, y, i):
    """One row of softmax with the lanes along the row. Returns its maximum and its sum, in all lanes."""
    n = x.shape[1]
    start, end = i * n, (i + 1) * n

    # pass 1: the maximum, so that no exponential overflows
    m = row_maximum(x, start, end)

    # pass 2: exponentials and their sum; lanes past the row's end add -0, which changes nothing
    total = splat(x, -0.0)
    for at in range(start, end, lanes(x)):
        store(y, at, end, exp(load(x, at, end, 0.0) - m))
        total = total + load(y, at, end, -0.0)

    # pass 3: one division a row
    s = splat(x, fold_sum(total))
    r = 1.0 / s
    for at in range(start, end, lanes(x)):
        store(y, at, end, load(y, at, end, 0.0) * r)
    return m, s


@inline
def group_sums(x, i, rows, shifted, powers):
    """The sums of exp(x - m) of as many narrow rows as there are lanes, one row a lane, from row i on; `rows` of them
    exist. Each row's is added in the order of `fold_sum`, so that the bits are those of `forward_row`.

    Keeps x - m in `shifted` and its exponentials in `powers`, columns one after another.
    """
    n, w = x.shape[1], lanes(x)
    sums = scratch(x, W32)
    columns_of(x, i * n, rows, n, shifted)
    m = load(shifted, 0, w, 0.0)
    for j in range(1, n):
        v = load(shifted, j * w, (j + 1) * w, 0.0)
        m = select(v > m, v, m)
    for j in range(n):
        at, end = j * w, (j + 1) * w
        v = load(shifted, at, end, 0.0) - m
        store(shifted, at, end, v)
        v = exp(v)
        store(powers, at, end, v)
        store(sums, at, end, v)
    return fold_columns(sums, n)


@inline
def forward_group(x, y, i, rows, shifted):
    """As many narrow rows as there are lanes; see `group_sums`. Returns the sums."""
    n, w = x.shape[1], lanes(x)
    powers = scratch(x, W32)
    s = group_sums(x, i, rows, shifted, powers)
    r = 1.0 / s
    for j in range(n):
        at, end = j * w, (j + 1) * w
        store(powers, at, end, load(powers, at, end, 0.0) * r)
    transpose(powers, 0, w, n, rows, y, i * n, n)
    return s


@shared
def _forward_block(x, y, start, end):
    if x.shape[1] <= lanes(x):
        for i in range(start, end, lanes(x)):
            forward_group(x, y, i, min(lanes(x), end - i), scratch(x, W32))
    else:
        for i in range(start, end):
            forward_row(x, y, i)


@loops(writes=("y",), rows=True)
def _forward_blocks(x, y):
    for block in prange((x.shape[0] + ROWS - 1) // ROWS):
        _forward_block(x, y, block * ROWS, min((block + 1) * ROWS, x.shape[0]))


@public
def forward(x, *, out=None, parallel=None):
    """The softmax of each row.

    x : (N, C) float32 or float64, any strides; not modified
    out : (N, C) dtype of x, C-contiguous, written and returned; may be x itself
    parallel : None decides by size; True or False overrides

    Returns y (N, C), dtype of x. Largest error C / 16 + 9 ulp, in float64 C / 8 + 9, given the rounded differences from
    the maximum: each lane of the sum is one chain. Of 1000 random scores it is 4 to 12 ulp in float32.
    Raises TypeError for another dtype, ValueError for another shape or C = 0.
    N = 0 gives an empty array; a NaN or +inf makes its row NaN, and so does a row of -inf alone.
    Formula and source: kernels/reference/softmax.py
    """
    x = check.array("x", x, 2)
    check.columns("x", x)
    y = check.out("out", out, x.shape, x.dtype, alias=x)
    pick(_forward_blocks, x.size >= PARALLEL_FROM, parallel)(x, y)
    return y


@inline
def _backward_row(dy, y, dx, i):
    n = y.shape[1]
    start, end = i * n, (i + 1) * n
    total = splat(y, -0.0)
    for at in range(start, end, lanes(y)):
        total = total + load(dy, at, end, -0.0) * load(y, at, end, 1.0)
    s = splat(y, fold_sum(total))
    for at in range(start, end, lanes(y)):
        store(dx, at, end, load(y, at, end, 0.0) * (load(dy, at, end, 0.0) - s))


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

    Returns dx = y * (dy - sum of dy * y along the row), (N, C), dtype of y.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes. NaN propagates within its row.
    Formula and source: kernels/reference/softmax.py
    """
    y = check.array("y", y, 2)
    dy = check.same("dy", dy, "y", y)
    dx = check.out("out", out, y.shape, y.dtype, y, alias=dy)
    pick(_backward_rows, y.size >= PARALLEL_BACKWARD_FROM, parallel)(dy, y, dx)
    return dx

"""Larger images by repeating each element, the nearest neighbour: y[i, j] = x[i // rows, j // columns]."""

from numba import prange

from .core import check
from .core.compile import loops, pick, shared
from .core.memory import load, store
from .core.public import public
from .core.shuffles import even_lanes, odd_lanes
from .core.vectors import interleave, lanes, splat

ROWS = 16  # of x per task
PARALLEL_FROM = 131_072  # elements of the larger image, as in relu


@shared
def _twice(x, y, i, rows):
    n = x.shape[1]
    start, end = i * n, (i + 1) * n
    for j in range(0, n, lanes(x)):
        v = load(x, start + j, end, 0.0)
        both = interleave(v, v, 1)
        for r in range(rows):
            at, last = 2 * (start * rows + r * n + j), 2 * (start * rows + (r + 1) * n)
            store(y, at, last, both)


@shared
def _repeat_row(x, y, i, rows, columns):
    n = x.shape[1]
    start, width = i * rows * n * columns, n * columns
    for j in range(n):
        for c in range(columns):
            y[start + j * columns + c] = x[i, j]
    for r in range(1, rows):
        for j in range(0, width, lanes(y)):
            end = start + width
            store(y, start + r * width + j, end + r * width, load(y, start + j, end, 0.0))


@shared
def _sum_pairs(dy, dx, i, rows):
    n, w = dx.shape[1], lanes(dx)
    for j in range(0, n, w):
        total = splat(dx, -0.0)
        for r in range(rows):
            at, end = 2 * ((i * rows + r) * n + j), 2 * (i * rows + r + 1) * n
            a, b = load(dy, at, end, 0.0), load(dy, at + w, end, 0.0)
            total = total + even_lanes(a, b) + odd_lanes(a, b)
        store(dx, i * n + j, (i + 1) * n, total)


@shared
def _sum_windows(dy, dx, i, rows, columns):
    n = dx.shape[1]
    start, width = i * rows * n * columns, n * columns
    for r in range(rows):
        at = start + r * width
        for j in range(n):
            total = dy[at + j * columns] if r == 0 else dx[i, j] + dy[at + j * columns]
            for c in range(1, columns):
                total += dy[at + j * columns + c]
            dx[i, j] = total


@loops(writes=("y",))
def _forward_rows(x, y, rows, columns):
    for block in prange((x.shape[0] + ROWS - 1) // ROWS):
        for i in range(block * ROWS, min((block + 1) * ROWS, x.shape[0])):
            if columns == 2:
                _twice(x, y, i, rows)
            else:
                _repeat_row(x, y, i, rows, columns)


@loops(writes=("dx",))
def _backward_rows(dy, dx, rows, columns):
    for block in prange((dx.shape[0] + ROWS - 1) // ROWS):
        for i in range(block * ROWS, min((block + 1) * ROWS, dx.shape[0])):
            if columns == 2:
                _sum_pairs(dy, dx, i, rows)
            else:
                _sum_windows(dy, dx, i, rows, columns)


def _rows(x):
    n, c, h, w = x.shape
    return x.reshape(n * c * h, w)


@public
def forward(x, *, size, out=None, parallel=None):
    """Repeat each element of images in a block of rows and columns.

    x : (N, C, H, W) float32 or float64, any strides; not modified
    size : a whole number or a pair, at least 1: rows and columns of a block
    out : (N, C, H * rows, W * columns) dtype of x, C-contiguous, written and returned
    parallel : None decides by size; True or False overrides

    Returns y (N, C, H * rows, W * columns), dtype of x. Exact.
    Raises TypeError for another dtype or size, ValueError for a size below 1 and another shape.
    Size 0 gives an empty array; NaN stays NaN.
    Formula and source: kernels/reference/upsample.py
    """
    rows, columns = check.pair("size", size, 1)
    x = check.array("x", x, 4)
    n, c, h, w = x.shape
    y = check.out("out", out, (n, c, h * rows, w * columns), x.dtype, x)
    pick(_forward_rows, y.size >= PARALLEL_FROM, parallel)(_rows(x), y.reshape(-1), rows, columns)
    return y


@public
def backward(dy, *, size, out=None, parallel=None):
    """The gradient with respect to x, from the gradient dy: the sum over each block, its elements row by row.

    dy : (N, C, P, Q) float32 or float64, P a multiple of the rows of a block and Q of its columns, any strides; not
        modified
    size : as in `forward`
    out : (N, C, P / rows, Q / columns) dtype of dy, C-contiguous, written and returned
    parallel : None decides by size; True or False overrides

    Returns dx (N, C, P / rows, Q / columns), dtype of dy.
    Raises TypeError for another dtype or size, ValueError for a size below 1 and another shape.
    Size 0 gives an empty array; NaN propagates.
    Formula and source: kernels/reference/upsample.py
    """
    rows, columns = check.pair("size", size, 1)
    dy = check.array("dy", dy, 4)
    n, c, h, w = dy.shape
    if h % rows or w % columns:
        raise ValueError(f"dy must have multiples of {rows} rows and of {columns} columns, got shape {dy.shape}")
    dx = check.out("out", out, (n, c, h // rows, w // columns), dy.dtype, dy)
    pick(_backward_rows, dy.size >= PARALLEL_FROM, parallel)(dy.reshape(-1), _rows(dx), rows, columns)
    return dx

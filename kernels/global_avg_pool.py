"""Global average pooling: y[n, c] = the mean of image x[n, c]."""

from numba import prange

from .core import check
from .core.compile import loops, pick, shared
from .core.memory import load, scratch, store
from .core.moments import sum_rows
from .core.narrow import W32, columns_of, fold_columns
from .core.public import public
from .core.vectors import lanes, splat

PLANES = 16  # a task: a vector of results
PARALLEL_FROM = 131_072  # elements


@shared
def _forward_group(x, y, n, first, last):
    if n <= lanes(x):
        columns = scratch(x, W32)
        for row in range(first, last, lanes(x)):
            columns_of(x, row * n, min(lanes(x), last - row), n, columns)
            store(y, row, last, fold_columns(columns, n))
    else:
        for row in range(first, last, 4):
            sum_rows(x, n, row, last, y)
    for at in range(first, last, lanes(y)):
        store(y, at, last, load(y, at, last, 0.0) / n)


@loops(writes=("y",), rows=True)
def _forward_planes(x, y):
    """x (N C, H, W), y (N C,)."""
    for group in prange((y.size + PLANES - 1) // PLANES):
        _forward_group(x, y, x.shape[1] * x.shape[2], group * PLANES, min((group + 1) * PLANES, y.size))


@public
def forward(x, *, out=None, parallel=None):
    """The mean of each image.

    x : (N, C, H, W) float32 or float64, any strides; not modified
    out : (N, C) dtype of x, C-contiguous, written and returned; must not overlap an input
    parallel : None decides by size; True or False overrides

    Returns y (N, C), dtype of x: the sum of the H W numbers, as along a row, divided by H W.
    Raises TypeError for another dtype, ValueError for another shape, H = 0 or W = 0.
    N = 0 or C = 0 gives an empty array. NaN propagates.
    Formula and source: kernels/reference/global_avg_pool.py
    """
    x = _images(x)
    y = check.out("out", out, x.shape[:2], x.dtype, x)
    pick(_forward_planes, x.size >= PARALLEL_FROM, parallel)(x.reshape(y.size, *x.shape[2:]), y.ravel())
    return y


def _images(x):
    x = check.array("x", x, 4)
    if x.shape[2] == 0 or x.shape[3] == 0:
        raise ValueError(f"x must have at least one row and one column, got shape {x.shape}")
    return x


@shared
def _backward_group(dy, dx, n, first, last):
    for row in range(first, last):
        g = splat(dx, dy[row]) / n
        for at in range(row * n, (row + 1) * n, lanes(dx)):
            store(dx, at, last * n, g)  # what reaches into the next row is overwritten


@loops(writes=("dx",), rows=True)
def _backward_planes(dy, dx):
    for group in prange((dy.size + PLANES - 1) // PLANES):
        _backward_group(dy, dx, dx.shape[1] * dx.shape[2], group * PLANES, min((group + 1) * PLANES, dy.size))


@public
def backward(dy, x, *, out=None, parallel=None):
    """The gradient with respect to x, from the gradient dy.

    dy : (N, C) float32 or float64, any strides; not modified
    x : (N, C, H, W) as given to `forward`, dtype of dy; not modified, and only its shape is read
    out : (N, C, H, W) dtype of x, C-contiguous, written and returned; must not overlap an input
    parallel : None decides by size; True or False overrides

    Returns dx (N, C, H, W), dtype of x: dy / (H W) for each number of an image, rounded once.
    Raises TypeError and ValueError as `forward`, and for other dtypes or shapes; H = 0 and W = 0 are no images.
    NaN propagates.
    Formula and source: kernels/reference/global_avg_pool.py
    """
    x = _images(x)
    dy = check.array("dy", dy, 2)
    check.dtype_of("dy", dy, "x", x)
    if dy.shape != x.shape[:2]:
        raise ValueError(f"dy must have shape {x.shape[:2]} to match x {x.shape}, got {dy.shape}")
    dx = check.out("out", out, x.shape, x.dtype, dy, x)
    pick(_backward_planes, x.size >= PARALLEL_FROM, parallel)(dy.ravel(), dx.reshape(dy.size, *x.shape[2:]))
    return dx

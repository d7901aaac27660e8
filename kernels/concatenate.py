"""Two arrays side by side, where branches of a network join: the columns of a, then those of b."""

from numba import prange

from .core import check
from .core.compile import loops, pick, shared
from .core.memory import load, store
from .core.public import public
from .core.vectors import lanes

ROWS = 64  # a task
PARALLEL_FROM = 131_072  # elements, as in relu


@shared
def _copy_rows(x, x_column, y, y_column, columns, start, end):
    for i in range(start, end):
        source, target = i * x.shape[1] + x_column, i * y.shape[1] + y_column
        for j in range(0, columns, lanes(x)):
            store(y, target + j, target + columns, load(x, source + j, source + columns, 0.0))


@loops(writes=("y",), rows=True)
def copy_columns(x, x_column, y, y_column, columns):
    """Copy so many columns of x, from x_column on, into y, from y_column on."""
    for block in prange((x.shape[0] + ROWS - 1) // ROWS):
        _copy_rows(x, x_column, y, y_column, columns, block * ROWS, min((block + 1) * ROWS, x.shape[0]))


@public
def forward(a, b, *, out=None, parallel=None):
    """Put the rows of b behind those of a. The gradients with respect to a and b are those columns of dy: see `split`.

    a : (N, C) float32 or float64, any strides; not modified
    b : (N, K) dtype of a, any strides; not modified
    out : (N, C + K) dtype of a, C-contiguous, written and returned
    parallel : None decides by size; True or False overrides

    Returns y (N, C + K), dtype of a. Exact.
    Raises TypeError for another or an unequal dtype, ValueError for shapes that do not fit.
    Size 0 is allowed everywhere; NaN stays NaN.
    Formula and source: kernels/reference/concatenate.py
    """
    a = check.array("a", a, 2)
    b = check.array("b", b, 2)
    check.dtype_of("b", b, "a", a)
    if len(b) != len(a):
        raise ValueError(f"b must have shape ({len(a)}, K) to match a {a.shape}, got {b.shape}")
    columns = a.shape[1]
    y = check.out("out", out, (len(a), columns + b.shape[1]), a.dtype, a, b)
    nest = pick(copy_columns, y.size >= PARALLEL_FROM, parallel)
    nest(a, 0, y, 0, columns)
    nest(b, 0, y, columns, b.shape[1])
    return y

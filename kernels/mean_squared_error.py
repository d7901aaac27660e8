"""Mean squared error: loss[i] = mean over j of (targets[i, j] - y[i, j])^2."""

from numba import prange

from .core import check
from .core.compile import inline, loops, pick
from .core.elementwise import BLOCK
from .core.memory import load, store
from .core.public import public
from .core.rows import mean_rows
from .core.vectors import lanes, splat

PARALLEL_FROM = 131_072  # elements; that of relu, which moves as much memory


@inline
def _square(y, targets, at, end, option):
    """The squares of a vector of differences; 0, which changes no sum of squares, from `end` on."""
    r = load(targets, at, end, 0.0) - load(y, at, end, 0.0)
    return r * r


@loops(writes=("losses",), rows=True)
def _forward_blocks(y, targets, losses):
    rows = max(1, BLOCK // y.shape[1])
    for block in prange((y.shape[0] + rows - 1) // rows):
        mean_rows(_square, y, targets, 0.0, losses, block * rows, min((block + 1) * rows, y.shape[0]))


@public
def forward(y, targets, *, out=None, parallel=None):
    """The loss of each row.

    y : (N, C) outputs, float32 or float64, any strides; not modified
    targets : (N, C) what they should be, dtype of y, any strides; not modified
    out : (N,) dtype of y, C-contiguous, written and returned; must not overlap an input
    parallel : None decides by size; True or False overrides

    Returns losses (N,), dtype of y: the sum of the rounded squares of targets - y, divided by C.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes, another shape than (N, C) or C = 0.
    N = 0 gives an empty array; a NaN makes its row's loss NaN.
    Formula and source: kernels/reference/mean_squared_error.py
    """
    y = check.array("y", y, 2)
    check.columns("y", y)
    targets = check.same("targets", targets, "y", y)
    losses = check.out("out", out, y.shape[:1], y.dtype, y, targets)
    pick(_forward_blocks, y.size >= PARALLEL_FROM, parallel)(y, targets, losses)
    return losses


@inline
def _backward_block(y, targets, dy, count, start, end):
    factor = 2.0 / splat(y, count)
    for at in range(start, end, lanes(y)):
        store(dy, at, end, (load(y, at, end, 0.0) - load(targets, at, end, 0.0)) * factor)


@loops(writes=("dy",), rows=True)
def _backward_blocks(y, targets, dy, count):
    for block in prange((y.size + BLOCK - 1) // BLOCK):
        _backward_block(y, targets, dy, count, block * BLOCK, min((block + 1) * BLOCK, y.size))


@public
def backward(y, targets, *, out=None, parallel=None):
    """The gradient of the mean loss with respect to y.

    y, targets : as given to `forward`; not modified
    out : (N, C) dtype of y, C-contiguous, written and returned; may be y itself
    parallel : None decides by size; True or False overrides

    Returns dy = (y - targets) * (2 / (C N)), (N, C), dtype of y: C N, rounded to that dtype, divides 2, and each
    operation is rounded. Errors as in `forward`. N = 0 gives an empty array; NaN propagates.
    Formula and source: kernels/reference/mean_squared_error.py
    """
    y = check.array("y", y, 2)
    check.columns("y", y)
    targets = check.same("targets", targets, "y", y)
    dy = check.out("out", out, y.shape, y.dtype, targets, alias=y)
    pick(_backward_blocks, y.size >= PARALLEL_FROM, parallel)(y, targets, dy, y.size)
    return dy

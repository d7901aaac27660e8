"""Mean absolute error: loss[i] = mean over j of |targets[i, j] - y[i, j]|."""

from numba import prange

from .core import check
from .core.compile import inline, loops, pick
from .core.elementwise import BLOCK
from .core.memory import load, store
from .core.public import public
from .core.rows import mean_rows
from .core.vectors import absolute, lanes, select, splat

PARALLEL_FROM = 131_072  # elements; that of relu, which moves as much memory


@inline
def _distance(y, targets, at, end, option):
    """A vector of absolute differences; 0, which changes no sum of them, from `end` on."""
    return absolute(load(targets, at, end, 0.0) - load(y, at, end, 0.0))


@loops(writes=("losses",), rows=True)
def _forward_blocks(y, targets, losses):
    rows = max(1, BLOCK // y.shape[1])
    for block in prange((y.shape[0] + rows - 1) // rows):
        mean_rows(_distance, y, targets, 0.0, losses, block * rows, min((block + 1) * rows, y.shape[0]))


@public
def forward(y, targets, *, out=None, parallel=None):
    """The loss of each row.

    y : (N, C) outputs, float32 or float64, any strides; not modified
    targets : (N, C) what they should be, dtype of y, any strides; not modified
    out : (N,) dtype of y, C-contiguous, written and returned; must not overlap an input
    parallel : None decides by size; True or False overrides

    Returns losses (N,), dtype of y: the sum of |targets - y|, divided by C.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes, another shape than (N, C) or C = 0.
    N = 0 gives an empty array; a NaN makes its row's loss NaN.
    Formula and source: kernels/reference/mean_absolute_error.py
    """
    y = check.array("y", y, 2)
    check.columns("y", y)
    targets = check.same("targets", targets, "y", y)
    losses = check.out("out", out, y.shape[:1], y.dtype, y, targets)
    pick(_forward_blocks, y.size >= PARALLEL_FROM, parallel)(y, targets, losses)
    return losses


@inline
def _backward_block(y, targets, dy, count, start, end):
    share = 1.0 / splat(y, count)
    for at in range(start, end, lanes(y)):
        r = load(y, at, end, 0.0) - load(targets, at, end, 0.0)
        # what is neither above nor below is 0, -0, which becomes 0, or NaN
        store(dy, at, end, select(r > 0.0, share, select(r < 0.0, 0.0 - share, r + 0.0)))


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

    Returns dy (N, C), dtype of y: 1 / (C N) where y is above its target, -1 / (C N) where it is below and 0 where they
    are equal, with C N rounded to that dtype before it divides 1. Errors as in `forward`. N = 0 gives an empty array;
    NaN stays NaN, and so does the difference of equal infinities.
    Formula and source: kernels/reference/mean_absolute_error.py
    """
    y = check.array("y", y, 2)
    check.columns("y", y)
    targets = check.same("targets", targets, "y", y)
    dy = check.out("out", out, y.shape, y.dtype, targets, alias=y)
    pick(_backward_blocks, y.size >= PARALLEL_FROM, parallel)(y, targets, dy, y.size)
    return dy

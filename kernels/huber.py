"""Huber loss: loss[i] = mean over j of r^2 / 2 where |r| <= delta, else delta (|r| - delta / 2); r = targets - y."""

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
def _term(y, targets, at, end, delta):
    """Both halves of the formula in one: c (a - c / 2) with a = |r| and c = min(a, delta); 0 from `end` on."""
    a = absolute(load(targets, at, end, 0.0) - load(y, at, end, 0.0))
    c = select(a > delta, delta, a)
    return c * (a - 0.5 * c)


@loops(writes=("losses",), rows=True)
def _forward_blocks(y, targets, losses, delta):
    rows = max(1, BLOCK // y.shape[1])
    for block in prange((y.shape[0] + rows - 1) // rows):
        mean_rows(_term, y, targets, delta, losses, block * rows, min((block + 1) * rows, y.shape[0]))


@public
def forward(y, targets, *, delta=1.0, out=None, parallel=None):
    """The loss of each row.

    y : (N, C) outputs, float32 or float64, any strides; not modified
    targets : (N, C) what they should be, dtype of y, any strides; not modified
    delta : a finite number greater than 0, up to which differences are squared; rounded to the dtype of y
    out : (N,) dtype of y, C-contiguous, written and returned; must not overlap an input
    parallel : None decides by size; True or False overrides

    Returns losses (N,), dtype of y: the sum of c (a - c / 2), with a = |targets - y| and c the lesser of a and delta,
    each operation rounded, divided by C.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes, another shape than (N, C), C = 0
    or a delta that does not fit. N = 0 gives an empty array; a NaN makes its row's loss NaN.
    Formula and source: kernels/reference/huber.py
    """
    delta = check.positive("delta", delta)
    y = check.array("y", y, 2)
    check.columns("y", y)
    targets = check.same("targets", targets, "y", y)
    losses = check.out("out", out, y.shape[:1], y.dtype, y, targets)
    pick(_forward_blocks, y.size >= PARALLEL_FROM, parallel)(y, targets, losses, delta)
    return losses


@inline
def _backward_block(y, targets, dy, delta, count, start, end):
    share = 1.0 / splat(y, count)
    high = splat(y, delta)
    low = 0.0 - high
    for at in range(start, end, lanes(y)):
        r = load(y, at, end, 0.0) - load(targets, at, end, 0.0)
        r = select(r > high, high, r)
        store(dy, at, end, select(r < low, low, r) * share)


@loops(writes=("dy",), rows=True)
def _backward_blocks(y, targets, dy, delta, count):
    for block in prange((y.size + BLOCK - 1) // BLOCK):
        _backward_block(y, targets, dy, delta, count, block * BLOCK, min((block + 1) * BLOCK, y.size))


@public
def backward(y, targets, *, delta=1.0, out=None, parallel=None):
    """The gradient of the mean loss with respect to y.

    y, targets, delta : as given to `forward`; not modified
    out : (N, C) dtype of y, C-contiguous, written and returned; may be y itself
    parallel : None decides by size; True or False overrides

    Returns dy = clip(y - targets, -delta, delta) * (1 / (C N)), (N, C), dtype of y: C N, rounded to that dtype, divides
    1, and each operation is rounded. Errors as in `forward`. N = 0 gives an empty array; NaN propagates.
    Formula and source: kernels/reference/huber.py
    """
    delta = check.positive("delta", delta)
    y = check.array("y", y, 2)
    check.columns("y", y)
    targets = check.same("targets", targets, "y", y)
    dy = check.out("out", out, y.shape, y.dtype, targets, alias=y)
    pick(_backward_blocks, y.size >= PARALLEL_FROM, parallel)(y, targets, dy, delta, y.size)
    return dy

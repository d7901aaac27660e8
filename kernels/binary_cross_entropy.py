"""Binary cross-entropy: loss[i] = mean over j of -(t log p + (1 - t) log(1 - p)), t the target of p[i, j].

p and 1 - p are clipped to [1e-7, 1 - 1e-7], each by itself: as a float32 the upper end is 1 - 1.19e-7.
"""

from numba import prange

from .core import check
from .categorical_cross_entropy import LOW, _clip
from .core.elementary import log
from .core.compile import inline, loops, pick, shared
from .core.elementwise import BLOCK
from .core.narrow import W32, sum_rows
from .core.memory import load, scratch, store
from .core.public import public
from .core.vectors import fma, fold_sum, lanes, select, splat

PARALLEL_FROM, PARALLEL_BACKWARD_FROM = 16_384, 131_072  # elements; bench/thresholds.py at 2 threads


@inline
def _term(p, t):
    return fma(t, log(_clip(p)), (1.0 - t) * log(_clip(1.0 - p)))


@shared
def _forward_block(p, targets, losses, start, end):
    n, w = p.shape[1], lanes(p)
    if n == 1:
        for i in range(start, end, w):
            store(losses, i, end, _term(load(p, i, end, 1.0), load(targets, i, end, 1.0)) * -1.0)
    elif n <= w:
        terms, columns = scratch(p, W32), scratch(p, W32)
        for i in range(start, end, w):
            rows = min(w, end - i)
            first, last = i * n, (i + rows) * n
            for at in range(first, last, w):
                term = _term(load(p, at, last, 1.0), load(targets, at, last, 1.0))
                store(terms, at - first, last - first, term)
            store(losses, i, end, sum_rows(terms, rows, n, columns) / -n)
    else:
        terms = scratch(p, 1)
        for i in range(start, end):
            total = splat(p, -0.0)
            last = (i + 1) * n
            for at in range(i * n, last, w):
                store(terms, 0, w, _term(load(p, at, last, 1.0), load(targets, at, last, 1.0)))
                total = total + load(terms, 0, last - at, -0.0)  # lanes past the row's end add -0: nothing
            store(losses, i, i + 1, splat(p, fold_sum(total)) / -n)


@loops(writes=("losses",), rows=True)
def _forward_blocks(p, targets, losses):
    rows = max(1, BLOCK // p.shape[1])
    for block in prange((p.shape[0] + rows - 1) // rows):
        _forward_block(p, targets, losses, block * rows, min((block + 1) * rows, p.shape[0]))


@public
def forward(p, targets, *, out=None, parallel=None):
    """The loss of each row of probabilities.

    p : (N, C) probabilities, float32 or float64, any strides; not modified
    targets : (N, C) numbers in 0..1, dtype of p, any strides; not modified
    out : (N,) dtype of p, C-contiguous, written and returned; must not overlap an input
    parallel : None decides by size; True or False overrides

    Returns losses (N,), dtype of p: minus the sum of fma(t, log p, (1 - t) * log(1 - p)), divided by C; p and 1 - p
    are clipped to [1e-7, 1 - 1e-7] first. The rounding of 1 - p, half an eps, is the error of a small loss.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes, another shape than (N, C) or C = 0.
    That targets lie in 0..1 is not checked. N = 0 gives an empty array; a NaN makes its row's loss NaN.
    Formula and source: kernels/reference/binary_cross_entropy.py
    """
    p = check.array("p", p, 2)
    check.columns("p", p)
    targets = check.same("targets", targets, "p", p)
    losses = check.out("out", out, p.shape[:1], p.dtype, p, targets)
    pick(_forward_blocks, p.size >= PARALLEL_FROM, parallel)(p, targets, losses)
    return losses


@inline
def _backward_block(p, targets, dp, count, start, end):
    size = splat(p, count)
    for at in range(start, end, lanes(p)):
        v, t = load(p, at, end, 1.0), load(targets, at, end, 1.0)
        rest = 1.0 - v
        v, q = _clip(v), _clip(rest)
        # -(t / v - (1 - t) / q) over one denominator; where q was clipped, v is rounded to a coarser grid
        difference = select(rest < LOW, (1.0 - t) - q, v - t)
        store(dp, at, end, difference / (v * q * size))


@loops(writes=("dp",), rows=True)
def _backward_blocks(p, targets, dp, count):
    for block in prange((p.size + BLOCK - 1) // BLOCK):
        _backward_block(p, targets, dp, count, block * BLOCK, min((block + 1) * BLOCK, p.size))


@public
def backward(p, targets, *, out=None, parallel=None):
    """The gradient of the mean loss with respect to p.

    p, targets : as given to `forward`; not modified
    out : (N, C) dtype of p, C-contiguous, written and returned; may be p itself
    parallel : None decides by size; True or False overrides

    Returns dp (N, C), dtype of p: -(t / p - (1 - t) / (1 - p)) / C / N with p and 1 - p clipped as in `forward`, taken
    as (p - t) / (p (1 - p) (C N)), each operation rounded; where 1 - p was below 1e-7, p - t is taken as
    (1 - t) - (1 - p), since no float is 1 - 1e-7. Errors as in `forward`. N = 0 gives an empty array; NaN propagates.
    Formula and source: kernels/reference/binary_cross_entropy.py
    """
    p = check.array("p", p, 2)
    check.columns("p", p)
    targets = check.same("targets", targets, "p", p)
    dp = check.out("out", out, p.shape, p.dtype, targets, alias=p)
    pick(_backward_blocks, p.size >= PARALLEL_BACKWARD_FROM, parallel)(p, targets, dp, p.size)
    return dp

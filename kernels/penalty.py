"""L1 and L2 penalties of parameters: l1 times the sum of |w|, and l2 times that of w^2."""

import numpy as np
from numba import prange

from .core import check
from .core.compile import inline, loops, pick, shared
from .core.memory import load, store
from .core.public import public
from .core.vectors import absolute, fma, fold_sum, lanes, select, splat

BLOCK = 4096  # elements per task and per block of the sums: part of their definition
PARALLEL_FROM = 131_072  # elements, as in relu


@shared
def _sum_block(w, sums, block):
    """The sums of |w| and of w^2 over a block: lane by lane, then the lanes folded by halves."""
    start, end = block * BLOCK, min((block + 1) * BLOCK, w.size)
    a = b = splat(w, 0.0)
    for at in range(start, end, lanes(w)):
        v = load(w, at, end, 0.0)
        a = a + absolute(v)
        b = fma(v, v, b)
    sums[0, block] = fold_sum(a)
    sums[1, block] = fold_sum(b)


@loops(writes=("sums",))
def _penalty(w, sums, l1, l2):
    """The blocks' sums, then their sums, always from first to last; then the penalty in float64."""
    for block in prange(sums.shape[1]):
        _sum_block(w, sums, block)
    a, b = sums[0, 0], sums[1, 0]
    for block in range(1, sums.shape[1]):
        a += sums[0, block]
        b += sums[1, block]
    penalty = l1 * np.float64(a) if l1 != 0.0 else 0.0
    return penalty + l2 * np.float64(b) if l2 != 0.0 else penalty


@public
def forward(w, *, l1=0.0, l2=0.0, parallel=None):
    """The penalty of a layer's weights or biases, which is added to the loss.

    w : any shape, float32 or float64, any strides; not modified
    l1, l2 : finite numbers
    parallel : None decides by size; True or False overrides

    Returns a float: l1 * (sum of |w|) + l2 * (sum of w^2). The sums are taken in the dtype of w, in blocks of 4096,
    each by 16 lanes (8 in float64) as along a row, the squares by fma; the rest in float64.
    Raises TypeError for another dtype, ValueError for a number that is not finite.
    Size 0 gives 0.0; NaN propagates; a factor of 0 leaves its sum out, whatever that is. In float32 the square of
    |w| > 1.8e19 is infinite.
    Formula and source: kernels/reference/penalty.py
    """
    l1, l2 = check.number("l1", l1), check.number("l2", l2)
    w = check.array("w", w)
    sums = np.empty((2, max(1, (w.size + BLOCK - 1) // BLOCK)), w.dtype)
    return pick(_penalty, w.size >= PARALLEL_FROM, parallel)(w.ravel(), sums, l1, l2)


@inline
def _backward_block(dw, w, out, l1, slope, start, end):
    plus = splat(w, l1)
    for at in range(start, end, lanes(w)):
        v = load(w, at, end, 0.0)
        store(out, at, end, fma(v, slope, load(dw, at, end, 0.0) + select(v < 0.0, 0.0 - plus, plus)))


@loops(writes=("out",))
def _backward_blocks(dw, w, out, l1, l2):
    for block in prange((w.size + BLOCK - 1) // BLOCK):
        _backward_block(dw, w, out, l1, 2 * l2, block * BLOCK, min((block + 1) * BLOCK, w.size))


@public
def backward(dw, w, *, l1=0.0, l2=0.0, out=None, parallel=None):
    """The gradient with respect to w, with that of the penalty added.

    dw : the gradient of the rest of the loss, shape and dtype of w, any strides; not modified
    w : as given to `forward`
    l1, l2 : as given to `forward`
    out : shape and dtype of w, C-contiguous, written and returned; may be dw itself
    parallel : None decides by size; True or False overrides

    Returns fma(w, 2 * l2, dw + sign * l1), shape and dtype of w; the sign of 0 and -0 is 1, as in "Neural Networks from
    Scratch in Python".
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes or a number that is not finite.
    Size 0 gives an empty array; NaN propagates; where w is infinite the result is NaN if l2 is 0.
    Formula and source: kernels/reference/penalty.py
    """
    l1, l2 = check.number("l1", l1), check.number("l2", l2)
    w = check.array("w", w)
    dw = check.same("dw", dw, "w", w)
    out = check.out("out", out, w.shape, w.dtype, w, alias=dw)
    pick(_backward_blocks, w.size >= PARALLEL_FROM, parallel)(dw.ravel(), w.ravel(), out.ravel(), l1, l2)
    return out

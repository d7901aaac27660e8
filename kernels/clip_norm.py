"""The Euclidean norm of gradients, and scaling them down to a maximum norm."""

import numpy as np
from numba import prange

from .core import check
from .core.compile import inline, loops, pick, shared
from .core.memory import load, store
from .core.public import public
from .core.vectors import fma, fold_sum, lanes, splat, sqrt, widen

BLOCK = 4096  # elements per task and per block of the sum: part of its definition
TOGETHER = 4  # blocks at a time, since each addition waits four cycles for the one before: a quarter faster
PARALLEL_FROM = 131_072  # elements, as in relu


@inline
def _add_squares(x, at, end, total):
    v = widen(load(x, at, end, 0.0))
    return fma(v, v, total)


@shared
def _sum_blocks(x, sums, first):
    """The sums of squares over up to TOGETHER blocks in float64: lane by lane, then the lanes folded by halves."""
    start, zero = first * BLOCK, widen(splat(x, 0.0))
    if start + TOGETHER * BLOCK <= x.size:
        a = b = c = d = zero
        for at in range(start, start + BLOCK, lanes(x)):
            a = _add_squares(x, at, at + lanes(x), a)
            b = _add_squares(x, at + BLOCK, at + BLOCK + lanes(x), b)
            c = _add_squares(x, at + 2 * BLOCK, at + 2 * BLOCK + lanes(x), c)
            d = _add_squares(x, at + 3 * BLOCK, at + 3 * BLOCK + lanes(x), d)
        sums[first], sums[first + 1] = fold_sum(a), fold_sum(b)
        sums[first + 2], sums[first + 3] = fold_sum(c), fold_sum(d)
    else:
        for block in range(first, min(first + TOGETHER, sums.size)):
            total, end = zero, min((block + 1) * BLOCK, x.size)
            for at in range(block * BLOCK, end, lanes(x)):
                total = _add_squares(x, at, end, total)
            sums[block] = fold_sum(total)


@inline
def _root(x):
    store(x, 0, 1, sqrt(load(x, 0, 1, 0.0)))


@loops(writes=("sums",))
def _norm(x, sums):
    """The root of the blocks' sums added from first to last."""
    for group in prange((sums.size + TOGETHER - 1) // TOGETHER):
        _sum_blocks(x, sums, group * TOGETHER)
    for block in range(1, sums.size):
        sums[0] += sums[block]
    _root(sums)
    return sums[0]


@public
def forward(x, *, parallel=None):
    """The Euclidean norm of all elements of an array.

    x : any shape, float32 or float64, any strides; not modified
    parallel : None decides by size; True or False overrides

    Returns a float: the root of the sum of squares. That is taken in float64 for both dtypes, in blocks of 4096, each
    by 16 lanes (8 for float64) as along a row, by fma. No float32 is too large or too small for it; float64 numbers
    above 1e154 give infinity.
    Raises TypeError for another dtype.
    Size 0 gives 0.0; NaN propagates, infinities give infinity.
    Formula and source: kernels/reference/clip_norm.py
    """
    x = check.array("x", x)
    sums = np.empty(max(1, (x.size + BLOCK - 1) // BLOCK))
    return pick(_norm, x.size >= PARALLEL_FROM, parallel)(x.ravel(), sums)


@inline
def _scale_block(x, factor, start, end):
    for at in range(start, end, lanes(x)):
        store(x, at, end, load(x, at, end, 0.0) * factor)


@loops(updates=("x",))
def _scale_blocks(x, sums, norm, max_norm):
    """Scale x, of this norm, or of that which `_norm` left in `sums` if it is below 0."""
    factor = max_norm / ((sums[0] if norm < 0 else norm) + 1e-6)
    if not factor >= 1.0:
        for block in prange((x.size + BLOCK - 1) // BLOCK):
            _scale_block(x, factor, block * BLOCK, min((block + 1) * BLOCK, x.size))


@public
def step(x, *, max_norm, norm=None, parallel=None):
    """Scale gradients to a norm of at most max_norm, in place.

    x : any shape, float32 or float64, C-contiguous; updated
    max_norm : a finite number, at least 0
    norm : None takes the norm of x, as `forward` does; else a number, at least 0, infinite and NaN included: of several
        arrays, the root of the sum of their norms' squares
    parallel : None decides by size; True or False overrides

    Returns the norm before, a float. Where max_norm / (norm + 1e-6), taken in float64 and rounded to the dtype of x
    once, is below 1, x is multiplied by it; else nothing changes.
    Raises TypeError for another dtype, ValueError for a negative number or a max_norm that is not finite.
    NaN propagates: a norm of NaN makes all numbers NaN, an infinite one makes them 0, and infinities NaN.
    Formula and source: kernels/reference/clip_norm.py
    """
    max_norm = check.not_negative("max_norm", max_norm)
    given = -1.0 if norm is None else check.not_negative("norm", norm, finite=False)
    x = check.written("x", x).ravel()
    sums = np.empty(max(1, (x.size + BLOCK - 1) // BLOCK) if norm is None else 0)
    found = pick(_norm, x.size >= PARALLEL_FROM, parallel)(x, sums) if norm is None else given
    pick(_scale_blocks, x.size >= PARALLEL_FROM, parallel)(x, sums, given, max_norm)
    return found

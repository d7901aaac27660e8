"""Mean of a vector, such as the losses of a batch."""

import numpy as np
from numba import prange

from .core import check
from .core.compile import loops, pick, shared
from .core.memory import load, prefetch, scratch, store, transpose
from .core.narrow import W32
from .core.public import public
from .core.vectors import lanes, splat

BLOCK = 64  # elements that are added sequentially: part of the definition; each lane adds another block
PARALLEL_FROM = 131_072  # elements; bench/thresholds.py at 2 threads


@shared
def _sum_blocks(x, sums, first, last):
    """The sums of blocks `first` to `last`, as many as there are lanes: one a lane, if all are whole."""
    w = lanes(x)
    if last - first == w and last * BLOCK <= x.size:
        columns, total = scratch(x, W32), splat(x, -0.0)
        for j in range(0, BLOCK, w):
            transpose(x, first * BLOCK + j, BLOCK, w, w, columns, 0, w)
            if w == W32:  # in float64 it would take a third longer where x is in a cache
                for block in range(last, last + w):
                    prefetch(x, block * BLOCK + j)
            for at in range(0, w * w, w):
                total = total + load(columns, at, at + w, 0.0)
        store(sums, first, last, total)
    else:
        for block in range(first, last):
            start = block * BLOCK
            sums[block] = x[start]
            for i in range(start + 1, min(start + BLOCK, x.size)):
                sums[block] += x[i]


@loops(writes=("sums",))
def _mean(x, sums):
    """The blocks' sums, then their sum, always from first to last; then its mean in float64."""
    w = lanes(x)
    for group in prange((sums.size + w - 1) // w):
        _sum_blocks(x, sums, group * w, min((group + 1) * w, sums.size))
    total = sums[0]
    for block in range(1, sums.size):
        total += sums[block]
    return np.float64(total) / x.size


@public
def forward(x, *, parallel=None):
    """The mean of a vector.

    x : (N,) float32 or float64, any strides; not modified
    parallel : None decides by size; True or False overrides

    Returns a float: the sum, taken in the dtype of x in blocks of 64, divided by N in float64.
    Raises TypeError for another dtype, ValueError for another shape or N = 0. NaN propagates.
    Formula and source: kernels/reference/mean.py
    """
    x = check.array("x", x, 1)
    if x.size == 0:
        raise ValueError("x must have at least one element, got shape (0,)")
    sums = np.empty((x.size + BLOCK - 1) // BLOCK, x.dtype)
    return pick(_mean, x.size >= PARALLEL_FROM, parallel)(x, sums)

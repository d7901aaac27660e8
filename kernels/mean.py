"""Mean of a vector, such as the losses of a batch."""

import numpy as np
from numba import prange

from . import check
from .jit import inline, loops, pick

BLOCK = 64  # numbers added one after another: part of the definition; short, so that the blocks' chains overlap
PARALLEL_FROM = 262_144  # elements; bench_mean.py at 2 threads


@inline
def _sum_block(x, sums, block):
    start = block * BLOCK
    total = x[start]
    for i in range(start + 1, min(start + BLOCK, x.size)):
        total += x[i]
    sums[block] = total


@loops
def _mean(x, sums):
    """The blocks' sums, then their sum, always from first to last; then its mean in float64."""
    for block in prange(sums.size):
        _sum_block(x, sums, block)
    total = sums[0]
    for block in range(1, sums.size):
        total += sums[block]
    return np.float64(total) / x.size


def forward(x, *, parallel=None):
    """The mean of a vector.

    x : (N,) float32 or float64, any strides; not modified
    parallel : None chooses by size; True or False forces

    Returns a float: the sum, taken in the dtype of x in blocks of 64, divided by N in float64.
    Raises TypeError for another dtype, ValueError for another shape or N = 0. NaN propagates.
    Formula and source: kernels/reference/mean.py
    """
    x = check.array("x", x, 1)
    if x.size == 0:
        raise ValueError("x must have at least one element, got shape (0,)")
    sums = np.empty((x.size + BLOCK - 1) // BLOCK, x.dtype)
    return pick(_mean, x.size >= PARALLEL_FROM, parallel)(x, sums)

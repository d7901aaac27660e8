"""Categorical accuracy: how many rows have their largest score at the labelled class."""

from numba import prange

from . import check
from .jit import inline, loops, pick

PARALLEL_FROM = 65_536  # elements; bench_categorical_accuracy.py at 2 threads


@inline
def _largest(y, i):
    """The column of the first largest score of row i; of the first NaN if there is one."""
    best = 0
    top = y[i, 0]
    for j in range(1, y.shape[1]):
        v = y[i, j]
        if v > top or (v != v and top == top):
            best, top = j, v
    return best


@loops
def _count(y, labels):
    hits = 0
    for i in prange(y.shape[0]):
        hits += _largest(y, i) == labels[i]
    return hits


@loops
def _count_one_hot(y, targets):
    hits = 0
    for i in prange(y.shape[0]):
        hits += _largest(y, i) == _largest(targets, i)
    return hits


def forward(y, labels, *, parallel=None):
    """The number of rows whose largest score is the labelled one; the first of equal scores counts.

    y : (N, C) float32 or float64 scores or probabilities, any strides; not modified
    labels : (N,) integers in 0..C-1, or (N, C) one-hot rows
    parallel : None chooses by size; True or False forces

    Returns an int in 0..N. Raises TypeError for another dtype, ValueError for shapes that do not fit, C = 0 or a label
    out of range. A NaN counts as the largest, as in NumPy.
    Formula and source: kernels/reference/categorical_accuracy.py
    """
    y = check.array("y", y, 2)
    check.columns("y", y)
    labels = check.labels(labels, "y", y)
    nest = _count if labels.ndim == 1 else _count_one_hot
    return int(pick(nest, y.size >= PARALLEL_FROM, parallel)(y, labels))

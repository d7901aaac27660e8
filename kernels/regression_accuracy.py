"""Regression accuracy: how many outputs differ from their targets by less than a precision."""

from numba import prange

from .core import check
from .core.compile import inline, loops, pick
from .core.memory import load
from .core.public import public
from .core.vectors import absolute, fold_sum, lanes, select, splat

BLOCK = 4096  # elements per task: few enough that float32 counts them exactly
PARALLEL_FROM = 131_072  # elements; that of relu, which moves as much


@inline
def _hits(y, targets, precision, start, end):
    one, hits = splat(y, 1.0), splat(y, 0.0)
    for at in range(start, end, lanes(y)):
        v, t = load(y, at, end, 0.0), load(targets, at, end, float("nan"))  # a NaN is no hit
        hits = hits + select(absolute(v - t) < precision, one, 0.0)
    return int(fold_sum(hits))


@loops
def _count(y, targets, precision):
    hits = 0
    for block in prange((y.size + BLOCK - 1) // BLOCK):
        hits += _hits(y, targets, precision, block * BLOCK, min((block + 1) * BLOCK, y.size))
    return hits


@public
def forward(y, targets, *, precision, parallel=None):
    """The number of outputs with |y - targets| < precision.

    y : any shape, float32 or float64, any strides; not modified
    targets : shape and dtype of y, any strides; not modified
    precision : a finite number, at least 0, rounded to the dtype of y; with 0 nothing is a hit
    parallel : None decides by size; True or False overrides

    Returns an int in 0..size; 0 for size 0. The difference is rounded to the dtype of y, the rest is exact.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes or a precision that is negative or
    not finite. A NaN in y or targets is never a hit, nor are two equal infinities: their difference is NaN.
    Formula and source: kernels/reference/regression_accuracy.py
    """
    precision = check.not_negative("precision", precision)
    y = check.array("y", y)
    targets = check.same("targets", targets, "y", y)
    return int(pick(_count, y.size >= PARALLEL_FROM, parallel)(y.ravel(), targets.ravel(), precision))

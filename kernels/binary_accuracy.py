"""Binary accuracy: how many outputs are on the side of a threshold given by their targets."""

from numba import prange

from .core import check
from .core.compile import inline, loops, pick
from .core.memory import load
from .core.public import public
from .core.vectors import fold_sum, lanes, select, splat

BLOCK = 4096  # elements per task: few enough that float32 counts them exactly
PARALLEL_FROM = 131_072  # elements; that of relu, which moves as much


@inline
def _hits(p, targets, threshold, start, end):
    one, hits = splat(p, 1.0), splat(p, 0.0)
    for at in range(start, end, lanes(p)):
        v, t = load(p, at, end, 0.0), load(targets, at, end, float("nan"))  # a NaN is no hit
        above, below = select(v > threshold, one, 0.0), select(v <= threshold, one, 0.0)
        hits = hits + select(t > 0.5, above, select(t <= 0.5, below, 0.0))
    return int(fold_sum(hits))


@loops
def _count(p, targets, threshold):
    hits = 0
    for block in prange((p.size + BLOCK - 1) // BLOCK):
        hits += _hits(p, targets, threshold, block * BLOCK, min((block + 1) * BLOCK, p.size))
    return hits


@public
def forward(p, targets, *, threshold=0.5, parallel=None):
    """The number of outputs on the side of the threshold given by their targets: above it for class 1, else class 0.

    p : any shape, float32 or float64, any strides: probabilities or other scores; not modified
    targets : shape and dtype of p, any strides: 0 or 1, or any numbers, of which those above 0.5 name class 1; not
        modified
    threshold : a finite number, rounded to the dtype of p; an output equal to it is of class 0
    parallel : None decides by size; True or False overrides

    Returns an int in 0..size, exact; 0 for size 0. Raises TypeError for other or unequal dtypes, ValueError for
    unequal shapes or a threshold that is not finite. A NaN in p or targets is never a hit.
    Formula and source: kernels/reference/binary_accuracy.py
    """
    threshold = check.number("threshold", threshold)
    p = check.array("p", p)
    targets = check.same("targets", targets, "p", p)
    return int(pick(_count, p.size >= PARALLEL_FROM, parallel)(p.ravel(), targets.ravel(), threshold))

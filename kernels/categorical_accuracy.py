"""Categorical accuracy: how many rows have their largest score at the labelled class."""

from numba import prange

from .core import check
from .core.compile import inline, loops, pick, shared
from .core.labels import check_labels
from .core.narrow import W32, columns_of
from .core.memory import load, load_wide, pointer, scratch, store
from .core.public import public
from .core.vectors import WIDE, fold_max, lanes, select, splat

ROWS = 64  # rows per task: a multiple of the lanes
PARALLEL_FROM = 131_072  # elements; bench/thresholds.py at 2 threads


@inline
def _any_at_least(v, m):
    return fold_max(select(v >= m, splat(v, 1.0), 0.0)) > 0.0


@inline
def _largest(y, i):
    """The column of the first largest score of row i; of the first NaN if there is one."""
    n, w = y.shape[1], lanes(y)
    start, end = i * n, (i + 1) * n
    top, nan = splat(y, float("-inf")), splat(y, 0.0)
    for at in range(start, end, w):
        v = load(y, at, end, float("-inf"))
        top = select(v > top, v, top)
        nan = select(v >= v, nan, 1.0)
    m, none, at = fold_max(top), fold_max(nan) <= 0.0, start
    while none and at + WIDE * w <= end and not _any_at_least(load_wide(y, at, end, 0.0), m):
        at += WIDE * w
    while none and not _any_at_least(load(y, at, end, float("-inf")), m):
        at += w
    flat = pointer(y)
    while flat[at] < m if none else flat[at] == flat[at]:
        at += 1
    return at - start


@inline
def _largest_group(y, i, rows, columns, best):
    """The same for as many narrow rows as there are lanes, from row i on; `rows` of them exist."""
    n, w = y.shape[1], lanes(y)
    columns_of(y, i * n, rows, n, columns)
    top, at = load(columns, 0, w, 0.0), splat(y, 0.0)
    for j in range(1, n):
        v = load(columns, j * w, (j + 1) * w, 0.0)
        at = select(top >= top, select(v <= top, at, j), at)  # after a NaN all stays
        top = select(top >= top, select(v <= top, top, v), top)
    store(best, 0, w, at)


@shared
def _hits(y, labels, start, end):
    hits = 0
    if y.shape[1] <= lanes(y):
        columns, best = scratch(y, W32), scratch(y, 1)
        for i in range(start, end, lanes(y)):
            rows = min(lanes(y), end - i)
            _largest_group(y, i, rows, columns, best)
            for r in range(rows):
                hits += int(best[r]) == labels[i + r]
    else:
        for i in range(start, end):
            hits += _largest(y, i) == labels[i]
    return hits


@shared
def _hits_one_hot(y, targets, start, end):
    hits = 0
    if y.shape[1] <= lanes(y):
        columns, best, wanted = scratch(y, W32), scratch(y, 1), scratch(y, 1)
        for i in range(start, end, lanes(y)):
            rows = min(lanes(y), end - i)
            _largest_group(y, i, rows, columns, best)
            _largest_group(targets, i, rows, columns, wanted)
            for r in range(rows):
                hits += best[r] == wanted[r]
    else:
        for i in range(start, end):
            hits += _largest(y, i) == _largest(targets, i)
    return hits


@loops
def _count(y, labels):
    hits = 0
    for block in prange((y.shape[0] + ROWS - 1) // ROWS):
        hits += _hits(y, labels, block * ROWS, min((block + 1) * ROWS, y.shape[0]))
    return hits


@loops
def _count_one_hot(y, targets):
    hits = 0
    for block in prange((y.shape[0] + ROWS - 1) // ROWS):
        hits += _hits_one_hot(y, targets, block * ROWS, min((block + 1) * ROWS, y.shape[0]))
    return hits


@public
def forward(y, labels, *, parallel=None):
    """The number of rows whose largest score is the labelled one; the first of equal scores counts.

    y : (N, C) float32 or float64 scores or probabilities, any strides; not modified
    labels : (N,) integers in 0..C-1, or (N, C) one-hot rows
    parallel : None decides by size; True or False overrides

    Returns an int in 0..N. Raises TypeError for another dtype, ValueError for shapes that do not fit, C = 0 or a label
    out of range. A NaN counts as the largest, as in NumPy.
    Formula and source: kernels/reference/categorical_accuracy.py
    """
    y = check.array("y", y, 2)
    check.columns("y", y)
    labels = check_labels(labels, "y", y)
    nest = _count if labels.ndim == 1 else _count_one_hot
    return int(pick(nest, y.size >= PARALLEL_FROM, parallel)(y, labels))

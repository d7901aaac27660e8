"""Categorical accuracy: how many rows have their largest score at the labelled class."""

from numba import prange

from .core import check
from .core.compile import inline, loops, pick, shared
from .core.labels import check_labels
from .core.narrow import W32, columns_of
from .core.memory import load, load_wide, pointer, prefetch, scratch, store
from .core.public import public
from .core.vectors import first_lane, fold_max, lanes, select, splat

ROWS = 64  # rows per task: a multiple of the lanes
PARALLEL_FROM = 131_072  # elements; bench/thresholds.py at 2 threads


@inline
def _largest(y, i):
    """The column of the first largest score of row i; of the first NaN if there is one."""
    n = y.shape[1]
    start, end = i * n, (i + 1) * n
    v = load_wide(y, start, end, float("-inf"))
    top, nan = splat(v, float("-inf")), splat(v, 0.0)
    w = lanes(v)
    for at in range(start, end, w):
        v = load_wide(y, at, end, float("-inf"))
        for line in range(at + n, at + n + w, lanes(y)):
            prefetch(y, line)  # of the next row: 10 to 20 % faster
        top = select(v > top, v, top)
        nan = select(v >= v, nan, 1.0)
    if first_lane(nan > 0.0) < w:
        flat, at = pointer(y), start
        while flat[at] == flat[at]:
            at += 1
        return at - start
    m, at = fold_max(top), start
    found = first_lane(load_wide(y, at, end, float("-inf")) >= m)
    while found == w:
        at += w
        found = first_lane(load_wide(y, at, end, float("-inf")) >= m)
    return at + found - start


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

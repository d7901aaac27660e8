"""Narrow rows, of no more numbers than a vector has lanes: as many rows at once, one a lane.

Their numbers stand in columns, one vector after another, in room of W32 vectors. Each row's numbers are added in the
order of `fold_sum`, so that the bits are those of a row that lies along the lanes.
"""

from .compile import inline
from .memory import load, store, transpose
from .vectors import lanes, splat

W32 = 16  # vectors: the lanes of float32, and so the numbers of the widest narrow row


@inline
def columns_of(x, at, rows, n, columns):
    """Put `rows` rows of n numbers, from x[at] on, into the lanes of `columns`; lanes without a row get 0."""
    w = lanes(x)
    if rows < w:
        for j in range(n):  # what lies on the stack may be denormal numbers: softmax of 1x10 took 3 us longer
            store(columns, j * w, (j + 1) * w, splat(x, 0.0))
    transpose(x, at, n, rows, n, columns, 0, w)


@inline
def fold_columns(columns, n):
    """The sum of each lane's n numbers; `columns` is overwritten."""
    w = lanes(columns)
    half, count = w // 2, n
    while half > 0:
        for j in range(half, count):
            at, end = (j - half) * w, (j - half + 1) * w
            store(columns, at, end, load(columns, at, end, 0.0) + load(columns, j * w, (j + 1) * w, 0.0))
        half, count = half // 2, min(half, count)
    return load(columns, 0, w, 0.0)


@inline
def sum_rows(terms, rows, n, columns):
    """The sums of `rows` rows of n numbers each, in `terms` one after another; `columns` is room for them."""
    columns_of(terms, 0, rows, n, columns)
    return fold_columns(columns, n)

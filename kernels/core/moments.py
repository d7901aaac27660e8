"""Sums along rows of n numbers each, such as the planes of images, four rows at a time: each addition waits four cycles
for the one before. Where there are fewer than four, the last row takes the places of the others, too."""

from .compile import inline, shared
from .memory import load
from .shuffles import lane_numbers
from .vectors import fold_sum, lanes, select, splat


@inline
def known(x, v, left):
    """v, with what changes no sum in the lanes from number `left` on."""
    return v if left >= lanes(x) else select(lane_numbers(x) < left, v, -0.0)


@inline
def four_rows(row, last):
    """The numbers of four rows from `row` on, of which `last` is none any more."""
    return row, min(row + 1, last - 1), min(row + 2, last - 1), min(row + 3, last - 1)


@inline
def _sums(x, n, i, j, k, m):
    a = b = c = d = splat(x, -0.0)
    for at in range(0, n, lanes(x)):
        a = a + load(x, i * n + at, i * n + n, -0.0)
        b = b + load(x, j * n + at, j * n + n, -0.0)
        c = c + load(x, k * n + at, k * n + n, -0.0)
        d = d + load(x, m * n + at, m * n + n, -0.0)
    return fold_sum(a), fold_sum(b), fold_sum(c), fold_sum(d)


@inline
def _square(x, n, i, at, mean):
    v = load(x, i * n + at, i * n + n, 0.0) - mean
    return known(x, v * v, n - at)


@shared
def sum_rows(x, n, row, last, sums):
    """sums[i] = the sum of row i."""
    i, j, k, m = four_rows(row, last)
    sums[i], sums[j], sums[k], sums[m] = _sums(x, n, i, j, k, m)


@shared
def row_moments(x, n, row, last, sums, squares):
    """sums[i] = the sum of row i, squares[i] = the sum of the squares of how far its numbers are from their mean."""
    i, j, k, m = four_rows(row, last)
    p, q, r, s = _sums(x, n, i, j, k, m)
    sums[i], sums[j], sums[k], sums[m] = p, q, r, s
    a = b = c = d = splat(x, -0.0)
    p, q, r, s = splat(x, p) / n, splat(x, q) / n, splat(x, r) / n, splat(x, s) / n
    for at in range(0, n, lanes(x)):
        a = a + _square(x, n, i, at, p)
        b = b + _square(x, n, j, at, q)
        c = c + _square(x, n, k, at, r)
        d = d + _square(x, n, m, at, s)
    squares[i], squares[j], squares[k], squares[m] = fold_sum(a), fold_sum(b), fold_sum(c), fold_sum(d)

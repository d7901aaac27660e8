"""The mean of each row of terms that depend on one element of two arrays: what the losses of regression share."""

from .compile import inline
from .memory import scratch, store
from .narrow import W32, sum_rows
from .vectors import fold_sum, lanes, splat


@inline  # not shared: code that passes a function cannot be saved
def mean_rows(term, y, targets, option, losses, start, end):
    """Write the means of the rows from `start` to `end`. `term(y, targets, at, end, option)` gives a vector of terms, 0
    from `end` on, which changes no sum of terms that are not negative."""
    n, w = y.shape[1], lanes(y)
    given = splat(y, option)
    if n == 1:
        for i in range(start, end, w):
            store(losses, i, end, term(y, targets, i, end, given))
    elif n <= w:
        terms, columns = scratch(y, W32), scratch(y, W32)
        for i in range(start, end, w):
            rows = min(w, end - i)
            for at in range(0, rows * n, w):
                store(terms, at, rows * n, term(y, targets, i * n + at, (i + rows) * n, given))
            store(losses, i, end, sum_rows(terms, rows, n, columns) / n)
    else:
        for i in range(start, end):
            total = splat(y, -0.0)
            for at in range(i * n, (i + 1) * n, w):
                total = total + term(y, targets, at, (i + 1) * n, given)
            store(losses, i, i + 1, splat(y, fold_sum(total)) / n)

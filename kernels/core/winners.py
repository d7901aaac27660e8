"""The largest numbers of windows, which they are, and where what they are given goes. Of equal numbers it is the first,
and so it is of NaN."""

from .compile import inline
from .memory import load_between, store
from .shuffles import even_lanes, halves, moved_down, moved_up, odd_lanes
from .vectors import interleave, select


@inline
def replaces(v, best, yes, no):
    """`yes` where v is greater than `best` or the first NaN, else `no`."""
    return select(best <= best, select(v <= best, no, yes), no)


@inline
def better(v, best):
    """The greater of two, `best` if they are equal, and NaN if one is."""
    return select(v <= v, select(v > best, v, best), v)


@inline
def _load_two(x, row, other, column, skip, width):
    """A vector from a column of a row on, and one from `skip` columns further on of the other."""
    at, far = row + column, other + column + skip
    return (load_between(x, at, row, row + width, float("-inf")),
            load_between(x, far, other, other + width, float("-inf")))


@inline
def of_three(x, row, other, column, skip, width, first):
    """The largest of columns 0, 1, 2, of 2, 3, 4, ... from `column` on, and which it is. `first` are the first that
    lie in the image. The upper half of the lanes is of the other row."""
    a, b = _load_two(x, row, other, column, skip, width)
    c, d = _load_two(x, row, other, column + 2, skip, width)
    a, b, c = even_lanes(a, b), odd_lanes(a, b), even_lanes(c, d)
    number, best = replaces(b, a, first * 0 + 1, first), better(b, a)
    return better(c, best), replaces(c, best, first * 0 + 2, number)


@inline
def give_row(even, odd, winner, share, tap, pw):
    """What the windows give a row of theirs, whose first is number `tap`, added to its even and odd columns."""
    a = select(winner == tap, share, 0.0)
    b = select(winner == tap + 1, share, 0.0)
    c = select(winner == tap + 2, share, 0.0)
    if pw:
        return even + b, odd + c + moved_down(a)
    return even + moved_up(c) + a, odd + b


@inline
def store_row(dx, row, other, alone, column, width, even, odd):
    """Write columns from `column` on of a row; or, unless `alone`, two whole rows, half of the lanes each."""
    both = interleave(even, odd, 1)
    if alone:
        store(dx, row + column, row + width, both)
    else:
        low, high = halves(both)
        store(dx, row, row + width, low)
        store(dx, other, other + width, high)

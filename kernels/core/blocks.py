"""Captured calls for a batch, made for a block of its rows after the other, so that what one call writes is still in
the cache when the next reads it.

Rows do not depend on each other, and where a nest adds up rows, its chains of sums go on from block to block in their
order: the bits are those of whole calls. A nest takes part if it says what has the batch's rows, see `loops`:

    rows : True for all its arrays, or a function of its argument `flags` that returns their names, or None
    sums : the names of those arrays that have one row for each SUM_ROWS rows

What else it writes is a sum over the rows. Its argument `first`, if it has one, is the row where a block begins, along
the first axis of the first array with rows. A call that can't take part is made whole, after all blocks.

Where only the last of many steps can be seen, the blocks of the others use the same memory again.

In parallel each thread makes the calls for a block of its own, then the sums over all these are shared out.
"""

import numpy as np
from numba import prange

from . import threads
from .compile import loops, nest_of, shared
from .invoke import ADDRESS, NO_VALUE, SHAPE, SIZE, address, follow
from .memory import pointer, shift

CUT = 5  # numbers for each cut
SUM_ROWS = 256  # that a gradient of biases adds before all else: part of its definition, a change changes bits
BYTES = 1 << 20  # of the arrays with the batch's rows, in a block: 256 KB gain half as much, 1.5 MB as much
LEAST_BLOCKS = 2
MOST_TASKS = 4  # more would wait for the one with the largest sum


@shared
def _make(functions, places, begin, end, memory, size, copy, cuts, cut_count, start, stop, base):
    """Make the calls from `begin` to `end` for the rows from `start` to `stop`; of arrays that are used again they lie
    where they would without the first `base` rows. How many calls failed."""
    if begin == end or start >= stop:
        return 0
    for i in range(size):
        copy[i] = memory[i]
    for i in range(0, CUT * cut_count, CUT):
        place, dimensions, rows, per, again = cuts[i], cuts[i + 1], cuts[i + 2], cuts[i + 3], cuts[i + 4]
        first, last = start * rows // per, (stop * rows + per - 1) // per
        if dimensions == 0:
            copy[place] = first
        else:
            at = first - base * rows // per if again else first
            copy[place + ADDRESS] += at * copy[place + SHAPE + dimensions]
            copy[place + SIZE] = copy[place + SIZE] // copy[place + SHAPE] * (last - first)
            copy[place + SHAPE] = last - first
    failed = 0
    for i in range(begin, end):
        status = follow(functions[i], places[i])
        if status != 0 and status != NO_VALUE:
            failed += 1
    return failed


@loops(writes=("copies",))
def make(functions, places, bounds, memory, copies, cuts, rows, block):
    """Make the calls for `block` rows a task, those before bounds[0] by each task for its rows and the others, from
    bounds[t] to bounds[t + 1] by task t, for the rows of all tasks."""
    tasks, size = copies.shape
    count, failed = functions.size, 0
    for start in range(0, rows, tasks * block):
        stop = min(start + tasks * block, rows)
        base = start if memory[size - 1] else 0
        for t in prange(tasks):
            failed += _make(pointer(functions), shift(pointer(places), t * count), 0, bounds[0], pointer(memory), size,
                            shift(pointer(copies), t * size), pointer(cuts), cuts.shape[0], start + t * block,
                            min(start + (t + 1) * block, stop), base)
        for t in prange(tasks):
            failed += _make(pointer(functions), shift(pointer(places), t * count), bounds[t], bounds[t + 1],
                            pointer(memory), size, shift(pointer(copies), t * size), pointer(cuts), cuts.shape[0],
                            start, stop, base)
    if failed:
        raise MemoryError


def _is_array(x):
    return isinstance(x, np.ndarray)


def _meet(x, *others):
    """Whether an array lies in part of the memory of others, dicts of addresses and bytes."""
    start, end = address(x), address(x) + x.nbytes
    return any(start < at + size and at < end for spans in others for at, size in spans.items())


def _cover(spans, arrays):
    for x in arrays:
        spans[address(x)] = max(x.nbytes, spans.get(address(x), 0))


class Blocks:
    """Of captured calls those that can be made block by block, for a batch, whose arrays are among their arguments."""

    def __init__(self, calls, batch):
        self.rows = len(batch[0])
        self.by_row: list[int] = []  # numbers of calls
        self.sums: list[int] = []  # of those that only add up rows
        self._cuts: list[tuple[int, int, int, int]] = []  # call, argument, and how many rows it has for how many
        self._batch = {address(x): x.nbytes for x in batch}
        # memory, as addresses and bytes: of arrays with the batch's rows, of those of them that are added up, of others
        # that are read, and of sums; then of calls that are made after all blocks, what they write of it, and of all
        # calls that do not take part
        self._arrays = self._batch.copy()
        self._added: dict[int, int] = {}
        self._whole: dict[int, int] = {}
        self._totals: dict[int, int] = {}
        self._later: dict[int, int] = {}
        self._later_written: dict[int, int] = {}
        self._outside: dict[int, int] = {}
        for number, (variant, args) in enumerate(calls):
            nest = nest_of(variant)
            arrays = {name: x for name, x in zip(nest.names, args) if _is_array(x)}
            written = {name: x for name, x in arrays.items() if name in nest.writes or name in nest.updates}
            cuts = self._cuts_of(nest, args, arrays)
            adds = cuts is not None and not cuts.keys() & written.keys()
            if cuts is not None and self._independent(nest, arrays, written, cuts, adds):
                self._add(number, nest, arrays, written, cuts, adds)
            else:
                _cover(self._outside, arrays.values())
                if self.by_row:
                    _cover(self._later, arrays.values())
                    _cover(self._later_written, written.values())
        self.block = BYTES * self.rows // max(1, sum(self._arrays.values())) // SUM_ROWS * SUM_ROWS

    @property
    def pay(self):
        """Whether it takes less time than whole calls."""
        return len(self.by_row) > 1 and 0 < self.block and LEAST_BLOCKS * self.block <= self.rows

    def _cuts_of(self, nest, args, arrays):
        # of each name with the batch's rows: how many for how many of the batch; None where that is not so
        if nest.rows is None or not all(x.size and x.flags.c_contiguous for x in arrays.values()):
            return None
        cuts = {}
        names = arrays if nest.rows is True else nest.rows(args[nest.names.index("flags")])
        for name in names or ():
            x = arrays[name]
            if name in nest.sums:
                cuts[name], fits = (1, SUM_ROWS), len(x) == -(-self.rows // SUM_ROWS)
            else:
                cuts[name], fits = (len(x) // self.rows, 1), len(x) % self.rows == 0
            known = self._arrays.get(address(x))
            if not fits or (known != x.nbytes if known is not None else
                            name not in nest.writes or _meet(x, self._arrays)):
                return None
        return cuts or None

    def _independent(self, nest, arrays, written, cuts, adds):
        # of what is made later, and of other arrays than are ready for the block
        for name, x in arrays.items():
            if _meet(x, self._totals, self._later_written):
                return False
            if name in written and (_meet(x, self._whole, self._added, self._later) or name in nest.updates
                                    or name not in cuts and not adds):
                return False
            if name not in cuts and _meet(x, self._arrays):
                return False
        return bool(written)

    def _add(self, number, nest, arrays, written, cuts, adds):
        (self.sums if adds else self.by_row).append(number)
        for name, x in arrays.items():
            where = (self._added if adds else self._arrays) if name in cuts else (
                self._totals if name in written else self._whole)
            _cover(where, [x])
            if name in cuts:
                self._cuts.append((number, nest.names.index(name), *cuts[name]))
        if "first" in nest.names:
            self._cuts.append((number, nest.names.index("first"), *cuts[next(iter(cuts))]))

    def call(self, calls, functions, memory, begins, tasks):
        """The arguments for `make` to make these calls by these functions, by number; their words lie in `memory`."""
        for number in self.by_row + self.sums:  # what was captured on threads
            names = nest_of(calls[number][0]).names
            if "tasks" in names:
                memory[begins[number][names.index("tasks")]] = 1
        shares = self._shares(calls, tasks)
        numbers = self.by_row + [number for share in shares for number in share]
        bounds = np.cumsum([len(self.by_row), *map(len, shares)])
        copies = np.empty((tasks, memory.size), np.int64)
        starts = 8 * (np.arange(tasks)[:, None] * memory.size + [begins[number][0] - 1 for number in numbers])
        cuts = []
        for call, arg, *cut in self._cuts:
            x = calls[call][1][arg]
            again = _is_array(x) and not _meet(x, self._batch, self._outside)
            cuts.append((begins[call][arg], np.ndim(x), *cut, again))
        return [np.array([functions[number] for number in numbers]), address(copies) + starts, bounds, memory, copies,
                np.array(cuts), self.rows, self.block]

    def _shares(self, calls, tasks):
        # the sums in so many lists of about the same work
        work = {number: sum(x.size for x in calls[number][1] if _is_array(x)) for number in self.sums}
        shares: list[list[int]] = [[] for _ in range(tasks)]
        for number in sorted(work, key=work.__getitem__, reverse=True):
            min(shares, key=lambda share: sum(map(work.__getitem__, share))).append(number)
        return shares


def find(calls, batches):
    """The Blocks to which captured calls belong, by their numbers: of each batch, a tuple of arrays, where it pays."""
    found = [Blocks(calls, batch) for batch in batches
             if threads.team() <= MOST_TASKS and LEAST_BLOCKS * SUM_ROWS <= len(batch[0])]
    return {number: blocks for blocks in found if blocks.pay for number in blocks.by_row + blocks.sums}

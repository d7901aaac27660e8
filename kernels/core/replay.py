"""Captured calls of loop nests, repeated by one call of compiled code.

Numba's way from Python into a nest takes 0.2 us and 0.05 us an array; a small network's step has a dozen nests. Here
the arguments of each nest lie unpacked in memory, as machine words, and one compiled loop makes all the calls.

    functions[i]          address of a compiled function that makes call i: it knows the kinds of its arguments
    words[i]              address of that call's words: the nest's address, its arguments, then its result
"""

from functools import partial
from types import MethodType
from typing import Any

import numpy as np

from . import blocks, threads
from .compile import direct, nest_of, signature_and_address
from .invoke import ADDRESS, NO_VALUE, RESULTS, address, call_one, follow, words_of


@direct
def _all(functions, words):
    """Make all calls in their order; the number of the one that failed, or -1."""
    for i in range(functions.size):
        status = follow(functions[i], words[i])
        if status != 0 and status != NO_VALUE:
            return i
    return -1


@direct
def _each(functions, words, memory, places, columns, table, sources, results):
    """Make all calls once for each row of `table`: its `columns` go to `places` of the memory before, and what stands
    at `sources` after goes into a row of `results`. The number of the call that failed, or -1."""
    for row in range(table.shape[0]):
        for i in range(places.size):
            memory[places[i]] = table[row, columns[i]]
        failed = _all(functions, words)
        if failed >= 0:
            return failed
        for i in range(sources.size):
            results[row, i] = memory[sources[i]]
    return -1


def _with(spans, x):
    low, high = address(x), address(x) + x.nbytes
    apart = [span for span in spans if span[1] < low or high < span[0]]
    return [*apart, (min([low, *(span[0] for span in spans if span not in apart)]),
                     max([high, *(span[1] for span in spans if span not in apart)]))]


def _described(variant, args):
    """Of a call: the function for `follow`, lists of the words of the nest, of each argument and of the result, and the
    dtype of the result, None if it has none."""
    signature, nest = signature_and_address(variant, tuple(map(variant.typeof_pyval, args)))
    return call_one(signature), [[nest], *map(words_of, args), [0]], RESULTS.get(signature.return_type)


def _done(failed):
    if failed >= 0:
        raise MemoryError("no memory for a kernel's buffers")


def _columns(part):
    columns = tuple(map(np.array, zip(*part)))
    return columns if any(call[:2] != call[2:] for call in part) else columns[:2]


def _on_threads(function, part, *rest):
    return threads.run(partial(function, *part[2:]), partial(function, *part[:2]), rest)


class Replay:
    """Repeats captured calls on the same arrays; nothing is checked.

    batches : tuples of arrays with the same number of rows, which are arguments; calls for many rows are made block by
        block where that pays, see core/blocks.py

    Parallel variants are called from Python, where their threads are set up; what lies between them is one call.
    """

    def __init__(self, calls, batches=()):
        self.calls = calls
        by_blocks = blocks.find(calls, batches)
        self._begins: list[Any] = []  # of each call: where its arguments begin in memory, and its result; or None
        self._kinds: list[Any] = []  # of the results
        self._results: dict[int, Any] = {}  # of parallel variants
        self._kept: list[Any] = []  # what is known by its address
        memory: list[int] = []
        functions: dict[int, int] = {}
        for number, (variant, args) in enumerate(calls):
            if isinstance(variant, MethodType) and number not in by_blocks:
                self._begins.append(None)
                self._kinds.append(None)
                continue
            functions[number], words, kind = _described(nest_of(variant).serial, args)
            self._begins.append(np.cumsum([len(memory) + 1, *map(len, words[1:-1])]).tolist())
            self._kinds.append(kind)
            memory += [word for part in words for word in part]
        self._memory = np.array([*memory, 0], np.int64)  # the last word: whether blocks may use memory again
        self._floats = self._memory.view(np.float64)
        self._parts = self._in_parts(functions, by_blocks)

    def _in_parts(self, functions, by_blocks):
        # in their order: the number of a call on threads, or arrays of functions and words of all calls until the next,
        # and, where there are blocks on threads, both with these
        parts: list[Any] = []
        done = []

        def add(serial, on_threads):
            if not parts or type(parts[-1]) is not list:
                parts.append([])
            parts[-1].append((*serial, *on_threads))

        for number in range(len(self.calls)):
            found = by_blocks.get(number)
            if found is None and number in functions:
                call = functions[number], address(self._memory) + 8 * (self._begins[number][0] - 1)
                add(call, call)
            elif found is None:
                parts.append(number)
            elif found not in done:
                done.append(found)
                args = found.call(self.calls, functions, self._memory, self._begins, threads.team())
                self._kept.append(args)
                call = self._keep(blocks.make.serial, args)
                add(call, self._keep(blocks.make.threads, args) if threads.team() > 1 else call)
        return [part if type(part) is int else _columns(part) for part in parts]

    def _keep(self, variant, args):
        # the function for `follow`, and the address of the words of a call
        function, words, _ = _described(variant, args)
        self._kept.append(np.array([word for part in words for word in part]))
        return function, address(self._kept[-1])

    @staticmethod
    def unexplained(calls, known):
        """The first array that is read, but lies neither in the memory of the arrays `known` nor was written by an
        earlier call: the number of the call, the argument's name and the array. None where the calls say it all."""
        spans: list[tuple[int, int]] = []  # of memory, that do not touch
        for x in known:
            spans = _with(spans, x)
        for number, (variant, args) in enumerate(calls):
            nest = nest_of(variant)
            arrays = [(name, x) for name, x in zip(nest.names, args) if isinstance(x, np.ndarray) and x.size]
            for name, x in arrays:
                start, end = address(x), address(x) + x.nbytes
                if name not in nest.writes and not any(low <= start and end <= high for low, high in spans):
                    return number, name, x
            for name, x in arrays:
                if name in nest.writes:
                    spans = _with(spans, x)
        return None

    @staticmethod
    def written(variant):
        """The places of the arguments that a call writes."""
        nest = nest_of(variant)
        return [place for place, name in enumerate(nest.names) if name in nest.writes or name in nest.updates]

    @property
    def compiled(self):
        """Whether all calls are made by compiled code, none by Python."""
        return [*map(type, self._parts)] == [tuple]

    def run(self):
        """Make all calls."""
        for part in self._parts:
            if type(part) is int:
                variant, args = self.calls[part]
                self._results[part] = variant(*args)
            else:
                _done(_all(*part) if len(part) == 2 else _on_threads(_all, part))

    def repeat(self, arrays, integers, number, place, floats, results):
        """Make all calls once for each row of `floats`; they must be `compiled`.

        arrays : pairs of places as in `arrays`, and the addresses (n,) int64 that they take, one a time
        integers : calls, places, and the numbers (n,) int64 that they take
        floats : (n, count) float64, C-contiguous: the arguments of call `number` from `place` on
        results : numbers of calls

        Returns a list for each of `results`, of what these calls returned.
        """
        begins, count, turns = self._begins, floats.shape[1], len(floats)
        table = np.empty((turns, count + len(arrays) + len(integers) + 1), np.int64)
        table[:, :count] = floats.view(np.int64)
        places, columns = begins[number][place:place + count], [*range(count)]
        changing = [(values, [begins[call][arg] + ADDRESS for call, arg, _ in where]) for where, values in arrays]
        changing += [(values, [begins[call][arg]]) for call, arg, values in integers]
        changing.append((np.arange(turns) < turns - 1, [self._memory.size - 1]))
        for column, (values, where) in enumerate(changing, count):
            table[:, column] = values
            places += where
            columns += [column] * len(where)
        sources = [begins[call][-1] for call in results]
        found = np.empty((len(results), turns), np.int64)
        part, = self._parts
        rest = (self._memory, np.array(places), np.array(columns), table, np.array(sources, np.int64), found.T)
        try:
            _done(_each(*part, *rest) if len(part) == 2 else _on_threads(_each, part, *rest))
        finally:
            self._memory[-1] = 0
        return [row.view(self._kinds[call]).tolist() for call, row in zip(results, found)]

    def result(self, number):
        """What call `number` returned, a number or None."""
        begins = self._begins[number]
        if begins is None:
            return self._results[number]
        kind = self._kinds[number]
        return None if kind is None else (self._floats if kind is np.float64 else self._memory).item(begins[-1])

    def arrays(self, x, places):
        """Take x, C-contiguous, of the same dtype and size, as the arguments at `places`: (call, argument, shape)."""
        where = address(x)
        for number, place, shape in places:
            self.calls[number][1][place] = x if x.shape == shape else x.reshape(shape)
            begins = self._begins[number]
            if begins is not None:
                self._memory[begins[place] + ADDRESS] = where

    def integer(self, number, place, value):
        """Take a whole number as an argument."""
        self.calls[number][1][place] = value
        begins = self._begins[number]
        if begins is not None:
            self._memory[begins[place]] = value

    def floats(self, number, place, values):
        """Take floats as the arguments from `place` on."""
        self.calls[number][1][place:place + len(values)] = values
        begins = self._begins[number]
        if begins is not None:
            for begin, value in zip(begins[place:], values):
                self._floats[begin] = value

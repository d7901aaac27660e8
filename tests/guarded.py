"""Every kernel on arrays that end, or begin, where memory does: a program for test_margins.py, which reads its output.

    python guarded.py serial|parallel|planned usual|all PROGRESS [operation ...]

A number read or written across that edge ends the process by a signal, and the file PROGRESS then holds the case. At
the other edge of each array lies a margin of bytes, which must stay as they are. `planned`: serial, and by the compiled
gate, which makes its own arrays where a function makes some beside those it returns.
"""

import ctypes
import faulthandler
import functools
import inspect
import itertools
import json
import math
import mmap
import os
import sys
from collections import Counter

import numpy as np

from nnjit.bench import contract
from nnjit.kernels.core import check, gate, public

MARGIN = 1024  # bytes
PATTERN = np.frombuffer(bytes(range(1, 256)) * 5, np.uint8)[:MARGIN]
PROT_NONE = 0
LARGEST = 2**22  # bytes of an array, more than the largest of contract.shapes
EDGES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 70)  # of lanes, and of tiles in columns
# of blocks, of groups of them, and of the copied parts of a product: multiples of powers of two
BLOCKS = tuple(edge + near for edge in (128, 192, 256, 320, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192)
               for near in (-1, 0, 1))
HEIGHTS = (6, 10, 11, 12, 13, 14, 20, 28, 29)  # of tiles in rows, and of the switches between methods


class Room:
    """Memory between two pages that nobody may touch."""

    def __init__(self, size=LARGEST):
        size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        self.memory = mmap.mmap(-1, size + 2 * mmap.PAGESIZE)
        libc, start = ctypes.CDLL(None, use_errno=True), ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        for page in (start, start + mmap.PAGESIZE + size):
            if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(mmap.PAGESIZE), PROT_NONE):
                raise OSError(ctypes.get_errno(), "mprotect")
        self.bytes = np.frombuffer(self.memory, np.uint8)[mmap.PAGESIZE:-mmap.PAGESIZE]

    def place(self, shape, dtype, at_end):
        """An array that ends where the room does, or begins there."""
        size, whole = math.prod(shape) * np.dtype(dtype).itemsize, self.bytes.size
        start = whole - size if at_end else 0
        self.margin = self.bytes[max(start - MARGIN, 0):start] if at_end else self.bytes[size:size + MARGIN]
        self.margin[...] = PATTERN[:self.margin.size]
        return self.bytes[start:start + size].view(dtype).reshape(shape)

    def intact(self):
        return self.margin.tobytes() == PATTERN[:self.margin.size].tobytes()


class Rooms:
    """Rooms for the arrays of one call after another."""

    def __init__(self):
        self.rooms, self.used, self.at_end = [], 0, True

    def clear(self, at_end):
        self.used, self.at_end = 0, at_end

    def empty(self, shape, dtype=float):
        """In place of np.empty."""
        if self.used == len(self.rooms):
            self.rooms.append(Room())
        self.used += 1
        shape = shape if isinstance(shape, tuple) else (shape,)
        return self.rooms[self.used - 1].place(shape, dtype, self.at_end)

    def copy(self, x):
        """As x lies in memory: by rows or by columns."""
        if not x.flags.c_contiguous:
            return self.copy(x.T).T
        place = self.empty(x.shape, x.dtype)
        place[...] = x
        return place

    def intact(self):
        return all(room.intact() for room in self.rooms[:self.used])


def shapes(operation, which):
    """0 to 70 for each length, and those around blocks, the others at some lengths or, if `which` is all, at every
    edge; then larger ones."""
    every, dimensions = range(71), contract.dimensions(operation)
    if dimensions == 1:
        found = {(n,) for n in (*every, *BLOCKS)}
    elif dimensions == 2:
        rows, columns = (EDGES, EDGES) if which == "all" else ((17,), (1, 3, 17))
        found = {*itertools.product(rows, every), *itertools.product(every, columns)}
        found |= {shape for n in BLOCKS for shape in ((1, n), (n, 1))}
    elif dimensions == 4:
        some = (1, 2, 5, 17) if which == "all" else (1, 5)
        found = set(itertools.product(some, repeat=4))
        found |= {shape for n in every for shape in ((n, 1, 3, 2), (1, n, 2, 3), (1, 2, n, 3), (2, 1, 2, n))}
        found |= {shape for n in BLOCKS if n < 1100
                  for shape in ((n, 1, 2, 2), (1, n, 2, 2), (1, 1, n, 3), (1, 1, 3, n))}
    elif dimensions == 5:
        usual = (2, 2, 5, 4, 3)
        found = {(*usual[:at], n, *usual[at + 1:]) for at in range(dimensions)
                 for n in (*every, *(n for n in BLOCKS if n < 1100))}
        if which == "all":
            found |= set(itertools.product((0, 1, 3, 17), repeat=dimensions))
    else:
        some = sorted({*EDGES, *HEIGHTS}) if which == "all" else (0, 1, 5, 17)
        found = set(itertools.product(some, repeat=3))
        for one, two in ((17, 9), (3, 33)):
            found |= {shape for n in every for shape in ((n, one, two), (one, n, two), (one, two, n))}
        found |= {shape for n in BLOCKS if n < 1100 for shape in ((n, 3, 9), (2, n, 9), (2, 3, n))}
    return [*sorted(found), *contract.shapes(operation)]


def same(x, r):
    return x.dtype == r.dtype and x.shape == r.shape and (
        x.tobytes() == r.tobytes() or np.array_equal(x, r, equal_nan=True))


class Faults(Exception):
    pass


@functools.cache
def takes_out(action):
    return "out" in inspect.signature(action).parameters


def run(rooms, at_end, kernel, function, args, options, expected):
    """One call with all arrays in rooms: those given, those to write, and those that the function makes for itself."""
    rooms.clear(at_end)
    given = [rooms.copy(x) for x in args]
    action = getattr(kernel, function)
    if takes_out(action):
        outs = [rooms.empty(x.shape, x.dtype) for x in expected]
        for x in outs:
            x.view(np.uint8)[...] = 0xFF  # NaN
        options = {**options, "out": tuple(outs) if len(outs) > 1 else outs[0]}
    plain = np.empty, check.empty
    np.empty = check.empty = rooms.empty
    try:
        result = action(*given, **options)
    finally:
        np.empty, check.empty = plain
    if function == "step":
        found = given
    else:
        found = result if isinstance(result, tuple) else (result,)
    if not all(map(same, map(np.asarray, found), expected)):
        raise Faults("other results than from arrays elsewhere")
    changing = contract.updated(kernel.__name__.rpartition(".")[2], function, options)
    names = inspect.signature(action).parameters
    if not all(name in changing or same(x, r) for name, x, r in zip(names, given, args)):
        raise Faults("an input was changed")
    if not rooms.intact():
        raise Faults("written out of bounds")


def learn(kernel, function, args, options, expected):
    """Call a function with arrays of the same kinds, until the compiled gate has a plan for them."""
    action = getattr(kernel, function)
    if takes_out(action):
        options = {**options, "out": tuple(map(np.empty_like, expected)) if len(expected) > 1 else
                   np.empty_like(expected[0])}
    for _ in range(gate.LEARN_AT):
        action(*map(np.copy, args), **options)
    entry = action.__self__
    if len(entry.plans) > public.MOST_PLANS - 10:
        entry.plans.clear()
        entry.list_plans()


def main(variant, which, progress, *operations):
    faulthandler.enable()
    public.install() if variant == "planned" else public.uninstall()
    rooms, calls, refused = Rooms(), Counter(), Counter()
    file = os.open(progress, os.O_WRONLY | os.O_CREAT)
    for operation in operations or contract.operations():
        kernel, twin = contract.twins(operation)
        for shape, dtype in itertools.product(shapes(operation, which), contract.DTYPES):
            rng = np.random.default_rng(0)
            try:
                with np.errstate(all="ignore"):
                    cases = twin.inputs(rng, shape, dtype)
            except (ValueError, IndexError):
                assert 0 in shape  # there are no such inputs
                refused[operation] += 1
                continue
            for number, (function, args, options) in enumerate(cases):
                options = {**options, "parallel": variant == "parallel"}
                try:
                    expected = contract.call(kernel, function, args, options)
                except ValueError:
                    assert 0 in shape  # as the docstring says
                    refused[operation] += 1
                    continue
                if variant == "planned":
                    learn(kernel, function, args, options, expected)
                for at_end in (True, False):
                    text = (f"{operation}.{function}, case {number}, {shape}, {dtype.__name__}, {variant}, "
                            f"arrays at the {'end' if at_end else 'start'} of their pages")
                    os.pwrite(file, text.encode().ljust(200), 0)
                    try:
                        run(rooms, at_end, kernel, function, args, options, expected)
                    except Faults as fault:
                        raise SystemExit(f"{text}: {fault}")
                    calls[f"{operation}.{function}"] += 1
    print(json.dumps({"calls": calls, "refused": refused}))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Captured calls of loop nests, repeated by one call of compiled code.

Numba's way from Python into a nest takes 0.2 us and 0.05 us an array; a small network's step has a dozen nests. Here
the arguments of each nest lie unpacked in memory, as machine words, and one compiled loop makes all the calls.

    functions[i]          address of a compiled function that makes call i: it knows the kinds of its arguments
    words[i]              address of that call's words: the nest's address, its arguments, then its result
"""

from types import MethodType
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from .compile import direct, nest_of, signature_and_address

WORD = ir.IntType(64)
RESULTS = {types.int64: np.int64, types.float64: np.float64}
NO_VALUE = -2  # Numba's status of a function that returns None


class Nest(types.Type):
    """The kind of a call: the types of a nest's arguments and of its result. It has no value at run time."""

    def __init__(self, signature):
        self.signature = signature
        super().__init__(name=f"Nest({signature})")


register_model(Nest)(models.OpaqueModel)
WORDS = types.CPointer(types.int64)


def _function_type(context, signature):
    return context.call_conv.get_function_type(signature.return_type, signature.args)


def _word(builder, words, at):
    return builder.gep(words, [WORD(at)])


def _as_argument(builder, word, kind):
    if isinstance(kind, ir.PointerType):
        return builder.inttoptr(word, kind)
    if isinstance(kind, ir.IntType):
        return word if kind.width == 64 else builder.trunc(word, kind)
    return builder.bitcast(word, kind)  # double


def _invoke(context, builder, function, arguments):
    """Call compiled code by Numba's convention: it returns a status, and its result through its first argument."""
    result, error = (builder.alloca(pointer.pointee) for pointer in function.type.pointee.args[:2])
    status = builder.call(function, [result, error, *arguments])
    return builder.sext(status, WORD), result


@intrinsic
def _call(typing, kind, words):
    """Make the call that is described by `words`, put its result behind them and return its status."""
    signature = kind.signature

    def emit(context, builder, sig, args):
        expected = _function_type(context, signature)
        values = [_as_argument(builder, builder.load(_word(builder, args[1], place)), each)
                  for place, each in enumerate(expected.args[2:], 1)]
        function = builder.inttoptr(builder.load(args[1]), expected.as_pointer())
        status, result = _invoke(context, builder, function, values)
        if signature.return_type in RESULTS:
            target = _word(builder, args[1], len(values) + 1)
            builder.store(builder.load(builder.bitcast(result, WORD.as_pointer())), target)
        return status

    return types.int64(kind, words), emit


@intrinsic
def follow(typing, function, words):
    """Call a compiled `_one` at an address with the address of its words; its status, or that of the nest."""

    def emit(context, builder, sig, args):
        expected = _function_type(context, types.int64(Nest(types.none()), WORDS))
        function = builder.inttoptr(args[0], expected.as_pointer())
        arguments = [ir.Constant(expected.args[2], None), builder.inttoptr(args[1], expected.args[3])]
        _, result = _invoke(context, builder, function, arguments)
        return builder.load(result)

    return types.int64(types.int64, types.int64), emit


@direct
def _one(kind, words):
    return _call(kind, words)


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


def call_one(signature):
    """The address of compiled code that makes a call of this signature, for `follow`."""
    return signature_and_address(_one, (Nest(signature), WORDS))[1]


def address(x):
    """Where the first element of an array lies."""
    return x.__array_interface__["data"][0]


def words_of(value):
    """An argument as Numba passes it; of an array: no owners, size, item size, address, shape, strides."""
    if isinstance(value, np.ndarray):
        return [0, 0, value.size, value.itemsize, address(value), *value.shape, *value.strides]
    return [int(np.float64(value).view(np.int64)) if isinstance(value, float) else value]


def _with(spans, x):
    low, high = address(x), address(x) + x.nbytes
    apart = [span for span in spans if span[1] < low or high < span[0]]
    return [*apart, (min([low, *(span[0] for span in spans if span not in apart)]),
                     max([high, *(span[1] for span in spans if span not in apart)]))]


def _done(failed):
    if failed >= 0:
        raise MemoryError("no memory for a kernel's buffers")


ADDRESS = 4  # the place of the address among an array's words


class Replay:
    """Repeats captured calls on the same arrays; nothing is checked.

    Parallel variants are called from Python, where their threads are set up; what lies between them is one call.
    """

    def __init__(self, calls):
        self.calls = calls
        self._begins: list[Any] = []  # of each call: where its arguments begin in memory, and its result; or None
        self._kinds: list[Any] = []  # of the results
        self._results: dict[int, Any] = {}  # of parallel variants
        memory: list[int] = []
        parts: list[Any] = []  # the number of a parallel call, or functions and words of those until the next
        functions: list[int] = []
        words: list[int] = []
        for number, (variant, args) in enumerate(calls):
            if isinstance(variant, MethodType):
                self._begins.append(None)
                self._kinds.append(None)
                functions, words = [], []
                parts.append(number)
                continue
            signature, nest = signature_and_address(variant, tuple(map(variant.typeof_pyval, args)))
            if not functions:
                parts.append((functions, words))
            functions.append(call_one(signature))
            words.append(len(memory))
            memory.append(nest)
            begins = []
            for value in args:
                begins.append(len(memory))
                memory += words_of(value)
            self._begins.append([*begins, len(memory)])
            self._kinds.append(RESULTS.get(signature.return_type))
            memory.append(0)
        self._memory = np.array(memory, np.int64)
        self._floats = self._memory.view(np.float64)
        start = address(self._memory)
        self._parts: list[Any] = [
            part if isinstance(part, int) else (np.array(part[0], np.int64), np.array(part[1], np.int64) * 8 + start)
            for part in parts]

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
        return len(self._parts) == 1 and type(self._parts[0]) is tuple

    def run(self):
        """Make all calls."""
        for part in self._parts:
            if type(part) is tuple:
                _done(_all(*part))
            else:
                variant, args = self.calls[part]
                self._results[part] = variant(*args)

    def repeat(self, arrays, integers, number, place, floats, results):
        """Make all calls once for each row of `floats`; they must be `compiled`.

        arrays : pairs of places as in `arrays`, and the addresses (n,) int64 that they take, one a time
        integers : calls, places, and the numbers (n,) int64 that they take
        floats : (n, count) float64, C-contiguous: the arguments of call `number` from `place` on
        results : numbers of calls

        Returns a list for each of `results`, of what these calls returned.
        """
        begins, count = self._begins, floats.shape[1]
        table = np.empty((len(floats), count + len(arrays) + len(integers)), np.int64)
        table[:, :count] = floats.view(np.int64)
        places, columns = begins[number][place:place + count], [*range(count)]
        changing = [(values, [begins[call][arg] + ADDRESS for call, arg, _ in where]) for where, values in arrays]
        changing += [(values, [begins[call][arg]]) for call, arg, values in integers]
        for column, (values, where) in enumerate(changing, count):
            table[:, column] = values
            places += where
            columns += [column] * len(where)
        found = np.empty((len(results), len(floats)), np.int64)
        _done(_each(*self._parts[0], self._memory, np.array(places), np.array(columns), table,
                    np.array([begins[call][-1] for call in results], np.int64), found.T))
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

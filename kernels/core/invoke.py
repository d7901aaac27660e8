"""How compiled code calls a loop nest whose address and arguments lie in memory as machine words.

    words of a call : the address of the nest, its arguments as Numba passes them, then its result
"""

import ctypes
import platform

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from .compile import direct, signature_and_address

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


def call_one(signature):
    """The address of compiled code that makes a call of this signature, for `follow`."""
    return signature_and_address(_one, (Nest(signature), WORDS))[1]


def _ask_for_address(x):
    return x.__array_interface__["data"][0]


def _read_address(x):
    # from NumPy's struct, in 0.2 us instead of 1.4
    return _word_at(id(x) + DATA).value


_word_at, DATA = ctypes.c_size_t.from_address, object.__basicsize__
_readable = platform.python_implementation() == "CPython" and all(
    _read_address(x) == _ask_for_address(x) for x in (np.empty(3), np.empty((4, 6), np.float32)[1:, 2:], np.empty(0)))
address = _read_address if _readable else _ask_for_address  # where the first element of an array lies


SIZE, ADDRESS, SHAPE = 2, 4, 5  # places among an array's words


def words_of(value):
    """An argument as Numba passes it; of an array: no owners, size, item size, address, shape, strides."""
    if isinstance(value, np.ndarray):
        return [0, 0, value.size, value.itemsize, address(value), *value.shape, *value.strides]
    return [int(np.float64(value).view(np.int64)) if isinstance(value, float) else value]

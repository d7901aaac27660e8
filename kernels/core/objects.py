"""Python's and NumPy's objects as compiled code sees them: fields of their structs, and functions of both C interfaces.

Addresses are int64. The places of fields are those of CPython's and NumPy's headers; `why_not` compares them with what
Python says of a dozen objects, before anything relies on them.
"""

import ctypes
import platform
import struct
import sys
import sysconfig
import types as python_types

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compile import direct

WORD, HALF = ir.IntType(64), ir.IntType(32)

# of a PyObject, PyFloatObject, PyTupleObject and PyArrayObject
HEAD = object.__basicsize__
TYPE = HEAD - 8
FLOAT = HEAD
TUPLE_SIZE, TUPLE_ITEMS = HEAD, tuple.__basicsize__
DATA, NDIM, DIMS, STRIDES, BASE, DESCR, FLAGS = range(HEAD, HEAD + 56, 8)
ROWS, COLUMNS, ALIGNED, WRITEABLE = 0x1, 0x2, 0x100, 0x400  # flags: C- and F-contiguous

NEW_ARRAY = 94  # the place of PyArray_NewFromDescr in NumPy's table of functions


@intrinsic
def word(typing, address):
    """The 64 bits at an address."""

    def emit(context, builder, sig, args):
        return builder.load(builder.inttoptr(args[0], WORD.as_pointer()))

    return types.int64(types.int64), emit


@intrinsic
def half(typing, address):
    """The 32 bits at an address, with a sign."""

    def emit(context, builder, sig, args):
        return builder.sext(builder.load(builder.inttoptr(args[0], HALF.as_pointer())), WORD)

    return types.int64(types.int64), emit


@intrinsic
def put(typing, address, value):
    """Write 64 bits."""

    def emit(context, builder, sig, args):
        builder.store(args[1], builder.inttoptr(args[0], WORD.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit


@intrinsic(prefer_literal=True)
def room(typing, words):
    """The address of so many words, a constant, on the stack, until the function returns: that of a cache line."""
    kind = ir.ArrayType(WORD, words.literal_value)

    def emit(context, builder, sig, args):
        with builder.goto_entry_block():
            start = builder.alloca(kind)
        start.align = 64
        return builder.ptrtoint(start, WORD)

    return types.int64(words), emit


@intrinsic
def as_float(typing, bits):
    """The float64 that has these bits."""

    def emit(context, builder, sig, args):
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), emit


@intrinsic
def call(typing, function, arguments):
    """Call the C function at an address with words or floats, a tuple; it returns a word."""

    def emit(context, builder, sig, args):
        values = [builder.extract_value(args[1], i) for i in range(len(arguments))]
        kind = ir.FunctionType(WORD, [value.type for value in values])
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), values)

    return types.int64(types.int64, arguments), emit


@intrinsic
def new_array(typing, function, subtype, descr, ndim, dims):
    """PyArray_NewFromDescr: a new C-contiguous array. It takes one reference to `descr`."""

    def emit(context, builder, sig, args):
        kind = ir.FunctionType(WORD, [WORD, WORD, HALF, WORD, WORD, WORD, HALF, WORD])
        function, subtype, descr, ndim, dims = args
        return builder.call(builder.inttoptr(function, kind.as_pointer()),
                            [subtype, descr, builder.trunc(ndim, HALF), dims, WORD(0), WORD(0), HALF(0), WORD(0)])

    return types.int64(*[types.int64] * 5), emit


def c_function(name):
    """The address of a function of Python's C interface."""
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value


def new_array_function():
    """The address of PyArray_NewFromDescr."""
    find = ctypes.pythonapi.PyCapsule_GetPointer
    find.restype, find.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = find(sys.modules["numpy._core._multiarray_umath"]._ARRAY_API, None)
    return ctypes.c_void_p.from_address(table + 8 * NEW_ARRAY).value


@direct
def _array_fields(x, found):
    found[0], found[1], found[2], found[3] = word(x + TYPE), word(x + DATA), half(x + NDIM), word(x + DESCR)
    found[4] = half(x + FLAGS)
    for i in range(half(x + NDIM)):
        found[5 + 2 * i], found[6 + 2 * i] = word(word(x + DIMS) + 8 * i), word(word(x + STRIDES) + 8 * i)


@direct
def _fields(x, places, found):
    for i in range(places.size):
        found[i] = word(x + places[i])


def _array_fits(x):
    flags = x.flags
    found = np.empty(5 + 2 * x.ndim, np.int64)
    _array_fields(id(x), found)
    return (found[[0, 1, 2, 3]].tolist() == [id(type(x)), x.__array_interface__["data"][0], x.ndim, id(x.dtype)]
            and [bool(found[4] & bit) for bit in (ROWS, COLUMNS, ALIGNED, WRITEABLE)]
            == [flags.c_contiguous, flags.f_contiguous, flags.aligned, flags.writeable]
            and found[5::2].tolist() == list(x.shape) and found[6::2].tolist() == list(x.strides))


def _object_fits(x, places, expected):
    found = np.empty(len(places), np.int64)
    _fields(id(x), np.array(places, np.int64), found)
    return found.tolist() == expected


def _arrays():
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    fixed = whole.copy()
    fixed.flags.writeable = False
    yield from (whole, whole.T, whole[:, 1:3], whole[::-2], fixed, whole[None], whole.reshape(-1), whole[:0])
    yield from (np.array(1.5), np.empty((2, 3, 4)), np.empty(3, np.int64), np.empty(5, np.uint8))
    yield from (np.empty(9, np.int8)[1:].view(np.float64), np.empty(2, ">f4"), np.empty((2, 0, 3)))


def why_not():
    """Why compiled code must not read objects of this Python and NumPy, or None."""
    if platform.python_implementation() != "CPython" or struct.calcsize("P") != 8:
        return "not a CPython of 64 bits"
    if sysconfig.get_config_var("Py_GIL_DISABLED") or hasattr(sys, "gettotalrefcount"):
        return "a free-threaded or debug build of Python"
    number, pair = 0.1, (object(), 1.5)
    if not (all(map(_array_fits, _arrays())) and _object_fits(number, [TYPE, FLOAT], [
            id(float), int(np.float64(number).view(np.int64))])
            and _object_fits(pair, [TYPE, TUPLE_SIZE, TUPLE_ITEMS, TUPLE_ITEMS + 8], [
                id(tuple), 2, id(pair[0]), id(pair[1])])
            and all(_object_fits(x, [TYPE], [id(type(x))]) for x in (None, True, 5, "text", np, python_types))):
        return "objects are laid out in another way"
    return None

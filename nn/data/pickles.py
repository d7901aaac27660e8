"""Pickles of arrays and plain values, read without a call of what they name.

The opcodes are taken one by one. NumPy's own way of unpickling an array is known by its names, and made here; a pickle
that names anything else is refused.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from ..checks import shown

REBUILT = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
PASSED = {"PROTO", "FRAME"}
VALUES = {"BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
          "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING"}  # bytes of Python 2
CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
KEYS = (str, bytes, int)  # of dicts: the hash of a deep tuple could fill the stack


class _Name(str):
    # what a pickle would import
    __slots__ = ()


class _Rebuilt:
    # an array, or its dtype, which a later opcode fills
    def __init__(self, dtype: str | None = None) -> None:
        self.dtype, self.array = dtype, None

    def fill(self, state: Any) -> None:
        if self.dtype is not None:  # byte order and alignment: uint8 has none
            return
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Rebuilt) or dtype.dtype != "u1" or not isinstance(data, bytes):
            raise ValueError("an array in it is not of uint8")
        if not isinstance(shape, tuple) or not all(type(size) is int and 0 <= size < 2**31 for size in shape):
            raise ValueError(f"an array in it has the shape {shown(shape)}")
        found: Any = np.frombuffer(data, np.uint8)
        self.array = found.reshape(shape, order="F" if fortran else "C")


def load(content: bytes) -> Any:
    """What a pickle holds: a dict, list or tuple, bytes, text, a whole number, True, False or None, or an array of
    uint8, within each other. Raises ValueError that says where in the pickle something is wrong."""
    import pickletools  # not at the top: its import takes 6 ms
    place, stream = 0, io.BytesIO(content)
    try:
        machine = _Machine()
        for opcode, value, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                return _plain(machine.stack.pop())
            machine.run(opcode.name, value)
            place = stream.tell()
    except Exception as error:  # a damaged pickle fails in a dozen ways
        reason = f": {error}" if isinstance(error, ValueError) else ""
        raise ValueError(f"the pickle is damaged at byte {place}, or is none{reason}") from error
    raise ValueError("the pickle has no end")


def _plain(value: Any) -> Any:
    # of a dict's values, an array as it is
    if isinstance(value, dict):
        return {key: _plain(each) if isinstance(each, _Rebuilt) else each for key, each in value.items()}
    return value.array if isinstance(value, _Rebuilt) else value


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._encoded: dict[str, bytes] = {}  # each text once: many copies of a long one would fill the memory

    def run(self, name: str, value: Any) -> None:
        stack = self.stack
        if name in VALUES:
            stack.append(value)
        elif name in TEXTS:
            stack.append(value.encode("latin-1"))
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in ("EMPTY_LIST", "EMPTY_DICT"):
            stack.append([] if name == "EMPTY_LIST" else {})
        elif name == "MARK":
            self._marks.append(len(stack))
        elif name in ("LIST", "TUPLE", "DICT"):
            found = self._above_mark()
            stack.append(found if name == "LIST" else tuple(found) if name == "TUPLE" else _set({}, found))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [tuple(stack[-count:])] if len(stack) >= count else _fail()
        elif name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS"):
            found = self._above_mark() if name.endswith("S") else self._popped(2 if name == "SETITEM" else 1)
            _fill(stack[-1], found, list if name.startswith("APPEND") else dict)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self._memo[len(self._memo) if name == "MEMOIZE" else value] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self._memo[value])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            stack.append(self._name(value if name == "GLOBAL" else " ".join(self._popped(2))))
        elif name == "REDUCE":
            called, arguments = self._popped(2)
            stack.append(self._call(called, arguments))
        elif name == "BUILD":
            state, = self._popped(1)
            stack[-1].fill(state) if isinstance(stack[-1], _Rebuilt) else _fail()
        elif name not in PASSED:
            raise ValueError(f"it has the opcode {name}, which no pickle of arrays and plain values needs")

    def _popped(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            _fail()
        found = self.stack[-count:]
        del self.stack[-count:]
        return found

    def _above_mark(self) -> list[Any]:
        mark = self._marks.pop()
        found = self.stack[mark:]
        del self.stack[mark:]
        return found

    @staticmethod
    def _name(name: str) -> _Name:
        if name not in (*REBUILT, "numpy ndarray", "numpy dtype", "_codecs encode"):
            raise ValueError(f"it names {shown(name.replace(' ', '.'))}, and loading that could run code")
        return _Name(name)

    def _call(self, called: Any, arguments: Any) -> Any:
        # what would be called; here only its name is read
        if not isinstance(called, _Name) or not isinstance(arguments, tuple):
            _fail()
        if called in REBUILT:
            return _Rebuilt()
        if called == "numpy dtype" and arguments and arguments[0] in ("u1", b"u1"):
            return _Rebuilt("u1")
        if called == "_codecs encode" and type(arguments[0]) is str:  # bytes of Python 3
            return self._encoded.setdefault(arguments[0], arguments[0].encode("latin-1"))
        raise ValueError("an array in it is not of uint8")


def _fill(value: Any, found: list[Any], kind: type) -> None:
    if type(value) is not kind:
        _fail()
    if kind is list:
        value.extend(found)
    else:
        _set(value, found)


def _set(value: dict[Any, Any], found: list[Any]) -> dict[Any, Any]:
    if len(found) % 2 or not all(isinstance(key, KEYS) for key in found[::2]):
        _fail()
    value.update(zip(found[::2], found[1::2]))
    return value


def _fail() -> Any:
    raise ValueError("its opcodes do not fit")

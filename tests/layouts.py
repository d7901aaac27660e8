"""The same numbers, lying in memory in another way."""

import tempfile

import numpy as np


def sliced(x):
    """Every second number of a larger array, along each dimension."""
    room = np.full([2 * n + 3 for n in x.shape], 99 if x.dtype.kind in "iu" else np.nan, x.dtype)
    view = room[tuple(slice(1, 2 * n + 1, 2) for n in x.shape)]
    view[...] = x
    return view


def reversed_(x):
    """From the last to the first, along each dimension."""
    back = tuple(slice(None, None, -1) for _ in x.shape)
    return np.ascontiguousarray(x[back])[back]


def unaligned(x):
    """One byte beyond where the numbers should begin."""
    view = np.frombuffer(bytearray(x.nbytes + 1), x.dtype, offset=1, count=x.size).reshape(x.shape)
    view[...] = x
    assert not view.flags.aligned or x.itemsize == 1 or not x.size
    return view


def readonly(x):
    """A copy that must not be written."""
    x = x.copy(order="K")
    x.flags.writeable = False
    return x


def memmap(x):
    """A file's memory."""
    if not x.size:
        return x
    with tempfile.TemporaryFile() as file:
        view = np.memmap(file, x.dtype, "w+", shape=x.shape)
    view[...] = x
    return view


class _Memory:
    def __init__(self, x, start):
        address = x.ctypes.data - start * x.itemsize
        self.x = x  # alive
        self.__array_interface__ = {"data": (address, False), "shape": (start + x.size,), "typestr": x.dtype.str,
                                    "version": 3}


def from_element(x, start):
    """An array whose elements from number `start` on are those of x. There is no memory before: don't touch it."""
    return np.asarray(_Memory(x, start))

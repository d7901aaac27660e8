"""All argument checks and error messages. Compiled loops check nothing, so each public function calls these first.

A gate returns what a loop may read: C-contiguous, aligned, native arrays. Other strides are copied, read-only input is
copied too (Numba would compile every kernel a second time for it); the caller's array is never written.

Numbers, choices, flags and tuples of arrays pass first, and become values of Python's own types. Arrays come last, and
no method or attribute of a subclass is used: code of the caller's (`__float__`, `__hash__`, `__len__`) might resize an
array that has passed.
"""

import sys
from decimal import Decimal
from math import inf, nan, prod
from numbers import Real

import numpy as np
from numpy import empty, may_share_memory, ndarray

from .notes import note

LARGEST, SMALLEST = sys.float_info.max, 5e-324
MOST_NUMBERS, MOST_DIMENSIONS = 2**60 - 1, 64  # of an array; with 8 bytes each NumPy refuses more, in words of its own
MOST_LENGTH = 2**31  # of the sides of windows
F32, F64, I64 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64)
FLOATS = (F32, F64)
# Of each dtype there may be more than one object (unpickled arrays have their own), so `is` alone would refuse some.


def array(name, x, ndim=None):
    """A float32 or float64 array, of `ndim` dimensions if given."""
    if type(x) is not ndarray or not x.flags.carray or x.dtype not in FLOATS:
        x = _plain(name, x)
    if ndim is not None and x.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimension{'s'[:ndim > 1]}, got shape {x.shape}")
    return x


def matrix(name, x):
    """A 2-d array, and whether what is returned is its transpose: that of a column-major array is not copied."""
    if type(x) is ndarray and x.ndim == 2 and x.dtype in FLOATS:
        if x.flags.carray:
            return x, False
        transposed = x.T  # flags.farray is true of some arrays that are not contiguous at all
        if transposed.flags.carray:
            return transposed, True
    return array(name, x, 2), False


def factors(a_name, a, b_name, b):
    """The matrices of a product a b, of one dtype, each with whether what is returned is its transpose."""
    if type(a) is type(b) is ndarray and a.ndim == b.ndim == 2 and a.dtype is b.dtype and a.dtype in FLOATS:
        # the usual cases in a third of the time
        a_transposed, b_transposed = not a.flags.carray, not b.flags.carray
        left, right = a.T if a_transposed else a, b.T if b_transposed else b
        if (not a_transposed or left.flags.carray) and (not b_transposed or right.flags.carray):
            return left, a_transposed, right, b_transposed
    a, a_transposed = matrix(a_name, a)
    b, b_transposed = matrix(b_name, b)
    dtype_of(b_name, b, a_name, a)
    return a, a_transposed, b, b_transposed


def view(name, x):
    """An array of a subclass as one of NumPy's own class."""
    kind = type(x)  # isinstance would ask for `x.__class__`, too
    masked = getattr(sys.modules.get("numpy.ma.core"), "MaskedArray", None)  # whoever has one has imported it
    if masked is not None and issubclass(kind, masked):
        raise TypeError(f"{name} must not be a masked array: fill it first")
    if not issubclass(kind, ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {kind.__name__}")
    return ndarray.view(x, ndarray)


def _plain(name, x):
    x = view(name, x)
    if x.dtype.kind != "f" or x.dtype.newbyteorder("=") not in FLOATS:
        raise TypeError(f"{name} must be float32 or float64, got {x.dtype}")
    if not x.dtype.isnative:
        raise TypeError(f"{name} must be in native byte order, got {x.dtype.str}")
    return np.array(x, F32 if x.dtype == F32 else F64, order="C")


def same(name, x, like_name, like):
    """An array of the dtype and shape of another."""
    x = array(name, x)
    if x.dtype != like.dtype:
        raise TypeError(f"{name} must be {like.dtype} as {like_name} is, got {x.dtype}")
    if x.shape != like.shape:
        raise ValueError(f"{name} must have shape {like.shape} to match {like_name}, got {x.shape}")
    return x


def dtype_of(name, x, like_name, like):
    """Raise unless two arrays have the same dtype."""
    if x.dtype != like.dtype:
        raise TypeError(f"{name} must be {like.dtype} as {like_name} is, got {x.dtype}")


def out(name, given, shape, dtype, *inputs, alias=None):
    """The array to write: a new one, or `given` if it fits and shares no memory with `inputs`; it may be `alias`."""
    if given is None:
        return empty(shape, dtype)
    written(name, given)
    if given.dtype != dtype:
        raise TypeError(f"{name} must be {dtype}, got {given.dtype}")
    if given.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {given.shape}")
    owner = _owner(given)
    for x in inputs:
        # arrays of different owners can't overlap; asking NumPy takes 0.2 us
        if (owner is None or _owner(x) is None or _owner(x) is owner) and may_share_memory(given, x):
            raise ValueError(f"{name} must not share memory with an input")
    if alias is not None and given is not alias and may_share_memory(given, alias):
        if given.__array_interface__["data"] != alias.__array_interface__["data"]:
            raise ValueError(f"{name} must not overlap an input, except by being the same array")
    return given


def _owner(x):
    """The array that a view was taken from, or the array itself; None where another object owns the memory."""
    base = x.base
    return x if base is None else base if type(base) is ndarray and base.base is None else None


def outs(given, count):
    """The arrays to write of a function that returns several: a tuple with None for those to allocate."""
    if given is None:
        return (None,) * count
    found = tuple(given) if isinstance(given, tuple) else ()
    if len(found) != count:
        raise TypeError(f"out must be None or a tuple of {count} arrays (None for one to be made)")
    return found


def written(name, x):
    """An array that a kernel writes in place."""
    if type(x) is not ndarray:
        raise TypeError(f"{name} must be a NumPy array, got {type(x).__name__}")
    if x.dtype not in FLOATS:
        raise TypeError(f"{name} must be float32 or float64, got {x.dtype}")
    if not x.flags.carray:
        raise ValueError(f"{name} must be writeable, aligned and C-contiguous, since it is written in place")
    return x


def state(names, arrays):
    """Flat views of arrays that an optimizer updates in place: same dtype, same shape, no shared memory. The second is
    only read."""
    w = written(names[0], arrays[0])
    dtype, shape = w.dtype, w.shape
    owners = {id(_owner(w))}
    checked = [w.ravel()]
    for i in range(1, len(arrays)):
        x = arrays[i]
        if type(x) is not ndarray or x.dtype != dtype or x.shape != shape or not x.flags.carray:
            x = same(names[i], x if i == 1 else written(names[i], x), names[0], w)
        owners.add(id(_owner(x)))
        checked.append(x.ravel())
    if len(owners) < len(arrays) or id(None) in owners:
        for i, x in enumerate(checked):
            for j in range(i):
                if may_share_memory(x, checked[j]):
                    raise ValueError(f"{names[i]} must not share memory with {names[j]}")
    return checked


def apart(names, arrays, count):
    """Raise if one of the first `count` arrays, which are updated, shares memory with another."""
    for i in range(count):
        for j in range(len(arrays)):
            if i != j and may_share_memory(arrays[i], arrays[j]):
                raise ValueError(f"{names[i]} must not share memory with {names[j]}")


def number(name, value, finite=True):
    """A real number, finite unless allowed otherwise, as a float."""
    if type(value) is not float:
        if isinstance(value, ndarray) and value.ndim == 0:
            value = value[()]
        if isinstance(value, (bool, np.timedelta64)) or not isinstance(value, (Real, Decimal)):
            raise TypeError(f"{name} must be a number, got {type(value).__name__}")
        try:
            value = float(value)
        except OverflowError:
            value = inf if value > 0 else -inf
        except ValueError:  # a signalling NaN of Decimal
            value = nan
    if finite and not -LARGEST <= value <= LARGEST:
        raise ValueError(f"{name} must be finite, got {value}")
    note(value, -LARGEST if finite else -inf, LARGEST if finite else inf)
    return value


def _shown(value):
    """A value in an error's text."""
    try:
        return repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return f"{type(value).__name__} of too many digits to show"


def _is_whole(value):
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.timedelta64))


def word(name, value):
    """A whole number of 64 bits, 0 <= value < 2^64, as the int64 that has its bits."""
    if not _is_whole(value):
        raise TypeError(f"{name} must be a whole number, got {type(value).__name__}")
    value = int(value)
    if not 0 <= value < 2**64:
        raise ValueError(f"{name} must be at least 0 and below 2^64, got {_shown(value)}")
    if value >= 2**63:
        value -= 2**64
        note(value, -2**63, -1)
        return value
    note(value, 0, 2**63 - 1)
    return value


def shape(name, value):
    """A whole number or a tuple or list of them, none below 0, as a tuple of int."""
    lengths = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if not all(map(_is_whole, lengths)):
        raise TypeError(f"{name} must be a whole number or a tuple of them, got {_shown(value)}")
    lengths = tuple(map(int, lengths))
    if any(n < 0 for n in lengths):
        raise ValueError(f"{name} must not be negative, got {_shown(value)}")
    if len(lengths) > MOST_DIMENSIONS or prod(n for n in lengths if n) > MOST_NUMBERS:
        raise ValueError(f"{name} must have at most {MOST_DIMENSIONS} dimensions and less than 2^60 numbers, "
                         f"got {_shown(value)}")
    return lengths


def count(name, value):
    """A whole number from 1 on and below 2^31, as an int."""
    if not _is_whole(value):
        raise TypeError(f"{name} must be a whole number, got {_shown(value)}")
    value = int(value)
    if not 1 <= value < MOST_LENGTH:
        raise ValueError(f"{name} must be at least 1 and below 2^31, got {_shown(value)}")
    return value


def pair(name, value, least):
    """A whole number of at least `least` or two of them, of rows and of columns, as two of int."""
    numbers = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(numbers) != 2 or not all(map(_is_whole, numbers)):
        raise TypeError(f"{name} must be a whole number or a pair of them, got {_shown(value)}")
    rows, columns = map(int, numbers)
    if not (least <= rows < MOST_LENGTH and least <= columns < MOST_LENGTH):
        raise ValueError(f"{name} must be at least {least} and below 2^31, got {_shown(value)}")
    return rows, columns


def dtype(name, value):
    """float32 or float64 in native byte order, given in any of NumPy's ways but None."""
    try:
        found = None if value is None else np.dtype(value)
    except (TypeError, ValueError, SyntaxError):  # NumPy parses texts
        found = None
    if found is None or found not in FLOATS:  # of NumPy's dtypes float64 is equal to None
        raise TypeError(f"{name} must be float32 or float64, got {_shown(value)}")
    return found


def positive(name, value):
    """A finite number above 0, as a float."""
    value = number(name, value)
    if value <= 0:
        raise ValueError(f"{name} must be greater than 0, got {value}")
    note(value, SMALLEST, LARGEST)
    return value


def not_negative(name, value, finite=True):
    """A number that is not below 0, finite unless allowed otherwise, as a float."""
    value = number(name, value, finite)
    if value < 0:
        raise ValueError(f"{name} must not be negative, got {value}")
    note(value, 0.0, LARGEST if finite else inf)
    return value


def not_zero(name, value):
    """A finite number other than 0, as a float."""
    value = number(name, value)
    if value == 0:
        raise ValueError(f"{name} must not be 0")
    note(value, -LARGEST, LARGEST, zero=False)
    return value


def columns(name, x):
    """Raise when rows are empty: their maximum is not defined."""
    if x.shape[1] == 0:
        raise ValueError(f"{name} must have at least one column, got shape {x.shape}")


def flag(name, value):
    """True or False, as a bool. Anything else is refused: the text "False" would count as True."""
    if value is not True and value is not False and type(value) is not np.bool_:
        raise TypeError(f"{name} must be True or False, got {type(value).__name__}")
    return bool(value)


def one_of(name, value, choices):
    """The value of `choices` for one of its keys."""
    try:  # `suppress` takes 0.3 us
        return choices[value]
    except (KeyError, TypeError, ValueError):  # the last two: no hash
        pass
    raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {_shown(value)}")

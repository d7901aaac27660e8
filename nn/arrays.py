"""What users hand in (lists, integers, float64, one-hot rows) as the arrays that kernels take."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .backend import address
from .checks import shown

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
INT64 = np.dtype(np.int64)
MOST = 2**63 - 1
SHOWN = 40  # characters of a text, in an error

Array = np.ndarray[Any, np.dtype[Any]]
LINE = 64  # bytes of a cache's line and of a vector
# attributes that a call sets
LAST = ("inputs", "output", "dinputs", "dweights", "dbiases", "dgamma", "dbeta", "last_mean", "last_scale",
        "normalized_by_batch", "binary_mask", "_converted")


class Calling:
    """Keeps the arrays of its last call as attributes, which copies and pickles leave out."""

    def __getstate__(self) -> dict[str, Any]:
        # they are as large as the batch, and may be confidential
        return {name: value for name, value in vars(self).items() if name not in LAST and name != "_model"}


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Zeros aligned to a cache line, so that no vector lies on two: a thin product takes a third less time."""
    count = math.prod(shape)
    room = np.zeros(count + LINE // dtype.itemsize, dtype)
    start = -address(room) % LINE // dtype.itemsize
    return room[start:start + count].reshape(shape)


def float_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """`dtype` as float32 or float64. Raises TypeError for any other."""
    try:
        found = np.dtype(dtype)
    except Exception:  # NumPy parses texts, and takes numbers for types of C
        found = None
    for known in (FLOAT32, FLOAT64):
        if found is not None and found == known:  # NumPy's float64 equals None
            return known
    raise TypeError(f"dtype must be float32 or float64, got {found or shown(dtype)}")


def fits(what: str, shape: tuple[int, ...], itemsize: int = 8) -> int:
    """The bytes of an array of that shape. Raises ValueError if no array may have so many."""
    size = math.prod(shape) * itemsize
    if size > MOST:
        raise ValueError(f"{what} would take {shown(size)} bytes, more than an array may have")
    return size


@contextmanager
def room(what: str, shape: tuple[int, ...], itemsize: int = 8) -> Iterator[None]:
    """Where an array of that shape is made: raises ValueError as `fits`, and MemoryError that says the bytes."""
    size = fits(what, shape, itemsize)
    try:
        yield
    except MemoryError as error:
        raise MemoryError(f"{what} would take {size} bytes, more than there is memory") from error


def as_floats(values: ArrayLike, dtype: np.dtype[Any] | None = None, name: str = "inputs", *,
              infinite: bool = False) -> Array:
    """`values` as an array of `dtype`; without one, float32 and float64 arrays stay, the rest becomes float32.

    Raises TypeError for masked arrays, for anything that is not an array and for elements that are not real numbers,
    ValueError for rows of different lengths and for finite numbers that `dtype` cannot represent. With `infinite`, for
    what a network computed, these become infinity.
    """
    if values.__class__ is np.ndarray:  # the usual case in 0.1 us
        found: Array = values
        kind = found.dtype
        if kind is dtype or dtype is None and (kind is FLOAT32 or kind is FLOAT64):
            return found
    else:
        found = as_plain(values, name)
    if found.dtype.kind not in "fiub":
        raise _no_numbers(values, found, name)
    if dtype is None:
        dtype = kept_dtype(values)
    # an unpickled array's dtype equals float32 but is another object: a view takes it to the fast path
    if found.dtype == dtype:
        return found.view(dtype)
    if found.dtype.kind != "f":
        return found.astype(dtype)  # no whole number is too large
    with np.errstate(all="ignore"):
        narrow = found.astype(dtype)
    if infinite or not np.count_nonzero(np.isinf(narrow)):
        return narrow
    large = np.isinf(narrow) & np.isfinite(found)
    if large.any():
        place = tuple(np.argwhere(large)[0].tolist())
        raise ValueError(f"{name} must contain numbers that {dtype} can represent, got {found[place]:g} at index "
                         f"{place[0] if len(place) == 1 else place}: scale them first")
    return narrow


def kept_dtype(values: ArrayLike) -> np.dtype[Any]:
    """float64 for float64 arrays of any byte order, else float32."""
    return FLOAT64 if isinstance(values, np.ndarray) and values.dtype.newbyteorder("=") == FLOAT64 else FLOAT32


def is_masked(values: Any) -> bool:
    """Whether it is a masked array of NumPy's."""
    kind: Any = getattr(sys.modules.get("numpy.ma.core"), "MaskedArray", ())  # whoever has one has imported it
    return isinstance(values, kind)


def as_plain(values: ArrayLike, name: str) -> Array:
    """As `as_array`, but masked arrays, whose masks it would drop, raise TypeError."""
    if is_masked(values):
        raise TypeError(f"{name} must be a plain array, got a masked one: fill it first")
    return as_array(values, name)


def as_array(values: ArrayLike, name: str) -> Array:
    """`values` as an array. Raises TypeError for anything else, such as a dict, ValueError for ragged rows."""
    try:
        found = np.asarray(values)
    except ValueError as error:  # NumPy's text names no argument
        raise ValueError(f"{name} must be an array, or lists of the same length: {error}") from error
    except (TypeError, RuntimeError) as error:  # PyTorch's text says what to call, but for bfloat16
        remedy = "" if "Use " in str(error) else ". Convert it to float32 first"
        raise TypeError(f"{name} must be an array, got {_shown(values)} that NumPy cannot read: {error}"
                        f"{remedy}") from error
    if not found.ndim and found.dtype.kind in "OSU" and not isinstance(values, np.ndarray):
        raise _no_array(values, name)  # NumPy makes an array () of any object
    return found


def _no_array(values: Any, name: str) -> TypeError:
    if hasattr(values, "toarray"):  # of SciPy
        return TypeError(f"{name} must be a dense array, got {_shown(values)}: use .toarray()")
    remedy = ""
    if isinstance(values, Mapping):
        remedy = ": use one of its values, or make a list of them"
    elif isinstance(values, Iterable) and not isinstance(values, (str, bytes)):
        remedy = ": make it a list"
    return TypeError(f"{name} must be an array, got {_shown(values)}{remedy}")


def _no_numbers(values: Any, found: Array, name: str) -> TypeError:
    # `found` is `values` as an array
    wish = f"{name} must contain real numbers, got"
    if found.dtype.kind not in "OSU":
        return TypeError(f"{wish} dtype {found.dtype}")
    wrong = _no_number(found)
    if wrong is None:
        remedy = ".astype(float)" if hasattr(values, "astype") else "np.array(..., float)"
        return TypeError(f"{wish} dtype {found.dtype}: use {remedy}")
    if found.ndim == 2 and hasattr(values, "columns") and hasattr(values, "dtypes"):  # of pandas or Polars
        first = {column: value[1] for column, each in zip(values.columns, found.T) if (value := _no_number(each))}
        column, *more = first
        return TypeError(f"{wish} {_shown(first[column])} in column {column!r}: encode or leave out "
                         f"{', '.join(map(repr, [column, *more[:4]]))}{', ...' * (len(more) > 4)}")
    place, value = wrong
    remedy = ""
    if isinstance(value, (np.ndarray, list, tuple)):
        remedy = ": use np.stack for rows of the same length"
    elif isinstance(value, (str, bytes)) and name == "y" and found.ndim == 1:
        remedy = ": encode text with nn.preparation.LabelEncoder"
    return TypeError(f"{wish} {_shown(value)} at index {place[0] if len(place) == 1 else place}{remedy}")


def _no_number(found: Array) -> tuple[tuple[int, ...], Any] | None:
    # the first text or object that is not a real number, and where it is
    for place, value in np.ndenumerate(found):
        try:
            if isinstance(value, np.ndarray):  # of one element NumPy would make a number
                return place, value
            float(value)
        except (TypeError, ValueError, OverflowError):
            return place, value
    return None


def _shown(value: Any) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (str, bytes)):
        return repr(value[:SHOWN])
    return "None" if value is None else type(value).__name__


def as_labels(labels: ArrayLike, dtype: np.dtype[Any], outputs: Sequence[int | None] = (None,),
              name: str = "labels") -> Array:
    """Class numbers (N,) as int64, or rows (N, C) with a share for each class, such as one-hot, as `dtype`.

    outputs: the shape of a sample's outputs, with None for a size that is not known. For (..., C) class numbers have
        shape (N, ...), and rows (N, ..., C).

    Class numbers may be floats with integer values. A column (N, ..., 1) holds class numbers too, unless the outputs
    have one column. Of the shape, only the number of dimensions is checked.

    Raises TypeError for text and other labels that are no numbers, ValueError for class numbers that are not whole, for
    another number of dimensions and for no columns.
    """
    ndim = len(outputs)  # of class numbers
    if labels.__class__ is np.ndarray and labels.dtype is INT64 and labels.ndim == ndim:
        return labels
    found = as_plain(labels, name)
    if found.ndim == ndim + 1 and found.shape[-1] == 1 != outputs[-1]:
        found = found[..., 0]
    if found.ndim not in (ndim, ndim + 1) or found.shape[ndim:] == (0,):
        sizes = "".join(f", {'...' if size is None else size}" for size in outputs[:-1])
        raise ValueError(f"{name} must have shape (N{sizes or ','}) or (N{sizes}, C), got {found.shape}")
    if found.ndim > ndim:
        return as_floats(labels, dtype, name)
    for label in found.flat if found.dtype.kind in "OSU" else ():
        if isinstance(label, (str, bytes)):
            raise TypeError(f"{name} must be class numbers, got text such as {_shown(label)}: encode it with "
                            "nn.preparation.LabelEncoder")
    if found.dtype.kind not in "fiub":
        raise _no_numbers(labels, found, name)
    if found.dtype.kind == "f":
        found = found.astype(np.promote_types(found.dtype, FLOAT64), copy=False)  # float16 ends at 65504
        wrong = ~np.isfinite(found) | (found != np.rint(found))
        if wrong.any():
            raise ValueError(f"{name} must be whole numbers, got {first_of(found, wrong)}")
    if found.dtype.kind in "fu" and (large := abs(found) >= 2**63).any():
        raise ValueError(f"{name} must be in -2^63..2^63-1, got {first_of(found, large)}")
    return found.astype(INT64, copy=False)


def within(name: str, numbers: Array, classes: int) -> Array:
    """Class numbers (N, ...) as they are. Raises ValueError for one outside 0..classes-1, naming the first."""
    if numbers.dtype == INT64 and not np.count_nonzero(numbers.view(np.uint64) >= max(0, classes)):
        return numbers  # a negative one would be large: a third of the time of what follows
    outside = (numbers < 0) | (numbers >= classes)
    if outside.any():
        first = first_of(numbers, outside)
        if classes < 1:  # as told by the largest
            raise ValueError(f"{name} must be class numbers of at least 0, got {first}")
        hint = ": class numbers count from 0" if (numbers.min(), numbers.max()) == (1, classes) else ""
        raise ValueError(f"{name} must lie in 0..{classes - 1}, got {first}{hint}")
    return numbers


def first_of(values: Array, wrong: Array) -> str:
    """The first value where `wrong` is True, and its index, for an error: "7 at index 3", "7 at index (0, 3)"."""
    place = tuple(np.argwhere(wrong)[0].tolist())
    return f"{values[place]} at index {place[0] if len(place) == 1 else place}"

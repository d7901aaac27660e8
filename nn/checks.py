"""Checks of single arguments: flags, numbers, seeds and functions, and how an error shows a value."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

LONGEST = 80  # characters of a value, in an error


def shown(value: Any) -> str:
    """A value in an error's text: what `repr` says, in one line that is not too long, or the name of its class where
    `repr` says only that and an address."""
    if type(value).__repr__ is object.__repr__:
        return type(value).__name__
    try:
        text = " ".join(repr(value).split())
    except Exception:  # of a class that is not ours, and Python writes no number of more than 4300 digits
        if isinstance(value, int):
            return f"{'-' * (value < 0)}10^{math.log10(abs(value)):.0f}"
        return f"{type(value).__name__} that cannot be shown"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def scalar(value: Any) -> Any:
    """The element of an array without dimensions; anything else as it is."""
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value


def is_whole(value: Any) -> bool:
    """Whether it is a whole number of Python or NumPy, and neither a bool nor an array."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.timedelta64))


def flag(name: str, value: Any) -> bool:
    """True or False, as a bool. Raises TypeError for anything else: the text "False" would count as True."""
    if value is True or value is False:  # the usual case in 0.05 us
        return value
    if not isinstance(value, np.bool_):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def optional_flag(name: str, value: Any) -> bool | None:
    """True, False or None. Raises TypeError for anything else."""
    if value is not None and not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True, False or None, got {shown(value)}")
    return None if value is None else bool(value)


def real(name: str, value: float) -> float:
    """A real number, NaN and infinity too, as a float. Raises TypeError for anything else."""
    found: Any = scalar(value)
    if isinstance(found, (bool, np.timedelta64)) or not isinstance(found, (Real, Decimal)):
        raise TypeError(f"{name} must be a number, got {shown(value)}")
    try:
        return float(found)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except ValueError:  # a signalling NaN of Decimal
        return math.nan


def finite(name: str, value: float, below: float = math.inf) -> float:
    """A number of at least 0 and less than `below`, as a float. Raises TypeError or ValueError for anything else."""
    found = real(name, value)
    if not 0 <= found < below:  # false for NaN too
        limit = "finite and at least 0" if below == math.inf else f"at least 0 and below {below:g}"
        raise ValueError(f"{name} must be {limit}, got {found}")
    return found


def positive(name: str, value: float) -> float:
    """A finite number above 0, as a float. Raises TypeError or ValueError for anything else."""
    found = real(name, value)
    if not 0 < found < math.inf:
        raise ValueError(f"{name} must be finite and greater than 0, got {found}")
    return found


def whole(name: str, value: int, least: int = 1, most: float = math.inf) -> int:
    """A whole number in least..most, as an int. Raises TypeError or ValueError for anything else."""
    found = scalar(value)
    if not is_whole(found):
        raise TypeError(f"{name} must be a whole number, got {shown(value)}")
    if not least <= found <= most:
        raise ValueError(f"{name} must be {f'at least {least}' if most == math.inf else f'in {least}..{most}'}, "
                         f"got {shown(int(found))}")
    return int(found)


def word(name: str, value: int) -> int:
    """A whole number of 64 bits, 0 <= value < 2^64, as an int: a seed of kernels."""
    return whole(name, value, 0, 2**64 - 1)


Seed = int | np.random.Generator | None


def as_seed(name: str, seed: Seed) -> Seed:
    """A whole number of at least 0 as an int, a Generator or None. Raises TypeError or ValueError for anything else:
    NumPy takes lists and True, too."""
    found = scalar(seed)
    if found is None or isinstance(found, np.random.Generator):
        return found
    number = is_whole(found)
    if not number or found < 0:
        raise (ValueError if number else TypeError)(
            f"{name} must be a whole number of at least 0, a NumPy Generator or None, got {shown(seed)}")
    return int(found)


def generator(name: str, seed: Seed) -> np.random.Generator:
    """The Generator, or one with that seed. Raises as `as_seed`."""
    return np.random.default_rng(as_seed(name, seed))


def function(name: str, value: Any, takes: str, *example: Any) -> Any:
    """A function as it is, or another callable object, that can be called with such arguments; `takes` says it in
    words. Raises TypeError for a class, and for a function that takes other arguments."""
    if isinstance(value, type):
        raise TypeError(f"{name} must not be a class, got {value.__name__}: write {value.__name__}(...)")
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):  # some of C's have none that can be read
        return value
    try:
        signature.bind(*example)
    except TypeError as error:
        raise TypeError(f"{name} must accept {takes}, got {shown(value)}, which does not: {error}") from error
    return value


def rename(error: BaseException, **names: str) -> None:
    """Write the user's names of arguments for those of a kernel's error, which the caller then raises again. An x
    between numbers, and what stands behind a dot, are no names."""
    text, got, found = str(error).partition(", got ")
    error.args = (re.sub(r"\d+ x \d+|(?<![.\w])\w+", lambda word: names.get(word[0], word[0]), text) + got + found,)


class _Checked:
    # it has no `__get__`, so that reading takes no call of Python's
    def __init__(self, check: Callable[[str, Any], Any]) -> None:
        self._check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __set__(self, owner: Any, value: Any) -> None:
        vars(owner)[self._name] = self._check(self._name, value)


def checked(check: Callable[[str, Any], Any]) -> Any:
    """For a class: an attribute that keeps what `check(name, value)` returns for each value that is assigned."""
    return _Checked(check)

"""Iterables of batches: what is one."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from .checks import shown

PAIR = "(X, y) or (X, y, sample_weight)"
AGAIN = "give a list of batches, or an object whose __iter__ begins anew each time"


def is_array(X: Any) -> bool:
    """Whether it is an array, or an object that says how NumPy makes one of it, such as a DataFrame or a tensor."""
    return any(hasattr(X, name) for name in ("__array__", "__array_interface__", "toarray"))


def check_iterable(name: str, given: Any, passes: int = 1) -> None:
    """Raise TypeError for what is no iterable of batches, ValueError for an iterator that cannot be passed again."""
    if isinstance(given, (str, bytes, Mapping)) or is_array(given) or not (
            hasattr(type(given), "__iter__") or hasattr(type(given), "__getitem__")):
        raise TypeError(f"{name} must be an iterable of batches {PAIR}, got {shown(given)}")
    iterator = isinstance(given, Generator) or (hasattr(given, "__next__")
                                                and type(given).__module__ in ("builtins", "itertools"))
    if passes > 1 and iterator:  # other iterators may begin anew
        raise ValueError(f"{name} is a {type(given).__name__}, which gives its batches once, but {passes} epochs need "
                         f"them again: {AGAIN}")

"""Iterables of batches, which a training, an evaluation or a prediction takes in place of arrays: a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import numpy as np

from ..arrays import Array
from ..checks import shown
from ..iterables import AGAIN, PAIR, check_iterable, is_array
from .step import Data

END = object()


def are_batches(X: Any) -> bool:
    """Whether inputs without labels are an iterable of batches: NumPy takes lists and other sequences for arrays."""
    return hasattr(type(X), "__iter__") and not hasattr(X, "__getitem__") and not is_array(X)


def check_batches(X: Any, epochs: int, sample_weight: Any, batch_size: int | None) -> None:
    """Raise TypeError or ValueError unless X, which comes without y, is an iterable of batches, and for arguments that
    belong to arrays."""
    if is_array(X):
        raise TypeError(f"y must be given for an array X, got None: only an iterable X has batches {PAIR}")
    check_iterable("X", X, epochs)
    if sample_weight is not None:
        raise ValueError("sample_weight must come with each batch of an iterable: (X, y, sample_weight)")
    if batch_size is not None:
        raise ValueError(f"batch_size must be None for an iterable X, whose batches have sizes of their own, got "
                         f"{batch_size}")


class Batches:
    """The batches of a user's iterable as `prepare` makes them of their parts. An error names the batch. What makes a
    batch runs within `around`."""

    def __init__(self, name: str, given: Any, prepare: Callable[..., Any], parts: Callable[[Any], Any] | None = None,
                 around: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self._name, self._given, self._prepare, self._parts = name, given, prepare, parts or as_pair
        self._around = around
        self._passes = 0

    @property
    def count(self) -> int | None:
        """How many there are, if the iterable says it."""
        with suppress(Exception):  # a loader may have a length that is an error
            return len(self._given)
        return None

    def then(self, take: Callable[[Any], Any]) -> Batches:
        """The same batches, each as `take` makes it of what they are here."""
        return Batches(self._name, self._given, lambda *parts: take(self._prepare(*parts)), self._parts, self._around)

    def __iter__(self) -> Iterator[Any]:
        self._passes += 1
        number = 0
        with self._around():
            given = iter(self._given)
        while (found := self._next(given, number)) is not END:
            number += 1
            yield found
            del found  # before the next one is made
        if not number:
            more = f" in epoch {self._passes}, as it gave them all before: {AGAIN}" if self._passes > 1 else ""
            raise ValueError(f"{self._name} has no batches{more}")

    def _next(self, given: Iterator[Any], number: int) -> Any:
        with self._around():
            batch = next(given, END)
            if batch is END:
                return END
            try:
                return self._prepare(*self._parts(batch))
            except (TypeError, ValueError) as error:
                kind = TypeError if isinstance(error, TypeError) else ValueError
                raise kind(f"batch {number} of {self._name}: {error}") from error


def as_pair(batch: Any) -> Any:
    """A batch with labels: a tuple or list of two or three. Raises TypeError for anything else."""
    if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
        found = f"{len(batch)} of them" if isinstance(batch, (tuple, list)) else shown(batch)
        raise TypeError(f"a batch must be {PAIR}, got {found}")
    return batch


def without_labels(batch: Any) -> tuple[Any]:
    """The inputs of a batch, which may have labels behind them: in a tuple, or in a list of arrays of different shapes,
    as PyTorch's loaders give it."""
    if isinstance(batch, tuple):
        return (batch[0] if len(batch) == 1 else as_pair(batch)[0],)
    pair = isinstance(batch, list) and len(batch) in (2, 3) and all(map(is_array, batch))
    return (batch[0] if pair and len({np.shape(each) for each in batch}) > 1 else batch,)


def joined(outputs: Iterator[Array], join: Callable[[list[Array]], Array]) -> Array:
    """The outputs for all batches. Raises ValueError if their samples differ in shape."""
    found: list[Array] = []
    for number, each in enumerate(outputs):
        if found and each.shape[1:] != found[0].shape[1:]:
            raise ValueError(f"batch {number} of X gives outputs of shape {each.shape[1:]} a sample, but the first "
                             f"{found[0].shape[1:]}: predict such batches one by one")
        found.append(each)
    return found[0] if len(found) == 1 else join(found)


def parts(data: Data | Batches, batch_size: int | None) -> Iterator[Data]:
    """The batches of data that are checked: arrays are cut into batches of that size, None takes them whole."""
    if isinstance(data, Batches):
        yield from data
        return
    samples = len(data[0])
    if batch_size is None or batch_size >= samples:
        yield data
        return
    for start in range(0, samples, batch_size):
        yield tuple([each[start:start + batch_size] for each in data])

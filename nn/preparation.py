"""Preparing data: scaling, one-hot labels, splits, mini-batches.

A scaler learns from the training data with `fit` and scales any data with `transform`; `inverse_transform` goes back.
NumPy does the sums here, in float64: another CPU may give another last bit, which training from there on keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .arrays import (FLOAT32, FLOAT64, INT64, Array, as_floats, as_labels, as_plain, float_dtype, generator, kept_dtype,
                     real, whole, within)
from .targets import balanced

MOST = 1 << 20  # classes that the largest label may tell: a wrong one should not fill the memory

Self = TypeVar("Self", bound="_Scaler")


class _Scaler:
    """transform: (x - offset) / divisor, for each feature, or for each channel of images (N, C, H, W)."""

    offset: Array | None = None
    divisor: Array | None = None

    def _learn(self, X: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
        raise NotImplementedError

    def fit(self: Self, X: ArrayLike) -> Self:
        """Learn from X (N, features), (N, C, H, W) or of other shapes (N, ...), and return the scaler.

        Raises ValueError for empty data and for data without a dimension of features.
        """
        X = as_floats(X, FLOAT64, "X")
        if X.ndim < 2 or not X.size:
            raise ValueError(f"X must have shape (N, features) or (N, C, H, W), none of them 0, got {X.shape}")
        self.offset, self.divisor = self._learn(X, (0, 2, 3) if X.ndim == 4 else (0,))
        return self

    def _fitting(self, X: ArrayLike) -> tuple[Array, Array, Array, np.dtype[Any]]:
        # X, offset and divisor in float64, in which float32's range does not overflow, and the dtype of the result
        if self.offset is None or self.divisor is None:
            raise RuntimeError("the scaler has learned nothing yet: call fit first")
        dtype = kept_dtype(X)
        X = as_floats(X, FLOAT64, "X")
        learned = self.offset.shape[1:]
        if X.ndim != len(learned) + 1 or any(a not in (b, 1) for a, b in zip(learned, X.shape[1:])):
            raise ValueError(f"X of shape {X.shape} does not fit what the scaler learned from: (N, "
                             f"{', '.join('any' if X.ndim == 4 and size == 1 else str(size) for size in learned)})")
        return X, self.offset, self.divisor, dtype

    def transform(self, X: ArrayLike) -> Array:
        """X scaled, in its own dtype if that is float32 or float64, else float32."""
        X, offset, divisor, dtype = self._fitting(X)
        scaled = X - offset
        scaled /= divisor
        return scaled.astype(dtype, copy=False)

    def fit_transform(self, X: ArrayLike) -> Array:
        """`fit`, then `transform` of the same data."""
        return self.fit(X).transform(X)

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Scaled X in its old units again."""
        X, offset, divisor, dtype = self._fitting(X)
        found = X * divisor
        found += offset
        return found.astype(dtype, copy=False)


class MinMaxScaler(_Scaler):
    """Each feature's smallest number becomes `low`, its largest `high`; a feature that never changes becomes `low`."""

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        self.low, self.high = real("low", low), real("high", high)
        if not -np.inf < self.low < self.high < np.inf:
            raise ValueError(f"low must be less than high, and both finite, got {low} and {high}")

    def _learn(self, X: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
        least = X.min(axes, keepdims=True)
        divisor = _not_0((X.max(axes, keepdims=True) - least) / (self.high - self.low))
        return least - self.low * divisor, divisor


class StandardScaler(_Scaler):
    """Each feature gets mean 0 and standard deviation 1; one that never changes becomes 0."""

    def _learn(self, X: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
        least = X.min(axes, keepdims=True)
        constant = least == X.max(axes, keepdims=True)  # the mean of equal numbers can differ from them in the last bit
        mean, deviation = X.mean(axes, keepdims=True), X.std(axes, keepdims=True)
        return np.where(constant, least, mean), np.where(constant, 1.0, _not_0(deviation))


def _not_0(divisor: Array) -> Array:
    return np.where(divisor == 0, 1.0, divisor)


def _class_numbers(labels: ArrayLike, classes: int | None) -> tuple[Array, int]:
    found = as_labels(labels, FLOAT32)
    if found.ndim != 1:
        raise ValueError(f"labels must have shape (N,), got {found.shape}")
    if classes is None:
        classes = int(found.max(initial=-1)) + 1
        if classes > MOST:
            raise ValueError(f"labels must be class numbers, got {classes - 1}: if so many are meant, give classes")
    return within("labels", found, whole("classes", classes, 0)), classes


def one_hot(labels: ArrayLike, classes: int | None = None, *, dtype: DTypeLike = np.float32) -> Array:
    """Rows (N, classes) with a 1 at each label, else 0. Without `classes`: one more than the largest label.

    Raises TypeError for labels that are no whole numbers, ValueError for one outside 0..classes-1.
    """
    found, classes = _class_numbers(labels, classes)
    rows = np.zeros((len(found), classes), float_dtype(dtype))
    rows[np.arange(len(found)), found] = 1
    return rows


def from_one_hot(rows: ArrayLike) -> Array:
    """The labels (N,) of one-hot rows, or of probabilities (N, C): where each row is largest, the first of equals."""
    found = as_floats(rows, name="rows")
    if found.ndim != 2 or not found.shape[1]:
        raise ValueError(f"rows must have shape (N, C), got {found.shape}")
    return found.argmax(axis=1).astype(INT64)


def balanced_class_weights(labels: ArrayLike, classes: int | None = None) -> Array:
    """For `class_weights` of a loss: N / (classes * count), (classes,) float64, so that each class has the same part in
    it. A class without samples gets 0.

    labels: numbers (N,), and how many `classes` there are if not one more than the largest; see `one_hot` for errors.
    Raises ValueError without labels.
    """
    found, classes = _class_numbers(labels, classes)
    if not len(found):
        raise ValueError("labels must not be empty")
    return balanced(found, classes)


def train_test_split(X: ArrayLike, y: ArrayLike, *, test: float | int = 0.25, shuffle: bool = True,
                     seed: int | np.random.Generator | None = None) -> tuple[Array, Array, Array, Array]:
    """X_train, X_test, y_train, y_test: `test` samples for the test, or that share of all, rounded up.

    The samples are drawn in the random order of `seed`; without `shuffle` the last ones are the test. Raises ValueError
    when either part would be empty, or X and y differ in length.
    """
    X, y = as_plain(X, "X"), as_plain(y, "y")
    count = _same_length(X, y)
    share = isinstance(test, (float, np.floating))
    number = share or isinstance(test, (int, np.integer)) and not isinstance(test, (bool, np.timedelta64))
    if not number or share and not 0 < test < 1:
        raise ValueError(f"test must be a share between 0 and 1 or a number of samples, got {test!r}")
    size = int(np.ceil(test * count)) if share else int(test)
    if not 0 < size < count:
        raise ValueError(f"{count} samples cannot be split into a test of {size} and a rest")
    order = generator("seed", seed).permutation(count) if shuffle else np.arange(count)
    train, rest = order[:-size], order[-size:]
    return X[train], X[rest], y[train], y[rest]


def batches(X: ArrayLike, y: ArrayLike, batch_size: int, *, shuffle: bool = False,
            seed: int | np.random.Generator | None = None) -> Iterator[tuple[Array, Array]]:
    """Pairs of `batch_size` samples and their labels, the last with those that are left.

    `shuffle` takes the samples in the random order of `seed`. Raises ValueError for a batch_size below 1 or for X and y
    of different length, at once, not at the first pair.
    """
    X, y = as_plain(X, "X"), as_plain(y, "y")
    count = _same_length(X, y)
    if (isinstance(batch_size, (bool, np.timedelta64)) or not isinstance(batch_size, (int, np.integer))
            or batch_size < 1):
        raise ValueError(f"batch_size must be a whole number of at least 1, got {batch_size!r}")
    order: Any = generator("seed", seed).permutation(count) if shuffle else None
    parts = [slice(start, start + batch_size) for start in range(0, count, batch_size)]
    return ((X[part], y[part]) if order is None else (X[order[part]], y[order[part]]) for part in parts)


def _same_length(X: Array, y: Array) -> int:
    if not X.ndim or not y.ndim or len(X) != len(y):
        raise ValueError(f"X and y must have one length, got shapes {X.shape} and {y.shape}")
    return len(X)

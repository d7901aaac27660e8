"""Preparing data: scaling, labels of text, one-hot labels, splits, mini-batches.

A scaler learns from the training data with `fit` and scales any data with `transform`; `inverse_transform` goes back.
NaN, for what is missing, is left out of what is learned and stays NaN. A network cannot learn from it: fill it before,
for example by `np.nan_to_num` after a StandardScaler, which puts each feature's mean there.
NumPy does the sums here, in float64: another CPU may give another last bit, which training from there on keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .arrays import (FLOAT32, FLOAT64, INT64, Array, as_floats, as_labels, as_plain, flag, float_dtype, generator,
                     kept_dtype, real, whole, within)
from .targets import balanced

MOST = 1 << 20  # classes that the largest label may tell: a wrong one should not fill the memory
KINDS = {"U": "text", "S": "bytes", "b": "a bool"}  # of labels, by the kind of their dtype; the others are numbers

Self = TypeVar("Self", bound="_Scaler")


class _Scaler:
    """transform: (x - offset) / divisor, for each feature, or for each channel of images (N, C, H, W)."""

    offset: Array | None = None
    divisor: Array | None = None

    def _learn(self, X: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
        raise NotImplementedError

    def fit(self: Self, X: ArrayLike) -> Self:
        """Learn from X (N, features), (N, C, H, W) or of other shapes (N, ...), and return the scaler.

        A feature that is NaN throughout becomes NaN, as in scikit-learn. Raises ValueError for empty data, for data
        without a dimension of features, for infinity, and for a feature whose range float64 does not hold.
        """
        X = as_floats(X, FLOAT64, "X")
        if X.ndim < 2 or not X.size:
            raise ValueError(f"X must have shape (N, features) or (N, C, H, W), none of them 0, got {X.shape}")
        _not_infinite(X)
        with np.errstate(all="ignore"):  # 0 / 0 is the mean of NaN alone
            offset, divisor = self._learn(X, (0, 2, 3) if X.ndim == 4 else (0,))
        wrong = ~np.isnan(X) & ~(np.isfinite(offset) & np.isfinite(divisor))
        if wrong.any():
            place = np.unravel_index(np.where(wrong, abs(X), -1).argmax(), X.shape)
            raise ValueError(f"X holds numbers too large to scale, such as {X[place]:g} at {_at(place)}")
        self.offset, self.divisor = offset, divisor
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
        _not_infinite(X)
        return X, self.offset, self.divisor, dtype

    def transform(self, X: ArrayLike) -> Array:
        """X scaled, in its own dtype if that is float32 or float64, else float32.

        Raises RuntimeError before `fit`, ValueError for another shape than that of `fit` and for infinity.
        """
        X, offset, divisor, dtype = self._fitting(X)
        scaled = X - offset
        scaled /= divisor
        return scaled.astype(dtype, copy=False)

    def fit_transform(self, X: ArrayLike) -> Array:
        """`fit`, then `transform` of the same data."""
        return self.fit(X).transform(X)

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Scaled X in its old units again. Errors are those of `transform`."""
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
        least, largest = _range(X, axes)
        divisor = _not_0((largest - least) / (self.high - self.low))
        return least - self.low * divisor, divisor


class StandardScaler(_Scaler):
    """Each feature gets mean 0 and standard deviation 1; one that never changes becomes 0."""

    def _learn(self, X: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
        least, largest = _range(X, axes)
        constant = least == largest  # the mean of equal numbers can differ from them in the last bit
        known = ~np.isnan(X)
        where: Any = True if known.all() else known  # sums with a mask are added in another order
        count = known.sum(axes, keepdims=True)
        mean = X.sum(axes, keepdims=True, where=where) / count
        deviation = np.sqrt(np.square(X - mean).sum(axes, keepdims=True, where=where) / count)
        return np.where(constant, least, mean), np.where(constant, 1.0, _not_0(deviation))


def _range(X: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    # NaN only where there is nothing else. Of 0 and -0 NumPy's minimum and fmin may take either
    least, largest = (np.fmin, np.fmax) if np.isnan(X).any() else (np.minimum, np.maximum)
    return least.reduce(X, axes, keepdims=True), largest.reduce(X, axes, keepdims=True)


def _not_0(divisor: Array) -> Array:
    return np.where(divisor == 0, 1.0, divisor)


def _not_infinite(X: Array) -> None:
    wrong = np.isinf(X)
    if wrong.any():
        place = np.unravel_index(wrong.argmax(), X.shape)
        raise ValueError(f"X must not hold infinity, got {X[place]} at {_at(place)}")


def _at(place: tuple[Any, ...]) -> str:
    row, *rest = map(int, place)
    if len(rest) == 1:
        return f"row {row}, column {rest[0]}"
    return f"sample {row}, " + (f"channel {rest[0]}" if len(rest) == 3 else f"feature {tuple(rest)}")


class LabelEncoder:
    """Class numbers for labels of text, bytes, bools or numbers: their places in `classes`, the sorted labels of `fit`.

        encoder = nn.preparation.LabelEncoder()
        model.train(X, encoder.fit_transform(labels))
        found = encoder.inverse_transform(nn.preparation.from_one_hot(model.predict(X)))  # one output for each class
        found = encoder.inverse_transform((model.predict(X) > 0.5)[:, 0].astype(int))     # a single sigmoid output

    A model's file does not hold the encoder. Save its classes beside it, `np.save(path, encoder.classes)`, or as JSON
    `encoder.classes.tolist()`: `LabelEncoder().fit(np.load(path))` is the same encoder.
    """

    classes: Array | None = None

    def fit(self, labels: ArrayLike) -> LabelEncoder:
        """Learn the classes from labels (N,) or (N, 1), and return the encoder.

        Raises TypeError for labels of another kind or of several, ValueError for none, another shape, None and NaN.
        """
        found = _of_one_kind(labels)
        if not len(found):
            raise ValueError("labels must not be empty")
        self.classes = np.unique(found)
        return self

    def _learned(self) -> Array:
        if self.classes is None:
            raise RuntimeError("the encoder has learned nothing yet: call fit first")
        return self.classes

    def transform(self, labels: ArrayLike) -> Array:
        """The class numbers (N,), int64, of labels (N,) or (N, 1).

        Raises RuntimeError before `fit`, ValueError for a label that `fit` has not seen, else the errors of `fit`.
        """
        classes = self._learned()
        found = _of_one_kind(labels)
        learned, kind = (KINDS.get(each.dtype.kind, "a number") for each in (classes, found))
        if len(found) and kind != learned:
            raise TypeError(f"labels must be of the kind that fit has seen, {learned}, got {kind}")
        numbers = np.searchsorted(classes, found).clip(max=len(classes) - 1)
        unseen = np.flatnonzero(classes[numbers] != found)
        if len(unseen):
            raise ValueError("labels must be among the classes that fit has seen, got "
                             f"{found[unseen[0]].item()!r} at index {unseen[0]}")
        return numbers.astype(INT64, copy=False)

    def fit_transform(self, labels: ArrayLike) -> Array:
        """`fit`, then `transform` of the same labels."""
        return self.fit(labels).transform(labels)

    def inverse_transform(self, numbers: ArrayLike) -> Array:
        """The labels (N,) of class numbers (N,) or (N, 1).

        Raises RuntimeError before `fit`, TypeError or ValueError for numbers that are none of classes.
        """
        classes = self._learned()
        found = as_labels(numbers, FLOAT32, name="numbers")
        if found.ndim != 1:
            raise ValueError(f"numbers must have shape (N,), got {found.shape}: use from_one_hot first")
        return classes[within("numbers", found, len(classes))]


def _of_one_kind(labels: ArrayLike) -> Array:
    found = as_plain(labels, "labels")
    if isinstance(labels, (list, tuple)):
        found = np.asarray(labels, object)  # else [1, "a"] would be text
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1:
        raise ValueError(f"labels must have shape (N,) or (N, 1), got {found.shape}")
    if found.dtype.kind not in "USbiuf":
        found = found.astype(object)
        kinds = [_kind(label, index) for index, label in enumerate(found)]
        for index, kind in enumerate(kinds):
            if kind != kinds[0]:
                raise TypeError(f"labels must be of one kind, got {kinds[0]} at index 0 and {kind} at index {index}")
        found = np.array(found.tolist())
        if found.dtype == object:  # whole numbers beyond, fractions
            raise TypeError("labels must be numbers of 64 bits")
    missing = np.flatnonzero(found != found)
    if len(missing):
        raise ValueError(f"labels must not be missing, got nan at index {missing[0]}")
    return found


def _kind(label: Any, index: int) -> str:
    if label is None or isinstance(label, Real) and label != label:
        raise ValueError(f"labels must not be missing, got {label} at index {index}")
    for kind, types in (("text", str), ("bytes", bytes), ("a bool", (bool, np.bool_)), ("a number", Real)):
        if isinstance(label, types):
            return kind
    raise TypeError(f"labels must be text, numbers or bools, got {type(label).__name__} at index {index}")


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

    labels: class numbers (N,) or (N, 1). Raises TypeError for labels that are no numbers, ValueError for one that is
    not whole or outside 0..classes-1.
    """
    found, classes = _class_numbers(labels, classes)
    rows = np.zeros((len(found), classes), float_dtype(dtype))
    rows[np.arange(len(found)), found] = 1
    return rows


def from_one_hot(rows: ArrayLike) -> Array:
    """The labels (N,) of one-hot rows, or of probabilities (N, C): where each row is largest, the first of equals.

    Raises ValueError for another number of dimensions, less than two columns, or NaN.
    """
    found = as_floats(rows, name="rows")
    if found.ndim != 2 or not found.shape[1]:
        raise ValueError(f"rows must have shape (N, C), got {found.shape}")
    if found.shape[1] == 1:  # whose first column is always the largest
        raise ValueError(f"rows must have a column for each class, got {found.shape}: of probabilities of a single "
                         "output, write (rows > 0.5)[:, 0].astype(int)")
    wrong = np.isnan(found)
    if wrong.any():
        raise ValueError(f"rows must not hold NaN, got it at {_at(np.unravel_index(wrong.argmax(), found.shape))}")
    return found.argmax(axis=1).astype(INT64)


def balanced_class_weights(labels: ArrayLike, classes: int | None = None) -> Array:
    """For `class_weights` of a loss: N / (classes * count), (classes,) float64, so that each class has the same part in
    it. A class without samples gets 0.

    labels: numbers (N,) or (N, 1), and how many `classes` there are if not one more than the largest; see `one_hot` for
    errors. Raises ValueError without labels.
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
    order = generator("seed", seed).permutation(count) if flag("shuffle", shuffle) else np.arange(count)
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
    order: Any = generator("seed", seed).permutation(count) if flag("shuffle", shuffle) else None
    parts = [slice(start, start + batch_size) for start in range(0, count, batch_size)]
    return ((X[part], y[part]) if order is None else (X[order[part]], y[order[part]]) for part in parts)


def _same_length(X: Array, y: Array) -> int:
    if not X.ndim or not y.ndim or len(X) != len(y):
        raise ValueError(f"X and y must have one length, got shapes {X.shape} and {y.shape}")
    return len(X)

"""Preparing data: scaling, text labels, one-hot labels, splits, mini-batches.

A scaler learns from the training data with `fit` and scales any data with `transform`; `inverse_transform` reverses it.
NaN stands for missing values: `fit` ignores it, and `transform` keeps it. A network cannot learn from NaN, so replace
it first, for example by `np.nan_to_num` after a StandardScaler, which puts the mean of the feature there.
The sums here are NumPy's, in float64, so the last bit may differ on another CPU; the training then depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..arrays import (FLOAT32, FLOAT64, INT64, Array, Seed, as_floats, as_labels, as_plain, flag, float_dtype,
                      generator, is_whole, kept_dtype, real, room, scalar, shown, whole, within)
from ..targets import balanced

MOST = 1 << 20  # classes by the largest label: a wrong one should not fill the memory
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

        A feature of only NaN stays NaN, as in scikit-learn. Raises ValueError for empty data, for data without a
        dimension of features, for infinity, and for a feature whose range overflows float64.
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

        Raises RuntimeError before `fit`, ValueError for another shape than that of `fit`, for infinity, and for what
        would become infinity.
        """
        X, offset, divisor, dtype = self._fitting(X)
        with np.errstate(over="ignore"):
            scaled = X - offset
            scaled /= divisor
            return _held(scaled.astype(dtype, copy=False), X)

    def fit_transform(self, X: ArrayLike) -> Array:
        """`fit`, then `transform` of the same data."""
        return self.fit(X).transform(X)

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Scaled X in the original units. Errors are those of `transform`."""
        X, offset, divisor, dtype = self._fitting(X)
        with np.errstate(over="ignore"):
            found = X * divisor
            found += offset
            return _held(found.astype(dtype, copy=False), X)


class MinMaxScaler(_Scaler):
    """Scales each feature so that its minimum becomes `low`, its maximum `high`; a constant feature becomes `low`."""

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        self.low, self.high = real("low", low), real("high", high)
        if not -np.inf < self.low < self.high < np.inf:
            raise ValueError(f"low must be less than high, and both finite, got {self.low} and {self.high}")
        if self.high - self.low == np.inf:
            raise ValueError(f"low and high must be nearer to each other, got {self.low} and {self.high}")

    def _learn(self, X: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
        least, largest = _range(X, axes)
        divisor = _not_0((largest - least) / (self.high - self.low))
        return least - self.low * divisor, divisor


class StandardScaler(_Scaler):
    """Scales each feature to mean 0 and standard deviation 1; a constant feature becomes 0."""

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


def _held(scaled: Array, X: Array) -> Array:
    wrong = np.isinf(scaled)
    if wrong.any():
        place = np.unravel_index(wrong.argmax(), X.shape)
        raise ValueError(f"X holds numbers too large for {scaled.dtype} once scaled, such as {X[place]:g} at "
                         f"{_at(place)}")
    return scaled


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
    """Converts text labels, or labels that are bytes, bools or numbers, to class numbers and back.

    The class number of a label is its index in `classes`, the sorted distinct labels that `fit` has seen.

        encoder = nn.preparation.LabelEncoder()
        model.train(X, encoder.fit_transform(labels))
        found = encoder.inverse_transform(nn.preparation.from_one_hot(model.predict(X)))  # one output for each class
        found = encoder.inverse_transform((model.predict(X) > 0.5)[:, 0].astype(int))     # a single sigmoid output

    `Model.save` does not save the encoder. Save its classes with `np.save(path, encoder.classes)`, or
    `encoder.classes.tolist()` as JSON. `LabelEncoder().fit(np.load(path))` is the same encoder.
    """

    classes: Array | None = None

    def fit(self, labels: ArrayLike) -> LabelEncoder:
        """Learn the classes from labels (N,) or (N, 1), and return the encoder.

        Raises TypeError for labels of another or of mixed kinds, ValueError for no labels, another shape, None, NaN, a
        text that ends in a NUL character, and numbers that no dtype of NumPy keeps apart.
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
        # Python compares whole numbers and floats exactly; NumPy takes 2**53 + 1 for 2.0**53
        places = {label: place for place, label in enumerate(classes.tolist())}
        numbers = [places.get(label, -1) for label in found.tolist()]
        if -1 in numbers:
            unseen = numbers.index(-1)
            raise ValueError("labels must be among the classes that fit has seen, got "
                             f"{shown(found[unseen].item())} at index {unseen}")
        return np.array(numbers, INT64)

    def fit_transform(self, labels: ArrayLike) -> Array:
        """`fit`, then `transform` of the same labels."""
        return self.fit(labels).transform(labels)

    def inverse_transform(self, numbers: ArrayLike) -> Array:
        """The labels (N,) of class numbers (N,) or (N, 1).

        Raises RuntimeError before `fit`, TypeError or ValueError for what is no class number.
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
        given = [label.item() if isinstance(label, np.generic) else label for label in found]
        found = np.array(given)
        if found.dtype == object:  # integers of more than 64 bits, fractions
            raise TypeError("labels must be numbers of 64 bits")
        _not_merged(found, given)
    missing = np.flatnonzero(found != found)
    if len(missing):
        raise ValueError(f"labels must not be missing, got nan at index {missing[0]}")
    return found


def _not_merged(found: Array, given: list[Any]) -> None:
    # an array cuts a NUL off the end of a text, and rounds large whole numbers beside a float or a negative number
    for index, (kept, label) in enumerate(zip(found.tolist(), given)):
        if kept == label:
            continue
        if isinstance(label, (str, bytes)):
            raise ValueError(f"labels must not end in a NUL character, got {shown(label)} at index {index}: NumPy "
                             f"takes it for {shown(kept)}")
        raise ValueError(f"labels must be numbers that one dtype holds, got {shown(label)} at index {index}, which "
                         f"becomes {kept}: give text")


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
        if not len(found):
            raise ValueError("labels must not be empty: give classes")
        if found.min() < 0:
            raise ValueError(f"labels must be class numbers of at least 0, got {found.min()} at index {found.argmin()}")
        classes = int(found.max()) + 1
        if classes > MOST:
            raise ValueError(f"labels must be class numbers, got {classes - 1}: if so many are meant, give classes")
    return within("labels", found, whole("classes", classes)), classes


def one_hot(labels: ArrayLike, classes: int | None = None, *, dtype: DTypeLike = np.float32) -> Array:
    """One-hot rows (N, classes): 1 at the label of each sample, else 0.

    labels: class numbers (N,) or (N, 1).
    classes: the number of classes; by default one more than the largest label.

    Raises TypeError for labels that are not numbers, ValueError for one that is not whole or not in 0..classes-1.
    """
    found, classes = _class_numbers(labels, classes)
    kind = float_dtype(dtype)
    with room("rows (labels, classes)", (len(found), classes), kind.itemsize):
        rows = np.zeros((len(found), classes), kind)
    rows[np.arange(len(found)), found] = 1
    return rows


def from_one_hot(rows: ArrayLike) -> Array:
    """The labels (N,) of one-hot rows or probabilities (N, C): the index of the largest element of each row, the first
    of equals.

    Raises ValueError for another number of dimensions, fewer than two columns, or NaN.
    """
    found = as_floats(rows, FLOAT64, "rows")  # float32 could make two numbers equal
    if found.ndim != 2 or not found.shape[1]:
        raise ValueError(f"rows must have shape (N, C), got {found.shape}")
    if found.shape[1] == 1:  # whose first column is always the largest
        raise ValueError(f"rows must have a column for each class, got {found.shape}: for probabilities of a single "
                         "output, write (rows > 0.5)[:, 0].astype(int)")
    wrong = np.isnan(found)
    if wrong.any():
        raise ValueError(f"rows must not hold NaN, got it at {_at(np.unravel_index(wrong.argmax(), found.shape))}")
    return found.argmax(axis=1).astype(INT64)


def balanced_class_weights(labels: ArrayLike, classes: int | None = None) -> Array:
    """Weights for `class_weights` of a loss that give each class the same total weight: N / (classes * count), shape
    (classes,), float64.

    labels: class numbers (N,) or (N, 1).
    classes: the number of classes; by default one more than the largest label.

    Raises ValueError for no labels and for a class without any, else the errors of `one_hot`.
    """
    found, classes = _class_numbers(labels, classes)
    if not len(found):
        raise ValueError("labels must not be empty")
    with room("weights of classes", (classes,)):
        return balanced(found, classes)


def train_test_split(X: ArrayLike, y: ArrayLike, *, test: float | int = 0.25, shuffle: bool = True,
                     seed: Seed = None) -> tuple[Array, Array, Array, Array]:
    """Split X and y into X_train, X_test, y_train, y_test.

    test: the number of test samples, or their share of all samples, rounded up.
    shuffle: draw the test samples at random; False takes the last ones.
    seed: a number or a NumPy Generator, for the random order; None gives another order in each run.

    Raises ValueError if either part would be empty, or if X and y differ in length, TypeError for a `test` that is no
    number.
    """
    X, y = as_plain(X, "X"), as_plain(y, "y")
    count = _same_length(X, y)
    test = scalar(test)
    share = isinstance(test, (float, np.floating))
    if not share and not is_whole(test) or share and not 0 < test < 1:
        raise (ValueError if share else TypeError)(
            f"test must be a share between 0 and 1 or a number of samples, got {shown(test)}")
    size = int(np.ceil(test * count)) if share else int(test)
    if not 0 < size < count:
        raise ValueError(f"{count} samples cannot be split into a test of {shown(size)} and a rest")
    random = generator("seed", seed)
    order = random.permutation(count) if flag("shuffle", shuffle) else np.arange(count)
    train, rest = order[:-size], order[-size:]
    return X[train], X[rest], y[train], y[rest]


def batches(X: ArrayLike, y: ArrayLike, batch_size: int, *, shuffle: bool = False,
            seed: Seed = None) -> Iterator[tuple[Array, Array]]:
    """Iterate over pairs of `batch_size` samples and their labels; the last batch may be smaller.

    shuffle: take the samples in random order.
    seed: a number or a NumPy Generator, for that order; None gives another order in each run.

    Raises ValueError for a batch_size below 1 or for X and y of different lengths, when called, not at the first pair.
    """
    X, y = as_plain(X, "X"), as_plain(y, "y")
    count = _same_length(X, y)
    batch_size = whole("batch_size", batch_size)
    random = generator("seed", seed)
    order: Any = random.permutation(count) if flag("shuffle", shuffle) else None
    parts = [slice(start, start + batch_size) for start in range(0, count, batch_size)]
    return ((X[part], y[part]) if order is None else (X[order[part]], y[order[part]]) for part in parts)


def _same_length(X: Array, y: Array) -> int:
    if not X.ndim or not y.ndim or len(X) != len(y):
        raise ValueError(f"X and y must have the same length, got shapes {X.shape} and {y.shape}")
    return len(X)

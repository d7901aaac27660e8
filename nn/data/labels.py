"""Class numbers from text labels, one-hot rows of them, and weights of classes."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..arrays import FLOAT32, FLOAT64, INT64, Array, as_floats, as_labels, as_plain, float_dtype, room, within
from ..checks import shown, whole
from ..targets import balanced

MOST = 1 << 20  # classes by the largest label: a wrong one should not fill the memory
KINDS = {"U": "text", "S": "bytes", "b": "a bool"}  # of labels, by the kind of their dtype; the others are numbers


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
            raise RuntimeError("the encoder is not fitted: call fit first")
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

        Raises RuntimeError before `fit`, TypeError or ValueError for anything that is not a class number.
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
        raise ValueError(f"labels must be numbers that a single dtype can represent, got {shown(label)} at index "
                         f"{index}, which becomes {kept}: give text")


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
    missing = np.argwhere(np.isnan(found))
    if len(missing):
        raise ValueError("rows must not contain NaN, got it at row {}, column {}".format(*missing[0]))
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

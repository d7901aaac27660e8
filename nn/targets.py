"""Checks of labels and targets, and class weights. Of the numbers here, only these weights affect results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .arrays import FLOAT64, Array, as_floats, finite, whole

ClassWeights = list[float] | dict[int, float] | str
BALANCED = "balanced"
ROUNDING = 0.01  # of the sum of a row: 0.33, 0.33 and 0.33 are accepted


def within_unit(name: str, values: Array, remedy: str) -> None:
    """Raise ValueError unless all values (N, C) lie in 0..1, naming the first that does not and the remedy."""
    if not values.size or values.min() >= 0 and values.max() <= 1:  # false for NaN
        return
    row, column = np.argwhere(~((values >= 0) & (values <= 1)))[0]
    place = f"row {row}" if values.shape[1] == 1 else f"row {row}, column {column}"
    raise ValueError(f"{name} must lie in 0..1, got {values[row, column]} in {place}: {remedy}")


def check_shares(rows: Array) -> None:
    """Raise ValueError unless rows (N, C) are in 0..1 and add up to 1."""
    within_unit("one-hot labels", rows, "write 1 for the class of a sample and 0 for the others")
    sums = rows.sum(axis=1)
    wrong = np.flatnonzero(abs(sums - 1) > ROUNDING)
    if len(wrong):
        raise ValueError(f"one-hot labels must add up to 1 in each row, got {sums[wrong[0]]:g} in row {wrong[0]}: for "
                         "several classes or none a sample, use Sigmoid() with BinaryCrossentropy()")


def as_weights(name: str, weights: Array) -> Array:
    """Weights (N,) as they are. Raises ValueError unless all are finite and at least 0."""
    wrong = np.flatnonzero(~((weights >= 0) & (weights < np.inf)))  # NaN too
    if len(wrong):
        raise ValueError(f"{name} must be finite and at least 0, got {weights[wrong[0]]} at index {wrong[0]}")
    return weights


def as_class_weights(given: ArrayLike | Mapping[int, float] | str | None) -> ClassWeights | None:
    """A list of numbers, a dict of numbers by class, "balanced" or None.

    Raises TypeError or ValueError for other kinds, and unless all numbers are finite and at least 0.
    """
    if given is None or isinstance(given, str) and given == BALANCED:
        return given
    if isinstance(given, str):
        raise ValueError(f"class_weights must be numbers, a dict or {BALANCED!r}, got {given!r}")
    if isinstance(given, Mapping):
        if not given:
            raise ValueError("class_weights must name at least one class, got an empty dict")
        return {whole("a class in class_weights", key, 0): finite(f"class_weights[{key}]", value)
                for key, value in given.items()}
    found = as_floats(given, FLOAT64, "class_weights")
    if found.ndim != 1 or not found.size:
        raise ValueError(f"class_weights must have one number for each class, got shape {found.shape}")
    weights: list[float] = as_weights("class_weights", found).tolist()
    return weights


def check_count(class_weights: ClassWeights | None, classes: int) -> None:
    """Raise ValueError for class weights that do not fit the number of classes; a dict may leave classes out."""
    if isinstance(class_weights, dict):
        if max(class_weights, default=0) >= classes:
            raise ValueError(f"class_weights must name classes in 0..{classes - 1}, got {max(class_weights)}")
    elif isinstance(class_weights, list) and len(class_weights) != classes:
        raise ValueError(f"class_weights must have {classes} numbers, one for each class, got {len(class_weights)}")


def balanced(labels: Array, classes: int) -> Array:
    """N / (classes * count) for each class, (classes,) float64, for labels (N,) in 0..classes-1; 0 if count is 0."""
    counts = np.bincount(labels, minlength=classes)
    return np.divide(len(labels) / classes, counts, out=np.zeros(classes), where=counts > 0)


def weights_of(labels: Array, class_weights: list[float] | dict[int, float], dtype: np.dtype[Any]) -> Array:
    """The weight (N,) of each label (N,) of at least 0; 1 if a dict leaves its class out.

    Raises ValueError for a label beyond a list.
    """
    largest = int(labels.max(initial=0))
    if isinstance(class_weights, dict):
        class_weights = [class_weights.get(label, 1.0) for label in range(largest + 1)]
    elif largest >= len(class_weights):
        raise ValueError(f"class_weights are those of {len(class_weights)} classes, but there is a label {largest}")
    found: Array = as_weights("class_weights", np.array(class_weights, dtype))[labels]
    return found

"""Checks of labels and targets, and class weights. Of the numbers here, only these weights affect results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .arrays import FLOAT32, FLOAT64, Array, as_floats, first_of
from .checks import finite, real, shown, whole

Outputs = int | tuple[int, ...] | None  # of a sample: how many, or their shape (..., C); None if unknown
ClassWeights = list[float] | dict[int, float] | str
BALANCED = "balanced"
BEYOND = 2.0**-21  # 0 and 1, by rounding: 4 steps of float32 at 1
ROUNDING = 0.01  # of the sum of a row: 0.33, 0.33 and 0.33 are accepted
DIGITS = 0.0005  # of a share of 3 digits


def sample_shape(outputs: Outputs) -> tuple[int, ...] | None:
    """The shape of a sample's outputs."""
    return outputs if outputs is None or isinstance(outputs, tuple) else (outputs,)


def as_rows(outputs: Array, y: Array) -> tuple[Array, Array]:
    """Outputs (N, ..., C) as rows (R, C), and labels (N, ...) or (N, ..., C) as (R,) or (R, C); of contiguous arrays
    views, which a recorded step knows by their addresses.

    Raises ValueError for labels of another shape, but leaves those of outputs (N, C) to the kernel.
    """
    if outputs.ndim <= 2:
        return outputs, y
    *positions, columns = outputs.shape
    if y.shape not in (outputs.shape[:-1], outputs.shape):
        raise ValueError(f"labels must have shape {outputs.shape[:-1]} or {outputs.shape}, got {y.shape}")
    shape = math.prod(positions), columns
    return outputs.reshape(shape), y.reshape(shape if y.ndim == outputs.ndim else shape[:1])


def not_one_hot(rows: Array) -> Array:
    """Which of the rows (..., C) are anything else than a single 1 and zeros: (...) bool."""
    found: Array = (np.count_nonzero(rows == 1, axis=-1) != 1) | (np.count_nonzero(rows, axis=-1) != 1)
    return found


def are_class_numbers(labels: Array) -> bool:
    """Whether labels of at least two dimensions, of outputs whose shape is not known, are class numbers (N, ...) and no
    rows (N, ..., C): whole numbers that are not one-hot."""
    return (labels.ndim > 1 and labels.shape[-1] > 1 and labels.dtype.kind in "fiu"
            and bool((labels == np.rint(labels)).all() and not_one_hot(labels).any()))


def are_within_unit(values: Array) -> bool:
    """Whether float32 or float64 values all lie in 0..1."""
    # as whole numbers without a sign, the bits of negative numbers and of NaN are large: half the time of min and max
    bits: Any = values.view(np.uint32 if values.dtype == FLOAT32 else np.uint64)
    return not np.count_nonzero(bits > (0x3F800000 if values.dtype == FLOAT32 else 0x3FF0000000000000))  # of 1


def within_unit(name: str, values: Array, remedy: str) -> Array:
    """Values (N, ..., C) with those that lie beyond 0..1 by rounding moved to its ends.

    Raises ValueError for others outside 0..1, naming the first and the remedy.
    """
    if are_within_unit(values) or values.min() >= 0 and values.max() <= 1:  # of -0, only the second
        return values
    right = (values >= -BEYOND) & (values <= 1 + BEYOND)
    if right.all():
        return values.clip(0, 1)
    place = first_of(values, ~right)
    if values.ndim == 2:
        row, column = np.argwhere(~right)[0]
        place = f"{values[row, column]} in row {row}{f', column {column}' if values.shape[1] > 1 else ''}"
    raise ValueError(f"{name} must lie in 0..1, got {place}: {remedy}")


def as_shares(rows: Array) -> Array:
    """Rows (N, ..., C) of shares of classes, as `within_unit` returns them.

    Raises ValueError unless they are in 0..1 and their sum is 1, except for rounding to 3 digits: all shares may be too
    small, but at most half of the sum is lost, and those that are not 0 may be too large.
    """
    rows = within_unit("one-hot labels", rows, "write 1 for the class of a sample and 0 for the others")
    sums = rows.sum(axis=-1)
    beyond = sums - 1
    wrong = abs(beyond) > ROUNDING + BEYOND
    if wrong.any():
        wrong &= ((beyond > DIGITS * np.count_nonzero(rows, axis=-1)) | (beyond < -min(0.5, DIGITS * rows.shape[-1])))
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0].tolist())
        raise ValueError(f"one-hot labels must add up to 1 in each row, got {sums[place]:g} in row "
                         f"{place[0] if len(place) == 1 else place}: if a sample may have several classes or none, use "
                         "Sigmoid() with BinaryCrossentropy()")
    return rows


def as_threshold(name: str, value: float) -> float:
    """A finite number, as a float; it may be negative, for scores. Raises TypeError or ValueError for anything else."""
    found = real(name, value)
    if not math.isfinite(found):
        raise ValueError(f"{name} must be finite, got {found}")
    return found


def as_weights(name: str, weights: Array) -> Array:
    """Weights (N, ...) as they are. Raises ValueError unless all are finite and at least 0."""
    wrong = ~((weights >= 0) & (weights < np.inf))  # NaN too
    if wrong.any():
        found = weights[wrong][0]
        kind = f" (as {found.dtype})" if found == np.inf and found.dtype == FLOAT32 else ""  # 1e39 is another number
        raise ValueError(f"{name} must be finite and at least 0, got {first_of(weights, wrong)}{kind}")
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
        return {whole("a class in class_weights", key, 0): finite(f"class_weights[{shown(key)}]", value)
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
            raise ValueError(f"class_weights must name classes in 0..{classes - 1}, got {shown(max(class_weights))}")
    elif isinstance(class_weights, list) and len(class_weights) != classes:
        raise ValueError(f"class_weights must have {classes} numbers, one for each class, got {len(class_weights)}")


def balanced(labels: Array, classes: int) -> Array:
    """N / (classes * count) for each class, (classes,) float64, for labels (N,) in 0..classes-1.

    Raises ValueError for a class without labels: its samples would count nothing in a validation.
    """
    counts = np.bincount(labels, minlength=classes)
    lacking = np.flatnonzero(counts == 0)
    if len(lacking):
        raise ValueError(f"balanced class weights need labels of each of the {classes} classes, got none of "
                         f"{', '.join(map(str, lacking[:5]))}{', ...' * (len(lacking) > 5)}: give class_weights as a "
                         "dict, in which classes that are left out weigh 1")
    return len(labels) / classes / counts


def weights_of(labels: Array, class_weights: list[float] | dict[int, float], dtype: np.dtype[Any]) -> Array:
    """The weight (N, ...) of each label (N, ...) of at least 0; 1 if a dict leaves its class out.

    Raises ValueError for a label beyond a list.
    """
    largest = int(labels.max(initial=0))
    if isinstance(class_weights, dict):
        class_weights = [class_weights.get(label, 1.0) for label in range(largest + 1)]
    elif largest >= len(class_weights):
        raise ValueError(f"class_weights are those of {len(class_weights)} classes, but there is a label {largest}")
    found: Array = as_weights("class_weights", as_floats(class_weights, dtype, "class_weights"))[labels]
    return found

"""Losses of classes, of which a sample has one, or a share of each."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array, as_labels, as_plain, within
from ..checks import finite
from ..layers import LOGARITHMS, NUMBERS, SHARES
from ..targets import Outputs, are_class_numbers, as_shares, check_count, sample_shape
from .base import Loss
from .weighted import _Weighted


def _are_rows(labels: Array) -> bool:
    # labels as `as_labels` returns them: shares of classes, and no class numbers
    return labels.dtype.kind == "f"


class _Categorical(_Weighted):
    _label_smoothing = 0.0  # a user's own class may not call our constructor

    def __init__(self, *, label_smoothing: float = 0.0,
                 class_weights: ArrayLike | Mapping[int, float] | str | None = None) -> None:
        super().__init__(class_weights)
        self.label_smoothing = label_smoothing

    @property
    def label_smoothing(self) -> float:
        return self._label_smoothing

    @label_smoothing.setter
    def label_smoothing(self, value: float) -> None:
        self._label_smoothing = finite("label_smoothing", value, 1)

    def __repr__(self) -> str:
        given = [f"{name}={value!r}" for name in ("class_weights", "label_smoothing") if (value := getattr(self, name))]
        return f"{type(self).__name__}({', '.join(given)})"

    def targets(self, y: ArrayLike, samples: int, outputs: Outputs, dtype: np.dtype[Any]) -> Array:
        shape = sample_shape(outputs)
        labels = as_labels(y, dtype, self._likely_shape(y) if shape is None else shape)
        if len(labels) != samples:
            raise ValueError(f"X and y must have the same length, got {samples} and {len(labels)}")
        rows = _are_rows(labels)
        if shape is not None:
            wish = (samples, *shape)
            if labels.shape != (wish if rows else wish[:-1]):
                raise ValueError(f"y must have shape {wish[:-1]} or {wish}, got {labels.shape}")
            if not rows:
                within("labels", labels, shape[-1])
        if rows:
            labels = as_shares(labels)
        classes = self._count(labels, outputs)
        if self.class_weights is not None and classes is not None:
            check_count(self.class_weights, classes)
        return self._smoothed(labels, classes, dtype) if self.label_smoothing else labels

    @staticmethod
    def _likely_shape(y: ArrayLike) -> tuple[None, ...]:
        # of unknown outputs; `forward`, which knows them, reads the labels once more
        labels = as_plain(y, "labels")
        return (None,) * max(1, labels.ndim if are_class_numbers(labels) else labels.ndim - 1)

    def _smoothed(self, labels: Array, classes: int | None, dtype: np.dtype[Any]) -> Array:
        # rows: (1 - s) of each label's share, and s shared out evenly (Szegedy et al. 2016)
        smoothing = self.label_smoothing
        if _are_rows(labels):
            return labels * dtype.type(1 - smoothing) + dtype.type(smoothing / labels.shape[-1])
        if classes is None:
            raise ValueError("label_smoothing needs to know the number of classes: give one-hot labels (N, C), or let "
                             "the model end in a layer of this package")
        rest = dtype.type(smoothing / classes)
        rows = np.full((labels.size, classes), rest)
        rows[np.arange(labels.size), labels.ravel()] = dtype.type(1 - smoothing) + rest
        return rows.reshape(*labels.shape, classes)

    def _labels(self, y: ArrayLike, values: Array) -> Array:
        plain = not self._label_smoothing and self._class_weights is None
        if plain and values.ndim == 2 and y.__class__ is np.ndarray and y.ndim == 1 and y.dtype.char in "bBhHiIlq":
            return y  # the kernel checks them, and converts them
        labels = as_labels(y, values.dtype, values.shape[1:])
        if plain and not _are_rows(labels):
            return labels  # `as_rows` and the kernel check the rest
        return super()._labels(labels, values)

    def _classes(self, y: Array) -> Array:
        return y.argmax(axis=-1) if _are_rows(y) else y

    def _count(self, y: Array, outputs: Outputs) -> int | None:
        shape = y.shape if _are_rows(y) else sample_shape(outputs)
        return None if shape is None else shape[-1]

    def unweighted(self) -> Loss:
        found = super().unweighted()
        if self.label_smoothing:
            found = copy.copy(found)
            found.label_smoothing = 0.0  # type: ignore[attr-defined]
        return found


class CategoricalCrossentropy(_Categorical):
    """-log p of the labelled class, for probabilities p (N, ..., C) clipped to [1e-7, 1 - 1e-7].

    label_smoothing: the share, below 1, of each label that is spread evenly over all classes.
    class_weights: a list, a dict or "balanced"; see `nnjit.nn.losses`.

    Rows of labels must be in 0..1 and add up to 1, except for rounding: values up to 5e-7 outside 0..1 count as 0 or 1,
    and shares may be rounded to three digits, or to two for few classes. Raises ValueError for others.
    """

    operation = "categorical_cross_entropy"
    _takes = (SHARES,)


class SoftmaxCategoricalCrossentropy(_Categorical):
    """Softmax and categorical cross-entropy in one operation, on scores x (N, C), without clipping or overflow.

    The model then ends in a `Dense` without activation, and `model.predict` returns scores: apply `Softmax().forward`
    to get probabilities. After `forward`, `output` contains the probabilities: pass them to `backward`.
    `label_smoothing` and `class_weights` are those of `CategoricalCrossentropy`.
    """

    operation = "softmax_cross_entropy"
    _takes = (NUMBERS,)


class NegativeLogLikelihood(_Categorical):
    """-x of the labelled class, for log-probabilities x (N, C) such as the outputs of LogSoftmax, without clipping.

    `label_smoothing` and `class_weights` are those of `CategoricalCrossentropy`.
    """

    operation = "negative_log_likelihood"
    _takes = (LOGARITHMS,)

"""Losses with class weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import backend
from ..arrays import FLOAT64, Array, as_array, as_floats
from ..checks import rename
from ..targets import (BALANCED, ClassWeights, Outputs, as_class_weights, as_rows, as_weights, balanced, check_count,
                       weights_of)
from .base import Loss, weigh


class _Weighted(Loss):
    # a subclass names its operation
    operation = ""
    _options: Mapping[str, float] = {}  # of the operation
    balanced: list[float] | None = None  # what "balanced" stands for since the last `prepare`
    _class_weights: ClassWeights | None = None
    _class_count: int | None = None  # that class weights must have, if each model has as many

    def __init__(self, class_weights: ArrayLike | Mapping[int, float] | str | None = None) -> None:
        self.class_weights = class_weights

    @property
    def class_weights(self) -> ClassWeights | None:
        return self._class_weights

    @class_weights.setter
    def class_weights(self, given: ArrayLike | Mapping[int, float] | str | None) -> None:
        weights = as_class_weights(given)
        if self._class_count is not None:
            check_count(weights, self._class_count)
        self._class_weights = weights

    def _losses(self, values: Array, y: Array) -> Array:
        # of outputs (N, C) and labels from `targets`, (N,) or (N, C)
        kernel = getattr(backend.ops, self.operation).forward
        found = kernel(values, y, **self._options) if self._options else kernel(values, y)  # an empty `**` takes 0.1 us
        # an operation of scores also gives the probabilities, which its backward needs
        losses, self.output = found if type(found) is tuple else (found, values)
        return losses

    def _gradient(self, values: Array, y: Array) -> Array:
        kernel = getattr(backend.ops, self.operation).backward
        dx: Array = kernel(values, y, **self._options) if self._options else kernel(values, y)
        return dx

    def _classes(self, y: Array) -> Array:
        # the class (N, ...) of each position
        raise NotImplementedError

    def _labels(self, y: ArrayLike, values: Array) -> Array:
        outputs = values.shape[1] if values.ndim == 2 else values.shape[1:]
        return self.targets(y, len(values), outputs, values.dtype)

    def _arguments(self, name: str, values: ArrayLike, y: ArrayLike,
                   sample_weight: ArrayLike | None) -> tuple[Array, Array, Array | None]:
        values = as_floats(values, name=name)
        if values.ndim < 2:
            raise ValueError(f"{name} must have shape (N, C) or (N, ..., C), got {values.shape}")
        y = self._labels(y, values)
        return values, y, self.weights(y, sample_weight, values.dtype)

    def prepare(self, y: ArrayLike, outputs: Outputs = None) -> None:
        if self.class_weights == BALANCED:
            targets = self.unweighted().targets(y, len(as_array(y, "y")), outputs, FLOAT64)
            labels, classes = self._classes(targets).ravel(), self._count(targets, outputs)
            self.balanced = balanced(labels, int(labels.max(initial=0)) + 1 if classes is None else classes).tolist()

    def _count(self, y: Array, outputs: Outputs) -> int | None:
        # how many classes labels y from `targets` have, if that is known
        raise NotImplementedError

    def weights(self, y: Array, sample_weight: ArrayLike | None, dtype: np.dtype[Any]) -> Array | None:
        given = self._class_weights
        if given is None and sample_weight is None:
            return None
        weights = super().weights(y, sample_weight, dtype)
        if given is None:
            return weights
        if given == BALANCED:
            given = self.balanced
            if given is None:
                raise RuntimeError('class_weights="balanced" are computed from all labels of a training: call train '
                                   "with arrays or loss.prepare(y) before, or give "
                                   "nn.preparation.balanced_class_weights(y)")
        found = weights_of(self._classes(y), given, dtype)  # type: ignore[arg-type]
        if weights is None:
            return found
        weights = weights.reshape(*weights.shape, *[1] * (found.ndim - weights.ndim))
        with np.errstate(over="ignore"):
            return as_weights("class_weights times sample_weight", found * weights)

    def unweighted(self) -> Loss:
        if self.class_weights is None:
            return self
        other = copy.copy(self)  # a subclass may have more attributes
        other.class_weights = None
        return other

    def forward(self, y_pred: ArrayLike, y_true: ArrayLike, sample_weight: ArrayLike | None = None) -> Array:
        """The loss (N, ...) of each position of outputs `y_pred` (N, ..., C) against labels or targets, times its
        weight."""
        values, y, weights = self._arguments("y_pred", y_pred, y_true, sample_weight)
        try:
            losses = self._losses(*as_rows(values, y)) if values.ndim > 2 else self._losses(values, y)
        except (TypeError, ValueError) as error:
            rename(error, x="y_pred", p="y_pred", y="y_pred", targets="y_true")
            raise
        if values.ndim > 2:
            losses = losses.reshape(values.shape[:-1])
            self.output = self.output.reshape(values.shape)  # type: ignore[union-attr]
        return losses if weights is None else weigh(losses, weights)

    def backward(self, dvalues: ArrayLike, y_true: ArrayLike, sample_weight: ArrayLike | None = None) -> Array:
        """The gradient (N, ..., C) of the mean loss with respect to what `forward` got; `dvalues` is `output`."""
        values, y, weights = self._arguments("dvalues", dvalues, y_true, sample_weight)
        try:
            dx = self._gradient(*as_rows(values, y)) if values.ndim > 2 else self._gradient(values, y)
        except (TypeError, ValueError) as error:
            rename(error, x="dvalues", p="dvalues", y="dvalues", targets="y_true")
            raise
        if values.ndim > 2:
            dx = dx.reshape(values.shape)
        self.dinputs = dx = dx if weights is None else weigh(dx, weights)
        return dx

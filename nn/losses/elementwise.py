"""Losses that compare each output with its target: binary cross-entropy, and those of regression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array, as_floats
from ..checks import positive
from ..layers import NUMBERS, PROBABILITIES, SHARES
from ..targets import Outputs, are_within_unit, sample_shape, within_unit
from .weighted import _Weighted

KEPT = 2**16  # bytes of targets


class _Converted(NamedTuple):
    kind: tuple[Any, ...]  # dtypes and shapes of what was given and of the outputs
    given: bytes
    targets: Array


class _Elementwise(_Weighted):
    _converted: _Converted | None = None  # at the last call

    def __init__(self, class_weights: ArrayLike | Mapping[int, float] | str | None = None, **options: float) -> None:
        super().__init__(class_weights)
        self._options = options

    def __repr__(self) -> str:
        given = {**self._options, **({} if self.class_weights is None else {"class_weights": self.class_weights})}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in given.items())})"

    def targets(self, y: ArrayLike, samples: int, outputs: Outputs, dtype: np.dtype[Any]) -> Array:
        shape = sample_shape(outputs)
        if y.__class__ is np.ndarray and shape is not None and y.shape == (samples, *shape):
            found = as_floats(y, dtype, "y")  # the usual case in a fifth of the time
            return found if found.flags.c_contiguous else np.ascontiguousarray(found)
        targets = as_floats(super().targets(y, samples, outputs, dtype), dtype)
        if shape is None:
            return np.ascontiguousarray(targets[:, None] if targets.ndim == 1 else targets)
        wish = (samples, *shape)
        if shape[-1] == 1 and targets.shape == wish[:-1]:
            targets = targets[..., None]  # (N,) against (N, 1) would broadcast to (N, N)
        if targets.shape != wish:
            raise ValueError(f"y must have shape {wish}{f' or {wish[:-1]}' if shape[-1] == 1 else ''}, got "
                             f"{np.shape(y)}{self._advice(targets.shape, wish)}")
        return np.ascontiguousarray(targets)

    def _labels(self, y: ArrayLike, values: Array) -> Array:
        # a training by hand gives the same integers or float64 forward and backward, at every step: these are checked
        # and converted once, since a comparison takes a quarter of the time
        if y.__class__ is not np.ndarray or y.dtype is values.dtype:
            return super()._labels(y, values)
        kind, known = (y.dtype, values.dtype, y.shape, values.shape), self._converted
        if known is not None and known.kind == kind and known.given == y.tobytes():
            return known.targets
        targets = super()._labels(y, values)
        if y.dtype.kind in "biuf" and y.nbytes <= KEPT and not np.may_share_memory(targets, y):
            self._converted = _Converted(kind, y.tobytes(), targets)
        return targets

    def _advice(self, shape: tuple[int, ...], wish: tuple[int, ...]) -> str:
        # for targets of another shape than the outputs
        return ""


class BinaryCrossentropy(_Elementwise):
    """-(t log p + (1 - t) log(1 - p)) of probabilities p and targets t in 0..1, p clipped to [1e-7, 1 - 1e-7].

    class_weights: two weights, for targets up to 0.5 and above; only for a single output. See `nnjit.nn.losses`.

    Targets up to 5e-7 outside 0..1, by rounding, count as 0 or 1. Raises ValueError for others.
    """

    operation = "binary_cross_entropy"
    _takes: tuple[str, ...] = (PROBABILITIES, SHARES)
    _class_count = 2
    _of_classes = "Softmax() with CategoricalCrossentropy()"  # in place of it

    def __init__(self, *, class_weights: ArrayLike | Mapping[int, float] | str | None = None) -> None:
        super().__init__(class_weights)

    def targets(self, y: ArrayLike, samples: int, outputs: Outputs, dtype: np.dtype[Any]) -> Array:
        targets = super().targets(y, samples, outputs, dtype)
        if are_within_unit(targets):
            return targets
        more = f", or for more give the last layer an output for each and use {self._of_classes}"
        return within_unit("y", targets, f"write 0 and 1 for two classes{more if targets.shape[-1] == 1 else ''}")

    def _advice(self, shape: tuple[int, ...], wish: tuple[int, ...]) -> str:
        if shape in (wish[:-1], (*wish[:-1], 1)):
            return f": write Dense(n, 1) for two classes, or use {self._of_classes}"
        if shape[:-1] != wish[:-1] or not shape[-1]:
            return ""
        return f": give the last layer {shape[-1]} outputs; for one class per sample use {self._of_classes}"

    def _classes(self, y: Array) -> Array:
        if y.shape[-1] != 1:
            raise ValueError(f"class_weights are for a single output, got {y.shape[-1]}: use sample_weight")
        return (y[..., 0] > 0.5).astype(np.int64)

    def _count(self, y: Array, outputs: Outputs) -> int:
        return 2


class SigmoidBinaryCrossentropy(BinaryCrossentropy):
    """Sigmoid and binary cross-entropy in one operation, on scores x (N, C), without clipping or overflow.

    The model then ends in a `Dense` without activation, and `model.predict` returns scores: apply `Sigmoid().forward`,
    or pass `threshold=0` to `scores`. Metrics of the model get the scores, too: `BinaryAccuracy()` compares them with
    0. After `forward`, `output` contains the probabilities: pass them to `backward`. `class_weights` are those of
    `BinaryCrossentropy`.
    """

    operation = "sigmoid_cross_entropy"
    _takes = (NUMBERS,)
    _of_classes = "SoftmaxCategoricalCrossentropy()"


class MeanSquaredError(_Elementwise):
    """(t - y)^2 of outputs y and targets t."""

    operation = "mean_squared_error"

    def __init__(self) -> None:
        super().__init__()


class MeanAbsoluteError(_Elementwise):
    """|t - y| of outputs y and targets t."""

    operation = "mean_absolute_error"

    def __init__(self) -> None:
        super().__init__()


class Huber(_Elementwise):
    """(t - y)^2 / 2 where |t - y| is at most `delta`, else delta (|t - y| - delta / 2): outliers count linearly.

    Raises ValueError unless delta is finite and greater than 0.
    """

    operation = "huber"

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__(delta=positive("delta", delta))

    @property
    def delta(self) -> float:
        return self._options["delta"]

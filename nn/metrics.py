"""Metrics, which a training reports beside its loss."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from . import backend
from .arrays import FLOAT32, FLOAT64, Array, as_array, as_floats, as_labels, within
from .checks import checked, finite, rename, whole
from .targets import Outputs, are_class_numbers, as_rows, as_threshold, sample_shape


def _counted(operation: str, *arguments: Array, **options: float | None) -> int:
    """The hits that a kernel counts. Its errors name the arguments of metrics."""
    try:
        found: int = getattr(backend.ops, operation).forward(*arguments, **options)
    except (TypeError, ValueError) as error:
        rename(error, y="outputs", p="outputs", targets="y")
        raise
    return found


class _Metric:
    # a subclass counts hits and the elements that can be one
    accumulated_sum: int = 0
    accumulated_count: int = 0
    middle: float | None = 0.5  # what parts two classes in the outputs of the model that runs; None: nothing does

    def new_pass(self) -> None:
        """Forget the accumulated batches."""
        self.accumulated_sum = 0
        self.accumulated_count = 0

    def prepare(self, y: ArrayLike) -> None:
        """Compute what the metric needs from all labels of a training."""

    def check(self, columns: int | None) -> None:
        """Raise ValueError for outputs with so many columns, if known, of which the metric says nothing."""

    def hits(self, outputs: Array, y: Array) -> int:
        """The number of hits among outputs as a model predicts them, and labels from the `targets` of a loss."""
        raise NotImplementedError

    def numbers(self, outputs: Outputs) -> int:
        """How many hits a sample can have: one for each of its outputs, given by their number or shape."""
        return math.prod(sample_shape(outputs) or ())

    def count(self, hits: int, total: int) -> float:
        """The accuracy of a batch, which then counts in `calculate_accumulated`."""
        self.accumulated_sum += hits
        self.accumulated_count += total
        return hits / total

    def calculate(self, outputs: ArrayLike, y: ArrayLike) -> float:
        """The accuracy of outputs (N, ..., C) against labels, which then counts in `calculate_accumulated`.

        Raises ValueError for an empty batch or shapes that do not fit.
        """
        found = as_floats(outputs, name="outputs")
        if not found.size:
            raise ValueError("the accuracy of an empty batch is undefined")
        return self.count(self.hits(found, as_floats(y, found.dtype, "y")), found.size)

    def calculate_accumulated(self) -> float:
        """The accuracy over all batches since `new_pass`. Raises RuntimeError when there are none."""
        if not self.accumulated_count:
            raise RuntimeError("no samples since new_pass: call calculate first")
        return self.accumulated_sum / self.accumulated_count


class _OfClasses(_Metric):
    def check(self, columns: int | None) -> None:
        if columns == 1:
            raise ValueError(f"{type(self).__name__} compares the outputs of several classes, got a single output: "
                             "use BinaryAccuracy for a probability, RegressionAccuracy for a number")

    def numbers(self, outputs: Outputs) -> int:
        return math.prod((sample_shape(outputs) or ())[:-1])  # a hit for each position

    @staticmethod
    def _rows(outputs: Array, y: Array) -> tuple[Array, Array]:
        if outputs.ndim > 2:
            y = as_labels(y, outputs.dtype, outputs.shape[1:])
        return as_rows(outputs, y)


class Accuracy(_OfClasses):
    """The share of samples whose largest output is at the labelled class; of equal outputs the first counts.

    Raises ValueError for a single output, which is always the largest.
    """

    def hits(self, outputs: Array, y: Array) -> int:
        self.check(outputs.shape[-1])
        return _counted("categorical_accuracy", *self._rows(outputs, y))

    def calculate(self, outputs: ArrayLike, y: ArrayLike) -> float:
        """The accuracy of outputs (N, ..., C), or of predicted class numbers (N,), against labels (N, ...) or
        (N, ..., 1), or one-hot (N, ..., C).

        The batch then counts in `calculate_accumulated`. Raises ValueError for an empty batch or shapes that do not
        fit.
        """
        scores = outputs if isinstance(outputs, np.ndarray) else as_array(outputs, "outputs")
        if not scores.ndim:
            raise ValueError("outputs must have shape (N, C) or (N,), got ()")
        count = math.prod(scores.shape[:-1]) if scores.ndim > 1 else len(scores)
        if not count:
            raise ValueError("the accuracy of an empty batch is undefined")
        if scores.ndim == 1:
            labels = as_labels(y, FLOAT32)
            if labels.ndim == 2:
                labels = labels.argmax(axis=1)
            if len(labels) != count:
                raise ValueError(f"predictions and labels must have the same length, got {count} and {len(labels)}")
            correct = int(np.count_nonzero(as_labels(scores, FLOAT32, name="outputs") == labels))
        else:
            found = as_floats(scores, name="outputs")
            labels = as_labels(y, found.dtype, found.shape[1:])
            if scores.dtype.kind in "iu" and labels.ndim == found.ndim and are_class_numbers(labels):
                raise ValueError(f"outputs and y of shape {labels.shape} must be scores and one-hot labels: of class "
                                 "numbers give outputs.ravel() and y.ravel()")
            correct = self.hits(found, labels)
        return self.count(correct, count)


class TopKAccuracy(_OfClasses):
    """The share of samples with fewer than `k` outputs ranked before that of the labelled class.

    Outputs are ranked as by `Accuracy`, which is the case k = 1: the largest first, of equals the first, and NaN before
    all numbers. If k is at least C, every sample is a hit. A model with it trains layer by layer, so call overhead
    counts.

    Raises TypeError when k is no whole number, ValueError when it is less than 1, and for a single output.
    """

    recordable = False  # no kernel counts these hits, so a recording would not

    k: int = checked(whole)

    def __init__(self, k: int = 5) -> None:
        self.k = k

    def hits(self, outputs: Array, y: Array) -> int:
        self.check(outputs.shape[-1])
        outputs, y = self._rows(outputs, y)
        rows, columns = outputs.shape
        if y.shape not in ((rows,), (rows, columns)):
            raise ValueError(f"labels must have shape ({rows},) or ({rows}, {columns}), got {y.shape}")
        labels = within("labels", y if y.ndim == 1 else y.argmax(axis=1), columns)[:, None]
        labelled = np.take_along_axis(outputs, labels, axis=1)
        nan, lost = np.isnan(outputs), np.isnan(labelled)
        larger = (outputs > labelled) | nan & ~lost
        equal = (outputs == labelled) | nan & lost
        before = larger | equal & (np.arange(columns) < labels)
        return int(np.count_nonzero(np.count_nonzero(before, axis=1) < self.k))

    def calculate(self, outputs: ArrayLike, y: ArrayLike) -> float:
        """The accuracy of outputs (N, ..., C) against labels (N, ...) or (N, ..., 1), or one-hot (N, ..., C), which
        then counts in `calculate_accumulated`.

        Raises TypeError for labels that are no numbers, ValueError for an empty batch, shapes that do not fit or a
        label that is not whole or outside 0..C-1.
        """
        found = as_floats(outputs, name="outputs")
        if found.ndim < 2:
            raise ValueError(f"outputs must have shape (N, C) or (N, ..., C), got {found.shape}")
        if not found.size:
            raise ValueError("the accuracy of an empty batch is undefined")
        labels = as_labels(y, found.dtype, found.shape[1:])
        return self.count(self.hits(found, labels), math.prod(found.shape[:-1]))


def _targets(metric: _Metric, outputs: Array, y: Array) -> Array:
    # in the shape of the outputs: (N,) for (N, 1)
    if y.dtype.kind == "i":  # as losses of classes leave them
        raise ValueError(f"{type(metric).__name__} compares each output with its target, but the labels are class "
                         "numbers: use Accuracy(), or one-hot labels")
    return y[..., None] if outputs.shape == (*y.shape, 1) else y


class BinaryAccuracy(_Metric):
    """The share of outputs (N, ..., C) on the same side of `threshold` as their label, 0 or 1.

    threshold: a finite number. None is 0.5, for probabilities; in a Model with SigmoidBinaryCrossentropy, whose outputs
        are scores, it is 0. For other scores use `threshold=0`.

    Raises ValueError for log-probabilities and for scores of classes, if there is no threshold.
    """

    threshold: float | None = checked(lambda name, value: None if value is None else as_threshold(name, value))

    def __init__(self, threshold: float | None = None) -> None:
        self.threshold = threshold

    def check(self, columns: int | None) -> None:
        if self.threshold is None and self.middle is None:
            raise ValueError("BinaryAccuracy() needs a threshold for log-probabilities and for scores of classes: use "
                             "Accuracy() for the class of a sample")

    def hits(self, outputs: Array, y: Array) -> int:
        y = _targets(self, outputs, y)
        self.check(None)
        threshold = self.middle if self.threshold is None else self.threshold
        return _counted("binary_accuracy", outputs, y, threshold=threshold)


class RegressionAccuracy(_Metric):
    """The share of outputs (N, ..., C) that are less than `precision` from their target.

    By default `precision` is a 250th of the standard deviation of the targets of a training, or else of the first
    batch. For constant targets it is a 250th of their magnitude, or of 1 if they are 0. Assigning None to `precision`
    returns to that.
    """

    _given = False  # whether the precision was, rather than computed

    def __init__(self, precision: float | None = None) -> None:
        self.precision = precision

    @property
    def precision(self) -> float | None:
        return vars(self).get("precision")

    @precision.setter
    def precision(self, value: float | None) -> None:
        vars(self)["precision"] = None if value is None else finite("precision", value)
        self._given = value is not None

    def prepare(self, y: ArrayLike) -> None:
        if not self._given:
            self._compute_precision(y)

    def _compute_precision(self, y: ArrayLike) -> None:
        values = as_floats(y, FLOAT64, "y").ravel().tolist()  # exact sums: the same on every machine
        if not values:
            raise ValueError("y must contain at least one number to compute the precision of RegressionAccuracy()")
        try:
            mean = math.fsum(values) / len(values)
            deviation = finite("their standard deviation", math.sqrt(
                math.fsum([(value - mean) * (value - mean) for value in values]) / len(values)))
        except (OverflowError, ValueError) as error:
            raise ValueError("y must be finite, and its numbers not too large, to compute the precision of "
                             f"RegressionAccuracy(): {error}. Clean y, or give a precision") from error
        magnitude = max(map(abs, values))
        if deviation <= 4 * math.ulp(magnitude):  # equal but for rounding
            deviation = magnitude or 1.0
        vars(self)["precision"] = deviation / 250

    def hits(self, outputs: Array, y: Array) -> int:
        y = _targets(self, outputs, y)
        if self.precision is None:
            self.prepare(y)
        return _counted("regression_accuracy", outputs, y, precision=self.precision)

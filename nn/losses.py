"""Losses: a value for each sample, the mean over a batch, and the gradient of that mean.

Class labels are integers or floats with integer values, of shape (N,), or (N, 1) if there is more than one output; or
rows (N, C) with a share for each class, such as one-hot. `preparation.LabelEncoder` turns text labels into class
numbers. Targets of the other losses have the shape of the outputs (N, C), or (N,) for a single output.

The weight of a sample multiplies its loss. It is the product of its `sample_weight` and the `class_weights` of its
class; for rows of labels, of the class with the largest share. `class_weights` can be

- a list with a number of at least 0 for each class,
- a dict such as {1: 5.0}, in which missing classes have the weight 1,
- "balanced": N / (classes * count of the class), computed from the labels that `Model.train` gets, among which each
  class must occur; in a hand-written loop, call `loss.prepare(y)` first.

The mean divides by the number of samples, not by the sum of weights, as in Keras and scikit-learn. (PyTorch's class
weights divide by the sum of weights of each batch.)
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import backend
from .arrays import FLOAT64, Array, Calling, as_array, as_floats, as_labels, within
from .checks import finite, flag, positive, rename
from .layers import LOGARITHMS, NUMBERS, PROBABILITIES, SHARES, penalty
from .targets import (BALANCED, ClassWeights, as_class_weights, as_shares, as_weights, balanced, check_count,
                      weights_of, within_unit)


def _penalties(layer: Any) -> list[float]:
    # of a user's own layer with the book's attributes
    found = []
    for name, values in (("weight", "weights"), ("bias", "biases")):
        l1, l2 = (getattr(layer, f"{name}_regularizer_{kind}", 0) for kind in ("l1", "l2"))
        if l1 or l2:
            found.append(penalty(name, as_floats(getattr(layer, values)), l1, l2))
    return found


class Loss(Calling):
    """Base class of losses: the mean of a batch, and of all batches since `new_pass`."""

    _takes: tuple[str, ...] = ()  # which outputs; none named: any
    output: Array | None = None
    dinputs: Array | None = None
    accumulated_sum: float = 0.0
    accumulated_count: int = 0
    trainable_layers: Sequence[Any] = ()

    def forward(self, y_pred: ArrayLike, y_true: ArrayLike) -> Array:
        """The loss (N,) of each sample. Also sets `output`, which `backward` takes."""
        raise NotImplementedError

    def backward(self, dvalues: ArrayLike, y_true: ArrayLike) -> Array:
        """The gradient of the mean loss with respect to what `forward` took; `dvalues` is `output`."""
        raise NotImplementedError

    def targets(self, y: ArrayLike, samples: int, outputs: int | None, dtype: np.dtype[Any]) -> Array:
        """y converted for `forward`, and checked for `samples` rows and `outputs` columns, if known.

        Raises TypeError or ValueError that names what is wrong.
        """
        targets = y if isinstance(y, np.ndarray) else as_array(y, "y")
        if targets.dtype.kind not in "iu" or np.ma.isMaskedArray(targets):  # a user's own loss may want class numbers
            targets = as_floats(y, dtype, "y")
        if not targets.ndim or len(targets) != samples:
            raise ValueError(f"X and y must have the same length, got {samples} and "
                             f"{len(targets) if targets.ndim else 'a number'}")
        return targets

    def weights(self, y: Array, sample_weight: ArrayLike | None, dtype: np.dtype[Any]) -> Array | None:
        """The weight (N,) of each sample, for labels y from `targets`; None if all weights are 1.

        Raises TypeError or ValueError for weights that are not N finite numbers of at least 0.
        """
        if sample_weight is None:
            return None
        with np.errstate(over="ignore"):  # the error comes below
            weights = as_floats(sample_weight, dtype, "sample_weight")
        if weights.shape != (len(y),):
            raise ValueError(f"sample_weight must have shape ({len(y)},), got {weights.shape}")
        return as_weights("sample_weight", weights)

    def prepare(self, y: ArrayLike, outputs: int | None = None) -> None:
        """Compute what the loss needs from all labels y of a training, for `outputs` outputs, if known: the weights of
        `class_weights="balanced"`. `Model.train` calls it; in a hand-written loop call it first."""

    def plain(self) -> Loss:
        """The loss for labels from `targets`, without class weights and smoothing: itself or a copy."""
        return self

    def new_pass(self) -> None:
        """Forget the accumulated batches."""
        self.accumulated_sum = 0.0
        self.accumulated_count = 0

    def accumulate(self, losses: Array) -> float:
        """The mean of the losses (N,) of a batch, which then counts in `calculate_accumulated`."""
        losses = as_floats(losses, name="losses")
        if not losses.size or not losses.ndim:
            raise ValueError(f"losses must have shape (N,), N at least 1, got {losses.shape}")
        mean = backend.ops.mean.forward(losses if losses.ndim == 1 else losses.ravel())
        self.count(mean, len(losses))
        return mean

    def count(self, mean: float, samples: int) -> None:
        """Add a batch with this mean loss and number of samples to `calculate_accumulated`."""
        self.accumulated_sum += mean * samples
        self.accumulated_count += samples

    def remember_trainable_layers(self, layers: Sequence[Any]) -> None:
        """Set the layers whose penalties `regularization_loss` adds."""
        self.trainable_layers = layers

    def regularization_loss(self, layer: Any = None) -> float:
        """The penalties of the regularizers of a layer, or of all remembered layers."""
        total = 0.0
        for each in self.trainable_layers if layer is None else (layer,):
            for found in each.penalties() if hasattr(each, "penalties") else _penalties(each):
                total += found
        return total

    def calculate(self, output: ArrayLike, y: ArrayLike, *, include_regularization: bool = False) -> Any:
        """The mean loss of outputs (N, C) against labels y, which then counts in `calculate_accumulated`.

        With `include_regularization` a pair: this, and `regularization_loss`.
        """
        include_regularization = flag("include_regularization", include_regularization)
        loss = self.accumulate(self.forward(output, y))
        return (loss, self.regularization_loss()) if include_regularization else loss

    def calculate_accumulated(self, *, include_regularization: bool = False) -> Any:
        """The mean loss over all samples since `new_pass`; with `include_regularization` a pair as in `calculate`.

        Raises RuntimeError when there are no samples.
        """
        include_regularization = flag("include_regularization", include_regularization)
        if not self.accumulated_count:
            raise RuntimeError("no samples since new_pass: call calculate first")
        loss = self.accumulated_sum / self.accumulated_count
        return (loss, self.regularization_loss()) if include_regularization else loss


class _Weighted(Loss):
    # a subclass has `_losses` and `_gradient`, of outputs and of labels from `targets`
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
        raise NotImplementedError

    def _gradient(self, values: Array, y: Array) -> Array:
        raise NotImplementedError

    def _classes(self, y: Array) -> Array:
        # the class (N,) of each sample
        raise NotImplementedError

    def _labels(self, y: ArrayLike, values: Array) -> Array:
        return self.targets(y, values.shape[0], values.shape[1], values.dtype)

    def _arguments(self, name: str, values: ArrayLike, y: ArrayLike,
                   sample_weight: ArrayLike | None) -> tuple[Array, Array, Array | None]:
        values = as_floats(values, name=name)
        if values.ndim != 2:
            raise ValueError(f"{name} must have shape (N, C), got {values.shape}")
        y = self._labels(y, values)
        return values, y, self.weights(y, sample_weight, values.dtype)

    def prepare(self, y: ArrayLike, outputs: int | None = None) -> None:
        if self.class_weights == BALANCED:
            targets = self.plain().targets(y, len(as_array(y, "y")), outputs, FLOAT64)
            labels, classes = self._classes(targets), self._count(targets, outputs)
            self.balanced = balanced(labels, int(labels.max(initial=0)) + 1 if classes is None else classes).tolist()

    def _count(self, y: Array, outputs: int | None) -> int | None:
        # how many classes labels y from `targets` have, if that is known
        raise NotImplementedError

    def weights(self, y: Array, sample_weight: ArrayLike | None, dtype: np.dtype[Any]) -> Array | None:
        weights = super().weights(y, sample_weight, dtype)
        given = self.class_weights
        if given is None:
            return weights
        if given == BALANCED:
            given = self.balanced
            if given is None:
                raise RuntimeError('class_weights="balanced" are taken from the labels of a training: call train or '
                                   "loss.prepare(y) before, or give nn.preparation.balanced_class_weights(y)")
        found = weights_of(self._classes(y), given, dtype)  # type: ignore[arg-type]
        if weights is None:
            return found
        with np.errstate(over="ignore"):
            return as_weights("class_weights times sample_weight", found * weights)

    def plain(self) -> Loss:
        if self.class_weights is None:
            return self
        other = copy.copy(self)  # a subclass may have more attributes
        other.class_weights = None
        return other

    def forward(self, y_pred: ArrayLike, y_true: ArrayLike, sample_weight: ArrayLike | None = None) -> Array:
        """The loss (N,) of each row of outputs `y_pred` (N, C) against labels or targets, times its weight."""
        values, y, weights = self._arguments("y_pred", y_pred, y_true, sample_weight)
        try:
            losses = self._losses(values, y)
        except (TypeError, ValueError) as error:
            rename(error, x="y_pred", p="y_pred", y="y_pred", targets="y_true")
            raise
        return losses if weights is None else backend.ops.scale_rows.forward(losses, weights)

    def backward(self, dvalues: ArrayLike, y_true: ArrayLike, sample_weight: ArrayLike | None = None) -> Array:
        """The gradient (N, C) of the mean loss with respect to what `forward` took; `dvalues` is `output`."""
        values, y, weights = self._arguments("dvalues", dvalues, y_true, sample_weight)
        try:
            dx = self._gradient(values, y)
        except (TypeError, ValueError) as error:
            rename(error, x="dvalues", p="dvalues", y="dvalues", targets="y_true")
            raise
        self.dinputs = dx = dx if weights is None else backend.ops.scale_rows.backward(dx, weights)
        return dx


class _Categorical(_Weighted):
    label_smoothing = 0.0

    def __init__(self, *, label_smoothing: float = 0.0,
                 class_weights: ArrayLike | Mapping[int, float] | str | None = None) -> None:
        super().__init__(class_weights)
        self.label_smoothing = finite("label_smoothing", label_smoothing, 1)

    def __repr__(self) -> str:
        given = [f"{name}={value!r}" for name in ("class_weights", "label_smoothing") if (value := getattr(self, name))]
        return f"{type(self).__name__}({', '.join(given)})"

    def targets(self, y: ArrayLike, samples: int, outputs: int | None, dtype: np.dtype[Any]) -> Array:
        labels = as_labels(y, dtype, outputs)
        if len(labels) != samples:
            raise ValueError(f"X and y must have the same length, got {samples} and {len(labels)}")
        if outputs is not None and labels.ndim == 2 and labels.shape[1] != outputs:
            raise ValueError(f"y must have shape ({samples},) or ({samples}, {outputs}), got {labels.shape}")
        if outputs is not None and labels.ndim == 1:
            within("labels", labels, outputs)
        if labels.ndim == 2:
            labels = as_shares(labels)
        classes = self._count(labels, outputs)
        if self.class_weights is not None and classes is not None:
            check_count(self.class_weights, classes)
        return self._smoothed(labels, outputs, dtype) if self.label_smoothing else labels

    def _smoothed(self, labels: Array, classes: int | None, dtype: np.dtype[Any]) -> Array:
        # rows: (1 - s) of each label's share, and s shared out evenly (Szegedy et al. 2016)
        smoothing = finite("label_smoothing", self.label_smoothing, 1)  # it may have been set since
        if labels.ndim == 2:
            return labels * dtype.type(1 - smoothing) + dtype.type(smoothing / labels.shape[1])
        if classes is None:
            raise ValueError("label_smoothing needs to know the number of classes: give one-hot labels (N, C), or let "
                             "the model end in a layer of this package")
        rest = dtype.type(smoothing / classes)
        rows = np.full((len(labels), classes), rest)
        rows[np.arange(len(labels)), labels] = dtype.type(1 - smoothing) + rest
        return rows

    def _labels(self, y: ArrayLike, values: Array) -> Array:
        labels = as_labels(y, values.dtype, values.shape[1])
        if labels.ndim == 1 and not self.label_smoothing and self.class_weights is None:
            return labels  # the kernel checks the rest
        return super()._labels(labels, values)

    def _classes(self, y: Array) -> Array:
        return y.argmax(axis=1) if y.ndim == 2 else y

    def _count(self, y: Array, outputs: int | None) -> int | None:
        return y.shape[1] if y.ndim == 2 else outputs

    def plain(self) -> Loss:
        found = super().plain()
        if self.label_smoothing:
            found = copy.copy(found)
            found.label_smoothing = 0.0  # type: ignore[attr-defined]
        return found


class CategoricalCrossentropy(_Categorical):
    """-log p of the labelled class, for probabilities p (N, C) clipped to [1e-7, 1 - 1e-7].

    label_smoothing: the share, below 1, of each label that is spread evenly over all classes.
    class_weights: a list, a dict or "balanced"; see losses.py.

    Rows of labels must be in 0..1 and add up to 1, except for rounding: values up to 5e-7 outside 0..1 count as 0 or 1,
    and shares may be rounded to three digits, or to two for few classes. Raises ValueError for others.
    """

    _takes = (SHARES,)

    def _losses(self, p: Array, y: Array) -> Array:
        self.output = p
        losses: Array = backend.ops.categorical_cross_entropy.forward(p, y)
        return losses

    def _gradient(self, p: Array, y: Array) -> Array:
        dp: Array = backend.ops.categorical_cross_entropy.backward(p, y)
        return dp


class SoftmaxCategoricalCrossentropy(_Categorical):
    """Softmax and categorical cross-entropy in one operation, on scores x (N, C), without clipping or overflow.

    The model then ends in a `Dense` without activation, and `model.predict` returns scores: apply `Softmax().forward`
    to get probabilities. `output` holds the probabilities after `forward`; pass them to `backward`.
    `label_smoothing` and `class_weights` are those of `CategoricalCrossentropy`.
    """

    _takes = (NUMBERS,)

    def _losses(self, x: Array, y: Array) -> Array:
        losses, self.output = backend.ops.softmax_cross_entropy.forward(x, y)
        return losses

    def _gradient(self, p: Array, y: Array) -> Array:
        dx: Array = backend.ops.softmax_cross_entropy.backward(p, y)
        return dx


class NegativeLogLikelihood(_Categorical):
    """-x of the labelled class, for log-probabilities x (N, C) such as the outputs of LogSoftmax, without clipping.

    `label_smoothing` and `class_weights` are those of `CategoricalCrossentropy`.
    """

    _takes = (LOGARITHMS,)

    def _losses(self, x: Array, y: Array) -> Array:
        self.output = x
        losses: Array = backend.ops.negative_log_likelihood.forward(x, y)
        return losses

    def _gradient(self, x: Array, y: Array) -> Array:
        dx: Array = backend.ops.negative_log_likelihood.backward(x, y)
        return dx


class _Elementwise(_Weighted):
    # a subclass names its operation, and what `backward` takes is the output itself
    operation = ""

    def __init__(self, class_weights: ArrayLike | Mapping[int, float] | str | None = None, **knobs: float) -> None:
        super().__init__(class_weights)
        self._knobs = knobs

    def __repr__(self) -> str:
        given = {**self._knobs, **({} if self.class_weights is None else {"class_weights": self.class_weights})}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in given.items())})"

    def targets(self, y: ArrayLike, samples: int, outputs: int | None, dtype: np.dtype[Any]) -> Array:
        targets = as_floats(super().targets(y, samples, outputs, dtype), dtype)
        if targets.ndim == 1 and outputs in (None, 1):
            targets = targets[:, None]  # (N,) against (N, 1) would broadcast to (N, N)
        if targets.ndim != 2 or outputs is not None and targets.shape[1] != outputs:
            raise ValueError(f"y must have shape ({samples}, {'C' if outputs is None else outputs})"
                             f"{f' or ({samples},)' if outputs == 1 else ''}, got {np.shape(y)}{self._advice(targets)}")
        return np.ascontiguousarray(targets)

    def _advice(self, targets: Array) -> str:
        # for targets of another shape than the outputs
        return ""

    def _losses(self, values: Array, y: Array) -> Array:
        self.output = values
        losses: Array = getattr(backend.ops, self.operation).forward(values, y, **self._knobs)
        return losses

    def _gradient(self, values: Array, y: Array) -> Array:
        dx: Array = getattr(backend.ops, self.operation).backward(values, y, **self._knobs)
        return dx


class BinaryCrossentropy(_Elementwise):
    """-(t log p + (1 - t) log(1 - p)) of probabilities p and targets t in 0..1, p clipped to [1e-7, 1 - 1e-7].

    class_weights: two weights, for targets up to 0.5 and above; only for a single output. See losses.py.

    Targets up to 5e-7 outside 0..1, by rounding, count as 0 or 1. Raises ValueError for others.
    """

    operation = "binary_cross_entropy"
    _takes: tuple[str, ...] = (PROBABILITIES, SHARES)
    _class_count = 2
    _of_classes = "Softmax() with CategoricalCrossentropy()"  # in place of it

    def __init__(self, *, class_weights: ArrayLike | Mapping[int, float] | str | None = None) -> None:
        super().__init__(class_weights)

    def targets(self, y: ArrayLike, samples: int, outputs: int | None, dtype: np.dtype[Any]) -> Array:
        targets = super().targets(y, samples, outputs, dtype)
        more = f", or for more give the last layer an output for each and use {self._of_classes}"
        return within_unit("y", targets, f"write 0 and 1 for two classes{more if targets.shape[1] == 1 else ''}")

    def _advice(self, targets: Array) -> str:
        if targets.ndim == 1 or targets.shape[1:] == (1,):
            return f": write Dense(n, 1) for two classes, or use {self._of_classes}"
        if targets.ndim != 2 or not targets.shape[1]:
            return ""
        return f": give the last layer {targets.shape[1]} outputs; for one class a sample use {self._of_classes}"

    def _classes(self, y: Array) -> Array:
        if y.shape[1] != 1:
            raise ValueError(f"class_weights are for a single output, got {y.shape[1]}: use sample_weight")
        return (y[:, 0] > 0.5).astype(np.int64)

    def _count(self, y: Array, outputs: int | None) -> int:
        return 2


class SigmoidBinaryCrossentropy(BinaryCrossentropy):
    """Sigmoid and binary cross-entropy in one operation, on scores x (N, C), without clipping or overflow.

    The model then ends in a `Dense` without activation, and `model.predict` returns scores: apply `Sigmoid().forward`,
    or pass `threshold=0` to `scores`. Metrics of the model get the scores, too: `BinaryAccuracy()` compares them with
    0. `output` holds the probabilities after `forward`; pass them to `backward`. `class_weights` are those of
    `BinaryCrossentropy`.
    """

    operation = "sigmoid_cross_entropy"
    _takes = (NUMBERS,)
    _of_classes = "SoftmaxCategoricalCrossentropy()"

    def _losses(self, x: Array, y: Array) -> Array:
        losses, self.output = backend.ops.sigmoid_cross_entropy.forward(x, y)
        return losses


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
        return self._knobs["delta"]

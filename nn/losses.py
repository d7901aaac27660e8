"""Losses: a value for each sample, the mean over a batch, and the gradient of that mean.

Labels of classes are numbers (N,) of any integer dtype, or rows (N, C) with a share for each class, such as one-hot;
targets of the other losses have the shape of the outputs (N, C), or (N,) for a single output.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import backend
from .arrays import Array, as_floats, as_labels, finite


def _pair(values: ArrayLike, labels: ArrayLike) -> tuple[Array, Array]:
    values = as_floats(values)
    return values, as_labels(labels, values.dtype)


def _penalties(layer: Any) -> list[float]:
    # of a user's own layer with the book's attributes
    found = []
    for name, values in (("weight", "weights"), ("bias", "biases")):
        l1, l2 = (getattr(layer, f"{name}_regularizer_{kind}", 0) for kind in ("l1", "l2"))
        if l1 or l2:
            found.append(backend.ops.penalty.forward(as_floats(getattr(layer, values)), l1=l1, l2=l2))
    return found


class Loss:
    """What losses share: the mean of a batch, and of all batches since `new_pass`."""

    output: Array | None = None
    dinputs: Array | None = None
    accumulated_sum: float = 0.0
    accumulated_count: int = 0
    trainable_layers: Sequence[Any] = ()

    def forward(self, output: ArrayLike, y: ArrayLike) -> Array:
        """The loss (N,) of each sample; also sets `output`, what `backward` and a metric take."""
        raise NotImplementedError

    def backward(self, dvalues: ArrayLike, y: ArrayLike) -> Array:
        """The gradient of the mean loss with respect to what `forward` took; `dvalues` is `output`."""
        raise NotImplementedError

    def targets(self, y: ArrayLike, samples: int, outputs: int | None, dtype: np.dtype[Any]) -> Array:
        """y in the form `forward` is fastest with, checked for `samples` rows and `outputs` columns, if known.

        Raises TypeError or ValueError that names what is wrong.
        """
        targets = np.asanyarray(y)
        if targets.dtype.kind not in "iu" or np.ma.isMaskedArray(targets):  # a user's own loss may want class numbers
            targets = as_floats(targets, dtype, "y")
        if len(targets) != samples:
            raise ValueError(f"X and y must have one length, got {samples} and {len(targets)}")
        return targets

    def new_pass(self) -> None:
        """Forget the accumulated batches."""
        self.accumulated_sum = 0.0
        self.accumulated_count = 0

    def accumulate(self, losses: Array) -> float:
        """The mean of the losses (N,) of a batch, which then counts in `calculate_accumulated`."""
        losses = as_floats(losses, name="losses")
        mean = backend.ops.mean.forward(losses if losses.ndim == 1 else losses.ravel())
        self.count(mean, len(losses))
        return mean

    def count(self, mean: float, samples: int) -> None:
        """Let a batch of so many samples with this mean loss count in `calculate_accumulated`."""
        self.accumulated_sum += mean * samples
        self.accumulated_count += samples

    def remember_trainable_layers(self, layers: Sequence[Any]) -> None:
        """Whose penalties `regularization_loss` adds."""
        self.trainable_layers = layers

    def regularization_loss(self, layer: Any = None) -> float:
        """The penalties of a layer's regularizers, or of those of all remembered layers."""
        total = 0.0
        for each in self.trainable_layers if layer is None else (layer,):
            for penalty in each.penalties() if hasattr(each, "penalties") else _penalties(each):
                total += penalty
        return total

    def calculate(self, output: ArrayLike, y: ArrayLike, *, include_regularization: bool = False) -> Any:
        """The mean loss of outputs (N, C) against labels y, which then counts in `calculate_accumulated`.

        With `include_regularization` a pair: this, and `regularization_loss`.
        """
        loss = self.accumulate(self.forward(output, y))
        return (loss, self.regularization_loss()) if include_regularization else loss

    def calculate_accumulated(self, *, include_regularization: bool = False) -> Any:
        """The mean loss over all samples since `new_pass`; with `include_regularization` a pair as in `calculate`.

        Raises RuntimeError when there are no samples.
        """
        if not self.accumulated_count:
            raise RuntimeError("no samples since new_pass: call calculate first")
        loss = self.accumulated_sum / self.accumulated_count
        return (loss, self.regularization_loss()) if include_regularization else loss


class _Categorical(Loss):
    def targets(self, y: ArrayLike, samples: int, outputs: int | None, dtype: np.dtype[Any]) -> Array:
        labels = as_labels(y, dtype)
        if len(labels) != samples:
            raise ValueError(f"X and y must have one length, got {samples} and {len(labels)}")
        if outputs is None:
            return labels
        if labels.ndim == 2:
            if labels.shape[1] != outputs:
                raise ValueError(f"y must have shape ({samples},) or ({samples}, {outputs}), got {labels.shape}")
            return labels
        outside = np.flatnonzero((labels < 0) | (labels >= outputs))
        if len(outside):
            raise ValueError(f"labels must lie in 0..{outputs - 1}, got {labels[outside[0]]} at index {outside[0]}")
        return labels


class CategoricalCrossentropy(_Categorical):
    """-log of the probability p (N, C) that the labelled class got, p clipped to [1e-7, 1 - 1e-7]."""

    def forward(self, output: ArrayLike, y: ArrayLike) -> Array:
        """The loss (N,) of each row of probabilities `output` (N, C)."""
        self.output, y = _pair(output, y)
        return backend.ops.categorical_cross_entropy.forward(self.output, y)

    def backward(self, dvalues: ArrayLike, y: ArrayLike) -> Array:
        """The gradient (N, C) of the mean loss with respect to the probabilities `dvalues` (N, C)."""
        p, y = _pair(dvalues, y)
        self.dinputs = dp = backend.ops.categorical_cross_entropy.backward(p, y)
        return dp


class SoftmaxCategoricalCrossentropy(_Categorical):
    """Softmax and categorical cross-entropy in one operation: of scores x (N, C), with no clip and no overflow.

    `output` holds the probabilities after `forward`.
    """

    def forward(self, output: ArrayLike, y: ArrayLike) -> Array:
        """The loss (N,) of each row of scores `output` (N, C)."""
        x, y = _pair(output, y)
        losses, self.output = backend.ops.softmax_cross_entropy.forward(x, y)
        return losses

    def backward(self, dvalues: ArrayLike, y: ArrayLike) -> Array:
        """The gradient (N, C) of the mean loss with respect to the scores; `dvalues` are the probabilities (N, C)."""
        p, y = _pair(dvalues, y)
        self.dinputs = dx = backend.ops.softmax_cross_entropy.backward(p, y)
        return dx


class _Elementwise(Loss):
    # a subclass names its operation, and what `backward` and a metric take is the output itself
    operation = ""

    def __init__(self, **knobs: float) -> None:
        self._knobs = knobs

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self._knobs.items())})"

    def targets(self, y: ArrayLike, samples: int, outputs: int | None, dtype: np.dtype[Any]) -> Array:
        targets = as_floats(super().targets(y, samples, outputs, dtype), dtype)
        if targets.ndim == 1 and outputs in (None, 1):
            targets = targets[:, None]  # (N,) against (N, 1) would broadcast to (N, N)
        if targets.ndim != 2 or outputs is not None and targets.shape[1] != outputs:
            raise ValueError(f"y must have shape ({samples}, {'C' if outputs is None else outputs})"
                             f"{' or (N,)' if outputs == 1 else ''}, got {np.shape(y)}")
        return np.ascontiguousarray(targets)

    def _pair(self, output: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        output = as_floats(output, name="output")
        return output, self.targets(y, len(output), output.shape[1] if output.ndim == 2 else None, output.dtype)

    def forward(self, output: ArrayLike, y: ArrayLike) -> Array:
        """The loss (N,) of each row of outputs (N, C), the mean over its columns."""
        self.output, y = self._pair(output, y)
        losses: Array = getattr(backend.ops, self.operation).forward(self.output, y, **self._knobs)
        return losses

    def backward(self, dvalues: ArrayLike, y: ArrayLike) -> Array:
        """The gradient (N, C) of the mean loss with respect to the outputs `dvalues` (N, C)."""
        output, y = self._pair(dvalues, y)
        self.dinputs = dx = getattr(backend.ops, self.operation).backward(output, y, **self._knobs)
        return dx


class BinaryCrossentropy(_Elementwise):
    """-(t log p + (1 - t) log(1 - p)) of probabilities p and targets t in 0..1, p clipped to [1e-7, 1 - 1e-7]."""

    operation = "binary_cross_entropy"


class MeanSquaredError(_Elementwise):
    """(t - y)^2 of outputs y and targets t."""

    operation = "mean_squared_error"


class MeanAbsoluteError(_Elementwise):
    """|t - y| of outputs y and targets t."""

    operation = "mean_absolute_error"


class Huber(_Elementwise):
    """(t - y)^2 / 2 where |t - y| is at most `delta`, else delta (|t - y| - delta / 2): outliers count linearly.

    Raises ValueError unless delta is finite and greater than 0.
    """

    operation = "huber"

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__(delta=finite("delta", delta))
        if not delta:
            raise ValueError("delta must be greater than 0")

    @property
    def delta(self) -> float:
        return self._knobs["delta"]

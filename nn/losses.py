"""Losses: a value for each sample, the mean over a batch, and the gradient of that mean.

Labels are class numbers (N,) of any integer dtype, or rows (N, C) with a share for each class, such as one-hot.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import backend
from .arrays import Array, as_floats, as_labels


def _pair(values: ArrayLike, labels: ArrayLike) -> tuple[Array, Array]:
    values = as_floats(values)
    return values, as_labels(labels, values.dtype)


class Loss:
    """What losses share: the mean of a batch, and of all batches since `new_pass`."""

    output: Array | None = None
    dinputs: Array | None = None
    accumulated_sum: float = 0.0
    accumulated_count: int = 0

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
        targets = as_floats(y, dtype, "y")
        if len(targets) != samples:
            raise ValueError(f"X and y must have one length, got {samples} and {len(targets)}")
        return targets

    def new_pass(self) -> None:
        """Forget the accumulated batches."""
        self.accumulated_sum = 0.0
        self.accumulated_count = 0

    def accumulate(self, losses: Array) -> float:
        """The mean of the losses (N,) of a batch, which then counts in `calculate_accumulated`."""
        mean = backend.ops.mean.forward(losses)
        self.count(mean, len(losses))
        return mean

    def count(self, mean: float, samples: int) -> None:
        """Let a batch of so many samples with this mean loss count in `calculate_accumulated`."""
        self.accumulated_sum += mean * samples
        self.accumulated_count += samples

    def calculate(self, output: ArrayLike, y: ArrayLike) -> float:
        """The mean loss of outputs (N, C) against labels y, which then counts in `calculate_accumulated`."""
        return self.accumulate(self.forward(output, y))

    def calculate_accumulated(self) -> float:
        """The mean loss over all samples since `new_pass`. Raises RuntimeError when there are none."""
        if not self.accumulated_count:
            raise RuntimeError("no samples since new_pass: call calculate first")
        return self.accumulated_sum / self.accumulated_count


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

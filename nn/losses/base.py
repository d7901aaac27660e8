"""What all losses have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import backend
from ..arrays import Array, Calling, as_array, as_floats, is_masked
from ..checks import flag
from ..layers import penalties_of
from ..targets import Outputs, as_weights


def weigh(values: Array, weights: Array) -> Array:
    """Losses (N, ...) or a gradient (N, ..., C) times the weights (N,) of the samples, or (N, ...) of the positions."""
    shape = values.shape
    if weights.ndim > 1 or values.ndim > 2:
        rows = weights.size
        values, weights = values.reshape(rows, values.size // max(1, rows)), weights.reshape(rows)
    found: Array = backend.ops.scale_rows.forward(values, weights)
    return found.reshape(shape)


class Loss(Calling):
    """Base class of losses: the mean of a batch, and of all batches since `new_pass`."""

    _takes: tuple[str, ...] = ()  # which outputs; none named: any
    output: Array | None = None
    dinputs: Array | None = None
    accumulated_sum: float = 0.0
    accumulated_count: int = 0
    trainable_layers: Sequence[Any] = ()

    def forward(self, y_pred: ArrayLike, y_true: ArrayLike) -> Array:
        """The loss (N,) of each sample, or (N, ...) of each position in it. Also sets `output`, which `backward`
        takes."""
        raise NotImplementedError

    def backward(self, dvalues: ArrayLike, y_true: ArrayLike) -> Array:
        """The gradient of the mean loss with respect to what `forward` got; `dvalues` is `output`."""
        raise NotImplementedError

    def targets(self, y: ArrayLike, samples: int, outputs: Outputs, dtype: np.dtype[Any]) -> Array:
        """y converted for `forward`, and checked for so many samples.

        outputs: how many outputs a sample has, a tuple if their shape is (..., C); None if that is not known.

        Raises TypeError or ValueError that names what is wrong.
        """
        targets = y if isinstance(y, np.ndarray) else as_array(y, "y")
        if targets.dtype.kind not in "iu" or is_masked(targets):  # a user's own loss may want class numbers
            targets = as_floats(y, dtype, "y")
        if not targets.ndim or len(targets) != samples:
            raise ValueError(f"X and y must have the same length, got {samples} and "
                             f"{len(targets) if targets.ndim else 'a number'}")
        return targets

    def weights(self, y: Array, sample_weight: ArrayLike | None, dtype: np.dtype[Any]) -> Array | None:
        """The weight (N,) of each sample, or (N, ...) of each position in it, for labels y from `targets`; None if all
        weights are 1.

        Raises TypeError or ValueError for weights that are not finite numbers of at least 0 in one of these shapes.
        """
        if sample_weight is None:
            return None
        with np.errstate(over="ignore"):  # the error comes below
            weights = as_floats(sample_weight, dtype, "sample_weight")
        samples, positions = y.shape[:1], y.shape if y.dtype.kind in "iu" or y.ndim == 1 else y.shape[:-1]
        if weights.shape not in (samples, positions):
            either = "" if positions == samples else f" or {positions}"
            raise ValueError(f"sample_weight must have shape {samples}{either}, got {weights.shape}")
        return as_weights("sample_weight", weights)

    def prepare(self, y: ArrayLike, outputs: Outputs = None) -> None:
        """Compute what the loss needs from all labels y of a training, for outputs as in `targets`: the weights of
        `class_weights="balanced"`. `Model.train` calls it; in a hand-written loop call it first."""

    def unweighted(self) -> Loss:
        """The loss for labels from `targets`, without class weights and smoothing: itself or a copy."""
        return self

    def new_pass(self) -> None:
        """Forget the accumulated batches."""
        self.accumulated_sum = 0.0
        self.accumulated_count = 0

    def accumulate(self, losses: Array) -> float:
        """The mean of the losses (N, ...) of a batch, which then counts in `calculate_accumulated` as N samples."""
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
            for found in penalties_of(each):
                total += found
        return total

    def calculate(self, output: ArrayLike, y: ArrayLike, *, include_regularization: bool = False) -> Any:
        """The mean loss of outputs (N, ..., C) against labels y, which then counts in `calculate_accumulated`.

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

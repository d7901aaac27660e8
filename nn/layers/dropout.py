"""Dropout."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import backend
from ..arrays import Array, as_floats
from ..checks import checked, flag, real, rename, whole, word
from .activations import _Activation
from .base import PASSED, Shape
from .windows import check_images, image_shape


def _share(rate: float) -> float:
    share = real("rate", rate)
    if not 0 <= share < 1:
        raise ValueError(f"rate, the share that is dropped, must be at least 0 and below 1, got {share}")
    return share


class Dropout(_Activation):
    """In training y = x * mask, where the mask is 0 with probability `rate`, else 1 / (1 - rate); otherwise y = x.

    Each call in training uses a new mask, which depends on `seed` (a whole number, 0 <= seed < 2^64; None draws one)
    and on `calls`, the number of calls in training so far. Give each layer its own seed: the same seed gives the same
    masks. `binary_mask` is the mask of the last call, or None if that was not in training.

    Raises TypeError for anything that is not a number, ValueError for a number out of range.
    """

    operation = "dropout"
    _gives = PASSED
    binary_mask: Array | None = None
    seed: Any = checked(word)

    def __init__(self, rate: float, *, seed: int | None = None) -> None:
        self.dropped = _share(rate)
        self.seed = int(np.random.default_rng().integers(2**64, dtype=np.uint64)) if seed is None else seed
        self.calls = 0

    @property
    def calls(self) -> int:
        return self._calls

    @calls.setter
    def calls(self, calls: int) -> None:
        self._calls = whole("calls", calls, 0, 2**53 - 1)

    @property
    def rate(self) -> float:
        return self.dropped

    @rate.setter
    def rate(self, rate: float) -> None:
        self.dropped = _share(rate)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dropped}, seed={self.seed})"

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The outputs for inputs: in training with elements dropped, otherwise a copy."""
        training = flag("training", training)
        self.inputs = inputs = as_floats(inputs)
        if training:
            y, self.binary_mask = backend.ops.dropout.forward(inputs, rate=self.dropped, seed=self.seed,
                                                              stream=self._calls)
            self._calls += 1
        else:
            y, self.binary_mask = backend.ops.linear.forward(inputs), None
        self.output = y
        return y

    def backward(self, dvalues: ArrayLike) -> Array:
        """The gradient of the loss with respect to the inputs, given that of the outputs, with the last call's mask."""
        if self.output is None:
            raise RuntimeError("call forward before backward")
        dvalues = as_floats(dvalues, self.output.dtype, "dvalues", infinite=True)
        mask = self.binary_mask
        try:
            self.dinputs = dx = (backend.ops.linear.forward(dvalues) if mask is None else
                                 backend.ops.dropout.backward(dvalues, mask))
        except (TypeError, ValueError) as error:
            rename(error, dy="dvalues", mask="binary_mask")
            raise
        return dx


class Dropout2d(Dropout):
    """Dropout of whole channels of images (N, C, H, W): neighbouring elements are alike, so dropping single elements
    has little effect (Tompson et al. 2015). Arguments and seeds are those of `Dropout`; `binary_mask` is (N, C)."""

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The outputs for images: in training with channels dropped, otherwise a copy."""
        training = flag("training", training)
        self.inputs = inputs = as_floats(inputs)
        check_images(inputs, None)
        if training:
            channels = inputs.shape[0] * inputs.shape[1]
            # the mask does not depend on what it is made for
            some = np.ascontiguousarray(inputs).reshape(-1)[:channels].reshape(inputs.shape[:2])
            self.binary_mask = backend.ops.dropout.forward(some, rate=self.dropped, seed=self.seed,
                                                           stream=self._calls)[1]
            self._calls += 1
            y = backend.ops.scale_channels.forward(inputs, self.binary_mask)
        else:
            y, self.binary_mask = backend.ops.linear.forward(inputs), None
        self.output = y
        return y

    def backward(self, dvalues: ArrayLike) -> Array:
        """The gradient of the loss with respect to the inputs, given that of the outputs, with the last call's mask."""
        if self.output is None:
            raise RuntimeError("call forward before backward")
        dvalues = as_floats(dvalues, self.output.dtype, "dvalues", infinite=True)
        if dvalues.shape != self.output.shape:
            raise ValueError(f"dvalues must have shape {self.output.shape} to match the outputs, got {dvalues.shape}")
        mask = self.binary_mask
        self.dinputs = dx = (backend.ops.linear.forward(dvalues) if mask is None else
                             backend.ops.scale_channels.forward(dvalues, mask))
        return dx

    def output_shape(self, shape: Shape | None) -> Shape | None:
        """The same. Raises ValueError for samples that are no images."""
        return None if shape is None else image_shape(shape, None)

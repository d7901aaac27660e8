"""Rescale: inputs times a number, plus another."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .. import backend
from ..arrays import Array, as_floats, float_dtype
from ..checks import flag, real, rename
from .base import _Layer


def _finite(name: str, value: float) -> float:
    found = real(name, value)
    if not math.isfinite(found):
        raise ValueError(f"{name} must be finite, got {found}")
    return found


class Rescale(_Layer):
    """y = x * scale + offset, rounded twice: `Rescale(1 / 255)` scales pixels in 0..255 to 0..1,
    `Rescale(1 / 127.5, -1)` to -1..1. As the first layer it takes images as uint8.

    Both numbers and the outputs have the `dtype`, float32 or float64, which should be that of the next layers.
    Raises TypeError or ValueError for numbers that are not finite, and another dtype.
    """

    def __init__(self, scale: float = 1 / 255, offset: float = 0.0, *, dtype: DTypeLike = np.float32) -> None:
        self.dtype = float_dtype(dtype)
        self._set(_finite("scale", scale), _finite("offset", offset))

    def _set(self, scale: float, offset: float) -> None:
        # as kernels take them; recorded steps keep the array that they have seen
        self._scale, self._offset, self._numbers = scale, offset, np.array([scale, offset], self.dtype)

    @property
    def scale(self) -> float:
        return self._scale

    @scale.setter
    def scale(self, value: float) -> None:
        self._check_thread()
        self._set(_finite("scale", value), self._offset)

    @property
    def offset(self) -> float:
        return self._offset

    @offset.setter
    def offset(self, value: float) -> None:
        self._check_thread()
        self._set(self._scale, _finite("offset", value))

    @property
    def _constants(self) -> list[Array]:
        return [self._numbers]

    def __repr__(self) -> str:
        return f"Rescale({self.scale:.6g}{f', {self.offset:.6g}' if self.offset else ''})"

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.dtype = float_dtype(self.dtype)  # see Dense
        self._numbers = self._numbers.view(self.dtype)

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The outputs, in the shape of the inputs."""
        flag("training", training)
        self.inputs = inputs = as_floats(inputs, self.dtype)
        x = np.ascontiguousarray(inputs).reshape(1, -1)  # a view of a batch, which a recorded step knows
        numbers = self._numbers
        try:
            if self.offset:
                y = backend.ops.dense.forward(x.reshape(-1, 1), numbers[:1, None], numbers[1:])
            else:  # in a tenth of the time
                y = backend.ops.scale_rows.forward(x, numbers[:1])
        except (TypeError, ValueError) as error:
            rename(error, x="inputs")
            raise
        self.output = y = y.reshape(inputs.shape)
        return y

    def backward(self, dvalues: ArrayLike) -> Array:
        """The gradient with respect to the inputs: `scale` times that of the outputs."""
        if self.output is None:
            raise RuntimeError("call forward before backward")
        d = as_floats(dvalues, self.dtype, "dvalues", infinite=True)
        if d.shape != self.output.shape:
            raise ValueError(f"dvalues must have shape {self.output.shape} to match output, got {d.shape}")
        dx = backend.ops.scale_rows.forward(np.ascontiguousarray(d).reshape(1, -1), self._numbers[:1])
        self.dinputs = dx = dx.reshape(d.shape)
        return dx

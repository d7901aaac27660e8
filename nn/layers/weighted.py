"""What Dense and the convolutions share: weights, biases and their regularizers."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import initializers
from ..arrays import Array, as_floats, float_dtype
from ..checks import checked, finite, shown
from .base import NUMBERS, PROBABILITIES, _Layer

ACTIVATIONS = (None, "relu", "sigmoid", "tanh")


def _activation(name: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str) or value not in ACTIVATIONS:
        raise (ValueError if isinstance(value, str) else TypeError)(
            f"{name} must be None, 'relu', 'sigmoid' or 'tanh', got {shown(value)}")
    return value


def draw(initializer: str | initializers.Initializer, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Initial weights of a convolution, of shape (outputs, inputs, rows, columns).

    An initializer of a user's own that takes no `shape` gives weights (n_inputs, n_neurons), with a neuron for each
    output. Raises TypeError or ValueError for anything but an initializer, ValueError for weights of another shape.
    """
    create = initializers.find(initializer)
    size = math.prod(shape[2:])
    if "shape" in inspect.signature(create).parameters:
        return create(shape[1] * size, shape[0] * size, rng, shape=shape)
    found = np.asarray(create(shape[1] * size, shape[0], rng))
    wish = shape[1] * size, shape[0]
    if found.shape != wish:
        raise ValueError(f"initializer must return an array of shape {wish}, got {found.shape}")
    return found.T.reshape(shape)


class _Weighted(_Layer):
    parameter_names = ("weights", "biases")
    _skips_input_gradient = True
    _wants_small = True
    dtype: np.dtype[Any]
    dweights: Array | None = None
    dbiases: Array | None = None
    _weights: Array
    activation: str | None = checked(_activation)
    weight_regularizer_l1: float = checked(finite)
    weight_regularizer_l2: float = checked(finite)
    bias_regularizer_l1: float = checked(finite)
    bias_regularizer_l2: float = checked(finite)

    def _set_regularizers(self, weight_l1: float, weight_l2: float, bias_l1: float, bias_l2: float) -> None:
        self.weight_regularizer_l1, self.weight_regularizer_l2 = weight_l1, weight_l2
        self.bias_regularizer_l1, self.bias_regularizer_l2 = bias_l1, bias_l2

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.dtype = float_dtype(self.dtype)  # a copied dtype is another object, and kernels compare by identity
        self.weights, self.biases = self._weights, getattr(self, "_biases")

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The shape of the weights."""
        raise NotImplementedError

    @property
    def weights(self) -> Array:
        return self._weights

    @weights.setter
    def weights(self, values: ArrayLike) -> None:
        self._weights = self._parameter(values, "weights", self.weight_shape)

    @property
    def regularizers(self) -> dict[str, tuple[float, float]]:
        """(l1, l2) of the weights and of the biases."""
        return {"weights": (self.weight_regularizer_l1, self.weight_regularizer_l2),
                "biases": (self.bias_regularizer_l1, self.bias_regularizer_l2)}

    def _is_regularized(self) -> bool:
        # perhaps, if a subclass has regularizers of its own
        return bool(self.weight_regularizer_l1 or self.weight_regularizer_l2 or self.bias_regularizer_l1
                    or self.bias_regularizer_l2 or type(self).regularizers is not _Weighted.regularizers)

    def penalties(self) -> list[float]:
        """What the regularizers add to the loss: a number for each parameter with a regularizer."""
        return super().penalties() if self._is_regularized() else []

    def _parameter(self, values: ArrayLike, name: str, shape: tuple[int, ...]) -> Array:
        self._check_thread()
        found = as_floats(values, self.dtype, name)
        if found.shape != shape and (name == "weights" or found.shape != shape[1:]):
            raise ValueError(f"{name} must have shape {shape}, got {found.shape}")
        return np.array(found, order="C", copy=True)[:]  # a view: `resize` would free what recorded calls read

    @property
    def _gives(self) -> str:
        return PROBABILITIES if self.activation == "sigmoid" else NUMBERS

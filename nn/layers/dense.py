"""Dense: a product, bias and activation in one kernel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .. import backend, initializers
from ..arrays import Array, as_floats, float_dtype, room
from ..checks import Seed, flag, generator, rename, whole
from .base import Shape, add_penalty_gradients
from .weighted import _Weighted


class Dense(_Weighted):
    """y = f(x w + b), with f the identity, "relu", "sigmoid" or "tanh", all in one kernel. Inputs (N, ..., n_inputs) of
    more dimensions, such as sequences (N, T, n_inputs), are taken along their last axis.

    `weights` (n_inputs, n_neurons) are drawn by `initializer`, a name or a function of `initializers`, from `rng`, a
    seed or a NumPy Generator. Pass the same Generator to all layers, or different seeds: layers of the same shape with
    the same seed get the same weights. `biases` (1, n_neurons) start at 0. Assigning to either copies the values in the
    layer's dtype, float32 or float64. Input of another dtype is converted.

    The regularizers add l1 * sum |w| + l2 * sum w^2, for weights and for biases, to a model's loss, and the gradients
    of these penalties to `dweights` and `dbiases`.

    Raises TypeError or ValueError for sizes below 1, an unknown activation, another dtype, another shape, or a
    regularizer that is not a finite number of at least 0.
    """

    _biases: Array

    def __init__(self, n_inputs: int, n_neurons: int, *, activation: str | None = None,
                 initializer: str | initializers.Initializer = "glorot_uniform",
                 rng: Seed = None, dtype: DTypeLike = np.float32,
                 weight_regularizer_l1: float = 0.0, weight_regularizer_l2: float = 0.0,
                 bias_regularizer_l1: float = 0.0, bias_regularizer_l2: float = 0.0) -> None:
        self.n_inputs, self.n_neurons = whole("n_inputs", n_inputs), whole("n_neurons", n_neurons)
        self.activation = activation
        self.dtype = float_dtype(dtype)
        self._set_regularizers(weight_regularizer_l1, weight_regularizer_l2, bias_regularizer_l1, bias_regularizer_l2)
        create, random = initializers.find(initializer), generator("rng", rng)
        with room(initializers.WEIGHTS, (self.n_inputs, self.n_neurons)):
            self.weights = create(self.n_inputs, self.n_neurons, random)
        self._biases = np.zeros(self.n_neurons, dtype=self.dtype)

    def __repr__(self) -> str:
        activation = "" if self.activation is None else f", activation={self.activation!r}"
        return f"Dense({self.n_inputs}, {self.n_neurons}{activation})"

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(n_inputs, n_neurons)."""
        return self.n_inputs, self.n_neurons

    @property
    def biases(self) -> Array:
        return self._biases[None]

    @biases.setter
    def biases(self, values: ArrayLike) -> None:
        self._biases = self._parameter(values, "biases", (1, self.n_neurons)).reshape(-1)

    @property
    def parameters(self) -> dict[str, Array]:
        """The weights (n_inputs, n_neurons) and the biases (n_neurons,)."""
        return {"weights": self._weights, "biases": self._biases}

    @property
    def gradients(self) -> dict[str, Array | None]:
        """`dweights` and `dbiases` in the shapes of the parameters; None before `backward`."""
        return {"weights": self.dweights, "biases": None if self.dbiases is None else self.dbiases.reshape(-1)}

    def adopt_gradient(self, parameter: str, values: Array) -> None:
        """Make an array the gradient of this parameter without a copy."""
        setattr(self, f"d{parameter}", values[None] if parameter == "biases" else values)

    def output_shape(self, shape: Shape | None) -> Shape | None:
        """(..., n_neurons). Raises ValueError for inputs of another shape than (..., n_inputs)."""
        if shape is None:
            return (self.n_neurons,)
        if shape[-1:] != (self.n_inputs,):
            raise ValueError(f"must have {shape[0]} inputs, not {self.n_inputs}" if len(shape) == 1 else
                             f"must accept samples of shape {shape}, not {self.n_inputs} inputs: add Flatten() before")
        return *shape[:-1], self.n_neurons

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The outputs (N, ..., n_neurons) for inputs (N, ..., n_inputs)."""
        flag("training", training)
        return self._forward(inputs, self.activation)

    def _forward(self, inputs: ArrayLike, activation: str | None) -> Array:
        self.inputs = inputs = as_floats(inputs, self.dtype, infinite=True)
        try:
            y: Array = backend.ops.dense.forward(_rows(inputs), self._weights, self._biases, activation=activation)
        except (TypeError, ValueError) as error:
            if inputs.ndim < 2 or inputs.shape[-1] != self.n_inputs:
                more = ", ..." if inputs.ndim > 2 else ""
                raise ValueError(f"inputs must have shape (N{more}, {self.n_inputs}), got {inputs.shape}") from None
            rename(error, x="inputs", w="weights", b="biases")
            raise
        self.output = y = y if inputs.ndim == 2 else y.reshape(*inputs.shape[:-1], self.n_neurons)
        return y

    def backward(self, dvalues: ArrayLike, *, input_gradient: bool = True) -> Array | None:
        """The gradient (N, ..., n_inputs) of the loss with respect to the inputs, given that of the outputs.

        Sets `dweights` and `dbiases`, to None while the layer is frozen. `input_gradient=False`, for a first
        layer, saves a product and returns None.
        """
        return self._backward(dvalues, self.activation, flag("input_gradient", input_gradient))

    def _backward(self, dvalues: ArrayLike, activation: str | None, input_gradient: bool) -> Array | None:
        if self.inputs is None:
            raise RuntimeError("call forward before backward")
        dvalues = as_floats(dvalues, self.dtype, "dvalues", infinite=True)
        if dvalues.ndim > 2 and dvalues.shape[:-1] != self.inputs.shape[:-1]:
            wish = (*self.inputs.shape[:-1], self.n_neurons)
            raise ValueError(f"dvalues must have shape {wish} to match inputs, got {dvalues.shape}")
        try:
            dx, self.dweights, biases = backend.ops.dense.backward(
                _rows(dvalues), _rows(self.inputs), self._weights, _rows(self.output), activation=activation,
                input_gradient=input_gradient, weight_gradient=self.trainable)
        except (TypeError, ValueError) as error:
            rename(error, dy="dvalues", x="inputs", w="weights", y="output")
            raise
        self.dinputs = dx if dx is None or self.inputs.ndim == 2 else dx.reshape(self.inputs.shape)
        self.dbiases = None if biases is None else biases[None]
        if self.trainable and self._is_regularized():
            add_penalty_gradients(self)
        return self.dinputs


def _rows(x: Any) -> Any:
    # a user may have set `output` to None
    return x if getattr(x, "ndim", 0) < 3 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])

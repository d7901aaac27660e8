"""Layers: parameters, and one kernel call each way.

`y = layer.forward(x)` and `dx = layer.backward(dy)`; the arrays of the last call stay in `inputs output dinputs`, and
for layers with parameters in `dweights dbiases`. Every call returns fresh arrays.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import backend
from .arrays import Array, as_floats, float_dtype

ACTIVATIONS = (None, "relu", "sigmoid", "tanh")


class Dense:
    """y = f(x w + b), with f the identity, "relu", "sigmoid" or "tanh", all in one kernel.

    `weights` (n_inputs, n_neurons) start as Glorot's uniform numbers, drawn from `rng` (a seed or a NumPy Generator;
    hand one Generator to all layers, since the same seed gives layers of one shape the same weights); `biases`
    (1, n_neurons) start at 0. Both may be assigned: the layer takes a copy in its own dtype, float32 or float64.
    Input of another dtype is converted.

    Raises TypeError or ValueError for sizes below 1, an unknown activation, another dtype, or another shape.
    """

    inputs: Array | None = None
    output: Array | None = None
    dinputs: Array | None = None
    dweights: Array | None = None
    dbiases: Array | None = None

    def __init__(self, n_inputs: int, n_neurons: int, *, activation: str | None = None,
                 rng: int | np.random.Generator | None = None, dtype: DTypeLike = np.float32) -> None:
        for name, size in (("n_inputs", n_inputs), ("n_neurons", n_neurons)):
            if isinstance(size, bool) or not isinstance(size, (int, np.integer)):
                raise TypeError(f"{name} must be a whole number, got {size!r}")
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be None, 'relu', 'sigmoid' or 'tanh', got {activation!r}")
        self.n_inputs, self.n_neurons = int(n_inputs), int(n_neurons)
        self.activation = activation
        self.dtype = float_dtype(dtype)
        # only whole bits, one product and one difference a number: the same weights on every CPU
        limit = math.sqrt(6 / (self.n_inputs + self.n_neurons))
        uniform = np.random.default_rng(rng).random((self.n_inputs, self.n_neurons))
        self._weights = (uniform * (2 * limit) - limit).astype(self.dtype)
        self._biases = np.zeros(self.n_neurons, dtype=self.dtype)

    def __repr__(self) -> str:
        activation = "" if self.activation is None else f", activation={self.activation!r}"
        return f"Dense({self.n_inputs}, {self.n_neurons}{activation})"

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.dtype = float_dtype(self.dtype)  # a copied dtype is another object, and kernels ask whether it is the same
        self._weights, self._biases = as_floats(self._weights, self.dtype), as_floats(self._biases, self.dtype)

    @property
    def weights(self) -> Array:
        return self._weights

    @weights.setter
    def weights(self, values: ArrayLike) -> None:
        self._weights = self._parameter(values, "weights", (self.n_inputs, self.n_neurons))

    @property
    def biases(self) -> Array:
        return self._biases[None]

    @biases.setter
    def biases(self, values: ArrayLike) -> None:
        self._biases = self._parameter(values, "biases", (1, self.n_neurons)).reshape(-1)

    def held(self) -> tuple[Array, Array]:
        """The arrays that kernels read and optimizers update: weights (n_inputs, n_neurons), biases (n_neurons,)."""
        return self._weights, self._biases

    def hold(self, weights: Array, biases: Array) -> None:
        """Let these C-contiguous arrays, of the layer's dtype, be the parameters, without a copy."""
        self._weights, self._biases = weights, biases.reshape(-1)

    def _parameter(self, values: ArrayLike, name: str, shape: tuple[int, int]) -> Array:
        found = as_floats(values, self.dtype, name)
        if found.shape != shape and (name == "weights" or found.shape != shape[1:]):
            raise ValueError(f"{name} must have shape {shape}, got {found.shape}")
        return np.array(found, order="C", copy=True)

    def forward(self, x: ArrayLike, training: bool = True) -> Array:
        """The outputs (N, n_neurons) for inputs x (N, n_inputs)."""
        self.inputs = x = as_floats(x, self.dtype)
        self.output = y = backend.ops.dense.forward(x, self._weights, self._biases, activation=self.activation)
        return y

    def backward(self, dy: ArrayLike, *, input_gradient: bool = True) -> Array | None:
        """The gradient (N, n_inputs) of the loss with respect to the inputs, given that of the outputs.

        Sets `dweights` and `dbiases`. `input_gradient=False` saves a product and returns None: for a first layer.
        """
        if self.inputs is None:
            raise RuntimeError("backward needs a forward before it")
        dy = as_floats(dy, self.dtype, "dy")
        self.dinputs, self.dweights, biases = backend.ops.dense.backward(
            dy, self.inputs, self._weights, self.output, activation=self.activation, input_gradient=input_gradient)
        self.dbiases = biases[None]
        return self.dinputs


class _Activation:
    # a subclass names its operation; every backward takes (dy, y)
    operation = ""
    inputs: Array | None = None
    output: Array | None = None
    dinputs: Array | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def forward(self, x: ArrayLike, training: bool = True) -> Array:
        """The outputs for inputs x (N, C). float32 and float64 arrays stay, the rest becomes float32."""
        self.inputs = x = as_floats(x)
        self.output = y = getattr(backend.ops, self.operation).forward(x)
        return y

    def backward(self, dy: ArrayLike) -> Array:
        """The gradient (N, C) of the loss with respect to the inputs, given that of the outputs."""
        if self.output is None:
            raise RuntimeError("backward needs a forward before it")
        dy = as_floats(dy, self.output.dtype, "dy")
        self.dinputs = dx = getattr(backend.ops, self.operation).backward(dy, self.output)
        return dx


class ReLU(_Activation):
    """y = max(x, 0)."""

    operation = "relu"


class Sigmoid(_Activation):
    """y = 1 / (1 + exp(-x))."""

    operation = "sigmoid"


class Tanh(_Activation):
    """y = tanh x."""

    operation = "tanh"


class Softmax(_Activation):
    """y[i, j] = exp x[i, j] / sum over k of exp x[i, k]: each row becomes probabilities.

    A Model joins it with CategoricalCrossentropy behind it into one operation.
    """

    operation = "softmax"


Layer = Any  # whatever has forward and backward as above; with parameters, also the attributes of Dense

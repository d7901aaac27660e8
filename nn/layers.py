"""Layers: parameters, and one kernel call each way.

`y = layer.forward(x)` and `dx = layer.backward(dy)`. The arrays of the last call are kept in `inputs`, `output` and
`dinputs`, for layers with parameters also in `dweights` and `dbiases`; copies and pickles leave them out. Every call
returns new arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import backend, initializers
from .arrays import (MOST, Array, Calling, Seed, as_array, as_floats, checked, finite, flag, float_dtype, generator,
                     is_whole, positive, real, rename, room, scalar, shown, whole, word)

# by a method of theirs, what is set and not added
PARTS = {"optimizer": "update_params", "loss": "remember_trainable_layers", "accuracy": "calculate_accumulated"}
ACTIVATIONS = (None, "relu", "sigmoid", "tanh")
DIMENSIONS = 63  # the most of a sample: NumPy's arrays have 64
# what outputs are to a loss; endings.py checks that it takes them
SHARES, PROBABILITIES, LOGARITHMS = "probabilities of classes", "a probability for each output", "log-probabilities"
NUMBERS, PASSED = "other numbers", "what it gets"


class _Layer(Calling):
    inputs: Array | None = None
    output: Array | None = None
    dinputs: Array | None = None

    @property
    def trainable(self) -> bool:
        """Whether trainings update the parameters: `layer.trainable = False` freezes them, in each model that has the
        layer. Raises TypeError for what is neither True nor False."""
        return vars(self).get("trainable", True)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        vars(self)["trainable"] = flag("trainable", value)


def penalty(name: str, values: Array, l1: float, l2: float) -> float:
    """The penalty of weights or biases; `name` is what the names of their regularizers begin with."""
    try:
        found: float = backend.ops.penalty.forward(values, l1=l1, l2=l2)
    except (TypeError, ValueError) as error:
        rename(error, l1=f"{name}_regularizer_l1", l2=f"{name}_regularizer_l2")
        raise
    return found


def _activation(name: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str) or value not in ACTIVATIONS:
        raise (ValueError if isinstance(value, str) else TypeError)(
            f"{name} must be None, 'relu', 'sigmoid' or 'tanh', got {shown(value)}")
    return value


class Dense(_Layer):
    """y = f(x w + b), with f the identity, "relu", "sigmoid" or "tanh", all in one kernel.

    `weights` (n_inputs, n_neurons) are drawn by `initializer`, a name or a function of `initializers`, from `rng`, a
    seed or a NumPy Generator. Pass the same Generator to all layers, or different seeds: layers of the same shape with
    the same seed get the same weights. `biases` (1, n_neurons) start at 0. Assigning to either copies the values in the
    layer's dtype, float32 or float64. Input of another dtype is converted.

    The regularizers add l1 * sum |w| + l2 * sum w^2, for weights and for biases, to a model's loss, and the gradients
    of these penalties to `dweights` and `dbiases`.

    Raises TypeError or ValueError for sizes below 1, an unknown activation, another dtype, another shape, or a
    regularizer that is not a finite number of at least 0.
    """

    dweights: Array | None = None
    dbiases: Array | None = None
    _weights: Array
    _biases: Array
    activation: str | None = checked(_activation)
    weight_regularizer_l1: float = checked(finite)
    weight_regularizer_l2: float = checked(finite)
    bias_regularizer_l1: float = checked(finite)
    bias_regularizer_l2: float = checked(finite)

    def __init__(self, n_inputs: int, n_neurons: int, *, activation: str | None = None,
                 initializer: str | initializers.Initializer = "glorot_uniform",
                 rng: Seed = None, dtype: DTypeLike = np.float32,
                 weight_regularizer_l1: float = 0.0, weight_regularizer_l2: float = 0.0,
                 bias_regularizer_l1: float = 0.0, bias_regularizer_l2: float = 0.0) -> None:
        self.n_inputs, self.n_neurons = whole("n_inputs", n_inputs), whole("n_neurons", n_neurons)
        self.activation = activation
        self.dtype = float_dtype(dtype)
        self.weight_regularizer_l1, self.weight_regularizer_l2 = weight_regularizer_l1, weight_regularizer_l2
        self.bias_regularizer_l1, self.bias_regularizer_l2 = bias_regularizer_l1, bias_regularizer_l2
        create, random = initializers.find(initializer), generator("rng", rng)
        with room(initializers.WEIGHTS, (self.n_inputs, self.n_neurons)):
            self.weights = create(self.n_inputs, self.n_neurons, random)
        self._biases = np.zeros(self.n_neurons, dtype=self.dtype)

    def __repr__(self) -> str:
        activation = "" if self.activation is None else f", activation={self.activation!r}"
        return f"Dense({self.n_inputs}, {self.n_neurons}{activation})"

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.dtype = float_dtype(self.dtype)  # a copied dtype is another object, and kernels compare by identity
        self.weights, self.biases = self._weights, self._biases

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

    def regularizers(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """(l1, l2) of the weights and of the biases."""
        return ((self.weight_regularizer_l1, self.weight_regularizer_l2),
                (self.bias_regularizer_l1, self.bias_regularizer_l2))

    def penalties(self) -> list[float]:
        """The penalties that the regularizers add to the loss: of the weights and of the biases, each only if set."""
        return [penalty(name, values, l1, l2) for name, values, (l1, l2)
                in zip(("weight", "bias"), self.held(), self.regularizers()) if l1 or l2]

    def _parameter(self, values: ArrayLike, name: str, shape: tuple[int, int]) -> Array:
        found = as_floats(values, self.dtype, name)
        if found.shape != shape and (name == "weights" or found.shape != shape[1:]):
            raise ValueError(f"{name} must have shape {shape}, got {found.shape}")
        return np.array(found, order="C", copy=True)[:]  # a view: `resize` would free what recorded calls read

    @property
    def _gives(self) -> str:
        return PROBABILITIES if self.activation == "sigmoid" else NUMBERS

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The outputs (N, n_neurons) for inputs (N, n_inputs)."""
        flag("training", training)
        return self._forward(inputs, self.activation)

    def _forward(self, inputs: ArrayLike, activation: str | None) -> Array:
        self.inputs = inputs = as_floats(inputs, self.dtype, infinite=True)
        try:
            self.output = y = backend.ops.dense.forward(inputs, self._weights, self._biases, activation=activation)
        except (TypeError, ValueError) as error:
            if inputs.ndim != 2 or inputs.shape[1] != self.n_inputs:
                raise ValueError(f"inputs must have shape (N, {self.n_inputs}), got {inputs.shape}") from None
            rename(error, x="inputs", w="weights", b="biases")
            raise
        return y

    def backward(self, dvalues: ArrayLike, *, input_gradient: bool = True) -> Array | None:
        """The gradient (N, n_inputs) of the loss with respect to the inputs, given that of the outputs.

        Sets `dweights` and `dbiases`. `input_gradient=False`, for a first layer, saves a product and returns None.
        """
        return self._backward(dvalues, self.activation, flag("input_gradient", input_gradient))

    def _backward(self, dvalues: ArrayLike, activation: str | None, input_gradient: bool) -> Array | None:
        if self.inputs is None:
            raise RuntimeError("call forward before backward")
        dvalues = as_floats(dvalues, self.dtype, "dvalues", infinite=True)
        try:
            self.dinputs, self.dweights, biases = backend.ops.dense.backward(
                dvalues, self.inputs, self._weights, self.output, activation=activation, input_gradient=input_gradient)
        except (TypeError, ValueError) as error:
            rename(error, dy="dvalues", x="inputs", w="weights", y="output")
            raise
        name = "weight"
        try:
            for gradient, values, (l1, l2) in zip((self.dweights, biases), self.held(), self.regularizers()):
                if l1 or l2:
                    backend.ops.penalty.backward(gradient, values, l1=l1, l2=l2, out=gradient)
                name = "bias"
        except (TypeError, ValueError) as error:
            rename(error, l1=f"{name}_regularizer_l1", l2=f"{name}_regularizer_l2")
            raise
        self.dbiases = biases[None]
        return self.dinputs


class _Activation(_Layer):
    # a subclass names its operation, and says if its backward takes x instead of y
    operation = ""
    of_inputs = False
    _gives = NUMBERS

    def __init__(self) -> None:
        self._knobs: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self._knobs.items())})"

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The outputs for inputs (N, C). Other dtypes than float32 and float64 become float32."""
        flag("training", training)
        self.inputs = inputs = as_floats(inputs)
        try:
            self.output = y = getattr(backend.ops, self.operation).forward(inputs, **self._knobs)
        except (TypeError, ValueError) as error:
            rename(error, x="inputs")
            raise
        return y

    def backward(self, dvalues: ArrayLike) -> Array:
        """The gradient (N, C) of the loss with respect to the inputs, given that of the outputs."""
        seen = self.inputs if self.of_inputs else self.output
        if seen is None:
            raise RuntimeError("call forward before backward")
        dvalues = as_floats(dvalues, seen.dtype, "dvalues", infinite=True)
        try:
            self.dinputs = dx = getattr(backend.ops, self.operation).backward(dvalues, seen, **self._knobs)
        except (TypeError, ValueError) as error:
            rename(error, dy="dvalues", x="inputs", y="output")
            raise
        return dx

    def predictions(self, outputs: ArrayLike) -> Array:
        """Predictions from the last outputs: class numbers after softmax, 0 or 1 after sigmoid, else the outputs."""
        return as_array(outputs, "outputs")


class Linear(_Activation):
    """y = x."""

    operation = "linear"
    _gives = PASSED


class Step(_Activation):
    """y = 1 where x > 0, else 0, as in a perceptron. Its derivative is 0, so layers before it do not learn."""

    operation = "step"

    def predictions(self, outputs: ArrayLike) -> Array:
        return (as_array(outputs, "outputs") > 0.5) * 1


class ReLU(_Activation):
    """y = max(x, 0)."""

    operation = "relu"


class LeakyReLU(_Activation):
    """y = x where x > 0, else negative_slope * x (Maas et al. 2013)."""

    operation = "leaky_relu"

    def __init__(self, negative_slope: float = 0.01) -> None:
        self._knobs = {"negative_slope": finite("negative_slope", negative_slope)}

    @property
    def negative_slope(self) -> float:
        return self._knobs["negative_slope"]


class ELU(_Activation):
    """y = x where x > 0, else alpha * (exp(x) - 1), alpha > 0 (Clevert et al. 2016)."""

    operation = "elu"

    def __init__(self, alpha: float = 1.0) -> None:
        self._knobs = {"alpha": positive("alpha", alpha)}

    @property
    def alpha(self) -> float:
        return self._knobs["alpha"]


class GELU(_Activation):
    """y = x Phi(x), Phi the distribution function of the normal distribution (Hendrycks, Gimpel 2016)."""

    operation, of_inputs = "gelu", True


class SiLU(_Activation):
    """y = x sigmoid(x), also called swish (Elfwing et al. 2018)."""

    operation, of_inputs = "silu", True


class Softplus(_Activation):
    """y = log(1 + exp x)."""

    operation, of_inputs = "softplus", True


class Sigmoid(_Activation):
    """y = 1 / (1 + exp(-x)).

    A Model joins it with a following BinaryCrossentropy into one operation.
    """

    operation = "sigmoid"
    _gives = PROBABILITIES

    def predictions(self, outputs: ArrayLike) -> Array:
        return (as_array(outputs, "outputs") > 0.5) * 1


class Tanh(_Activation):
    """y = tanh x."""

    operation = "tanh"


class Softmax(_Activation):
    """y[i, j] = exp x[i, j] / sum over k of exp x[i, k]: each row becomes probabilities.

    A Model joins it with a following CategoricalCrossentropy into one operation.
    """

    operation = "softmax"
    _gives = SHARES

    def predictions(self, outputs: ArrayLike) -> Array:
        return as_array(outputs, "outputs").argmax(axis=1)


class LogSoftmax(_Activation):
    """The logarithm of softmax: log-probabilities, for NegativeLogLikelihood."""

    operation = "log_softmax"
    _gives = LOGARITHMS

    def predictions(self, outputs: ArrayLike) -> Array:
        return as_array(outputs, "outputs").argmax(axis=1)


class Input(_Layer):
    """Passes on samples (N, *shape) and checks their shape: `Input(784)`, `Input((28, 28))`.

    Raises TypeError or ValueError for sizes that are not whole numbers of at least 1, ValueError for more dimensions or
    elements than an array can have.
    """

    _gives = PASSED

    def __init__(self, shape: int | Sequence[int]) -> None:
        sizes = tuple(map(scalar, shape if isinstance(shape, (tuple, list)) else (shape,)))
        for size in sizes:
            if not is_whole(size):
                raise TypeError(f"shape must be a whole number or several, got {shown(shape)}")
            if size < 1:
                raise ValueError(f"shape must be of numbers of at least 1, got {shown(shape)}")
        if len(sizes) > DIMENSIONS or math.prod(map(int, sizes)) > MOST:  # a file's would take as long as it likes
            raise ValueError(f"shape must be of at most {DIMENSIONS} numbers with a product below 2^63, got "
                             f"{shown(shape)}")
        self.shape = tuple(map(int, sizes))

    def __repr__(self) -> str:
        return f"Input({self.shape[0] if len(self.shape) == 1 else self.shape})"

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The inputs (N, *shape) as floats. Raises ValueError for another shape."""
        flag("training", training)
        self.inputs = self.output = y = as_floats(inputs)
        if y.shape[1:] != self.shape or not y.ndim:
            raise ValueError(f"inputs must have shape ({', '.join(map(str, ('samples', *self.shape)))}), got {y.shape}")
        return y

    def backward(self, dvalues: ArrayLike) -> Array:
        """The gradient as it is."""
        self.dinputs = dx = as_floats(dvalues, name="dvalues")
        return dx


class Flatten(_Layer):
    """y (N, everything else) from x (N, ...): images become rows."""

    _gives = PASSED

    def __repr__(self) -> str:
        return "Flatten()"

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The rows (N, everything else) of inputs (N, ...)."""
        flag("training", training)
        self.inputs = inputs = as_floats(inputs)
        if not inputs.ndim:
            raise ValueError("inputs must have shape (N, ...), got ()")
        self.output = y = np.ascontiguousarray(inputs).reshape(len(inputs), math.prod(inputs.shape[1:]))
        return y

    def backward(self, dvalues: ArrayLike) -> Array:
        """The gradient in the shape of the inputs."""
        if self.inputs is None:
            raise RuntimeError("call forward before backward")
        dvalues = as_floats(dvalues, self.inputs.dtype, "dvalues", infinite=True)
        if dvalues.size != self.inputs.size:
            raise ValueError(f"dvalues must have as many elements as inputs {self.inputs.shape}, got {dvalues.shape}")
        self.dinputs = dx = dvalues.reshape(self.inputs.shape)
        return dx


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

    Raises TypeError for what is no number, ValueError for a number out of range.
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


class Sequential:
    """A sequence of layers as one layer: `forward` runs through all of them, `backward` in the opposite order.

    A Model takes them one by one: `model.add(Sequential(...))`. For a training loop of one's own, `trainable_layers`
    are those that an optimizer updates. `block.trainable = False` freezes all layers.
    """

    recordable = False  # in a model's list it would hide the parameters of its layers from a recording

    def __init__(self, *layers: Layer) -> None:
        self.layers: list[Layer] = []
        for layer in layers:
            self.layers += unfolded(layer, "Sequential")

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"

    @property
    def trainable_layers(self) -> list[Layer]:
        """Those with weights that are not frozen."""
        return trained(self.layers)

    @property
    def trainable(self) -> bool:
        """Whether any of the layers is trained; assigning it sets `trainable` of all of them."""
        return any(trained([layer]) or hasattr(layer, "trainable_layers") and layer.trainable for layer in self.layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = flag("trainable", value)
        for layer in self.layers:
            layer.trainable = value

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The last layer's outputs for inputs of the first."""
        training = flag("training", training)
        output: Any = as_floats(inputs) if not self.layers else inputs
        for layer in self.layers:
            output = layer.forward(output, training)
        return output

    def backward(self, dvalues: ArrayLike) -> Array:
        """The gradient with respect to the inputs of the last `forward`. Sets the gradients of all layers."""
        gradient: Any = dvalues
        for layer in reversed(self.layers):
            gradient = layer.backward(gradient)
        return gradient

    def predictions(self, outputs: ArrayLike) -> Array:
        """The predictions of the last layer from its outputs."""
        last: Any = self.layers[-1] if self.layers else None
        return last.predictions(outputs) if hasattr(last, "predictions") else as_array(outputs, "outputs")


def unfolded(layer: Layer, taker: str) -> list[Layer]:
    """The layers of a Sequential, or the layer alone. Raises TypeError for what is no layer, naming what took it."""
    wish = f"{taker} takes a layer, such as Dense(2, 64), got"
    if isinstance(layer, type):
        raise TypeError(f"{wish} the class {layer.__name__}: write {layer.__name__}(...)")
    check_use(layer)
    if hasattr(layer, PARTS["loss"]) or not (hasattr(layer, "forward") and hasattr(layer, "backward")):
        part = next((part for part, method in PARTS.items() if hasattr(layer, method)), None)
        raise TypeError(f"{wish} {shown(layer)}" + ("" if part is None else f": write model.set({part}=...)"))
    return layer.layers if type(layer) is Sequential else [layer]


def check_use(part: Any) -> None:
    """Raise TypeError for what no model takes, such as the book's softmax and loss in one."""
    if hasattr(part, "_instead"):
        raise TypeError(f"{type(part).__name__} is for loops of one's own, not for a model: write {part._instead}")


def with_weights(layers: Sequence[Layer]) -> list[Layer]:
    """The layers that have parameters."""
    return [layer for layer in layers if hasattr(layer, "weights")]


def trained(layers: Sequence[Layer]) -> list[Layer]:
    """The layers that have parameters and are not frozen. Raises TypeError for a `trainable` of a user's own layer that
    is neither True nor False."""
    return [layer for layer in with_weights(layers)
            if flag(f"trainable of {layer!r}", getattr(layer, "trainable", True))]


Layer = Any  # whatever has forward and backward as above; with parameters, also the attributes of Dense

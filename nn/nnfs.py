"""The classes of "Neural Networks from Scratch in Python" under the book's names, on the compiled kernels.

    from nnjit.nn.nnfs import *

replaces the book's class definitions. The scripts of its chapters then run, in the style of the early ones
(`forward(inputs)`, `loss.regularization_loss(layer)`) and of the late ones (`forward(inputs, training=True)`). Weights
are drawn from NumPy's global generator as in the book, so after `nnfs.init()` they are the book's, in float32. Without
it layers compute in float64, as in the book.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import layers, losses, metrics, optimizers
from .arrays import FLOAT64, Array, Calling, as_array, as_floats, as_labels, room
from .checks import checked, finite, flag, whole, word
from .formats import parts
from .initializers import LARGEST, WEIGHTS
from .layers import Layer, Linear as Activation_Linear, ReLU as Activation_ReLU
from .layers import Sigmoid as Activation_Sigmoid, Softmax as Activation_Softmax
from .losses import BinaryCrossentropy as Loss_BinaryCrossentropy
from .losses import CategoricalCrossentropy as Loss_CategoricalCrossentropy
from .losses import Loss
from .losses import MeanAbsoluteError as Loss_MeanAbsoluteError
from .losses import MeanSquaredError as Loss_MeanSquaredError
from .targets import Outputs
from .training import model
from .training.watching import ours
from .training.step import Step
from .training.trainer import say_validation

__all__ = [
    "Accuracy", "Accuracy_Categorical", "Accuracy_Regression", "Activation_Linear", "Activation_ReLU",
    "Activation_Sigmoid", "Activation_Softmax", "Activation_Softmax_Loss_CategoricalCrossentropy", "Layer_Dense",
    "Layer_Dropout", "Layer_Input", "Loss", "Loss_BinaryCrossentropy", "Loss_CategoricalCrossentropy",
    "Loss_MeanAbsoluteError", "Loss_MeanSquaredError", "Model", "Optimizer_Adagrad", "Optimizer_Adam",
    "Optimizer_RMSprop", "Optimizer_SGD"]


class Layer_Dense(layers.Dense):
    """A dense layer with weights weight_scale * np.random.randn(...), in the dtype of these numbers, and biases of 0.

    The book uses 0.01, and in chapter 17 and the regression of chapter 18 0.1.
    """

    weight_momentums: Array
    bias_momentums: Array
    weight_cache: Array
    bias_cache: Array

    def __init__(self, n_inputs: int, n_neurons: int, weight_regularizer_l1: float = 0,
                 weight_regularizer_l2: float = 0, bias_regularizer_l1: float = 0,
                 bias_regularizer_l2: float = 0, *, weight_scale: float = 0.01) -> None:
        scale = finite("weight_scale", weight_scale, LARGEST)
        shape = whole("n_inputs", n_inputs), whole("n_neurons", n_neurons)
        with room(WEIGHTS, shape):
            weights = as_floats(scale * np.random.randn(*shape))
        super().__init__(n_inputs, n_neurons, initializer=lambda *sizes: weights, dtype=weights.dtype,
                         weight_regularizer_l1=weight_regularizer_l1, weight_regularizer_l2=weight_regularizer_l2,
                         bias_regularizer_l1=bias_regularizer_l1, bias_regularizer_l2=bias_regularizer_l2)

    def get_parameters(self) -> tuple[Array, Array]:
        """The weights and the biases."""
        return self.weights, self.biases

    def set_parameters(self, weights: ArrayLike, biases: ArrayLike) -> None:
        """Set copies of these weights and biases."""
        self.weights, self.biases = weights, biases


class Layer_Dropout(layers.Dropout):
    """Drop the share `rate` of the inputs in training. As in the book, the attribute `rate` is the share that is kept.

    Without `seed` the first call in training draws one from NumPy's global generator, not the constructor, so that the
    weights of the following layers are the book's.
    """

    seed: Any = checked(lambda name, value: None if value is None else word(name, value))

    def __init__(self, rate: float, *, seed: int | None = None) -> None:
        super().__init__(rate, seed=0 if seed is None else seed)
        self.seed = seed

    @property
    def rate(self) -> float:
        return 1 - self.dropped

    @rate.setter
    def rate(self, kept: float) -> None:
        layers.Dropout.rate.fset(self, 1 - kept)  # type: ignore[attr-defined]

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The outputs for inputs (N, C): in training with elements dropped, otherwise a copy."""
        if flag("training", training) and self.seed is None:
            self.seed = int(np.random.randint(2**31))
        return super().forward(inputs, training)

    def arguments(self) -> dict[str, Any]:
        """The arguments of the constructor, for saving."""
        return {"rate": self.dropped, "seed": self.seed}


class Layer_Input(Calling):
    """Passes on the inputs unchanged, before a model's first layer."""

    output: Array | None = None

    def forward(self, inputs: ArrayLike, training: bool = True) -> None:
        """Keep the inputs as `output`."""
        flag("training", training)
        self.output = as_array(inputs, "inputs")


class Activation_Softmax_Loss_CategoricalCrossentropy(losses.SoftmaxCategoricalCrossentropy):
    """Softmax and categorical cross-entropy in one: `forward` returns the mean loss, `output` the probabilities."""

    _instead = "add(Activation_Softmax()) and set(loss=Loss_CategoricalCrossentropy())"  # in a model, which joins them

    def __init__(self) -> None:
        self.activation = Activation_Softmax()
        self.loss = Loss_CategoricalCrossentropy()

    def forward(self, inputs: ArrayLike, y_true: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """The mean loss of scores (N, C)."""
        found = self.loss.accumulate(super().forward(inputs, y_true, sample_weight))
        self.activation.output = self.loss.output = self.output
        return found


class _Optimizer(optimizers._Optimizer):
    # shows its state as attributes of the layer with these names
    shown: tuple[str, ...] = ()

    def update_params(self, layer: Layer) -> None:
        """Update `layer.weights` and `layer.biases` in place; the layer then shows the state as its attributes."""
        if not isinstance(layer, layers.Dense):  # gradients of a user's own layer may have either dtype
            layer.dweights = as_floats(layer.dweights, layer.weights.dtype, "dweights", infinite=True)
            layer.dbiases = as_floats(layer.dbiases, layer.biases.dtype, "dbiases", infinite=True)
        state = self._update(layer).arrays
        if state and getattr(layer, self.shown[0], None) is not state[0]:
            self._show(layer, state)

    def _show(self, layer: Layer, state: Sequence[Array]) -> None:
        for name, array in zip(self.shown, state):
            setattr(layer, name, array if name.startswith("weight") else array.reshape(1, -1))

    def _join(self, parameters: Any) -> tuple[Any, ...]:
        whole = super()._join(parameters)
        for layer in parameters.layers:
            self._show(layer, self._states[layer].arrays)
        return whole


class Optimizer_SGD(_Optimizer, optimizers.SGD):
    """Stochastic gradient descent, optionally with momentum."""

    shown = ("weight_momentums", "bias_momentums")


class Optimizer_Adagrad(_Optimizer, optimizers.Adagrad):
    """AdaGrad."""

    shown = ("weight_cache", "bias_cache")


class Optimizer_RMSprop(_Optimizer, optimizers.RMSprop):
    """RMSprop."""

    shown = ("weight_cache", "bias_cache")


class Optimizer_Adam(_Optimizer, optimizers.Adam):
    """Adam."""

    shown = ("weight_momentums", "weight_cache", "bias_momentums", "bias_cache")


class Accuracy(metrics._Metric):
    """Base class of the book's accuracies. Your own defines `compare`, and `init` if it needs the labels."""

    def init(self, y: ArrayLike, reinit: bool = False) -> None:
        """Compute what the accuracy needs from all labels of a training: here nothing."""
        flag("reinit", reinit)

    def prepare(self, y: ArrayLike) -> None:
        self.init(y)

    def compare(self, predictions: ArrayLike, y: ArrayLike) -> Array:
        """Whether each prediction is right."""
        raise NotImplementedError

    def calculate(self, predictions: ArrayLike, y: ArrayLike) -> float:
        """The share of right predictions, which then counts in `calculate_accumulated`."""
        right = np.asarray(self.compare(predictions, y))
        if not right.size:
            raise ValueError("the accuracy of an empty batch is undefined")
        hits: Any = int(np.count_nonzero(right)) if right.dtype == bool else math.fsum(right.ravel().tolist())
        return self.count(hits, right.size)


def _pair(predictions: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    # (N, 1) and (N,) would broadcast to (N, N)
    predictions, y = as_array(predictions, "predictions"), as_array(y, "y")
    if y.size != predictions.size:
        raise ValueError("predictions and y must have the same number of elements, got shapes "
                         f"{predictions.shape} and {y.shape}")
    return predictions, y.reshape(predictions.shape)


class Accuracy_Categorical(Accuracy):
    """Accuracy of class numbers; with `binary` of numbers 0 and 1 in the shape of the labels."""

    def __init__(self, *, binary: bool = False) -> None:
        self.binary = binary = flag("binary", binary)
        self._of_outputs = metrics.BinaryAccuracy() if binary else metrics.Accuracy()

    def check(self, columns: int | None) -> None:
        if columns == 1 and not self.binary:
            raise ValueError("a single output is not a class number: write Accuracy_Categorical(binary=True)")
        self._of_outputs.middle = self.middle
        self._of_outputs.check(columns)

    def hits(self, outputs: Array, y: Array) -> int:
        self._of_outputs.middle = self.middle
        return self._of_outputs.hits(outputs, y)

    def numbers(self, outputs: Outputs) -> int:
        return self._of_outputs.numbers(outputs)

    def compare(self, predictions: ArrayLike, y: ArrayLike) -> Array:
        """Whether each predicted class, or if `binary` each 0 or 1, is that of y, which may be one-hot."""
        if not self.binary:
            predictions = as_array(predictions, "predictions")
            ndim = max(1, predictions.ndim - (predictions.shape[-1:] == (1,)))
            y = as_labels(y, FLOAT64, (None,) * ndim, "y")
            y = y.argmax(axis=-1) if y.ndim > ndim else y
        predictions, y = _pair(predictions, y)
        return np.asarray(predictions == y)


class Accuracy_Regression(Accuracy, metrics.RegressionAccuracy):
    """Accuracy of numbers, correct if closer than `precision`: by default a 250th of the labels' standard deviation, or
    of their magnitude if they are constant."""

    def init(self, y: ArrayLike, reinit: bool = False) -> None:
        """Compute the precision from labels y, at the first call or with `reinit`."""
        if flag("reinit", reinit) or self.precision is None:
            self._compute_precision(y)

    def compare(self, predictions: ArrayLike, y: ArrayLike) -> Array:
        """Whether each prediction is near its label. Raises RuntimeError before `init`."""
        if self.precision is None:
            raise RuntimeError("the accuracy has no precision yet: call init(y) first")
        predictions, y = _pair(predictions, y)
        with np.errstate(all="ignore"):  # infinity is no error of a prediction
            return np.absolute(predictions - y) < self.precision


class _Step(Step):
    def measure(self, output: Any, y: Array) -> float:
        last = self.layers[-1]
        predicts = hasattr(last, "predictions")
        if ours(self.accuracy) and (ours(last) or not predicts):
            return super().measure(output, y)
        # a user's own class decides what is predicted, or what is correct
        return float(self.accuracy.calculate(last.predictions(output) if predicts else output, y))


class Model(model.Model):
    """A sequence of layers; `train` and `evaluate` print the book's lines.

    Your own layers, losses, accuracies and optimizers work too, in the book's style: `forward` sets `output`,
    `backward` sets `dinputs`, and the return value does not matter. Such a model trains layer by layer.
    """

    _Step = _Step

    def finalize(self, input_shape: int | Sequence[int] | None = None) -> None:
        """Connect the layers, and join a last softmax with categorical cross-entropy, a sigmoid with the binary one.

        Raises ValueError as `nn.Model.finalize`, and for the accuracy of classes with a single output.
        """
        super().finalize(input_shape)
        self.input_layer = Layer_Input()
        self.output_layer_activation = self.layers[-1]
        step = self._step
        self.softmax_classifier_output = step.batch_loss if isinstance(step.joined, Activation_Softmax) else None
        chain = [self.input_layer, *self.layers, self.loss]
        for before, layer, behind in zip(chain, self.layers, chain[2:]):
            layer.prev, layer.next = before, behind

    def forward(self, X: ArrayLike, training: bool = True) -> Array:
        """The last layer's outputs for inputs X."""
        self._check_ready()
        self.input_layer.forward(X, training)
        return super().forward(X, training)

    def train(self, X: Any, y: ArrayLike | None = None, *, print_every: int | None = 1, **more: Any) -> Any:
        """Train, and print every `print_every`-th epoch. With mini-batches, print each epoch and every `print_every`-th
        of its steps. None prints nothing.

        The other arguments, such as epochs, batch_size and validation_data, are those of `nn.Model.train`. As in the
        book, samples are taken in their order unless `shuffle=True`, and there is no progress bar unless
        `progress=True`.
        """
        history = super().train(X, y, print_every=print_every, **{"progress": False, "shuffle": False, **more})
        self.input_layer.output = getattr(self.layers[0], "inputs", None)
        return history

    def evaluate(self, X_val: Any, y_val: ArrayLike | None = None, *, batch_size: int | None = None,
                 sample_weight: ArrayLike | None = None) -> Any:
        """Print accuracy and loss on X_val and y_val, or on an iterable of batches, and return loss and accuracy."""
        found = super().evaluate(X_val, y_val, batch_size=batch_size, sample_weight=sample_weight)
        self.input_layer.output = getattr(self.layers[0], "inputs", None)
        say_validation(*found)
        return found


parts.add_classes("nnfs", {name: globals()[name] for name in __all__}, Accuracy)

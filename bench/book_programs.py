"""The programs of "Neural Networks from Scratch in Python" before their first step, and the loops that train them.

They take the classes from a module: `nnjit.nn.nnfs`, or book_classes.py, for which nothing else of nnjit is imported,
so that such a process starts as fast as a reader's.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

CHANGE = 1e-7  # of the initial weights, to see how far a training strays

Array = Any  # of NumPy
Pair = tuple[Array, Array]


class Figures(NamedTuple):
    """What the book prints of an epoch or of a validation; the loss includes penalties."""

    accuracy: float
    loss: float


@dataclass
class Program:
    """A training before its first step; the last layer is an activation.

    classes : the module that its layers, loss and optimizer are from
    right : whether each output is right, as the chapters written by hand spell it
    accuracy : the same as an accuracy of `nnjit.nn.nnfs`, for `Model`
    """

    classes: Any
    X: Array
    y: Array
    layers: list[Any]
    loss: Any
    optimizer: Any
    right: Callable[[Array, Array], Array]
    accuracy: Callable[[], Any]
    validation: Pair | None = None

    @property
    def dense(self) -> list[Any]:
        return [layer for layer in self.layers if isinstance(layer, self.classes.Layer_Dense)]

    def _dropout(self, layer: Any) -> bool:
        return isinstance(layer, self.classes.Layer_Dropout)

    def start(self) -> str:
        """A digest of all that the training depends on: data, initial weights, seeds of dropout."""
        digest = hashlib.sha256()
        for array in (self.X, self.y, *(self.validation or ()), *(layer.weights for layer in self.dense)):
            digest.update(np.ascontiguousarray(array, np.float32).data)  # what the layers compute in
        seeds = [getattr(layer, "seed", None) for layer in self.layers if self._dropout(layer)]
        digest.update(repr(seeds).encode())
        return digest.hexdigest()

    def change(self, seed: int) -> None:
        """Multiply each weight by 1 + CHANGE or 1 - CHANGE, at random."""
        rng = np.random.default_rng(seed)
        for layer in self.dense:
            factors = 1 + CHANGE * rng.choice((-1, 1), layer.weights.shape)
            layer.weights = layer.weights.astype(np.float64) * factors

    def by_hand(self, epochs: int, penalties: bool) -> list[Figures]:
        """Train on all samples at once, call by call as chapters 10 to 17 do, and return the figures of each epoch.

        penalties : whether the program asks for them, as from chapter 14 on
        """
        self._connect()
        found = []
        for _ in range(epochs):
            accuracy, loss = self._score(self.X, self.y, self._before_loss)
            if penalties:
                loss += sum(self.loss.regularization_loss(layer) for layer in self.dense)
            found.append(Figures(accuracy, float(loss)))
            self._joined_loss.backward(self._output, self.y)
            dvalues = self._joined_loss.dinputs
            for layer in reversed(self._before_loss):
                layer.backward(dvalues)
                dvalues = layer.dinputs
            self.optimizer.pre_update_params()
            for layer in self.dense:
                self.optimizer.update_params(layer)
            self.optimizer.post_update_params()
        return found

    def validate_by_hand(self) -> Figures | None:
        """The figures of the validation data as in these chapters: dropout is left out."""
        if self.validation is None:
            return None
        return self._score(*self.validation, [layer for layer in self._before_loss if not self._dropout(layer)])

    def _connect(self) -> None:
        # from chapter 9 on softmax and its loss are one
        self._joined = isinstance(self.layers[-1], self.classes.Activation_Softmax)
        self._before_loss = self.layers[:-1] if self._joined else self.layers
        self._joined_loss: Any = (self.classes.Activation_Softmax_Loss_CategoricalCrossentropy() if self._joined
                                  else self.loss)

    def _score(self, X: Array, y: Array, layers: list[Any]) -> Figures:
        output = X
        for layer in layers:
            layer.forward(output)
            output = layer.output
        if self._joined:
            loss = self._joined_loss.forward(output, y)
            output = self._joined_loss.output
        else:
            loss = self.loss.calculate(output, y)
        self._output = output
        return Figures(float(np.mean(self.right(output, y))), float(loss))

    def by_model(self, epochs: int, batch_size: int | None) -> tuple[list[Figures], Figures | None]:
        """Train as from chapter 18 on: the figures of each epoch, and those of the validation data after the last."""
        model = self.classes.Model()
        for layer in self.layers:
            model.add(layer)
        model.set(loss=self.loss, optimizer=self.optimizer, accuracy=self.accuracy())
        model.finalize()
        history = model.train(self.X, self.y, epochs=epochs, batch_size=batch_size, print_every=None)
        found = [Figures(*each) for each in zip(history["accuracy"], history["loss"])]
        if self.validation is None:
            return found, None
        loss, accuracy = model.evaluate(*self.validation, batch_size=batch_size)
        return found, Figures(accuracy, loss)


def _classes_right(output: Array, y: Array) -> Array:
    return np.argmax(output, axis=1) == y


def spirals(of: Any, optimizer: Any, *, samples: int = 100, neurons: int = 64, l2: float = 0.0, dropout: float = 0.0,
            validation: str | None = None) -> Program:
    """Three arms; the validation data is drawn "after" the weights, or "before" them. of: the module of the classes."""
    from nnfs.datasets import spiral_data
    X, y = spiral_data(samples=samples, classes=3)
    test = spiral_data(samples=100, classes=3) if validation == "before" else None
    layers = [of.Layer_Dense(2, neurons, weight_regularizer_l2=l2, bias_regularizer_l2=l2), of.Activation_ReLU()]
    if dropout:
        layers.append(of.Layer_Dropout(dropout))
    layers += [of.Layer_Dense(neurons, 3), of.Activation_Softmax()]
    if validation == "after":
        test = spiral_data(samples=100, classes=3)
    return Program(of, X, y, layers, of.Loss_CategoricalCrossentropy(), optimizer, _classes_right,
                   lambda: of.Accuracy_Categorical(), test)


def two_spirals(of: Any, optimizer: Any) -> Program:
    """Two arms, told apart by one output."""
    from nnfs.datasets import spiral_data
    X, y = spiral_data(samples=100, classes=2)
    layers = [of.Layer_Dense(2, 64, weight_regularizer_l2=5e-4, bias_regularizer_l2=5e-4), of.Activation_ReLU(),
              of.Layer_Dense(64, 1), of.Activation_Sigmoid()]
    X_test, y_test = spiral_data(samples=100, classes=2)
    return Program(of, X, y.reshape(-1, 1), layers, of.Loss_BinaryCrossentropy(), optimizer,
                   lambda output, y: (output > 0.5) * 1 == y, lambda: of.Accuracy_Categorical(binary=True),
                   (X_test, y_test.reshape(-1, 1)))


def sine(of: Any, optimizer: Any, *widths: int, scale: float = 0.01) -> Program:
    """A sine; `scale` is the factor of the weights, which chapter 17 changes."""
    from nnfs.datasets import sine_data
    X, y = sine_data()
    layers: list[Any] = []
    for inputs, neurons in zip((1, *widths), (*widths, 1)):
        layers += [of.Layer_Dense(inputs, neurons, weight_scale=scale), of.Activation_ReLU()]
    layers[-1] = of.Activation_Linear()
    precision = np.std(y) / 250
    return Program(of, X, y, layers, of.Loss_MeanSquaredError(), optimizer,
                   lambda output, y: np.absolute(output - y) < precision, lambda: of.Accuracy_Regression())


def fashion(of: Any, optimizer: Any) -> Program:
    """Fashion-MNIST, shuffled once."""
    from ..nn import datasets
    (X, y), test = datasets.fashion_mnist()
    keys = np.array(range(len(X)))
    np.random.shuffle(keys)
    layers = [of.Layer_Dense(784, 128), of.Activation_ReLU(), of.Layer_Dense(128, 128), of.Activation_ReLU(),
              of.Layer_Dense(128, 10), of.Activation_Softmax()]
    return Program(of, X[keys], y[keys], layers, of.Loss_CategoricalCrossentropy(), optimizer, _classes_right,
                   lambda: of.Accuracy_Categorical(), test)

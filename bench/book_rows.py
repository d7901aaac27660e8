"""The trainings of "Neural Networks from Scratch in Python" whose figures are published, through `nnjit.nn.nnfs`.

`ROWS` is the table of them. They run in processes of their own (`trained`), since `nnfs.init()` replaces functions of
NumPy for a whole process.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import nn
from ..kernels import reference
from ..nn.arrays import Array
from ..nn.nnfs import (Accuracy, Accuracy_Categorical, Accuracy_Regression, Activation_Linear, Activation_ReLU,
                       Activation_Sigmoid, Activation_Softmax, Activation_Softmax_Loss_CategoricalCrossentropy,
                       Layer_Dense, Layer_Dropout, Loss, Loss_BinaryCrossentropy, Loss_CategoricalCrossentropy,
                       Loss_MeanSquaredError, Model, Optimizer_Adagrad, Optimizer_Adam, Optimizer_RMSprop,
                       Optimizer_SGD)
from .figures import Failure
from .running import POOLS

FIRST = 20  # epochs over which the kernels and the NumPy twins are compared
CHANGE = 1e-7  # of the initial weights, to see how far a training strays
BAND = (0.03, 0.05)  # of accuracy and loss, around what the book and NumPy gave
DIGITS = (0.0005, 0.0005)  # the same where a training is not chaotic

Pair = tuple[Array, Array]


class Figures(NamedTuple):
    """What the book prints of an epoch or of a validation; the loss includes penalties."""

    accuracy: float
    loss: float


@dataclass
class Program:
    """A training before its first step; the last layer is an activation."""

    X: Array
    y: Array
    layers: list[Any]
    loss: Loss
    optimizer: Any
    accuracy: Accuracy
    validation: Pair | None = None

    @property
    def dense(self) -> list[Layer_Dense]:
        return [layer for layer in self.layers if isinstance(layer, Layer_Dense)]

    def start(self) -> str:
        """A digest of all that the training depends on: data, initial weights, seeds of dropout."""
        digest = hashlib.sha256()
        for array in (self.X, self.y, *(self.validation or ()), *(layer.weights for layer in self.dense)):
            digest.update(np.ascontiguousarray(array, np.float32).data)  # what the layers compute in
        digest.update(repr([layer.seed for layer in self.layers if isinstance(layer, Layer_Dropout)]).encode())
        return digest.hexdigest()

    def change(self, seed: int) -> None:
        """Multiply each weight by 1 + CHANGE or 1 - CHANGE, at random."""
        rng = np.random.default_rng(seed)
        for layer in self.dense:
            factors = 1 + CHANGE * rng.choice((-1, 1), layer.weights.shape)
            layer.weights = layer.weights.astype(np.float64) * factors

    def by_hand(self, epochs: int) -> list[Figures]:
        """Train on all samples at once, call by call as chapters 10 to 17 do, and return the figures of each epoch."""
        self._connect()
        found = []
        for _ in range(epochs):
            accuracy, loss = self._score(self.X, self.y, self._before_loss)
            penalty = sum(self._joined_loss.regularization_loss(layer) for layer in self.dense)
            found.append(Figures(accuracy, loss + penalty))
            self._joined_loss.backward(self._joined_loss.output, self.y)
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
        layers = [layer for layer in self._before_loss if not isinstance(layer, Layer_Dropout)]
        return self._score(*self.validation, layers)

    def _connect(self) -> None:
        # from chapter 9 on softmax and its loss are one
        self._joined = isinstance(self.layers[-1], Activation_Softmax)
        self._before_loss = self.layers[:-1] if self._joined else self.layers
        self._joined_loss: Any = Activation_Softmax_Loss_CategoricalCrossentropy() if self._joined else self.loss
        self.accuracy.init(self.y)

    def _score(self, X: Array, y: Array, layers: list[Any]) -> Figures:
        output = X
        for layer in layers:
            layer.forward(output)
            output = layer.output
        joined = self._joined_loss
        loss = joined.forward(output, y) if self._joined else joined.calculate(output, y)
        predictions = self.layers[-1].predictions(joined.output)
        return Figures(float(np.mean(self.accuracy.compare(predictions, y))), loss)

    def by_model(self, epochs: int, batch_size: int | None) -> tuple[list[Figures], Figures | None]:
        """Train as from chapter 18 on: the figures of each epoch, and those of the validation data after the last."""
        model = Model()
        for layer in self.layers:
            model.add(layer)
        model.set(loss=self.loss, optimizer=self.optimizer, accuracy=self.accuracy)
        model.finalize()
        history = model.train(self.X, self.y, epochs=epochs, batch_size=batch_size, print_every=None)
        found = [Figures(*each) for each in zip(history["accuracy"], history["loss"])]
        if self.validation is None:
            return found, None
        loss, accuracy = model.evaluate(*self.validation, batch_size=batch_size)
        return found, Figures(accuracy, loss)


def spirals(optimizer: Any, *, samples: int = 100, neurons: int = 64, l2: float = 0.0, dropout: float = 0.0,
            validation: str | None = None) -> Program:
    """Three arms; the validation data is drawn "after" the weights, or "before" them."""
    from nnfs.datasets import spiral_data
    X, y = spiral_data(samples=samples, classes=3)
    test = spiral_data(samples=100, classes=3) if validation == "before" else None
    layers: list[Any] = [Layer_Dense(2, neurons, weight_regularizer_l2=l2, bias_regularizer_l2=l2), Activation_ReLU()]
    if dropout:
        layers.append(Layer_Dropout(dropout))
    layers += [Layer_Dense(neurons, 3), Activation_Softmax()]
    if validation == "after":
        test = spiral_data(samples=100, classes=3)
    return Program(X, y, layers, Loss_CategoricalCrossentropy(), optimizer, Accuracy_Categorical(), test)


def two_spirals(optimizer: Any) -> Program:
    """Two arms, told apart by one output."""
    from nnfs.datasets import spiral_data
    X, y = spiral_data(samples=100, classes=2)
    layers = [Layer_Dense(2, 64, weight_regularizer_l2=5e-4, bias_regularizer_l2=5e-4), Activation_ReLU(),
              Layer_Dense(64, 1), Activation_Sigmoid()]
    X_test, y_test = spiral_data(samples=100, classes=2)
    return Program(X, y.reshape(-1, 1), layers, Loss_BinaryCrossentropy(), optimizer,
                   Accuracy_Categorical(binary=True), (X_test, y_test.reshape(-1, 1)))


def sine(optimizer: Any, *widths: int, scale: float = 0.01) -> Program:
    """A sine; `scale` is the factor of the weights, which chapter 17 changes."""
    from nnfs.datasets import sine_data
    X, y = sine_data()
    layers: list[Any] = []
    for inputs, neurons in zip((1, *widths), (*widths, 1)):
        layers += [Layer_Dense(inputs, neurons, weight_scale=scale), Activation_ReLU()]
    layers[-1] = Activation_Linear()
    return Program(X, y, layers, Loss_MeanSquaredError(), optimizer, Accuracy_Regression())


def fashion(optimizer: Any) -> Program:
    """Fashion-MNIST, shuffled once."""
    (X, y), test = nn.datasets.fashion_mnist()
    keys = np.array(range(len(X)))
    np.random.shuffle(keys)
    layers = [Layer_Dense(784, 128), Activation_ReLU(), Layer_Dense(128, 128), Activation_ReLU(), Layer_Dense(128, 10),
              Activation_Softmax()]
    return Program(X[keys], y[keys], layers, Loss_CategoricalCrossentropy(), optimizer, Accuracy_Categorical(), test)


@dataclass(frozen=True)
class Row:
    """A training; its last figures (accuracy, loss) in print, and from the book's code under one build of NumPy."""

    name: str
    title: str
    chapter: int
    build: Callable[[], Program]
    published: tuple[float, float] | None
    numpy_run: tuple[float, float]
    published_validation: tuple[float, float] | None = None
    numpy_run_validation: tuple[float, float] | None = None
    chaotic: bool = True
    epochs: int = 10001
    batch_size: int | None = None
    model: bool = False  # trained by Model
    timed: int | None = None  # epochs that tell the time of a second run
    long: bool = False  # nine minutes on the NumPy twins, which therefore run the timed epochs only

    def train(self, twin: str, epochs: int | None = None, change: int | None = None) -> dict[str, Any]:
        """Train on "numba" or "numpy", from the seed that `nnfs.init()` sets, which must have run.

        `change` seeds a change of the initial weights; then `Model` trains, which is faster. `seconds` are those of
        the training alone.
        """
        epochs = self.epochs if epochs is None else epochs
        with nn.use(twin):
            if twin == "numpy":
                nn.backend.ops = reference  # a NumPy program checks no arguments
            np.random.seed(0)
            program = self.build()
            start = program.start()
            if change is not None:
                program.change(change)
            begin = time.perf_counter()
            if self.model or change is not None:
                figures, validation = program.by_model(epochs, self.batch_size)
            else:
                figures, validation = program.by_hand(epochs), program.validate_by_hand()
            seconds = time.perf_counter() - begin
        return {"start": start, "first": figures[:FIRST], "last": figures[-1], "validation": validation,
                "seconds": seconds}

    def misses(self, found: Sequence[float], *, validation: bool = False) -> bool:
        """Whether (accuracy, loss) lies outside the band around what the book and NumPy gave."""
        columns = ((self.published_validation, self.numpy_run_validation) if validation else
                   (self.published, self.numpy_run) if self.chaotic else (self.numpy_run,))
        return outside(found, [column for column in columns if column], BAND if self.chaotic else DIGITS)


def outside(found: Sequence[float], columns: Sequence[tuple[float, float]], band: tuple[float, float]) -> bool:
    """Whether accuracy or loss is further than the band from all between the columns' lowest and highest."""
    return not all(min(given) - room <= value <= max(given) + room
                   for value, given, room in zip(found, zip(*columns), band))


ROWS = (
    Row("sgd", "`SGD()`", 10, lambda: spirals(Optimizer_SGD()), (.647, .87), (.647, .874)),
    Row("sgd-decay", "`SGD(decay=1e-3)`", 10, lambda: spirals(Optimizer_SGD(decay=1e-3)), (.647, .76), (.647, .761)),
    Row("sgd-momentum-0.5", "`SGD(decay=1e-3, momentum=0.5)`", 10,
        lambda: spirals(Optimizer_SGD(decay=1e-3, momentum=0.5)), (.780, .55), (.780, .553)),
    Row("sgd-momentum-0.9", "`SGD(decay=1e-3, momentum=0.9)`", 10,
        lambda: spirals(Optimizer_SGD(decay=1e-3, momentum=0.9)), (.957, .12), (.957, .121)),
    Row("adagrad", "`Adagrad(decay=1e-4)`", 10,
        lambda: spirals(Optimizer_Adagrad(decay=1e-4)), (.840, .38), (.840, .385)),
    Row("rmsprop", "`RMSprop(0.02, decay=1e-5, rho=0.999)`", 10,
        lambda: spirals(Optimizer_RMSprop(learning_rate=0.02, decay=1e-5, rho=0.999)), (.900, .24), (.900, .238)),
    Row("adam", "`Adam(0.02, decay=1e-5)`", 10,
        lambda: spirals(Optimizer_Adam(learning_rate=0.02, decay=1e-5)), (.963, .08), (.967, .081)),
    Row("adam-model", "`Adam(0.02, decay=1e-5)`, by `Model`", 18,
        lambda: spirals(Optimizer_Adam(learning_rate=0.02, decay=1e-5)), (.963, .08), (.967, .081), model=True),
    Row("adam-validated", "`Adam(0.05, decay=5e-7)`", 11,
        lambda: spirals(Optimizer_Adam(learning_rate=0.05, decay=5e-7), validation="after"),
        (.983, .074), (.967, .074), (.803, .858)),
    Row("adam-l2", "`Adam(0.05, decay=5e-7)`, L2 of 5e-4", 14,
        lambda: spirals(Optimizer_Adam(learning_rate=0.05, decay=5e-7), l2=5e-4, validation="after"),
        (.947, .217), (.950, .226), (.830, .435)),
    Row("dropout", "`Adam(0.05, decay=5e-5)`, L2, dropout of 0.1, 1000 points a class", 15,
        lambda: spirals(Optimizer_Adam(learning_rate=0.05, decay=5e-5), samples=1000, l2=5e-4, dropout=0.1,
                        validation="after"),
        (.688, .727), (.694, .703), (.757, .712), timed=500),
    Row("dropout-model", "the same with 2-512-3, by `Model`", 18,
        lambda: spirals(Optimizer_Adam(learning_rate=0.05, decay=5e-5), samples=1000, neurons=512, l2=5e-4,
                        dropout=0.1, validation="before"),
        (.859, .451), (.855, .447), (.843, .385), epochs=10000, model=True, timed=200, long=True),
    Row("binary", "two arms, 2-64-1 and sigmoid, `Adam(decay=5e-7)`, L2", 16,
        lambda: two_spirals(Optimizer_Adam(decay=5e-7)), (.965, .219), (.945, .260), (.945, .207)),
    Row("sine", "sine, 1-64-1, `Adam()`", 17,
        lambda: sine(Optimizer_Adam(), 64), (.004, .145), (.004, .1455), chaotic=False),
    Row("sine-deeper", "sine, 1-64-64-1, weights of 0.1, `Adam(0.005, decay=1e-3)`", 17,
        lambda: sine(Optimizer_Adam(learning_rate=0.005, decay=1e-3), 64, 64, scale=0.1), None, (.981, .000)),
    Row("fashion-mnist", "Fashion-MNIST, 784-128-128-10, `Adam(decay=1e-3)`, 10 epochs", 19,
        lambda: fashion(Optimizer_Adam(decay=1e-3)), (.892, .298), (.894, .291), (.870, .359), (.874, .355),
        epochs=10, batch_size=128, model=True),
)
BY_NAME = {row.name: row for row in ROWS}
# Where one training strays further than the band: (accuracy, loss) by row and whether of validation data, the median of
# 20 runs of an independent program of the book's formulas (`plain` of tests/test_book.py, with the book's clip), from
# weights changed as in `Program.change`. They lie within 0.71 to 0.97 / 0.10 to 0.58, and 0.68 to 0.85 / 0.45 to 1.13.
MEDIANS = {("sgd-momentum-0.9", False): (.930, .182), ("adam-l2", True): (.830, .542)}


def trained(requests: Sequence[dict[str, Any]], threads: int | None = None, dtype: str = "float32"
            ) -> list[dict[str, Any]]:
    """What `Row.train` gives for each request, {"row": its name, **arguments}, one after the other in a new process.

    With "warm" a few epochs go before, so that its seconds are not the compiler's. `dtype` is nnfs.init's.
    """
    environment = dict(os.environ)
    if threads is not None:
        environment |= {name: str(threads) for name in (*POOLS, "NNJIT_NUM_THREADS")}
    child = subprocess.run([sys.executable, "-m", __spec__.name, dtype, json.dumps(requests)], env=environment,
                           capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if child.returncode:
        raise Failure(f"a training failed: {' | '.join(child.stderr.splitlines()[-2:])}")
    found: list[dict[str, Any]] = json.loads(child.stdout)
    return found


def _child(dtype: str, requests: list[dict[str, Any]]) -> None:
    import nnfs
    nnfs.init(default_dtype=dtype)
    found = []
    with contextlib.redirect_stdout(sys.stderr):
        for request in requests:
            row = BY_NAME[request.pop("row")]
            if request.pop("warm", False):
                row.train(request["twin"], 3 if row.batch_size is None else 1)
            found.append(row.train(**request))
    print(json.dumps(found))


if __name__ == "__main__":
    _child(sys.argv[1], json.loads(sys.argv[2]))

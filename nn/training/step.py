"""A step of a model's training, layer by layer: forward, loss, accuracy, backward, update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import layers as _layers
from ..arrays import Array, as_floats
from ..checks import rename
from ..losses import Loss, SigmoidBinaryCrossentropy, SoftmaxCategoricalCrossentropy
from ..losses.base import weigh
from ..metrics import _Metric
from ..optimizers import clip_gradients
from ..parameters import parameters_of, walk
from . import endings
from .watching import recordable

Data = tuple[Array, ...]  # inputs, labels and, if given, the samples' weights


class Step:
    """A finalized model's layers, loss, optimizer and accuracy, which make steps on batches that are prepared.

    Losses, accuracies and penalties add up until `new_pass`.
    """

    def __init__(self, layers: Sequence[_layers.Layer], loss: Loss | None, optimizer: Any, accuracy: Any) -> None:
        last = layers[-1]
        joined = endings.joined(last, loss)
        self.layers, self.loss, self.optimizer, self.accuracy = list(layers), loss, optimizer, accuracy
        self.joined = None if joined is None else last  # the layer whose outputs are those of `batch_loss`
        # the loss of a batch, for labels as `Loss.targets` prepares them: weights come after
        self.batch_loss: Any = joined or (None if loss is None else loss.unweighted())
        self.body = [*layers] if joined is None else [*layers[:-1]]  # what comes before `batch_loss`
        if joined is not None and isinstance(last, _layers.Dense):
            self.body.append(endings.Unactivated(last))
        # frozen ones, too, as in Keras, and those of a user's own, whose parameters may appear at the first forward
        self.penalized = [layer for layer in walk(layers) if parameters_of(layer) or not recordable(layer)]
        self.middle = endings.middle(layers, loss)
        self.penalty = 0.0  # of the samples since `new_pass`, added
        self.refresh()

    def refresh(self) -> None:
        """Use the loss's weights of now, and claim loss and accuracy: another model may have used them, too."""
        if self.batch_loss is not None:
            self.batch_loss = self.batch_loss.unweighted()
        for loss in (self.loss, self.batch_loss):
            if loss is not None:
                loss.remember_trainable_layers(self.penalized)
        if isinstance(self.accuracy, _Metric):
            self.accuracy.middle = self.middle

    def forward_loss(self, training: bool, X: Array, y: Array, weights: Array | None = None) -> tuple[Array, Array]:
        """The loss of each sample, and the outputs as `predict` returns them."""
        loss = self.batch_loss
        output: Array = _layers.forward(self.body, X, training)
        loss.output = output  # in case that a user's own loss does not set it
        losses: Array = loss.forward(output, y)
        if self.joined is not None:
            self.joined.output = output = loss.output
        if weights is not None:
            losses = weigh(losses, as_floats(weights, losses.dtype))
        return losses, output

    def score(self, training: bool, *data: Array) -> tuple[float, float | None]:
        """The mean loss and the accuracy of a batch, which then count."""
        losses, output = self.forward_loss(training, *data)
        loss = float(self.loss.accumulate(losses))  # type: ignore[union-attr]
        return loss, None if self.accuracy is None else self.measure(output, data[1])

    def measure(self, output: Any, y: Array) -> float:
        """The accuracy of a batch, which then counts."""
        accuracy = self.accuracy
        if not isinstance(accuracy, _Metric):
            return float(accuracy.calculate(output, y))
        output = as_floats(output, name="outputs")  # a user's own layer may give anything
        return accuracy.count(accuracy.hits(output, y), len(output) * accuracy.numbers(output.shape[1:]))

    def for_backward(self, output: Array, y: Any) -> Array:
        """A model's outputs as its loss's `backward` takes them: the probabilities where the outputs are scores."""
        loss: Any = self.batch_loss
        given: Any = self.loss
        scores = isinstance(loss, (SigmoidBinaryCrossentropy, SoftmaxCategoricalCrossentropy)) and self.joined is None
        if not scores or output is given.output or output is loss.output:
            return output
        try:
            loss.forward(output, y)
        except (TypeError, ValueError) as error:
            rename(error, y_pred="output")
            raise
        found: Array = loss.output
        return found

    def gradient(self, output: Any, y: Any, weights: Array | None = None) -> Array:
        """That of the mean loss with respect to the outputs of `body`."""
        loss = self.batch_loss
        try:
            gradient: Array = _layers.result(loss.backward(output, y), loss, "dinputs")
        except (TypeError, ValueError) as error:
            rename(error, dvalues="output")
            raise
        if weights is not None:
            gradient = weigh(gradient, as_floats(weights, gradient.dtype))
            loss.dinputs = gradient
        if self.joined is not None:
            self.joined.dinputs = gradient  # a Dense's own follows
        return gradient

    def back(self, gradient: Any, input_gradient: bool = False) -> Array | None:
        """The way back through the layers from such a gradient: sets their gradients, and returns that of the inputs.
        Without `input_gradient` it ends at the first layer that is trained."""
        dx: Array | None = _layers.backward(self.layers, gradient, input_gradient, self.body)
        return dx

    def backward(self, X: Array, y: Array, weights: Array | None = None) -> None:
        """After `forward_loss` of the same batch."""
        self.back(self.gradient(self.batch_loss.output, y, weights))

    def update(self, trained: Sequence[_layers.Layer], clip_norm: float | None) -> None:
        """Update layers by their gradients."""
        if clip_norm is not None:
            clip_gradients(trained, clip_norm)
        self.optimizer.pre_update_params()
        for layer in trained:
            self.optimizer.update_params(layer)
        self.optimizer.post_update_params()

    def make(self, data: Data, trained: Callable[[], Sequence[_layers.Layer]], clip_norm: float | None,
             backward: Callable[..., None] | None = None) -> tuple[float, float, float | None]:
        """The whole step: returns mean loss, penalties and accuracy, all before the update. `trained` gives the layers
        to update, some of which may get their parameters only now; `backward` is another way back, of a user's own."""
        loss, accuracy = self.score(True, *data)
        penalty = float(self.batch_loss.regularization_loss())
        self.penalty += penalty * len(data[0])
        (backward or self.backward)(*data)
        self.update(trained(), clip_norm)
        return loss, penalty, accuracy

    def new_pass(self) -> None:
        """Forget the batches that were added up."""
        self.loss.new_pass()  # type: ignore[union-attr]
        self.penalty = 0.0
        if self.accuracy is not None:
            self.accuracy.new_pass()

    def means(self) -> tuple[float, float | None]:
        """Loss and accuracy of all samples since `new_pass`."""
        # floats, whatever a user's own classes return: NumPy's numbers cannot go to JSON
        loss = float(self.loss.calculate_accumulated())  # type: ignore[union-attr]
        accuracy = None if self.accuracy is None else self.accuracy.calculate_accumulated()
        return loss, None if accuracy is None else float(accuracy)

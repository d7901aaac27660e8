"""Model: layers in a row, trained by mini-batches."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import ArrayLike

from .. import layers as _layers
from ..arrays import Array, as_floats
from ..checks import Seed, finite, flag, optional_flag, whole
from ..losses import Loss
from ..metrics import _Metric
from . import endings, halves, inputs
from .batches import check_batches
from .feeds import feed
from .guards import Part, by_one_thread, check_part
from .history import History, note
from .network import Network
from .progress import say
from .watching import ours
from .step import Data, Step
from .trainer import StopTraining, Trainer, as_callbacks

__all__ = ["Model", "StopTraining"]

FIGURES = ("loss", "regularization_loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")


class Model(Network):
    """`Model([layers...])`, or `add` them; `set` loss, optimizer and accuracy, `finalize`, then `train`, `evaluate`,
    `predict`. Raises TypeError unless layers is a list or tuple of layers.

    `history` has one number for each epoch: loss, accuracy, val_loss, val_accuracy, learning_rate, and
    regularization_loss, which is part of loss, but not of val_loss. Losses and accuracy are means over the epoch's
    batches, each computed before its update. `history.plot()` draws them.

    `finalize` puts the parameters of all layers that are trained into one array, of which `weights` and `biases` are
    then views; so does a training after a layer was frozen or unfrozen. `train` and `evaluate` write the layers'
    outputs and gradients into the same arrays each time: copy what you want to keep. `predict` leaves them as they are.

    After a change of layers, of their activations, of loss, optimizer or accuracy call `finalize` again: without it all
    methods that compute raise RuntimeError.

    `layer.trainable = False` freezes a layer: trainings leave its parameters as they are. Its regularizers still count
    in the loss.

    Several threads may predict with a model at once. While one trains or evaluates it, the others get a RuntimeError.
    """

    _Step: type[Step] = Step
    _data: Data = ()  # of the training step that is on its way back, for a backward of a user's own
    loss: Any = Part()
    optimizer: Any = Part()
    accuracy: Any = Part()

    def __init__(self, layers: Sequence[_layers.Layer] = ()) -> None:
        super().__init__(layers)
        self.loss = self.optimizer = self.accuracy = None
        self._clip_norm: float | None = None
        self.history = History({name: [] for name in FIGURES})

    @property
    def clip_norm(self) -> float | None:
        return self._clip_norm

    @clip_norm.setter
    def clip_norm(self, value: float | None) -> None:
        self._check_thread()
        self._clip_norm = None if value is None else finite("clip_norm", value)

    def set(self, *, loss: Loss | None = None, optimizer: Any = None, accuracy: Any = None,
            clip_norm: float | None = None) -> None:
        """Set what is given, keep the rest; then call `finalize`. Raises TypeError for an object of another kind, and
        for a class; then nothing is set.

        clip_norm: the largest Euclidean norm of all gradients together, a number of at least 0. Each step scales
            larger gradients down to it. `model.clip_norm = None` switches it off.
        """
        self._check_thread()
        parts = {"loss": loss, "optimizer": optimizer, "accuracy": accuracy}
        for name, value in parts.items():
            check_part(name, value)
        if clip_norm is not None:
            self.clip_norm = clip_norm
        for name, value in parts.items():
            if value is not None:
                setattr(self, name, value)
        self._finalized = None

    def finalize(self, input_shape: int | Sequence[int] | None = None) -> None:
        """Check that layers and loss fit, and join them into one operation at the end: Softmax with
        CategoricalCrossentropy, and Sigmoid, or the sigmoid of a Dense, with BinaryCrossentropy.

        input_shape: of a sample, such as 784 or (28, 28), where the first layer does not say it. It stays until another
            is given, in copies and files, too. Shapes are followed through all layers; `summary` shows them.

        A model without loss and optimizer can predict, but not train. Raises ValueError for no layers, for layers that
        do not fit, for a loss that does not fit the last layer, for a softmax of a single output, for a metric that
        does not fit the outputs, and, with an optimizer, for a layer that contains others which would not be trained,
        TypeError and ValueError for an `input_shape` that is not a shape, or does not fit the layers.
        """
        given, shape = self._check_layers(input_shape, trained=self.optimizer is not None)
        columns = shape[-1] if shape else None
        endings.check(self.layers, self.loss, columns)
        step = self._Step(self.layers, self.loss, self.optimizer, self.accuracy)
        if isinstance(self.accuracy, _Metric) and ours(self.accuracy):
            self.accuracy.check(columns)
        self._step = step
        # losses get the whole shape only where a sample has more than a row
        self._outputs = shape[0] if shape is not None and len(shape) == 1 else shape
        self._bind_layers(given, shape)

    def _check_ready(self, *parts: str) -> None:
        for part in parts:
            if getattr(self, part) is None:
                raise RuntimeError(f"the model has no {part}: call model.set({part}=...) and model.finalize()")
        Network._check_ready(self)
        if "loss" in parts:
            self._step.refresh()

    @property
    def why_not_recorded(self) -> str | None:
        """Why the last training went layer by layer instead of repeating a recorded step, in one sentence; None if it
        was recorded."""
        return self._steps.why

    @property
    def why_evaluation_not_recorded(self) -> str | None:
        """Why the last evaluation, or validation of a training, went layer by layer, in one sentence; None if it was
        recorded, or its batches came in new shapes."""
        return self._steps.scores.why

    def _samples(self, what: str, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None,
                 prepare: bool = False) -> Data:
        # converted and checked once, so that the steps need not; `prepare` lets the loss learn from the labels,
        # which are copied: one that is changed after its check would make a kernel write anywhere
        X = self._inputs(X)
        if not len(X):
            raise ValueError(f"the {what} data is empty")
        targets: Array = self.loss.targets(y, len(X), self._outputs, self._dtype)
        if prepare:
            self.loss.prepare(targets, self._outputs)
        weights = self.loss.weights(targets, sample_weight, self._dtype)
        return (X, targets.copy()) if weights is None else (X, targets.copy(), weights.copy())

    def backward(self, output: ArrayLike, y: ArrayLike, *, input_gradient: bool = True) -> Array | None:
        """The gradient of the mean loss with respect to the inputs of the last `forward`.

        output: what that `forward` returned, or the `output` of the loss after a call of it with these labels.
        input_gradient: False stops at the first layer that is trained, as a training step does, and returns None.

        Sets the gradients of all layers that are not frozen.
        """
        input_gradient = flag("input_gradient", input_gradient)
        self._check_ready("loss")
        if self._data and y is self._data[1]:  # a training step's, as `_samples` prepared them
            weights = self._data[2] if len(self._data) == 3 else None
        else:
            output = as_floats(output, self._dtype, "output")
            if not output.ndim:
                raise ValueError("output must have shape (N, C), got ()")
            y = self.loss.targets(y, len(output), self._outputs, self._dtype)
            weights = self.loss.weights(y, None, self._dtype)
            output = self._step.for_backward(output, y)
        return self._step.back(self._step.gradient(output, y, weights), input_gradient)

    def _own_backward(self) -> Callable[..., None] | None:
        # the way back of a user's subclass or object, which training steps take
        if type(self).backward is Model.backward and "backward" not in vars(self):
            return None

        def backward(*data: Array) -> None:
            self._data = data
            try:
                self.backward(self._step.batch_loss.output, data[1], input_gradient=False)
            finally:
                self._data = ()

        return backward

    @by_one_thread
    def train_step(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
                   ) -> tuple[float, float | None]:
        """Forward, backward and update for one batch. Returns its mean loss, including penalties, and its accuracy,
        both before the update."""
        self._check_ready("loss", "optimizer")
        data = self._samples("training", X, y, sample_weight)
        loss, penalty, accuracy, _ = self._steps.single(*data)
        return loss + penalty, accuracy

    @by_one_thread
    def step_from(self, gradient: ArrayLike, *, input_gradient: bool = False) -> Array | None:
        """Backward from the gradient of a loss with respect to the outputs of the last `forward`, and update: a step
        whose loss is computed elsewhere, such as that of a generator by its discriminator. Needs no loss.

        gradient: in the shape of the outputs.
        input_gradient: True returns the gradient with respect to the inputs.

        The penalties of regularizers count. Raises RuntimeError without optimizer, `finalize`, or a forward before,
        TypeError or ValueError for a gradient of another kind or shape.
        """
        input_gradient = flag("input_gradient", input_gradient)
        self._check_ready("optimizer")
        output = getattr(self.layers[-1], "output", None)  # a user's own layer may not keep it
        shape, dtype = (self._steps.outputs or (None, None)) if output is None else (output.shape, output.dtype)
        if shape is None:
            raise RuntimeError("call forward before step_from")
        gradient = as_floats(gradient, dtype, "gradient", infinite=True)
        if gradient.shape != shape:
            raise ValueError(f"gradient must have the shape of the outputs, {shape}, got {gradient.shape}")
        # a copy is C-contiguous, and apart from what the step writes: from the outputs, say
        return halves.step(self, self._steps, gradient.copy(), input_gradient)

    @by_one_thread
    def train(self, X: Any, y: ArrayLike | None = None, *, epochs: int = 1, batch_size: int | None = None,
              print_every: int | None = None, validation_data: Any = None, shuffle: bool | None = None, seed: Seed = 0,
              progress: bool | None = None,
              callback: Callable[[int], Any] | Sequence[Callable[[int], Any]] | None = None,
              sample_weight: ArrayLike | None = None, drop_last: bool = False, augment: Any = None) -> History:
        """Train on inputs X (N, n_inputs) and labels y, and return `history`. Without y, X is an iterable of batches
        (X, y) or (X, y, sample_weight): a list, a loader, or an object whose `__iter__` begins anew in each epoch. It
        gives the order and the sizes of the batches, of which one at a time is checked and converted.

        A second training continues the history, and the optimizer's state and decayed rate. Call `optimizer.reset()`
        to start the optimizer over.

        epochs: the number of passes over the data.
        batch_size: samples per step; the last batch of an epoch may be smaller. None takes all samples at once.
        drop_last: True leaves out the last batch of an epoch if it is smaller.
        print_every: None prints nothing. If an epoch is one step, print the figures of every `print_every`-th epoch,
            and those of the last validation at the end. If it has more steps, print every epoch: every
            `print_every`-th of its steps, the last step, the means of the epoch and its validation.
        validation_data: (X, y), (X, y, sample_weight) or an iterable of batches, to evaluate after each epoch.
        shuffle: True takes the samples of each epoch in a new random order, False in the order of X. None shuffles
            if an epoch has more than one batch.
        seed: for the order of the samples. With a whole number, the order of an epoch depends only on that number and
            on the number of epochs already in `history`, so two trainings of 5 epochs equal one of 10. A NumPy
            Generator draws one order after another. None gives different orders in each run.
        progress: show a bar on stderr after a second, and a line when kernels must be compiled first. None shows them
            if stderr is a terminal.
        callback: a callable, or a list of callables that are called in this order. It is called after each epoch with
            the number of the epoch, from 1; the figures are then in `history`. If it raises StopTraining, the training
            ends. A method `begin`, if any, is called before the first epoch with the model, a method `finish` at the
            end, also after Ctrl-C.
        sample_weight: (N,) weights of the samples in the loss, but not in the accuracy; see `nnjit.nn.losses`.
        augment: an `nn.data.Augment`, or a function of images, epoch (from 0, all trainings counted) and the numbers
            of the images in X, which changes them for a step.

        The same arguments give the same weights, to the bit. After Ctrl-C (KeyboardInterrupt) the model can still be
        used and trained. A RuntimeWarning names the first epoch and step whose loss is NaN or infinite;
        `callbacks.TerminateOnNaN` then ends the training. Raises RuntimeError if the loss, the optimizer or `finalize`
        is missing, TypeError and ValueError for data that does not fit.
        """
        self._check_ready("loss", "optimizer")
        epochs = whole("epochs", epochs)
        print_every = None if print_every is None else whole("print_every", print_every)
        fed = feed(self, X, y, sample_weight, epochs=epochs, batch_size=batch_size, shuffle=shuffle, seed=seed,
                   drop_last=drop_last, augment=augment)
        callbacks, steps = as_callbacks(callback), self._steps
        validation = None if validation_data is None else inputs.validation(self, validation_data, epochs)
        progress = optional_flag("progress", progress)
        note(self.history, {name: [] for name in FIGURES})  # so that a wrong history is an error before the first step
        before = len(self.history["loss"])
        for each in callbacks:
            if hasattr(each, "begin"):
                each.begin(self)
        fed.begin(before)
        if validation is not None:
            validation = steps.evaluable(validation)
        Trainer(self, steps, fed, validation=validation, print_every=print_every, callbacks=callbacks,
                progress=progress).run(epochs)
        return self.history

    @by_one_thread
    def evaluate(self, X: Any, y: ArrayLike | None = None, *, batch_size: int | None = None,
                 sample_weight: ArrayLike | None = None) -> tuple[float, float | None]:
        """Mean loss and accuracy (None if no accuracy is set) on inputs X and labels y, `batch_size` samples at a time,
        or on an iterable X of batches.

        `sample_weight` and errors are those of `train`.
        """
        self._check_ready("loss")
        if y is None:
            check_batches(X, 1, sample_weight, batch_size)
            return self._steps.evaluate(inputs.batches_of(self, "X", X, "evaluation"), None)
        batch_size = None if batch_size is None else whole("batch_size", batch_size)
        return self._steps.evaluate(self._samples("evaluation", X, y, sample_weight), batch_size)

    def summary(self) -> None:
        """Print the layers with their shapes and numbers of parameters; `nn.summary(model)` returns them.

        Shapes are known from the first layer that states its shape, or from the `input_shape` of `finalize`. Raises
        ValueError for layers that do not fit.
        """
        from ..inspect.summary import summary  # which imports this package
        say(str(summary(self)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the whole model to `path`: layers, loss, optimizer with its state, accuracy and history.

        A model loaded from it continues training with the same bits as this one. The file is an npz without pickle; an
        interrupt leaves the old file or the new. Raises OSError if the file cannot be written, TypeError for a layer,
        loss, optimizer or accuracy of a class of your own.
        """
        from ..formats.native import save  # which imports this module
        self._check_thread()
        save(self, path)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Model:
        """Load a finalized model from a file, or pipe, that `save` wrote. Runs no code from it.

        Raises OSError if it cannot be read, ValueError if it is not such a file, or a device.
        """
        from ..formats.native import load
        found: Model = load(path)
        return found

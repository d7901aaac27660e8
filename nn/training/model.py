"""Model: layers in a row, trained by mini-batches."""

from __future__ import annotations

import math
import os
import warnings
import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import wraps
from threading import get_ident
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from .. import backend
from .. import layers as _layers
from ..arrays import FLOAT32, Array, as_floats, float_dtype
from ..checks import Seed, as_seed, finite, flag, function, optional_flag, rename, shown, whole
from ..files import read, write
from ..layers import result
from ..losses import Loss
from ..metrics import _Counting
from ..optimizers import clip_gradients
from ..parameters import Parameters, children, parameters_of, walk
from . import endings, nested
from .history import History, numbers
from .progress import bar, compiling, say
from .plans import Forward
from .recording import METHODS, ours, recordable, unchanged, writeable
from .steps import Data, Figures, Pace, Steps

EXAMPLES = {"loss": "CategoricalCrossentropy", "optimizer": "Adam", "accuracy": "Accuracy"}
METHODS_OF = {"optimizer": ("pre_update_params", "update_params", "post_update_params"),
              "accuracy": ("new_pass", "calculate", "calculate_accumulated")}
FIGURES = ("loss", "regularization_loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
PASSING = (_layers.Input, _layers.Flatten, _layers.Identity)  # layers that pass on what they get
FEW = 32  # samples up to which `predict` is recorded


class StopTraining(Exception):
    """Raised by a callback to end the training after this epoch."""


class _Part:
    # loss, optimizer or accuracy of a model, as an attribute: whoever assigns another one must finalize again
    # it has no `__get__`, so that reading takes no call of Python's
    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __set__(self, model: Any, value: Any) -> None:
        model._need_thread()
        _check_part(self._name, value)
        vars(model)[self._name] = value
        model._finalized = None


def _check_part(name: str, value: Any) -> None:
    # a loss is one of `Loss`; the others may be a user's own, of any class
    if value is None:
        return
    if isinstance(value, type):
        raise TypeError(f"{name} must be an object, got the class: write {value.__name__}()")
    _layers.check_use(value)
    if name == "loss":
        fits = isinstance(value, Loss)
    else:  # a loss has the methods of an accuracy, too
        fits = not hasattr(value, "backward") and all(callable(getattr(value, method, None))
                                                      for method in METHODS_OF[name])
    if not fits:
        raise TypeError(f"{name} must be an object such as nn.{EXAMPLES[name]}(), got {shown(value)}")


class TrainableLayers(list[_layers.Layer]):
    """`model.trainable_layers`: made anew at each look, so that a change of it would change nothing."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return list, (list(self),)  # a copy is a plain list

    def _refuse(self, *args: Any, **more: Any) -> Any:
        raise TypeError("trainable_layers cannot be changed in place: set layer.trainable = False to freeze a layer, "
                        "and True to train it")

    append = extend = insert = remove = pop = clear = sort = reverse = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse


Method = TypeVar("Method", bound=Callable[..., Any])


def _by_one_thread(method: Method) -> Method:
    """A method of a model that only one thread can run: others would read and write the same arrays."""
    @wraps(method)
    def alone(self: Model, *args: Any, **more: Any) -> Any:
        thread = get_ident()
        inside = self._thread == thread  # a callback, say
        try:
            vars(self).setdefault("_thread", thread)  # one step, even if two threads come at once
            self._need_thread()
            return method(self, *args, **more)
        finally:
            if self._thread == thread and not inside:
                del self._thread
    return alone  # type: ignore[return-value]


class Model:
    """`add` layers, `set` loss, optimizer and accuracy, `finalize`, then `train`, `evaluate`, `predict`.

    `history` holds one number an epoch: loss, accuracy, val_loss, val_accuracy, learning_rate, and
    regularization_loss, which is part of loss, but not of val_loss. Losses and accuracy are means over the epoch's
    batches, each taken before its update. `history.plot()` draws them.

    `finalize` puts the parameters of all layers that are trained into one array, of which `weights` and `biases` are
    then views; so does a training after a layer was frozen or thawed. `train` writes the layers' outputs and gradients
    into the same arrays at each step: copy what you want to keep. `predict` leaves the layers as they are.

    After a change of layers, of their activations, of loss, optimizer or accuracy call `finalize` again: without it all
    methods that compute raise RuntimeError.

    `layer.trainable = False` freezes a layer: trainings leave its parameters as they are. Its regularizers still count
    in the loss.

    Several threads may predict with a model at once. While one trains or evaluates it, the others get a RuntimeError.
    """

    recordable = False  # when it is a layer of another model
    _thread: int | None = None  # that trains or evaluates
    _data: Data = ()  # of the training step that is on its way back
    loss: Any = _Part()
    optimizer: Any = _Part()
    accuracy: Any = _Part()

    def __init__(self) -> None:
        self.layers: list[_layers.Layer] = []
        self.loss = self.optimizer = self.accuracy = None
        self._clip_norm: float | None = None
        self.history = History({name: [] for name in FIGURES})
        self._finalized: list[_layers.Layer] | None = None  # the layers that finalize saw
        self._penalty = 0.0  # of the samples since `_new_pass`, added
        self._forget_recordings()

    def _forget_recordings(self) -> None:
        self._steps = Steps(self)
        self._few: Forward | int = 0  # recorded for a few samples, or how many were predicted last

    def __getstate__(self) -> dict[str, Any]:
        # a recording holds addresses of this model's arrays
        self._need_thread()
        return {name: value for name, value in self.__dict__.items()
                if name not in ("_steps", "_few", "_thread", "_data")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_dtype" in state:
            self._dtype: np.dtype[Any] = float_dtype(state["_dtype"])  # see Dense
        self._forget_recordings()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.layers))})"

    @property
    def clip_norm(self) -> float | None:
        return self._clip_norm

    @clip_norm.setter
    def clip_norm(self, value: float | None) -> None:
        self._need_thread()
        self._clip_norm = None if value is None else finite("clip_norm", value)

    @property
    def trainable(self) -> bool:
        """Whether any of the layers is trained; assigning it sets `trainable` of all of them."""
        return bool(_layers.trained(self.layers))

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._need_thread()
        value = flag("trainable", value)
        for layer in self.layers:
            layer.trainable = value

    @property
    def trainable_layers(self) -> list[_layers.Layer]:
        """The layers with weights that are trained, in their order: those with `trainable`.

        Assigning a list or tuple of layers sets `trainable` of all layers with weights: True of those in it, in any
        order, False of the others. Raises TypeError for another kind, ValueError for what is no layer of the model, or
        one without weights, and for a layer that is there twice.
        """
        return TrainableLayers(_layers.trained(self.layers))

    @trainable_layers.setter
    def trainable_layers(self, layers: Sequence[_layers.Layer]) -> None:
        self._need_thread()
        if not isinstance(layers, (list, tuple)):
            raise TypeError(f"trainable_layers must be a list of layers, got {type(layers).__name__}: to freeze a "
                            "layer, set layer.trainable = False")
        known = {id(layer) for layer in self._parametrized()}
        for layer in layers:
            if id(layer) not in known:
                raise ValueError(f"trainable_layers must be layers of this model with weights, got {layer!r}")
        wanted = set(map(id, layers))
        if len(wanted) != len(layers):
            raise ValueError("trainable_layers has a layer twice: name each once")
        for layer in self._parametrized():
            if getattr(layer, "trainable", True) is not (id(layer) in wanted):
                layer.trainable = id(layer) in wanted

    def add(self, layer: _layers.Layer) -> None:
        """Append a layer, or those of a Sequential. Raises TypeError for what has no forward and backward, ValueError
        for a Model, or a class made from Sequential, with layers that would not be trained."""
        self._need_thread()
        found = _layers.unfolded(layer, "add")
        if isinstance(layer, (Model, _layers.Sequential)):
            nested.check(found, walk([*self.layers, *found]))
        self.layers += found
        self._finalized = None

    def set(self, *, loss: Loss | None = None, optimizer: Any = None, accuracy: Any = None,
            clip_norm: float | None = None) -> None:
        """Set what is given, keep the rest; then call `finalize`. Raises TypeError for an object of another kind, and
        for a class; then nothing is set.

        clip_norm: the largest Euclidean norm of all gradients together, a number of at least 0. Each step scales
            larger gradients down to it. `model.clip_norm = None` switches it off.

        Raises TypeError for a class instead of an object.
        """
        self._need_thread()
        parts = {"loss": loss, "optimizer": optimizer, "accuracy": accuracy}
        for name, value in parts.items():
            _check_part(name, value)
        if clip_norm is not None:
            self.clip_norm = clip_norm
        for name, value in parts.items():
            if value is not None:
                setattr(self, name, value)
        self._finalized = None

    def finalize(self) -> None:
        """Check that layers and loss fit, and join them into one operation at the end: Softmax with
        CategoricalCrossentropy, and Sigmoid, or the sigmoid of a Dense, with BinaryCrossentropy.

        A model without loss and optimizer can predict, but not train. Raises ValueError for no layers, for layers that
        do not fit, for a loss that does not take what they give, for a softmax of a single output, for a metric that
        means nothing for the outputs, and, with an optimizer, for a layer that holds others which would not be trained.
        """
        self._need_thread()
        if not self.layers:
            raise ValueError("the model has no layers: add some before finalize")
        layers = walk(self.layers)
        if len({id(layer) for layer in layers}) != len(layers):
            raise ValueError("a layer was added twice: it keeps the arrays of one place only")
        for layer in layers:
            _layers.unfolded(layer, "finalize")  # it may have been put into the list
        if self.optimizer is not None:
            nested.check(self.layers, layers)
        parametrized, trained = self._parametrized(), self.trainable_layers
        for layer in parametrized:
            if hasattr(layer, "weights") and "biases" not in parameters_of(layer) and not hasattr(layer, "gradients"):
                raise ValueError(f"{layer!r} has weights, but no biases: a layer with parameters must have both, and "
                                 "dweights and dbiases after backward, or `parameters` and `gradients` by name")
        self._output_shape = self._shape(check=True)
        width = _width(self._output_shape)
        endings.check(self.layers, self.loss, width)
        self._outputs, self._middle = width, endings.middle(self.layers, self.loss)
        self._prepare_accuracy()
        if isinstance(self.accuracy, _Counting) and ours(self.accuracy):
            self.accuracy.check(width)
        # Input and Flatten pass on what they get: a float64 batch would be converted at each step, and not recorded
        self._taker = next((layer for layer in layers if type(layer) not in PASSING), None)
        self._dtype = getattr(parametrized[-1], "dtype", FLOAT32) if parametrized else FLOAT32
        last = self.layers[-1]
        joined = endings.joined(last, self.loss)
        self._joined = None if joined is None else last  # its outputs are those of `_criterion`
        # of labels and weights as `_samples` prepares them
        self._criterion = joined or (None if self.loss is None else self.loss.plain())
        # what comes before the criterion
        self._scoring = [*self.layers] if joined is None else self.layers[:-1]
        if joined is not None and isinstance(last, _layers.Dense):
            self._scoring.append(endings.Unactivated(last))
        self._penalized = parametrized  # frozen ones, too, as in Keras
        self._remember_penalized()
        self._finalized, self._walked = list(self.layers), layers
        self._inner = [(layer, inner) for layer in layers if (inner := children(layer))]
        self._dense = [layer for layer in layers if isinstance(layer, _layers.Dense)]
        self._activations = [layer.activation for layer in self._dense]
        for layer in layers:
            if isinstance(layer, _layers._Layer):
                layer._model = weakref.ref(self)
        self._forget_recordings()
        if recordable(*layers) and len({layer.dtype for layer in trained}) == 1:
            self._steps.parameters = Parameters(trained)

    def _shape(self, check: bool = False) -> tuple[int, ...] | None:
        # of a sample's outputs, as far as it is known
        shape = None
        for number, layer in enumerate(self.layers, 1):
            shape = _layers.shape_through([layer], shape, number)
            if check:
                endings.check_single(number, layer, _width(shape))
        return shape

    @property
    def why_not_recorded(self) -> str | None:
        """Why the last training went layer by layer instead of repeating a recorded step, in one sentence; None if it
        was recorded."""
        return self._steps.why

    def _remember_penalized(self) -> None:
        for criterion in (self.loss, self._criterion):
            if criterion is not None:
                criterion.remember_trainable_layers(self._penalized)

    def _prepare_accuracy(self) -> None:
        if isinstance(self.accuracy, _Counting):
            self.accuracy.middle = self._middle  # it may be another model's, too

    def _need_thread(self) -> None:
        thread = self._thread
        if thread is not None and thread != get_ident():
            raise RuntimeError("another thread is training or evaluating this model: wait for it to end, or give each "
                               "thread a copy of its own before (copy.deepcopy)")

    def _need(self, *parts: str) -> None:
        self._need_thread()
        for part in parts:
            if getattr(self, part) is None:
                raise RuntimeError(f"the model has no {part}: call model.set({part}=...) and model.finalize()")
        if (self._finalized != self.layers or [layer.activation for layer in self._dense] != self._activations
                or any(children(layer) != inner for layer, inner in self._inner)):
            raise RuntimeError("the model is not finalized: call model.finalize() after the last change of layers, "
                               "activations, loss, optimizer or accuracy")
        if "loss" in parts:  # it may have been given weights since finalize
            self._criterion = self._criterion.plain()  # type: ignore[union-attr]
            self._remember_penalized()  # it may be another model's, too
            self._prepare_accuracy()

    def _inputs(self, X: ArrayLike, name: str = "X") -> Array:
        X = np.ascontiguousarray(as_floats(X, getattr(self._taker, "dtype", None), name))
        shape, flat = X.shape[1:], ""
        for layer in self.layers:  # as far as the shape is known
            if type(layer) is _layers.Flatten:
                shape, flat = (math.prod(shape),), "..."
                continue
            passed = type(layer) is _layers.Input
            wish = layer.shape if passed else (getattr(layer, "n_inputs", None),)
            if wish != (None,) and (shape != wish or not X.ndim):
                sizes = ", ".join(("samples", *([flat] if flat else map(str, wish))))
                raise ValueError(f"{name} must have shape ({sizes}){f' with {wish[0]} elements a sample' * bool(flat)} "
                                 f"for {layer}, got {X.shape}")
            if not passed:
                break
        return X

    def _samples(self, what: str, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None,
                 prepare: bool = False) -> Data:
        # converted and checked once, so that the steps need not; `prepare` lets the loss learn from the labels
        X = self._inputs(X)
        if not len(X):
            raise ValueError(f"the {what} data is empty")
        targets: Array = self.loss.targets(y, len(X), self._outputs, self._dtype)
        if prepare:
            self.loss.prepare(targets, self._outputs)
        weights = self.loss.weights(targets, sample_weight, self._dtype)
        return (X, targets) if weights is None else (X, targets, weights)

    def _validation(self, given: Any) -> Data:
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
            found = (f"a {type(given).__name__} of {len(given)}" if isinstance(given, (tuple, list)) else
                     shown(given) if isinstance(given, (str, int, float)) else type(given).__name__)
            raise TypeError(f"validation_data must be (X, y) or (X, y, sample_weight), got {found}: to hold a share of "
                            "the samples out, use nn.preparation.train_test_split")
        try:
            return self._samples("validation", *given)
        except (TypeError, ValueError) as error:  # it speaks of X and y
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"validation_data: {error}") from error

    def forward(self, X: ArrayLike, training: bool = True) -> Array:
        """The last layer's outputs for inputs X."""
        training = flag("training", training)
        self._need()
        self._steps.shown = None  # the attributes are no plan's any more
        found: Array = _layers.forward(self.layers, X, training)
        return found

    def backward(self, output: ArrayLike, y: ArrayLike, *, input_gradient: bool = True) -> Array | None:
        """The gradient of the mean loss with respect to the inputs of the last forward, given its output and labels.

        Sets the gradients of all layers, of frozen ones, too. `input_gradient=False` stops at the first layer that is
        trained: a training step needs no more.
        """
        input_gradient = flag("input_gradient", input_gradient)
        self._need("loss")
        criterion: Any = self._criterion
        if self._data and y is self._data[1]:  # a training step's, prepared as the criterion takes them
            weights = self._data[2] if len(self._data) == 3 else None
        else:
            output = as_floats(output, self._dtype, "output")
            if not output.ndim:
                raise ValueError("output must have shape (N, C), got ()")
            y = self.loss.targets(y, len(output), self._outputs, self._dtype)
            weights = self.loss.weights(y, None, self._dtype)
        try:
            gradient = result(criterion.backward(output, y), criterion, "dinputs")
        except (TypeError, ValueError) as error:
            rename(error, dvalues="output")
            raise
        if weights is not None:
            gradient = backend.ops.scale_rows.backward(gradient, as_floats(weights, gradient.dtype))
            criterion.dinputs = gradient
        if self._joined is not None:
            self._joined.dinputs = gradient  # a Dense's own follows
        dx: Array | None = _layers.backward(self.layers, gradient, input_gradient, self._scoring)
        return dx

    def _backward(self, *data: Array) -> None:
        # of a training step, after `_forward_loss`
        self._data = data
        try:
            self.backward(self._criterion.output, data[1], input_gradient=False)  # type: ignore[union-attr, arg-type]
        finally:
            self._data = ()

    @_by_one_thread
    def train_step(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
                   ) -> tuple[float, float | None]:
        """Forward, backward and update for one batch. Returns its mean loss, including penalties, and its accuracy,
        both before the update."""
        self._need("loss", "optimizer")
        loss, penalty, accuracy = self._train_step(*self._samples("training", X, y, sample_weight))
        return loss + penalty, accuracy

    def _train_step(self, *data: Array) -> tuple[float, float, float | None]:
        optimizer, trained = self.optimizer, self._trained()
        loss, accuracy = self._score(True, *data)
        penalty = float(self._criterion.regularization_loss())  # type: ignore[union-attr]
        self._penalty += penalty * len(data[0])
        self._backward(*data)
        if self.clip_norm is not None:
            clip_gradients(trained, self.clip_norm)
        optimizer.pre_update_params()
        for layer in trained:
            optimizer.update_params(layer)
        optimizer.post_update_params()
        return loss, penalty, accuracy

    def _forward_loss(self, training: bool, X: Array, y: Array, weights: Array | None = None) -> tuple[Array, Array]:
        # the loss of each sample, and the outputs as `predict` returns them
        self._steps.shown = None
        criterion: Any = self._criterion
        output: Array = _layers.forward(self._scoring, X, training)
        criterion.output = output  # in case that a user's own loss does not set it
        losses: Array = criterion.forward(output, y)
        if self._joined is not None:
            self._joined.output = output = criterion.output
        if weights is not None:
            losses = backend.ops.scale_rows.forward(losses, as_floats(weights, losses.dtype))
        return losses, output

    def _score(self, training: bool, *data: Array) -> tuple[float, float | None]:
        losses, output = self._forward_loss(training, *data)
        loss = float(self.loss.accumulate(losses))
        return loss, None if self.accuracy is None else self._measure(output, data[1])

    def _measure(self, output: Any, y: Array) -> float:
        # the accuracy of a batch, which then counts
        accuracy = self.accuracy
        if not isinstance(accuracy, _Counting):
            return float(accuracy.calculate(output, y))
        output = as_floats(output, name="outputs")  # a user's own layer may give anything
        return accuracy.count(accuracy.hits(output, y), len(output) * accuracy.numbers(output.shape[-1]))

    def _note(self, figures: dict[str, list[float]]) -> None:
        for name in figures:  # its user may have emptied it, or put in something else
            if not isinstance(kept := self.history.setdefault(name, []), list):
                self.history[name] = numbers(name, kept)
        # by one call of no Python code: Ctrl-C leaves lists of the same length
        list(map(list.extend, map(self.history.__getitem__, figures), figures.values()))

    def _new_pass(self) -> None:
        self.loss.new_pass()
        self._penalty = 0.0
        if self.accuracy is not None:
            self.accuracy.new_pass()

    def _means(self) -> tuple[float, float | None]:
        # floats, whatever a user's own classes return: NumPy's numbers cannot go to JSON
        loss = float(self.loss.calculate_accumulated())
        accuracy = None if self.accuracy is None else self.accuracy.calculate_accumulated()
        return loss, None if accuracy is None else float(accuracy)

    @_by_one_thread
    def train(self, X: ArrayLike, y: ArrayLike, *, epochs: int = 1, batch_size: int | None = None,
              print_every: int | None = None, validation_data: tuple[ArrayLike, ArrayLike] | None = None,
              shuffle: bool | None = None, seed: Seed = 0, progress: bool | None = None,
              callback: Callable[[int], Any] | Sequence[Callable[[int], Any]] | None = None,
              sample_weight: ArrayLike | None = None
              ) -> History:
        """Train on inputs X (N, n_inputs) and labels y, and return `history`.

        A second training continues the history, and the optimizer's state and decayed rate. Call `optimizer.reset()`
        to start the optimizer over.

        epochs: the number of passes over the data.
        batch_size: samples per step; the last batch of an epoch may be smaller. None takes all samples at once.
        print_every: None prints nothing. If an epoch is one step, print the figures of every `print_every`-th epoch,
            and those of the last validation at the end. If it has more steps, print every epoch: every
            `print_every`-th of its steps, the last step, the means of the epoch and its validation.
        validation_data: (X, y) or (X, y, sample_weight) to evaluate after each epoch.
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
        sample_weight: (N,) weights of the samples in the loss, but not in the accuracy; see losses.py.

        The same arguments give the same weights, to the bit. After Ctrl-C (KeyboardInterrupt) the model can still be
        used and trained. A RuntimeWarning names the first epoch and step whose loss is NaN or infinite;
        `callbacks.TerminateOnNaN` then ends the training. Raises RuntimeError if the loss, the optimizer or `finalize`
        is missing, TypeError and ValueError for data that does not fit.
        """
        self._need("loss", "optimizer")
        epochs = whole("epochs", epochs)
        print_every = None if print_every is None else whole("print_every", print_every)
        given = y
        X, y, *weights = self._samples("training", X, y, sample_weight, prepare=True)
        y = y.copy()  # a label changed after its check would make a kernel write anywhere
        weights = [each.copy() for each in weights]  # they may share memory with X or an output
        data: Data = (X, y, *weights)
        batch = len(X) if batch_size is None else min(whole("batch_size", batch_size), len(X))
        callbacks = _callbacks(callback)
        validation = None if validation_data is None else self._validation(validation_data)
        steps = -(-len(X) // batch)
        shuffle, progress = optional_flag("shuffle", shuffle), optional_flag("progress", progress)
        shuffle = steps > 1 if shuffle is None else shuffle
        seed = as_seed("seed", seed)
        random = np.random.default_rng(seed) if shuffle else None
        self._note({name: [] for name in FIGURES})  # what is no list of numbers is named before the first step
        before = len(self.history["loss"])
        making = self._steps
        for each in callbacks:
            if hasattr(each, "begin"):
                each.begin(self)
        if hasattr(self.accuracy, "prepare"):
            self.accuracy.prepare(given)
        making.begin(data, batch)
        # parameters, an output or a gradient of this model: a step would write what it reads
        if self._writes(X):
            X = X.copy()
            data = (X, y, *weights)
        if validation is not None:
            validation = tuple(each.copy() if self._writes(each) else each for each in validation)
        one_by_one = steps > 1 or shuffle or validation is not None or callbacks
        by_step, by_epoch = (print_every, None) if steps > 1 else (None, print_every)
        validated = None
        pace = Pace(making.pace(batch))
        epoch, warned = 0, False
        running, hint = bar(epochs * steps, progress), ExitStack()
        try:
            hint.enter_context(compiling(progress))
            while epoch < epochs:
                if not one_by_one:
                    ahead = epochs - epoch if by_epoch is None else min(epochs - epoch, by_epoch - epoch % by_epoch)
                    passed = making.epochs(data, pace.next(ahead))
                    if passed is not None:
                        self._note(passed)
                        warned = warned or _not_finite(passed["loss"], epoch + 1, None)
                        epoch += len(passed["loss"])
                        if by_epoch and epoch % by_epoch == 0:
                            (loss, accuracy), rate = self._means(), passed["learning_rate"][-1]
                            penalty = passed["regularization_loss"][-1]
                            say(f"epoch: {epoch}, {self._line(loss, penalty, accuracy, rate)}")
                        if running is not None:
                            running.update(len(passed["loss"]))
                        continue
                epoch += 1
                if by_step:
                    say(f"epoch: {epoch}")
                self._new_pass()
                if random is not None and isinstance(seed, int):
                    random = np.random.default_rng([seed, before + epoch - 1])
                order = None if random is None else random.permutation(len(X))
                step = 0
                while step < steps:
                    count = pace.next(len(X) // batch - step) if steps > 1 else 1
                    if steps == 1 and order is None:
                        found: list[Figures] = [making.one(*data)]
                    else:
                        rows: Any = slice(step * batch, (step + count) * batch)
                        if order is not None:
                            rows = order[rows]
                        found = making.several(tuple(each[rows] for each in data), batch)
                    warned = warned or _not_finite([figures[0] + figures[1] for figures in found], epoch, step)
                    for step, figures in enumerate(found, step):
                        if by_step and (step % by_step == 0 or step == steps - 1):
                            say(f"step: {step}, {self._line(*figures)}")
                    step += 1
                    if running is not None:
                        running.update(len(found))
                title = "training" if by_step else f"epoch: {epoch}" if by_epoch and epoch % by_epoch == 0 else ""
                validated = self._end_epoch(validation, len(X), batch_size, title)
                if by_step and validated:
                    say_validation(*validated)
                if callbacks:
                    for each in callbacks:
                        each(epoch)
                    making.check(data)
        except StopTraining:
            pass
        except KeyboardInterrupt:
            _finish(callbacks)
            raise
        finally:
            try:
                making.end(batch, pace.steps)
            finally:  # of Ctrl-C in between, too
                hint.close()
                if running is not None:
                    running.close()
        if by_epoch and validated:
            say_validation(*validated, title=f"epoch: {epoch}, validation" if epoch % by_epoch else "validation")
        _finish(callbacks)
        return self.history

    def _end_epoch(self, validation: Data | None, samples: int, batch_size: int | None, title: str
                   ) -> tuple[float, float | None] | None:
        # prints the figures of the epoch after the title, if there is one; returns those of the validation
        loss, accuracy = self._means()
        penalty, rate = self._penalty / samples, float(self.optimizer.current_learning_rate)
        if title:
            say(f"{title}, {self._line(loss, penalty, accuracy, rate)}")
        found = {"loss": loss + penalty, "regularization_loss": penalty, "accuracy": accuracy, "learning_rate": rate}
        validated = None
        if validation is not None:
            validated = self._evaluate(validation, batch_size)
            found["val_loss"], found["val_accuracy"] = validated
        self._note({name: [value] for name, value in found.items() if value is not None})
        return validated

    @staticmethod
    def _line(loss: float, penalty: float, accuracy: float | None, rate: float) -> str:
        # the book's line
        return (f"{'' if accuracy is None else f'acc: {accuracy:.3f}, '}loss: {loss + penalty:.3f} "
                f"(data_loss: {loss:.3f}, reg_loss: {penalty:.3f}), lr: {rate}")

    @_by_one_thread
    def evaluate(self, X: ArrayLike, y: ArrayLike, *, batch_size: int | None = None,
                 sample_weight: ArrayLike | None = None) -> tuple[float, float | None]:
        """Mean loss and accuracy (None if no accuracy is set) on inputs X and labels y, `batch_size` samples at a time.

        `sample_weight` and errors are those of `train`.
        """
        self._need("loss")
        batch_size = None if batch_size is None else whole("batch_size", batch_size)
        return self._evaluate(self._samples("evaluation", X, y, sample_weight), batch_size)

    def _evaluate(self, data: Data, batch_size: int | None) -> tuple[float, float | None]:
        self._new_pass()
        samples = len(data[0])
        batch = batch_size or samples
        for start in range(0, samples, batch):
            self._score(False, *[each[start:start + batch] for each in data])
        return self._means()

    def predict(self, X: ArrayLike, *, batch_size: int | None = None) -> Array:
        """The last layer's outputs for inputs X (N, n_inputs), `batch_size` samples at a time. Needs no loss."""
        self._need()
        X = self._inputs(X)
        if len(X) <= FEW and batch_size is None and backend.name == "numba":
            outputs = self._predict_few(X)
            if outputs is not None:
                return outputs
        batch = max(1, len(X)) if batch_size is None else whole("batch_size", batch_size)
        parts = [self._outputs_for(X[start:start + batch]) for start in range(0, max(1, len(X)), batch)]
        outputs = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return outputs.copy() if np.may_share_memory(outputs, X) else outputs  # of Input and Flatten alone, X itself

    def _outputs_for(self, X: Array) -> Array:
        # of a prediction: copies of the layers, with the same parameters, keep its arrays, so that it disturbs neither
        # a training nor another prediction
        if type(self).forward is not Model.forward or "forward" in vars(self):
            return self.forward(X, False)
        found: Array = _layers.forward(map(_layers.stand_in, self.layers), X, False)
        return found

    def _writes(self, x: Array) -> bool:
        # whether an array may share memory with what training or predicting writes to again
        return self._steps.shares(x) or isinstance(self._few, Forward) and self._few.shares(x)

    def _predict_few(self, X: Array) -> Array | None:
        # the overhead of Python is larger than the kernels' time: recorded when the same number of samples comes again
        few = self._few
        if isinstance(few, Forward):
            if few.fits(self, X):
                return few.run(self, X)
        elif (few == len(X) > 0 and METHODS.isdisjoint(vars(self)) and recordable(*self._walked)
              and len({X.dtype, *[layer.dtype for layer in self._walked if hasattr(layer, "dtype")]}) == 1
              and unchanged(self, *self._walked) and writeable(self._penalized)):
            self._few = few = Forward(self, X)
            return few.run(self, X) if few.why is None else None
        self._few = len(X)
        return None

    def get_parameters(self) -> list[tuple[Array, ...]]:
        """Copies of the parameters of each layer that has some: (weights, biases) of a Dense."""
        self._need_thread()
        return [tuple(getattr(layer, name).copy() for name in parameters_of(layer)) for layer in self._parametrized()]

    def set_parameters(self, parameters: Sequence[Sequence[ArrayLike]]) -> None:
        """Set copies of (weights, biases) in each layer with parameters. With an error, no layer is changed."""
        self._need_thread()
        layers = self._parametrized()
        if not isinstance(parameters, (list, tuple)):
            raise TypeError(f"parameters must be a list of pairs (weights, biases), got {type(parameters).__name__}")
        if len(parameters) != len(layers):
            raise ValueError(f"the model has {len(layers)} layers with parameters, got {len(parameters)}")
        checked = []
        for number, (layer, given) in enumerate(zip(layers, parameters)):
            names = list(parameters_of(layer))
            if not isinstance(given, (list, tuple)) or len(given) != len(names):
                what = "a pair" if len(names) == 2 else f"{len(names)} arrays"
                raise ValueError(f"parameters of layer {number} must be {what} ({', '.join(names)}), got "
                                 f"{shown(given)}")
            for name, values in zip(names, given):
                found = as_floats(values, getattr(layer, "dtype", None), f"{name} of layer {number}")
                wish = getattr(layer, name).shape
                if found.shape == wish[1:] and wish[:1] == (1,):  # biases (n_neurons,)
                    found = found[None]
                if found.shape != wish:
                    raise ValueError(f"{name} of layer {number} must have shape {wish}, got {found.shape}")
                checked.append((layer, name, found))
        for layer, name, found in checked:
            setattr(layer, name, found)

    def _trained(self) -> list[_layers.Layer]:
        # as `trainable_layers`, of a finalized model; a user's own layer may have got its parameters since
        return [layer for layer in self._walked if parameters_of(layer) and _layers.is_trainable(layer)]

    def _parametrized(self) -> list[_layers.Layer]:
        return _layers.with_parameters(self.layers)

    def _names(self) -> list[list[str]]:
        # of the parameters in a file, of each layer that has some
        return [[f"layer{number}.{name}" for name in parameters_of(layer)]
                for number, layer in enumerate(self._parametrized())]

    def save_parameters(self, path: str | os.PathLike[str]) -> None:
        """Write all weights and biases to `path` as npz, without pickle; an interrupt leaves the old file or the new.

        Raises OSError when the file cannot be written.
        """
        write(path, {name: values for names, arrays in zip(self._names(), self.get_parameters())
                     for name, values in zip(names, arrays)})

    def load_parameters(self, path: str | os.PathLike[str]) -> None:
        """Read a file that `save_parameters` of a model with the same layers wrote.

        Runs no code from the file. Raises OSError if the file cannot be read, ValueError if it is no such file or that
        of another model; the model then stays unchanged.
        """
        names = self._names()

        def take(arrays: dict[str, Array]) -> None:
            if sorted(arrays) != sorted(name for each in names for name in each):
                raise ValueError(f"it holds {', '.join(arrays) or 'nothing'}; this model has {len(names)} layers with "
                                 f"parameters: {', '.join(name for each in names for name in each)}")
            self.set_parameters([[arrays[name] for name in each] for each in names])

        read(path, take, "parameters of this model")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the whole model to `path`: layers, loss, optimizer with its state, accuracy and history.

        A model loaded from it continues training with the same bits as this one. The file is an npz without pickle; an
        interrupt leaves the old file or the new. Raises OSError if the file cannot be written, TypeError for a layer,
        loss, optimizer or accuracy of a class of your own.
        """
        from ..formats.native import save  # which imports this module
        self._need_thread()
        save(self, path)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Model:
        """Load a finalized model from a file, or pipe, that `save` wrote. Runs no code from it.

        Raises OSError if it cannot be read, ValueError if it is no such file, or a device.
        """
        from ..formats.native import load
        found: Model = load(path)
        return found


def _callbacks(callback: Any) -> Sequence[Callable[[int], Any]]:
    # as a sequence, checked: a fault would show after the first epoch, that of `finish` after the last
    found = () if callback is None else (callback,) if callable(callback) else callback
    if not isinstance(found, (tuple, list)) or not all(map(callable, found)):
        raise TypeError(f"callback must be a callable or a list of callables, got {shown(callback)}")
    for each in found:
        function("callback", each, "the number of the epoch", 1)
        for name, takes, example in (("begin", "the model", (None,)), ("finish", "no argument", ())):
            if hasattr(each, name):
                function(f"{name} of a callback", getattr(each, name), takes, *example)
    return found


def _finish(callbacks: Sequence[Any]) -> None:
    for each in callbacks:
        if hasattr(each, "finish"):
            each.finish()


def _not_finite(losses: list[float], epoch: int, step: int | None) -> bool:
    # whether the losses of the steps from `step` on, or of epochs of one step, are not all finite; warns of the first
    if math.isfinite(sum(losses)):
        return False
    for place, loss in enumerate(losses):
        if not math.isfinite(loss):
            at = f"epoch {epoch + place}, step 0" if step is None else f"epoch {epoch}, step {step + place}"
            warnings.warn(f"the loss is {loss} in {at}: try a smaller learning rate, look for NaN in the data, or "
                          "end such trainings with nn.callbacks.TerminateOnNaN", RuntimeWarning, stacklevel=4)
            return True
    return False


def say_validation(loss: float, accuracy: float | None, title: str = "validation") -> None:
    """Print the book's line after a validation."""
    say(f"{title}, {'' if accuracy is None else f'acc: {accuracy:.3f}, '}loss: {loss:.3f}")


def _width(shape: tuple[int, ...] | None) -> int | None:
    # how many outputs a sample has, if that is known
    return shape[0] if shape is not None and len(shape) == 1 else None

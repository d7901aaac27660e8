"""What a model is: layers in a row, their shapes and parameters, and predictions."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from threading import get_ident
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .. import layers as _layers
from ..arrays import FLOAT32, Array, as_floats, float_dtype
from ..checks import flag, shown, whole
from ..files import read, write
from ..layers import Shape
from ..parameters import (Parameters, children, get_parameter, lacks_biases, named, parameters_of, set_parameter,
                          state_of, walk)
from . import batches, halves, inputs, nested
from .guards import TrainableLayers
from .predictions import Predictions
from .steps import Steps
from .watching import recordable


class Network:
    """Layers in a row: what `Model` is without loss and optimizer."""

    recordable = False  # when it is a layer of another model
    _thread: int | None = None  # that trains or evaluates
    _finalized: list[_layers.Layer] | None = None  # the layers that finalize saw
    _takes_arrays = False  # whether an array of the right kind is its inputs as it is
    _input_shape: Shape | None = None  # of a sample, as finalize was told

    def __init__(self, layers: Sequence[_layers.Layer] = ()) -> None:
        if not isinstance(layers, (list, tuple)):
            raise TypeError(f"layers must be a list of layers, such as [Dense(2, 64)], got {shown(layers)}")
        self.layers: list[_layers.Layer] = []
        for number, layer in enumerate(layers):
            _layers.unfolded(layer, f"layers[{number}] must be a layer")
        for layer in layers:
            self.add(layer)
        self._forget_recordings()

    def _check_thread(self) -> None:
        thread = self._thread
        if thread is not None and thread != get_ident():
            raise RuntimeError("another thread is training or evaluating this model: wait for it to end, or give each "
                               "thread its own copy first (copy.deepcopy)")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.layers))})"

    def __getstate__(self) -> dict[str, Any]:
        # a recording holds addresses of this model's arrays
        self._check_thread()
        return {name: value for name, value in self.__dict__.items()
                if name not in ("_steps", "_predictions", "_thread", "_data")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_dtype" in state:
            self._dtype: np.dtype[Any] = float_dtype(state["_dtype"])  # see Dense
        self._forget_recordings()

    def _forget_recordings(self) -> None:
        self._steps = Steps(self)
        self._predictions = Predictions()

    @property
    def trainable(self) -> bool:
        """Whether any of the layers is trained; assigning it sets `trainable` of all of them."""
        return bool(_layers.trained(self.layers))

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._check_thread()
        value = flag("trainable", value)
        for layer in self.layers:
            layer.trainable = value

    @property
    def trainable_layers(self) -> list[_layers.Layer]:
        """The layers with weights that are trained, in their order: those with `trainable`.

        Assigning a list or tuple of layers sets `trainable` of all layers with weights: True of those in it, in any
        order, False of the others. Raises TypeError for another kind, ValueError for an object that is not a layer
        of the model with weights, and for a layer that is in the list twice.
        """
        return TrainableLayers(_layers.trained(self.layers))

    @trainable_layers.setter
    def trainable_layers(self, layers: Sequence[_layers.Layer]) -> None:
        self._check_thread()
        if not isinstance(layers, (list, tuple)):
            raise TypeError(f"trainable_layers must be a list of layers, got {type(layers).__name__}: to freeze a "
                            "layer, set layer.trainable = False")
        known = {id(layer) for layer in self._parametrized()}
        for layer in layers:
            if id(layer) not in known:
                raise ValueError(f"trainable_layers must be layers of this model with weights, got {shown(layer)}")
        wanted = set(map(id, layers))
        if len(wanted) != len(layers):
            raise ValueError("trainable_layers has a layer twice: name each once")
        for layer in self._parametrized():
            if getattr(layer, "trainable", True) is not (id(layer) in wanted):
                layer.trainable = id(layer) in wanted
        for layer in walk(self.layers):  # containers of a user's own, which may be frozen as a whole
            if not isinstance(layer, _layers._Container) and getattr(layer, "trainable", True) is False \
                    and wanted & set(map(id, walk([layer])[1:])):
                layer.trainable = True

    def add(self, layer: _layers.Layer) -> Self:
        """Append a layer, or those of a Sequential, and return the model.

        Raises TypeError for an object without forward and backward, ValueError for a Model or a subclass of Sequential
        with layers that would not be trained.
        """
        self._check_thread()
        found = _layers.unfolded(layer, "add takes a layer")
        if isinstance(layer, (Network, _layers.Sequential)):
            nested.check(found, walk([*self.layers, *found]), len(self.layers))
        self.layers += found
        self._finalized = None
        return self

    def _parametrized(self) -> list[_layers.Layer]:
        return _layers.with_parameters(self.layers)

    def _trained(self) -> list[_layers.Layer]:
        # as `trainable_layers`, of a finalized model; a user's own layer may have got its parameters since
        if self._own_containers:
            return _layers.trained(self.layers)
        return [layer for layer in self._walked if parameters_of(layer) and _layers.is_trainable(layer)]

    def _check_layers(self, input_shape: int | Sequence[int] | None, trained: bool
                      ) -> tuple[Shape | None, Shape | None]:
        # and what goes through them: the shapes of a sample's inputs and outputs. `trained`: they are to be trained
        self._check_thread()
        if not self.layers:
            raise ValueError("the model has no layers: add some before finalize")
        layers = walk(self.layers)
        if len({id(layer) for layer in layers}) != len(layers):
            raise ValueError("a layer was added twice: it can have only one place in a model")
        for name, layer in named(self.layers):  # which may have been put into the list
            _layers.unfolded(layer, f"layers[{name}] must be a layer")
        if trained:
            nested.check(self.layers, layers)
        for layer in self._parametrized():
            if lacks_biases(layer):
                raise ValueError(f"{shown(layer)} has weights, but no biases: a layer with parameters must have both, "
                                 "and dweights and dbiases after backward, or `parameters` and `gradients` by name")
        given = self._input_shape if input_shape is None else _layers.as_shape("input_shape", input_shape)
        return given, inputs.through(self.layers, given, check=True)

    def _bind_layers(self, *shapes: Shape | None) -> None:
        # after all checks of finalize: the layers are this model's
        layers, trained, parametrized = walk(self.layers), self.trainable_layers, self._parametrized()
        self._input_shape, self._output_shape = shapes
        self._taker = inputs.taker(layers)
        self._as_is = inputs.as_is(self.layers[0], self._taker, self._input_shape)
        self._takes_arrays = self._taker is None or not _layers.prepares(self._taker)
        self._dtype = getattr(parametrized[-1], "dtype", FLOAT32) if parametrized else FLOAT32
        self._finalized, self._walked = list(self.layers), layers
        self._inner = [(layer, inner) for layer in layers if (inner := children(layer))]
        # those of a user's own, which may be frozen as a whole
        self._own_containers = [layer for layer, _ in self._inner if not isinstance(layer, _layers._Container)]
        self._dense = [layer for layer in layers if isinstance(layer, _layers.Dense)]
        self._activations = [layer.activation for layer in self._dense]
        self._parallel = [layer for layer in layers if isinstance(layer, _layers.Parallel)]
        self._joins = [layer.join for layer in self._parallel]
        for layer in layers:
            if isinstance(layer, _layers._Layer):
                layer._model = weakref.ref(self)
        self._forget_recordings()
        if recordable(*layers) and len({layer.dtype for layer in trained}) == 1:
            self._steps.parameters = Parameters(trained)

    def _is_whole(self) -> bool:
        # whether it has the layers that finalize saw
        return self._finalized == self.layers and (
            not self._inner or all([children(layer) == inner for layer, inner in self._inner]))

    def _check_ready(self, *parts: str) -> None:
        self._check_thread()
        if (not self._is_whole() or [layer.activation for layer in self._dense] != self._activations
                or [layer.join for layer in self._parallel] != self._joins):
            raise RuntimeError("the model is not finalized: call model.finalize() after the last change of layers, "
                               "activations, loss, optimizer or accuracy")

    def _shape(self) -> Shape | None:
        # of a sample's outputs, as far as it is known
        return inputs.through(self.layers, self._input_shape)

    def _inputs(self, X: ArrayLike, name: str = "X") -> Array:
        if type(X) is np.ndarray and (X.dtype, X.shape[1:]) == self._as_is and X.flags.c_contiguous:
            return X  # saves 1 us, a tenth of a prediction of one sample
        return inputs.prepared(X, name, self.layers, self._taker, self._input_shape)

    def forward(self, X: ArrayLike, training: bool = True) -> Array:
        """The last layer's outputs for inputs X."""
        training = flag("training", training)
        self._check_ready()
        X = self._inputs(X)
        steps = self._steps
        found = halves.forward(self, steps, X) if training and steps.from_gradients else None
        if found is None:
            steps.shown = None  # the attributes are no plan's any more
            found = _layers.forward(self.layers, X, training)
        steps.outputs = np.shape(found), getattr(found, "dtype", None)
        return found

    def predict(self, X: Any, *, batch_size: int | None = None) -> Array:
        """The last layer's outputs for inputs X (N, n_inputs), `batch_size` samples at a time, or for an iterable of
        batches X or (X, y), whose labels do not matter. Needs no loss."""
        if type(X) is np.ndarray and batch_size is None and self._thread is None and self._takes_arrays:
            found = self._predictions.repeat(self, X)
            if found is not None:
                return found
        self._check_ready()
        if batches.are_batches(X):
            batches.check_batches(X, 1, None, batch_size)
            each = batches.Batches("X", X, self._inputs, batches.without_labels)
            return batches.joined(map(self._predicted, each), np.concatenate)
        X = self._inputs(X)
        batch = max(1, len(X)) if batch_size is None else whole("batch_size", batch_size)
        parts = [self._predicted(X[start:start + batch]) for start in range(0, max(1, len(X)), batch)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    @property
    def why_prediction_not_recorded(self) -> str | None:
        """Why the last prediction went layer by layer, in one sentence; None if it was recorded, or came in a new
        shape."""
        return self._predictions.why

    def _predicted(self, X: Array) -> Array:
        # the outputs for prepared inputs as a new array
        found = self._predictions.outputs(self, X)
        if found is None:
            found = self._outputs_for(X)
            if np.may_share_memory(found, X):  # of Input and Flatten alone, X itself
                found = found.copy()
        return found

    def _outputs_for(self, X: Array) -> Array:
        # of a prediction: copies of the layers, with the same parameters, keep its arrays, so that it disturbs neither
        # a training nor another prediction
        if type(self).forward is not Network.forward or "forward" in vars(self):
            return self.forward(X, False)
        known: dict[int, _layers.Layer] = {}
        found: Array = _layers.forward([_layers.stand_in(layer, known) for layer in self.layers], X, False)
        return found

    def get_parameters(self) -> list[tuple[Array, ...]]:
        """Copies of the parameters, and then the buffers, of each layer that has some: (weights, biases) of a Dense,
        (gamma, beta, running_mean, running_variance) of a BatchNorm."""
        self._check_thread()
        return [tuple(get_parameter(layer, name).copy() for name in state_of(layer))
                for layer in self._parametrized()]

    def set_parameters(self, parameters: Sequence[Sequence[ArrayLike]]) -> None:
        """Set copies of what `get_parameters` returned in each layer. With an error, no layer is changed."""
        self._check_thread()
        layers = self._parametrized()
        if not isinstance(parameters, (list, tuple)):
            raise TypeError(f"parameters must be a list of pairs (weights, biases), got {type(parameters).__name__}")
        if len(parameters) != len(layers):
            raise ValueError(f"the model has {len(layers)} layers with parameters, got {len(parameters)}")
        checked = []
        places = [place for place, layer in named(self.layers) if parameters_of(layer)]
        for place, layer, given in zip(places, layers, parameters):
            names = list(state_of(layer))
            if not isinstance(given, (list, tuple)) or len(given) != len(names):
                what = "a pair" if len(names) == 2 else f"{len(names)} arrays"
                raise ValueError(f"parameters of layer {place} must be {what} ({', '.join(names)}), got "
                                 f"{shown(given)}")
            for name, values in zip(names, given):
                found = as_floats(values, getattr(layer, "dtype", None), f"{name} of layer {place}")
                wish = get_parameter(layer, name).shape
                if found.shape == wish[1:] and wish[:1] == (1,):  # biases (n_neurons,)
                    found = found[None]
                if found.shape != wish:
                    raise ValueError(f"{name} of layer {place} must have shape {wish}, got {found.shape}")
                checked.append((layer, name, found))
        for layer, name, found in checked:
            set_parameter(layer, name, found)

    def _names(self) -> list[list[str]]:
        # of the parameters and buffers in a file, of each layer that has some
        return [[f"layer{number}.{name}" for name in state_of(layer)]
                for number, layer in enumerate(self._parametrized())]

    def save_parameters(self, path: str | os.PathLike[str]) -> None:
        """Write all parameters and buffers to `path` as npz, without pickle; an interrupt leaves the old file or the
        new.

        Raises OSError when the file cannot be written.
        """
        write(path, {name: values for names, arrays in zip(self._names(), self.get_parameters())
                     for name, values in zip(names, arrays)})

    def load_parameters(self, path: str | os.PathLike[str]) -> None:
        """Read a file that `save_parameters` of a model with the same layers wrote.

        Runs no code from the file. Raises OSError if the file cannot be read, ValueError if it is not such a file, or
        that of another model; the model then stays unchanged.
        """
        names = self._names()

        def take(arrays: dict[str, Array]) -> None:
            if sorted(arrays) != sorted(name for each in names for name in each):
                raise ValueError(f"it contains {', '.join(arrays) or 'nothing'}; this model needs "
                                 f"{', '.join(name for each in names for name in each)}")
            self.set_parameters([[arrays[name] for name in each] for each in names])

        read(path, take, "parameters of this model")

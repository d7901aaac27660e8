"""What all layers have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import backend
from ..arrays import Array, Calling, as_floats
from ..checks import flag, rename, shown
from ..parameters import gradients_of, parameters_of, regularizer_prefix, regularizers_of

# what outputs are to a loss; endings.py checks that it takes them
SHARES, PROBABILITIES, LOGARITHMS = "probabilities of classes", "a probability for each output", "log-probabilities"
NUMBERS, PASSED = "other numbers", "what it gets"


Shape = tuple[int, ...]  # of one sample
NO_PENALTY = (0.0, 0.0)


class _Layer(Calling):
    # the parameters are the attributes of these names, their arrays those with an underscore before, and the gradients
    # those with a d
    parameter_names: tuple[str, ...] = ()
    _skips_input_gradient = False  # whether `backward` takes `input_gradient=False`
    _wants_small = False  # whether it learns badly from the levels of images as they are
    _model: Any = None  # a weak reference to the model that was finalized with it last
    inputs: Array | None = None
    output: Array | None = None
    dinputs: Array | None = None

    @property
    def parameters(self) -> dict[str, Array]:
        """The arrays that are learned, by name: kernels read them, and optimizers update them in place."""
        return {name: vars(self)[f"_{name}"] for name in self.parameter_names}

    @property
    def gradients(self) -> dict[str, Array | None]:
        """The gradients of the last `backward`, by the names of the parameters and in their shapes; None before it."""
        return {name: getattr(self, f"d{name}", None) for name in self.parameter_names}

    @property
    def regularizers(self) -> Mapping[str, tuple[float, float]]:
        """(l1, l2) by the names of parameters: l1 * sum |w| + l2 * sum w^2 is added to a model's loss. Those that are
        not named have none. A `backward` calls `add_penalty_gradients`."""
        return {}

    def penalties(self) -> list[float]:
        """What the regularizers add to the loss: a number for each parameter with a regularizer."""
        regularizers, parameters, found = regularizers_of(self), parameters_of(self), []
        if parameters:  # they may appear at the first forward
            for name, pair in regularizers.items():
                if pair != NO_PENALTY:
                    found.append(_penalty(self, name, pair, parameters))
        return found

    @property
    def _constants(self) -> list[Array]:
        # arrays that kernels read besides parameters and buffers, and that follow from the layer's arguments
        return []

    @property
    def buffers(self) -> dict[str, Array]:
        """Arrays that are kept from call to call but not learned, by name."""
        return {}

    def adopt(self, parameter: str, values: Array) -> None:
        """Make an array the parameter of this name without a copy: C-contiguous, of its shape and dtype."""
        vars(self)[f"_{parameter}"] = values

    def adopt_gradient(self, parameter: str, values: Array) -> None:
        """Make an array the gradient of this parameter without a copy."""
        setattr(self, f"d{parameter}", values)

    def prepare(self, inputs: ArrayLike, name: str = "inputs") -> Array:
        """Inputs in the dtype that the layer computes in, C-contiguous: what a model does once with all samples.

        A layer that needs whole numbers overrides it. A model calls that of its first layer that computes.
        Raises TypeError or ValueError that names the argument `name`.
        """
        return np.ascontiguousarray(as_floats(inputs, getattr(self, "dtype", None), name))

    def output_shape(self, shape: Shape | None) -> Shape | None:
        """The shape of a sample's outputs, given that of its inputs; None for an unknown one.

        Raises ValueError if the layer takes no inputs of that shape.
        """
        return shape

    @property
    def trainable(self) -> bool:
        """Whether trainings update the parameters: `layer.trainable = False` freezes them, in each model that has the
        layer, and `backward` sets no gradients of them. Raises TypeError for anything but True and False."""
        return vars(self).get("trainable", True)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._check_thread()
        vars(self)["trainable"] = flag("trainable", value)

    def _check_thread(self) -> None:
        # before a change: another thread may be training the layer
        model = self._model and self._model()
        if model is not None:
            model._check_thread()


def prepares(layer: Any) -> bool:
    """Whether a layer has a `prepare` of its own, as one that needs whole numbers has."""
    return getattr(type(layer), "prepare", _Layer.prepare) is not _Layer.prepare


def passed(inputs: ArrayLike) -> Array:
    """What a layer passes on: an array of integers as it is, for a later layer that needs them, else floats."""
    return inputs if type(inputs) is np.ndarray and inputs.dtype.kind in "iu" else as_floats(inputs)


def penalties_of(layer: Any) -> list[float]:
    """What a layer adds to the loss: its own `penalties()`, or those of its regularizers; see `regularizers_of`."""
    if hasattr(layer, "penalties"):
        found: list[float] = layer.penalties()
        return found
    return _Layer.penalties(layer)


def add_penalty_gradients(layer: Any) -> None:
    """Add the gradients of the penalties of a layer's regularizers to the gradients of its parameters, in place."""
    parameters, gradients = parameters_of(layer), gradients_of(layer)
    for name, pair in regularizers_of(layer).items():
        if pair == NO_PENALTY:
            continue
        l1, l2 = _checked_pair(layer, name, pair, parameters)
        gradient = gradients[name]
        try:
            backend.ops.penalty.backward(gradient, parameters[name], l1=l1, l2=l2, out=gradient)
        except (TypeError, ValueError) as error:
            _rename(error, layer, name)
            raise


def _checked_pair(layer: Any, name: str, pair: Any, parameters: Mapping[str, Array]) -> Any:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"regularizers of {shown(layer)} must be pairs (l1, l2), got {shown(pair)} for {name!r}")
    if name not in parameters:
        raise ValueError(f"regularizers of {shown(layer)} must be for its parameters, "
                         f"{', '.join(parameters)}, got {name!r}")
    return pair


def _penalty(layer: Any, name: str, pair: Any, parameters: Mapping[str, Array]) -> float:
    l1, l2 = _checked_pair(layer, name, pair, parameters)
    try:
        found: float = backend.ops.penalty.forward(as_floats(parameters[name], name=name), l1=l1, l2=l2)
    except (TypeError, ValueError) as error:
        _rename(error, layer, name)
        raise
    return found


def _rename(error: Exception, layer: Any, parameter: str) -> None:
    # l1 and l2 are the book's attributes, or stand in `regularizers`
    prefix = regularizer_prefix(parameter)
    rename(error, **{each: f"{prefix}_{each}" if hasattr(layer, f"{prefix}_{each}") else
                     f"{each} of regularizers[{parameter!r}]" for each in ("l1", "l2")})


def result(found: Any, part: Any, name: str) -> Any:
    """What a forward or backward returned, or kept as the attribute `name`, as layers in the style of the book do."""
    if found is None and (found := getattr(part, name, None)) is None:
        verb = "forward" if name == "output" else "backward"
        raise TypeError(f"{verb} of {shown(part)} must return its result, or set self.{name}")
    return found


Layer = Any  # whatever has forward and backward as above; with parameters, also the attributes of Dense

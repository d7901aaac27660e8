"""Containers: layers made of layers. What goes through them is computed by their layers and by kernels alone, so that
trainings record them like any other layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from numpy.typing import ArrayLike

from .. import backend
from ..arrays import Array, as_array, as_floats
from ..checks import flag, shown
from ..parameters import children, parameters_of, walk
from .activations import ReLU, Sigmoid, Tanh
from .base import NUMBERS, PASSED, Layer, Shape, _Layer, passed, prepares, result

# the method by which a part of a model is known that is set, not added
PARTS = {"optimizer": "update_params", "loss": "remember_trainable_layers", "accuracy": "calculate_accumulated"}
ACTIVATIONS = {"relu": ReLU, "sigmoid": Sigmoid, "tanh": Tanh}


def forward(layers: Iterable[Layer], inputs: Any, training: bool) -> Any:
    """The outputs of the last of layers in a row."""
    for layer in layers:
        inputs = result(layer.forward(inputs, training), layer, "output")
    return inputs


def backward(layers: Sequence[Layer], gradient: Any, input_gradient: bool = True,
             parts: Sequence[Any] | None = None) -> Any:
    """The gradient with respect to the inputs of layers in a row; without `input_gradient` None, and nothing is done
    before the first layer that is trained. `parts` stand for the layers, as far as they go. It is None also for a first
    layer of whole numbers whose backward gives nothing."""
    first = None
    if not input_gradient:
        first = next((layer for layer in layers if trained([layer])), None)
        if first is None:
            return None
    for layer, part in reversed([*zip(layers, layers if parts is None else parts)]):
        if layer is not first:
            found = part.backward(gradient)
            if found is None and getattr(part, "dinputs", None) is None and any(map(prepares, walk([layer]))):
                if not trained(layers[:[*map(id, layers)].index(id(layer))]):  # nothing is lost
                    return None
            gradient = result(found, layer, "dinputs")
        elif isinstance(layer, _Layer) and layer._skips_input_gradient:
            return part.backward(gradient, input_gradient=False)
        else:
            part.backward(gradient)
            return None
    return gradient


class _Container(_Layer):
    _gives: Any = NUMBERS
    _skips_input_gradient = True

    def _entering(self, shape: Shape | None) -> dict[str, Shape | None]:
        # the shapes that its layers get, by their names
        raise NotImplementedError

    @property
    def trainable_layers(self) -> list[Layer]:
        """The layers within it that have parameters and are not frozen."""
        return trained([self])

    @property
    def trainable(self) -> bool:
        """Whether any of the layers is trained; assigning it sets `trainable` of all of them."""
        return not with_parameters([self]) or bool(trained(list(children(self).values())))

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = flag("trainable", value)
        for layer in walk([self])[1:]:
            if not isinstance(layer, _Container):
                layer.trainable = value

    def predictions(self, outputs: ArrayLike) -> Array:
        """The outputs as they are."""
        return as_array(outputs, "outputs")


class Sequential(_Container):
    """A sequence of layers as one layer: `forward` runs through all of them, `backward` in the opposite order.

    `model.add(Sequential(...))` adds its layers one by one. In your own training loop, an optimizer updates its
    `trainable_layers`. `block.trainable = False` freezes all layers.
    """

    def __init__(self, *layers: Layer) -> None:
        self.layers: list[Layer] = []
        for layer in layers:
            self.layers += unfolded(layer, "Sequential takes a layer")

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"

    def output_shape(self, shape: Shape | None) -> Shape | None:
        """That of the last layer. Raises ValueError for layers that do not fit."""
        return shape_through(self.layers, shape)

    def _entering(self, shape: Shape | None) -> dict[str, Shape | None]:
        return entering(self.layers, shape)

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The last layer's outputs for inputs of the first."""
        training = flag("training", training)
        self.output = y = forward(self.layers, inputs if self.layers else passed(inputs), training)
        return y

    def backward(self, dvalues: ArrayLike, *, input_gradient: bool = True) -> Array | None:
        """The gradient with respect to the inputs of the last `forward`. Sets the gradients of all layers.

        `input_gradient=False` stops at the first layer that is trained, and returns None.
        """
        input_gradient = flag("input_gradient", input_gradient)
        gradient: Any = dvalues if self.layers else as_floats(dvalues, name="dvalues")
        self.dinputs = dx = backward(self.layers, gradient, input_gradient)
        return dx

    def predictions(self, outputs: ArrayLike) -> Array:
        """The predictions of the last layer from its outputs."""
        last: Any = self.layers[-1] if self.layers else None
        return last.predictions(outputs) if hasattr(last, "predictions") else as_array(outputs, "outputs")

    @property
    def _gives(self) -> str | None:
        return getattr(self.layers[-1], "_gives", None) if self.layers else PASSED


class Identity(_Layer):
    """y = x, the same array: a branch of a Parallel that passes on its inputs as they are."""

    _gives = PASSED

    def __repr__(self) -> str:
        return "Identity()"

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The inputs as floats; an array of integers stays as it is."""
        flag("training", training)
        self.inputs = self.output = y = passed(inputs)
        return y

    def backward(self, dvalues: ArrayLike) -> Array:
        """The gradient, unchanged."""
        self.dinputs = dx = as_floats(dvalues, name="dvalues", infinite=True)
        return dx


class Residual(_Container):
    """y = f(shortcut(x) + body(x)): layers in a row, whose inputs are added to their outputs (He et al. 2016).

    layers: the body, at least one layer.
    shortcut: a layer around the body, such as a Dense where the body changes the number of features; by default the
        inputs are added as they are.
    activation: the function f of the sum: None, "relu", "sigmoid", "tanh", or a layer such as GELU().

    Raises TypeError for anything that is not a layer, ValueError for an empty body and an unknown activation.
    """

    def __init__(self, *layers: Layer, shortcut: Layer | None = None, activation: str | Layer | None = None) -> None:
        if not layers:
            raise ValueError("Residual needs at least one layer, such as Residual(Dense(64, 64))")
        self.body = Sequential(*[single(layer, "Residual") for layer in layers])
        self.shortcut = None if shortcut is None else single(shortcut, "shortcut")
        if isinstance(activation, str):
            if activation not in ACTIVATIONS:
                raise ValueError(f"activation must be None, {', '.join(map(repr, ACTIVATIONS))} or a layer, got "
                                 f"{shown(activation)}")
            activation = ACTIVATIONS[activation]()
        self.activation = None if activation is None else single(activation, "activation")

    @property
    def layers(self) -> dict[str, Layer]:
        """Its layers by name: body, shortcut, activation."""
        parts = {"body": self.body, "shortcut": self.shortcut, "activation": self.activation}
        return {name: layer for name, layer in parts.items() if layer is not None}

    def __repr__(self) -> str:
        more = "".join(f", {name}={layer!r}" for name, layer in self.layers.items() if name != "body")
        return f"Residual({', '.join(map(repr, self.body.layers))}{more})"

    @property
    def _gives(self) -> str | None:
        return NUMBERS if self.activation is None else getattr(self.activation, "_gives", None)

    def output_shape(self, shape: Shape | None) -> Shape | None:
        """That of body and shortcut. Raises ValueError if they differ."""
        return shape_of(self.activation, self._sum(shape))

    def _entering(self, shape: Shape | None) -> dict[str, Shape | None]:
        return {"body": shape, "shortcut": shape, "activation": self._sum(shape)}

    def _sum(self, shape: Shape | None) -> Shape | None:
        found = self.body.output_shape(shape)
        beside = shape if self.shortcut is None else shape_of(self.shortcut, shape)
        if found is not None and beside is not None and found != beside:
            raise ValueError(f"has a body that gives {found} and a shortcut that gives {beside}: give a layer as "
                             f"shortcut, such as shortcut=Dense({beside[0]}, {found[0]})")
        return found if found is not None else beside

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The outputs for inputs (N, ...)."""
        training = flag("training", training)
        body = as_floats(self.body.forward(inputs, training))
        beside = as_floats(inputs if self.shortcut is None else forward([self.shortcut], inputs, training), body.dtype)
        if body.shape != beside.shape:
            raise ValueError(f"{self} has a body that gives {body.shape} and a shortcut that gives {beside.shape}: "
                             "give a layer as shortcut")
        y = backend.ops.add.forward(beside, body)
        if self.activation is not None:
            y = forward([self.activation], y, training)
        self.output = y
        return y

    def backward(self, dvalues: ArrayLike, *, input_gradient: bool = True) -> Array | None:
        """The gradient with respect to the inputs: the shortcut's and the body's, added. Sets those of all layers."""
        input_gradient = flag("input_gradient", input_gradient)
        if self.output is None:
            raise RuntimeError("call forward before backward")
        d: Any = as_floats(dvalues, self.output.dtype, "dvalues", infinite=True)
        if self.activation is not None:
            d = backward([self.activation], d)
        body: Any = self.body.backward(d, input_gradient=input_gradient)
        beside = d if self.shortcut is None else backward([self.shortcut], d, input_gradient)
        dx = None
        if input_gradient and body is not None and beside is not None:
            body = as_floats(body)
            dx = backend.ops.add.forward(as_floats(beside, body.dtype), body)
        self.dinputs = dx
        return dx


def shape_of(layer: Layer | None, shape: Shape | None) -> Shape | None:
    """The shape of a layer's outputs; None for an unknown one, as of a user's own layer."""
    if layer is None:
        return shape
    return layer.output_shape(shape) if hasattr(layer, "output_shape") else None


def shape_through(layers: Sequence[Layer], shape: Shape | None, first: int = 0) -> Shape | None:
    """The shape of the last layer's outputs. Raises ValueError that names a layer which does not fit, by its number
    from `first` on."""
    for number, layer in enumerate(layers, first):
        try:
            shape = shape_of(layer, shape)
        except ValueError as error:
            raise ValueError(f"layer {number}, {shown(layer)}, {error}") from None
    return shape


def entering(layers: Sequence[Layer], shape: Shape | None) -> dict[str, Shape | None]:
    """The shape that each of layers in a row gets, by its number from 0 on, as text."""
    found = {}
    for number, layer in enumerate(layers):
        found[str(number)] = shape
        shape = shape_of(layer, shape)
    return found


def unfolded(layer: Layer, wish: str) -> list[Layer]:
    """The layers of a Sequential, or the layer alone. Raises TypeError, which begins with `wish`, for anything else."""
    wish = f"{wish}, such as Dense(2, 64), got"
    if isinstance(layer, type):
        raise TypeError(f"{wish} the class {layer.__name__}: write {layer.__name__}(...)")
    check_use(layer)
    if hasattr(layer, PARTS["loss"]) or not (hasattr(layer, "forward") and hasattr(layer, "backward")):
        part = next((part for part, method in PARTS.items() if hasattr(layer, method)), None)
        remedy = f": write model.set({part}=...)" if part else ": pass the layers one by one"
        raise TypeError(f"{wish} {shown(layer)}{remedy if part or isinstance(layer, (list, tuple)) else ''}")
    return layer.layers if type(layer) is Sequential else [layer]


def single(layer: Layer, taker: str) -> Layer:
    """The layer itself, a Sequential too. Raises TypeError for anything that is not a layer, naming the caller."""
    unfolded(layer, f"{taker} takes a layer")
    return layer


def check_use(part: Any) -> None:
    """Raise TypeError for a part that works only without a model, such as the book's softmax and loss in one."""
    if hasattr(part, "_instead"):
        raise TypeError(f"{type(part).__name__} is for your own loops, not for a model: write {part._instead}")


def with_parameters(layers: Sequence[Layer]) -> list[Layer]:
    """The layers that have parameters of their own, also within others."""
    return [layer for layer in walk(layers) if parameters_of(layer)]


def trained(layers: Sequence[Layer]) -> list[Layer]:
    """The layers that have parameters and are not frozen, also within others that are not."""
    found = []
    for layer in layers:
        if is_trainable(layer):
            found += [layer] if parameters_of(layer) else []
            found += trained(list(children(layer).values()))
    return found


def is_trainable(layer: Layer) -> bool:
    """Whether a layer is not frozen. Raises TypeError for a `trainable` other than True or False."""
    value = getattr(layer, "trainable", True)
    return value if value is True or value is False else flag(f"trainable of {shown(layer)}", value)

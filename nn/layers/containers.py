"""Containers: layers made of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from ..arrays import Array, as_array, as_floats, flag, shown
from .base import Layer

# by a method of theirs, what is set and not added
PARTS = {"optimizer": "update_params", "loss": "remember_trainable_layers", "accuracy": "calculate_accumulated"}


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

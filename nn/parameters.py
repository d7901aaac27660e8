"""All parameters of a model in one array, their gradients in another."""

from typing import Any

import numpy as np

from .arrays import Array, aligned

ALIGNMENT = 16  # elements: the parameters of each layer start at a vector


class Parameters:
    """All parameters of some layers in one array, `values`, and their gradients in another.

    The layers' own `weights` and `biases` become views of it, so that an optimizer updates them all in one pass.
    """

    def __init__(self, layers: list[Any]) -> None:
        self.layers = list(layers)  # the model's own list may be changed
        self._places = []
        size = 0
        for layer in layers:
            for parameter in (layer.weights, layer.biases):
                self._places.append((size, parameter.size, parameter.shape))
                size += -(-parameter.size // ALIGNMENT) * ALIGNMENT
        self.values = aligned((size,), layers[0].dtype)
        self.gradients = aligned((size,), layers[0].dtype)
        self.updating: Any = None  # an optimizer's recorded call
        for layer, (weights, biases) in zip(layers, self.cut(self.values)):
            weights[...], biases[...] = layer.weights, layer.biases
            layer.hold(weights, biases)
        self._held = [layer.held() for layer in layers]

    def cut(self, whole: Array) -> list[tuple[Array, Array]]:
        """Views of an array like `values`: for each layer the parts of its weights and biases, in their shapes."""
        parts = [whole[start:start + size].reshape(shape) for start, size, shape in self._places]
        return list(zip(parts[::2], parts[1::2]))

    def shares(self, x: Array) -> bool:
        """Whether an array may share memory with parameters or gradients."""
        return np.may_share_memory(x, self.values) or np.may_share_memory(x, self.gradients)

    def take(self) -> bool:
        """Copy arrays that were assigned to layers since. False, and copies nothing, if shape or dtype differ."""
        pairs = [(array, view) for layer, views in zip(self.layers, self._held)
                 for array, view in zip(layer.held(), views) if array is not view]
        if any(array.shape != view.shape or array.dtype != view.dtype or not view.flags.writeable
               for array, view in pairs):
            return False
        for array, view in pairs:
            view[...] = array
        if pairs:
            self.updating = None  # the optimizer's state of the layers may have changed, too
            for layer, views in zip(self.layers, self._held):
                layer.hold(*views)
        return True

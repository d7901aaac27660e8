"""Parameters by name: those of a layer, of layers within layers, and of a whole model in one array.

A layer has `parameters` and `gradients`, arrays by name, `regularizers`, pairs (l1, l2) by the same names, and
`layers`, its children, if it has any. Layers in the style of the book have the attributes `weights`, `biases`,
`dweights`, `dbiases` and `weight_regularizer_l1` to `bias_regularizer_l2` instead.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from numpy.lib.array_utils import byte_bounds

from .arrays import Array, aligned
from .checks import shown

ALIGNMENT = 16  # elements: each layer's parameters begin where a vector does
BOOK = {"weights": "weight", "biases": "bias"}  # parameters, and what the names of their regularizers begin with


def children(layer: Any) -> dict[str, Any]:
    """The layers that a layer is made of, by their names, or by their numbers where they have none."""
    found = getattr(layer, "layers", ())
    if hasattr(layer, "finalize"):  # a model within a model predicts, but is not trained
        return {}
    if isinstance(found, Mapping):
        return dict(found)
    return {str(number): each for number, each in enumerate(found)} if isinstance(found, (list, tuple)) else {}


def named(layers: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(name, layer) of layers and of all that they are made of, such as "3.body.0", each before its own."""
    for number, layer in enumerate(layers):
        yield f"{prefix}{number}", layer
        yield from within(layer, f"{prefix}{number}.")


def within(layer: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(name, layer) of all that a layer is made of."""
    for name, each in children(layer).items():
        yield prefix + name, each
        yield from within(each, f"{prefix}{name}.")


def walk(layers: Iterable[Any]) -> list[Any]:
    """Layers and all that they are made of, each before its own."""
    return [layer for _, layer in named(layers)]


def parameters_of(layer: Any) -> Mapping[str, Array]:
    """The parameters of a layer alone, without those of the layers that it is made of."""
    found = getattr(layer, "parameters", None)
    return found if type(found) is dict or isinstance(found, Mapping) else _parameters_of_book(layer)


def buffers_of(layer: Any) -> Mapping[str, Array]:
    """The arrays that a layer keeps from step to step and does not learn, such as running means, by name."""
    found = getattr(layer, "buffers", None)
    return found if isinstance(found, Mapping) else {}


def state_of(layer: Any) -> Mapping[str, Array]:
    """The parameters and then the buffers of a layer alone: what a saved model must have."""
    found = buffers_of(layer)
    return {**parameters_of(layer), **found} if found else parameters_of(layer)


def _parameters_of_book(layer: Any) -> dict[str, Array]:
    # the only place where layers are asked for the book's attributes
    return {name: getattr(layer, name) for name in BOOK if hasattr(layer, name)} if hasattr(layer, "weights") else {}


def lacks_biases(layer: Any) -> bool:
    """Whether a layer in the style of the book has weights, but no biases; one with names may have any parameters."""
    by_name = any(isinstance(getattr(layer, each, None), Mapping) for each in ("parameters", "gradients"))
    return not by_name and 0 < len(parameters_of(layer)) < len(BOOK)


def get_parameter(layer: Any, name: str) -> Array:
    """A parameter or buffer in the shape of the layer's attribute of that name, such as the biases (1, n) of a Dense;
    without such an attribute as in `parameters`."""
    found: Array = getattr(layer, name) if hasattr(layer, name) else state_of(layer)[name]
    return found


def set_parameter(layer: Any, name: str, values: Array) -> None:
    """Assign a parameter or buffer in the shape of `get_parameter`; where there is no attribute to assign, copy the
    values into the layer's array."""
    try:
        if hasattr(layer, name):
            setattr(layer, name, values)
            return
    except AttributeError:  # a property that cannot be assigned
        pass
    state_of(layer)[name][...] = values


def gradients_of(layer: Any) -> Mapping[str, Array | None]:
    """The gradients of the last backward, by the names of the parameters."""
    found = getattr(layer, "gradients", None)
    if type(found) is dict or isinstance(found, Mapping):  # the first in a fifth of the time
        return found
    return {name: getattr(layer, f"d{name}", None) for name in parameters_of(layer)}


def regularizers_of(layer: Any) -> Mapping[str, tuple[float, float]]:
    """(l1, l2) of a layer's regularizers, by the names of parameters. Raises TypeError for `regularizers` of another
    kind."""
    found = getattr(layer, "regularizers", None)
    if found is None:
        return {name: (getattr(layer, f"{regularizer_prefix(name)}_l1", 0.0),
                       getattr(layer, f"{regularizer_prefix(name)}_l2", 0.0)) for name in parameters_of(layer)}
    if type(found) is not dict and not isinstance(found, Mapping):
        raise TypeError(f"regularizers of {shown(layer)} must be a dict such as {{'weights': (l1, l2)}}, got "
                        f"{shown(found)}")
    return found


def regularizer_prefix(parameter: str) -> str:
    """What the names of the book's attributes for the regularizers of a parameter begin with."""
    return f"{BOOK.get(parameter, parameter)}_regularizer"


class Parameters:
    """All parameters of some layers in one array, `values`, and their gradients in another.

    The layers' own parameters become views of it, so that an optimizer updates them all in one pass.
    """

    def __init__(self, layers: list[Any]) -> None:
        self.layers = list(layers)  # the model's own list may be changed
        self._places = []
        size = 0
        for layer in layers:
            for name, values in layer.parameters.items():
                self._places.append((name, size, values.size, values.shape))
                size += -(-values.size // ALIGNMENT) * ALIGNMENT
        self._counts = [len(layer.parameters) for layer in layers]
        self.values = aligned((size,), layers[0].dtype)
        self.gradients = aligned((size,), layers[0].dtype)
        self.updating: Any = None  # an optimizer's recorded call
        self._views = self.cut(self.values)
        for layer, views in zip(layers, self._views):
            for name, values in layer.parameters.items():
                views[name][...] = values
                layer.adopt(name, views[name])

    def cut(self, whole: Array) -> list[dict[str, Array]]:
        """Views of an array like `values`: for each layer those of its parameters, by name and in their shapes."""
        places = iter(self._places)
        return [{name: whole[start:start + size].reshape(shape) for name, start, size, shape in
                 (next(places) for _ in range(count))} for count in self._counts]

    @property
    def spans(self) -> set[tuple[int, int]]:
        """Where parameters and gradients lie: the addresses of the first byte of each, and of the one behind."""
        return {byte_bounds(self.values), byte_bounds(self.gradients)}

    def copy_assigned(self) -> bool:
        """Copy in arrays assigned to layers since. If their shape or dtype differs, do nothing and return False."""
        changed = [(layer, name, array, view) for layer, views in zip(self.layers, self._views)
                   for (name, array), view in zip(layer.parameters.items(), views.values()) if array is not view]
        if any(array.shape != view.shape or array.dtype != view.dtype or not view.flags.writeable
               for _, _, array, view in changed):
            return False
        for layer, name, array, view in changed:
            view[...] = array
            layer.adopt(name, view)
        if changed:
            self.updating = None  # the layers' state may be another's, too
        return True

"""What recordings rely on: parts that may be recorded, and whether anything of them changed since."""

from collections.abc import Iterable
from itertools import repeat
from operator import attrgetter, call, is_not
from typing import Any

import numpy as np

from .. import backend
from ..arrays import LAST
from ..checks import shown
from ..layers.parallel import OF_BRANCHES
from ..parameters import parameters_of, state_of

# methods that a recording skips or relies on
METHODS = {"forward", "backward", "penalties", "regularization_loss", "targets", "accumulate", "hits",
           "pre_update_params", "update_params", "post_update_params"}
OWN = f"{backend.__package__}."


def ours(*parts: Any) -> bool:
    """Whether all objects are of classes of this package, without a method replaced in the instance."""
    return all(type(part).__module__.startswith(OWN) and METHODS.isdisjoint(vars(part))
               for part in parts if part is not None)


def recordable(*parts: Any) -> bool:
    """Whether the calls of objects may be recorded. A user's classes may do anything."""
    return ours(*parts) and all(getattr(type(part), "recordable", True) for part in parts)


_NAMES = tuple(METHODS)
_original: dict[type, tuple[Any, ...]] = {}  # methods of this package's classes that were found to be its own


def unchanged(*parts: Any) -> bool:
    """Whether the classes of objects still have their original methods."""
    for kind in set(map(type, parts)):
        methods = tuple(map(getattr, repeat(kind), _NAMES, repeat(None)))
        if methods == _original.get(kind):  # 1 us; what follows takes 3
            continue
        # not by `__module__`, which functools.wraps copies
        if not all(method is None or getattr(method, "__globals__", {}).get("__name__", "").startswith(OWN)
                   for method in methods):
            return False
        if kind.__module__.startswith(OWN):
            _original[kind] = methods
    return True


_PLAIN = {bool, int, float, str, tuple}
_COUNTS = {"_calls", "accumulated_sum", "accumulated_count"}  # which change with each step, and are taken at each


def settings(parts: list[Any]) -> list[tuple[str, Any]]:
    """The plain attributes of layers, loss and accuracy, such as the rate of a dropout, and dicts and lists of them:
    the numbers that kernels are called with depend on them."""
    return [(name, value.copy() if type(value) in _FILLED else value) for part in parts if part is not None
            for name, value in vars(part).copy().items()
            if name not in _COUNTS and (type(value) in _PLAIN or _comparable(value))]


_FILLED = {dict, list}


def _comparable(value: Any) -> bool:
    # a dict or list, which may change in place, without arrays, whose comparison is an array
    return type(value) in _FILLED and not any(isinstance(each, (np.ndarray, *_FILLED)) for each in (
        value.values() if type(value) is dict else value))


def arrays_of(layer: Any) -> list[Any]:
    """The arrays that a layer keeps: parameters, buffers and constants."""
    return [*state_of(layer).values(), *getattr(layer, "_constants", ())]


def writeable(layers: list[Any]) -> bool:
    """Whether kernels use the arrays of layers directly; read-only ones they copy."""
    return all(array.flags.carray for layer in layers for array in arrays_of(layer))


def reason(model: Any, parts: list[Any], dtype: Any) -> str | None:
    """Why the calls of a model's layers and other parts, for inputs of this dtype, cannot be recorded, in one sentence;
    None if they can."""
    if backend.name != "numba":
        return 'nn.use("numpy") was called: only the kernels are recorded'
    if not recordable(*parts):
        part = next(part for part in parts if not recordable(part))
        return f"{shown(part)} is of a class of your own, or has a method of your own"
    if not METHODS.isdisjoint(vars(model)) or not unchanged(model, *parts):
        return "a method of the model or of one of its parts was replaced"
    layers = model._walked
    dtypes = {dtype, *[getattr(layer, "dtype", None) for layer in layers
                       if hasattr(layer, "dtype") or parameters_of(layer)]}
    if len(dtypes) > 1:
        return f"inputs and layers have different dtypes: {', '.join(sorted(map(str, dtypes)))}"
    return None if writeable(layers) else "parameters are read-only or not contiguous"


_CALLED = {*LAST, *_COUNTS}
_STATE = attrgetter("__dict__")  # faster than `vars`


class _Anything:
    __eq__ = id  # type: ignore[assignment]  # of any object a number, which is true: half the time of a function


_ANYTHING = _Anything()


def _remembered(name: str, value: Any, bare: bool) -> Any:
    # what an attribute must be equal to
    if bare or name in _CALLED or name.startswith(OF_BRANCHES):  # which each call sets
        return _ANYTHING
    return value.copy() if _comparable(value) else value


class Watch:
    """A model, and layers and other parts of it, as they are when this is made.

    It sees changes of their classes and methods, of their attributes but those that each call sets, of the twin and of
    the number of threads. The attributes of `bare`, an optimizer, may change.
    """

    def __init__(self, model: Any, parts: list[Any], bare: Any = None, methods: Iterable[str] = METHODS) -> None:
        self._parts = [part for part in [*parts, bare] if part is not None]
        states = [vars(part).copy() for part in self._parts]  # another thread may be adding attributes
        self._states = [{name: _remembered(name, value, part is bare) for name, value in state.items()}
                        for part, state in zip(self._parts, states)]
        # arrays that are no attributes, or so small that equal ones could not be told apart
        known = {id(value) for state in states for value in state.values()
                 if isinstance(value, np.ndarray) and value.size > 1}
        self._apart = [(layer, arrays) for layer in model._walked
                       if not known.issuperset(map(id, arrays := arrays_of(layer)))]
        self._kinds = [*map(type, self._parts)]
        self._model, self._methods = type(model), frozenset(methods)
        owners = {kind: [name for name in methods if hasattr(kind, name)] for kind in {*self._kinds, self._model}}
        self._owners = [kind for kind, names in owners.items() if names]
        self._getters = [attrgetter(*names) for names in owners.values() if names]
        self._found = [*map(call, self._getters, self._owners)]
        self._outside = backend.name, backend.get_num_threads()

    def same(self, model: Any) -> bool:
        """Whether all is as it was, in 0.5 us a part: asking anew takes ten times as long."""
        try:
            # in this order: arrays have an `==` of their own, which is an error unless both are one array
            return (self._states == [*map(_STATE, self._parts)] and [*map(type, self._parts)] == self._kinds
                    and [*map(call, self._getters, self._owners)] == self._found
                    and type(model) is self._model and _STATE(model).keys().isdisjoint(self._methods)
                    and (backend.name, backend.get_num_threads()) == self._outside and model._is_whole()
                    and not (self._apart and any([any(map(is_not, arrays, arrays_of(layer)))
                                                  for layer, arrays in self._apart])))
        except Exception:
            return False

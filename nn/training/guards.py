"""What protects a model: one thread at a time, and no part of another kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import get_ident
from typing import Any, TypeVar

from .. import layers as _layers
from ..checks import shown
from ..losses import Loss

EXAMPLES = {"loss": "CategoricalCrossentropy", "optimizer": "Adam", "accuracy": "Accuracy"}
METHODS_OF = {"optimizer": ("pre_update_params", "update_params", "post_update_params"),
              "accuracy": ("new_pass", "calculate", "calculate_accumulated")}

Method = TypeVar("Method", bound=Callable[..., Any])


class Part:
    """Loss, optimizer or accuracy of a model, as an attribute. It must be finalized again after an assignment."""

    # it has no `__get__`, so that reading takes no call of Python's
    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __set__(self, model: Any, value: Any) -> None:
        model._check_thread()
        check_part(self._name, value)
        vars(model)[self._name] = value
        model._finalized = None


def check_part(name: str, value: Any) -> None:
    """Raise TypeError for anything that is not a loss, optimizer or accuracy, and for a class."""
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


@contextmanager
def uncounted(model: Any) -> Iterator[None]:
    """Where a user's code makes a batch: it may evaluate the model, or train another one with the same loss, but what
    it computes does not count in the means of the pass."""
    kept = [(part, name, getattr(part, name)) for part in (model.loss, model.accuracy)
            for name in ("accumulated_sum", "accumulated_count") if hasattr(part, name)]
    penalty = model._step.penalty
    try:
        yield
    finally:
        for part, name, value in kept:
            setattr(part, name, value)
        model._step.penalty = penalty
        model._step.refresh()  # the loss's layers are this model's


def by_one_thread(method: Method) -> Method:
    """A method of a model that only one thread can run: others would read and write the same arrays."""
    @wraps(method)
    def alone(self: Any, *args: Any, **more: Any) -> Any:
        thread = get_ident()
        inside = self._thread == thread  # a callback, say
        try:
            vars(self).setdefault("_thread", thread)  # one step, even if two threads come at once
            self._check_thread()
            return method(self, *args, **more)
        finally:
            if self._thread == thread and not inside:
                del self._thread
    return alone  # type: ignore[return-value]

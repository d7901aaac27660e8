"""Layers in the attributes of others: a model neither sees nor trains them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..checks import shown
from ..layers import Layer, trained
from ..losses import Loss
from ..parameters import parameters_of

NEIGHBOURS = ("prev", "next")  # the book's attributes of a layer in a model


def check(layers: Sequence[Layer], known: Sequence[Layer], first: int = 0) -> None:
    """Raise ValueError for a layer with weights in an attribute of another, or in a list, tuple, set or dict there,
    unless it is among `known`, or frozen, or its weights are also those of the other layer. `first` is the number of
    the first of the layers."""
    seen = set(map(id, known))
    for number, layer in enumerate(layers, first):
        if getattr(layer, "trainable", True) is False:
            continue
        own = parameters_of(layer).values()
        for inner in trained(list(_held(layer))):
            if id(inner) not in seen and not any(np.may_share_memory(np.asarray(x), np.asarray(y)) for x in own
                                                 for y in parameters_of(inner).values()):
                raise ValueError(f"layer {number}, {shown(layer)} contains {shown(inner)}, which the model would not "
                                 "train: name it in the attribute `layers`, add the layers one by one, or set "
                                 "trainable = False on it")


def _held(layer: Layer) -> Iterator[Layer]:
    # also of the layers that it contains, in turn
    values, seen = _attributes(layer), {id(layer)}
    for value in values:  # which grows
        if id(value) in seen:
            continue
        if isinstance(value, (list, tuple, set, frozenset, dict)):
            values += value.values() if isinstance(value, dict) else value
        elif hasattr(value, "forward") and hasattr(value, "backward") and not isinstance(value, (type, Loss)):
            yield value
            values += _attributes(value)
        else:
            continue
        seen.add(id(value))


def _attributes(part: Any) -> list[Any]:
    found = [value for name, value in getattr(part, "__dict__", {}).items() if name not in NEIGHBOURS]
    return found + [value for kind in type(part).__mro__ for value in vars(kind).values()]

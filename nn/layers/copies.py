"""Copies of layers that share their parameters: predictions are made with them."""

from __future__ import annotations

from typing import Any

from .base import Layer
from .containers import _Container


def stand_in(layer: Layer, known: dict[int, Layer]) -> Layer:
    """A copy of a layer that shares its parameters, and whose calls leave the attributes of the layer, and of those
    that it holds, alone. `known` has the copies by the ids of their layers: one is copied once."""
    if not hasattr(layer, "__dict__"):
        return layer
    known[id(layer)] = copy = object.__new__(type(layer))
    found = vars(copy)
    found.update(vars(layer))  # at once: another thread may be setting attributes
    if type(layer).__module__.startswith(__package__) and not isinstance(layer, _Container):
        return copy  # in half the time

    def inner(each: Any) -> Any:
        if not _computes(each):
            return each
        return known[id(each)] if id(each) in known else stand_in(each, known)

    for name, each in found.items():
        if isinstance(each, dict):
            if _computes(next(iter(each.values()), None)):
                found[name] = each.copy()  # in its own class, such as OrderedDict
                found[name].update({key: inner(value) for key, value in each.items()})
        elif isinstance(each, (list, tuple)):
            if each and _computes(each[0]):  # one of other things may be long
                found[name] = getattr(type(each), "_make", type(each))(map(inner, each))  # of a namedtuple
        else:
            found[name] = inner(each)
    return copy


def _computes(part: Any) -> bool:
    return hasattr(part, "forward") and hasattr(part, "backward") and not isinstance(part, type)

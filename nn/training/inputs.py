"""What a model takes: samples of one shape, as the first layer that computes wants them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import layers as _layers
from ..arrays import Array, as_floats
from ..layers import Layer, Shape
from ..parameters import children
from . import endings

PASSING = (_layers.Input, _layers.Flatten, _layers.Identity)  # layers that pass on what they get


def through(layers: Sequence[Layer], given: Shape | None, check: bool = False) -> Shape | None:
    """The shape of a sample's outputs, as far as it is known, for inputs of the shape `given`. Raises ValueError that
    names a layer which does not fit; with `check` also for a softmax of a single output."""
    shape = given
    try:
        for number, layer in enumerate(layers, 1):
            shape = _layers.shape_through([layer], shape, number)
            if check:
                endings.check_single(number, layer, None if shape is None else shape[-1])
    except ValueError as error:
        if given is None:
            raise
        through(layers, None, check)  # raises if layers do not fit each other
        raise ValueError(f"input_shape {given} does not fit: {error}") from None
    return shape


def taker(layers: Sequence[Layer]) -> Any:
    """The layer that says what inputs become, by its `prepare` or `dtype`: the first of all that is none of those that
    pass them on, since a float64 batch would be converted at each step, and not recorded, and no container."""
    return next((layer for layer in layers if _prepares(layer)), None)


def _prepares(layer: Layer) -> bool:
    if type(layer) in PASSING:
        return False
    return not children(layer) or hasattr(layer, "prepare") and not isinstance(layer, _layers._Layer)


def prepared(X: ArrayLike, name: str, layers: Sequence[Layer], taker: Any, wish: Shape | None) -> Array:
    """Inputs as `taker` wants them, of samples of the shape `wish`, if it is known, and as the first layers say."""
    X = (taker.prepare(X, name) if hasattr(taker, "prepare") else
         np.ascontiguousarray(as_floats(X, getattr(taker, "dtype", None), name)))
    shape, flat = X.shape[1:], ""
    if wish not in (None, shape) or not X.ndim:
        raise ValueError(f"{name} must have shape ({', '.join(map(str, ('samples', *(wish or ('...',)))))}), "
                         f"got {X.shape}")
    for layer in layers:  # as far as the shape is known
        if type(layer) is _layers.Flatten:
            shape, flat = (math.prod(shape),), "..."
            continue
        passed = type(layer) is _layers.Input
        wish = layer.shape if passed else (getattr(layer, "n_inputs", None),)
        if wish != (None,) and (shape != wish or not X.ndim):
            sizes = ", ".join(("samples", *([flat] if flat else map(str, wish))))
            raise ValueError(f"{name} must have shape ({sizes}){f' with {wish[0]} elements a sample' * bool(flat)} "
                             f"for {layer}, got {X.shape}")
        if not passed:
            break
    return X

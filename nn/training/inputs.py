"""What a model takes: samples of one shape, as the first layer that computes wants them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import layers as _layers
from ..arrays import Array, as_floats
from ..checks import shown
from ..iterables import check_iterable, is_array
from ..layers import Layer, Shape
from ..parameters import children
from . import endings
from .batches import Batches, are_batches
from .guards import uncounted

SEEN, FEATURES, SMALL = 32, 64, 32  # samples that are looked at; features of an image; a level that is none of counts
# layers that pass on what they get
PASSING = (_layers.Input, _layers.Flatten, _layers.Reshape, _layers.Identity, _layers.Sequential)


def through(layers: Sequence[Layer], given: Shape | None, check: bool = False) -> Shape | None:
    """The shape of a sample's outputs, as far as it is known, for inputs of the shape `given`. Raises ValueError that
    names a layer which does not fit; with `check` also for a softmax of a single output."""
    shape = given
    try:
        for number, layer in enumerate(layers):
            shape = _layers.shape_through([layer], shape, number)
            if check:
                endings.check_single(number, layer, shape[-1] if shape else None)
    except ValueError as error:
        if given is None:
            raise
        through(layers, None, check)  # raises if layers do not fit each other
        raise ValueError(f"input_shape {given} does not fit: {error}") from None
    return shape


def taker(layers: Sequence[Layer]) -> Any:
    """The layer that says what inputs become, by its `prepare` or `dtype`: the first of all that is none of those that
    pass them on, since a float64 batch would be converted at each step, and not recorded, and no container without a
    `prepare` of its own."""
    return next((layer for layer in layers if type(layer) not in PASSING
                 and (not children(layer) or _layers.prepares(layer))), None)


def as_is(first: Layer, taker: Any, wish: Shape | None) -> tuple[Any, Shape] | None:
    """Dtype and shape of the samples that `prepared` would leave as they are, if they are contiguous; None if that is
    not known."""
    if first is not taker or _layers.prepares(taker) or not hasattr(taker, "n_inputs"):
        return None
    shape = (taker.n_inputs,)
    return (getattr(taker, "dtype", None), shape) if wish in (None, shape) else None


def prepared(X: ArrayLike, name: str, layers: Sequence[Layer], taker: Any, wish: Shape | None) -> Array:
    """Inputs as `taker` wants them, of samples of the shape `wish`, if it is known, and as the first layers say."""
    X = (taker.prepare(X, name) if hasattr(taker, "prepare") else
         np.ascontiguousarray(as_floats(X, getattr(taker, "dtype", None), name)))
    if not isinstance(X, np.ndarray):
        raise TypeError(f"prepare of {shown(taker)} must return an array, got {shown(X)}")
    shape, flat = X.shape[1:], ""
    if wish not in (None, shape) or not X.ndim:
        sizes = ", ".join(map(str, ("samples", *(("...",) if wish is None else wish))))
        raise ValueError(f"{name} must have shape ({sizes}), got {X.shape}")
    known = wish is not None  # as someone said it
    for layer in layers:  # as far as the shape is known
        if type(layer) is _layers.Flatten:
            shape, flat = (math.prod(shape),), "..."
            continue
        passed = type(layer) is _layers.Input
        known |= passed
        takes: Any = layer.shape if passed else (getattr(layer, "n_inputs", None),)
        given = shape[-1:] if known and not passed else shape  # Dense takes the last axis
        if takes != (None,) and (given != takes or not X.ndim):
            sizes = ", ".join(("samples", *([flat] if flat else map(str, takes))))
            raise ValueError(f"{name} must have shape ({sizes}){f' with {takes[0]} elements per sample' * bool(flat)} "
                             f"for {layer}, got {X.shape}")
        if not passed:
            break
    return X


def warn_of_levels(given: Any, X: Array, taker: Any, stacklevel: int) -> None:
    """A UserWarning if X, what was made of the inputs `given`, has the levels 0 to 255 of images, and a layer with
    weights takes them as they are."""
    if not getattr(taker, "_wants_small", False):
        return
    part = X[:SEEN]
    if getattr(given, "dtype", None) != np.uint8 and math.prod(X.shape[1:]) < FEATURES or not part.size:
        return
    if SMALL < part.max() <= 255 and part.min() >= 0 and (part == np.rint(part)).all():
        warnings.warn(f"X has whole numbers from 0 to 255, as images do, from which {taker} learns badly: put "
                      "Rescale(1 / 255) before it, or scale X", UserWarning, stacklevel=stacklevel + 1)


def batches_of(model: Any, name: str, given: Any, what: str) -> Batches:
    """The batches of an iterable, the argument `name`, each checked and converted as `what` is, such as "evaluation"
    data."""
    return Batches(name, given, lambda *data: model._samples(what, *data), around=partial(uncounted, model))


def validation(model: Any, given: Any, epochs: int = 1) -> Any:
    """`validation_data`, or each of its batches, checked and converted. Raises TypeError for anything but a pair,
    triple or iterable of batches, and the errors of its parts, which speak of X and y, with the argument's name."""
    if _are_batches(given):
        check_iterable("validation_data", given, epochs)
        return batches_of(model, "validation_data", given, "validation")
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        found = (f"a {type(given).__name__} of {len(given)}" if isinstance(given, (tuple, list)) else
                 shown(given) if isinstance(given, (str, int, float)) else type(given).__name__)
        raise TypeError("validation_data must be (X, y) or (X, y, sample_weight), or an iterable of batches, got "
                        f"{found}: to hold out a share of the samples, use nn.preparation.train_test_split")
    try:
        return model._samples("validation", *given)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"validation_data: {error}") from error


def _are_batches(given: Any) -> bool:
    # a list or tuple of pairs of arrays, or any other iterable
    if isinstance(given, (list, tuple)):
        return bool(given) and all(isinstance(each, (list, tuple)) and len(each) in (2, 3)
                                   and getattr(each[0], "ndim", 0) > 1 for each in given)
    return are_batches(given) or hasattr(given, "__getitem__") and not isinstance(given, (str, bytes, Mapping)) \
        and not is_array(given)

"""Clipping: gradients of all layers together, scaled down to a largest norm."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import backend
from ..checks import finite, rename, shown
from ..layers import Layer
from ..parameters import ALIGNMENT, gradients_of


def clip_gradients(layers: Sequence[Layer], max_norm: float) -> float:
    """Scale the gradients of layers (`dweights`, `dbiases`) in place, so that the Euclidean norm of all of them is at
    most max_norm, and return the norm before (Pascanu et al. 2013). `Model.clip_norm` does this at each step.

    Raises TypeError or ValueError for a max_norm that is not a finite number of at least 0, RuntimeError for a layer
    without gradients, such as before its backward or without weights.
    """
    max_norm = finite("max_norm", max_norm)
    names: list[str] = []
    gradients: list[Any] = []
    for layer in layers:
        found = gradients_of(layer)
        if not found or any(each is None for each in found.values()):
            raise RuntimeError(f"{shown(layer)} has no gradients to clip: pass trainable_layers, after a backward")
        names += found.keys()
        gradients += found.values()
    # summed in the order that they have in a model: see Parameters
    parts = [part for each in gradients for part in (each.ravel(), np.zeros(-each.size % ALIGNMENT, each.dtype))]
    name = "dweights and dbiases"
    try:
        norm: float = backend.ops.clip_norm.forward(np.concatenate(parts)) if parts else 0.0
        for name, gradient in zip(names, gradients):
            name = f"d{name}"
            backend.ops.clip_norm.step(gradient, norm=norm, max_norm=max_norm)
    except (TypeError, ValueError) as error:
        rename(error, x=name)
        raise
    return norm

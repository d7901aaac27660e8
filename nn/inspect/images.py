"""Images in a grid, the feature maps of a layer, wrong predictions, and the norms of gradients."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array, as_plain, within
from ..checks import shown, whole
from ..layers import forward, stand_in
from ..parameters import gradients_of, named, parameters_of
from ..training.history import save
from ..training.model import Model
from ..training.network import Network
from .scores import _predicted, _true_classes

SIDE = 0.56  # inches of 28 pixels: each becomes two by two


def feature_maps(model: Model, X: ArrayLike, layer: int | str = 0) -> Array:
    """The outputs (N, C, H, W) of a convolution for images X, as in a prediction: each channel is a feature map.

    layer: its number, or its name as in `summary`, such as "3.body.0". It may be any layer, also of outputs (N, C).

    Raises ValueError for a layer that the model does not have, RuntimeError if it is not finalized.
    """
    _check(model)
    name = str(layer)
    if name not in dict(named(model.layers)):
        raise ValueError(f"layer must be a number or name in the model's summary, got {shown(layer)}")
    model._check_ready()
    known: dict[int, Any] = {}
    layers = [stand_in(each, known) for each in model.layers]
    forward(layers, model._inputs(X), False)
    found: Array = dict(named(layers))[name].output
    return found


def grid(images: ArrayLike, columns: int | None = None) -> Array:
    """Images (N, H, W), (N, 1, H, W) or (N, 3, H, W) side by side in one array (rows H, columns W), or
    (..., 3) for three channels, with a margin of one pixel between them. With None there are as many columns as rows,
    or one more."""
    pixels = _as_drawn(images)
    count, height, width = pixels.shape[:3]
    columns = _columns(count, columns)
    rows = math.ceil(count / columns)
    low = np.fmin.reduce(pixels, axis=None)  # which NaN does not change
    found = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, *pixels.shape[3:]), low, pixels.dtype)
    for number, image in enumerate(pixels):
        top, left = number // columns * (height + 1), number % columns * (width + 1)
        found[top:top + height, left:left + width] = image
    return found


def _check(model: Any) -> None:
    if not isinstance(model, Network):
        raise TypeError(f"model must be an nn.Model, got {shown(model)}")


def _as_drawn(images: ArrayLike) -> Array:
    # (N, H, W), or (N, H, W, 3)
    found = as_plain(images, "images")
    if found.dtype.kind not in "fiub":
        raise TypeError(f"images must contain real numbers, got dtype {found.dtype}")
    if found.ndim not in (3, 4) or found.ndim == 4 and found.shape[1] not in (1, 3) or not found.size:
        raise ValueError("images must have shape (N, H, W), (N, 1, H, W) or (N, 3, H, W), with at least one image, got "
                         f"{found.shape}")
    if found.ndim == 3:
        return found
    return found[:, 0] if found.shape[1] == 1 else found.transpose(0, 2, 3, 1)


def _columns(count: int, given: int | None) -> int:
    return math.ceil(math.sqrt(count)) if given is None else whole("columns", given)


def _show(axes: Any, image: Array) -> None:
    # of elements 0..1
    axes.imshow(image, cmap="gray", interpolation="nearest", vmin=0, vmax=1)
    axes.axis("off")


def save_grid(path: str | os.PathLike[str], images: ArrayLike, columns: int | None = None,
              titles: Sequence[str] | None = None) -> None:
    """Draw a `grid` of images into the file `path`, the smallest element black and the largest white; NaN is black.

    titles: a line for each image, above it. The suffix of `path` chooses the format. Raises ImportError without
    matplotlib, OSError when it cannot be written, TypeError for elements that are not real numbers, ValueError for
    images of another shape or another number of titles.
    """
    count = len(_as_drawn(images))
    if isinstance(titles, str) or titles is not None and not hasattr(titles, "__len__"):
        raise TypeError(f"titles must be a list of a text for each image, got {shown(titles)}")
    if titles is not None and len(titles) != count:
        raise ValueError(f"titles must be as many as images, {count}, got {len(titles)}")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("plotting needs matplotlib: .venv/bin/pip install '.[plot]'") from error
    scaled = _scaled(np.asarray(images, np.float64))
    wide = _columns(count, columns)
    if titles is None:
        whole_image = grid(scaled, wide)
        figure = Figure(figsize=(SIDE * whole_image.shape[1] / 28, SIDE * whole_image.shape[0] / 28), dpi=100)
        _show(figure.add_axes((0, 0, 1, 1)), whole_image)
    else:
        rows = math.ceil(count / wide)
        figure = Figure(figsize=(2 * SIDE * wide, 2.6 * SIDE * rows), dpi=120, layout="constrained")
        for number, title in enumerate(titles):
            axes = figure.add_subplot(rows, wide, number + 1)
            _show(axes, grid(scaled[number:number + 1]))
            axes.set_title(title, fontsize=7)
    save(figure, path)


def _scaled(images: Array) -> Array:
    # the smallest finite element becomes 0, the largest 1
    finite = images[np.isfinite(images)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    found: Array = np.nan_to_num((images - low) / (high - low or 1), nan=0.0, posinf=1.0, neginf=0.0)
    return found


def wrong_predictions(model: Model, X: ArrayLike, y: ArrayLike, count: int = 25) -> tuple[Array, Array]:
    """(indices, predicted classes) of the samples that a classifier gets wrong, the most confident predictions first,
    at most `count` of them.

    y: class numbers (N,), or one-hot rows (N, C).

    Raises TypeError for labels that are not numbers, ValueError for others outside 0..C-1, for X and y of different
    lengths, for a model without an output for each class, and for outputs of NaN.
    """
    _check(model)
    outputs = model.predict(X)
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        raise ValueError(f"the model must have an output for each class, got outputs of shape {outputs.shape}: "
                         "compare model.predict(X) with y instead")
    labels = within("y", _true_classes(y)[0], outputs.shape[1])
    if len(labels) != len(outputs):
        raise ValueError(f"X and y must have the same length, got {len(outputs)} and {len(labels)}")
    chosen = _predicted(outputs, 0.5)[0]
    wrong = np.flatnonzero(chosen != labels)
    order = wrong[np.argsort(-outputs[wrong, chosen[wrong]], kind="stable")][:whole("count", count)]
    return order, chosen[order]


def gradient_norms(model: Model, X: ArrayLike, y: ArrayLike) -> dict[str, float]:
    """The Euclidean norm of the gradient of each layer's weights for a batch, by the layer's name in `summary`: in deep
    networks those of the first layers may vanish. The model is not changed."""
    _check(model)
    trial = copy.deepcopy(model)
    trial.trainable = True  # a frozen layer computes no gradients
    trial.backward(trial.forward(X), y, input_gradient=False)
    found = {}
    for name, layer in named(trial.layers):
        first = next(iter(parameters_of(layer)), None)
        gradient = gradients_of(layer)[first] if first is not None else None
        if gradient is not None:
            found[name] = float(np.sqrt(np.square(gradient, dtype=np.float64).sum()))
    return found

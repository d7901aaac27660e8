"""Images in a grid, the feature maps of a layer, and the images that a model takes for others."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array, as_array
from ..checks import shown, whole
from ..layers import forward, stand_in
from ..parameters import named
from ..training.history import save
from ..training.model import Model

SIDE = 0.56  # inches of 28 pixels: each becomes two by two


def feature_maps(model: Model, X: ArrayLike, layer: int | str = 0) -> Array:
    """The outputs (N, C, H, W) of a convolution for images X, as in a prediction: each channel is a feature map.

    layer: its number, or its name as in `summary`, such as "3.body.0". A layer of any other kind gives its outputs.

    Raises ValueError for a layer that the model does not have, RuntimeError if it is not finalized.
    """
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
    """Images (N, H, W), (N, 1, H, W) or (N, 3, H, W) side by side, as one image (rows H, columns W) or (..., 3), with
    a margin of one pixel. None takes as many columns as rows, or one more."""
    images = as_array(images, "images")
    if images.ndim == 4 and images.shape[1] in (1, 3):
        images = images.transpose(0, 2, 3, 1).squeeze(-1) if images.shape[1] == 1 else images.transpose(0, 2, 3, 1)
    if not len(images) or images.ndim not in (3, 4):
        raise ValueError("images must have shape (N, H, W), (N, 1, H, W) or (N, 3, H, W), with at least one image, got "
                         f"{images.shape}")
    count, height, width = images.shape[:3]
    columns = math.ceil(math.sqrt(count)) if columns is None else whole("columns", columns)
    rows = math.ceil(count / columns)
    low = images.min()
    found = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, *images.shape[3:]), low, images.dtype)
    for number, image in enumerate(images):
        top, left = number // columns * (height + 1), number % columns * (width + 1)
        found[top:top + height, left:left + width] = image
    return found


def save_grid(path: str | os.PathLike[str], images: ArrayLike, columns: int | None = None,
              titles: Sequence[str] | None = None) -> None:
    """Draw images as `grid` takes them into `path`, the smallest element black and the largest white.

    titles: a line for each image, above it. The suffix of `path` chooses the format. Raises ImportError without
    matplotlib, OSError when it cannot be written, ValueError for images of another shape or another number of titles.
    """
    images = as_array(images, "images")
    count = len(images)
    if titles is not None and len(titles) != count:
        raise ValueError(f"titles must be as many as images, {count}, got {len(titles)}")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("plotting needs matplotlib: .venv/bin/pip install '.[plot]'") from error
    whole_image = grid(images, columns)
    wide = math.ceil(math.sqrt(count)) if columns is None else columns
    low, high = float(whole_image.min()), float(whole_image.max())
    scaled = (whole_image - low) / (high - low or 1)
    if titles is None:
        figure = Figure(figsize=(SIDE * scaled.shape[1] / 28, SIDE * scaled.shape[0] / 28), dpi=100)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.imshow(scaled, cmap="gray", interpolation="nearest")
        axes.axis("off")
    else:
        figure = Figure(figsize=(2 * SIDE * wide, 2.6 * SIDE * math.ceil(count / wide)), dpi=120,
                        layout="constrained")
        for number, (each, title) in enumerate(zip(images, titles)):
            axes = figure.add_subplot(math.ceil(count / wide), wide, number + 1)
            axes.imshow(grid(each[None], 1), cmap="gray", interpolation="nearest", vmin=low, vmax=high or 1)
            axes.set_title(title, fontsize=7)
            axes.axis("off")
    save(figure, path)


def wrong_predictions(model: Model, X: ArrayLike, y: ArrayLike, count: int = 25) -> tuple[Array, Array]:
    """(indices, predicted classes) of the samples that a classifier is wrong about, the surest first, at most `count`
    of them."""
    outputs = model.predict(X)
    labels = as_array(y, "y")
    chosen = outputs.argmax(axis=-1)
    wrong = np.flatnonzero(chosen != labels)
    order = wrong[np.argsort(-outputs[wrong, chosen[wrong]], kind="stable")][:whole("count", count)]
    return order, chosen[order]


def gradient_norms(model: Model, X: ArrayLike, y: ArrayLike) -> dict[str, float]:
    """The Euclidean norm of the gradient of each layer's weights for a batch, by the layer's name in `summary`: in deep
    networks those of the first layers may vanish. The model is left as it was."""
    import copy

    from ..parameters import gradients_of, parameters_of
    trial = copy.deepcopy(model)
    trial.backward(trial.forward(X), y, input_gradient=False)
    found = {}
    for name, layer in named(trial.layers):
        first = next(iter(parameters_of(layer)), None)
        gradient = gradients_of(layer)[first] if first is not None else None
        if gradient is not None:
            found[name] = float(np.sqrt(np.square(gradient, dtype=np.float64).sum()))
    return found

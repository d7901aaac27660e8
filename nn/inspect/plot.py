"""Plots of a training: loss and accuracy by epoch, and the decisions in the plane or the fitted curve."""

import math
import os
from typing import Any

import numpy as np

from ..arrays import Array
from ..training.history import STYLES, draw, save
from ..training.model import Model
from .images import feature_maps, grid, wrong_predictions

WRONG, MAPPED = 25, 6  # images that are shown, and those whose feature maps are
CELLS = 300  # of the decision boundary's grid, each way


def plot(path: str | os.PathLike[str], model: Model, X: Array, y: Array, *, title: str = "") -> None:
    """Draw the history of `model` into `path`. For X (N, 2), draw beside it the decisions and the samples of classes
    y (N,), 0 and 1 for a model with one output; for X (N, 1), the outputs as curves and the samples y (N, C); for
    images X (N, C, H, W), those that the model gets wrong, and the feature maps of its first layer.

    The suffix of `path` chooses the format. Raises ImportError without matplotlib, OSError when it cannot be written.
    """
    beside: list[Any] = []
    if X.ndim == 4:
        beside = [_wrong, _maps]
    elif X.ndim == 2 and X.shape[1] in (1, 2):
        beside = [_curve if X.shape[1] == 1 else _decisions]
    figure, spare = draw(model.history, more=len(beside))
    if title:
        figure.suptitle(title)
    for axes, drawn in zip(spare, beside):
        drawn(axes, model, X, y)
    save(figure, path)


def _wrong(axes: Any, model: Model, X: Array, y: Array) -> None:
    indices, chosen = wrong_predictions(model, X, y, WRONG)
    _show(axes, X[indices] if len(indices) else X[:1], f"{len(indices)} wrong predictions, the most confident first")
    columns = math.ceil(math.sqrt(len(indices)))
    for number, (index, label) in enumerate(zip(indices, chosen)):
        row, column = divmod(number, columns)
        axes.text(column * (X.shape[3] + 1) + 1, row * (X.shape[2] + 1) + 6, f"{label}, not {y[index]}", fontsize=6,
                  color="white", backgroundcolor="#00000080")


def _maps(axes: Any, model: Model, X: Array, y: Array) -> None:
    maps = feature_maps(model, X[:MAPPED])
    if maps.ndim == 4:
        _show(axes, maps.reshape(-1, *maps.shape[2:]), "feature maps of the first layer", maps.shape[1])


def _show(axes: Any, images: Array, title: str, columns: int | None = None) -> None:
    axes.imshow(grid(images, columns), cmap="gray", interpolation="nearest")
    axes.set_title(title, loc="left")
    axes.axis("off")


def _curve(axes: Any, model: Model, X: Array, y: Array) -> None:
    across = np.linspace(X.min(), X.max(), CELLS, dtype=np.float32)[:, None]
    axes.plot(X, y, ".", color=STYLES["training"], markersize=5, alpha=0.4, label="training data")
    axes.plot(across, model.predict(across), color=STYLES["validation"], linewidth=1.8, label="outputs")
    axes.set_title("fit", loc="left")
    axes.set_xlabel("input")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _decisions(axes: Any, model: Model, X: Array, y: Array) -> None:
    from matplotlib import colormaps

    low, high = X.min(axis=0), X.max(axis=0)
    margin = 0.08 * (high - low).max() + 1e-6
    across, up = (np.linspace(low[i] - margin, high[i] + margin, CELLS, dtype=np.float32) for i in (0, 1))
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    outputs = model.predict(grid)
    binary = outputs.shape[1] == 1
    chosen = (outputs > 0.5 if binary else outputs.argmax(axis=1)).astype(int).reshape(CELLS, CELLS)
    colors = [colormaps["tab10"](k % 10) for k in range(int(max(y.max(), chosen.max())) + 1)]
    image = np.array(colors)[chosen][..., :3] * 0.35 + 0.65
    axes.imshow(image, origin="lower", extent=(across[0], across[-1], up[0], up[-1]), interpolation="bilinear")
    for k, color in enumerate(colors):
        axes.scatter(*X[y == k].T, s=14, color=color, edgecolors="white", linewidths=0.5)
    axes.set_title("decisions", loc="left")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)

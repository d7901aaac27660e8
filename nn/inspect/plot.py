"""Plots of a training: loss and accuracy by epoch, and the decisions in the plane or the fitted curve."""

import os
from typing import Any

import numpy as np

from ..arrays import Array
from ..training.history import STYLES, draw, save
from ..training.model import Model

CELLS = 300  # of the decision boundary's grid, each way


def plot(path: str | os.PathLike[str], model: Model, X: Array, y: Array, *, title: str = "") -> None:
    """Draw the history of `model` into `path`. For X (N, 2), draw beside it the decisions and the samples of classes
    y (N,), 0 and 1 for a model with one output; for X (N, 1), the outputs as curves and the samples y (N, C).

    The suffix of `path` chooses the format. Raises ImportError without matplotlib, OSError when it cannot be written.
    """
    beside = {1: _curve, 2: _decisions}.get(X.shape[1]) if X.ndim == 2 else None
    figure, spare = draw(model.history, more=int(beside is not None))
    if title:
        figure.suptitle(title)
    if beside is not None:
        beside(spare[0], model, X, y)
    save(figure, path)


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

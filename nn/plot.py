"""Pictures of a training: loss and accuracy by epoch, and for points in the plane where each class begins."""

import os
from typing import Any

import numpy as np

from .arrays import Array
from .history import draw
from .model import Model

CELLS = 300  # of the decision boundary's grid, each way


def plot(path: str | os.PathLike[str], model: Model, X: Array, y: Array, *, title: str = "") -> None:
    """Draw the history of `model` and, for X (N, 2), its decisions with the samples of classes y (N,), into `path`.

    The suffix of `path` chooses the format. Raises ImportError without matplotlib, OSError when it cannot be written.
    """
    planar = X.ndim == 2 and X.shape[1] == 2
    figure, spare = draw(model.history, more=int(planar))
    if title:
        figure.suptitle(title)
    if planar:
        _decisions(spare[0], model, X, y)
    figure.savefig(path)


def _decisions(axes: Any, model: Model, X: Array, y: Array) -> None:
    from matplotlib import colormaps

    low, high = X.min(axis=0), X.max(axis=0)
    margin = 0.08 * (high - low).max() + 1e-6
    across, up = (np.linspace(low[i] - margin, high[i] + margin, CELLS, dtype=np.float32) for i in (0, 1))
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    chosen = model.predict(grid).argmax(axis=1).reshape(CELLS, CELLS)
    colors = [colormaps["tab10"](k % 10) for k in range(int(max(y.max(), chosen.max())) + 1)]
    picture = np.array(colors)[chosen][..., :3] * 0.35 + 0.65
    axes.imshow(picture, origin="lower", extent=(across[0], across[-1], up[0], up[-1]), interpolation="bilinear")
    for k, color in enumerate(colors):
        axes.scatter(*X[y == k].T, s=14, color=color, edgecolors="white", linewidths=0.5)
    axes.set_title("decisions", loc="left")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)

"""Pictures of a training: loss and accuracy by epoch, where each class begins in the plane, and a fitted curve."""

import os
from typing import Any

import numpy as np

from .arrays import Array
from .model import Model

TRAINING, VALIDATION = "#1f77b4", "#ff7f0e"
CELLS = 300  # of the decision boundary's grid, each way


def plot(path: str | os.PathLike[str], model: Model, X: Array, y: Array, *, title: str = "") -> None:
    """Draw the history of `model` into `path`, and beside it for X (N, 2) its decisions with the samples of classes
    y (N,), 0 and 1 for a model with one output, and for X (N, 1) its outputs as curves with the samples y (N, C).

    The suffix of `path` chooses the format. Raises ImportError without matplotlib, OSError when it cannot be written.
    """
    from matplotlib.figure import Figure  # no pyplot: no window, no global state, 0.2 s less

    draw = {1: _curve, 2: _decisions}.get(X.shape[1]) if X.ndim == 2 else None
    figure = Figure(figsize=(13.5 if draw else 9, 4), layout="constrained", dpi=120)
    panels = figure.subplots(1, 3 if draw else 2)
    if title:
        figure.suptitle(title)
    for axes, name in zip(panels, ("loss", "accuracy")):
        for key, label, color in ((name, "training", TRAINING), (f"val_{name}", "validation", VALIDATION)):
            values = model.history[key]
            if values:
                axes.plot(range(1, len(values) + 1), values, label=f"{label}: {values[-1]:.3f}", color=color,
                          linewidth=1.3, marker="o" if len(values) <= 30 else None, markersize=3)
        axes.set(xlabel="epoch", title=name)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    panels[0].set_ylim(bottom=0)
    panels[1].set_ylim(top=1)
    if draw:
        draw(panels[2], model, X, y)
    figure.savefig(path)


def _curve(axes: Any, model: Model, X: Array, y: Array) -> None:
    across = np.linspace(X.min(), X.max(), CELLS, dtype=np.float32)[:, None]
    axes.plot(X, y, ".", color=TRAINING, markersize=5, alpha=0.4, label="training data")
    axes.plot(across, model.predict(across), color=VALIDATION, linewidth=1.8, label="outputs")
    axes.set(xlabel="input", title="fit")
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
    picture = np.array(colors)[chosen][..., :3] * 0.35 + 0.65
    axes.imshow(picture, origin="lower", extent=(across[0], across[-1], up[0], up[-1]), interpolation="bilinear")
    for k, color in enumerate(colors):
        axes.scatter(*X[y == k].T, s=14, color=color, edgecolors="white", linewidths=0.5)
    axes.set(title="decisions", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)

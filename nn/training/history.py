"""The figures of a training by epoch, and their curves."""

import io
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..files import replacing

LOGARITHMIC = 1000  # largest over smallest number, above which an axis is logarithmic
FEW = 30  # epochs up to which each has a dot
STYLES = {"training": "#1f77b4", "validation": "#ff7f0e", "": "#555555"}
WIDTHS = {"training": 2.4, "validation": 1.2, "": 1.2}  # so that both are visible where they overlap


def numbers(name: Any, values: Any) -> list[float]:
    """What stands under a name in a history, in which a user may have put anything, as floats. Raises TypeError for
    what are no numbers."""
    try:
        return list(map(float, values.tolist() if hasattr(values, "tolist") else values))
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"history[{str(name)[:40]!r}] must be a list of numbers, got {str(values)[:40]}") from error


def note(history: dict[str, list[float]], figures: dict[str, list[float]]) -> None:
    """Append figures of epochs to the lists of their names. Raises TypeError as `numbers`."""
    for name in figures:  # its user may have emptied it, or put in something else
        if not isinstance(kept := history.setdefault(name, []), list):
            history[name] = numbers(name, kept)
    # by one call of no Python code: Ctrl-C leaves lists of the same length
    list(map(list.extend, map(history.__getitem__, figures), figures.values()))


class History(dict[str, list[float]]):
    """A dict of lists with one number per epoch, such as `Model.history`; a notebook shows its curves.

    It draws loss, accuracy, val_loss, val_accuracy and, if it changes, learning_rate.
    """

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the figures by epoch and return the matplotlib Figure; write it to `path` if given.

        The suffix of `path` chooses the format. The legends show the last values. A list shorter than the others also
        starts at epoch 1. An axis of losses or rates that spans more than a factor of 1000 is logarithmic.

        Raises ImportError without matplotlib, ValueError for an empty history or an unknown suffix, OSError when the
        file cannot be written.
        """
        figure, _ = draw(self)
        if path is not None:
            save(figure, path)
        return figure

    def _repr_png_(self) -> bytes | None:
        # what a notebook shows; None leaves it to repr
        if not _panels(self):
            return None
        try:
            figure = self.plot()
        except ImportError:
            return None
        return _encoded(figure, "png")


def save(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a figure to `path`, whose suffix chooses the format, png without one. A reader sees the old file or the
    new one."""
    path = os.fsdecode(path)
    suffix = os.path.splitext(path)[1]
    encoded = _encoded(figure, suffix[1:] or "png")  # takes a second: when Ctrl-C ends it, the old file stays
    with replacing(path if suffix else f"{path}.png") as file:
        file.write(encoded)


@np.errstate(all="ignore")  # matplotlib's axes overflow
def _encoded(figure: Any, suffix: str) -> bytes:
    encoded = io.BytesIO()
    figure.savefig(encoded, format=suffix)
    return encoded.getvalue()


@np.errstate(all="ignore")
def draw(history: Mapping[str, Sequence[float]], more: int = 0) -> tuple[Any, list[Any]]:
    """A matplotlib Figure with a panel for each kind of figure in `history`, and `more` empty panels, which it returns,
    too. Raises as `History.plot`."""
    panels = _panels(history)
    if not panels:
        raise ValueError("the history is empty: train the model first")
    try:
        from matplotlib.figure import Figure  # no pyplot: no window, no global state, 0.2 s less
    except ImportError as error:
        raise ImportError("plotting needs matplotlib: .venv/bin/pip install '.[plot]'") from error
    count = len(panels) + more
    rows, columns = (2, 2) if count == 4 else (1, count)
    figure = Figure(figsize=(4.5 * columns, 4 * rows), layout="constrained", dpi=120)
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for panel, (name, curves) in zip(axes, panels.items()):
        _draw(panel, name, curves)
    return figure, axes[len(panels):]


def _panels(history: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Sequence[float]]]:
    # by title the curves, by label
    panels = {}
    for name in ("loss", "accuracy"):
        curves = {"training": history.get(name, ()), "validation": history.get(f"val_{name}", ())}
        panels[name] = {label: values for label, values in curves.items() if values}
    rates = history.get("learning_rate", ())
    if len(set(rates)) > 1:
        panels["learning rate"] = {"": rates}
    return {name: curves for name, curves in panels.items() if curves}


def _draw(axes: Any, name: str, curves: dict[str, Sequence[float]]) -> None:
    from matplotlib.ticker import MaxNLocator

    for label, values in curves.items():
        axes.plot(range(1, len(values) + 1), values, label=f"{label} {values[-1]:.4g}".strip(), color=STYLES[label],
                  linewidth=WIDTHS[label], marker="o" if len(values) <= FEW else None, markersize=3)
    numbers = [value for values in curves.values() for value in values if math.isfinite(value)]
    if name == "accuracy":
        low, high = min([0.9, *numbers]), max([1.0, *numbers])
        axes.set_ylim(low - 0.03 * (high - low), high + 0.03 * (high - low))
    elif numbers and min(numbers) > 0 and max(numbers) / LOGARITHMIC > min(numbers):
        axes.set_yscale("log")
    elif numbers and min(numbers) >= 0:
        axes.set_ylim(0, 1.05 * max(numbers) or 1)
    if axes.get_yscale() == "linear":
        axes.yaxis.set_major_formatter("{x:.6g}")  # no power of ten above the axis, where the legend stands
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=(1, 2, 5, 10), integer=True, min_n_ticks=1))
    axes.set_xlim(0.5, max(map(len, curves.values())) + 0.5)
    axes.set_xlabel("epoch")
    axes.set_title(name, loc="left", pad=20)  # above the legend
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    # below the title, where it hides no curve
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderaxespad=0.2,
                handlelength=1.2, columnspacing=1.2, borderpad=0.1)

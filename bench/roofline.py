"""A plot of a report: GFLOP/s against flops per byte, under the machine's measured peak and copy bandwidths."""

import importlib.util
import math
from importlib import import_module
from pathlib import Path
from typing import Any

from ..nn.training.history import save
from .figures import NAMES, Failure, Report, Row, bandwidth, contenders, seconds, thread_counts, threads_text

SUFFIXES = (".png", ".svg", ".pdf")
# Okabe and Ito's colours, told apart by the colour-blind too
LOOKS = {"numpy": ("#0072B2", "s"), "torch": ("#D55E00", "^"), "jax": ("#009E73", "v"), "sklearn": ("#CC79A7", "D"),
         "nnjit": ("#000000", "o")}
NETWORKS = ("step", "epoch", "evaluate", "predict")
STEP, PRODUCT, OTHER = "training steps and predictions", "products and dense layers", "all other kernels"
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def check(path: str) -> None:
    """Raise unless `draw` can write there."""
    if importlib.util.find_spec("matplotlib") is None:
        raise Failure("plotting needs matplotlib: .venv/bin/pip install '.[plot]'", 2)
    if Path(path).suffix.lower() not in SUFFIXES:
        raise Failure(f"the plot's name must end in {' or '.join(SUFFIXES)}, got {path}", 2)


def kind(row: Row) -> str:
    """What a row's group tells of it."""
    first = row["group"].split()[0]
    if first in NETWORKS:
        return STEP
    return PRODUCT if first.split(".")[0] in ("matmul", "dense", "product", "mixed") else OTHER


def points(report: Report, threads: int, contender: str, what: str) -> tuple[list[float], list[float]]:
    """Flops per byte, and GFLOP/s, of a contender's rows of one kind."""
    rows = [row for row in report["rows"] if contender in row["seconds"] and kind(row) == what]
    return ([row["flops"] / row["bytes"] for row in rows],
            [row["flops"] / seconds(row, contender, threads) / 1e9 for row in rows])


def bandwidths(report: Report, threads: int) -> list[tuple[str, float]]:
    """The copy bandwidth in GB/s of each cache, half full and as far as it was measured, and of the memory."""
    copy = report["limits"][str(threads)]["copy"]
    sizes = {name: int(size[:-1]) * UNITS[size[-1]] / 2 for name, size in report["machine"]["caches"].items()
             if size[:-1].isdigit() and size[-1] in UNITS}
    return [*((name, bandwidth(copy, size)) for name, size in sizes.items() if size < copy[-1][0]),
            ("memory", copy[-1][1])]


def draw(report: Report, path: str) -> None:
    """Write the plot; the suffix chooses the format."""
    save(plot(report), path)


def plot(report: Report) -> Any:
    """The matplotlib figure, a panel for each number of threads."""
    counts = thread_counts(report)
    figure = import_module("matplotlib.figure").Figure(figsize=(10 * len(counts), 9), layout="constrained", dpi=110)
    panels = figure.subplots(1, len(counts), sharex=True, sharey=True, squeeze=False)[0]
    for axes, threads in zip(panels, counts):
        _points(axes, report, threads)
        axes.set(xscale="log", yscale="log", title=threads_text(threads), xlabel="flops per byte")
    panels[0].set_ylabel("GFLOP/s")
    low, high = panels[0].get_xlim()
    for axes, threads in zip(panels, counts):
        _roofs(axes, report, threads, low, high)
    _legend(figure, panels[0], report)
    machine = report["machine"]
    figure.suptitle(f"{machine['processor']}, vector registers of {machine['vector registers']}")
    return figure


def _points(axes: Any, report: Report, threads: int) -> None:
    for contender in contenders(report):
        for what in (OTHER, PRODUCT, STEP):
            axes.scatter(*points(report, threads, contender, what), **_look(contender, what))
    axes.grid(alpha=0.2, which="both")
    axes.spines[["top", "right"]].set_visible(False)


def _look(contender: str, what: str) -> dict[str, Any]:
    """Colour and marker tell the contender; filling and size the kind of row."""
    color, marker = LOOKS[contender]
    sizes = {STEP: 110, PRODUCT: 28, OTHER: 28}
    return {"marker": marker, "s": sizes[what], "edgecolors": color, "facecolors": color if what == PRODUCT else "none",
            "linewidths": 2 if what == STEP else 1, "alpha": 0.75, "zorder": 3}


def _roofs(axes: Any, report: Report, threads: int, low: float, high: float) -> None:
    peaks = report["limits"][str(threads)]["gflops"]
    style = {"color": "0.45", "linewidth": 1.2, "zorder": 1}
    note = {"color": "0.3", "fontsize": 9, "va": "bottom", "zorder": 2,
            "bbox": {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}}
    for name, dashes in (("f32", "-"), ("f64", "--")):
        axes.plot([low, high], [peaks[name]] * 2, linestyle=dashes, **style)
        axes.text(low * 1.05, peaks[name] * 1.05, f"multiply-adds {name}, {peaks[name]:.0f} GFLOP/s", **note)
    for name, rate in bandwidths(report, threads):
        axes.plot([low, peaks["f32"] / rate], [low * rate, peaks["f32"]], linestyle="-" if name == "memory" else ":",
                  **style)
        level = peaks["f64"] / 4  # names stand side by side, above most points
        axes.text(level / rate, level * 1.1, f"{name}, {rate:.0f} GB/s", rotation=math.degrees(math.atan(rate)),
                  rotation_mode="anchor", transform_rotates_text=True, **note)  # the angle of y = rate x
    axes.set_xlim(low, high)


def _legend(figure: Any, axes: Any, report: Report) -> None:
    shown = [axes.scatter([], [], label=NAMES[name], **_look(name, PRODUCT)) for name in contenders(report)]
    for what in (STEP, PRODUCT, OTHER):
        shown.append(axes.scatter([], [], label=what, **{**_look("nnjit", what), "edgecolors": "0.4",
                                                         "facecolors": "0.4" if what == PRODUCT else "none"}))
    figure.legend(handles=shown, loc="outside lower center", ncols=len(shown), frameon=False)

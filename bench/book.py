"""The book's figures, on the kernels, on NumPy and by the book's classes: `python -m nnjit.bench.book`, in a clone.

Trains all rows of book_rows.py, one process at a time, and writes docs/figures.md, figures and times beside the
book's, and bench/book_figures.json, what the kernels gave, to the bit. Takes a quarter of an hour on two cores.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from ..nn.files import write_text
from .book_programs import CHANGE, Figures
from .book_rows import BAND, BY_NAME, FIRST, MEDIANS, ROWS, Row
from .book_runs import ROUNDS, gain, in_turns, trained
from .figures import Failure, threads_text
from .report import check_output
from .running import say

PAGE, FIGURES = "docs/figures.md", "bench/book_figures.json"
CHANGES = 5  # trainings from changed weights
PATHS = ("numpy", "numba")
WHAT = {"alone": "without start-up", "whole": "with start-up"}
GOALS = {10, 14, 16, 17}, {"alone": 4, "whole": 3}  # chapters, and how many times as fast as the book's classes

INTRODUCTION = """\
# The book's figures

The trainings of "Neural Networks from Scratch in Python" whose results are published, run by the book's programs with
`from nnjit.nn.nnfs import *` in place of its classes. All run under `nnfs.init()` with its seed 0, on the data of
`nnfs.datasets`: unless a row says otherwise, 300 points on three arms, 2-64-3, 10001 epochs of all samples at once.
`python -m nnjit.bench.book` in a clone writes this page.

## Chaos

Changing the initial weights by one part in 10^7, about the last bit of a float32, changes the final figures; the last
column of the table shows their range. In most rows the training amplifies any rounding, plain SGD at its rate of 1 no
less than Adam. So two correct programs that add in a different order, or two builds of NumPy, end as far apart as one
program started from changed weights. Except for the sine with one hidden layer, the digits of a last epoch cannot tell
a correct program from a wrong one. RMSprop and Adagrad start with steps of the same length for every gradient, however
small, so the rounding of gradients near 0 shows in the second epoch.

So the tests require:

- the book's first prints, to 1e-6;
- the first {first} epochs in float64, on the kernels, on the NumPy path and by the book's classes: equal to 1e-9;
- final figures within {accuracy} (accuracy) and {loss} (loss) of those of the book and of a NumPy run; to three
  digits for the sine with one hidden layer; around the median of the book's classes' runs where these vary more;
- our own final figures to the bit. Unlike the NumPy path's, they do not depend on machine, threads or run. They are in
  [bench/book_figures.json](../bench/book_figures.json), with a digest of the data and initial weights.
"""

LAST = """\
Accuracy / loss of the last epoch, before its update; the loss includes penalties. NumPy run: the book's own code on one
build of NumPy. NumPy path: the same program as the kernels', after `nn.use("numpy")`, without the checks of arguments.
Changed: the range on the kernels for {changes} changes of the initial weights, each multiplied by 1 + {change:g} or
1 - {change:g}. -: not published, or not run because it takes minutes.
"""
BESIDE_BOOK = """\
Trainings written by hand, as in chapters 10 to 17, by the book's classes in plain NumPy
([bench/book_classes.py](../bench/book_classes.py)) and by `nnjit.nn.nnfs` on the kernels. Each runs on one thread in a
process of its own, {rounds} times in turns; times are medians. As in the book, `nnfs.init()` has `np.dot` compute in
float64. with start-up: the whole process, with imports, data, and the loading of compiled kernels. ratio: the time of
the book's classes over ours, the median of each turn's. ~: extrapolated from the first epochs.
"""
SECONDS = """\
The same on the two paths of `nnjit.nn`, without imports, compilation and data; the two paths alternate. ratio: the
NumPy path's time over the kernels'. Rows by `Model` are programs from chapter 18 on: `Model` records a step and repeats
it. The other rows call each layer from Python, which takes longer than the arithmetic of 64 neurons.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and write both files. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m nnjit.bench.book", description=__doc__.split("\n\n")[1],
                                     allow_abbrev=False)
    parser.parse_args(argv)
    try:
        for path in (PAGE, FIGURES):
            check_output(path)
        from .machine import describe
        machine = describe()
        results = {row.name: _measure(row, machine["threads"]) for row in ROWS}
    except Failure as failure:
        print(f"nnjit: error: {failure}", file=sys.stderr)
        return failure.code
    except KeyboardInterrupt:
        print("nnjit: error: interrupted", file=sys.stderr)
        return 130
    write_text(FIGURES, exact(results))
    write_text(PAGE, page(results, machine))
    return 0


# ---- measuring


def _measure(row: Row, threads: int) -> dict[str, Any]:
    """Both paths' figures and whole seconds by number of threads, and the figures from changed weights."""
    begin = time.perf_counter()
    result: dict[str, Any] = {"seconds": {}, "changed": []}
    for count in sorted({1, threads}):
        requests = [_request(row, path, again=count > 1) for path in PATHS]
        # with several threads in processes of their own: idle threads of one pool spin in the other's way
        found = trained(requests, 1) if count == 1 else [trained([request], count)[0] for request in requests]
        for path, request, each in zip(PATHS, requests, found):
            whole = "epochs" not in request
            scale = 1 if whole else row.epochs / request["epochs"]
            result["seconds"][path, count] = each["seconds"] * scale, whole
            if whole and count == 1:
                result[path] = each
            elif whole and path == "numba" and each["last"] != result[path]["last"]:
                raise Failure(f"{row.name}: {each['last']} with {threads_text(count)}, {result[path]['last']} with one")
    if row.batch_size is None and not row.timed:
        requests = [{"row": row.name, "by": "numba", "change": seed} for seed in range(CHANGES)]
        result["changed"] = [each["last"] for each in trained(requests, 1)]
    if not row.model:
        result["in turns"] = in_turns(row)
    say(f"{row.name}: {time.perf_counter() - begin:.0f} s")
    return result


def _request(row: Row, path: str, again: bool) -> dict[str, Any]:
    request: dict[str, Any] = {"row": row.name, "by": path, "warm": True}
    if again and row.timed or path == "numpy" and row.long:
        request["epochs"] = row.timed
    return request


# ---- files


def exact(results: dict[str, Any]) -> str:
    """What the kernels gave, to the bit, as JSON with a row a line."""
    lines = []
    for name, result in results.items():
        found = result["numba"]
        entry = {"start": found["start"], **_hex(found["last"])}
        if found["validation"]:
            entry["validation"] = _hex(found["validation"])
        lines.append(f" {json.dumps(name)}: {json.dumps(entry)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _hex(found: Sequence[float]) -> dict[str, str]:
    return {name: value.hex() for name, value in Figures(*found)._asdict().items()}


def page(results: dict[str, Any], machine: dict[str, Any]) -> str:
    """The Markdown page."""
    found = [(BY_NAME[name], result) for name, result in results.items()]
    parts = [
        INTRODUCTION.format(first=FIRST, accuracy=BAND[0], loss=BAND[1]),
        "## The last epoch",
        LAST.format(changes=CHANGES, change=CHANGE),
        _table(["training", "chapter", "book", "NumPy run", "NumPy path", "kernels", "changed"], [
            [row.title, str(row.chapter), _pair(row.published), _pair(row.numpy_run), _of(result, "numpy", "last"),
             _of(result, "numba", "last"), _range(result["changed"])] for row, result in found]),
        "On validation data, after the last update:",
        _table(["training", "book", "NumPy run", "NumPy path", "kernels"], [
            [row.title, _pair(row.published_validation), _pair(row.numpy_run_validation),
             _of(result, "numpy", "validation"), _of(result, "numba", "validation")]
            for row, result in found if row.published_validation]),
        *_strays(found),
        "## Seconds",
        BESIDE_BOOK.format(rounds=ROUNDS),
        _times_beside_book(found),
        SECONDS,
        _times(found, machine["threads"]),
        *_goals(results, machine["threads"]),
        f"{machine['processor']}, {threads_text(machine['threads'])}, "
        + ", ".join(f"{name} {version}" for name, version in machine["versions"].items()) + ".",
    ]
    return "\n\n".join(map(str.strip, parts)) + "\n"


def _strays(found: list[tuple[Row, dict[str, Any]]]) -> list[str]:
    """What lies outside its band on the kernels."""
    lines = []
    for row, result in found:
        for which in ("last", "validation") if row.published_validation else ("last",):
            figures, validation = result["numba"][which], which == "validation"
            if row.misses(figures, validation=validation):
                line = f"- {row.title}, {'validation' if validation else 'last epoch'}: {_pair(figures)}"
                if (row.name, validation) in MEDIANS:
                    line += f"; runs of the book's classes: {_pair(MEDIANS[row.name, validation])}"
                lines.append(line)
    head = "Outside the band on the kernels, beside the median of runs that differ by chance only:"
    return [head, "\n".join(lines)] if lines else []


def _goals(results: dict[str, Any], threads: int) -> list[str]:
    lines = []
    for name, what, goal, text in (("adam-model", "the spiral by `Model`", 4, "a quarter"),
                                   ("fashion-mnist", "Fashion-MNIST", 2, "half")):
        ratios = {count: _ratio(results[name], count) for count in sorted({1, threads})}
        shares = [f"{1 / ratio:.2f} of it with {threads_text(count)}" for count, ratio in ratios.items()]
        lines.append(f"- Goal: {what} in at most {text} of the NumPy path's time: "
                     f"{'reached' if min(ratios.values()) >= goal else 'not reached'}, {' and '.join(shares)}")
    chapters, goals = GOALS
    judged = [row for row in map(BY_NAME.__getitem__, results) if row.chapter in chapters]
    for what, goal in goals.items():
        gains = {row.title: gain(results[row.name]["in turns"], what) for row in judged}
        least, most = min(gains, key=gains.__getitem__), max(gains, key=gains.__getitem__)
        *first, last = map(str, sorted(chapters))
        lines.append(f"- Goal: chapters {', '.join(first)} and {last} by hand at least {goal} times as fast as by the "
                     f"book's classes, {WHAT[what]}: {'reached' if gains[least] >= goal else 'not reached'}, "
                     f"{gains[least]:.2f} ({least}) to {gains[most]:.2f} times ({most})")
    return ["\n".join(lines)]


def _times_beside_book(found: list[tuple[Row, dict[str, Any]]]) -> str:
    lines = []
    for row, result in found:
        if row.model:
            continue
        cells = []
        for what in WHAT:
            known = what == "alone" or row.timed is None
            times = [median(result["in turns"][by][what]) for by in ("book", "numba")]
            cells += [_digits(each, row.timed is None) for each in times] if known else ["-", "-"]
            cells.append(f"{gain(result['in turns'], what):.2f}" if known else "-")
        lines.append([row.title, str(row.chapter), *cells])
    return _table(["training", "chapter", "book's classes", "kernels", "ratio", "book's classes, with start-up",
                   "kernels", "ratio"], lines)


def _times(found: list[tuple[Row, dict[str, Any]]], threads: int) -> str:
    counts = sorted({1, threads})
    head = ["training"]
    for count in counts:
        head += [f"NumPy path, {threads_text(count)}", "kernels", "ratio"]
    return _table(head, [[row.title, *(cell for count in counts for cell in (
        _seconds(result, "numpy", count), _seconds(result, "numba", count), f"{_ratio(result, count):.1f}"))]
        for row, result in found])


def _seconds(result: dict[str, Any], path: str, count: int) -> str:
    return _digits(*result["seconds"][path, count])


def _digits(seconds: float, whole: bool) -> str:
    """Two digits or more; ~ where only a part was run."""
    return f"{'' if whole else '~'}{seconds:.{max(0, 1 - math.floor(math.log10(seconds)))}f}"


def _ratio(result: dict[str, Any], count: int) -> float:
    ratio: float = result["seconds"]["numpy", count][0] / result["seconds"]["numba", count][0]
    return ratio


def _of(result: dict[str, Any], path: str, which: str) -> str:
    return _pair(result[path][which] if path in result else None)


def _pair(figures: Sequence[float] | None) -> str:
    return "-" if figures is None else " / ".join(f"{value:.3f}" for value in figures)


def _range(changed: list[Sequence[float]]) -> str:
    return " / ".join(f"{min(values):.3f} to {max(values):.3f}" for values in zip(*changed)) or "-"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    sys.exit(main())

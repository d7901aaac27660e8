"""What a call costs: every public function of the kernels on tiny arrays, beside NumPy and PyTorch.

    python -m nnjit.bench.calls                 the table, PyTorch included where it is installed
    python -m nnjit.bench.calls matmul relu     of some operations

All take turns in one process, on one thread. The nest is the compiled loops of a call alone, made again many times by
`kernels.Replay`; the overhead of a call is what it takes longer than that. NumPy is its own function where one does it
all, else the twin.
"""

import argparse
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from timeit import Timer
from typing import Any

import numpy as np

from .. import kernels
from ..kernels import reference
from . import contract, peers
from .figures import NAMES, Report, Row, microseconds

OPERATIONS = contract.operations()
TINY = {1: (4,), 2: (4, 4), 3: (4, 4, 4), 4: (4, 4, 4, 4), 5: (1, 1, 4, 4, 1)}  # by the number of dimensions
MORE = (("relu", "forward", (128, 10)),)
GOALS = {"matmul.forward 4x4x4": 0.25e-6, "relu.forward 128x10": 0.4e-6}  # of the whole call, in seconds
OUT = " out="
NEST = "nest"
MANY = 100  # calls of a nest in a row
WARM = 64  # calls before the first turn
ROUNDS, SECONDS = 15, 0.0003  # turns, and how long each lasts
QUICK_ROUNDS, QUICK_SECONDS = 3, 0.0001
# where one function of NumPy does it all, with what follows the twin's arguments
NUMPY: dict[tuple[str, str], tuple[Callable[..., Any], tuple[Any, ...]]] = {
    ("add", "forward"): (np.add, ()), ("multiply", "forward"): (np.multiply, ()), ("tanh", "forward"): (np.tanh, ()),
    ("relu", "forward"): (np.maximum, (0,)), ("matmul", "forward"): (np.dot, ()),
}


# ---- measuring


def functions(wanted: Sequence[str] = ()) -> list[tuple[str, str, tuple[int, ...]]]:
    """Operation, function and shape of each call: all public functions that have a twin, then MORE."""
    found = []
    for op in OPERATIONS:
        twin = contract.twins(op)[1]
        verbs = [name for name, value in vars(twin).items() if inspect.isfunction(value)
                 and value.__module__ == twin.__name__ and name != "inputs" and not name.startswith("_")]
        found += [(op, verb, TINY[contract.dimensions(op)]) for verb in verbs]
    return [each for each in (*found, *MORE) if not wanted or each[0] in wanted]


def name(op: str, verb: str, shape: tuple[int, ...]) -> str:
    return f"{op}.{verb} {'x'.join(map(str, shape))}"


def timers(op: str, verb: str, shape: tuple[int, ...], torch: bool) -> dict[str, tuple[Timer, int]]:
    """What takes turns, and how many calls each makes: contenders, the same with out= where there is one, the nest."""
    inputs = getattr(reference, op).inputs(np.random.default_rng(0), shape, np.float32)
    _, args, options = next(case for case in inputs if case[0] == verb)
    kernel, twin = (getattr(module, verb) for module in contract.twins(op))
    result = kernel(*args, **options)
    outs: list[dict[str, Any]] = [{}]
    if "out" in inspect.signature(kernel).parameters:
        outs.append({"out": result})
    found = {}
    function, more = NUMPY.get((op, verb), (twin, ()))
    for out in outs:
        found["numpy" + OUT * bool(out)] = _timer(function, (*args, *more), options | out), 1
    if torch:
        for out in outs:
            timer = _in_torch(op, verb, args, options, bool(out))
            if timer is not None:
                found["torch" + OUT * bool(out)] = timer, 1
    for out in outs:
        found["nnjit" + OUT * bool(out)] = _timer(kernel, args, options | out), 1
    with kernels.capture() as calls:
        kernel(*args, **options)
    if calls:
        found[NEST] = Timer("run()", globals={"run": kernels.Replay(calls * MANY).run}), MANY
    return found


def _timer(function: Callable[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Timer:
    # the call written out: a lambda around it would cost as much as some of the calls
    given = [f"a{number}" for number in range(len(args))]
    written = ", ".join([*given, *(f"{each}={each}" for each in options)])
    return Timer(f"function({written})", globals={"function": function, **dict(zip(given, args)), **options})


def _in_torch(op: str, verb: str, args: Sequence[Any], options: dict[str, Any], out: bool) -> Timer | None:
    import torch
    found = peers.functions("torch", op)
    key, more = (verb, options) if verb == "step" else peers.named(op, verb, tuple(args), options)
    function = found.get(key + OUT * out)
    if function is None:
        return None
    tensors = [torch.from_numpy(x.copy()) for x in args]
    if verb == "step":
        return Timer("advance()", globals={"advance": function(*tensors, **more)})
    if out:
        tensors.append(torch.empty_like(tensors[0]))
    return _timer(function, tensors, more)


def in_turns(given: dict[str, tuple[Timer, int]], rounds: int, seconds: float) -> dict[str, float]:
    """Seconds of each call, the median of the turns."""
    counts: dict[str, int] = {}
    times: dict[str, list[float]] = {}
    for key, (timer, calls) in given.items():
        timer.timeit(max(1, WARM // calls))  # compiles, and lets the compiled gate learn the call
        counts[key] = max(1, int(seconds / max(timer.timeit(3) / 3, 1e-9)))
    for _ in range(rounds):
        for key, (timer, calls) in given.items():
            times.setdefault(key, []).append(timer.timeit(counts[key]) / (counts[key] * calls))
    return {key: median(found) for key, found in times.items()}


def measure(wanted: Sequence[str], torch: bool, quick: bool) -> Iterator[dict[str, Any]]:
    """{"call": name, "seconds": {contender: seconds}} of each call."""
    rounds, seconds = (QUICK_ROUNDS, QUICK_SECONDS) if quick else (ROUNDS, SECONDS)
    before = kernels.get_num_threads()
    kernels.set_num_threads(1)
    try:
        # updates in place go on until their numbers are large, of which NumPy warns
        with np.errstate(all="ignore"), peers.held("torch" if torch else "numpy", 1):
            for each in functions(wanted):
                yield {"call": name(*each), "seconds": in_turns(timers(*each, torch), rounds, seconds)}
    finally:
        kernels.set_num_threads(before)


# ---- figures of a report


def calls_of(report: Report) -> list[Row]:
    """The calls that a report has; older ones have none."""
    found: list[Row] = report.get("calls", [])
    return found


def seconds(row: Row, key: str) -> float | None:
    """The median of the report's rounds."""
    return median(row["seconds"][key]) if key in row["seconds"] else None


def overhead(row: Row, key: str) -> float | None:
    """What a call of ours, "nnjit" or "nnjit out=", takes longer than its nest: the median of the rounds."""
    if key not in row["seconds"] or NEST not in row["seconds"]:
        return None
    return median(whole - alone for whole, alone in zip(row["seconds"][key], row["seconds"][NEST], strict=True))


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """The head and the cells of a table of calls."""
    contenders = [each for each in ("numpy", "torch", "nnjit") if any(each in row["seconds"] for row in rows)]
    head, cells = ["call"], [[row["call"]] for row in rows]
    for out in ("", OUT):
        head += [*(NAMES[each] + out for each in contenders), "overhead" + out]
        for row, line in zip(rows, cells):
            line += [_cell(seconds(row, each + out)) for each in contenders] + [_cell(overhead(row, "nnjit" + out))]
    for row, line in zip(rows, cells):
        line.append(_cell(seconds(row, NEST)))
    return [*head, NEST], cells


def _cell(value: float | None) -> str:
    return "-" if value is None else microseconds(value)


def summary(report: Report) -> list[str]:
    """The overhead of calls in the median, and the goals of some."""
    rows = calls_of(report)
    if not rows:
        return []
    parts = []
    for out, text in (("", "without out="), (OUT, "with it")):
        known = [value for row in rows if (value := overhead(row, "nnjit" + out)) is not None]
        if known:
            parts.append(f"{microseconds(median(known))} us {text} ({len(known)} calls)")
    lines = [f"calls on tiny arrays, 1 thread: overhead in the median {' and '.join(parts)}"] if parts else []
    for row in rows:
        if row["call"] in GOALS:
            goal = GOALS[row["call"]]
            others = [f"{NAMES[each]} {microseconds(value)}" for each in ("numpy", "torch")
                      if (value := seconds(row, each)) is not None]
            ours, given = seconds(row, "nnjit"), seconds(row, "nnjit" + OUT)
            assert ours is not None  # stored.py checks it
            lines.append(f"{row['call']} takes {microseconds(ours)} us"
                         + (f", {microseconds(given)} with out=" if given is not None else "")
                         + f" ({', '.join(others)}); goal: {microseconds(goal)}, "
                         + ("reached" if ours <= goal else "not reached"))
    return lines


def lines(head: list[str], cells: list[list[str]]) -> list[str]:
    """A table for a terminal."""
    widths = [max(map(len, column)) for column in zip(head, *cells)]
    return ["  ".join([f"{line[0]:{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(line[1:], widths[1:]))])
            for line in (head, *cells)]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table, or JSON for the report. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m nnjit.bench.calls", description=__doc__.splitlines()[0],
                                     allow_abbrev=False)
    parser.add_argument("ops", nargs="*", metavar="OP", help="operations (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--torch", action="store_true", help="with --json: PyTorch too")
    parser.add_argument("--quick", action="store_true", help="rough figures")
    options = parser.parse_args(argv)
    unknown = [op for op in options.ops if op not in OPERATIONS]
    if unknown:
        print(f"nnjit: error: there is no operation {unknown[0]!r}: choose from {', '.join(OPERATIONS)}",
              file=sys.stderr)
        return 2
    torch = options.torch if options.json else "torch" in peers.installed()
    found = [*measure(options.ops, torch, options.quick)]
    if options.json:
        print(json.dumps({"calls": found}))
        return 0
    rows = [{"call": each["call"], "seconds": {key: [value] for key, value in each["seconds"].items()}}
            for each in found]
    print("\n".join(["microseconds, 1 thread", *lines(*table(rows)), *summary({"calls": rows})]))
    return 0


if __name__ == "__main__":
    sys.exit(main())

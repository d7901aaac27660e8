"""The report of all benchmarks: `nnjit bench`, or `python -m nnjit.bench.report` with a few more options.

NumPy and nnjit run in child processes, one for each number of threads, in turns and several rounds; a time is the
median over the rounds of pytest-benchmark's medians. A JSON report keeps each round's median; all else (ratios, rates,
shares of the machine's limits, tables) is computed from it.

    python -m nnjit.bench.report softmax matmul                 some operations only
    python -m nnjit.bench.report --from FILE.json               print it again, or --markdown FILE.md
    python -m nnjit.bench.report --from FILE.json --readme README.md      rewrite the README's table
"""

import argparse
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

HERE = Path(__file__).parent
CONTENDERS = ("numpy", "nnjit")
NAMES = {"numpy": "NumPy", "nnjit": "nnjit"}
ROUNDS = 5
BUDGET = 270  # seconds: no further round where it would pass this
OPTIONS = ["--benchmark-max-time=0.03", "--benchmark-min-time=0.0002", "--benchmark-min-rounds=3"]
QUICK = ["--benchmark-max-time=0.0005", "--benchmark-min-time=0.0001", "--benchmark-min-rounds=1"]
NOISE = 0.25  # a spread that an idle machine stays below in all but a few rows
MACHINE_SECONDS, MACHINE_SECONDS_QUICK = 0.1, 0.01  # for each limit
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
NEEDED = {"pytest": "pytest", "pytest_benchmark": "pytest-benchmark", "threadpoolctl": "threadpoolctl"}
README_ROWS = (
    "step 2-64-3 batch 300",
    "step 64-64-64-10 batch 32",
    "step 784-128-128-10 batch 128",
    "step 784-512-512-10 batch 256",
    "step 784-1024-1024-10 batch 512",
    "predict 784-128-128-10 batch 1",
    "matmul.forward 64x64x64 f32",
    "matmul.forward 128x784x128 f32",
    "matmul.forward 256x784x512 f32",
    "softmax.forward 512x1000 f32",
    "sigmoid.forward 512x1000 f32",
    "tanh.forward 512x1000 f32",
    "relu.forward 512x1000 f32",
    "adam.step 784x512 f32",
)
START, END = "<!-- benchmark -->", "<!-- /benchmark -->"

Report = dict[str, Any]  # machine, limits, rounds, rows: see `measure`
Row = dict[str, Any]


class Failure(Exception):
    """What stops the report, in one line."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


# ---- running


def measure(quick: bool = False, ops: list[str] | None = None) -> Report:
    """Run the benchmarks and return the report."""
    from .machine import describe

    files = _files(ops or [])
    machine = describe()
    counts = sorted({1, machine["threads"]})
    rounds = 1 if quick else ROUNDS
    begin = time.perf_counter()
    turns = [(contender, threads) for threads in counts for contender in CONTENDERS]
    _say("measuring the machine's limits")
    limits = _limits(machine["threads"], quick)
    rows: dict[str, Row] = {}
    for number in range(rounds):
        for contender, threads in turns if number % 2 == 0 else reversed(turns):
            start = time.perf_counter()
            found = run(contender, threads, files, quick)
            _collect(rows, found, contender, threads)
            _say(f"round {number + 1} of {rounds}: {NAMES[contender]}, {_threads(threads)}, {len(found)} benchmarks, "
                 f"{time.perf_counter() - start:.0f} s")
        done = number + 1
        if done < rounds and (time.perf_counter() - begin) * (done + 1) / done > BUDGET:
            _say(f"no more rounds: they would take longer than {BUDGET} s")
            break
    if not quick:
        limits = _higher(limits, _limits(machine["threads"], quick))
    return {"machine": machine, "limits": limits, "rounds": done, "rows": list(rows.values())}


def _files(ops: list[str]) -> list[str]:
    found = {path.stem.removeprefix("bench_"): str(path) for path in sorted(HERE.glob("bench_*.py"))}
    for op in ops:
        if op not in found:
            raise Failure(f"there is no benchmark of {op!r}: choose from {', '.join(found)}", 2)
    names = ops or sorted(found, key=lambda name: (name != "training_step", name))
    return [found[name] for name in names]


def _collect(rows: dict[str, Row], found: list[Row], contender: str, threads: int) -> None:
    for each in found:
        row = rows.setdefault(each["group"], {**each, "seconds": {}})
        row.pop("median", None)
        row["seconds"].setdefault(contender, {}).setdefault(str(threads), []).append(each["median"])


def run(contender: str, threads: int, files: list[str], quick: bool) -> list[Row]:
    """One contender's benchmarks in a process of its own, with `threads` threads; `median` is in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "benchmark.json"
        _child([
            "-m", "pytest", *files, "-x", "-q", "--tb=short", "-c", os.devnull, f"--rootdir={HERE}",
            "--import-mode=importlib", "-o", "python_files=bench_*.py", "-p", "no:cacheprovider",
            "-p", "pytest_benchmark.plugin", "--benchmark-disable-gc", f"--benchmark-json={path}",
            *(QUICK if quick else OPTIONS),
        ], threads, f"the benchmarks of {NAMES[contender]} at {_threads(threads)}", NNJIT_BENCH_CONTENDER=contender)
        content = json.loads(path.read_text())
    kept = ("dtype", "flops", "bytes", "footprint")
    return [{"group": each["group"], **{name: each["extra_info"][name] for name in kept},
             "median": each["stats"]["median"] / each["extra_info"]["repeats"]} for each in content["benchmarks"]]


def _limits(threads: int, quick: bool) -> dict[str, Any]:
    seconds = MACHINE_SECONDS_QUICK if quick else MACHINE_SECONDS
    return json.loads(_child(["-m", f"{__package__}.machine", str(seconds)], threads, "the machine's limits"))


def _child(command: list[str], threads: int, what: str, **variables: str) -> str:
    # pytest's own settings and plugins, whatever is installed beside it, stay out
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    environment |= {name: str(threads) for name in POOLS}
    environment |= {"NNJIT_NUM_THREADS": str(threads), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **variables}
    child = subprocess.run([sys.executable, *command], env=environment, text=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if child.returncode:
        raise Failure(f"{what} failed (exit code {child.returncode}): {_tail(child.stdout)}")
    return child.stdout


def _tail(output: str) -> str:
    """What pytest says of the error and of its place, or the last lines."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    error = [line[1:].strip() for line in lines if line.startswith("E  ")][-1:]
    place = [line.split(" - ")[0] for line in lines if line.startswith(("FAILED ", "ERROR "))][-1:]
    return " | ".join(error + place or lines[-3:])


def _higher(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """The higher of two measurements of each limit: what slows one down is not the machine's limit."""
    return {count: {
        "gflops": {name: max(value, b[count]["gflops"][name]) for name, value in found["gflops"].items()},
        "copy": [[size, max(x, y)] for (size, x), (_, y) in zip(found["copy"], b[count]["copy"])],
    } for count, found in a.items()}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


# ---- arithmetic


def seconds(row: Row, contender: str, threads: int) -> float:
    """The median over the rounds."""
    return median(row["seconds"][contender][str(threads)])


def ratio(row: Row, threads: int) -> float:
    """How many times NumPy's time is ours."""
    return seconds(row, "numpy", threads) / seconds(row, "nnjit", threads)


def loses(row: Row, threads: int) -> bool:
    """Whether NumPy is faster, to the two digits that are shown."""
    return round(ratio(row, threads), 2) < 1


def spread(row: Row) -> float:
    """The largest distance between two rounds of a contender, as a share of its median."""
    return max((max(times) - min(times)) / median(times)
               for found in row["seconds"].values() for times in found.values())


def bandwidth(copy: list[list[float]], size: float) -> float:
    """What copying reaches when it reads and writes `size` bytes, between the measured sizes by the logarithm."""
    if size <= copy[0][0]:
        return copy[0][1]
    for (low, a), (high, b) in zip(copy, copy[1:]):
        if size <= high:
            return a + (b - a) * math.log(size / low) / math.log(high / low)
    return copy[-1][1]


def rate(report: Report, row: Row, threads: int) -> tuple[float, str, float]:
    """Our rate, its unit, and its share of the machine's limit: of the one, peak or copying, that is reached first."""
    limits = report["limits"][str(threads)]
    taken = seconds(row, "nnjit", threads)
    computing = row["flops"] / limits["gflops"][row["dtype"]]
    moving = row["bytes"] / bandwidth(limits["copy"], row["footprint"])
    amount, unit = (row["flops"], "GFLOP/s") if computing >= moving else (row["bytes"], "GB/s")
    return amount / taken / 1e9, unit, max(computing, moving) / taken / 1e9


def thread_counts(report: Report) -> list[int]:
    return [int(count) for count in report["limits"]]


# ---- tables


def _microseconds(value: float) -> str:
    value *= 1e6
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def _cells(report: Report, row: Row, threads: int) -> list[str]:
    amount, unit, share = rate(report, row, threads)
    return [_microseconds(seconds(row, "numpy", threads)), _microseconds(seconds(row, "nnjit", threads)),
            f"{ratio(row, threads):.2f}", f"{amount:.{0 if amount >= 100 else 1}f} {unit}", f"{share:.0%}"]


def summary(report: Report) -> list[str]:
    """For each number of threads the mean ratio and how often NumPy is faster; whether the machine was idle."""
    lines = []
    for threads in thread_counts(report):
        lost = sum(loses(row, threads) for row in report["rows"])
        mean = geometric_mean(ratio(row, threads) for row in report["rows"])
        lines.append(f"{_threads(threads)}: NumPy's time is {mean:.2f} times ours (geometric mean of "
                     f"{len(report['rows'])} rows); NumPy is faster in {lost}")
    noisy = sum(spread(row) > NOISE for row in report["rows"])
    if noisy:
        lines.append(f"{noisy} of {len(report['rows'])} rows differ by more than {NOISE:.0%} between rounds: the "
                     "machine was not idle")
    return lines


def about(report: Report) -> list[str]:
    """Machine, versions and limits, a line each."""
    machine = report["machine"]
    lines = [
        f"{machine['processor']}, {machine['system']}, {_threads(machine['threads'])}, "
        f"vector registers of {machine['vector registers']}, caches "
        + ", ".join(f"{name} {size}" for name, size in machine["caches"].items()),
        ", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
    ]
    for threads in thread_counts(report):
        limits = report["limits"][str(threads)]
        copy = limits["copy"]
        lines.append(
            f"{_threads(threads)}: multiply-adds {limits['gflops']['f32']:.0f} GFLOP/s in float32, "
            f"{limits['gflops']['f64']:.0f} in float64; copying "
            + ", ".join(f"{bandwidth(copy, size):.0f} GB/s ({name})" for size, name in
                        ((2**16, "64 KB"), (2**20, "1 MB"), (2**26, "64 MB"), (copy[-1][0], "memory"))))
    return lines


LEGEND = ("Times in microseconds, medians of {rounds}. ratio: NumPy's time over ours at the same number of threads; "
          "{mark}: NumPy is faster. of limit: our rate as a share of the machine's measured multiply-add peak "
          "(GFLOP/s) or of its copy bandwidth at that size (GB/s), whichever holds the operation back; beyond the "
          "caches, updates in place pass 100%, since a copy first fetches what it overwrites. spread: the largest "
          "distance between two rounds, as a share of the median.")


def _legend(report: Report, mark: str) -> str:
    rounds = report["rounds"]
    return LEGEND.format(rounds="one rough round" if rounds == 1 else f"{rounds} rounds in turns", mark=mark)


def text(report: Report) -> str:
    """The report for a terminal."""
    counts = thread_counts(report)
    width = max(len(row["group"]) for row in report["rows"])
    lines = [*about(report), "", " " * width + "".join(f" |{_threads(threads):^50}" for threads in counts)]
    head = ["NumPy us", "nnjit us", "ratio ", "rate", "of limit"]
    widths = [9, 9, 8, 15, 9]
    lines.append(" " * width + "".join(
        " |" + "".join(f"{cell:>{w}}" for cell, w in zip(head, widths)) for _ in counts) + "  spread")
    for row in report["rows"]:
        line = f"{row['group']:{width}}"
        for threads in counts:
            cells = _cells(report, row, threads)
            cells[2] += "<" if loses(row, threads) else " "
            line += " |" + "".join(f"{cell:>{w}}" for cell, w in zip(cells, widths))
        lines.append(f"{line}{spread(row):8.0%}")
    return "\n".join([*lines, "", _legend(report, "<"), *summary(report)])


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _bold_losses(report: Report, row: Row, threads: int) -> list[str]:
    cells = _cells(report, row, threads)
    if loses(row, threads):
        cells[2] = f"**{cells[2]}**"
    return cells


def markdown(report: Report) -> str:
    """The report as a page."""
    head = ["benchmark"]
    for threads in thread_counts(report):
        head += [f"NumPy, {_threads(threads)}", "nnjit", "ratio", "rate", "of limit"]
    rows = []
    for row in report["rows"]:
        cells = [cell for threads in thread_counts(report) for cell in _bold_losses(report, row, threads)]
        rows.append([row["group"], *cells, f"{spread(row):.0%}"])
    facts = "\n".join(f"- {line}" for line in about(report))
    results = "\n".join(f"- {line}" for line in summary(report))
    return (f"# Benchmarks: nnjit and NumPy\n\n{facts}\n\n{_legend(report, 'bold')}\n\n{results}\n\n"
            f"{_table([*head, 'spread'], rows)}\n")


def readme_table(report: Report) -> str:
    """A short selection of rows for the README."""
    head = ["time in microseconds"]
    for threads in thread_counts(report):
        head += [f"NumPy, {_threads(threads)}", f"nnjit, {_threads(threads)}", "ratio"]
    found = {row["group"]: row for row in report["rows"]}
    missing = [name for name in README_ROWS if name not in found]
    if missing:
        raise Failure(f"the report lacks {', '.join(missing)}: the README needs a whole run", 2)
    rows = [[name, *(cell for threads in thread_counts(report)
                     for cell in _bold_losses(report, found[name], threads)[:3])] for name in README_ROWS]
    machine = report["machine"]
    versions = machine["versions"]
    return (f"{_table(head, rows)}\n\n{machine['processor']}, Python {versions['python']}, NumPy {versions['numpy']}, "
            f"Numba {versions['numba']}, float32. step: forward, backward and Adam through `nnjit.nn`. ratio: NumPy's "
            "time over ours; **bold**: NumPy is faster.")


def rewrite(readme: str, table: str) -> str:
    """The README's text with what stands between the two markers replaced."""
    if readme.count(START) != 1 or readme.count(END) != 1 or readme.index(START) > readme.index(END):
        raise Failure(f"the README must hold {START} once and {END} once after it", 2)
    before, rest = readme.split(START)
    return f"{before}{START}\n{table}\n{END}{rest.split(END)[1]}"


# ---- commands


def load(path: str) -> Report:
    """Read a JSON report."""
    try:
        report = json.loads(Path(path).read_text())
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}", 2) from error
    except ValueError as error:
        raise Failure(f"{path} is no JSON file: {error}", 2) from error
    if not isinstance(report, dict) or not {"machine", "limits", "rounds", "rows"} <= set(report):
        raise Failure(f"{path} is no report of nnjit bench", 2)
    return report


def save(report: Report, path: str) -> None:
    """Write a JSON report, one row a line."""
    rows = ",\n".join(f"  {json.dumps(row)}" for row in report["rows"])
    head = json.dumps({name: value for name, value in report.items() if name != "rows"}, indent=1)
    Path(path).write_text(f'{head[:-2]},\n "rows": [\n{rows}\n ]\n}}\n')


def check_output(path: str) -> None:
    """Raise unless a file can be written there: before minutes of measuring, not after."""
    target = Path(path)
    if target.is_dir():
        raise Failure(f"{path} is a folder", 2)
    if not target.parent.is_dir():
        raise Failure(f"there is no folder {target.parent}", 2)
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise Failure(f"{path} cannot be written", 2)


def main(options: argparse.Namespace) -> int:
    """Measure and print; write a JSON report and a Markdown page where wanted. Returns the exit code."""
    try:
        _check_tools()
        _outputs(measure_into(options, []), options)
    except Failure as failure:
        return _fail(failure)
    return 0


def measure_into(options: argparse.Namespace, ops: list[str]) -> Report:
    """Measure, after a check of the files to be written."""
    for path in (options.json, options.markdown):
        if path is not None:
            check_output(path)
    return measure(options.quick, ops)


def _check_tools() -> None:
    missing = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise Failure(f"the benchmarks need {', '.join(missing)}: pip install {' '.join(missing)}", 2)


def _outputs(report: Report, options: argparse.Namespace) -> None:
    print(text(report))
    if options.json is not None:
        save(report, options.json)
    if options.markdown is not None:
        Path(options.markdown).write_text(markdown(report))


def _fail(failure: Failure) -> int:
    print(f"nnjit: error: {' '.join(str(failure).split())}", file=sys.stderr)
    return failure.code


def command(argv: list[str] | None = None) -> int:
    """`python -m nnjit.bench.report`."""
    parser = argparse.ArgumentParser(prog="python -m nnjit.bench.report", description=__doc__.splitlines()[0],
                                     allow_abbrev=False)
    parser.add_argument("ops", nargs="*", metavar="OP", help="operations to measure, and training_step (default: all)")
    parser.add_argument("--quick", action="store_true", help="one rough round")
    parser.add_argument("--json", metavar="FILE", help="write the figures")
    parser.add_argument("--markdown", metavar="FILE", help="write the report as a page")
    parser.add_argument("--from", dest="source", metavar="FILE", help="take this JSON report instead of measuring")
    parser.add_argument("--readme", metavar="FILE", help=f"rewrite the table between {START} and {END} in FILE")
    options = parser.parse_args(argv)
    try:
        if options.readme is not None:
            check_output(options.readme)
        if options.source is None:
            _check_tools()
            report = measure_into(options, options.ops)
        else:
            report = load(options.source)
        _outputs(report, options)
        if options.readme is not None:
            page = Path(options.readme)
            page.write_text(rewrite(page.read_text(), readme_table(report)))
    except Failure as failure:
        return _fail(failure)
    except KeyboardInterrupt:
        return _fail(Failure("interrupted", 130))
    return 0


if __name__ == "__main__":
    sys.exit(command())

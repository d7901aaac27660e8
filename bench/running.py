"""Running the benchmarks: each contender in a process of its own, in turns and several rounds."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..nn.files import read_json
from . import calls, peers
from .figures import BESIDE, NAMES, Failure, Report, Row, threads_text

HERE = Path(__file__).parent
CONTENDERS = ("numpy", "nnjit")
ROUNDS, PEER_ROUNDS = 5, 5
BUDGET, PEER_BUDGET = 450, 1200  # seconds: no further round where it would pass this
OPTIONS = ["--benchmark-max-time=0.03", "--benchmark-min-time=0.0002", "--benchmark-min-rounds=3"]
QUICK = ["--benchmark-max-time=0.0005", "--benchmark-min-time=0.0001", "--benchmark-min-rounds=1"]
MACHINE_SECONDS, MACHINE_SECONDS_QUICK = 0.1, 0.01  # for each limit
FACTS = ("dtype", "flops", "bytes", "footprint")  # of a row
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def measure(quick: bool = False, ops: Sequence[str] = (), others: Sequence[str] = ()) -> Report:
    """Run the benchmarks of NumPy, nnjit and these other peers, and return the report."""
    from .machine import describe

    files = bench_files(ops)
    machine = describe()
    machine["versions"] |= peers.versions(others)
    counts = sorted({1, machine["threads"]})
    rounds = 1 if quick else PEER_ROUNDS if others else ROUNDS
    budget = PEER_BUDGET if others else BUDGET
    begin = time.perf_counter()
    contenders = [*CONTENDERS, *others]
    say("measuring the machine's limits")
    limits = _limits(machine["threads"], quick)
    say(f"the machine's limits: {time.perf_counter() - begin:.0f} s")
    rows: dict[str, Row] = {}
    small: dict[str, Row] = {}
    for number in range(rounds):
        for threads in counts:
            start = time.perf_counter()
            order = contenders if number % 2 == 0 else contenders[::-1]
            if threads == 1 and os.name == "posix":  # elsewhere pipes cannot be handed to a child
                found = together(order, threads, files, quick)
            else:  # a pool that slept through the others' turns may find both its threads on one core, for 25 us a call
                found = {contender: run(contender, threads, files, quick) for contender in order}
            for contender in contenders:
                _collect(rows, found[contender], contender, threads)
            say(f"round {number + 1} of {rounds}: {threads_text(threads)}, {time.perf_counter() - start:.0f} s")
        start = time.perf_counter()
        _collect_calls(small, _calls(ops, "torch" in others, quick))
        say(f"round {number + 1} of {rounds}: calls on tiny arrays, {time.perf_counter() - start:.0f} s")
        done = number + 1
        if done < rounds and (time.perf_counter() - begin) * (done + 1) / done > budget:
            say(f"no more rounds: they would take longer than {budget} s")
            break
    if not quick:
        limits = _higher(limits, _limits(machine["threads"], quick))
    say(f"measured in {time.perf_counter() - begin:.0f} s")
    return {"machine": machine, "limits": limits, "rounds": done, "calls": list(small.values()),
            "rows": [row for row in rows.values() if len(row["seconds"]) > 1]}  # others have nothing to compare with


def bench_files(ops: Sequence[str]) -> list[str]:
    found = {path.stem.removeprefix("bench_"): str(path) for path in sorted(HERE.glob("bench_*.py"))}
    for op in ops:
        if op not in found:
            raise Failure(f"there is no benchmark of {op!r}: choose from {', '.join(found)}", 2)
    names = list(ops) or sorted(found, key=lambda name: (name != "training_step", name))
    return [found[name] for name in names]


def _collect(rows: dict[str, Row], found: list[Row], contender: str, threads: int) -> None:
    for each in found:
        row = rows.setdefault(each["group"], {**{name: each[name] for name in ("group", *FACTS)}, "seconds": {}})
        row["seconds"].setdefault(contender, {}).setdefault(str(threads), []).append(each["median"])
        for name in BESIDE:
            if name in each:
                row.setdefault(name, {}).setdefault(str(threads), []).append(each[name])


def _collect_calls(rows: dict[str, Row], found: list[dict[str, Any]]) -> None:
    for each in found:
        row = rows.setdefault(each["call"], {"call": each["call"], "seconds": {}})
        for name, value in each["seconds"].items():
            row["seconds"].setdefault(name, []).append(value)


def together(contenders: Sequence[str], threads: int, files: list[str], quick: bool) -> dict[str, list[Row]]:
    """`run` for all contenders, which take turns at each case, since a shared machine is slower for seconds at a time.

    A ring of pipes holds one byte; who reads it measures one case and hands it on.
    """
    ring = [os.pipe() for _ in contenders]
    ready = os.pipe()
    try:
        with ThreadPoolExecutor(len(contenders)) as pool:
            children = []
            for number, contender in enumerate(contenders):
                turn = ring[number][0], ring[(number + 1) % len(ring)][1], ready[1]
                children.append(pool.submit(run, contender, threads, files, quick, turn))
                children[-1].add_done_callback(lambda child: _let_all_run(ring, ready) if child.exception() else None)
            for _ in contenders:
                os.read(ready[0], 1)  # all have imported what they need
            os.write(ring[0][1], b".")
        return {contender: child.result() for contender, child in zip(contenders, children)}
    finally:
        for descriptor in (*ready, *(end for pipe in ring for end in pipe)):
            os.close(descriptor)


def _let_all_run(ring: list[tuple[int, int]], ready: tuple[int, int]) -> None:
    # after a failure: nobody waits for who failed
    for _, entrance in (*ring, ready):
        os.write(entrance, b"." * 10_000)


def run(contender: str, threads: int, files: list[str], quick: bool, turn: tuple[int, ...] = ()) -> list[Row]:
    """One contender's benchmarks in a process of its own, with `threads` threads; `median` is in seconds.

    turn: descriptors of pipes by which it waits for its turn at each case.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "benchmark.json"
        _child([
            "-m", "pytest", *files, "-x", "-q", "--tb=short", "-c", os.devnull, f"--rootdir={HERE}",
            "--import-mode=importlib", "-o", "python_files=bench_*.py", "-p", "no:cacheprovider",
            "-p", "pytest_benchmark.plugin", "--benchmark-disable-gc", f"--benchmark-json={path}",
            *(QUICK if quick else OPTIONS),
        ], threads, f"the benchmarks of {NAMES[contender]} at {threads_text(threads)}", turn,
            NNJIT_BENCH_CONTENDER=contender, NNJIT_BENCH_TURN=",".join(map(str, turn)))
        # no file: a peer that has none of these operations
        content = json.loads(path.read_text()) if path.exists() else {"benchmarks": []}
    return [{"group": each["group"], "median": each["stats"]["median"] / each["extra_info"]["repeats"],
             **{name: value for name, value in each["extra_info"].items() if name in (*FACTS, *BESIDE)}}
            for each in content["benchmarks"]]


def _limits(threads: int, quick: bool) -> dict[str, Any]:
    seconds = MACHINE_SECONDS_QUICK if quick else MACHINE_SECONDS
    said = _child(["-m", f"{__package__}.machine", str(seconds)], threads, "the machine's limits")
    return _parsed(said, "the machine's limits")


def _parsed(said: str, what: str) -> Any:
    try:
        return read_json(said.encode(), "what it printed")
    except ValueError as error:  # a warning, say
        raise Failure(f"{what} failed: {error}: {_tail(said)}") from error


def _calls(ops: Sequence[str], torch: bool, quick: bool) -> list[dict[str, Any]]:
    """What calls.py measures: seconds of each call on tiny arrays, by contender."""
    wanted = [op for op in ops if op in calls.OPERATIONS]
    if ops and not wanted:
        return []
    said = _child(["-m", calls.__name__, "--json", *["--torch"] * torch, *["--quick"] * quick, *wanted], 1,
                  "the calls on tiny arrays")
    found: list[dict[str, Any]] = _parsed(said, "the calls on tiny arrays")["calls"]
    return found


def _child(command: list[str], threads: int, what: str, descriptors: tuple[int, ...] = (), **variables: str) -> str:
    # pytest's own settings and plugins, whatever is installed beside it, stay out
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {name: str(threads) for name in POOLS}
    environment |= {"NNJIT_NUM_THREADS": str(threads), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **variables}
    child = subprocess.run([sys.executable, *command], env=environment, text=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=descriptors)
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


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

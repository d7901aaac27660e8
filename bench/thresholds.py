"""From which size threads pay: the sizes of work at which the parallel variant overtakes the serial one.

    python -m nnjit.bench.thresholds                    every operation, at sizes around its thresholds
    python -m nnjit.bench.thresholds softmax matmul     some operations only

Both variants take turns; a ratio is the median of a dozen rounds of serial time over parallel time. Run it on an idle
machine, with the threads to tune for (NNJIT_NUM_THREADS).
"""

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from .. import kernels
from ..kernels import reference
from .figures import threads_text

ROUNDS = 12
SECONDS = 0.0005  # that each variant runs in a round
STEPS = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)  # sizes, in terms of PARALLEL_FROM
COLUMNS = 64


def operations() -> list[str]:
    """All that choose between serial and parallel by size; a dense layer does so for its products, as
    `matmul`, a convolution by its multiply-adds."""
    return sorted(name for name in kernels.OPERATIONS if hasattr(getattr(kernels, name), "PARALLEL_FROM")
                  and name not in ("dense", "conv2d"))


def shape(op: str, size: float) -> tuple[int, ...]:
    """A shape with about `size` of what the operation counts: numbers, or multiply-adds for products."""
    dimensions = len(getattr(reference, op).DIMENSIONS)
    if op == "matmul":
        return (max(1, round(size ** (1 / 3))),) * 3
    rows = max(1, round(size / COLUMNS))
    if dimensions == 4:
        return (rows, 4, 4, COLUMNS // 16)
    return (rows, COLUMNS) if dimensions == 2 else (max(1, round(size)),)


def measure(serial: Callable[[], Any], parallel: Callable[[], Any]) -> float:
    """Serial time over parallel time."""
    serial()
    parallel()
    start = time.perf_counter()
    serial()
    calls = max(1, int(SECONDS / (time.perf_counter() - start + 1e-7)))
    found = []
    for _ in range(ROUNDS):
        times = []
        for variant in (serial, parallel):
            variant()  # wakes the threads
            start = time.perf_counter()
            for _ in range(calls):
                variant()
            times.append(time.perf_counter() - start)
        found.append(times[0] / times[1])
    return median(found)


def thresholds(op: str) -> dict[str, int]:
    """The size from which each verb of an operation takes threads."""
    module = getattr(kernels, op)
    verbs = {verb for verb, *_ in getattr(reference, op).inputs(np.random.default_rng(0), shape(op, 64), np.float32)}
    return {verb: getattr(module, "PARALLEL_BACKWARD_FROM", module.PARALLEL_FROM) if verb == "backward"
            else module.PARALLEL_FROM for verb in sorted(verbs, reverse=True)}


def ratios(op: str, verb: str, threshold: int) -> Iterator[tuple[tuple[int, ...], float]]:
    """Shapes of sizes around the threshold, and serial time over parallel time; the first inputs of the verb."""
    function = getattr(getattr(kernels, op), verb)
    for step in STEPS:
        size = shape(op, step * threshold)
        cases = getattr(reference, op).inputs(np.random.default_rng(0), size, np.float32)
        _, args, options = next(case for case in cases if case[0] == verb)
        yield size, measure(*(partial(function, *args, **options, parallel=parallel) for parallel in (False, True)))


def main(wanted: list[str]) -> int:
    """Print the table; returns the exit code."""
    known = operations()
    for op in wanted:
        if op not in known:
            print(f"{op!r} does not choose by size: choose from {', '.join(known)}", file=sys.stderr)
            return 2
    print(f"serial time over parallel time, {threads_text(kernels.get_num_threads())}")
    for op in wanted or known:
        for verb, threshold in thresholds(op).items():
            cells = "  ".join(f"{'x'.join(map(str, size))} {ratio:.2f}" for size, ratio in ratios(op, verb, threshold))
            print(f"{op}.{verb}, from {threshold} on:  {cells}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

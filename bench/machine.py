"""What the machine can do: its names, its fma peak and its copy bandwidth, both measured.

`python -m nnjit.bench.machine` prints the measured limits as JSON.
"""

import json
import math
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numba import prange

from .. import __version__, kernels
from ..kernels.core.compile import inline, loops, shared
from ..kernels.core.memory import load, store
from ..kernels.core.vectors import REGISTER_BYTES, fma, lanes, splat

# Two fma units of 4 cycles want 8 registers in flight: 10 vectors of AVX-512's registers, 5 vectors where a vector
# takes two of AVX2's 16 registers or four of NEON's 32.
WIDE = REGISTER_BYTES == 64
CHAINS = 10 if WIDE else 5
FMAS = 200_000  # a chain
SIZES = [2**n for n in range(14, 31, 2)]  # bytes that a copy reads and writes: 16 KB to 1 GB
MOVED = 2**26  # bytes a timed copy moves at least: repeated inside the compiled loop


# ---- names


def describe() -> dict[str, Any]:
    """The processor, its caches, threads and versions; nothing that differs from run to run."""
    info = kernels.info()
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "caches": _caches(),
        "vector registers": info["vector registers"],
        "threads": kernels.get_num_threads(),
        "versions": {"nnjit": __version__, **{name: info[name] for name in ("python", "numpy", "numba", "llvmlite")},
                     blas["name"]: blas["version"]},
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or kernels.info()["cpu"]


def _caches() -> dict[str, str]:
    found = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        if kind != "Instruction":
            found[f"L{level}"] = size
    return found


# ---- limits


@inline
def _five(a, b, c, d, e, factor, term):
    return (fma(a, factor, term), fma(b, factor, term), fma(c, factor, term), fma(d, factor, term),
            fma(e, factor, term))


@shared
def _fma_chains(x, at, count):
    """Independent chains of multiply-adds that stay in registers."""
    end = at + lanes(x)
    factor, term = splat(x, x[0]), splat(x, x[1])
    a = load(x, at, end, 0.0)
    b = a + term
    c = b + term
    d = c + term
    e = d + term
    f, g, h, i, j = a * factor, b * factor, c * factor, d * factor, e * factor
    for _ in range(count):
        a, b, c, d, e = _five(a, b, c, d, e, factor, term)
        if WIDE:
            f, g, h, i, j = _five(f, g, h, i, j, factor, term)
    store(x, at, end, (a + b + c) + (d + e + f) + (g + h) + (i + j))


@loops
def _fma_tasks(x, count):
    for task in prange(x.size // 64 - 1):
        _fma_chains(x, (task + 1) * 64, count)


@shared
def _copy_part(x, y, start, end, times):
    for _ in range(times):
        for at in range(start, end, lanes(x)):
            store(y, at, end, load(x, at, end, 0.0))


@loops
def _copy_tasks(x, y, part, times):
    for task in prange((x.size + part - 1) // part):
        _copy_part(x, y, task * part, min((task + 1) * part, x.size), times)


def _best(call: Callable[[], object], seconds: float) -> float:
    """The least time of a call; the first compiles and is not counted."""
    call()
    best, deadline = math.inf, time.perf_counter() + seconds
    while best == math.inf or time.perf_counter() < deadline:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def peak(dtype: Any, seconds: float) -> float:
    """Multiply-adds in registers on as many threads as the kernels may use, in GFLOP/s."""
    threads = kernels.get_num_threads()
    x = np.full(64 * (threads + 1), 0.5, dtype)  # x / 2 + 1 / 2 goes to 1
    best = _best(lambda: _fma_tasks.parallel(x, FMAS), seconds)
    return 2 * FMAS * CHAINS * (64 // x.itemsize) * threads / best / 1e9


def bandwidth(size: int, seconds: float) -> float:
    """Copying, each thread its own part, `size` bytes read and written in all, again and again, in GB/s.

    The better of our loop, which starts its threads faster, and of `np.copyto`, which stores past the caches.
    """
    threads = kernels.get_num_threads()
    x = np.ones(size // 8, np.float32)
    y = np.ones_like(x)
    times = max(1, MOVED // size)
    part = -(-x.size // threads)

    def copy(start: int) -> None:
        source, target = x[start:start + part], y[start:start + part]
        for _ in range(times):
            np.copyto(target, source)

    with ThreadPoolExecutor(threads) as pool:
        best = min(_best(lambda: _copy_tasks.parallel(x, y, part, times), seconds / 2),
                   _best(lambda: list(pool.map(copy, range(0, x.size, part))), seconds / 2))
    return 2 * x.nbytes * times / best / 1e9


def limits(seconds: float) -> dict[str, Any]:
    """Peak and bandwidth by number of threads, each the best of `seconds` of runs."""
    found = {}
    before = kernels.get_num_threads()
    try:
        for threads in sorted({1, before}):
            kernels.set_num_threads(threads)
            found[str(threads)] = {
                "gflops": {"f32": peak(np.float32, seconds), "f64": peak(np.float64, seconds)},
                "copy": [[size, bandwidth(size, seconds)] for size in SIZES],
            }
    finally:
        kernels.set_num_threads(before)
    return found


if __name__ == "__main__":
    print(json.dumps(limits(float(sys.argv[1]) if len(sys.argv) > 1 else 0.2)))

"""The book's trainings in processes of their own: `nnfs.init()` replaces functions of NumPy for a whole process."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from . import book_rows
from .book_rows import Row
from .figures import Failure
from .running import POOLS

ROUNDS = 3  # of the book's classes and the kernels, in turns


def trained(requests: Sequence[dict[str, Any]], threads: int | None = None, dtype: str = "float32"
            ) -> list[dict[str, Any]]:
    """What `Row.train` gives for each request, {"row": its name, **arguments}, one after the other in a new process.

    With "warm" a few epochs go before, so that its seconds are not the compiler's. `dtype` is nnfs.init's.
    """
    environment = dict(os.environ)
    if threads is not None:
        environment |= {name: str(threads) for name in (*POOLS, "NNJIT_NUM_THREADS")}
    child = subprocess.run([sys.executable, "-m", book_rows.__name__, dtype, json.dumps(requests)], env=environment,
                           capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if child.returncode:
        raise Failure(f"a training failed: {' | '.join(child.stderr.splitlines()[-2:])}")
    found: list[dict[str, Any]] = json.loads(child.stdout)
    return found


def in_turns(row: Row) -> dict[str, dict[str, list[float]]]:
    """Seconds of a training by hand by the book's classes and by the kernels, on one thread, a list of the rounds.

    "alone" : the training; "whole" : its process, with imports, data, loading of compiled code and WARM epochs more

    Of a row that would take minutes, only the timed epochs are run, and "alone" is extrapolated.
    """
    found: dict[str, dict[str, list[float]]] = {}
    scale = 1 if row.timed is None else row.epochs / row.timed
    for _ in range(ROUNDS):
        for by in ("book", "numba"):
            begin = time.perf_counter()
            [training] = trained([{"row": row.name, "by": by, "warm": True, "epochs": row.timed}], 1)
            whole = time.perf_counter() - begin
            seconds = found.setdefault(by, {"alone": [], "whole": []})
            seconds["alone"].append(training["seconds"] * scale)
            seconds["whole"].append(whole)
    return found


def gain(found: dict[str, dict[str, list[float]]], what: str) -> float:
    """How many times as long the book's classes take: the median of each round's ratio."""
    return median(book / ours for book, ours in zip(found["book"][what], found["numba"][what], strict=True))

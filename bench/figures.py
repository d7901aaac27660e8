"""What is computed from a report: times, ratios, rates, spreads, shares of the machine's limits.

A report keeps each round's median of each contender and number of threads; all else comes from here.
"""

import math
from statistics import median
from typing import Any

from . import peers

NAMES = {"numpy": "NumPy", **peers.NAMES, "nnjit": "nnjit"}  # in the order of the tables' columns

BESIDE = ("peak", "gain")  # what nnjit's process measures beside some rows: see `beside` in cases.py
NOISE = 0.25  # a spread that an idle machine stays below in all but a few rows

Report = dict[str, Any]  # machine, limits, rounds, rows: see `measure` of running.py
Row = dict[str, Any]


class Failure(Exception):
    """What stops the report, in one line."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


def threads_text(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


def microseconds(value: float) -> str:
    """Of seconds, with three digits or more."""
    value *= 1e6
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def contenders(report: Report) -> list[str]:
    """All that some row measures, nnjit last."""
    return [name for name in NAMES if any(name in row["seconds"] for row in report["rows"])]


def others(row: Row) -> list[str]:
    """All but nnjit that this row measures."""
    return [name for name in NAMES if name != "nnjit" and name in row["seconds"]]


def seconds(row: Row, contender: str, threads: int) -> float:
    """The median over the rounds."""
    return median(row["seconds"][contender][str(threads)])


def rival(row: Row, threads: int) -> str:
    """The fastest contender other than nnjit: the one with the lowest ratio."""
    return min(others(row), key=lambda name: _ratio(row, name, threads))


def ratio(row: Row, threads: int) -> float:
    """How many times the rival's time is ours: the median over the rounds of each round's quotient, since what slows
    a shared machine down for a while slows all contenders of a round."""
    return _ratio(row, rival(row, threads), threads)


def _ratio(row: Row, other: str, threads: int) -> float:
    rounds = zip(row["seconds"][other][str(threads)], row["seconds"]["nnjit"][str(threads)], strict=True)
    return median(theirs / ours for theirs, ours in rounds)


def loses(row: Row, threads: int) -> bool:
    """Whether the rival is faster, to the two digits that are shown."""
    return round(ratio(row, threads), 2) < 1


def is_product(row: Row) -> bool:
    """Whether the row belongs to the list of products of networks in bench_matmul.py."""
    return row["group"].startswith("product ")


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
    """Our rate, its unit, and its share of the machine's limit: of the one, peak or copying, that is reached first.

    Of a product beside which the peak was measured, always the share of that.
    """
    if "peak" in row:
        return row["flops"] / seconds(row, "nnjit", threads) / 1e9, "GFLOP/s", of_peak(row, threads)
    limits = report["limits"][str(threads)]
    taken = seconds(row, "nnjit", threads)
    computing = row["flops"] / limits["gflops"][row["dtype"]]
    moving = row["bytes"] / bandwidth(limits["copy"], row["footprint"])
    amount, unit = (row["flops"], "GFLOP/s") if computing >= moving else (row["bytes"], "GB/s")
    return amount / taken / 1e9, unit, max(computing, moving) / taken / 1e9


def of_peak(row: Row, threads: int) -> float:
    """The share of the multiply-add peak that was measured in the same seconds, the median over the rounds."""
    rounds = zip(row["peak"][str(threads)], row["seconds"]["nnjit"][str(threads)], strict=True)
    return median(row["flops"] / taken / 1e9 / peak for peak, taken in rounds)


def gain(row: Row, threads: int) -> float | None:
    """How many times as fast a large step of ours is on so many threads as on one; None where it was not measured."""
    found = row.get("gain", {}).get(str(threads))
    return median(found) if found else None


def thread_counts(report: Report) -> list[int]:
    return [int(count) for count in report["limits"]]

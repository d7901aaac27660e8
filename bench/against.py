"""Two reports compared: which rows became slower than their spread, and their share of NumPy's speed, explain."""

from statistics import median

from .figures import NOISE, Report, Row, microseconds, seconds, thread_counts, threads_text


def machines(old: Report, new: Report) -> str:
    """What tells the two machines apart, empty if nothing does."""
    before, now = (f"{report['machine']['processor']}, {report['machine']['vector registers']}"
                   for report in (old, new))
    return "" if before == now else f"other machines are compared: {before} then, {now} now"


def slower(old: Report, new: Report) -> list[str]:
    """A line for each row and number of threads where nnjit lost speed.

    Every round must be slower than every round before, and the ratio to NumPy, which a slow machine leaves alone, must
    have fallen further than the spreads of both reports.
    """
    before = {row["group"]: row for row in old["rows"]}
    counts = [threads for threads in thread_counts(new) if threads in thread_counts(old)]
    return [_line(before[row["group"]], row, threads) for row in new["rows"] if row["group"] in before
            for threads in counts if _lost(before[row["group"]], row, threads)]


def counts(old: Report, new: Report, slow: int, path: str) -> str:
    """How many rows were compared, and how many are in one of the reports alone."""
    before, now = ({row["group"] for row in report["rows"]} for report in (old, new))
    return (f"{slow or 'no'} slowdown{'s' * (slow > 1)} against {path}: {len(before & now)} rows compared, "
            f"{len(before - now)} are gone, {len(now - before)} are new")


def _lost(old: Row, new: Row, threads: int) -> bool:
    if min(_times(new, "nnjit", threads)) <= max(_times(old, "nnjit", threads)):
        return False
    before, now = _ratios(old, threads), _ratios(new, threads)
    return median(before) / median(now) > (1 + _spread(before)) * (1 + _spread(now))


def _times(row: Row, contender: str, threads: int) -> list[float]:
    return row["seconds"][contender][str(threads)]


def _ratios(row: Row, threads: int) -> list[float]:
    """NumPy's time over ours in each round: what slows a round down slows both."""
    return [a / b for a, b in zip(_times(row, "numpy", threads), _times(row, "nnjit", threads))]


def _spread(ratios: list[float]) -> float:
    return (max(ratios) - min(ratios)) / median(ratios) if len(ratios) > 1 else NOISE  # one round does not show it


def _line(old: Row, new: Row, threads: int) -> str:
    before, now = seconds(old, "nnjit", threads), seconds(new, "nnjit", threads)
    return (f"slower: {new['group']}, {threads_text(threads)}: {microseconds(now)} us, was {microseconds(before)}; "
            f"ratio to NumPy {median(_ratios(new, threads)):.2f}, was {median(_ratios(old, threads)):.2f}")

"""The report as text for a terminal, as a Markdown page, and as the tables of README.md and docs/speed.md."""

from collections import Counter
from collections.abc import Sequence
from statistics import geometric_mean

from . import calls
from .figures import (NAMES, NOISE, Failure, Report, Row, bandwidth, contenders, gain, is_product, loses, microseconds,
                      of_peak, rate, ratio, rival, seconds, spread, thread_counts, threads_text)

SHOWN = ("numpy", "torch", "jax", "nnjit")
SPEED_ROWS = (
    "step 2-64-3 batch 300",
    "step 64-64-64-10 batch 32",
    "step 784-128-128-10 batch 128",
    "step 784-512-512-10 batch 256",
    "step 784-1024-1024-10 batch 512",
    "step 4-32-16-4 tanh MSE batch 10000",
    "step lenet5 batch 64",
    "step resnet8 batch 32",
    "step dcgan batch 64",
    "predict 784-128-128-10 batch 1",
    "predict lenet5 batch 1",
    "matmul.forward 64x64x64 f32",
    "matmul.forward 128x784x128 f32",
    "matmul.forward 256x784x512 f32",
    "matmul.forward 1024x1024x1024 f32",
    "conv2d.forward 32x16x32x32 f32 to 16 3x3 s1 p1",
    "conv2d.backward 32x16x32x32 f32 to 16 3x3 s1 p1",
    "softmax.forward 512x1000 f32",
    "sigmoid.forward 512x1000 f32",
    "tanh.forward 512x1000 f32",
    "relu.forward 512x1000 f32",
    "adam.step 784x512 f32",
)
README_ROWS = SPEED_ROWS[1], SPEED_ROWS[2], SPEED_ROWS[6], SPEED_ROWS[12]  # another is faster in the last
START, END = "<!-- {} -->", "<!-- /{} -->"  # around a table, with its name in `page_tables`
LEGEND = ("Times in microseconds, medians of {rounds}. ratio: {other} time over ours at the same number of threads, "
          "the median of each round's; {mark}: {faster} is faster. of limit: our rate as a share of the machine's "
          "measured multiply-add peak (GFLOP/s) or of its copy bandwidth at that size (GB/s), whichever holds the "
          "operation back; beyond the caches, updates in place pass 100%, since a copy first fetches what it "
          "overwrites. spread: the largest distance between two rounds, as a share of the median.")
PEAK_LEGEND = " product: of limit is the share of the multiply-add peak that was measured in the same seconds."
CALLS_LEGEND = ("Calls on tiny arrays, float32, on one thread, in microseconds: all in turns within one process. nest: "
                "the compiled loops of a call alone. overhead: what a call of ours takes longer, the median of each "
                "round's.")


# ---- lines


def has_peers(report: Report) -> bool:
    return set(contenders(report)) > {"numpy", "nnjit"}


def _whose(report: Report) -> tuple[str, str]:
    """Whose time the ratio compares with ours, and who is faster in a marked row."""
    return ("the fastest other's", "another") if has_peers(report) else ("NumPy's", "NumPy")


def summary(report: Report) -> list[str]:
    """For each number of threads the mean ratio and how many rows are lost to whom; whether the machine was idle."""
    lines = []
    rows = report["rows"]
    other, faster = _whose(report)
    for threads in thread_counts(report):
        lost = Counter(rival(row, threads) for row in rows if loses(row, threads))
        mean = geometric_mean(ratio(row, threads) for row in rows)
        line = (f"{threads_text(threads)}: {other} time is {mean:.2f} times ours (geometric mean of {len(rows)} rows); "
                f"{faster} is faster in {lost.total()}")
        if has_peers(report) and lost:
            line += ": " + ", ".join(f"{NAMES[name]} {count}" for name, count in lost.most_common())
        lines.append(line)
        lines += _of_products(report, threads)
        gains = [(value, row["group"]) for row in rows if (value := gain(row, threads)) is not None]
        if gains:
            lines.append(f"{threads_text(threads)}: times as fast as nnjit on 1 thread, in turns: "
                         + ", ".join(f"{group} {value:.2f}" for value, group in gains))
    lines += calls.summary(report)
    noisy = sum(spread(row) > NOISE for row in rows)
    if noisy:
        lines.append(f"{noisy} of {len(rows)} rows differ by more than {NOISE:.0%} between rounds: the "
                     "machine was not idle")
    return lines


def _of_products(report: Report, threads: int) -> list[str]:
    """The mean ratio over the products, the lowest, and the mean share of the peak."""
    products = [row for row in report["rows"] if is_product(row)]
    if not products:
        return []
    mean = geometric_mean(ratio(row, threads) for row in products)
    lowest = min(products, key=lambda row: ratio(row, threads))
    *first, last = [NAMES[name] for name in contenders({**report, "rows": products}) if name != "nnjit"]
    others = f"the fastest of {', '.join(first)} and {last}" if first else last
    line = (f"{threads_text(threads)}: {mean:.2f} times over the {len(products)} products, against {others}; the "
            f"lowest is {ratio(lowest, threads):.2f}, {lowest['group']} ({NAMES[rival(lowest, threads)]})")
    shares = [of_peak(row, threads) for row in products if "peak" in row]
    if shares:
        line += f"; {geometric_mean(shares):.0%} of the multiply-add peak in the same seconds"
    return [line]


def about(report: Report) -> list[str]:
    """Machine, versions and limits, a line each."""
    machine = report["machine"]
    lines = [
        f"{machine['processor']}, {machine['system']}, {threads_text(machine['threads'])}, "
        f"vector registers of {machine['vector registers']}, caches "
        + ", ".join(f"{name} {size}" for name, size in machine["caches"].items()),
        ", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
    ]
    for threads in thread_counts(report):
        limits = report["limits"][str(threads)]
        copy = limits["copy"]
        lines.append(
            f"{threads_text(threads)}: multiply-adds {limits['gflops']['f32']:.0f} GFLOP/s in float32, "
            f"{limits['gflops']['f64']:.0f} in float64; copying "
            + ", ".join(f"{bandwidth(copy, size):.0f} GB/s ({name})" for size, name in
                        ((2**16, "64 KB"), (2**20, "1 MB"), (2**26, "64 MB"), (copy[-1][0], "memory"))))
    return lines


def _legend(report: Report, mark: str) -> str:
    rounds = report["rounds"]
    other, faster = _whose(report)
    legend = LEGEND.format(rounds="one rough round" if rounds == 1 else f"{rounds} rounds in turns", mark=mark,
                           other=other, faster=faster)
    legend += PEAK_LEGEND * any("peak" in row for row in report["rows"])
    return legend + " -: no such operation, or not measured." * has_peers(report)


# ---- cells


def _time(row: Row, contender: str, threads: int) -> str:
    return microseconds(seconds(row, contender, threads)) if contender in row["seconds"] else "-"


def _ratio(row: Row, threads: int, mark: str) -> str:
    return mark.format(f"{ratio(row, threads):.2f}") if loses(row, threads) else f"{ratio(row, threads):.2f}"


def _cells(report: Report, row: Row, threads: int, mark: str) -> list[str]:
    """Times, ratio, with peers who is fastest, rate and share of the limit; `mark` is how a lost ratio is written."""
    amount, unit, share = rate(report, row, threads)
    cells = [*(_time(row, name, threads) for name in contenders(report)), _ratio(row, threads, mark)]
    if has_peers(report):
        cells.append(NAMES[min(row["seconds"], key=lambda name: seconds(row, name, threads))])
    return [*cells, f"{amount:.{0 if amount >= 100 else 1}f} {unit}", f"{share:.0%}"]


def _head(report: Report, unit: str = "") -> list[str]:
    return [*(NAMES[name] + unit for name in contenders(report)), "ratio", *["fastest"] * has_peers(report), "rate",
            "of limit"]


# ---- tables


def text(report: Report) -> str:
    """The report for a terminal: all numbers of threads side by side, or with peers one table for each."""
    counts = thread_counts(report)
    tables = [[threads] for threads in counts] if has_peers(report) else [counts]
    small = calls.calls_of(report)
    return "\n".join([*about(report), *(line for each in tables for line in ["", *_lines(report, each)]), "",
                      *([*calls.lines(*calls.table(small)), "", CALLS_LEGEND] if small else []),
                      _legend(report, "<"), *summary(report)])


def _lines(report: Report, counts: list[int]) -> list[str]:
    head = _head(report, " us")
    head[len(contenders(report))] += " "
    widths = [max(9, len(name) + 1) for name in head]
    widths[len(contenders(report))] = 8
    widths[-2] = 15
    if has_peers(report):
        widths[-3] = max(map(len, NAMES.values())) + 1
    width = max(len(row["group"]) for row in report["rows"])
    lines = [" " * width + "".join(f" |{threads_text(threads):^{sum(widths)}}" for threads in counts),
             " " * width + "".join(" |" + "".join(f"{cell:>{w}}" for cell, w in zip(head, widths))
                                   for _ in counts) + "  spread"]
    for row in report["rows"]:
        line = f"{row['group']:{width}}"
        for threads in counts:
            cells = _cells(report, row, threads, "{}<")
            cells[len(contenders(report))] += " " * (not loses(row, threads))
            line += " |" + "".join(f"{cell:>{w}}" for cell, w in zip(cells, widths))
        lines.append(f"{line}{spread(row):8.0%}")
    return lines


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def markdown(report: Report) -> str:
    """The report as a page."""
    head = ["benchmark"]
    for threads in thread_counts(report):
        first, *more = _head(report)
        head += [f"{first}, {threads_text(threads)}", *more]
    rows = []
    for row in report["rows"]:
        cells = [cell for threads in thread_counts(report) for cell in _cells(report, row, threads, "**{}**")]
        rows.append([row["group"], *cells, f"{spread(row):.0%}"])
    facts = "\n".join(f"- {line}" for line in about(report))
    results = "\n".join(f"- {line}" for line in summary(report))
    names = [NAMES[name] for name in ["nnjit", *contenders(report)[:-1]]]
    title = f"# Benchmarks: {', '.join(names[:-1])} and {names[-1]}"
    return (f"{title}\n\n{facts}\n\n{_legend(report, 'bold')}\n\n{results}\n\n"
            f"{_table([*head, 'spread'], rows)}\n{_calls(report)}")


def _calls(report: Report) -> str:
    small = calls.calls_of(report)
    return f"\n## Calls\n\n{CALLS_LEGEND}\n\n{_table(*calls.table(small))}\n" if small else ""


def page_tables(report: Report) -> dict[str, str]:
    """What README.md and docs/speed.md show, by the name that stands in their markers."""
    results = "\n".join(f"- {line}" for line in summary(report))
    return {"benchmark in short": _selection(report, README_ROWS),
            "benchmark": f"{_selection(report, SPEED_ROWS)}\n\nAll rows of the report:\n\n{results}"}


def _selection(report: Report, names: Sequence[str]) -> str:
    shown = [name for name in SHOWN if name in contenders(report)]
    head = ["time in microseconds"]
    for threads in thread_counts(report):
        head += [*(f"{NAMES[name]}, {threads_text(threads)}" for name in shown), "ratio"]
    found = {row["group"]: row for row in report["rows"]}
    missing = [name for name in names if name not in found]
    if missing:
        raise Failure(f"the report lacks {', '.join(missing)}: the pages need a whole run", 2)
    rows = []
    for row in map(found.__getitem__, names):
        cells = []
        for threads in thread_counts(report):
            cells += [*(_time(row, name, threads) for name in shown), _ratio(row, threads, "**{}**")]
        rows.append([row["group"], *cells])
    machine = report["machine"]
    versions = machine["versions"]
    libraries = "".join(f"{NAMES[name]} {versions[name]}, " for name in shown if name in ("torch", "jax"))
    other, faster = _whose(report)
    return (f"{_table(head, rows)}\n\n{machine['processor']}, Python {versions['python']}, NumPy {versions['numpy']}, "
            f"Numba {versions['numba']}, {libraries}float32. step: forward, backward and Adam through `nnjit.nn`. "
            f"ratio: {other} time over ours, the median of each round's; **bold**: {faster} is faster.")


def rewrite(page: str, tables: dict[str, str]) -> str:
    """The text of a page with what stands between the markers of each table replaced."""
    pairs = {name: (START.format(name), END.format(name)) for name in tables}
    found = [name for name, pair in pairs.items() if any(mark in page for mark in pair)]
    if not found:
        raise Failure(f"the page must hold {' or '.join(start for start, _ in pairs.values())}", 2)
    for name in found:
        start, end = pairs[name]
        if page.count(start) != 1 or page.count(end) != 1 or page.index(start) > page.index(end):
            raise Failure(f"the page must hold {start} once and {end} once after it", 2)
        before, rest = page.split(start)
        page = f"{before}{start}\n{tables[name]}\n{end}{rest.split(end)[1]}"
    return page

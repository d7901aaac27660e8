"""The report of all benchmarks: `nnjit bench`, or `python -m nnjit.bench.report` with a few more options.

NumPy and nnjit, and with --peers PyTorch, JAX and scikit-learn, run in child processes, one for each number of
threads, in turns and several rounds; a time is the median over the rounds of pytest-benchmark's medians. A JSON report
keeps each round's median; all else (ratios, rates, shares of the machine's limits, tables) is computed from it.

    python -m nnjit.bench.report softmax matmul                 some operations only
    python -m nnjit.bench.report --from FILE.json               print it again, or --markdown FILE.md
    python -m nnjit.bench.report --from FILE.json --pages README.md docs/speed.md     rewrite their tables
    python -m nnjit.bench.report --against OLD.json             name what became slower; exit code 1 if anything did
"""

import argparse
import importlib.util
import os
import sys
from pathlib import Path

from ..nn.files import write_text
from . import against, peers, roofline
from .figures import Failure, Report
from .running import measure, say
from .stored import load, save
from .tables import markdown, page_tables, rewrite, text

NEEDED = {"pytest": "pytest", "pytest_benchmark": "pytest-benchmark", "threadpoolctl": "threadpoolctl"}


def check_output(path: str) -> None:
    """Raise unless a file can be written there: before minutes of measuring, not after."""
    target = Path(path)
    if target.is_dir():
        raise Failure(f"{path} is a folder", 2)
    if not target.parent.is_dir():
        raise Failure(f"there is no folder {target.parent}", 2)
    needed = [target] if target.exists() else []
    if target.is_file() or not needed:  # it is replaced by a file that is made beside it
        needed.append(Path(os.path.realpath(target)).parent)
    if not all(os.access(each, os.W_OK) for each in needed):
        raise Failure(f"{path} cannot be written", 2)


def main(options: argparse.Namespace) -> int:
    """Measure, or read a report; print it and write what is wanted. Returns the exit code."""
    try:
        return _report(options)
    except Failure as failure:
        return _fail(failure)


def _report(options: argparse.Namespace) -> int:
    for path in (options.json, options.markdown, options.roofline, *options.pages):
        if path is not None:
            check_output(path)
    if options.roofline is not None:
        roofline.check(options.roofline)
    old = None if options.against is None else load(options.against)  # before minutes of measuring, not after
    pages = {page: _read(page) for page in options.pages}
    if options.source is None:
        _check_tools()
        report = measure(options.quick, options.ops, _peers() if options.peers else [])
    else:
        report = load(options.source)
    print(text(report))
    if options.json is not None:
        save(report, options.json)
    if options.markdown is not None:
        write_text(options.markdown, markdown(report))
    if options.roofline is not None:
        roofline.draw(report, options.roofline)
    texts = {page: rewrite(content, page_tables(report)) for page, content in pages.items()}
    for page, rewritten in texts.items():
        write_text(page, rewritten)
    return 0 if old is None else _compare(old, report, options.against)


def _read(page: str) -> str:
    try:
        return Path(page).read_text("utf-8")
    except OSError as error:
        raise Failure(f"{page} cannot be read: {error.strerror}", 2) from error
    except UnicodeDecodeError as error:
        raise Failure(f"{page} is no page: it is not text in UTF-8", 2) from error


def _check_tools() -> None:
    missing = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise Failure(f"the benchmarks need {', '.join(missing)}: pip install {' '.join(missing)}", 2)


def _peers() -> list[str]:
    found = peers.installed()
    missing = [name for peer, name in peers.NAMES.items() if peer not in found]
    if missing:
        say(f"not installed and left out: {', '.join(missing)} (.venv/bin/pip install '.[peers]')")
    return found


def _compare(old: Report, new: Report, path: str) -> int:
    difference = against.machines(old, new)
    if difference:
        say(f"warning: {difference}")
    named = against.slower(old, new)
    print("\n".join(["", *named, against.counts(old, new, len(named), path)]))
    return 1 if named else 0


def _fail(failure: Failure) -> int:
    print(f"nnjit: error: {' '.join(str(failure).split())}", file=sys.stderr)
    return failure.code


def command(argv: list[str] | None = None) -> int:
    """`python -m nnjit.bench.report`."""
    parser = argparse.ArgumentParser(prog="python -m nnjit.bench.report", description=__doc__.splitlines()[0],
                                     allow_abbrev=False)
    parser.add_argument("ops", nargs="*", metavar="OP",
                        help="operations to measure, training_step and image_networks (default: all)")
    parser.add_argument("--quick", action="store_true", help="one rough round")
    parser.add_argument("--peers", action="store_true", help="PyTorch, JAX and scikit-learn too, where installed")
    parser.add_argument("--json", metavar="FILE", help="write the figures")
    parser.add_argument("--markdown", metavar="FILE", help="write the report as a page")
    parser.add_argument("--roofline", metavar="FILE.png", help="draw rates against flops per byte (needs matplotlib)")
    parser.add_argument("--against", metavar="FILE", help="name what is slower than in this JSON report")
    parser.add_argument("--from", dest="source", metavar="FILE", help="take this JSON report instead of measuring")
    parser.add_argument("--pages", metavar="FILE", nargs="+", default=[], help="rewrite the tables of README.md or "
                        "docs/speed.md")
    try:
        return main(parser.parse_args(argv))
    except OSError as error:
        return _fail(Failure(str(error)))
    except KeyboardInterrupt:
        return _fail(Failure("interrupted", 130))


if __name__ == "__main__":
    sys.exit(command())

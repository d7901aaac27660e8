"""A progress bar on stderr for trainings of more than a second, and lines on stdout that do not tear it."""

import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

from .. import backend


def _shown(wanted: bool | None) -> bool:
    # None: on a terminal
    return sys.stderr is not None and sys.stderr.isatty() if wanted is None else wanted


def bar(total: int | None, wanted: bool | None) -> Any:
    """A tqdm bar of `total` steps, if that is known, or None. `wanted`: show it; None means if stderr is a terminal."""
    if not _shown(wanted):
        return None
    from tqdm import tqdm  # not at the top: its import takes 50 ms
    return tqdm(total=total, unit=" steps", unit_scale=True, delay=1, leave=False, file=sys.stderr)


def say(line: str, file: Any = None) -> None:
    """Print a line to stdout or another file, above a running bar if there is one."""
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        print(line, file=file)
    else:
        tqdm.tqdm.write(line, file=file)


def note(line: str) -> None:
    """Print a line to stderr, above a running bar if there is one, and if it can be written there."""
    if sys.stderr is not None:
        with suppress(OSError):
            say(f"nnjit: {line}", sys.stderr)


def compiling(wanted: bool | None = True) -> AbstractContextManager[None]:
    """Within `with compiling():`, print a line on stderr before kernels are compiled. `wanted`: print it; None means if
    stderr is a terminal."""
    return backend.before_compiling(_note_compiling) if _shown(wanted) else nullcontext()


def _note_compiling(folder: str | None) -> None:
    note("compiling kernels for this CPU, " + (
        f"once: 10 to 60 seconds (kept in {folder})" if folder is not None else
        "each time: 10 to 60 seconds (the cache folder cannot be written, set NNJIT_CACHE_DIR to another)"))

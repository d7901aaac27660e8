"""A progress bar on stderr for trainings of more than a second, and lines on stdout that do not tear it."""

import sys
from typing import Any


def bar(total: int, wanted: bool | None) -> Any:
    """A tqdm bar of `total` steps, or None: `wanted` None shows it on a terminal only, True and False force."""
    if wanted is None:
        wanted = sys.stderr is not None and sys.stderr.isatty()
    if not wanted:
        return None
    from tqdm import tqdm  # not at the top: its import would cost every start 50 ms
    return tqdm(total=total, unit=" steps", unit_scale=True, delay=1, leave=False, file=sys.stderr)


def say(line: str, file: Any = None) -> None:
    """Print a line to stdout or another file, above a running bar if there is one."""
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        print(line, file=file)
    else:
        tqdm.tqdm.write(line, file=file)


def note(line: str) -> None:
    """Print a note of the command's to stderr, above a running bar if there is one."""
    if sys.stderr is not None:
        say(f"nnjit: note: {line}", sys.stderr)

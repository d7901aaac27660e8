"""nnjit: neural-network kernels written in Python, compiled by Numba for the CPU, each beside a plain NumPy twin.

`nnjit.kernels` holds the operations, `nnjit.nn` the layers, losses, optimizers and models built on them, `nnjit.bench`
the benchmarks. Start with `from nnjit import nn`.
"""

import sys
from typing import Any

__version__ = "0.1.0"

STARTING = ImportError, ValueError, KeyboardInterrupt  # what a nonsense environment variable or Ctrl-C raises


def main() -> int:
    """The command `nnjit`: a nonsense environment variable, too, gives one line and no traceback."""
    try:
        from .cli import main as command
    except STARTING as error:
        return _fail(error)
    if sys.excepthook is _fail_at_start:
        sys.excepthook = sys.__excepthook__
    return command()


def _fail(error: BaseException) -> int:
    interrupted = isinstance(error, KeyboardInterrupt)
    print(f"nnjit: {'interrupted' if interrupted else error}", file=sys.stderr)
    return 130 if interrupted else 2


def _fail_at_start(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    if isinstance(error, STARTING):
        sys.exit(_fail(error))
    sys.__excepthook__(kind, error, trace)


# python -m nnjit.nn imports nnjit.nn before its __main__, which could catch nothing; sys.argv[0] is then still "-m"
if sys.argv[:1] == ["-m"] and any(each.endswith("nnjit.nn") for each in sys.orig_argv[-len(sys.argv):][:1]):
    sys.excepthook = _fail_at_start

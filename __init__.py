"""nnjit: neural-network kernels written in Python, compiled by Numba for the CPU, each beside a plain NumPy twin.

`nnjit.kernels` holds the operations, `nnjit.nn` the layers, losses, optimizers and models built on them, `nnjit.bench`
the benchmarks. Start with `from nnjit import nn`.
"""

import sys

__version__ = "0.1.0"


def main() -> int:
    """The command `nnjit`: a nonsense environment variable, too, gives one line and no traceback."""
    try:
        from .nn.cli import main as command
    except (ImportError, ValueError) as error:
        print(f"nnjit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("nnjit: interrupted", file=sys.stderr)
        return 130
    return command()

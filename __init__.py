"""nnjit: neural-network kernels written in Python, compiled by Numba for the CPU, each beside a plain NumPy twin.

`nnjit.kernels` holds the operations, `nnjit.nn` the layers, losses, optimizers and models built on them, `nnjit.bench`
the benchmarks. Start with `from nnjit import nn`.
"""

__version__ = "0.1.0"

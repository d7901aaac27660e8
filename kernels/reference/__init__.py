"""The NumPy twin of every kernel: same names, same signatures, plain formulas.

Each module states its operation's formula and source, and lists valid arguments in `inputs(rng, shape, dtype)`:
`(function name, args, kwargs)` triples, each backward after the forward it belongs to. `DIMENSIONS` names the
entries of `shape` by the letters of `nnjit.kernels`. `SHAPES` lists the shapes peculiar to an operation: around its
vectors, blocks and switches of method, flat where any shape will do. `bench/contract.py` adds those of all operations.
Tests, gradient checks and benchmarks all read these.

The twins compute in the dtype they are given; run in float64 they are the oracle the kernels are tested against.
`parallel` is accepted so that a twin can stand in for its kernel; NumPy decides for itself.
"""

from importlib import import_module
from pkgutil import iter_modules

__all__ = [module.name for module in iter_modules(__path__)]

for _name in __all__:
    import_module(f"{__name__}.{_name}")

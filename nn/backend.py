"""Which twin the layers call: the compiled kernels ("numba") or the plain NumPy reference ("numpy").

The choice applies to the whole process, including all threads. Layers, losses, optimizers and metrics read `ops` at
each call, so a switch takes effect immediately, even during a training.
"""

import sys
from types import ModuleType
from typing import Any

from .. import kernels
from ..kernels import Replay, before_compiling, get_num_threads, reference

__all__ = ["Replay", "TWINS", "before_compiling", "capture", "get_num_threads", "name", "ops", "use"]

TWINS: dict[str, ModuleType] = {"numba": kernels, "numpy": reference}

name = "numba"
ops: ModuleType = kernels
_switches = 0


class use:
    """Choose the twin for everything in `nnjit.nn`: `use("numpy")`, or `with use("numpy"):` to switch back at the end.

    Raises ValueError for a name other than "numba" and "numpy".
    """

    def __init__(self, twin: str) -> None:
        self._former = name
        _switch(twin)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        _switch(self._former)


def _switch(twin: str) -> None:
    global name, ops, _switches
    if not isinstance(twin, str) or twin not in TWINS:
        raise ValueError(f'backend must be "numba" or "numpy", got {twin!r}')
    name, ops = twin, TWINS[twin]
    _switches += 1


class capture(kernels.capture):
    """`kernels.capture`, which does not see calls of the NumPy twin; `foreign` is also true if a thread switched."""

    def __enter__(self) -> Any:
        self._before = _switches if name == "numba" else None
        calls = super().__enter__()
        calls.frame = sys._getframe(1)
        return calls

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self._calls.foreign |= _switches != self._before

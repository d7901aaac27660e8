"""Which twin the layers call: the compiled kernels ("numba") or the plain NumPy reference ("numpy").

The choice holds for the whole process, threads included. Layers, losses, optimizers and metrics read `ops` at each
call, so a switch takes effect at once, also in the middle of a training.
"""

from types import ModuleType

from .. import kernels
from ..kernels import Replay, capture, get_num_threads, reference

__all__ = ["Replay", "TWINS", "capture", "get_num_threads", "name", "ops", "use"]

TWINS: dict[str, ModuleType] = {"numba": kernels, "numpy": reference}

name = "numba"
ops: ModuleType = kernels


class use:
    """Choose the twin for everything in `nnjit.nn`: `use("numpy")`, or `with use("numpy"):` to restore the former.

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
    global name, ops
    if not isinstance(twin, str) or twin not in TWINS:
        raise ValueError(f'backend must be "numba" or "numpy", got {twin!r}')
    name, ops = twin, TWINS[twin]

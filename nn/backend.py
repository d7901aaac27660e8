"""Which twin the layers call: the compiled kernels ("numba") or the plain NumPy reference ("numpy").

The choice applies to the whole process, including all threads. Layers, losses, optimizers and metrics read `ops` at
each call, so a switch takes effect immediately, even during a training. Both raise the same errors: the arguments of
the NumPy twin pass the checks of the kernels.
"""

import sys
from collections.abc import Callable
from decimal import Decimal
from numbers import Real
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import kernels
from ..kernels import Checked, Replay, address, before_compiling, get_num_threads
from .checks import shown

__all__ = ["Replay", "TWINS", "address", "before_compiling", "capture", "get_num_threads", "name", "ops",
           "random_words", "use"]


def _array(value: Any) -> Any:
    # NumPy makes a number of an array without dimensions, and subclasses such as np.matrix multiply in their own way
    if type(value) is not np.ndarray and isinstance(value, (np.ndarray, np.generic)):
        return np.asarray(value).view(np.ndarray)
    return value


def _number(value: Any) -> Any:
    # float32 times a number of NumPy's may be float64, and times a Decimal is an error
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.item()
    return float(value) if isinstance(value, (Decimal, Real)) and not isinstance(value, int) else value


def _gated(kernel: Callable[..., Any], twin: Callable[..., Any]) -> Callable[..., Any]:
    """The function of the twin, called once the arguments have passed the checks of the kernel's: 2 to 6 us a call."""

    def call(*args: Any, **options: Any) -> Any:
        try:
            kernel(*args, **options, parallel=Checked)
        except Checked:
            pass
        options = {key: value if type(value) is float or key == "out" else _number(value)
                   for key, value in options.items()}
        with np.errstate(all="ignore"):  # infinity and NaN are results, as of the kernels
            found = twin(*map(_array, args), **options)
        return tuple(map(_array, found)) if type(found) is tuple else _array(found)

    return call


class _Reference:
    """The operations of the NumPy twin, each made when it is first asked for."""

    def __getattr__(self, operation: str) -> SimpleNamespace:
        if operation not in kernels.OPERATIONS:
            raise AttributeError(f"there is no operation {operation!r}")
        from ..kernels import reference
        kernel, twin = getattr(kernels, operation), getattr(reference, operation)
        gated = SimpleNamespace(**{verb: _gated(getattr(kernel, verb), getattr(twin, verb))
                                   for verb in ("forward", "backward", "step") if hasattr(twin, verb)})
        vars(self)[operation] = gated
        return gated


TWINS: dict[str, Any] = {"numba": kernels, "numpy": _Reference()}

name = "numba"
ops: Any = kernels
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
        raise ValueError(f'backend must be "numba" or "numpy", got {shown(twin)}')
    name, ops = twin, TWINS[twin]
    _switches += 1


def random_words(counters: Any, seed: int, stream: int) -> Any:
    """The four words of 32 bits of each counter (M,) as (M, 4) uint64: Philox 4x32-10, of which kernels make their
    random numbers, by NumPy's whole numbers. The same on every machine."""
    from ..kernels.reference.dropout import _philox
    return _philox(counters, seed, stream)


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

"""Compilation: the only caller of `numba.njit`.

`@inline` marks a function that kernels call; `@loops` turns one loop nest into a serial and a parallel variant;
`pick` chooses between them at each call. Nothing is compiled and no thread is started before the first call.
"""

import types
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy
from numba.core.registry import CPUDispatcher

from . import capture, libraries, threads
from .cache import Cache, DIGESTED
from .signals import alone

if getattr(numba.config, "DISABLE_JIT", False):
    raise ImportError("nnjit's kernels are compiled code: unset NUMBA_DISABLE_JIT to use them")

OPTIONS = {"error_model": "numpy", "nogil": True, "boundscheck": False}  # never fastmath: it would change the bits


def _compile(function, variant, kind, **options):
    # a copy with its own qualified name: both variants of one nest are different symbols and different cache entries
    copy = types.FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__)
    copy.__qualname__ = f"{function.__qualname__}.{variant}"
    copy.__module__ = function.__module__
    copy.__doc__ = function.__doc__
    dispatcher = numba.njit(**OPTIONS, **options)(copy)
    dispatcher.__class__ = kind
    name = f"{function.__module__}.{copy.__qualname__}"
    # the digest knows no other sources, nor what was edited since and is loaded again
    if Path(function.__code__.co_filename) in DIGESTED and name not in _compiled:
        _compiled.add(name)
        dispatcher._cache = Cache(name, kind is _Outer)
    return dispatcher


_compiled: set[str] = set()


class _Outer(CPUDispatcher):
    def _compile_for_args(self, *args):  # Numba calls it where there is no compiled code for these arguments
        return alone(super()._compile_for_args, *args)

    def compile(self, sig):
        with libraries.whole():
            return super().compile(sig)


class _OfNest(_Outer):
    def get_call_template(self, args, kws):  # Numba calls it to compile a function that calls this one
        raise TypeError(f"{self.__qualname__} can't be called by compiled code")  # the cache keeps none to include


# What kernels call holds no reference to an array, so it need not count any: an atomic add and a spilled register each
# time, 0.1 us a tile. It can't allocate either; see memory.scratch. Without wrappers for Python's calls, which nobody
# makes, a cold start takes an eighth less.
INNER = {"_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, **OPTIONS}


class _Inner(CPUDispatcher):
    def __call__(self, *args, **kwargs):
        raise TypeError(f"{self.__qualname__} can be called by kernels only")  # for want of a wrapper it would crash

    def compile(self, sig):
        with libraries.included(self.__qualname__):
            return super().compile(sig)


def _inner(function, **options):
    dispatcher = numba.njit(**INNER, **options)(function)
    dispatcher.__class__ = _Inner
    return dispatcher


def inline(function):
    """Compile a function that kernels call, and fold it into each caller."""
    return _inner(function, forceinline=True)


def shared(function):
    """Compile a function that kernels call, as one copy that all callers share."""
    return _inner(function)


def direct(function):
    """Compile a function that Python calls, as one variant. Others like it may call it, too."""
    return _compile(function, "direct", _Outer)


class Nest:
    """A loop nest over `prange`, compiled on first use as `.serial` and as `.parallel`.

    writes, updates : the names of the arrays that it writes, and of those of which it reads first what it then writes
    rows, sums : how it can be called for a block of rows after the other, see core/blocks.py
    """

    def __init__(self, function, writes, updates, rows, sums):
        self.__doc__ = function.__doc__
        self.names = function.__code__.co_varnames[:function.__code__.co_argcount]
        self.writes, self.updates, self.rows, self.sums = writes, updates, rows, sums
        self.serial = _compile(function, "serial", _OfNest)
        self.serial.nest = self
        self.threads = _compile(function, "parallel", _OfNest, parallel=True)

    def parallel(self, *args):
        """Run the parallel variant on as many threads as `set_num_threads` allows."""
        return threads.run(self.threads, self.serial, args)


def loops(function=None, *, writes=(), updates=(), rows=None, sums=()):
    """Make a loop nest a Nest that writes these arguments."""
    make = partial(Nest, writes=writes, updates=updates, rows=rows, sums=sums)
    return make if function is None else make(function)


def nest_of(variant):
    """The Nest of what `pick` gave."""
    return variant.__self__ if isinstance(variant, types.MethodType) else variant.nest


class Checked(Exception):
    """A public function given `parallel=Checked` raises this once its arguments have passed, and computes nothing."""


def pick(nest, large, parallel):
    """The variant of `nest` to call: for parallel None the parallel one if the work is `large`."""
    if parallel is None:
        parallel = large and threads.team() > 1
    elif parallel is Checked:
        raise Checked
    elif parallel is not True and parallel is not False and type(parallel) is not numpy.bool_:
        raise TypeError(f"parallel must be None, True or False, got {type(parallel).__name__}")
    variant = nest.parallel if parallel else nest.serial
    return capture.noting(variant) if capture._captures else variant


def signature_and_address(function, kinds):
    """Of a compiled function for arguments of these kinds: its signature and where its machine code begins."""
    found = _addresses.get((function, kinds))
    if found is None:
        found = _addresses[function, kinds] = alone(_look_up, function, kinds)
    return found


def _look_up(function, kinds):
    function.compile(kinds)
    compiled = function.overloads[kinds]
    return compiled.signature, compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)


_addresses: dict[Any, Any] = {}


def c_address(function, kinds):
    """Where the machine code of a function begins as C calls it."""
    return alone(_look_up_c, function, kinds)


def _look_up_c(function, kinds):
    function.compile(kinds)
    compiled = function.overloads[kinds]
    return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cfunc_wrapper_name)

"""Compilation and threads: the only caller of `numba.njit`.

`@inline` marks a function that kernels call; `@loops` turns one loop nest into a serial and a parallel variant;
`pick` chooses between them at each call. Nothing is compiled and no thread is started before the first call.
"""

import os
import sys
import threading
import types
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy
from llvmlite.binding import ffi
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher
from numba.np.ufunc import parallel as pool

from .cache import DIGESTED, Cache, cache_folder, distrusted
from .signals import Postponed

if getattr(numba.config, "DISABLE_JIT", False):
    raise ImportError("nnjit's kernels are compiled code: unset NUMBA_DISABLE_JIT to use them")

PACKAGE = __name__.partition(".")[0]
OPTIONS = {"error_model": "numpy", "nogil": True, "boundscheck": False}  # never fastmath: it would change the bits


def _compile(function, variant, **options):
    # a copy with its own qualified name: both variants of one nest are different symbols and different cache entries
    copy = types.FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__)
    copy.__qualname__ = f"{function.__qualname__}.{variant}"
    copy.__module__ = function.__module__
    copy.__doc__ = function.__doc__
    dispatcher = numba.njit(**OPTIONS, **options)(copy)
    dispatcher.__class__ = _Outer
    name = f"{function.__module__}.{copy.__qualname__}"
    # the digest knows no other sources, nor what was edited since and is loaded again
    if Path(function.__code__.co_filename) in DIGESTED and name not in _compiled:
        _compiled.add(name)
        dispatcher._cache = Cache(name)
    return dispatcher


_compiled: set[str] = set()


# A thread must not enter Numba's compiler and LLVM twice, though their locks allow it: LLVM calls Python in the midst
# of its work, and aborts the process. Nor must an exception come in there, since Numba's tables would stay half filled.
# So handlers of signals wait, Ctrl-C too, for a second or two. Other code that comes in can't wait, and gets an error:
# callbacks of the garbage collector, `__del__`, functions that trace.


def _inside():
    """Whether this thread is in Numba's compiler, for a kernel or for another function. The lock alone does not tell:
    it may still be held after Ctrl-C in the compilation of a user's function."""
    if global_compiler_lock.is_locked():
        frame: types.FrameType | None = sys._getframe()
        while frame is not None:
            if str(frame.f_globals.get("__name__")).startswith("numba."):
                return True
            frame = frame.f_back
    return False


def _alone(function, *args):
    """Call a function that compiles, loads compiled code or starts threads."""
    if _inside():
        raise RuntimeError("a kernel can't be compiled or loaded by code that interrupts the compilation of another "
                           "function, as a signal's handler, a callback of the garbage collector or __del__ may: call "
                           "the kernel once before, with arrays of the same dtype and number of dimensions")
    waiting = Postponed()
    try:
        with global_compiler_lock._lock, waiting:  # a lock in C: no handler comes in between it and what follows
            return function(*args)
    finally:
        waiting.deliver()


class _Outer(CPUDispatcher):
    def _compile_for_args(self, *args):  # Numba calls it where there is no compiled code for these arguments
        return _alone(super()._compile_for_args, *args)


# What kernels call holds no reference to an array, so it need not count any: an atomic add and a spilled register each
# time, 0.1 us a tile. It can't allocate either; see simd.scratch. Without wrappers for Python's calls, which nobody
# makes, a cold start takes an eighth less.
INNER = {"_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, **OPTIONS}


class _Inner(CPUDispatcher):
    def __call__(self, *args, **kwargs):
        raise TypeError(f"{self.__qualname__} can be called by kernels only")  # for want of a wrapper it would crash


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
    """Compile a function that Python calls, as one variant."""
    return _compile(function, "direct")


class loops:
    """One loop nest over `prange`, compiled on first use as `.serial` and as `.parallel`."""

    def __init__(self, function):
        self.__doc__ = function.__doc__
        self.serial = _compile(function, "serial")
        self.threads = _compile(function, "parallel", parallel=True)

    def parallel(self, *args):
        """Run the parallel variant on as many threads as `set_num_threads` allows."""
        if _forked:
            return self.serial(*args)
        if not _launched:
            if _inside():
                return self.serial(*args)
            _launch()
        if _lock is not None and type(threading.current_thread()) is threading._DummyThread:
            return self.serial(*args)  # no thread of Python's, so one of workqueue's: these abort when they enter again
        before = pool._get_num_threads()  # the mask belongs to the calling thread, and its user may have set it
        wanted = min(team(), pool.NUM_THREADS)
        if before != wanted:
            pool._set_num_threads(wanted)
        try:
            if _lock is None:
                return self.threads(*args)
            with _lock:
                return self.threads(*args)
        finally:
            if before != wanted:
                pool._set_num_threads(before)


def pick(nest, large, parallel):
    """The variant of `nest` to call: for parallel None the parallel one if the work is `large`."""
    if parallel is None:
        parallel = large and team() > 1
    elif parallel is not True and parallel is not False and type(parallel) is not numpy.bool_:
        raise TypeError(f"parallel must be None, True or False, got {type(parallel).__name__}")
    variant = nest.parallel if parallel else nest.serial
    return _noting(variant) if _captures else variant


class Calls(list):
    """The list of calls that `capture` returns."""

    foreign = False  # whether other code made a call, such as a signal handler, which may run anywhere
    frame: types.FrameType | None = None  # of who captures


_captures: dict[int, Calls] = {}  # of each thread that captures


class capture:
    """The calls of loop nests that this thread makes within `with capture() as calls:`, as (nest, list of arguments).

    `nest(*arguments)` repeats a call on the same arrays, without the checks, as a training does at each step.
    `calls.foreign` says whether code other than nnjit's and the caller's own function made a call.
    """

    def __enter__(self):
        thread = threading.get_ident()
        self._outer = _captures.get(thread)
        self._calls = calls = _captures[thread] = Calls()
        calls.frame = sys._getframe(1)
        return calls

    def __exit__(self, *exception):
        self._calls.frame = None
        if self._outer is None:
            del _captures[threading.get_ident()]
        else:
            _captures[threading.get_ident()] = self._outer


def _noting(variant):
    calls = _captures.get(threading.get_ident())
    if calls is None:
        return variant

    def call(*args):
        result = variant(*args)
        calls.append((variant, list(args)))
        frame: types.FrameType | None = sys._getframe(1)
        while frame is not None and frame is not calls.frame:
            if frame.f_globals.get("__name__", "").partition(".")[0] != PACKAGE:
                calls.foreign = True
            frame = frame.f_back
        return result
    return call


def signature_and_address(function, kinds):
    """Of a compiled function for arguments of these kinds: its signature and where its machine code begins."""
    found = _addresses.get((function, kinds))
    if found is None:
        found = _addresses[function, kinds] = _alone(_look_up, function, kinds)
    return found


def _look_up(function, kinds):
    function.compile(kinds)
    compiled = function.overloads[kinds]
    return compiled.signature, compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)


_addresses: dict[Any, Any] = {}


# ---- threads

_launched = False
_lock = None
_forked = False


def _launch():
    """Start Numba's threads in the layer the user chose, or Numba's first choice."""
    _alone(_launch_once)


def _launch_once():
    global _launched, _lock
    if _launched:  # by another thread
        return
    with _launching(GOMP_SPINCOUNT=SPIN_COUNT):
        pool._launch_threads()
    if pool._threading_layer == "workqueue":
        _lock = threading.RLock()  # workqueue aborts the process when two threads enter
    _launched = True


# libgomp's threads spin after a parallel region, and then fight OpenBLAS's for the cores. A loop of np.matmul and tanh
# (bench_mixed.py, 128x784x128, 2 threads) takes 7200 us by libgomp's own count, 2400 at 100000, 280 at 10000, 170 at
# 1000 and 165 at 0; a loop of our products alone 140 at 0 and 85 to 110 from 100 on. The variable is read once, when
# the library is loaded, and put back after. PyTorch loads it with its import: if that came first, the mixed loop takes
# 7950 us, and 200 with OMP_WAIT_POLICY=passive set before Python starts, which is all that helps then.
SPIN_COUNT = "1000"


class _launching:
    def __init__(self, **settings):
        self.settings = settings if "OMP_WAIT_POLICY" not in os.environ else {}

    def __enter__(self):
        self.added = [name for name in self.settings if name not in os.environ]
        for name in self.added:
            os.environ[name] = self.settings[name]

    def __exit__(self, *exception):
        for name in self.added:
            del os.environ[name]


# A fork waits until other threads have compiled: its child would wait for ever for the lock of a thread that is gone.
COMPILING = global_compiler_lock, ffi.lib._lock


def _before_fork():
    for lock in COMPILING:
        lock.__enter__()


def _after_fork():
    for lock in reversed(COMPILING):
        lock.__exit__(None, None, None)


def _after_fork_in_child():
    # OpenMP's threads do not survive a fork: a child that enters a region is killed or computes garbage
    global _forked
    _forked = True
    for thread in _captures.keys() - {threading.get_ident()}:  # gone, and its number is free for another
        del _captures[thread]
    _after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)


def set_num_threads(n):
    """Set the number of threads for kernels, 1 to NUMBA_NUM_THREADS (by default the number of cores). Results do not
    change. No more threads than cores are used.

    Raises TypeError unless n is an int, ValueError outside the range.
    """
    global _num_threads
    if isinstance(n, bool) or not isinstance(n, (int, numpy.integer)):
        raise TypeError(f"the number of threads must be an int, got {type(n).__name__}")
    n = int(n)
    if not 1 <= n <= pool.NUM_THREADS:
        raise ValueError(f"the number of threads must lie in 1..{pool.NUM_THREADS}, got {n} "
                         "(set NUMBA_NUM_THREADS before the start for more)")
    _num_threads = n


def get_num_threads():
    """The number of threads that kernels may use."""
    return _num_threads


# More threads than cores wait for each other at the end of each region: 16 on 2 cores took 6.5 times as long as one for
# a product of 128^3 under libgomp. The bits are the same.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def team():
    """The number of threads that kernels actually use: at most the number of cores."""
    return min(_num_threads, CORES)


def _threads_at_start():
    wish = os.environ.get("NNJIT_NUM_THREADS")
    if not wish:
        return pool.NUM_THREADS
    if not wish.isdecimal() or not 1 <= int(wish) <= pool.NUM_THREADS:
        raise ValueError(f"NNJIT_NUM_THREADS must be a whole number in 1..{pool.NUM_THREADS}, got {wish!r} "
                         "(set NUMBA_NUM_THREADS for more)")
    return int(wish)


_num_threads = _threads_at_start()


def info():
    """Versions, CPU, threads and cache, as text by name."""
    import platform

    from .simd import REGISTER_BYTES

    try:
        folder = str(cache_folder())
        reason = distrusted(cache_folder())
        if reason:
            folder += f" (not used: {reason})"
    except RuntimeError:  # a user without a home folder
        folder = "none: set NNJIT_CACHE_DIR"
    cpu, features = numba.core.registry.cpu_target.target_context.codegen().magic_tuple()[1:3]
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "cpu": cpu,
        "fma": "yes" if "+fma" in features or REGISTER_BYTES == 64 or platform.machine() == "aarch64" else "no",
        "vector registers": f"{8 * REGISTER_BYTES} bits",
        "threads": f"{_num_threads} of {pool.NUM_THREADS}",
        "threading layer": pool._threading_layer if pool._is_initialized else "not started",
        "cache folder": folder,
    }

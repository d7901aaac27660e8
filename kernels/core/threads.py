"""Numba's threads: when they start, how many work, and when a nest runs serially all the same."""

import ctypes
import os
import sys
import threading

import numpy
from numba.np.ufunc import parallel as pool

from .signals import alone, inside

_launched = False
_lock = None
_forked = False


def _launch():
    """Start Numba's threads in the layer the user chose, or Numba's first choice."""
    alone(_launch_once)


def _launch_once():
    global _launched, _lock
    if _launched:  # by another thread
        return
    with _launching(GOMP_SPINCOUNT=SPIN_COUNT):
        pool._launch_threads()
    if pool._threading_layer == "workqueue":
        _lock = threading.RLock()  # workqueue aborts the process when two threads enter
    if pool._threading_layer == "tbb":
        # its module is not to be freed at the end: it waits for all tasks, which a fork amid a parallel region can
        # leave undone for ever, in the child and in the parent
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(sys.modules["numba.np.ufunc.tbbpool"]))
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


def run(parallel, serial, args):
    """Call the parallel variant of a nest on as many threads as `set_num_threads` allows, or the serial one."""
    if _forked:
        return serial(*args)
    if not _launched:
        if inside():
            return serial(*args)
        _launch()
    if _lock is not None and type(threading.current_thread()) is threading._DummyThread:
        return serial(*args)  # no thread of Python's, so one of workqueue's: these abort when they enter again
    before = pool._get_num_threads()  # the mask belongs to the calling thread, and its user may have set it
    wanted = min(team(), pool.NUM_THREADS)
    if before != wanted:
        pool._set_num_threads(wanted)
    try:
        if _lock is None:
            return parallel(*args)
        with _lock:
            return parallel(*args)
    finally:
        if before != wanted:
            pool._set_num_threads(before)


def _after_fork_in_child():
    # OpenMP's threads do not survive a fork: a child that enters a region is killed or computes garbage
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


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
    team_word[0] = team()


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
team_word = numpy.array([team()])  # the compiled gate reads it

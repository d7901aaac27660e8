"""A copy of the package with a kernel more, which tells which threads ran it, in child processes."""

import textwrap
from pathlib import Path

import children
import nnjit
from children import finish

PACKAGE = Path(nnjit.__file__).parent
THREADS = 4  # more than a small machine has cores: a thread is a thread

# A kernel that tells which threads ran it, and one that depends on another file.
PROBE = """
from numba import get_thread_id, prange
from .helper import plus
from .core.compile import loops

@loops
def who(x):
    for i in prange(x.size):
        x[i] = get_thread_id()

@loops
def add(x):
    for i in prange(x.size):
        x[i] = plus(x[i])

@loops
def slow(x):
    for i in range(100_000_000):
        x[i % x.size] += 1  # a cell that is not known in advance: it can't stay in a register
"""
HELPER = """
from .core.compile import inline

@inline
def plus(x):
    return x + {}
"""
# `work` returns the threads that ran each variant; `report` prints a last line for the parent.
PRELUDE = """
import hashlib, json, os, sys, threading
import numpy as np
from nnjit.kernels import probe, tanh
from nnjit.kernels.core import capture, compile, info, signals, threads
from nnjit.kernels.core.cache import cache_folder

threads.CORES = 4

def report(**found):
    print(json.dumps(found))

def ids(variant, dtype=np.float32):
    threads._launch()  # get_thread_id needs it in serial code as well
    x = np.full(64, -1, dtype)
    variant(x)
    return sorted(set(x.tolist()))

def work():
    return [ids(variant, dtype) for variant in (probe.who.serial, probe.who.parallel) for dtype in ("f4", "f8")]

def cache():
    both = probe.who.serial, probe.who.threads
    return [sum(sum(count.values()) for count in counts)
            for counts in ([d._cache_hits for d in both], [d._cache_misses for d in both])]

X = np.linspace(-3, 3, 50_000, dtype=np.float32)

def bits(parallel):
    return hashlib.sha256(tanh.forward(X, parallel=parallel)).hexdigest()
"""
RIGHT = [[0], [0], [0, 1, 2, 3], [0, 1, 2, 3]]
NO_HOME = """
import os, pwd
def unknown(uid):
    raise KeyError(uid)
pwd.getpwuid = unknown  # as for a user id that a container was merely told
os.environ.pop("HOME", None), os.environ.pop("XDG_CACHE_HOME", None)
"""


def start(package, cache, code, prelude=PRELUDE, before=(), **settings):
    here = {"PYTHONPATH": str(package), "NNJIT_CACHE_DIR": str(cache), "NUMBA_NUM_THREADS": str(THREADS)}
    return children.start("-c", prelude + textwrap.dedent(code), before=before, **here | settings)


def child(package, cache, code, prelude=PRELUDE, before=(), **settings):
    return finish(start(package, cache, code, prelude, before, **settings))


def entries(cache):
    return sorted(cache.glob("*/*probe.who*.bin"))

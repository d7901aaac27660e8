"""What a report of a fault should name."""

import platform

import llvmlite
import numba
import numpy

from . import public, threads
from .cache import cache_folder, distrusted
from .vectors import REGISTER_BYTES


def info():
    """Versions, CPU, threads and cache, as text by name."""
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
        "calls": f"checked in Python: {public.python_reason()}" if public.python_reason() else "compiled",
        "threads": f"{threads.get_num_threads()} of {threads.pool.NUM_THREADS}",
        "threading layer": threads.pool._threading_layer if threads.pool._is_initialized else "not started",
        "cache folder": folder,
    }

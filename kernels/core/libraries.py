"""Code that is compiled only as a part of the functions that include it.

Numba optimizes each function that another one calls and compiles it to machine code, then links the optimized code into
the caller, where both are done again; with the body of a `prange` loop this happens three times. Here the machine code
is left to the outermost caller, and so is optimizing what Numba wraps around such a body. Leaving all optimizing to it
takes another fifth off, but some loops get worse: max_pool2d.backward of 3x3 windows took 1.5 times as long.
"""

import contextlib

from numba.core.codegen import JITCodeLibrary
from numba.core.registry import cpu_target

BODIES = "__numba_parfor_gufunc"  # begins the names of Numba's libraries of `prange` loops' bodies
WRAPPERS = "<numba.np.ufunc.wrappers._GufuncWrapper", "parallelgufuncwrapper"


class _WithoutMachine:
    """Numba's code generator, without a place in memory for the code."""

    def __init__(self, codegen):
        self._all = codegen

    def __getattr__(self, name):
        return getattr(self._all, name)

    def _add_module(self, module):
        pass

    def set_env(self, name, environment):
        pass  # `print` and errors with values would read it, and need what inline functions are compiled without


class _Included(JITCodeLibrary):
    """Code to link into other code: not compiled to machine code."""

    def _finalize_specific(self):
        pass


class _Wrapper(_Included):
    """What Numba wraps around the body of a `prange` loop: not optimized alone either."""

    def _optimize_final_module(self):
        pass


def _kind(name):
    return _Included if name.startswith(BODIES) else _Wrapper if name.startswith(WRAPPERS) else None


@contextlib.contextmanager
def _creating(kind):
    codegen = cpu_target.target_context.codegen()
    before = vars(codegen).get("create_library")

    def create_library(name, **options):
        chosen = kind(name)
        if chosen is None:
            return type(codegen).create_library(codegen, name, **options)
        return chosen(_WithoutMachine(codegen), name, **options)

    codegen.create_library = create_library
    try:
        yield
    finally:
        del codegen.create_library
        if before is not None:
            codegen.create_library = before


def included(name):
    """Within `with included(name):`, Numba compiles the function of this qualified name as a part of others. The caller
    holds the compiler's lock."""
    return _creating(lambda library: _Included if library == name else None)


def whole():
    """Within `with whole():`, Numba compiles the bodies of `prange` loops as a part of the functions that have them."""
    return _creating(_kind)

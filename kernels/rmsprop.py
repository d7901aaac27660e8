"""RMSprop: the moving mean of squared gradients and the parameters in one pass."""

from numba import prange

from .core import check
from .core.elementary import tiny
from .core.compile import inline, loops, pick
from .core.elementwise import BLOCK
from .core.memory import load, store
from .core.public import public
from .core.vectors import absolute, fma, lanes, select, sqrt

NAMES = ("w", "dw", "cache")
PARALLEL_FROM = 32_768  # elements, as in adam


@inline
def _step_block(w, dw, cache, rate, rho, rest, epsilon, start, end):
    for at in range(start, end, lanes(w)):
        g = load(dw, at, end, 0.0)
        c = fma(load(cache, at, end, 0.0), rho, g * g * rest)
        c = select(absolute(c) < tiny(c), tiny(c), c)  # a negative one is a mistake and gives NaN
        store(cache, at, end, c)
        store(w, at, end, load(w, at, end, 0.0) - g * rate / (sqrt(c) + epsilon))


@loops(updates=("w", "cache"))
def _step_blocks(w, dw, cache, rate, rho, epsilon):
    for block in prange((w.size + BLOCK - 1) // BLOCK):
        _step_block(w, dw, cache, rate, rho, 1 - rho, epsilon, block * BLOCK, min((block + 1) * BLOCK, w.size))


@public
def step(w, dw, cache, *, learning_rate, rho=0.9, epsilon=1e-7, parallel=None):
    """Update the parameters by RMSprop's rule, in place.

    w : any shape, float32 or float64, C-contiguous; updated
    dw : shape and dtype of w, any strides; not modified
    cache : the moving mean of squared gradients, shape and dtype of w, C-contiguous, zeros at first; updated
    learning_rate, rho, epsilon : finite numbers
    parallel : None decides by size; True or False overrides

    cache = fma(cache, rho, dw * dw * (1 - rho)), w = w - dw * learning_rate / (sqrt(cache) + epsilon); 1 - rho is taken
    in float64 and rounded to the dtype of w once. A cache below 2^-122 (2^-1018 in float64) then counts as that number:
    that of an unused weight would fade into denormal numbers, which are slow.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes, overlapping arrays or a number that
    is not finite. NaN propagates, and a negative cache gives NaN.
    Formula and source: kernels/reference/rmsprop.py
    """
    rate, rho = check.number("learning_rate", learning_rate), check.number("rho", rho)
    epsilon = check.number("epsilon", epsilon)
    w, dw, cache = check.state(NAMES, (w, dw, cache))
    pick(_step_blocks, w.size >= PARALLEL_FROM, parallel)(w, dw, cache, rate, rho, epsilon)

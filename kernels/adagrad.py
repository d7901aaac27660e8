"""AdaGrad: the sum of squared gradients and the parameters in one pass."""

from numba import prange

from .core import check
from .core.compile import inline, loops, pick
from .core.elementwise import BLOCK
from .core.memory import load, store
from .core.public import public
from .core.vectors import fma, lanes, sqrt

NAMES = ("w", "dw", "cache")
PARALLEL_FROM = 32_768  # elements, as in adam


@inline
def _step_block(w, dw, cache, rate, epsilon, start, end):
    for at in range(start, end, lanes(w)):
        g = load(dw, at, end, 0.0)
        c = fma(g, g, load(cache, at, end, 0.0))
        store(cache, at, end, c)
        store(w, at, end, load(w, at, end, 0.0) - g * rate / (sqrt(c) + epsilon))


@loops(updates=("w", "cache"))
def _step_blocks(w, dw, cache, rate, epsilon):
    for block in prange((w.size + BLOCK - 1) // BLOCK):
        _step_block(w, dw, cache, rate, epsilon, block * BLOCK, min((block + 1) * BLOCK, w.size))


@public
def step(w, dw, cache, *, learning_rate, epsilon=1e-7, parallel=None):
    """Update the parameters by AdaGrad's rule, in place.

    w : any shape, float32 or float64, C-contiguous; updated
    dw : shape and dtype of w, any strides; not modified
    cache : the sums of squared gradients, shape and dtype of w, C-contiguous, zeros at first; updated
    learning_rate, epsilon : finite numbers
    parallel : None decides by size; True or False overrides

    cache = fma(dw, dw, cache), w = w - dw * learning_rate / (sqrt(cache) + epsilon).
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes, overlapping arrays or a number that
    is not finite. NaN propagates, and a negative cache gives NaN; so does epsilon = 0 where all gradients were 0.
    Formula and source: kernels/reference/adagrad.py
    """
    rate, epsilon = check.number("learning_rate", learning_rate), check.number("epsilon", epsilon)
    w, dw, cache = check.state(NAMES, (w, dw, cache))
    pick(_step_blocks, w.size >= PARALLEL_FROM, parallel)(w, dw, cache, rate, epsilon)

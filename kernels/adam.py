"""Adam, with decoupled weight decay AdamW: both moments and the parameters in one pass."""

from numba import prange

from .core import check
from .core.elementary import tiny
from .core.compile import inline, loops, pick
from .core.elementwise import BLOCK
from .core.memory import load, store
from .core.public import public
from .core.vectors import absolute, fma, lanes, select, sqrt

NAMES = ("w", "dw", "m", "v")
PARALLEL_FROM = 32_768  # elements; bench/thresholds.py at 2 threads


@inline
def _step_block(w, dw, m, v, beta_1, rest_1, beta_2, rest_2, rate, scale, epsilon, keep, start, end):
    for at in range(start, end, lanes(w)):
        g = load(dw, at, end, 0.0)
        a = fma(load(m, at, end, 0.0), beta_1, g * rest_1)
        b = fma(load(v, at, end, 0.0), beta_2, g * g * rest_2)
        a = select(absolute(a) < tiny(a), 0.0, a)
        b = select(absolute(b) < tiny(b), tiny(b), b)  # a negative one is a mistake and gives NaN
        store(m, at, end, a)
        store(v, at, end, b)
        store(w, at, end, load(w, at, end, 0.0) * keep - a * rate / (sqrt(b * scale) + epsilon))


@loops(updates=("w", "m", "v"))
def _step_blocks(w, dw, m, v, learning_rate, correction_1, correction_2, beta_1, beta_2, epsilon, weight_decay):
    rate, scale, keep = learning_rate / correction_1, 1 / correction_2, 1 - learning_rate * weight_decay
    for block in prange((w.size + BLOCK - 1) // BLOCK):
        _step_block(w, dw, m, v, beta_1, 1 - beta_1, beta_2, 1 - beta_2, rate, scale, epsilon, keep,
                    block * BLOCK, min((block + 1) * BLOCK, w.size))


@public
def step(w, dw, m, v, *, learning_rate, correction_1, correction_2, beta_1=0.9, beta_2=0.999, epsilon=1e-7,
         weight_decay=0.0, parallel=None):
    """Update the parameters by Adam's rule, in place.

    w : any shape, float32 or float64, C-contiguous; updated
    dw : shape and dtype of w, any strides; not modified
    m, v : the moments, shape and dtype of w, C-contiguous, zeros at first; updated
    learning_rate, beta_1, beta_2, epsilon, weight_decay : finite numbers
    correction_1, correction_2 : finite numbers, not 0: 1 - beta_1^t and 1 - beta_2^t at step t = 1, 2, ...
    parallel : None decides by size; True or False overrides

    m = fma(m, beta_1, dw * (1 - beta_1)), v = fma(v, beta_2, dw * dw * (1 - beta_2)),
    w = w * (1 - learning_rate * weight_decay) - m * (learning_rate / correction_1) / (sqrt(v * (1 / correction_2)) +
    epsilon); the numbers in brackets are taken in float64 and rounded to the dtype of w once. An m below 2^-122
    (2^-1018 in float64) then counts as 0, and a v below it as that number: unused weights' moments would fade into
    denormal numbers, where one in a hundred doubles the time. Without weight decay w is multiplied by 1, which takes
    2 % of the time of 4096 weights and 1 % of that of 100000.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes, overlapping arrays, a number that
    is not finite or a correction of 0. NaN propagates.
    Formula and source: kernels/reference/adam.py
    """
    number = check.number
    beta_1, beta_2, epsilon = number("beta_1", beta_1), number("beta_2", beta_2), number("epsilon", epsilon)
    # 1 - beta^t, and steps are counted from 1
    correction_1 = check.not_zero("correction_1", correction_1)
    correction_2 = check.not_zero("correction_2", correction_2)
    learning_rate, weight_decay = number("learning_rate", learning_rate), number("weight_decay", weight_decay)
    w, dw, m, v = check.state(NAMES, (w, dw, m, v))
    nest = pick(_step_blocks, w.size >= PARALLEL_FROM, parallel)
    nest(w, dw, m, v, learning_rate, correction_1, correction_2, beta_1, beta_2, epsilon, weight_decay)

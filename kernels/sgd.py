"""Stochastic gradient descent, with momentum or Nesterov's: one pass over the parameters."""

from numba import prange

from .core import check
from .core.elementary import tiny
from .core.compile import inline, loops, pick
from .core.elementwise import BLOCK
from .core.memory import load, store
from .core.public import public
from .core.vectors import absolute, fma, lanes, select

PARALLEL_FROM = 131_072  # elements; bench/thresholds.py at 2 threads


@inline
def _step_block(w, dw, rate, start, end):
    for at in range(start, end, lanes(w)):
        store(w, at, end, fma(load(dw, at, end, 0.0), -rate, load(w, at, end, 0.0)))


@loops(updates=("w",))
def _step_blocks(w, dw, rate):
    for block in prange((w.size + BLOCK - 1) // BLOCK):
        _step_block(w, dw, rate, block * BLOCK, min((block + 1) * BLOCK, w.size))


@inline
def _momentum_block(w, dw, v, rate, momentum, start, end):
    for at in range(start, end, lanes(w)):
        u = fma(load(dw, at, end, 0.0), -rate, load(v, at, end, 0.0) * momentum)
        u = select(absolute(u) < tiny(u), 0.0, u)
        store(v, at, end, u)
        store(w, at, end, load(w, at, end, 0.0) + u)


@loops(updates=("w", "v"))
def _momentum_blocks(w, dw, v, rate, momentum):
    for block in prange((w.size + BLOCK - 1) // BLOCK):
        _momentum_block(w, dw, v, rate, momentum, block * BLOCK, min((block + 1) * BLOCK, w.size))


@inline
def _nesterov_block(w, dw, v, rate, momentum, start, end):
    for at in range(start, end, lanes(w)):
        g = load(dw, at, end, 0.0)
        u = fma(g, -rate, load(v, at, end, 0.0) * momentum)
        u = select(absolute(u) < tiny(u), 0.0, u)
        store(v, at, end, u)
        store(w, at, end, load(w, at, end, 0.0) + fma(g, -rate, u * momentum))


@loops(updates=("w", "v"))
def _nesterov_blocks(w, dw, v, rate, momentum):
    for block in prange((w.size + BLOCK - 1) // BLOCK):
        _nesterov_block(w, dw, v, rate, momentum, block * BLOCK, min((block + 1) * BLOCK, w.size))


@public
def step(w, dw, v=None, *, learning_rate, momentum=0.0, nesterov=False, parallel=None):
    """Update the parameters by gradient descent, in place.

    w : any shape, float32 or float64, C-contiguous; updated
    dw : shape and dtype of w, any strides; not modified
    v : the velocity, shape and dtype of w, C-contiguous, zeros at first; updated. None without momentum
    learning_rate, momentum : finite numbers
    nesterov : True looks ahead by the new velocity; False, the default, does not
    parallel : None decides by size; True or False overrides

    v = fma(dw, -learning_rate, v * momentum), w = w + v; with nesterov w = w + fma(dw, -learning_rate, v * momentum),
    with the new v; without v, w = fma(dw, -learning_rate, w). A v below 2^-122 (2^-1018 in float64) counts as 0: that
    of an unused weight would fade into denormal numbers, which are slow.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes, overlapping arrays, a number that
    is not finite, momentum or nesterov without v. NaN propagates.
    Formula and source: kernels/reference/sgd.py
    """
    rate, momentum = check.number("learning_rate", learning_rate), check.number("momentum", momentum)
    nesterov = check.flag("nesterov", nesterov)
    if v is None:
        if momentum or nesterov:
            raise ValueError(f"v, the velocity, is needed for {'momentum' if momentum else 'nesterov'}")
        w, dw = check.state(("w", "dw"), (w, dw))
        pick(_step_blocks, w.size >= PARALLEL_FROM, parallel)(w, dw, rate)
    else:
        w, dw, v = check.state(("w", "dw", "v"), (w, dw, v))
        nest = _nesterov_blocks if nesterov else _momentum_blocks
        pick(nest, w.size >= PARALLEL_FROM, parallel)(w, dw, v, rate, momentum)

"""Hyperbolic tangent."""

from numba import prange

from .core import elementary, elementwise
from .core.compile import inline, loops
from .core.elementwise import BLOCK
from .core.memory import load, load_wide, store
from .core.public import public
from .core.vectors import WIDE, lanes

PARALLEL_FROM, PARALLEL_BACKWARD_FROM = 32_768, 131_072  # elements; bench/thresholds.py at 2 threads


@inline
def _forward_block(x, y, start, end):
    for at in range(start, end, WIDE * lanes(x)):
        store(y, at, end, elementary.tanh(load_wide(x, at, end, 0.0)))


@loops(writes=("y",), rows=True)
def _forward_blocks(x, y):
    for block in prange((x.size + BLOCK - 1) // BLOCK):
        _forward_block(x, y, block * BLOCK, min((block + 1) * BLOCK, x.size))


@public
def forward(x, *, out=None, parallel=None):
    """The hyperbolic tangent of each element.

    x : any shape, float32 or float64, any strides; not modified
    out : shape and dtype of x, C-contiguous, written and returned; may be x itself
    parallel : None decides by size; True or False overrides

    Returns y, shape and dtype of x. Largest error 1 ulp.
    Raises TypeError for another dtype, ValueError for an `out` that does not fit.
    Size 0 gives an empty array; NaN stays NaN; the infinities give -1 and 1.
    Formula and source: kernels/reference/tanh.py
    """
    return elementwise.forward(_forward_blocks, PARALLEL_FROM, x, out, parallel)


@inline
def _backward_block(dy, y, dx, start, end):
    for at in range(start, end, lanes(y)):
        v = load(y, at, end, 0.0)
        store(dx, at, end, load(dy, at, end, 0.0) * ((1.0 - v) * (1.0 + v)))


@loops(writes=("dx",), rows=True)
def _backward_blocks(dy, y, dx):
    for block in prange((y.size + BLOCK - 1) // BLOCK):
        _backward_block(dy, y, dx, block * BLOCK, min((block + 1) * BLOCK, y.size))


@public
def backward(dy, y, *, out=None, parallel=None):
    """The gradient with respect to x, from the gradient dy and the output y of `forward`.

    dy, y : same shape and dtype, float32 or float64, any strides; not modified
    out : shape and dtype of y, C-contiguous, written and returned; may be dy itself
    parallel : None decides by size; True or False overrides

    Returns dx, shape and dtype of y. dx = dy * ((1 - y) * (1 + y)), each operation rounded.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes.
    NaN propagates.
    Formula and source: kernels/reference/tanh.py
    """
    return elementwise.backward(_backward_blocks, PARALLEL_BACKWARD_FROM, dy, "y", y, out, parallel)

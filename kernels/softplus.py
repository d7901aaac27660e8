"""Softplus: y = log(1 + exp(x)), a smooth max(x, 0)."""

from numba import prange

from .core import elementary, elementwise
from .core.compile import inline, loops
from .core.elementwise import BLOCK
from .core.memory import load_wide, store
from .core.public import public
from .core.vectors import WIDE, lanes

PARALLEL_FROM = 32_768  # elements; bench/thresholds.py at 2 threads


@inline
def _forward_block(x, y, start, end):
    for at in range(start, end, WIDE * lanes(x)):
        store(y, at, end, elementary.softplus(load_wide(x, at, end, 0.0)))


@loops(writes=("y",), rows=True)
def _forward_blocks(x, y):
    for block in prange((x.size + BLOCK - 1) // BLOCK):
        _forward_block(x, y, block * BLOCK, min((block + 1) * BLOCK, x.size))


@public
def forward(x, *, out=None, parallel=None):
    """log(1 + exp(x)) of each element.

    x : any shape, float32 or float64, any strides; not modified
    out : shape and dtype of x, C-contiguous, written and returned; may be x itself
    parallel : None decides by size; True or False overrides

    Returns y, shape and dtype of x. Largest error 1 ulp.
    Raises TypeError for another dtype, ValueError for an `out` that does not fit.
    Size 0 gives an empty array; NaN stays NaN; -inf gives 0, inf gives inf.
    Formula and source: kernels/reference/softplus.py
    """
    return elementwise.forward(_forward_blocks, PARALLEL_FROM, x, out, parallel)


@inline
def _backward_block(dy, x, dx, start, end):
    for at in range(start, end, WIDE * lanes(x)):
        store(dx, at, end, load_wide(dy, at, end, 0.0) * elementary.sigmoid(load_wide(x, at, end, 0.0)))


@loops(writes=("dx",), rows=True)
def _backward_blocks(dy, x, dx):
    for block in prange((x.size + BLOCK - 1) // BLOCK):
        _backward_block(dy, x, dx, block * BLOCK, min((block + 1) * BLOCK, x.size))


@public
def backward(dy, x, *, out=None, parallel=None):
    """The gradient with respect to x, from the gradient dy and the input x of `forward`.

    dy, x : same shape and dtype, float32 or float64, any strides; not modified
    out : shape and dtype of x, C-contiguous, written and returned; may be dy itself
    parallel : None decides by size; True or False overrides

    Returns dx, shape and dtype of x. dx = dy * sigmoid(x), the sigmoid of 1 ulp and a rounded product.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes.
    NaN propagates.
    Formula and source: kernels/reference/softplus.py
    """
    return elementwise.backward(_backward_blocks, PARALLEL_FROM, dy, "x", x, out, parallel)

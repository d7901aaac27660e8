"""Rectified linear unit of at most 6: y = min(max(x, 0), 6)."""

from numba import prange

from .core import elementwise
from .core.compile import inline, loops
from .core.elementwise import BLOCK
from .core.memory import load, store
from .core.public import public
from .core.vectors import lanes, select

PARALLEL_FROM = 131_072  # elements; that of relu


@inline
def _forward_block(x, y, start, end):
    for at in range(start, end, lanes(x)):
        v = load(x, at, end, 0.0)
        store(y, at, end, select(v <= 0.0, 0.0, select(v >= 6.0, 6.0, v)))


@loops(writes=("y",), rows=True)
def _forward_blocks(x, y):
    for block in prange((x.size + BLOCK - 1) // BLOCK):
        _forward_block(x, y, block * BLOCK, min((block + 1) * BLOCK, x.size))


@public
def forward(x, *, out=None, parallel=None):
    """Replace negative elements by 0, and those above 6 by 6.

    x : any shape, float32 or float64, any strides; not modified
    out : shape and dtype of x, C-contiguous, written and returned; may be x itself
    parallel : None decides by size; True or False overrides

    Returns y, shape and dtype of x. Exact.
    Raises TypeError for another dtype, ValueError for an `out` that does not fit.
    Size 0 gives an empty array; NaN stays NaN; -0.0 becomes 0.0.
    Formula and source: kernels/reference/relu6.py
    """
    return elementwise.forward(_forward_blocks, PARALLEL_FROM, x, out, parallel)


@inline
def _backward_block(dy, y, dx, start, end):
    for at in range(start, end, lanes(y)):
        v = load(y, at, end, 0.0)
        store(dx, at, end, select(v <= 0.0, 0.0, select(v >= 6.0, 0.0, load(dy, at, end, 0.0))))


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

    Returns dx, shape and dtype of y. Exact: dy where 0 < y < 6, else 0.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes.
    Where y is NaN, dy passes.
    Formula and source: kernels/reference/relu6.py
    """
    return elementwise.backward(_backward_blocks, PARALLEL_FROM, dy, "y", y, out, parallel)

"""Identity, the activation of a layer without one: y = x."""

from numba import prange

from .core import check, elementwise
from .core.compile import inline, loops, pick
from .core.elementwise import BLOCK
from .core.memory import load, store
from .core.public import public
from .core.vectors import lanes

PARALLEL_FROM = 131_072  # elements; that of relu, which moves as much


@inline
def _copy_block(x, y, start, end):
    for at in range(start, end, lanes(x)):
        store(y, at, end, load(x, at, end, 0.0))


@loops(writes=("y",), rows=True)
def _copy_blocks(x, y):
    for block in prange((x.size + BLOCK - 1) // BLOCK):
        _copy_block(x, y, block * BLOCK, min((block + 1) * BLOCK, x.size))


@public
def forward(x, *, out=None, parallel=None):
    """Copy x.

    x : any shape, float32 or float64, any strides; not modified
    out : shape and dtype of x, C-contiguous, written and returned; may be x itself
    parallel : None decides by size; True or False overrides

    Returns y, shape and dtype of x. Exact.
    Raises TypeError for another dtype, ValueError for an `out` that does not fit.
    Size 0 gives an empty array; NaN stays NaN.
    Formula and source: kernels/reference/linear.py
    """
    return elementwise.forward(_copy_blocks, PARALLEL_FROM, x, out, parallel)


@public
def backward(dy, y, *, out=None, parallel=None):
    """The gradient with respect to x, from the gradient dy: a copy of dy.

    dy, y : same shape and dtype, float32 or float64, any strides; not modified, and y is not read
    out : shape and dtype of y, C-contiguous, written and returned; may be dy itself
    parallel : None decides by size; True or False overrides

    Returns dx, shape and dtype of y. Exact.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes.
    NaN stays NaN.
    Formula and source: kernels/reference/linear.py
    """
    y = check.array("y", y)
    dy = check.same("dy", dy, "y", y)
    dx = check.out("out", out, y.shape, y.dtype, y, alias=dy)
    pick(_copy_blocks, y.size >= PARALLEL_FROM, parallel)(dy.ravel(), dx.ravel())
    return dx

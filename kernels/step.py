"""Step, the perceptron's activation: y = 1 where x > 0, else 0."""

from numba import prange

from .core import check, elementwise
from .core.compile import inline, loops, pick
from .core.elementwise import BLOCK
from .core.memory import load, store
from .core.public import public
from .core.vectors import lanes, select

PARALLEL_FROM = 131_072  # elements; that of relu, which moves as much


@inline
def _forward_block(x, y, start, end):
    for at in range(start, end, lanes(x)):
        v = load(x, at, end, 0.0)
        store(y, at, end, select(v > 0.0, 1.0, select(v <= 0.0, 0.0, v)))


@loops(writes=("y",), rows=True)
def _forward_blocks(x, y):
    for block in prange((x.size + BLOCK - 1) // BLOCK):
        _forward_block(x, y, block * BLOCK, min((block + 1) * BLOCK, x.size))


@public
def forward(x, *, out=None, parallel=None):
    """1 for positive elements, else 0.

    x : any shape, float32 or float64, any strides; not modified
    out : shape and dtype of x, C-contiguous, written and returned; may be x itself
    parallel : None decides by size; True or False overrides

    Returns y, shape and dtype of x: 1 where x > 0, else 0. Exact.
    Raises TypeError for another dtype, ValueError for an `out` that does not fit.
    Size 0 gives an empty array; NaN stays NaN; 0.0 and -0.0 give 0.0.
    Formula and source: kernels/reference/step.py
    """
    return elementwise.forward(_forward_blocks, PARALLEL_FROM, x, out, parallel)


@inline
def _backward_block(dy, dx, start, end):
    for at in range(start, end, lanes(dy)):
        store(dx, at, end, load(dy, at, end, 0.0) * 0.0)


@loops(writes=("dx",), rows=True)
def _backward_blocks(dy, dx):
    for block in prange((dy.size + BLOCK - 1) // BLOCK):
        _backward_block(dy, dx, block * BLOCK, min((block + 1) * BLOCK, dy.size))


@public
def backward(dy, y, *, out=None, parallel=None):
    """The gradient with respect to x, from the gradient dy: 0, since a step is constant on both sides.

    dy, y : same shape and dtype, float32 or float64, any strides; not modified, and y is not read
    out : shape and dtype of y, C-contiguous, written and returned; may be dy itself
    parallel : None decides by size; True or False overrides

    Returns dx = dy * 0, shape and dtype of y: 0 with the sign of dy. Exact.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes.
    NaN and infinities of dy give NaN.
    Formula and source: kernels/reference/step.py
    """
    y = check.array("y", y)
    dy = check.same("dy", dy, "y", y)
    dx = check.out("out", out, y.shape, y.dtype, y, alias=dy)
    pick(_backward_blocks, y.size >= PARALLEL_FROM, parallel)(dy.ravel(), dx.ravel())
    return dx

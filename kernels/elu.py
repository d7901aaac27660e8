"""Exponential linear unit: y = x where x > 0, else alpha (exp(x) - 1)."""

from numba import prange

from .core import check, elementary, elementwise
from .core.compile import inline, loops
from .core.elementwise import BLOCK
from .core.memory import load, load_wide, store
from .core.public import public
from .core.vectors import WIDE, lanes, select

PARALLEL_FROM, PARALLEL_BACKWARD_FROM = 32_768, 65_536  # elements; bench/thresholds.py at 2 threads


@inline
def _forward_block(x, y, alpha, start, end):
    for at in range(start, end, WIDE * lanes(x)):
        v = load_wide(x, at, end, 0.0)
        store(y, at, end, select(v > 0.0, v, elementary.expm1(v) * alpha))


@loops(writes=("y",), rows=True)
def _forward_blocks(x, y, alpha):
    for block in prange((x.size + BLOCK - 1) // BLOCK):
        _forward_block(x, y, alpha, block * BLOCK, min((block + 1) * BLOCK, x.size))


@public
def forward(x, *, alpha=1.0, out=None, parallel=None):
    """Replace negative elements by alpha (exp(x) - 1).

    x : any shape, float32 or float64, any strides; not modified
    alpha : a finite number > 0, rounded to the dtype of x
    out : shape and dtype of x, C-contiguous, written and returned; may be x itself
    parallel : None decides by size; True or False overrides

    Returns y, shape and dtype of x. Exact where x > 0, else 1 ulp in exp(x) - 1 and a rounded product.
    Raises TypeError for another dtype, ValueError for an `out` that does not fit or an alpha that is not > 0.
    Size 0 gives an empty array; NaN stays NaN; -inf gives -alpha; -0.0 stays.
    Formula and source: kernels/reference/elu.py
    """
    alpha = check.positive("alpha", alpha)
    return elementwise.forward(_forward_blocks, PARALLEL_FROM, x, out, parallel, alpha)


@inline
def _backward_block(dy, y, dx, alpha, start, end):
    for at in range(start, end, lanes(y)):
        v, g = load(y, at, end, 0.0), load(dy, at, end, 0.0)
        store(dx, at, end, select(v > 0.0, g, g * (v + alpha)))


@loops(writes=("dx",), rows=True)
def _backward_blocks(dy, y, dx, alpha):
    for block in prange((y.size + BLOCK - 1) // BLOCK):
        _backward_block(dy, y, dx, alpha, block * BLOCK, min((block + 1) * BLOCK, y.size))


@public
def backward(dy, y, *, alpha=1.0, out=None, parallel=None):
    """The gradient with respect to x, from the gradient dy and the output y of `forward`.

    dy, y : same shape and dtype, float32 or float64, any strides; not modified
    alpha : that of `forward`
    out : shape and dtype of y, C-contiguous, written and returned; may be dy itself
    parallel : None decides by size; True or False overrides

    Returns dx, shape and dtype of y: dy where y > 0, else dy * (y + alpha), each operation rounded.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes or an alpha that is not > 0.
    NaN propagates.
    Formula and source: kernels/reference/elu.py
    """
    alpha = check.positive("alpha", alpha)
    return elementwise.backward(_backward_blocks, PARALLEL_BACKWARD_FROM, dy, "y", y, out, parallel, alpha)

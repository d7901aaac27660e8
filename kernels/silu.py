"""Sigmoid linear unit, also called swish: y = x * sigmoid(x)."""

from numba import prange

from .core import elementary, elementwise
from .core.compile import inline, loops
from .core.elementwise import BLOCK
from .core.memory import load_wide, store
from .core.public import public
from .core.vectors import WIDE, lanes

PARALLEL_FROM = 32_768  # elements; that of sigmoid, which takes most of the time both ways


@inline
def _forward_block(x, y, start, end):
    for at in range(start, end, WIDE * lanes(x)):
        v = load_wide(x, at, end, 0.0)
        store(y, at, end, v * elementary.sigmoid(v))


@loops(writes=("y",), rows=True)
def _forward_blocks(x, y):
    for block in prange((x.size + BLOCK - 1) // BLOCK):
        _forward_block(x, y, block * BLOCK, min((block + 1) * BLOCK, x.size))


@public
def forward(x, *, out=None, parallel=None):
    """Multiply each element by its sigmoid.

    x : any shape, float32 or float64, any strides; not modified
    out : shape and dtype of x, C-contiguous, written and returned; may be x itself
    parallel : None decides by size; True or False overrides

    Returns y, shape and dtype of x. Largest error 2.5 ulp (largest seen: 1.6); below x = -87 (float64: -708), where
    the sigmoid is denormal, |x| times the smallest number there is.
    Raises TypeError for another dtype, ValueError for an `out` that does not fit.
    Size 0 gives an empty array; NaN stays NaN; inf gives inf, -inf gives NaN: it is multiplied by 0.
    Formula and source: kernels/reference/silu.py
    """
    return elementwise.forward(_forward_blocks, PARALLEL_FROM, x, out, parallel)


@inline
def _backward_block(dy, x, dx, start, end):
    for at in range(start, end, WIDE * lanes(x)):
        v = load_wide(x, at, end, 0.0)
        s = elementary.sigmoid(v)
        store(dx, at, end, load_wide(dy, at, end, 0.0) * (s * (1.0 + v * (1.0 - s))))


@loops(writes=("dx",), rows=True)
def _backward_blocks(dy, x, dx):
    for block in prange((x.size + BLOCK - 1) // BLOCK):
        _backward_block(dy, x, dx, block * BLOCK, min((block + 1) * BLOCK, x.size))


@public
def backward(dy, x, *, out=None, parallel=None):
    """The gradient with respect to x, from the gradient dy and the input x of `forward`: two x may have the same y.

    dy, x : same shape and dtype, float32 or float64, any strides; not modified
    out : shape and dtype of x, C-contiguous, written and returned; may be dy itself
    parallel : None decides by size; True or False overrides

    Returns dx = dy * (s * (1 + x * (1 - s))), s the sigmoid of x, each operation rounded; shape and dtype of x.
    Largest error 5 ulp and 2^-23 |dy x| s, in float64 2^-52 |dy x| s: few digits of 1 - s are left where x is large.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes.
    NaN propagates; an infinite x gives NaN.
    Formula and source: kernels/reference/silu.py
    """
    return elementwise.backward(_backward_blocks, PARALLEL_FROM, dy, "x", x, out, parallel)

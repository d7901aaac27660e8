"""Hard swish, which is SiLU with straight lines for the sigmoid: y = x * clip(x + 3, 0, 6) / 6."""

from numba import prange

from .core import elementwise
from .core.compile import inline, loops
from .core.elementwise import BLOCK
from .core.memory import load, store
from .core.public import public
from .core.vectors import lanes, select

PARALLEL_FROM = 131_072  # elements; that of relu, which moves as much
SIXTH, THIRD = 1 / 6, 1 / 3  # 6 * SIXTH is 1 in both dtypes


@inline
def _forward_block(x, y, start, end):
    for at in range(start, end, lanes(x)):
        v = load(x, at, end, 0.0)
        share = (v + 3.0) * SIXTH
        share = select(share < 0.0, 0.0, share)
        store(y, at, end, v * select(share > 1.0, 1.0, share))


@loops(writes=("y",), rows=True)
def _forward_blocks(x, y):
    for block in prange((x.size + BLOCK - 1) // BLOCK):
        _forward_block(x, y, block * BLOCK, min((block + 1) * BLOCK, x.size))


@public
def forward(x, *, out=None, parallel=None):
    """Multiply each element by a share that rises from 0 at -3 to 1 at 3.

    x : any shape, float32 or float64, any strides; not modified
    out : shape and dtype of x, C-contiguous, written and returned; may be x itself
    parallel : None decides by size; True or False overrides

    Returns y, shape and dtype of x: x * clip((x + 3) * (1 / 6), 0, 1), each operation rounded. x itself from 3 on,
    -0.0 up to -3, between them the largest error is 3 ulp.
    Raises TypeError for another dtype, ValueError for an `out` that does not fit.
    Size 0 gives an empty array; NaN stays NaN; inf gives inf, -inf gives NaN: it is multiplied by 0.
    Formula and source: kernels/reference/hardswish.py
    """
    return elementwise.forward(_forward_blocks, PARALLEL_FROM, x, out, parallel)


@inline
def _backward_block(dy, x, dx, start, end):
    for at in range(start, end, lanes(x)):
        v, g = load(x, at, end, 0.0), load(dy, at, end, 0.0)
        store(dx, at, end, select(v <= -3.0, 0.0, select(v >= 3.0, g, g * ((v + 1.5) * THIRD))))


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

    Returns dx, shape and dtype of x: 0 where x <= -3, dy where x >= 3, else dy * ((x + 1.5) * (1 / 3)), each operation
    rounded, where the largest error is 3 ulp.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes.
    NaN of x gives NaN; where x is -inf dx is 0, where it is inf dy passes. NaN of dy stays, except where x <= -3.
    Formula and source: kernels/reference/hardswish.py
    """
    return elementwise.backward(_backward_blocks, PARALLEL_FROM, dy, "x", x, out, parallel)

"""Sum of two arrays, where branches of a network join: y = a + b."""

from numba import prange

from .core import elementwise
from .core.compile import inline, loops
from .core.elementwise import BLOCK
from .core.memory import load, store
from .core.public import public
from .core.vectors import lanes

PARALLEL_FROM = 131_072  # elements; that of relu, which moves two thirds as much


@inline
def _forward_block(a, b, y, start, end):
    for at in range(start, end, lanes(a)):
        store(y, at, end, load(a, at, end, 0.0) + load(b, at, end, 0.0))


@loops(writes=("y",), rows=True)
def _forward_blocks(a, b, y):
    for block in prange((a.size + BLOCK - 1) // BLOCK):
        _forward_block(a, b, y, block * BLOCK, min((block + 1) * BLOCK, a.size))


@public
def forward(a, b, *, out=None, parallel=None):
    """Add two arrays. The gradient with respect to a and to b is dy itself, so there is no backward.

    a, b : one shape and dtype, float32 or float64, any shape, any strides; not modified
    out : shape and dtype of a, C-contiguous, written and returned; may be a itself
    parallel : None decides by size; True or False overrides

    Returns y, shape and dtype of a, rounded once.
    Raises TypeError for another or an unequal dtype, ValueError for unequal shapes.
    Size 0 gives an empty array; NaN propagates, and infinities of both signs give NaN.
    Formula and source: kernels/reference/add.py
    """
    return elementwise.forward_of_two(_forward_blocks, PARALLEL_FROM, a, b, out, parallel)

"""Product of two arrays, element by element, as a gate has it: y = a * b."""

from numba import prange

from .core import check, elementwise
from .core.compile import inline, loops, pick
from .core.elementwise import BLOCK
from .core.memory import load, store
from .core.public import public
from .core.vectors import lanes

PARALLEL_FROM = 131_072  # elements; that of relu, which moves two thirds as much


@inline
def _forward_block(a, b, y, start, end):
    for at in range(start, end, lanes(a)):
        store(y, at, end, load(a, at, end, 0.0) * load(b, at, end, 0.0))


@loops(writes=("y",), rows=True)
def _forward_blocks(a, b, y):
    for block in prange((a.size + BLOCK - 1) // BLOCK):
        _forward_block(a, b, y, block * BLOCK, min((block + 1) * BLOCK, a.size))


@public
def forward(a, b, *, out=None, parallel=None):
    """Multiply two arrays element by element.

    a, b : one shape and dtype, float32 or float64, any shape, any strides; not modified
    out : shape and dtype of a, C-contiguous, written and returned; may be a itself
    parallel : None decides by size; True or False overrides

    Returns y, shape and dtype of a, rounded once.
    Raises TypeError for another or an unequal dtype, ValueError for unequal shapes.
    Size 0 gives an empty array; NaN propagates, and infinity times 0 is NaN.
    Formula and source: kernels/reference/multiply.py
    """
    return elementwise.forward_of_two(_forward_blocks, PARALLEL_FROM, a, b, out, parallel)


@inline
def _backward_block(dy, a, b, da, db, start, end):
    for at in range(start, end, lanes(a)):
        v = load(dy, at, end, 0.0)
        store(db, at, end, v * load(a, at, end, 0.0))
        store(da, at, end, v * load(b, at, end, 0.0))


@loops(writes=("da", "db"), rows=True)
def _backward_blocks(dy, a, b, da, db):
    for block in prange((a.size + BLOCK - 1) // BLOCK):
        _backward_block(dy, a, b, da, db, block * BLOCK, min((block + 1) * BLOCK, a.size))


@public
def backward(dy, a, b, *, out=None, parallel=None):
    """The gradients with respect to a and b, from the gradient dy and the arguments of `forward`.

    dy, a, b : one shape and dtype, float32 or float64, any shape, any strides; not modified
    out : a tuple of arrays to write, shape and dtype of a, None for those to be made; the first may be dy itself
    parallel : None decides by size; True or False overrides

    Returns (da, db) = (dy * b, dy * a), shape and dtype of a, rounded once.
    Raises TypeError for another or an unequal dtype, ValueError for unequal shapes.
    Size 0 gives empty arrays; NaN propagates.
    Formula and source: kernels/reference/multiply.py
    """
    da, db = check.outs(out, 2)
    a = check.array("a", a)
    b = check.same("b", b, "a", a)
    dy = check.same("dy", dy, "a", a)
    da = check.out("out[0]", da, a.shape, a.dtype, a, b, alias=dy)
    db = check.out("out[1]", db, a.shape, a.dtype, dy, a, b, da)
    pick(_backward_blocks, a.size >= PARALLEL_FROM, parallel)(dy.ravel(), a.ravel(), b.ravel(), da.ravel(), db.ravel())
    return da, db

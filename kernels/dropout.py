"""Inverted dropout: y = x * mask, where the mask is 0 with probability `rate`, else 1 / (1 - rate)."""

from numba import prange

from .core import check, elementwise, philox
from .core.compile import inline, loops, pick
from .core.memory import load, load_like, store
from .core.public import public
from .core.vectors import lanes, select, splat

BLOCK = 4096  # elements per task, a multiple of philox.WORDS
PARALLEL_FROM, PARALLEL_BACKWARD_FROM = 32_768, 131_072  # elements; bench/thresholds.py at 2 threads


@inline
def _forward_block(x, y, mask, last, scale, first, seed, stream, start, end):
    for at in range(start, end, philox.WORDS):
        # lanes compare as signed numbers: with its top bit changed, the smallest word is the smallest number
        kept = (philox.words((first + at) >> 2, seed, stream) ^ -2**31) <= last
        v = load_like(kept, x, at, end, 0.0)
        factor = select(kept, splat(v, scale), 0.0)
        store(mask, at, end, factor)
        store(y, at, end, v * factor)


@loops(writes=("y", "mask"), rows=True)
def _forward_blocks(x, y, mask, last, scale, first, seed, stream):
    """x begins at element `first` of those that the stream is for."""
    for block in prange((x.size + BLOCK - 1) // BLOCK):
        _forward_block(x, y, mask, last, scale, first, seed, stream, block * BLOCK, min((block + 1) * BLOCK, x.size))


@public
def forward(x, *, rate, seed, stream=0, out=None, parallel=None):
    """Set a share of the elements to 0 and scale the others up, so that the expected sum stays the same.

    x : any shape, float32 or float64, any strides; not modified
    rate : the share that is dropped, 0 <= rate < 1
    seed, stream : whole numbers, 0 <= n < 2^64; another stream, such as the number of the step, is another mask
    out : a tuple of arrays to write, shape and dtype of x, None for those to allocate; the first may be x itself
    parallel : None decides by size; True or False overrides

    Returns (y, mask), shape and dtype of x: mask holds 0 or 1 / (1 - rate), taken in float64 and rounded once, and
    y = x * mask; mask goes to `backward`. Element i in C order is kept if word i of the stream (philox.py) is less than
    round((1 - rate) * 2^32): the same elements in float32 and float64.
    Raises TypeError for another dtype or what is no number, ValueError for a number out of range.
    Size 0 gives empty arrays. NaN propagates: also where it is dropped, as infinity does, since x * 0 is NaN there.
    Formula and source: kernels/reference/dropout.py
    """
    rate = check.number("rate", rate)
    if not 0 <= rate < 1:
        raise ValueError(f"rate, the share that is dropped, must be at least 0 and below 1, got {rate}")
    seed, stream = check.word("seed", seed), check.word("stream", stream)
    y, mask = check.outs(out, 2)
    x = check.array("x", x)
    y = check.out("out[0]", y, x.shape, x.dtype, alias=x)
    mask = check.out("out[1]", mask, x.shape, x.dtype, x, y)
    kept = round((1 - rate) * 2**32)  # of 2^32 words
    scale = 1 / (1 - rate) if kept else 0.0  # no word is below 0
    nest = pick(_forward_blocks, x.size >= PARALLEL_FROM, parallel)
    nest(x.ravel(), y.ravel(), mask.ravel(), max(kept - 1, 0) - 2**31, scale, 0, seed, stream)
    return y, mask


@inline
def _backward_block(dy, mask, dx, start, end):
    for at in range(start, end, lanes(dy)):
        store(dx, at, end, load(dy, at, end, 0.0) * load(mask, at, end, 0.0))


@loops(writes=("dx",), rows=True)
def _backward_blocks(dy, mask, dx):
    for block in prange((dy.size + BLOCK - 1) // BLOCK):
        _backward_block(dy, mask, dx, block * BLOCK, min((block + 1) * BLOCK, dy.size))


@public
def backward(dy, mask, *, out=None, parallel=None):
    """The gradient with respect to x, from the gradient dy and the mask of `forward`.

    dy, mask : same shape and dtype, float32 or float64, any strides; not modified
    out : shape and dtype of mask, C-contiguous, written and returned; may be dy itself
    parallel : None decides by size; True or False overrides

    Returns dx = dy * mask, shape and dtype of mask, rounded once.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes.
    NaN propagates.
    Formula and source: kernels/reference/dropout.py
    """
    return elementwise.backward(_backward_blocks, PARALLEL_BACKWARD_FROM, dy, "mask", mask, out, parallel)

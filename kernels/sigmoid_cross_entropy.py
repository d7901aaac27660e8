"""Sigmoid and binary cross-entropy in one: loss[i] = mean over j of softplus(x[i, j]) - t x[i, j], t the target."""

from numba import prange

from .core import check
from .core.elementary import sigmoid, softplus
from .core.compile import inline, loops, pick, shared
from .core.elementwise import BLOCK
from .core.narrow import W32, sum_rows
from .core.memory import load, scratch, store
from .core.public import public
from .core.vectors import absolute, fma, fold_sum, lanes, select, splat

PARALLEL_FROM, PARALLEL_BACKWARD_FROM = 16_384, 131_072  # elements; those of binary_cross_entropy


@inline
def _term(x, t):
    """softplus(x) - t x as s |x| + softplus(-|x|), s the share of the wrong side: nothing cancels. 0 inf is 0."""
    share = select(x > 0.0, 1.0 - t, t)
    size = absolute(x)
    return fma(share, select(absolute(share) <= 0.0, 0.0, size), softplus(0.0 - size))


@shared
def _forward_block(x, targets, losses, y, start, end):
    n, w = x.shape[1], lanes(x)
    if n == 1:
        for i in range(start, end, w):
            v = load(x, i, end, 0.0)
            store(losses, i, end, _term(v, load(targets, i, end, 0.0)))
            store(y, i, end, sigmoid(v))
    elif n <= w:
        terms, columns = scratch(x, W32), scratch(x, W32)
        for i in range(start, end, w):
            rows = min(w, end - i)
            first, last = i * n, (i + rows) * n
            for at in range(first, last, w):
                v = load(x, at, last, 0.0)
                store(terms, at - first, last - first, _term(v, load(targets, at, last, 0.0)))
                store(y, at, last, sigmoid(v))
            store(losses, i, end, sum_rows(terms, rows, n, columns) / n)
    else:
        terms = scratch(x, 1)
        for i in range(start, end):
            total = splat(x, -0.0)
            last = (i + 1) * n
            for at in range(i * n, last, w):
                v = load(x, at, last, 0.0)
                store(terms, 0, w, _term(v, load(targets, at, last, 0.0)))
                store(y, at, last, sigmoid(v))
                total = total + load(terms, 0, last - at, -0.0)  # lanes past the row's end add -0: nothing
            store(losses, i, i + 1, splat(x, fold_sum(total)) / n)


@loops(writes=("losses", "y"), rows=True)
def _forward_blocks(x, targets, losses, y):
    rows = max(1, BLOCK // x.shape[1])
    for block in prange((x.shape[0] + rows - 1) // rows):
        _forward_block(x, targets, losses, y, block * rows, min((block + 1) * rows, x.shape[0]))


@public
def forward(x, targets, *, out=None, parallel=None):
    """The loss of each row of scores, and the sigmoid of each score.

    x : (N, C) scores, float32 or float64, any strides; not modified
    targets : (N, C) numbers in 0..1, dtype of x, any strides; not modified
    out : a tuple of (N,) and (N, C) arrays to write, None for those to allocate; they must not overlap an input
    parallel : None decides by size; True or False overrides

    Returns (losses (N,), y (N, C)), dtype of x; y goes to `backward`. A loss is the sum of fma(s, |x|, softplus(-|x|)),
    divided by C, with s = 1 - t where x > 0, else t. Nothing is clipped, nothing overflows and nothing cancels.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes, another shape than (N, C) or C = 0.
    That targets lie in 0..1 is not checked. N = 0 gives empty arrays; a NaN makes its row's loss NaN; an infinite score
    costs nothing on the right side of a target of 0 or 1, and else infinity.
    Formula and source: kernels/reference/sigmoid_cross_entropy.py
    """
    losses, y = check.outs(out, 2)
    x = check.array("x", x, 2)
    check.columns("x", x)
    targets = check.same("targets", targets, "x", x)
    losses = check.out("out[0]", losses, x.shape[:1], x.dtype, x, targets)
    y = check.out("out[1]", y, x.shape, x.dtype, x, targets, losses)
    pick(_forward_blocks, x.size >= PARALLEL_FROM, parallel)(x, targets, losses, y)
    return losses, y


@inline
def _backward_block(y, targets, dx, count, start, end):
    r = 1.0 / splat(y, count)
    for at in range(start, end, lanes(y)):
        store(dx, at, end, (load(y, at, end, 0.0) - load(targets, at, end, 0.0)) * r)


@loops(writes=("dx",), rows=True)
def _backward_blocks(y, targets, dx, count):
    for block in prange((y.size + BLOCK - 1) // BLOCK):
        _backward_block(y, targets, dx, count, block * BLOCK, min((block + 1) * BLOCK, y.size))


@public
def backward(y, targets, *, out=None, parallel=None):
    """The gradient of the mean loss with respect to x.

    y : (N, C) the sigmoid returned by `forward`; not modified
    targets : as given to `forward`; not modified
    out : (N, C) dtype of y, C-contiguous, written and returned; may be y itself
    parallel : None decides by size; True or False overrides

    Returns dx = (y - t) * (1 / (C N)), (N, C), dtype of y, each operation rounded. Errors as in `forward`.
    N = 0 gives an empty array; NaN propagates.
    Formula and source: kernels/reference/sigmoid_cross_entropy.py
    """
    y = check.array("y", y, 2)
    check.columns("y", y)
    targets = check.same("targets", targets, "y", y)
    dx = check.out("out", out, y.shape, y.dtype, targets, alias=y)
    pick(_backward_blocks, y.size >= PARALLEL_BACKWARD_FROM, parallel)(y, targets, dx, y.size)
    return dx

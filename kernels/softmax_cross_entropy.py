"""Softmax and categorical cross-entropy in one: loss[i] = log(sum over j of exp x[i, j]) - x[i, label[i]]."""

from numba import prange

from .core import check
from .core.elementary import log
from .core.compile import inline, loops, pick, shared
from .core.labels import check_labels
from .core.narrow import W32
from .core.memory import load, scratch, store
from .core.public import public
from .core.vectors import absolute, fold_sum, lanes, select, splat
from .softmax import ROWS, forward_group, forward_row

PARALLEL_FROM, PARALLEL_BACKWARD_FROM = 32_768, 65_536  # elements; bench/thresholds.py at 2 threads


@shared
def _forward_block(x, labels, losses, y, start, end):
    if x.shape[1] <= lanes(x):
        shifted, scores = scratch(x, W32), scratch(x, 1)
        store(scores, 0, lanes(x), splat(x, 0.0))
        for i in range(start, end, lanes(x)):
            rows = min(lanes(x), end - i)
            s = forward_group(x, y, i, rows, shifted)
            for r in range(rows):
                scores[r] = shifted[labels[i + r] * lanes(x) + r]
            store(losses, i, end, log(s) - load(scores, 0, lanes(x), 0.0))
    else:
        for i in range(start, end):
            score = splat(x, x[i, labels[i]])  # read first: y may be x
            m, s = forward_row(x, y, i)
            store(losses, i, i + 1, log(s) - (score - m))


@loops(writes=("losses", "y"), rows=True)
def _forward_blocks(x, labels, losses, y):
    for block in prange((x.shape[0] + ROWS - 1) // ROWS):
        _forward_block(x, labels, losses, y, block * ROWS, min((block + 1) * ROWS, x.shape[0]))


@inline
def _forward_targets(x, targets, losses, y, i):
    """The same with one-hot rows: loss = sum of target * (log s - (x - m)), where target is not 0."""
    m, s = forward_row(x, y, i)
    log_s = log(s)
    start, end = i * x.shape[1], (i + 1) * x.shape[1]
    total = splat(x, -0.0)
    for at in range(start, end, lanes(x)):
        target = load(targets, at, end, -0.0)
        total = total + select(absolute(target) <= 0.0, target, target * (log_s - (load(x, at, end, 0.0) - m)))
    losses[i] = fold_sum(total)


@loops(writes=("losses", "y"), rows=True)
def _forward_rows(x, targets, losses, y):
    for i in prange(x.shape[0]):
        _forward_targets(x, targets, losses, y, i)


@public
def forward(x, labels, *, out=None, parallel=None):
    """The loss of each row of scores, and the softmax of the row.

    x : (N, C) float32 or float64, any strides; not modified
    labels : (N,) integers in 0..C-1, or (N, C) one-hot rows (any distribution is allowed)
    out : a tuple of (N,) and (N, C) arrays to write, None for those to allocate; they must not overlap an input
    parallel : None decides by size; True or False overrides

    Returns (losses (N,), y (N, C)), dtype of x; y goes to `backward`. Nothing is clipped and nothing overflows.
    Raises TypeError for another dtype, ValueError for shapes that do not fit, C = 0 or a label out of range.
    N = 0 gives empty arrays; a NaN or +inf makes its row and its loss NaN; -inf is a probability of 0.
    Formula and source: kernels/reference/softmax_cross_entropy.py
    """
    losses, y = check.outs(out, 2)
    x = check.array("x", x, 2)
    check.columns("x", x)
    labels = check_labels(labels, "x", x)
    losses = check.out("out[0]", losses, x.shape[:1], x.dtype, x, labels)
    y = check.out("out[1]", y, x.shape, x.dtype, x, labels, losses)
    nest = _forward_blocks if labels.ndim == 1 else _forward_rows
    pick(nest, x.size >= PARALLEL_FROM, parallel)(x, labels, losses, y)
    return losses, y


@shared
def _backward_block(y, labels, dx, count, start, end):
    n = y.shape[1]
    r = 1.0 / splat(y, count)
    for i in range(start, end):
        label = i * n + labels[i]
        picked = splat(y, y[i, labels[i]])  # read first: dx may be y
        for at in range(i * n, (i + 1) * n, lanes(y)):
            store(dx, at, (i + 1) * n, load(y, at, (i + 1) * n, 0.0) * r)
        store(dx, label, label + 1, (picked - 1.0) * r)


@loops(writes=("dx",), rows=True)
def _backward_blocks(y, labels, dx, count):
    for block in prange((y.shape[0] + ROWS - 1) // ROWS):
        _backward_block(y, labels, dx, count, block * ROWS, min((block + 1) * ROWS, y.shape[0]))


@inline
def _backward_row(y, targets, dx, count, i):
    r = 1.0 / splat(y, count)
    start, end = i * y.shape[1], (i + 1) * y.shape[1]
    for at in range(start, end, lanes(y)):
        store(dx, at, end, (load(y, at, end, 0.0) - load(targets, at, end, 0.0)) * r)


@loops(writes=("dx",), rows=True)
def _backward_rows(y, targets, dx, count):
    for i in prange(y.shape[0]):
        _backward_row(y, targets, dx, count, i)


@public
def backward(y, labels, *, out=None, parallel=None):
    """The gradient of the mean loss with respect to x.

    y : (N, C) the softmax returned by `forward`; not modified
    labels : as given to `forward`
    out : (N, C) dtype of y, C-contiguous, written and returned; may be y itself
    parallel : None decides by size; True or False overrides

    Returns dx = (y - target) * (1 / N), (N, C), dtype of y. Errors as in `forward`.
    Formula and source: kernels/reference/softmax_cross_entropy.py
    """
    y = check.array("y", y, 2)
    check.columns("y", y)
    labels = check_labels(labels, "y", y)
    dx = check.out("out", out, y.shape, y.dtype, labels, alias=y)
    nest = _backward_blocks if labels.ndim == 1 else _backward_rows
    pick(nest, y.size >= PARALLEL_BACKWARD_FROM, parallel)(y, labels, dx, len(y))
    return dx

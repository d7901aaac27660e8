"""Categorical cross-entropy of log-probabilities: loss[i] = -x[i, label[i]]."""

from numba import prange

from .core import check
from .core.compile import inline, loops, pick, shared
from .core.labels import check_labels
from .core.memory import load, store
from .core.public import public
from .core.vectors import absolute, fold_sum, lanes, select, splat

ROWS = 64  # rows per task: a multiple of the lanes
PARALLEL_FROM = 262_144  # elements; that of categorical_cross_entropy


@shared
def _forward_block(x, labels, losses, start, end):
    for i in range(start, end):
        losses[i] = 0 - x[i, labels[i]]


@loops(writes=("losses",), rows=True)
def _forward_blocks(x, labels, losses):
    for block in prange((x.shape[0] + ROWS - 1) // ROWS):
        _forward_block(x, labels, losses, block * ROWS, min((block + 1) * ROWS, x.shape[0]))


@inline
def _forward_row(x, targets, losses, i):
    start, end = i * x.shape[1], (i + 1) * x.shape[1]
    total = splat(x, -0.0)
    for at in range(start, end, lanes(x)):
        target = load(targets, at, end, -0.0)
        total = total + select(absolute(target) <= 0.0, target, target * load(x, at, end, 0.0))
    losses[i] = 0 - fold_sum(total)


@loops(writes=("losses",), rows=True)
def _forward_rows(x, targets, losses):
    for i in prange(x.shape[0]):
        _forward_row(x, targets, losses, i)


@public
def forward(x, labels, *, out=None, parallel=None):
    """The loss of each row of log-probabilities.

    x : (N, C) float32 or float64, any strides; not modified
    labels : (N,) integers in 0..C-1, or (N, C) one-hot rows (any distribution is allowed)
    out : (N,) dtype of x, C-contiguous, written and returned; must not overlap an input
    parallel : None decides by size; True or False overrides

    Returns losses (N,), dtype of x: 0 - x[label], or 0 - sum of target * x, where the target is not 0.
    Raises TypeError for another dtype, ValueError for shapes that do not fit or a label out of range.
    N = 0 gives an empty array; a NaN in what the label picks makes the loss NaN; -inf there makes it infinite.
    Formula and source: kernels/reference/negative_log_likelihood.py
    """
    x = check.array("x", x, 2)
    labels = check_labels(labels, "x", x)
    losses = check.out("out", out, x.shape[:1], x.dtype, x, labels)
    nest = _forward_blocks if labels.ndim == 1 else _forward_rows
    pick(nest, x.size >= PARALLEL_FROM, parallel)(x, labels, losses)
    return losses


@shared
def _backward_block(labels, dx, count, start, end):
    n = dx.shape[1]
    zero = splat(dx, 0.0)
    share = -1.0 / splat(dx, count)
    for at in range(start * n, end * n, lanes(dx)):
        store(dx, at, end * n, zero)
    for i in range(start, end):
        store(dx, i * n + labels[i], i * n + labels[i] + 1, share)


@loops(writes=("dx",), rows=True)
def _backward_blocks(labels, dx, count):
    for block in prange((dx.shape[0] + ROWS - 1) // ROWS):
        _backward_block(labels, dx, count, block * ROWS, min((block + 1) * ROWS, dx.shape[0]))


@inline
def _backward_row(targets, dx, count, i):
    share = -1.0 / splat(dx, count)
    start, end = i * dx.shape[1], (i + 1) * dx.shape[1]
    for at in range(start, end, lanes(dx)):
        store(dx, at, end, load(targets, at, end, 0.0) * share)


@loops(writes=("dx",), rows=True)
def _backward_rows(targets, dx, count):
    for i in prange(dx.shape[0]):
        _backward_row(targets, dx, count, i)


@public
def backward(x, labels, *, out=None, parallel=None):
    """The gradient of the mean loss with respect to x.

    x, labels : as given to `forward`; not modified
    out : (N, C) dtype of x, C-contiguous, written and returned; must not overlap an input
    parallel : None decides by size; True or False overrides

    Returns dx = target * (-1 / N), (N, C), dtype of x, whatever x holds. Errors as in `forward`.
    Formula and source: kernels/reference/negative_log_likelihood.py
    """
    x = check.array("x", x, 2)
    labels = check_labels(labels, "x", x)
    dx = check.out("out", out, x.shape, x.dtype, x, labels)
    nest = _backward_blocks if labels.ndim == 1 else _backward_rows
    pick(nest, x.size >= PARALLEL_FROM, parallel)(labels, dx, len(x))
    return dx

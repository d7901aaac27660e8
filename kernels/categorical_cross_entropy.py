"""Categorical cross-entropy of probabilities: loss[i] = -log p[i, label[i]], with p clipped to [1e-7, 1 - 1e-7]."""

from numba import prange

from .core import check
from .core.elementary import log
from .core.compile import inline, loops, pick, shared
from .core.labels import check_labels
from .core.memory import load, scratch, store
from .core.public import public
from .core.vectors import fold_sum, lanes, select, splat

ROWS = 64  # rows per task: a multiple of the lanes
PARALLEL_FROM, PARALLEL_BACKWARD_FROM = 262_144, 131_072  # elements; bench/thresholds.py at 2 threads
LOW, HIGH = 1e-7, 1 - 1e-7


@inline
def _clip(p):
    """p moved into LOW..HIGH; NaN stays."""
    p = select(p < LOW, LOW, p)
    return select(p > HIGH, HIGH, p)


@shared
def _gather(p, labels, i, rows, picked):
    """The probabilities of the labels of `rows` rows from row i on, one row a lane; 1 in the lanes that are left."""
    store(picked, 0, lanes(p), splat(p, 1.0))
    for r in range(rows):
        picked[r] = p[i + r, labels[i + r]]
    return _clip(load(picked, 0, lanes(p), 0.0))


@shared
def _forward_block(p, labels, losses, start, end):
    picked = scratch(p, 1)
    for i in range(start, end, lanes(p)):
        store(losses, i, end, 0.0 - log(_gather(p, labels, i, min(lanes(p), end - i), picked)))


@loops(writes=("losses",), rows=True)
def _forward_blocks(p, labels, losses):
    for block in prange((p.shape[0] + ROWS - 1) // ROWS):
        _forward_block(p, labels, losses, block * ROWS, min((block + 1) * ROWS, p.shape[0]))


@inline
def _forward_row(p, targets, losses, i):
    start, end = i * p.shape[1], (i + 1) * p.shape[1]
    total = splat(p, -0.0)
    for at in range(start, end, lanes(p)):
        total = total + load(targets, at, end, -0.0) * log(_clip(load(p, at, end, 1.0)))
    losses[i] = -fold_sum(total)


@loops(writes=("losses",), rows=True)
def _forward_rows(p, targets, losses):
    for i in prange(p.shape[0]):
        _forward_row(p, targets, losses, i)


@public
def forward(p, labels, *, out=None, parallel=None):
    """The loss of each row of probabilities.

    p : (N, C) float32 or float64, any strides; not modified
    labels : (N,) integers in 0..C-1, or (N, C) one-hot rows (any distribution is allowed)
    out : (N,) dtype of p, C-contiguous, written and returned; must not overlap an input
    parallel : None decides by size; True or False overrides

    Returns losses (N,), dtype of p: -log p[label], or -sum of target * log p; p is clipped to [1e-7, 1 - 1e-7] first.
    Raises TypeError for another dtype, ValueError for shapes that do not fit or a label out of range.
    N = 0 gives an empty array; a NaN in what the label picks makes the loss NaN.
    Formula and source: kernels/reference/categorical_cross_entropy.py
    """
    p = check.array("p", p, 2)
    labels = check_labels(labels, "p", p)
    losses = check.out("out", out, p.shape[:1], p.dtype, p, labels)
    nest = _forward_blocks if labels.ndim == 1 else _forward_rows
    pick(nest, p.size >= PARALLEL_FROM, parallel)(p, labels, losses)
    return losses


@shared
def _backward_block(p, labels, dp, count, start, end):
    n = p.shape[1]
    for at in range(start * n, end * n, lanes(p)):
        store(dp, at, end * n, splat(p, 0.0))
    picked = scratch(p, 1)
    for i in range(start, end, lanes(p)):
        rows = min(lanes(p), end - i)
        store(picked, 0, lanes(p), (-1.0 / _gather(p, labels, i, rows, picked)) / count)
        for r in range(rows):
            dp[i + r, labels[i + r]] = picked[r]


@loops(writes=("dp",), rows=True)
def _backward_blocks(p, labels, dp, count):
    for block in prange((p.shape[0] + ROWS - 1) // ROWS):
        _backward_block(p, labels, dp, count, block * ROWS, min((block + 1) * ROWS, p.shape[0]))


@inline
def _backward_row(p, targets, dp, count, i):
    start, end = i * p.shape[1], (i + 1) * p.shape[1]
    for at in range(start, end, lanes(p)):
        store(dp, at, end, load(targets, at, end, 0.0) / (_clip(load(p, at, end, 1.0)) * -count))


@loops(writes=("dp",), rows=True)
def _backward_rows(p, targets, dp, count):
    for i in prange(p.shape[0]):
        _backward_row(p, targets, dp, count, i)


@public
def backward(p, labels, *, out=None, parallel=None):
    """The gradient of the mean loss with respect to p.

    p, labels : as given to `forward`; not modified
    out : (N, C) dtype of p, C-contiguous, written and returned; must not overlap an input
    parallel : None decides by size; True or False overrides

    Returns dp (N, C), dtype of p: -target / (clipped p * N), 0 where the target is 0. Errors as in `forward`.
    Formula and source: kernels/reference/categorical_cross_entropy.py
    """
    p = check.array("p", p, 2)
    labels = check_labels(labels, "p", p)
    dp = check.out("out", out, p.shape, p.dtype, p, labels)
    nest = _backward_blocks if labels.ndim == 1 else _backward_rows
    pick(nest, p.size >= PARALLEL_BACKWARD_FROM, parallel)(p, labels, dp, len(p))
    return dp

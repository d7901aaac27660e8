"""Each row times its own weight: y[i, j] = x[i, j] * weights[i]."""

from numba import prange

from .core import check
from .core.compile import loops, pick, shared
from .core.memory import load, store
from .core.public import public
from .core.vectors import lanes, splat

ROWS = 64  # rows per task
PARALLEL_FROM = 131_072  # elements, as in relu


@shared
def _scale_block(x, weights, y, start, end):
    n = x.shape[1]
    if n == 1:
        for at in range(start, end, lanes(x)):
            store(y, at, end, load(x, at, end, 0.0) * load(weights, at, end, 0.0))
    else:
        for i in range(start, end):
            weight = splat(x, weights[i])
            for at in range(i * n, (i + 1) * n, lanes(x)):
                store(y, at, (i + 1) * n, load(x, at, (i + 1) * n, 0.0) * weight)


@loops(writes=("y",), rows=True)
def scale_blocks(x, weights, y):
    """Multiply each row of x by its weight."""
    for block in prange((x.shape[0] + ROWS - 1) // ROWS):
        _scale_block(x, weights, y, block * ROWS, min((block + 1) * ROWS, x.shape[0]))


def _scale(name, x, weights, out, parallel):
    x = check.array(name, x)
    if x.ndim not in (1, 2):
        raise ValueError(f"{name} must have shape (N,) or (N, C), got {x.shape}")
    weights = check.array("weights", weights)
    check.dtype_of("weights", weights, name, x)
    if weights.shape != x.shape[:1]:
        raise ValueError(f"weights must have shape {x.shape[:1]} to match {name} {x.shape}, got {weights.shape}")
    y = check.out("out", out, x.shape, x.dtype, weights, alias=x)
    rows = x.shape if x.ndim == 2 else (x.size, 1)
    pick(scale_blocks, x.size >= PARALLEL_FROM, parallel)(x.reshape(rows), weights, y.reshape(rows))
    return y


@public
def forward(x, weights, *, out=None, parallel=None):
    """Multiply each row by a weight, such as the loss of each sample by its sample weight.

    x : (N,) or (N, C) float32 or float64, any strides; not modified
    weights : (N,) dtype of x, any strides; not modified
    out : shape and dtype of x, C-contiguous, written and returned; may be x itself
    parallel : None decides by size; True or False overrides

    Returns y, shape and dtype of x, rounded once.
    Raises TypeError for other or unequal dtypes, ValueError for shapes that do not fit.
    Size 0 gives an empty array; NaN propagates, and infinity times 0 is NaN.
    Formula and source: kernels/reference/scale_rows.py
    """
    return _scale("x", x, weights, out, parallel)


@public
def backward(dy, weights, *, out=None, parallel=None):
    """The gradient with respect to x: dy scaled like x in `forward`. The weights get no gradient.

    dy : (N,) or (N, C) float32 or float64, any strides; not modified
    out : shape and dtype of dy, C-contiguous, written and returned; may be dy itself
    weights, parallel, what is raised : as in `forward`

    Returns dx, shape and dtype of dy.
    Formula and source: kernels/reference/scale_rows.py
    """
    return _scale("dy", dy, weights, out, parallel)

"""Each channel of each image times a number of its own: y[n, c] = x[n, c] * scale[n, c]."""

from numba import prange

from .core import check
from .core.compile import loops, pick, shared
from .core.memory import load, scratch, store
from .core.narrow import W32, sum_rows
from .core.public import public
from .core.vectors import fold_sum, lanes, splat
from .scale_rows import PARALLEL_FROM, scale_blocks

ROWS = 64  # channels per task


@shared
def _backward_narrow(dy, x, scale, dx, dscale, start, end):
    n, w = x.shape[1], lanes(x)
    terms, columns = scratch(x, W32), scratch(x, W32)
    for first in range(start, end, w):
        last = min(first + w, end)
        for at in range(first * n, last * n, w):
            store(terms, at - first * n, (last - first) * n, load(dy, at, last * n, 0.0) * load(x, at, last * n, 0.0))
        store(dscale, first, end, sum_rows(terms, last - first, n, columns))
        for i in range(first, last):
            store(dx, i * n, (i + 1) * n, load(dy, i * n, (i + 1) * n, 0.0) * splat(x, scale[i]))


@shared
def _backward_block(dy, x, scale, dx, dscale, start, end):
    n, w = x.shape[1], lanes(x)
    for i in range(start, end):
        factor, total = splat(x, scale[i]), splat(x, -0.0)
        for at in range(i * n, (i + 1) * n, w):
            v = load(dy, at, (i + 1) * n, 0.0)
            # past the end 0 * -1 = -0, which changes no sum
            total = total + v * load(x, at, (i + 1) * n, -1.0)
            store(dx, at, (i + 1) * n, v * factor)
        store(dscale, i, i + 1, splat(x, fold_sum(total) if n else 0.0))


@loops(writes=("dx", "dscale"), rows=True)
def _backward_blocks(dy, x, scale, dx, dscale):
    for block in prange((x.shape[0] + ROWS - 1) // ROWS):
        start, end = block * ROWS, min((block + 1) * ROWS, x.shape[0])
        if 0 < x.shape[1] <= lanes(x):
            _backward_narrow(dy, x, scale, dx, dscale, start, end)
        else:
            _backward_block(dy, x, scale, dx, dscale, start, end)


def _scale(scale, like_name, like):
    scale = check.array("scale", scale)
    check.dtype_of("scale", scale, like_name, like)
    if scale.shape != like.shape[:2]:
        raise ValueError(f"scale must have shape {like.shape[:2]} to match {like_name} {like.shape}, got {scale.shape}")
    return scale


def _rows(x):
    channels = x.shape[0] * x.shape[1]
    return x.reshape(channels, x.size // channels if channels else 0)


@public
def forward(x, scale, *, out=None, parallel=None):
    """Multiply each channel of each image by a number, as squeeze-and-excitation does.

    x : (N, C, H, W) float32 or float64, any strides; not modified
    scale : (N, C) dtype of x, any strides; not modified
    out : shape and dtype of x, C-contiguous, written and returned; may be x itself
    parallel : None decides by size; True or False overrides

    Returns y, shape and dtype of x, rounded once.
    Raises TypeError for other or unequal dtypes, ValueError for shapes that do not fit.
    Size 0 gives an empty array; NaN propagates, and infinity times 0 is NaN.
    Formula and source: kernels/reference/scale_channels.py
    """
    x = check.array("x", x, 4)
    scale = _scale(scale, "x", x)
    y = check.out("out", out, x.shape, x.dtype, scale, alias=x)
    pick(scale_blocks, x.size >= PARALLEL_FROM, parallel)(_rows(x), scale.reshape(-1), _rows(y))
    return y


@public
def backward(dy, x, scale, *, out=None, parallel=None):
    """The gradients with respect to x and scale, from the gradient dy and the arguments of `forward`.

    dy, x : (N, C, H, W) float32 or float64, both the same, any strides; not modified
    scale : (N, C) dtype of x, any strides; not modified
    out : a tuple of arrays to write, (dx, dscale), C-contiguous, None for those to be made; the first may be dy itself
    parallel : None decides by size; True or False overrides

    Returns (dx, dscale): dy times scale, shape of x, and (N, C) the sums of dy * x over each channel.
    Raises TypeError for other or unequal dtypes, ValueError for shapes that do not fit.
    Sums of no elements are 0; NaN propagates.
    Formula and source: kernels/reference/scale_channels.py
    """
    dx, dscale = check.outs(out, 2)
    x = check.array("x", x, 4)
    scale = _scale(scale, "x", x)
    dy = check.same("dy", dy, "x", x)
    dx = check.out("out[0]", dx, x.shape, x.dtype, x, scale, alias=dy)
    dscale = check.out("out[1]", dscale, scale.shape, x.dtype, dy, x, scale, dx)
    pick(_backward_blocks, x.size >= PARALLEL_FROM, parallel)(
        _rows(dy), _rows(x), scale.reshape(-1), _rows(dx), dscale.reshape(-1))
    return dx, dscale

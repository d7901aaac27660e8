"""Leaky rectified linear unit: y = x where x > 0, else negative_slope * x."""

from numba import prange

from .core import check, elementwise
from .core.compile import inline, loops
from .core.elementwise import BLOCK
from .core.memory import load, store
from .core.public import public
from .core.vectors import lanes, select

PARALLEL_FROM = 131_072  # elements; that of relu, which does one product less


@inline
def _forward_block(x, y, slope, start, end):
    for at in range(start, end, lanes(x)):
        v = load(x, at, end, 0.0)
        store(y, at, end, select(v > 0.0, v, v * slope))


@loops(writes=("y",), rows=True)
def _forward_blocks(x, y, slope):
    for block in prange((x.size + BLOCK - 1) // BLOCK):
        _forward_block(x, y, slope, block * BLOCK, min((block + 1) * BLOCK, x.size))


@public
def forward(x, *, negative_slope=0.01, out=None, parallel=None):
    """Multiply negative elements by negative_slope.

    x : any shape, float32 or float64, any strides; not modified
    negative_slope : a finite number, at least 0; rounded to the dtype of x
    out : shape and dtype of x, C-contiguous, written and returned; may be x itself
    parallel : None decides by size; True or False overrides

    Returns y, shape and dtype of x. Exact where x > 0, else one product, rounded.
    Raises TypeError for another dtype, ValueError for an `out` that does not fit or a slope that is negative or not
    finite. Size 0 gives an empty array; NaN stays NaN and -0.0 stays -0.0. A slope of 0 makes negative numbers -0.0
    and -inf NaN, where relu gives 0.0.
    Formula and source: kernels/reference/leaky_relu.py
    """
    slope = check.not_negative("negative_slope", negative_slope)
    return elementwise.forward(_forward_blocks, PARALLEL_FROM, x, out, parallel, slope)


@inline
def _backward_block(dy, y, dx, slope, start, end):
    for at in range(start, end, lanes(y)):
        d = load(dy, at, end, 0.0)
        store(dx, at, end, select(load(y, at, end, 0.0) > 0.0, d, d * slope))


@loops(writes=("dx",), rows=True)
def _backward_blocks(dy, y, dx, slope):
    for block in prange((y.size + BLOCK - 1) // BLOCK):
        _backward_block(dy, y, dx, slope, block * BLOCK, min((block + 1) * BLOCK, y.size))


@public
def backward(dy, y, *, negative_slope=0.01, out=None, parallel=None):
    """The gradient with respect to x, from the gradient dy and the output y of `forward`.

    dy, y : same shape and dtype, float32 or float64, any strides; not modified
    negative_slope : that of `forward`
    out : shape and dtype of y, C-contiguous, written and returned; may be dy itself
    parallel : None decides by size; True or False overrides

    Returns dx, shape and dtype of y: dy where y > 0, exactly, else negative_slope * dy, rounded.
    Raises TypeError for other or unequal dtypes, ValueError for unequal shapes or a slope as in `forward`.
    NaN in dy stays; where y is NaN, negative_slope * dy passes.
    Formula and source: kernels/reference/leaky_relu.py
    """
    slope = check.not_negative("negative_slope", negative_slope)
    return elementwise.backward(_backward_blocks, PARALLEL_FROM, dy, "y", y, out, parallel, slope)

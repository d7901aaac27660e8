"""Convolution of images: y = f(conv(x, w) + b), the bias and the activation f fused into it."""

import numpy as np
from numba import prange

from .core import check
from .core.blocks import SUM_ROWS
from .core.compile import loops, pick, shared
from .core.convolutions import shapes, window
from .core.convolve import correlate
from .core.kernel_gradient import kernel_gradient
from .core.memory import load, pointer, shift, store
from .core.planes import ZEROS, inside
from .core.public import public
from .core.spread import spread
from .core.vectors import fold_sum, lanes, splat
from .dense import ACTIVATIONS, _gradient
from .matmul import A_TRANSPOSED, ACTIVATION, B_TRANSPOSED, BIAS, NO_ACTIVATION, product

PARALLEL_FROM = 131_072  # elements of dz, as in dense's backward
IMAGES = 1024  # of single pixels that are added to dw in one chain


@public
def forward(x, w, b=None, *, stride=1, padding=0, dilation=1, groups=1, padding_mode="zeros", activation=None, out=None,
            parallel=None):
    """The output of a convolution.

    x : (N, C, H, W) float32 or float64, any strides; not modified
    w : (O, I, K, L) dtype of x, any strides, I = C / groups, the kernel K x L; not modified
    b : None, or (O,) dtype of x, any strides; not modified
    stride, dilation : a whole number, at least 1, or a pair of them, for rows and columns
    padding : a whole number, at least 0, or a pair of them, ((top, bottom), (left, right)), or "same" for stride 1
    groups : a whole number, at least 1, that divides C and O
    padding_mode : "zeros", "reflect" or "replicate"
    activation : None, "relu", "sigmoid" or "tanh"
    out : (N, O, P, Q) dtype of x, C-contiguous, written and returned; must not overlap an input
    parallel : None decides by size; True or False overrides

    Returns y (N, O, P, Q), dtype of x: each sum one chain over c, ky, kx, then + b, then f. Padding is data: inf times
    a zero around x is NaN. With "same" the odd row and column go to the end.
    Raises TypeError for other or unequal dtypes, ValueError for shapes that do not fit, as K = 0, L = 0, P = 0 or
    Q = 0.
    C = 0 gives f(b) everywhere, N = 0 or O = 0 an empty array; NaN propagates.
    Formula and source: kernels/reference/conv2d.py
    """
    how, same = window(stride, padding, dilation, groups, padding_mode)
    function = check.one_of("activation", activation, ACTIVATIONS)
    x, w = _images(x, w)
    how, size = shapes(how, same, x, w)
    b = _checked_bias(b, w.shape[0], x)
    y = check.out("out", out, (x.shape[0], w.shape[0], *size), x.dtype, x, w, *[] if b is None else [b])
    if _is_whole(how, x, w) and (b is not None or function == NO_ACTIVATION):
        flags = B_TRANSPOSED + BIAS * (b is not None) + ACTIVATION * function
        product(_rows(x), _rows(w), _rows(y), flags, x.size * w.shape[0], parallel, None if b is None else b[None])
        return y
    return correlate(x, w, b, y, how, function, parallel)


def _rows(x):
    """An array with a row for each image, or for each output of a kernel."""
    return x.reshape(x.shape[0], x.size // x.shape[0])


def _is_whole(how, x, w):
    """Whether windows are as large as the images: then y and dw are matrix products, with the same chains. For dx see
    core/pixels.py."""
    return (x.shape[2:] == w.shape[2:] and how.groups == 1 and not (how.top or how.bottom or how.left or how.right)
            and how.dilation == (1, 1) and 0 < x.shape[0] <= IMAGES and x.size > 0 and w.size > 0)


def _images(x, w):
    x, w = check.array("x", x, 4), check.array("w", w, 4)
    check.dtype_of("w", w, "x", x)
    return x, w


def _checked_bias(b, outputs, x):
    """b (O,) as a checked array, or None."""
    if b is not None:
        b = check.array("b", b, 1)
        check.dtype_of("b", b, "x", x)
        if b.shape[0] != outputs:
            raise ValueError(f"b must have shape ({outputs},) to match w, got {b.shape}")
    return b


@shared
def _gradient_row(dy, y, dz, sums, row, size, activation):
    total, end = splat(dy, -0.0), (row + 1) * size
    for at in range(row * size, end, lanes(dy)):
        if activation == NO_ACTIVATION:
            total = total + load(dy, at, end, -0.0)
        else:
            store(dz, at, end, _gradient(dy, y, at, end, activation))
            total = total + load(dz, at, end, -0.0)
    sums[row] = fold_sum(total)


@loops(writes=("dz", "sums"))
def _gradient_rows(dy, y, dz, sums, activation):
    """dz = dy * f'(y), and the sums of its rows, each the pixels of a channel of an image."""
    size = dy.shape[2] * dy.shape[3]
    for row in prange(sums.shape[0] * sums.shape[1]):
        _gradient_row(dy, y, dz, pointer(sums), row, size, activation)


@loops(writes=("db",))
def _bias_gradient(sums, db):
    """db = the sums over blocks of SUM_ROWS images, added from the first to the last."""
    for o in prange(db.size):
        total = db.dtype.type(0)
        for first in range(0, sums.shape[0], SUM_ROWS):
            part = sums[first, o]
            for image in range(first + 1, min(first + SUM_ROWS, sums.shape[0])):
                part += sums[image, o]
            total = part if first == 0 else total + part
        db[o] = total


@shared
def _fold_channel(padded, x, channel, top, left, rows, columns, mode):
    height, width = x.shape[2], x.shape[3]
    to, source = shift(pointer(x), channel * height * width), shift(pointer(padded), channel * rows * columns)
    for at in range(height * width):
        to[at] = -0.0
    for i in range(rows):
        row = inside(i - top, height, mode) * width
        for j in range(columns):
            to[row + inside(j - left, width, mode)] += source[i * columns + j]


@loops(writes=("dx",))
def _fold(padded, dx, top, left, mode):
    """dx = the sums of the gradients of each number's copies in the padded image, row by row."""
    for channel in prange(dx.shape[0] * dx.shape[1]):
        _fold_channel(padded, dx, channel, top, left, padded.shape[2], padded.shape[3], mode)


def _output_gradients(dy, y, function, db, parallel):
    """dz = dy * f'(y), which is dy without an f, and db, its sum, unless that is None, for checked arrays."""
    if db is None and function == NO_ACTIVATION:
        return dy
    dz = dy if function == NO_ACTIVATION else np.empty(dy.shape, dy.dtype)
    sums = np.empty(dy.shape[:2], dy.dtype)
    nest = pick(_gradient_rows, dy.size >= PARALLEL_FROM, parallel)
    nest(dy, dy if function == NO_ACTIVATION else y, dz, sums, function)
    if db is not None:
        pick(_bias_gradient, False, parallel)(sums, db)
    return dz


def _checked_output(dy, y, function, activation, shape, like, names):
    """dy, and y where there is an activation, as checked arrays of this shape; and those that are read."""
    dy = check.array("dy", dy, 4)
    check.dtype_of("dy", dy, "x", like)
    if dy.shape != shape:
        raise ValueError(f"dy must have shape {shape} to match {names}, got {dy.shape}")
    if function == NO_ACTIVATION:
        return dy, None, (dy,)
    if y is None:
        raise ValueError(f"y, the output of forward, is needed for activation {activation!r}")
    y = check.same("y", y, "dy", dy)
    return dy, y, (dy, y)


def _gradients(given, x, w, outputs, input_gradient, weight_gradient, bias_gradient, read):
    """The arrays to write: None for those that are not wanted."""
    dx, dw, db = given
    dw = check.out("out[1]", dw, w.shape, x.dtype, *read) if weight_gradient else None
    written = [*read, *([dw] if weight_gradient else [])]
    db = check.out("out[2]", db, (outputs,), x.dtype, *written) if bias_gradient else None
    written += [db] if bias_gradient else []
    return check.out("out[0]", dx, x.shape, x.dtype, *written) if input_gradient else None, dw, db


@public
def backward(dy, x, w, y=None, *, stride=1, padding=0, dilation=1, groups=1, padding_mode="zeros", activation=None,
             input_gradient=True, weight_gradient=True, bias_gradient=True, out=None, parallel=None):
    """The gradients with respect to x, w and b.

    dy : (N, O, P, Q) float32 or float64, any strides; not modified
    x : (N, C, H, W), w : (O, I, K, L) as given to `forward`, dtype of dy; not modified
    y : (N, O, P, Q) the output of `forward`; needed where there is an activation
    stride, dilation : as given to `forward`
    padding : as given to `forward`
    groups : as given to `forward`
    padding_mode : as given to `forward`
    activation : as given to `forward`
    input_gradient : True, or False: skips dx (a network's first layer needs none) and returns None for it
    weight_gradient : True, or False: skips dw (a layer that is not trained needs none) and returns None for it
    bias_gradient : True, or False: skips db (a layer without biases needs none) and returns None for it
    out : a tuple of (N, C, H, W), (O, I, K, L) and (O,) arrays to write, None for those to allocate
    parallel : None decides by size; True or False overrides

    Returns (dx, dw, db), shapes of x, w and b, dtype of dy. Each number of dx is one chain over o, ky, kx, zeros
    outside of dy included; with "reflect" and "replicate" the sum of those of its copies. The sum of dw adds blocks of
    images, at least 1024 pixels each, in order, that of db the sums of each image's pixels, in blocks of 256 images.
    Raises TypeError for other or unequal dtypes, ValueError for shapes that do not fit, as K = 0, L = 0, P = 0 or
    Q = 0.
    N = 0 gives zeros for dw and db; NaN propagates.
    Formula and source: kernels/reference/conv2d.py
    """
    how, same = window(stride, padding, dilation, groups, padding_mode)
    function = check.one_of("activation", activation, ACTIVATIONS)
    input_gradient = check.flag("input_gradient", input_gradient)
    weight_gradient = check.flag("weight_gradient", weight_gradient)
    bias_gradient = check.flag("bias_gradient", bias_gradient)
    dx, dw, db = check.outs(out, 3)
    x, w = _images(x, w)
    how, size = shapes(how, same, x, w)
    dy, y, read = _checked_output(dy, y, function, activation, (x.shape[0], w.shape[0], *size), x, "x and w")
    read = (*read, x, w)
    dx, dw, db = _gradients((dx, dw, db), x, w, w.shape[0], input_gradient, weight_gradient, bias_gradient, read)
    dz = _output_gradients(dy, y, function, db, parallel)
    if weight_gradient and _is_whole(how, x, w):
        product(_rows(dz), _rows(x), _rows(dw), A_TRANSPOSED, x.size * w.shape[0], parallel)
    elif weight_gradient:
        kernel_gradient(dz, x, dw, how, parallel)
    if not input_gradient:
        return dx, dw, db
    if how.mode == ZEROS:
        spread(dz, w, None, dx, (how.top, how.left), how, NO_ACTIVATION, parallel)
    else:
        n, channels, height, width = x.shape
        padded = np.empty((n, channels, height + how.top + how.bottom, width + how.left + how.right), x.dtype)
        spread(dz, w, None, padded, (0, 0), how, NO_ACTIVATION, parallel)
        pick(_fold, dx.size >= PARALLEL_FROM, parallel)(padded, dx, how.top, how.left, how.mode)
    return dx, dw, db

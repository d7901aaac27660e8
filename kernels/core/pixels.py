"""A transposed convolution of single pixels: a matrix product where the zeros around them change nothing.

    y[n, (c, ky, kx)] = f(chain over o of x[n, o] w[o, (c, ky, kx)] + bias[c])

Its definition (see spread.py) has the zeros around a pixel among the terms of a chain. Such a term is NaN where a
weight is not finite. Else it leaves the sum as it is, but may make +0 of -0, which is what a negative product gives
that is too small for the dtype. So where a weight is not finite, or a sum is -0, all is computed again, with the zeros.
"""

import numpy as np
from numba import prange

from .compile import loops, pick, shared
from .convolve import ACTIVATION, BIAS, PARALLEL_FROM, list_places
from .memory import load, pointer, scratch, shift, store
from .panels import ADD, ADD_RELU, NOTHING, VECTORS, block, copy_rows
from .sweep import RELU, activate
from .taps import PLACE
from .vectors import copysign, fma, fold_sum, lanes, select, splat

DEPTH = 256  # channels at a time: a panel of their weights fits into the first-level cache
ROOM = (DEPTH + 1) * VECTORS  # vectors of a panel and its biases


@shared
def _multiply(x, w, bias, y, panel, j, columns, places, flags):
    """Some columns of y by the product. Returns whether these are the bits that the zeros around would give."""
    panel, line, unlike = pointer(panel), lanes(y), splat(y, 0.0)  # arrays, so that they stay alive
    n, channels, across, area = x.shape[0], x.shape[1], w.size // w.shape[0], w.shape[2] * w.shape[3]
    wide, part, biases = VECTORS * line, shift(pointer(y), j), shift(panel, DEPTH * VECTORS * line)
    end = NOTHING if flags & BIAS == 0 else ADD_RELU if flags // ACTIVATION == RELU else ADD
    for q in range(columns if flags & BIAS else 0):
        biases[q] = bias[(j + q) // area]
    for k in range(0, channels, DEPTH):
        deep = min(DEPTH, channels - k)
        copy_rows(shift(pointer(w), k * across + j), across, panel, wide, 0, deep, columns)
        for at in range(0, deep * wide, line):
            unlike = unlike + load(panel, at, deep * wide, 0.0) * 0.0  # NaN if it is not finite
        block(shift(pointer(x), k), channels, 1, panel, wide, 0, part, across, n, columns, deep, k > 0, biases,
              end if k + deep == channels else NOTHING)
    for i in range(n):
        for at in range(i * across, i * across + columns, line):
            v = load(part, at, i * across + columns, 1.0)
            unlike = unlike + select(v == 0.0, 1.0 - copysign(splat(v, 1.0), v), 0.0)
    if flags // ACTIVATION > RELU:
        activate(part, across, n, pointer(places), (columns + line - 1) // line, flags // ACTIVATION)
    return fold_sum(unlike) == 0.0


@shared
def _multiply_all(x, w, bias, y, i, c, places, flags):
    """A channel of an image with all terms of its chains: each pixel of y meets x's in one of them."""
    line, channels, area = lanes(y), x.shape[1], w.shape[2] * w.shape[3]
    around, target = scratch(y, 3), (i * w.shape[1] + c) * area  # what begins at line - l has the pixel in lane l
    for at in range(0, 3 * line, line):
        store(around, at, at + line, splat(y, 0.0))
    for p in range(0, area, line):
        total = splat(y, 0.0)
        for o in range(channels):
            around[line] = pointer(x)[i * channels + o]
            weights = shift(pointer(w), (o * w.shape[1] + c) * area)
            for q in range(area):
                start = line - (q - p) if p <= q < p + line else 2 * line
                total = fma(splat(total, weights[q]), load(around, start, start + line, 0.0), total)
        if flags & BIAS:
            total = total + bias[c]
        store(y, target + p, target + area, select(total <= 0.0, 0.0, total) if flags // ACTIVATION == RELU else total)
    if flags // ACTIVATION > RELU:
        activate(shift(pointer(y), target), 0, 1, pointer(places), (area + line - 1) // line, flags // ACTIVATION)


@loops(writes=("y",))
def _spread_pixels(x, w, bias, y, flags):
    n, outputs, across, area = x.shape[0], w.shape[1], w.size // w.shape[0], w.shape[2] * w.shape[3]
    line = lanes(y)
    wide = VECTORS * line
    panels = (across + wide - 1) // wide
    same, places = np.empty(panels, np.bool_), np.empty((area + line) // line * PLACE, np.int64)
    for task in prange(panels):
        columns, here = min(wide, across - task * wide), np.empty(VECTORS * PLACE, np.int64)
        list_places(here, 1, 0, 0, 1, columns, columns, True, line)
        panel = np.empty(ROOM * line, y.dtype)
        same[task] = _multiply(x, w, bias, y, panel, task * wide, columns, here, flags)
    list_places(places, 1, 0, 0, 1, area, area, True, line)
    for task in prange(0 if same.all() else n * outputs):
        _multiply_all(x, w, bias, y, task // outputs, task % outputs, places, flags)


def are_pixels(x, w, y, start, window):
    """Whether images are single pixels, and y's pixels the kernel's, which all of it meets."""
    return (x.shape[2:] == (1, 1) and y.shape[2:] == w.shape[2:] and start == (0, 0) and window.groups == 1
            and window.stride == window.dilation == (1, 1) and x.size > 0 and w.size > 0)


def spread_pixels(x, w, b, y, activation, parallel):
    """y = f(the sum + b) for these; b may be None where f is the identity."""
    large = x.size * w.size // w.shape[0] >= PARALLEL_FROM
    flags = (b is not None) * BIAS + activation * ACTIVATION
    pick(_spread_pixels, large, parallel)(x, w, w.reshape(-1) if b is None else b, y, flags)
    return y

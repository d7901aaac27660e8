"""Convolution of images: y[n, o, oy, ox] = f(b[o] + the sum over c, ky, kx of w[o, c, ky, kx] X[n, c, oy s + ky d,
ox s + kx d]), X the padded x, f the identity, relu, sigmoid or tanh (Goodfellow, Bengio, Courville 2016, chapter 9;
names and shapes are PyTorch's).

Gradients by the chain rule: dz = dy * f'(y); each product above passes dz times one factor to the other; db is the sum
of dz over images and pixels. What the padding repeats (reflect, replicate) gets the sum of its copies' gradients.
"""

from typing import Any

import numpy as np

from . import dense

DIMENSIONS = ("N", "C", "H", "W", "O")
SHAPES = ((1, 1, 1, 1, 1), (3, 2, 5, 4, 3), (2, 4, 8, 8, 17), (1, 3, 20, 19, 8), (9, 6, 4, 4, 6), (2, 16, 9, 33, 16),
          (5, 8, 7, 7, 24))
LARGE = 10**6  # of a kernel, cut down to the image
MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge"}


def inputs(rng, shape, dtype):
    n, channels, height, width, outputs = shape
    cases: list = []
    for kernel, options in (
            ((3, 3), {"padding": 1}),
            ((3, 2), {"stride": 2, "padding": (2, 1), "activation": "relu"}),
            ((1, 1), {"activation": "sigmoid"}),
            ((2, 3), {"padding": "same", "dilation": 2, "padding_mode": "replicate", "activation": "tanh"}),
            ((2, 5), {"stride": (1, 3), "padding": ((0, 1), (2, 4)), "groups": 2}),
            ((3, 3), {"padding": 1, "groups": channels}),
            ((LARGE, LARGE), {})):
        groups: Any = options.get("groups", 1)
        if groups < 1 or channels % groups:
            continue
        o = outputs * groups if groups > 1 else outputs
        kernel = min(kernel[0], max(height, 1)), min(kernel[1], max(width, 1))
        x = rng.standard_normal((n, channels, height, width)).astype(dtype)
        w = rng.standard_normal((o, channels // groups, *kernel)).astype(dtype)
        w /= dtype(max(channels // groups, 1)) ** dtype(0.5) * 4  # sigmoids not at their ends
        b = rng.standard_normal(o).astype(dtype)
        y = forward(x, w, b, **options)
        dy = rng.standard_normal(y.shape).astype(dtype)
        cases.append(("forward", (x, w, b), options))
        cases.append(("backward", (dy, x, w, y), options))
    return cases


def _pair(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def _paddings(padding, kernel, dilation):
    """((top, bottom), (left, right))."""
    if isinstance(padding, str):
        sizes = [(k - 1) * d for k, d in zip(kernel, _pair(dilation))]
        return tuple((size // 2, size - size // 2) for size in sizes)
    return tuple(_pair(each) for each in _pair(padding))


def _output_shape(x, w, *, stride=1, padding=0, dilation=1, groups=1, padding_mode="zeros"):
    """The shape of y for the shapes of x and w; None where they do not fit."""
    around = _paddings(padding, w[2:], dilation)
    if x[1] % groups or w[0] % groups or w[1] != x[1] // groups or 0 in w[2:]:
        return None
    size = [n + sum(p) - (k - 1) * d for n, p, k, d in zip(x[2:], around, w[2:], _pair(dilation))]
    short = {"zeros": lambda n, p: False, "reflect": lambda n, p: max(p) >= n,
             "replicate": lambda n, p: max(p) and not n}
    if min(size) < 1 or any(map(short[padding_mode], x[2:], around)):
        return None
    return x[0], w[0], *((n - 1) // s + 1 for n, s in zip(size, _pair(stride)))


def _taps(kernel, dilation, stride, size):
    """(ky, kx, the part of the padded image that this tap meets)."""
    (dy, dx), (sy, sx), (height, width) = _pair(dilation), _pair(stride), size
    for ky in range(kernel[0]):
        for kx in range(kernel[1]):
            rows = slice(ky * dy, ky * dy + (height - 1) * sy + 1, sy)
            columns = slice(kx * dx, kx * dx + (width - 1) * sx + 1, sx)
            yield ky, kx, (slice(None), slice(None), rows, columns)


def _padded(x, widths, padding_mode):
    mode: Any = MODES[padding_mode]
    return np.pad(x, widths, mode)


def forward(x, w, b=None, *, stride=1, padding=0, dilation=1, groups=1, padding_mode="zeros", activation=None, out=None,
            parallel=None):
    X = _padded(x, ((0, 0), (0, 0), *_paddings(padding, w.shape[2:], dilation)), padding_mode)
    size = [(length - (k - 1) * d - 1) // s + 1 for length, k, d, s in
            zip(X.shape[2:], w.shape[2:], _pair(dilation), _pair(stride))]
    y = np.empty((len(x), len(w), *size), x.dtype) if out is None else out
    y[...] = 0 if b is None else b[:, None, None]
    outputs, channels = len(w) // groups, w.shape[1]
    for g in range(groups):
        of, part = slice(g * outputs, (g + 1) * outputs), X[:, g * channels:(g + 1) * channels]
        for ky, kx, met in _taps(w.shape[2:], dilation, stride, size):
            y[:, of] += _product(w[of, :, ky, kx], part[met])
    return y if activation is None else dense.ACTIVATIONS[activation].forward(y, out=y)


def _product(matrix, images):
    """Its rows times the channels of each pixel."""
    n, channels, height, width = images.shape
    return np.matmul(matrix, images.reshape(n, channels, height * width)).reshape(n, len(matrix), height, width)


def backward(dy, x, w, y=None, *, stride=1, padding=0, dilation=1, groups=1, padding_mode="zeros", activation=None,
             input_gradient=True, weight_gradient=True, bias_gradient=True, out=(None, None, None), parallel=None):
    dz = dy if activation is None else dense.ACTIVATIONS[activation].backward(dy, y)
    around = _paddings(padding, w.shape[2:], dilation)
    X = _padded(x, ((0, 0), (0, 0), *around), padding_mode)
    dw = _kernel_gradient(dz, X, w.shape, stride, dilation, groups, out[1]) if weight_gradient else None
    db = np.sum(dz, axis=(0, 2, 3), out=out[2]) if bias_gradient else None
    if not input_gradient:
        return None, dw, db
    dX = _spread(dz, w, X.shape, (0, 0), stride, dilation, groups)
    (top, _), (left, _) = around
    if padding_mode == "zeros":
        dx = dX[:, :, top:top + x.shape[2], left:left + x.shape[3]]
    else:
        numbers = [_padded(np.arange(length), pads, padding_mode) for length, pads in zip(x.shape[2:], around)]
        dx = np.zeros_like(x)
        at: Any = (slice(None), slice(None), numbers[0][:, None], numbers[1])
        np.add.at(dx, at, dX)
    if out[0] is None:
        return np.array(dx, order="C"), dw, db
    out[0][...] = dx
    return out[0], dw, db


def _kernel_gradient(dy, X, shape, stride, dilation, groups, out=None):
    dw = np.empty(shape, X.dtype) if out is None else out
    outputs, channels, pixels = shape[0] // groups, shape[1], len(dy) * dy.shape[2] * dy.shape[3]
    for g in range(groups):
        of, part = slice(g * outputs, (g + 1) * outputs), X[:, g * channels:(g + 1) * channels]
        for ky, kx, met in _taps(shape[2:], dilation, stride, dy.shape[2:]):
            rows = dy[:, of].swapaxes(0, 1).reshape(outputs, pixels)
            dw[of, :, ky, kx] = np.matmul(rows, part[met].swapaxes(0, 1).reshape(channels, pixels).T)
    return dw


def _spread(dy, w, shape, start, stride, dilation, groups):
    """The sums of w times dy over what passed x[iy, ix] on: for each tap, dy at ((iy, ix) + start - (ky, kx) d) / s
    where that is whole, zeros outside of it."""
    (sy, sx), (ky_step, kx_step), (height, width) = _pair(stride), _pair(dilation), shape[2:]
    kernel_height, kernel_width = w.shape[2:]
    up, before = kernel_height * ky_step, kernel_width * kx_step
    around = ((up, up + height + start[0]), (before, before + width + start[1]))
    padded = np.pad(dy, ((0, 0), (0, 0), *around))
    dx = np.zeros(shape, dy.dtype)
    outputs, channels = len(w) // groups, w.shape[1]
    for g in range(groups):
        of, to = slice(g * outputs, (g + 1) * outputs), slice(g * channels, (g + 1) * channels)
        for fy in range(min(sy, height)):
            for fx in range(min(sx, width)):
                part = dx[:, to, fy::sy, fx::sx]
                for ky in range(kernel_height):
                    for kx in range(kernel_width):
                        row, column = fy + start[0] - ky * ky_step, fx + start[1] - kx * kx_step
                        if row % sy == 0 and column % sx == 0:
                            row, column = row // sy + up, column // sx + before
                            part += _product(w[of, :, ky, kx].T,
                                             padded[:, of, row:row + part.shape[2], column:column + part.shape[3]])
    return dx

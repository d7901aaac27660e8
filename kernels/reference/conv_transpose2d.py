"""Transposed convolution of images: y[n, o, iy, ix] = f(b[o] + the sum of w[c, o, ky, kx] x[n, c, oy, ox] over all that
oy s + ky d - p = iy and ox s + kx d - p = ix), f the identity, relu, sigmoid or tanh (Dumoulin, Visin 2016, section 4;
names and shapes are PyTorch's).

It is the gradient of a convolution with respect to its input, so its own gradients are a convolution's output and
kernel gradient.
"""

from typing import Any

import numpy as np

from . import conv2d, dense
from .conv2d import _kernel_gradient, _pair, _paddings, _spread

DIMENSIONS = ("N", "C", "H", "W", "O")
SHAPES = ((1, 1, 1, 1, 1), (3, 2, 5, 4, 3), (2, 4, 8, 8, 17), (1, 3, 20, 19, 8), (9, 6, 4, 4, 6), (2, 16, 3, 17, 16))


def inputs(rng, shape, dtype):
    n, channels, height, width, outputs = shape
    cases: list = []
    for kernel, options in (
            ((3, 3), {"padding": 1}),
            ((4, 3), {"stride": 2, "padding": 1, "activation": "relu"}),
            ((3, 2), {"stride": (1, 3), "padding": (1, 0), "output_padding": (0, 2), "activation": "tanh"}),
            ((2, 3), {"dilation": 2, "stride": 2, "output_padding": 1, "groups": 2, "activation": "sigmoid"}),
            ((3, 3), {"stride": 2, "padding": 1, "output_padding": 1, "groups": channels})):
        groups: Any = options.get("groups", 1)
        if groups < 1 or channels % groups or not height or not width:
            continue
        x = rng.standard_normal((n, channels, height, width)).astype(dtype)
        w = rng.standard_normal((channels, 1 if groups == channels else outputs, *kernel)).astype(dtype)
        w /= dtype(max(channels // groups, 1)) ** dtype(0.5) * 4  # sigmoids not at their ends
        b = rng.standard_normal(w.shape[1] * groups).astype(dtype)
        y = forward(x, w, b, **options)
        dy = rng.standard_normal(y.shape).astype(dtype)
        cases.append(("forward", (x, w, b), options))
        cases.append(("backward", (dy, x, w, y), options))
    return cases


def _output_shape(x, w, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1):
    """The shape of y for the shapes of x and w; None where they do not fit."""
    size = [(n - 1) * s - 2 * p + (k - 1) * d + m + 1 for n, s, p, k, d, m in
            zip(x[2:], _pair(stride), _pair(padding), w[2:], _pair(dilation), _pair(output_padding))]
    fits = x[1] == w[0] and x[1] % groups == 0 and 0 not in (*x[2:], *w[2:]) and min(size) > 0
    return (x[0], w[1] * groups, *size) if fits else None


def forward(x, w, b=None, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1, activation=None, out=None,
            parallel=None):
    shape = _output_shape(x.shape, w.shape, stride=stride, padding=padding, output_padding=output_padding,
                          dilation=dilation, groups=groups)
    sums = _spread(x, w, shape, _pair(padding), stride, dilation, groups)
    y = np.add(sums, 0 if b is None else b[:, None, None], out=out)
    return y if activation is None else dense.ACTIVATIONS[activation].forward(y, out=y)


def backward(dy, x, w, y=None, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1, activation=None,
             input_gradient=True, weight_gradient=True, bias_gradient=True, out=(None, None, None), parallel=None):
    dz = dy if activation is None else dense.ACTIVATIONS[activation].backward(dy, y)
    padded = np.pad(dz, ((0, 0), (0, 0), *_paddings(padding, w.shape[2:], dilation)))
    dw = _kernel_gradient(x, padded, w.shape, stride, dilation, groups, out[1]) if weight_gradient else None
    db = np.sum(dz, axis=(0, 2, 3), out=out[2]) if bias_gradient else None
    if not input_gradient:
        return None, dw, db
    (dy_step, dx_step), (sy, sx) = _pair(dilation), _pair(stride)
    # what output_padding added meets no tap
    rows, columns = ((n - 1) * s + (k - 1) * d + 1 for n, s, k, d in
                     zip(x.shape[2:], (sy, sx), w.shape[2:], (dy_step, dx_step)))
    dx = conv2d.forward(padded[:, :, :rows, :columns], w, stride=stride, dilation=dilation, groups=groups, out=out[0])
    return dx, dw, db

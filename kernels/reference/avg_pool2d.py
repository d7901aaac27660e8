"""Average pooling: y[n, c, i, j] = the mean of x[n, c, i s - p + ky, j s - p + kx] over ky, kx of the window, s the
stride and p the padding, whose numbers are zeros. As torch.nn.functional.avg_pool2d:
`count_include_pad` says whether the mean is over these, too.

Each number of the window gets the gradient of y over their count.
"""

import numpy as np

from . import max_pool2d
from .max_pool2d import _inside, _lengths, _room, _taps, _window

_fits = max_pool2d._fits
DIMENSIONS = max_pool2d.DIMENSIONS
SHAPES = max_pool2d.SHAPES
OPTIONS = ({"size": 2}, {"size": 3, "stride": 2, "padding": 1},
           {"size": (3, 2), "stride": (1, 3), "padding": (0, 1), "count_include_pad": False})


def inputs(rng, shape, dtype):
    x = rng.standard_normal(shape).astype(dtype)
    cases: list = []
    for options in OPTIONS:
        size, _, padding = _window(options["size"], padding=options.get("padding", 0))
        if all(n + 2 * p >= k for n, k, p in zip(shape[2:], size, padding)):
            y = forward(x, **options)
            cases.append(("forward", (x,), options))
            cases.append(("backward", (rng.standard_normal(y.shape).astype(dtype), x), options))
    if not cases or 0 in shape[2:]:
        raise ValueError(f"no window fits images of {shape[2:]}")
    return cases


def _counts(x, size, stride, padding, ceil_mode, count_include_pad):
    fill = 1 if count_include_pad else 0
    return sum(v for v, _ in _taps(np.ones((1, 1, *x.shape[2:]), x.dtype), size, stride, padding, ceil_mode, fill))


def forward(x, *, size, stride=None, padding=0, count_include_pad=True, ceil_mode=False, out=None,
            parallel=None):
    y = np.empty((*x.shape[:2], *_lengths(x.shape, size, stride, padding, ceil_mode)), x.dtype) if out is None else out
    y[...] = 0
    for v, _ in _taps(x, size, stride, padding, ceil_mode, 0):
        y += v
    y /= _counts(x, size, stride, padding, ceil_mode, count_include_pad)
    return y


def backward(dy, x, *, size, stride=None, padding=0, count_include_pad=True, ceil_mode=False, out=None,
             parallel=None):
    shares = dy / _counts(x, size, stride, padding, ceil_mode, count_include_pad)
    dx, padded = np.empty_like(x) if out is None else out, _room(x, size, stride, padding, ceil_mode)
    for _, place in _taps(x, size, stride, padding, ceil_mode, 0):
        padded[place] += shares
    dx[...] = _inside(padded, x.shape, padding)
    return dx

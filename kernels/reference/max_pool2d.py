"""Max pooling: y[n, c, i, j] = the largest of x[n, c, i s - p + ky, j s - p + kx] over ky, kx of the window, s the
stride and p the padding; what lies outside of the image is no candidate. As torch.nn.functional.max_pool2d.

The gradient of y goes to the number that y is: of equal numbers the first in the order ky, kx, and the first NaN.
"""

import math
from typing import Any

import numpy as np

DIMENSIONS = ("N", "C", "H", "W")
SHAPES = ((2, 3, 4, 4), (1, 2, 5, 35), (3, 1, 9, 16), (2, 2, 10, 10), (1, 1, 7, 33), (2, 1, 12, 64), (1, 2, 3, 131),
          (1, 1, 40, 8))
OPTIONS = ({"size": 2}, {"size": 3, "stride": 2, "padding": 1}, {"size": (3, 2), "stride": 1, "padding": (0, 1)},
           {"size": (2, 4), "stride": (1, 3), "padding": (1, 0)})


def inputs(rng, shape, dtype):
    x = rng.standard_normal(shape).astype(dtype)
    cases: list = []
    for options in OPTIONS:
        size, _, padding = _window(options["size"], padding=options.get("padding", 0))
        if all(n + 2 * p >= k for n, k, p in zip(shape[2:], size, padding)):
            y = forward(x, **options)
            cases.append(("forward", (x,), options))
            cases.append(("backward", (rng.standard_normal(y.shape).astype(dtype), x, y), options))
    if not cases or 0 in shape[2:]:
        raise ValueError(f"no window fits images of {shape[2:]}")
    return cases


def _pair(number):
    return tuple(number) if isinstance(number, (tuple, list)) else (number, number)


def _window(size, stride=None, padding=0):
    return _pair(size), _pair(size if stride is None else stride), _pair(padding)


def _lengths(shape, size, stride=None, padding=0, ceil_mode=False):
    """P and Q of images of a shape (..., H, W)."""
    found = []
    for n, k, s, p in zip(shape[-2:], *_window(size, stride, padding)):
        count = math.ceil((n + 2 * p - k) / s) + 1 if ceil_mode else (n + 2 * p - k) // s + 1
        found.append(count - (ceil_mode and (count - 1) * s >= n + p))
    return tuple(found)


def _fits(lengths, size, stride=None, padding=0, ceil_mode=False, **others):
    """Whether lengths by letters are those of images and of what windows make of them."""
    shape = lengths["H"], lengths["W"]
    found = _lengths(shape, size, stride, padding, ceil_mode)
    return min(*shape, *found) > 0 and all(lengths.get(letter, n) == n for letter, n in zip("PQ", found))


def _taps(x, size, stride, padding, ceil_mode, fill):
    """For each ky, kx: its numbers of all windows (N, C, P, Q), and where they lie in x with padding."""
    (kh, kw), (sh, sw), (ph, pw) = _window(size, stride, padding)
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=fill)
    rows, columns = _lengths(x.shape, size, stride, padding, ceil_mode)
    padded = np.pad(padded, ((0, 0), (0, 0), *_beyond(x.shape, size, stride, padding, ceil_mode)))
    for ky in range(kh):
        for kx in range(kw):
            place = (..., slice(ky, ky + (rows - 1) * sh + 1, sh), slice(kx, kx + (columns - 1) * sw + 1, sw))
            yield padded[place], place


def _beyond(shape, size, stride, padding, ceil_mode):
    """Before and after the padded image, how far windows reach beyond it."""
    return tuple((0, max(0, (count - 1) * s + k - n - 2 * p)) for count, n, k, s, p in zip(
        _lengths(shape, size, stride, padding, ceil_mode), shape[-2:], *_window(size, stride, padding)))


def _room(x, size, stride, padding, ceil_mode):
    """Zeros for an image with its padding, and what windows reach beyond it."""
    more = _beyond(x.shape, size, stride, padding, ceil_mode)
    return np.zeros((*x.shape[:2], *(n + 2 * p + end for n, p, (_, end) in zip(x.shape[2:], _pair(padding), more))),
                    x.dtype)


def _inside(dx, shape, padding):
    """What lies in the image of an array with padding."""
    ph, pw = _pair(padding)
    return dx[..., ph:ph + shape[-2], pw:pw + shape[-1]]


def _winners(x, size, stride, padding, ceil_mode):
    """The largest number of each window, and the number of its tap."""
    inside = [v for v, _ in _taps(np.ones(x.shape), size, stride, padding, ceil_mode, 0)]
    best: Any = None
    winner: Any = None
    for tap, (v, _) in enumerate(_taps(x, size, stride, padding, ceil_mode, 0)):
        known = inside[tap] == 1
        if best is None:
            best, winner, found = v.copy(), np.zeros(v.shape, int), known
            continue
        better = known & (~found | (v > best) | np.isnan(v) & ~np.isnan(best))
        best[better], winner[better] = v[better], tap
        found = found | known
    return best, winner


def forward(x, *, size, stride=None, padding=0, ceil_mode=False, out=None, parallel=None):
    y = np.empty((*x.shape[:2], *_lengths(x.shape, size, stride, padding, ceil_mode)), x.dtype) if out is None else out
    y[...] = _winners(x, size, stride, padding, ceil_mode)[0]
    return y


def backward(dy, x, y, *, size, stride=None, padding=0, ceil_mode=False, out=None, parallel=None):
    winner = _winners(x, size, stride, padding, ceil_mode)[1]
    dx, padded = np.empty_like(x) if out is None else out, _room(x, size, stride, padding, ceil_mode)
    for tap, (_, place) in enumerate(_taps(x, size, stride, padding, ceil_mode, 0)):
        padded[place] += np.where(winner == tap, dy, 0)
    dx[...] = _inside(padded, x.shape, padding)
    return dx

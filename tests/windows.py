"""What the tests of pooling share: the windows of a plane one by one, grids of options, and images."""

import numpy as np
import pytest

DTYPES = (np.float32, np.float64)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=("float32", "float64"))


def pair(number):
    return number if isinstance(number, tuple) else (number, number)


def fits(shape, size, padding):
    return all(p <= k // 2 and n + 2 * p >= k for n, k, p in zip(shape, pair(size), pair(padding)))


# sides around the lanes of a vector, halves of them and pairs of vectors
SIDES = ((1, 1), (2, 2), (4, 6), (5, 7), (7, 16), (10, 10), (9, 17), (6, 28), (3, 33), (5, 64), (4, 67))
GRID = [(shape, size, stride, padding) for shape in SIDES for size in (1, 2, 3, (2, 3), (3, 5))
        for stride in (None, 2, (2, 1), (1, 3)) for padding in (0, 1, (1, 0), (0, 1), (0, 2))
        if fits(shape, size, padding)]
# windows wider than a vector, which meet more than one vector of windows
GRID += [((4, 67), (2, 35), stride, padding) for stride, padding in ((1, 0), ((2, 1), (1, 17)), ((1, 2), (0, 3)))]
each_ceil = pytest.mark.parametrize("shape, size, stride, padding", (
    ((5, 7), 2, 2, 0), ((10, 17), 3, 2, 0), ((9, 16), 3, 2, 1), ((2, 4), 3, 2, 0), ((6, 34), (2, 3), (3, 4), (1, 0)),
    ((4, 5), 2, 3, 1), ((8, 8), 3, 3, 1), ((7, 7), 1, 3, 0)), ids=str)
each_window = pytest.mark.parametrize("shape, size, stride, padding", GRID, ids=str)


def _count(length, size, stride, padding, ceil_mode):
    """Windows that begin where all of them, or with ceil_mode some number of the image or of the padding before it,
    lies within."""
    last = length + padding - (1 if ceil_mode else size - padding)
    if ceil_mode:  # the first that reaches the end of the padded image is the last
        last = min(last, -(-(length + 2 * padding - size) // stride) * stride)
    return len(range(0, last + 1, stride))


def windows(shape, size, stride=None, padding=0, ceil_mode=False):
    """(i, j, the places in the image, row by row, and whether some lie outside) of each window of a plane."""
    (kh, kw), (sh, sw), (ph, pw) = pair(size), pair(size if stride is None else stride), pair(padding)
    for i in range(_count(shape[0], kh, sh, ph, ceil_mode)):
        for j in range(_count(shape[1], kw, sw, pw, ceil_mode)):
            places = [(i * sh - ph + ky, j * sw - pw + kx) for ky in range(kh) for kx in range(kw)]
            inside = [(y, x) for y, x in places if 0 <= y < shape[0] and 0 <= x < shape[1]]
            yield i, j, inside, len(inside) < len(places)


def images(shape, dtype, seed=0, specials=True):
    """Few different numbers, so that many are equal, with zeros of both signs, and NaN and infinities."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, shape).astype(dtype)
    x[rng.random(shape) < 0.2] = -0.0
    if specials:
        for value in (np.nan, np.inf, -np.inf, -np.inf):
            x[rng.random(shape) < 0.06] = value
    return x


def gradients(x, size, stride, padding, dtype, seed=1, ceil_mode=False):
    """dy of the right shape: numbers whose sums depend on their order, some of them -0."""
    last = [*windows(x.shape[-2:], size, stride, padding, ceil_mode)][-1]
    shape = (*x.shape[:2], last[0] + 1, last[1] + 1)
    rng = np.random.default_rng(seed)
    dy = (rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4, shape)).astype(dtype)
    dy[rng.random(shape) < 0.1] = -0.0
    return dy

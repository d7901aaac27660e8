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
each_window = pytest.mark.parametrize("shape, size, stride, padding", GRID, ids=str)


def windows(shape, size, stride=None, padding=0):
    """(i, j, the places in the image, row by row, and whether some lie outside) of each window of a plane."""
    (kh, kw), (sh, sw), (ph, pw) = pair(size), pair(size if stride is None else stride), pair(padding)
    for i in range((shape[0] + 2 * ph - kh) // sh + 1):
        for j in range((shape[1] + 2 * pw - kw) // sw + 1):
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


def gradients(x, size, stride, padding, dtype, seed=1):
    """dy of the right shape: numbers whose sums depend on their order, some of them -0."""
    last = [*windows(x.shape[-2:], size, stride, padding)][-1]
    shape = (*x.shape[:2], last[0] + 1, last[1] + 1)
    rng = np.random.default_rng(seed)
    dy = (rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4, shape)).astype(dtype)
    dy[rng.random(shape) < 0.1] = -0.0
    return dy

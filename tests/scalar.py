"""The rules of the numerical contract, spelled without blocks, vectors or threads, in NumPy's + - * / alone.

Those are exact IEEE operations on every machine, here always one number after another (or many independent ones side
by side). The kernels must agree with these bit for bit. Also what error bounds are made of.
"""

import math

import numba
import numpy as np

from nnjit.kernels.core import elementary, memory, vectors
from nnjit.kernels.core.compile import OPTIONS

LANES = {np.dtype(np.float32): 16, np.dtype(np.float64): 8}


# ---- fma: x * y + z rounded once, for finite numbers far from overflow and underflow


def _two_sum(x, y):
    """x + y as a rounded sum and its exact error (Knuth)."""
    s = x + y
    t = s - x
    return s, (x - (s - t)) + (y - t)


def _two_product(x, y):
    """x * y as a rounded product and its exact error (Dekker; Veltkamp's splitting)."""
    def split(x):
        t = x * (2.0**27 + 1)
        high = t - (t - x)
        return high, x - high
    p, (x1, x2), (y1, y2) = x * y, split(x), split(y)
    return p, x2 * y2 - (((p - x1 * y1) - x2 * y1) - x1 * y2)


def _odd_sum(x, y):
    """x + y rounded to odd: to the neighbour whose last bit is 1 where it is not exact."""
    s, rest = _two_sum(x, y)
    move = (rest != 0) & (s.view(np.int64) & 1 == 0)
    return np.where(move, np.nextafter(s, np.copysign(math.inf, rest)), s)


def fma(x, y, z):
    """x * y + z rounded once, of arrays of one dtype (Boldo, Melquiond 2008: rounding to odd first does no harm)."""
    dtype = np.result_type(x, y, z)
    x, y, z = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (x, y, z)))
    if dtype == np.float32:
        return _odd_sum(x * y, z).astype(np.float32)  # the product of two float32 is exact in float64
    p, p_low = _two_product(x, y)
    t, t_low = _two_sum(z, p_low)
    s, s_low = _two_sum(p, t)
    return s + _odd_sum(t_low, s_low)


# ---- sums


def product(a, b):
    """The matrix product a b: for each number one chain over ascending k."""
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for k in range(a.shape[1]):
        c = fma(a[:, k, None], b[None, k], c)
    return c


def lane_sum(values):
    """The sum along a row: lane l takes values l, l + W, ..., the lanes fold by halves; nothing is -0."""
    w = LANES[values.dtype]
    lanes = [values.dtype.type(-0.0)] * w
    for i, value in enumerate(values):
        lanes[i % w] = lanes[i % w] + value
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = [lanes[i] + lanes[i + half] for i in range(half)]
    return lanes[0]


def block_sum(values, block):
    """The sum over a batch: of numbers or of rows, one after another within blocks, then block after block."""
    sums = []
    for start in range(0, len(values), block):
        total = values[start]
        for value in values[start + 1:start + block]:
            total = total + value
        sums.append(total)
    total = sums[0]
    for value in sums[1:]:
        total = total + value
    return total


# ---- random numbers


def philox(counter, key):
    """Philox 4x32-10 (Salmon et al. 2011): four words of 32 bits from a counter of four and a key of two."""
    a, b, c, d = counter
    for turn in range(10):
        low, high = (key[0] + turn * 0x9E3779B9) % 2**32, (key[1] + turn * 0xBB67AE85) % 2**32
        p, q = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = q // 2**32 ^ b ^ low, q % 2**32, p // 2**32 ^ d ^ high, p % 2**32
    return a, b, c, d


def random_words(count, seed, stream, first=0):
    """Words of a stream from number `first` on, a multiple of four: the counter is the word's number over four, and the
    stream."""
    def halves(n):
        return n % 2**32, n // 2**32

    words = [word for n in range(first // 4, -(-(first + count) // 4))
             for word in philox((*halves(n), *halves(stream)), halves(seed))]
    return np.array(words[:count], np.uint64)


# ---- exp, log, expm1 and cos_sin as kernels take them


def _on_vectors(function):
    @numba.njit(**OPTIONS)
    def run(x, y):
        for at in range(0, x.size, vectors.lanes(x)):
            memory.store(y, at, x.size, function(memory.load(x, at, x.size, 1.0)))

    def evaluate(x):
        x = np.ascontiguousarray(x)
        y = np.empty_like(x)
        run(x.reshape(-1), y.reshape(-1))
        return y

    return evaluate


exp, log = _on_vectors(elementary.exp), _on_vectors(elementary.log)
expm1 = _on_vectors(elementary.expm1)


@numba.njit(**OPTIONS)
def _cos_sin(quadrants, t, cosines, sines):
    for at in range(0, t.size, vectors.lanes(t)):
        quadrant = vectors.bits(memory.load(quadrants, at, t.size, 0.0))
        cosine, sine = elementary.cos_sin(quadrant, memory.load(t, at, t.size, 0.0))
        memory.store(cosines, at, t.size, cosine)
        memory.store(sines, at, t.size, sine)


def cos_sin(quadrant, t):
    """Cosine and sine of quadrant + t quarter turns; the quadrants are integers, one or as many as t has numbers."""
    quadrants = np.empty(t.shape, f"i{t.itemsize}")
    quadrants[...] = quadrant
    cosines, sines = np.empty_like(t), np.empty_like(t)
    _cos_sin(quadrants.view(t.dtype), t, cosines, sines)
    return cosines, sines


# ---- comparing, and error bounds


def assert_same_bits(x, expected, where=""):
    """Raise unless two arrays agree in dtype, shape and every bit (any NaN is equal to any other)."""
    x, expected = np.asarray(x), np.asarray(expected)
    assert x.dtype == expected.dtype, f"{where}: dtype {x.dtype}, expected {expected.dtype}"
    assert x.shape == expected.shape, f"{where}: shape {x.shape}, expected {expected.shape}"
    same = x == expected
    if x.dtype.kind == "f":
        same &= np.signbit(x) == np.signbit(expected)
        same |= np.isnan(x) & np.isnan(expected)
    if not same.all():
        at = tuple(int(i) for i in np.argwhere(~same)[0])
        raise AssertionError(f"{where}: {np.count_nonzero(~same)} of {x.size} differ, first at {at}: "
                             f"{x[at]!r}, expected {expected[at]!r}")


def gamma(k, u):
    """The largest relative error of k roundings in a row, each of u at most (Higham 2002, lemma 3.1)."""
    return k * u / (1 - k * u)


def depth(columns, u):
    """The most additions that a number passes through in `lane_sum`."""
    w = 16 if u > 2**-30 else 8
    return -(-columns // w) - 1 + int(math.log2(w))

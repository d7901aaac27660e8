import math
from fractions import Fraction
from functools import cache

import numba
import numpy as np
import pytest
from layouts import from_element
from scalar import assert_same_bits, cos_sin, log, random_words

from nnjit import kernels
from nnjit.kernels import normal, reference
from nnjit.kernels.core import memory, vectors
from nnjit.kernels.core.compile import OPTIONS

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.normal.SHAPES]
SEED = 2**63 + 12345

# Errors in u times the radius of a pair. Ours: log is off by 0.86 ulp, at most 1.72 u, of which the root leaves half,
# and is rounded; the rest of the angle, pi / 4 at most, is rounded; cosine and sine, 1 at most, are off by 0.88 ulp, u
# at most each; the product is rounded.
OURS = 1.72 / 2 + 1 + math.pi / 4 + 0.88 + 1
# The twin's in float64: its log, cosine and sine are off by 4 ulp at most, as SVML's fast ones are; its angle, 2 pi at
# most, has the roundings of v (u / 2), of pi (0.35 u) and of their product (u); root and product are rounded.
TWINS = 4 + 1 + 4 + 2 * math.pi * 1.85 + 1


def bound(function, u, expected, *, shape, seed, stream, dtype):
    """Both errors are shares of the pair's radius; the twin's numbers of float32 are rounded once from float64."""
    count = math.prod(shape)
    pairs = reference.normal.forward((count + 1) // 2 * 2, seed=seed, stream=stream, dtype=dtype).astype(np.float64)
    radius = np.repeat(np.hypot(pairs[::2], pairs[1::2]), 2)[:count].reshape(shape)
    return [u * (OURS + (1 if dtype is np.float32 else TWINS)) * radius]


def numbers(shape, dtype=np.float32, **options):
    return normal.forward(shape, **{"seed": SEED, "dtype": dtype, **options})


# ---- each number


def bits_of_pairs(count, seed, stream, dtype, first=0):
    """The random bits u and v of pairs from number `first` on, as Python numbers of 32 or 64 bits."""
    words_of_a_pair = 2 if dtype is np.float32 else 4
    words = random_words(words_of_a_pair * count, seed, stream, words_of_a_pair * first)
    for a, b, c, d in words.reshape(-1, 4).tolist():
        yield from [(a, c), (b, d)] if dtype is np.float32 else [(a + 2**32 * b, c + 2**32 * d)]


def spelled(u, v, dtype):
    """The numbers of a pair, from its bits, in exact rational numbers as far as they go."""
    n = 8 * np.dtype(dtype).itemsize
    quadrants, rests = zip(*(divmod(i + 2**(n - 3), 2**(n - 2)) for i in v))
    uniform = np.array([float(Fraction(2 * i + 1, 2**(n + 1))) for i in u]).astype(dtype)
    t = np.array([float(Fraction(rest - 2**(n - 3), 2**(n - 2))) for rest in rests]).astype(dtype)
    radius = np.sqrt(log(uniform) * dtype(-2))
    cosine, sine = cos_sin(np.array(quadrants), t)
    return radius * cosine, radius * sine


@pytest.mark.parametrize("seed, stream", ((SEED, 0), (3, 2**40 + 1)))
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_number_alone(dtype, seed, stream):
    u, v = zip(*bits_of_pairs(max(SIZES) // 2, seed, stream, dtype))
    expected = np.stack(spelled(u, v, dtype), axis=1).ravel()
    for size in SIZES:
        for parallel in (False, True):
            found = numbers(size, dtype, seed=seed, stream=stream, parallel=parallel)
            assert_same_bits(found, expected[:size], f"{size} numbers")


@numba.njit(**OPTIONS)
def _block(y, seed, stream, start, end):
    normal._forward_block(y, seed, stream, start, end)


@pytest.mark.parametrize("power", (*range(12, 35), 40))
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_far_along_the_stream(dtype, power):
    """A block on either side of each power of two, of an array that would not fit into memory."""
    for start in (2**power - normal.BLOCK, 2**power):
        y = np.empty(40, dtype)
        _block(from_element(y, start), 3, 5, start, start + 40)
        u, v = zip(*bits_of_pairs(20, 3, 5, dtype, start // 2))
        assert_same_bits(y, np.stack(spelled(u, v, dtype), axis=1).ravel())


@numba.njit(**OPTIONS)
def _pairs(u, v, first, second):
    for at in range(0, u.size, vectors.lanes(u)):
        a, b = memory.load(u, at, u.size, 0.0), memory.load(v, at, u.size, 0.0)
        x, y = normal._pair(vectors.bits(a), vectors.bits(b))
        memory.store(first, at, u.size, x)
        memory.store(second, at, u.size, y)


def pairs(u, v, dtype):
    """What the kernel makes of these bits."""
    u, v = (np.array(bits, f"u{np.dtype(dtype).itemsize}").view(dtype) for bits in (u, v))
    first, second = np.empty_like(u), np.empty_like(u)
    _pairs(u, v, first, second)
    return first, second


@pytest.mark.parametrize("dtype", DTYPES)
def test_pairs_from_all_edges(dtype):
    n = 8 * np.dtype(dtype).itemsize
    edges = sorted({(m * 2**k + d) % 2**n for k in range(n) for d in (-1, 0, 1) for m in (1, 3, 5, 7, -1)})
    u, v = zip(*((i, j) for i in edges for j in edges[::7]))
    for found, expected in zip(pairs(u, v, dtype), spelled(u, v, dtype)):
        assert np.isfinite(found).all()
        assert_same_bits(found, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_largest_numbers_and_the_smallest(dtype):
    n = 8 * np.dtype(dtype).itemsize
    farthest = math.sqrt(2 * (n + 1) * math.log(2))  # from u = 2^-(n+1)
    quarter = 2**(n - 2)
    limit = 2 * float(np.finfo(dtype).eps)
    first, second = pairs([0] * 4, [i * quarter for i in range(4)], dtype)
    assert (first / farthest).tolist() == pytest.approx([1, 0, -1, 0], rel=limit, abs=0)
    assert (second / farthest).tolist() == pytest.approx([0, 1, 0, -1], rel=limit, abs=0)
    zeros = pairs([2**n - 1] * 4, [i * quarter // 2 for i in range(4)], dtype)  # u is 1
    assert not np.any(zeros)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than float64 here")
@pytest.mark.parametrize("dtype", DTYPES)
def test_error_against_long_double(dtype):
    n, rng = 8 * np.dtype(dtype).itemsize, np.random.default_rng(0)
    u, v = rng.integers(0, 2**n, (2, 200_000), dtype=np.uint64)
    half = len(u) // 2
    u[:half] >>= rng.integers(0, n, half, dtype=np.uint64)  # tails
    low = u % 2**32 if n == 64 else 0
    uniform = ((u - low) / 2.0**n + (low + 0.5) / 2.0**n).astype(dtype).astype(np.longdouble)
    radius = np.sqrt(-2 * np.log(uniform))
    angle = v.astype(np.longdouble) / 2**(n - 1) * np.longdouble("3.14159265358979323846264338327950288")
    worst = 0.0
    for found, exact in zip(pairs(u, v, dtype), (radius * np.cos(angle), radius * np.sin(angle))):
        unit = radius * (np.finfo(dtype).eps / 2)
        worst = max(worst, float(np.max(abs(found - exact)[radius > 0] / unit[radius > 0])))
    assert 2 < worst <= OURS


def test_threads_blocks_and_shapes_make_no_difference():
    size = 3 * normal.BLOCK + 77
    expected = numbers(size, parallel=False)
    before = kernels.get_num_threads()
    try:
        for threads in {1, before}:
            kernels.set_num_threads(threads)
            assert_same_bits(numbers(size, parallel=True), expected)
    finally:
        kernels.set_num_threads(before)
    for part in (1, 31, normal.BLOCK - 1, normal.BLOCK, normal.BLOCK + 1, 2 * normal.BLOCK + 5):
        assert_same_bits(numbers(part), expected[:part])  # what comes after does not count
    for shape in ((35, 353), (5, 7, 353), (12355, 1), [35, 353]):
        assert_same_bits(numbers(shape), expected[:12355].reshape(shape))
    assert_same_bits(numbers(()), expected[:1].reshape(()))
    assert numbers((0, 5)).shape == (0, 5)


# ---- the distribution: each bound holds for independent normal numbers, but for a probability of 1e-9

COUNT = 2**20
CERTAIN = math.log(2e9)
DEVIATIONS = 6.5  # of a mean, which is normal almost: 8e-11


@cache
def sample(dtype, seed=SEED, stream=0, count=COUNT):
    return numbers(count, dtype, seed=seed, stream=stream).astype(np.float64)


def distance(cumulated):
    """The largest distance of a share from the probabilities of a sorted sample (Kolmogorov, Smirnov)."""
    n = len(cumulated)
    return max(np.max(np.arange(1, n + 1) / n - cumulated), np.max(cumulated - np.arange(n) / n))


def distance_bound(n):
    return math.sqrt(CERTAIN / (2 * n))  # Massart 1990


def count_bound(n, p):
    """How far a count of n trials stays from n p (Bernstein)."""
    return CERTAIN / 3 + math.sqrt(CERTAIN**2 / 9 + 2 * CERTAIN * n * p * (1 - p))


def beyond(x):
    """The probability of a number above x."""
    return math.erfc(x * math.sqrt(0.5)) / 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_moments(dtype):
    """Mean, variance, skewness and kurtosis, about 0 since that is the mean."""
    y = sample(dtype)
    for part in (y, y[::2], y[1::2], y[:COUNT // 8]):
        for power, (expected, square) in {1: (0, 1), 2: (1, 3), 3: (0, 15), 4: (3, 105)}.items():  # E z^p, E z^2p
            deviation = math.sqrt((square - expected**2) / part.size)
            assert abs((part**power).mean() - expected) < DEVIATIONS * deviation, power


@pytest.mark.parametrize("dtype", DTYPES)
def test_distance_from_the_normal_distribution(dtype):
    y = np.sort(sample(dtype))
    cumulated = np.array([beyond(-v) for v in y.tolist()])
    assert distance(cumulated) < distance_bound(COUNT)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tails(dtype):
    edges = (0.0, 1.0, 2.0, 3.0, 4.0, 4.5, 5.0, 5.5)
    count, streams = 2**20, 16
    above, below, largest = np.zeros(len(edges)), np.zeros(len(edges)), 0.0
    for stream in range(streams):
        y = numbers(count, dtype, stream=stream)
        assert np.isfinite(y).all()
        largest = max(largest, float(abs(y).max()))
        above += [np.count_nonzero(y > edge) for edge in edges]
        below += [np.count_nonzero(y < -edge) for edge in edges]
    count *= streams
    for edge, *found in zip(edges, above, below):
        for share in found:
            assert abs(share - count * beyond(edge)) < count_bound(count, beyond(edge)), edge
    assert largest > 4.7  # of 16 million, none is beyond with a probability of 1e-19


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_pair_has_any_angle_and_a_radius_of_its_own(dtype):
    first, second = sample(dtype).reshape(-1, 2).T
    turns = np.arctan2(second, first) / (2 * math.pi) + 0.5
    height = np.exp(-(first**2 + second**2) / 2)  # u, uniform too
    n = len(turns)
    assert distance(np.sort(turns)) < distance_bound(n)
    assert distance(np.sort(height)) < distance_bound(n)
    cells = np.histogram2d(turns, height, 16, ((0, 1), (0, 1)))[0]
    assert (abs(cells - n / 256) < count_bound(n, 1 / 256)).all()


def assert_independent(x, y, what):
    """The correlation of numbers, and of their squares: those of a pair have a radius in common."""
    assert abs((x * y).mean()) < DEVIATIONS / math.sqrt(x.size), what
    assert abs(((x**2 - 1) * (y**2 - 1)).mean()) < DEVIATIONS * 2 / math.sqrt(x.size), what


@pytest.mark.parametrize("dtype", DTYPES)
def test_neighbours_are_independent(dtype):
    y = sample(dtype)
    for distance in (1, 2, 3, 4, 8, 16, 32, 64, normal.BLOCK):  # of a pair, a counter, lanes, blocks
        assert_independent(y[:-distance], y[distance:], distance)


@pytest.mark.parametrize("one, other", (
    ({"stream": 0}, {"stream": 1}), ({"stream": 1}, {"stream": 2**32 + 1}), ({"stream": 0}, {"stream": 2**63}),
    ({"seed": 0}, {"seed": 1}), ({"seed": 1}, {"seed": 2**32 + 1}), ({"seed": 0}, {"seed": 2**63}),
    ({"seed": 1, "stream": 2}, {"seed": 2, "stream": 1}),
), ids=str)
def test_other_seeds_and_streams_are_independent(one, other):
    for dtype in DTYPES:
        x, y = sample(dtype, **one, count=2**18), sample(dtype, **other, count=2**18)
        assert_independent(x, y, dtype)


# ---- arguments


def test_kinds_of_arguments():
    expected = numbers(100, seed=7, stream=9)
    for kind in (np.int64, np.uint64, np.int8, np.uint32):
        assert_same_bits(numbers(kind(100), seed=kind(7), stream=kind(9)), expected)
    for dtype in ("float32", "f4", np.dtype(np.float32)):
        assert_same_bits(numbers((100,), dtype, seed=7, stream=9), expected)
    assert_same_bits(numbers(100, seed=np.uint64(2**64 - 1)), numbers(100, seed=2**64 - 1))
    assert_same_bits(numbers(100, stream=0), numbers(100))
    assert numbers(3, float).dtype == np.float64


def test_a_recorded_call_takes_another_stream():
    with kernels.capture() as calls:
        y = numbers(100, seed=2**64 - 3, stream=4, parallel=False)
    arguments = calls[0][1]
    assert arguments[-2:] == [-3, 4] and [type(value) for value in arguments[-2:]] == [int, int]
    again = kernels.Replay(calls)
    y[:] = 7
    again.run()
    assert_same_bits(y, numbers(100, seed=2**64 - 3, stream=4))
    arguments[-1] = 5
    kernels.Replay(calls).run()
    assert_same_bits(y, numbers(100, seed=2**64 - 3, stream=5))


def test_mistakes_are_named():
    for shape in (1.0, None, "3", (2, 3.0), True):
        with pytest.raises(TypeError, match="shape must be a whole number or a tuple of them, got "):
            numbers(shape)
    with pytest.raises(ValueError, match=r"shape must not be negative, got \(3, -1\)"):
        numbers((3, -1))
    for dtype in (None, np.float16, int, "real", ">f4"):
        with pytest.raises(TypeError, match="dtype must be float32 or float64, got "):
            numbers(3, dtype)
    for name in ("seed", "stream"):
        for value in (-1, 2**64, 10**30):
            with pytest.raises(ValueError, match=rf"{name} must be at least 0 and below 2\^64, got {value}"):
                numbers(3, **{name: value})
        for value in (1.0, None, "1", True, np.float64(1), np.array(1)):
            with pytest.raises(TypeError, match=f"{name} must be a whole number, got {type(value).__name__}"):
                numbers(3, **{name: value})
    with pytest.raises(TypeError, match="out must be float32, got float64"):
        numbers(3, out=np.empty(3))
    with pytest.raises(ValueError, match=r"out must have shape \(3,\), got \(4,\)"):
        numbers(3, out=np.empty(4, np.float32))

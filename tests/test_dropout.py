import math
from fractions import Fraction
from functools import cache

import numba
import numpy as np
import pytest
from layouts import from_element
from scalar import assert_same_bits, random_words

from nnjit import kernels
from nnjit.kernels import dropout, reference
from nnjit.kernels.core.compile import OPTIONS

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.dropout.SHAPES]
SEED = 2**63 + 12345


def bound(function, u, expected, *args, rate=0.0, **options):
    """The kept factor is rounded once, so its error is known; the product is rounded once more."""
    if function == "backward":
        return [u * np.abs(expected[0])]
    y, mask = expected
    scale = 1 / (1 - rate)
    error = abs(float((np.float32 if u > 1e-10 else np.float64)(scale)) - scale)
    return [np.abs(args[0]) * (mask != 0) * error + u * np.abs(y), (mask != 0) * error]


@cache
def words(count, seed=SEED, stream=0):
    return random_words(count, seed, stream)


def numbers(size, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(size).astype(dtype)


def mask_of(size, dtype=np.float32, **options):
    return dropout.forward(np.ones(size, dtype), **{"rate": 0.5, "seed": SEED, **options})[1]


# ---- the mask


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_number_alone(dtype, size, parallel):
    x, dy = numbers(size, dtype), numbers(size, dtype, 1)
    for rate, stream in ((0.1, 0), (0.75, 2**40 + 1)):
        kept = words(size, SEED, stream) < round(Fraction(1 - rate) * 2**32)
        expected = np.where(kept, dtype(1 / (1 - rate)), dtype(0))
        y, mask = dropout.forward(x, rate=rate, seed=SEED, stream=stream, parallel=parallel)
        assert_same_bits(mask, expected)
        assert_same_bits(y, x * expected)
        assert_same_bits(dropout.backward(dy, mask, parallel=parallel), dy * expected)


@numba.njit(**OPTIONS)
def _block(x, y, mask, last, scale, seed, stream, start, end):
    dropout._forward_block(x, y, mask, last, scale, 0, seed, stream, start, end)


@pytest.mark.parametrize("power", (*range(12, 35), 40))
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_far_along_the_stream(dtype, power):
    """A block on either side of each power of two, of an array that would not fit into memory."""
    for start in (2**power - dropout.BLOCK, 2**power):
        x, y, mask = numbers(40, dtype), np.empty(40, dtype), np.empty(40, dtype)
        # a rate of 1/2: words below 2^31 are kept
        _block(*(from_element(each, start) for each in (x, y, mask)), -1, 2.0, 3, 5, start, start + 40)
        expected = np.where(random_words(40, 3, 5, start) < 2**31, dtype(2), dtype(0))
        assert_same_bits(mask, expected)
        assert_same_bits(y, x * expected)


@pytest.mark.parametrize("rate", (0, 1e-300, 1e-9, 0.5, 0.9, 1 - 2.0**-31, 1 - 2.0**-33, 1 - 2.0**-53))
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_rate(dtype, rate):
    kept = words(4000) < round(Fraction(1 - rate) * 2**32)
    y, mask = dropout.forward(np.ones(4000, dtype), rate=rate, seed=SEED)
    assert_same_bits(mask, np.where(kept, dtype(1 / (1 - rate)), dtype(0)))
    assert_same_bits(y, mask)
    twin = reference.dropout.forward(np.ones(4000, dtype), rate=rate, seed=SEED)
    assert_same_bits(mask, twin[1])


def test_a_word_is_kept_below_the_threshold_and_no_further():
    found = words(64)
    for i, word in enumerate(map(int, found)):
        for threshold in (word, word + 1):
            mask = mask_of(64, rate=1 - threshold / 2**32)  # exact
            assert (mask[i] > 0) == (threshold > word)
            assert ((mask > 0) == (found < threshold)).all()


def test_the_lowest_and_the_highest_word(monkeypatch):
    # none of them comes by chance: every word of 2^32 is kept at rate 0, none at a rate that rounds to 1
    for word in (0, 2**31 - 1, 2**31, 2**32 - 1):
        for kept, expected in ((2**32, True), (0, False), (word, False), (word + 1, True)):
            calls = []
            monkeypatch.setattr(dropout, "pick", lambda *args: lambda *args: calls.append(args))
            dropout.forward(np.ones(1), rate=1 - kept / 2**32 if kept else 1 - 2.0**-53, seed=0)
            last, scale = calls[0][3:5]
            assert -2**31 <= last < 2**31  # fits a lane
            assert (word - 2**31 <= last and scale > 0) == expected


def test_both_dtypes_keep_the_same():
    for rate in (0.1, 0.5):
        single, double = (mask_of(10_001, dtype, rate=rate) for dtype in DTYPES)
        assert ((single > 0) == (double > 0)).all() and single.any() and not single.all()


def test_threads_blocks_and_shapes_make_no_difference():
    size = 3 * dropout.BLOCK + 77
    expected = mask_of(size, parallel=False)
    before = kernels.get_num_threads()
    try:
        for threads in {1, before}:
            kernels.set_num_threads(threads)
            assert_same_bits(mask_of(size, parallel=True), expected)
    finally:
        kernels.set_num_threads(before)
    for part in (1, 31, dropout.BLOCK - 1, dropout.BLOCK, dropout.BLOCK + 1, 2 * dropout.BLOCK + 5):
        assert_same_bits(mask_of(part), expected[:part])  # what comes after does not count
    for shape in ((35, 353), (5, 7, 353), (12355, 1)):
        assert_same_bits(mask_of(shape), expected[:12355].reshape(shape))
    assert_same_bits(mask_of((), rate=0.1), mask_of(1, rate=0.1).reshape(()))


def deviation(count, probability=1e-9):
    """How far a share of `count` trials stays from its mean, but for this probability (Hoeffding 1963)."""
    return math.sqrt(math.log(2 / probability) / (2 * count))


COUNT = 1_000_000


@pytest.mark.parametrize("rate", (0.1, 0.5, 0.999))
def test_the_share_that_is_dropped(rate):
    """Each of these holds for independent words, but for a probability of 1e-9."""
    keep, limit = 1 - rate, deviation(COUNT)
    kept = mask_of((COUNT // 8, 8), rate=rate) > 0
    assert abs(kept.mean() - keep) < limit
    assert (abs(kept.mean(axis=0) - keep) < deviation(COUNT // 8)).all()  # each word of two counters
    flat = kept.ravel()
    for distance in (1, 2, 4, 16, 32, dropout.BLOCK):  # pairs of neighbours, of lanes, of blocks, that do not overlap
        pairs = flat[:COUNT // (2 * distance) * 2 * distance].reshape(-1, 2, distance)
        assert abs((pairs[:, 0] & pairs[:, 1]).mean() - keep**2) < deviation(pairs.size // 2)


@pytest.mark.parametrize("one, other", (
    ({"stream": 0}, {"stream": 1}), ({"stream": 1}, {"stream": 2**32 + 1}), ({"stream": 0}, {"stream": 2**63}),
    ({"seed": 0}, {"seed": 1}), ({"seed": 1}, {"seed": 2**32 + 1}), ({"seed": 0}, {"seed": 2**63}),
    ({"seed": 1, "stream": 2}, {"seed": 2, "stream": 1}),
), ids=str)
def test_other_seeds_and_streams_are_independent(one, other):
    first, second = mask_of(COUNT, **one) > 0, mask_of(COUNT, **other) > 0
    assert abs((first == second).mean() - 0.5) < deviation(COUNT)  # but for a probability of 1e-9


def test_kinds_of_seeds():
    expected = mask_of(100, seed=7, stream=9)
    for kind in (np.int64, np.uint64, np.int8, np.uint32):
        assert_same_bits(mask_of(100, seed=kind(7), stream=kind(9)), expected)
    assert_same_bits(mask_of(100, seed=np.uint64(2**64 - 1)), mask_of(100, seed=2**64 - 1))
    assert_same_bits(mask_of(100, stream=0), mask_of(100))


# ---- the product


@pytest.mark.parametrize("dtype", DTYPES)
def test_edges(dtype):
    kept = words(64) < 2**31
    tiny, largest = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    inf, nan = dtype(np.inf), dtype(np.nan)
    # value, what becomes of it, and what if it is dropped
    for value, scaled, dropped in ((3, 6, 0), (-3, -6, -0.0), (0, 0, 0), (-0.0, -0.0, -0.0), (tiny, 2 * tiny, 0),
                                   (largest, inf, 0), (inf, inf, nan), (-inf, -inf, nan), (nan, nan, nan)):
        y, mask = dropout.forward(np.full(64, value, dtype), rate=0.5, seed=SEED)
        assert_same_bits(y, np.where(kept, dtype(scaled), dtype(dropped)), str(value))
        assert_same_bits(dropout.backward(np.full(64, value, dtype), mask), y, str(value))


def test_nothing_is_scaled_at_rate_0():
    x = numbers(1000, np.float32)
    y, mask = dropout.forward(x, rate=0, seed=1)
    assert_same_bits(y, x)
    assert_same_bits(mask, np.ones_like(x))


def test_a_recorded_call_takes_another_stream():
    x = numbers(100, np.float32)
    with kernels.capture() as calls:
        _, mask = dropout.forward(x, rate=0.5, seed=2**64 - 3, stream=4, parallel=False)
    arguments = calls[0][1]
    assert arguments[-2:] == [-3, 4] and [type(value) for value in arguments[-2:]] == [int, int]
    again = kernels.Replay(calls)
    mask[:] = 7
    again.run()
    assert_same_bits(mask, mask_of(100, seed=2**64 - 3, stream=4))
    arguments[-1] = 5
    kernels.Replay(calls).run()
    assert_same_bits(mask, mask_of(100, seed=2**64 - 3, stream=5))


def test_mistakes_are_named():
    x = numbers(10, np.float32)
    for rate in (1, 1.5, -0.1, -5e-324):
        with pytest.raises(ValueError, match=f"rate, the share that is dropped, must be at least 0 and below 1, got "
                                             f"{float(rate)}"):
            dropout.forward(x, rate=rate, seed=0)
    with pytest.raises(ValueError, match="rate must be finite, got nan"):
        dropout.forward(x, rate=float("nan"), seed=0)
    with pytest.raises(TypeError, match="rate must be a number, got str"):
        dropout.forward(x, rate="0.1", seed=0)
    for name in ("seed", "stream"):
        for value in (-1, 2**64, 10**30):
            with pytest.raises(ValueError, match=rf"{name} must be at least 0 and below 2\^64, got {value}"):
                dropout.forward(x, **{"rate": 0.5, "seed": 0, name: value})
        for value in (1.0, None, "1", True, np.float64(1), np.array(1)):
            with pytest.raises(TypeError, match=f"{name} must be a whole number, got {type(value).__name__}"):
                dropout.forward(x, **{"rate": 0.5, "seed": 0, name: value})
    with pytest.raises(ValueError, match=r"out\[1\] must not share memory with an input"):
        dropout.forward(x, rate=0.5, seed=0, out=(None, x))
    with pytest.raises(ValueError, match="out must not share memory with an input"):
        dropout.backward(x.copy(), x, out=x)


def test_torch_agrees_on_the_gradient(torch):
    x, dy = numbers(1000, np.float64), numbers(1000, np.float64, 1)
    y, mask = dropout.forward(x, rate=0.3, seed=0)
    leaf = torch.tensor(x, requires_grad=True)
    product = leaf * torch.tensor(mask)
    product.backward(torch.tensor(dy))
    assert np.array_equal(y, product.detach().numpy())
    assert np.array_equal(dropout.backward(dy, mask), leaf.grad.numpy())
    # its own mask holds the same two numbers
    theirs = torch.nn.functional.dropout(torch.ones(1000, dtype=torch.float64), 0.3).numpy()
    assert set(theirs.tolist()) == set(mask.tolist())

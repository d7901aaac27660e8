"""Vectors, masks and tiles against NumPy or a spelling in scalars; what is written is watched by margins."""

import json
import operator
import os
import platform
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import llvmlite.binding
import numba
import numpy as np
import pytest
from scalar import LANES, assert_same_bits, fma

from nnjit.kernels.core import memory, shuffles, tiles, vectors
from nnjit.kernels.core.compile import OPTIONS

DTYPES = (np.float32, np.float64)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=("float32", "float64"))
kernel = numba.njit(**OPTIONS)
SENTINEL = 12345.0
MARGIN = 70  # more than a vector or the row of a tile too far


def width(dtype):
    return LANES[np.dtype(dtype)]


def room(size, dtype):
    """An array that holds SENTINEL only, with margins on both sides."""
    return np.full(size + 2 * MARGIN, SENTINEL, dtype)


def numbers(count, dtype, seed=0):
    """All numbers different, none that a program would hold by chance, their sums inexact."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(count) * 10.0 ** rng.integers(-3, 4, count)).astype(dtype)


def wild(dtype, count=480):
    """Numbers of all kinds: random bits, then zeros, infinities, NaN, denormals and the ends of the range."""
    info = np.finfo(dtype)
    special = [0.0, -0.0, 1, -1, 0.5, np.inf, -np.inf, np.nan, info.max, info.min, info.smallest_normal,
               info.smallest_subnormal, -info.smallest_subnormal, 3, info.eps, 1 + info.eps]
    kind = np.uint32 if dtype is np.float32 else np.uint64
    bits = np.random.default_rng(1).integers(0, np.iinfo(kind).max, count, kind, endpoint=True)
    return np.concatenate([np.array(special, dtype), bits.view(dtype)])


def pairs(dtype):
    """Two arrays in which each special number meets each other one, of whole vectors."""
    special = wild(dtype, 0)
    x, y = (v.ravel() for v in np.meshgrid(special, special))
    more = wild(dtype)
    return np.concatenate([x, more]), np.concatenate([y, more[::-1]])


# ---- memory


@kernel
def _copy(x, start, end, fill, y, y_start, y_end):
    memory.store(y, y_start, y_end, memory.load(x, start, end, fill))


@kernel
def _copy_by_pointer(x, start, end, fill, y, y_start, y_end):
    a, b = memory.shift(memory.pointer(x), start), memory.shift(memory.pointer(y), y_start)
    memory.store(b, 0, y_end - y_start, memory.load(a, 0, end - start, fill))


@pytest.mark.parametrize("run", [_copy, _copy_by_pointer], ids=("array", "pointer"))
@each_dtype
def test_load_fills_and_store_stops_at_the_end(run, dtype):
    w, x = width(dtype), numbers(120, dtype)
    for size in range(-3, 41):
        for start in (MARGIN, MARGIN + 1):
            y = room(60, dtype)
            run(x, 7, 7 + size, 0.1, y, start, start + w)
            expected = room(60, dtype)
            kept = max(0, min(size, w))
            expected[start:start + kept] = x[7:7 + kept]
            expected[start + kept:start + w] = dtype(0.1)
            assert_same_bits(y, expected, f"load of {size} numbers")
            y = room(60, dtype)
            run(x, 7, 7 + w, 0.1, y, start, start + size)
            expected = room(60, dtype)
            expected[start:start + kept] = x[7:7 + kept]
            assert_same_bits(y, expected, f"store of {size} numbers")


@kernel
def _sum_wide(x, end, y, y_end):
    v = memory.load_wide(x, 0, end, 0.5)
    memory.store(y, MARGIN, MARGIN + y_end, vectors.from_bits(vectors.bits(vectors.fma(v, 3.0, v))))
    return vectors.lanes(v), vectors.fold_max(v), vectors.single(v)


@each_dtype
def test_wide_vectors_are_several_as_one(dtype):
    w = width(dtype) * vectors.WIDE
    x = numbers(w, dtype)
    for size in range(-1, w + 2):
        y, inside = room(w, dtype), np.append(x[:max(size, 0)], np.full(w - min(max(size, 0), w), dtype(0.5)))
        for stop in (w, max(0, min(size, w))):
            y[:] = SENTINEL
            assert _sum_wide(x, size, y, stop) == (w, inside.max(), dtype is np.float32)
            expected = room(w, dtype)
            expected[MARGIN:MARGIN + stop] = fma(inside, dtype(3), inside)[:stop]
            assert_same_bits(y, expected, f"{size} of {w}")


@kernel
def _copy_all(x, y):
    for at in range(0, x.size, vectors.lanes(x)):
        memory.store(y, at, x.size, memory.load(x, at, x.size, -1.0))


@each_dtype
def test_arrays_of_any_size_are_copied_bit_for_bit(dtype):
    for size in range(41):
        x, y = wild(dtype)[:size].copy(), room(size, dtype)
        inside = y[MARGIN:MARGIN + size]
        _copy_all(x, inside)
        assert inside.tobytes() == x.tobytes()  # a NaN's payload as well
        assert (y[:MARGIN] == SENTINEL).all() and (y[MARGIN + size:] == SENTINEL).all(), f"size {size}"


@kernel
def _copy_2d(x, at, y):
    memory.store(y, 0, vectors.lanes(x), memory.load(x, at, x.size, 0.0))


@each_dtype
def test_an_array_of_two_dimensions_is_read_flat(dtype):
    x, y = numbers(5 * 9, dtype).reshape(5, 9), np.empty(width(dtype), dtype)
    _copy_2d(x, 11, y)
    assert_same_bits(y, x.ravel()[11:11 + y.size])


@kernel
def _lanes(x, y):
    y[0] = vectors.lanes(x)
    y[1] = vectors.lanes(memory.load(x, 0, 0, 0.0))
    y[2] = vectors.lanes(vectors.bits(memory.load(x, 0, 0, 0.0)))


@each_dtype
def test_lanes_fill_64_bytes_on_any_cpu(dtype):
    found = np.zeros(3, int)
    _lanes(np.zeros(1, dtype), found)
    assert found.tolist() == [64 // np.dtype(dtype).itemsize] * 3
    assert width(dtype) == 64 // np.dtype(dtype).itemsize


@kernel
def _scratch(x, y):
    w = vectors.lanes(x)
    first, second = memory.scratch(x, 2), memory.scratch(x, 1)
    memory.store(first, 0, w, memory.load(x, 0, w, 0.0))
    memory.store(first, w, 2 * w, memory.load(x, w, 2 * w, 0.0))
    memory.store(second, 0, w, memory.load(x, 2 * w, 3 * w, 0.0))
    first[1] = x[0]
    for i in range(2 * w):
        y[i] = first[i]
    memory.store(y, 2 * w, 3 * w, memory.load(second, 0, w, 0.0))


@each_dtype
def test_scratch_is_room_of_its_own(dtype):
    x = numbers(3 * width(dtype), dtype)
    y = room(x.size, dtype)
    _scratch(x, y[MARGIN:-MARGIN])
    expected = room(x.size, dtype)
    expected[MARGIN:-MARGIN] = x
    expected[MARGIN + 1] = x[0]
    assert_same_bits(y, expected)


@kernel
def _much_scratch(x, turns, nothing):
    total = x[0]
    for i in range(turns):
        place = memory.scratch(x, 512)
        place[i % 64] = x[0]
        total += place[(i + nothing) % 64]
    return total


@each_dtype
def test_scratch_in_a_loop_is_taken_once(dtype):
    """32 KB in each of 10 000 turns would be more than any stack."""
    assert _much_scratch(np.ones(1, dtype), 10_000, 0) == 10_001


# ---- arithmetic


@kernel
def _arithmetic(x, y, out):
    for at in range(0, x.size, vectors.lanes(x)):
        a, b = memory.load(x, at, x.size, 0.0), memory.load(y, at, x.size, 0.0)
        for i, v in enumerate((a + b, a - b, a * b, a / b, vectors.sqrt(a), vectors.absolute(a),
                               vectors.copysign(a, b), -a)):
            memory.store(out, i * x.size + at, (i + 1) * x.size, v)


@each_dtype
def test_arithmetic_is_numpys(dtype):
    x, y = pairs(dtype)
    out = np.full((8, x.size), SENTINEL, dtype)
    _arithmetic(x, y, out)
    with np.errstate(all="ignore"):
        expected = x + y, x - y, x * y, x / y, np.sqrt(x), np.abs(x), np.copysign(x, y), -x
    names = "+", "-", "*", "/", "sqrt", "absolute", "copysign", "-x"
    for name, found, right in zip(names, out, expected, strict=True):
        assert_same_bits(found, right, name)
    known = ~np.isnan(x)  # of NaN only the sign's bit is moved
    assert (np.signbit(out[6]) == np.signbit(y)).all() and not np.signbit(out[5]).any()
    assert (out[5][known] == np.abs(x[known])).all()


@kernel
def _fma(x, y, z, out):
    for at in range(0, x.size, vectors.lanes(x)):
        a, b = memory.load(x, at, x.size, 0.0), memory.load(y, at, x.size, 0.0)
        v = vectors.fma(a, b, memory.load(z, at, x.size, 0.0))
        memory.store(out, at, x.size, v)


def rounded(exact, dtype):
    """The float next to a fraction: half a step to either side decides, then the even mantissa."""
    with np.errstate(over="ignore"):
        near = dtype(float(exact))
    around = [np.nextafter(near, dtype(-np.inf)), near, np.nextafter(near, dtype(np.inf))]
    kind = np.uint32 if dtype is np.float32 else np.uint64
    return min(around, key=lambda v: (abs(Fraction(float(v)) - exact), int(np.abs(v).view(kind)) & 1))


def cancelling(dtype, count=400):
    """x, y, z with z close to -x y, or of a size that puts the product's tail on a rounding edge."""
    rng = np.random.default_rng(5)
    x, y = (rng.uniform(1, 2, count).astype(dtype) for _ in range(2))
    z = -(x * y)
    z[::4] = rng.standard_normal(z[::4].size)
    z[1::4] = np.nextafter(z[1::4], dtype(0))
    z[2::4] *= dtype(2.0 ** -np.finfo(dtype).nmant)
    y[2::8] = 1 + np.finfo(dtype).eps
    return x, y, z


@each_dtype
def test_fma_is_rounded_once(dtype):
    x, y, z = cancelling(dtype)
    found = np.empty_like(x)
    _fma(x, y, z, found)
    exact = [Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)) for a, b, c in zip(x, y, z)]
    expected = np.array([rounded(value, dtype) for value in exact])
    assert_same_bits(found, expected)
    twice = x * y + z
    assert np.count_nonzero(twice != found) > 100  # rounding twice would be seen
    text = "".join(_fma.inspect_llvm().values())
    assert "llvm.fma." in text and "fmuladd" not in text  # which is rounded once only where the CPU can


@each_dtype
def test_fma_of_special_numbers(dtype):
    special = wild(dtype, 0)
    special = special[np.isnan(special) | np.isinf(special) | (special == 0) | (np.abs(special) == 1)]
    x, y, z = (v.ravel() for v in np.meshgrid(special, special, special))
    found = np.empty_like(x)
    _fma(x, y, z, found)
    with np.errstate(invalid="ignore"):
        assert_same_bits(found, x * y + z)  # exact but for zeros, infinities and NaN, which it has in common


@kernel
def _compare(x, y, out):
    for at in range(0, x.size, vectors.lanes(x)):
        a, b = memory.load(x, at, x.size, 0.0), memory.load(y, at, x.size, 0.0)
        for i, mask in enumerate((a < b, a <= b, a > b, a >= b, a == b)):
            memory.store(out, i * x.size + at, (i + 1) * x.size, vectors.select(mask, 1.0, a * 0.0 + 2.0))


@kernel
def _select(x, y, out):
    for at in range(0, x.size, vectors.lanes(x)):
        a, b = memory.load(x, at, x.size, 0.0), memory.load(y, at, x.size, 0.0)
        memory.store(out, at, x.size, vectors.select(a < b, a, b))


@each_dtype
def test_comparisons_with_nan_do_not_hold(dtype):
    x, y = pairs(dtype)
    out = np.empty((5, x.size), dtype)
    x_finite = np.where(np.isfinite(x), x, 0)
    _compare(x, y, out)
    for compare, found in zip((operator.lt, operator.le, operator.gt, operator.ge, operator.eq), out):
        holds = compare(x, y)
        assert not holds[np.isnan(x) | np.isnan(y)].any() and holds.any()
        assert ((found == 1) == holds).all(), compare.__name__
        assert (found[~holds & (x_finite == x)] == 2).all(), compare.__name__


@each_dtype
def test_select_takes_either_lane_unchanged(dtype):
    x, y = pairs(dtype)
    out = np.empty_like(x)
    _select(x, y, out)
    assert out.tobytes() == np.where(x < y, x, y).tobytes()


@kernel
def _first_lane(x, wide):
    if wide:
        return vectors.first_lane(memory.load_wide(x, 0, x.size, 0.0) > 0.0)
    return vectors.first_lane(memory.load(x, 0, x.size, 0.0) > 0.0)


@each_dtype
def test_first_lane_is_the_first_of_those_that_hold(dtype):
    for wide in (False, True):
        w = width(dtype) * (vectors.WIDE if wide else 1)
        x = np.full(w, -1, dtype)
        x[::3] = np.nan
        assert _first_lane(x, wide) == w
        for lane in reversed(range(w)):
            x[lane] = 1
            assert _first_lane(x, wide) == lane


# ---- bits and integers


@kernel
def _integers(x, y, out):
    for at in range(0, x.size, vectors.lanes(x)):
        i, j = vectors.bits(memory.load(x, at, x.size, 0.0)), vectors.bits(memory.load(y, at, x.size, 0.0))
        for row, v in enumerate((i, i + j, i - j, i & j, i << 3, i >> 5, i + 7, 7 - i, i & 12, i * j, i ^ j,
                                 i * -1234567, i ^ -2**31)):
            memory.store(out, row * x.size + at, (row + 1) * x.size, vectors.from_bits(v))


@each_dtype
def test_integer_lanes_are_numpys(dtype):
    kind = np.int32 if dtype is np.float32 else np.int64
    x, y = pairs(dtype)
    out = np.empty((13, x.size), dtype)
    _integers(x, y, out)
    i, j = x.view(kind), y.view(kind)
    with np.errstate(over="ignore"):
        expected = i, i + j, i - j, i & j, i << 3, i >> 5, i + kind(7), kind(7) - i, i & kind(12), \
            i * j, i ^ j, i * kind(-1234567), i ^ kind(-2**31)
    names = "bits", "+", "-", "&", "<<", ">>", "+ 7", "7 -", "& 12", "*", "^", "* -1234567", "^ -2^31"
    for name, found, right in zip(names, out, expected, strict=True):
        assert_same_bits(found.view(kind), right, name)


@kernel
def _compare_integers(x, y, out):
    for at in range(0, x.size, vectors.lanes(x)):
        i, j = vectors.bits(memory.load(x, at, x.size, 0.0)), vectors.bits(memory.load(y, at, x.size, 0.0))
        for row, mask in enumerate((i < j, i <= j, i > j, i >= j, i < 7, i <= -2**31, i == j)):
            memory.store(out, row * x.size + at, (row + 1) * x.size, vectors.select(mask, vectors.splat(x, 1.0), 2.0))


@each_dtype
def test_integer_lanes_are_compared_as_signed(dtype):
    kind = np.int32 if dtype is np.float32 else np.int64
    edges = np.array([0, 1, -1, 7, 8, np.iinfo(kind).min, np.iinfo(kind).max, -2**31, 2**31 - 1], kind)
    i, j = (v.ravel() for v in np.meshgrid(edges, edges))
    out = np.empty((7, i.size), dtype)
    _compare_integers(i.view(dtype), j.view(dtype), out)
    expected = i < j, i <= j, i > j, i >= j, i < 7, i <= -2**31, i == j
    for name, found, right in zip(("<", "<=", ">", ">=", "< 7", "<= -2^31", "=="), out, expected, strict=True):
        assert ((found == 1) == right).all(), name


@kernel
def _low_halves(n, out):
    a = vectors.count_from(n, 1)
    words = vectors.low_halves(a, a << 32)
    memory.store(out, 0, out.size, vectors.from_bits(words))
    wide = vectors.count_from(n, 3)
    return vectors.lanes(a), vectors.lanes(words), vectors.lanes(wide), vectors.lanes(vectors.low_halves(wide, wide))


def test_low_halves_stand_in_turn():
    for n in (0, -3, 2**31 - 2, 2**40 + 5):
        out = np.empty(16, np.float32)
        assert _low_halves(n, out) == (8, 16, 24, 48)
        a = n + np.arange(8)
        expected = np.stack([a, 0 * a], axis=1).ravel() % 2**32
        assert out.view(np.uint32).tolist() == expected.tolist()


@kernel
def _interleave(x, y, ones, twos, longest):
    v, w = memory.load(x, 0, x.size, 0.0), memory.load(y, 0, y.size, 0.0)
    memory.store(ones, 0, ones.size, vectors.interleave(v, w, 1))
    memory.store(twos, 0, twos.size, vectors.interleave(v, w, 2))
    memory.store(longest, 0, longest.size, vectors.interleave(v, w, 8))


@each_dtype
def test_interleave_takes_lanes_in_turn(dtype):
    lanes = 64 // np.dtype(dtype).itemsize
    x, y = np.arange(lanes, dtype=dtype), 100 + np.arange(lanes, dtype=dtype)
    found = np.empty((3, 2 * lanes), dtype)
    _interleave(x, y, *found)
    for out, run in zip(found, (1, 2, 8)):
        expected = [v for at in range(0, lanes, run) for v in (*x[at:at + run], *y[at:at + run])]
        assert out.tolist() == expected, run


@kernel
def _lanes_of_two(x, y, out):
    v, w = memory.load(x, 0, x.size, 0.0), memory.load(y, 0, y.size, 0.0)
    first, second = shuffles.halves(vectors.interleave(v, w, 1))
    found = (shuffles.even_lanes(v, w), shuffles.odd_lanes(v, w), shuffles.low_lanes(v, w), shuffles.high_lanes(v, w),
             first, second, vectors.to_float(shuffles.lane_numbers(x)), shuffles.moved_up(v), shuffles.moved_down(w))
    for row, each in enumerate(found):
        memory.store(out, row * x.size, (row + 1) * x.size, each)


@each_dtype
def test_lanes_of_two_vectors_are_chosen(dtype):
    lanes = width(dtype)
    x, y = np.arange(lanes, dtype=dtype), 100 + np.arange(lanes, dtype=dtype)
    out = np.empty((9, lanes), dtype)
    _lanes_of_two(x, y, out)
    both, half = np.concatenate([x, y]), lanes // 2
    in_turn = np.stack([x, y], axis=1).ravel()
    expected = (both[::2], both[1::2], np.concatenate([x[:half], y[:half]]), np.concatenate([x[half:], y[half:]]),
                in_turn[:lanes], in_turn[lanes:], x, [0, *x[:-1]], [*y[1:], 0])
    for found, right in zip(out, expected, strict=True):
        assert found.tolist() == list(right)


@kernel
def _load_between(x, at, begin, end, out):
    memory.store(out, 0, out.size, memory.load_between(x, at, begin, end, -7.0))


@each_dtype
def test_load_between_fills_on_both_sides(dtype):
    lanes = width(dtype)
    x, out = np.arange(5 * lanes, dtype=dtype), np.empty(lanes, dtype)
    for begin, end in ((0, 5 * lanes), (lanes, lanes + 3), (2 * lanes - 1, 4 * lanes + 1), (3, 3)):
        for at in range(begin - lanes - 2, end + 2):
            _load_between(x, at, begin, end, out)
            expected = [x[i] if begin <= i < end else -7 for i in range(at, at + lanes)]
            assert out.tolist() == expected, (at, begin, end)


@kernel
def _reinterpret(x, like, out):
    memory.store(out, 0, out.size, vectors.reinterpret(like, memory.load(x, 0, x.size, 0.0)))


def test_reinterpret_keeps_the_bits():
    words = np.random.default_rng(0).integers(0, 2**32, 16, dtype=np.uint32)
    words &= 0x3FFFFFFF  # no NaN in either dtype
    for x, like in ((words.view(np.float32), np.float64), (words.view(np.float64), np.float32)):
        out = np.empty(words.nbytes // np.dtype(like).itemsize, like)
        _reinterpret(x, out, out)
        assert out.view(np.uint32).tolist() == words.tolist()


@kernel
def _load_like(x, start, end, y, z, at):
    a = vectors.count_from(0, 2)
    words = vectors.low_halves(a, a)
    memory.store(y, at, at + 32, memory.load_like(words, x, start, end, 0.5))
    memory.store(z, at, at + 32, memory.load_like(words <= 0, x, start, end, 0.5))


@each_dtype
def test_load_like_takes_as_many_numbers(dtype):
    x = numbers(100, dtype)
    for size in (-1, 0, 1, 8, 9, 31, 32, 33):
        y, z = room(32, dtype), room(32, dtype)
        _load_like(x, 5, 5 + size, y, z, MARGIN)
        expected = room(32, dtype)
        kept = max(0, min(size, 32))
        expected[MARGIN:MARGIN + 32] = np.append(x[5:5 + kept], np.full(32 - kept, dtype(0.5)))
        assert_same_bits(y, expected, f"{size} of 32, as a vector")
        assert_same_bits(z, expected, f"{size} of 32, as a mask")


@kernel
def _to_float(x, out):
    for at in range(0, x.size, vectors.lanes(x)):
        memory.store(out, at, x.size, vectors.to_float(vectors.bits(memory.load(x, at, x.size, 0.0))))


@each_dtype
def test_to_float_rounds_to_nearest(dtype):
    kind = np.int32 if dtype is np.float32 else np.int64
    near = [sign * (2**p + step) for p in range(0, np.iinfo(kind).bits - 1) for step in range(-3, 4)
            for sign in (1, -1)]
    integers = np.array([*near, 0, np.iinfo(kind).max, np.iinfo(kind).min], kind)
    out = np.empty(integers.size, dtype)
    _to_float(integers.view(dtype), out)
    assert_same_bits(out, np.array([rounded(Fraction(int(i)), dtype) for i in integers]) + dtype(0))


@kernel
def _widen(x, out):
    for at in range(0, x.size, vectors.lanes(x)):
        v = vectors.widen(memory.load(x, at, x.size, 0.0))
        memory.store(out, at, x.size, v)


@each_dtype
def test_widen_is_exact(dtype):
    x = wild(dtype, 487)
    out = np.empty(x.size)
    _widen(x, out)
    with np.errstate(invalid="ignore"):  # of signalling NaN
        assert_same_bits(out, x.astype(np.float64))


@kernel
def _widen_wide(x, out):
    v = vectors.widen(memory.load_wide(x, 0, x.size, 0.0))
    memory.store(out, 0, x.size, v + 1.0 / 3.0)


@each_dtype
def test_widened_lanes_compute_in_float64(dtype):
    x = numbers(vectors.WIDE * width(dtype), dtype)
    out = np.empty(x.size)
    _widen_wide(x, out)
    assert_same_bits(out, x.astype(np.float64) + 1 / 3)


# ---- folds


@kernel
def _fold(x, out):
    v = memory.load(x, 0, x.size, 0.0)
    out[0], out[1] = vectors.fold_sum(v), vectors.fold_max(v)


def halving(lanes, combine):
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = [combine(lanes[i], lanes[i + half]) for i in range(half)]
    return lanes[0]


@each_dtype
def test_fold_sum_adds_halves(dtype):
    out, orders = np.empty(2, dtype), set()
    for seed in range(200):
        x = numbers(width(dtype), dtype, seed)
        _fold(x, out)
        assert_same_bits(out[0], halving(list(x), operator.add))
        neighbours = x.copy()
        while neighbours.size > 1:
            neighbours = neighbours[::2] + neighbours[1::2]
        orders.add((out[0] == neighbours[0], out[0] == sum(x[1:], x[0])))
    assert (False, False) in orders  # other orders would be seen
    for x in (np.full(width(dtype), -0.0, dtype), np.array([np.inf] + [-np.inf] * (width(dtype) - 1), dtype)):
        _fold(x, out)
        with np.errstate(invalid="ignore"):
            assert_same_bits(out[0], halving(list(x), operator.add))


@each_dtype
def test_fold_max_finds_the_largest_in_any_lane(dtype):
    w, out = width(dtype), np.empty(2, dtype)
    for at in range(w):
        for x in (numbers(w, dtype), np.full(w, -np.inf, dtype), np.full(w, np.nan, dtype), -np.abs(numbers(w, dtype))):
            x[at] = np.nanmax([*x, dtype(-3)])
            _fold(x, out)
            assert_same_bits(out[1], np.nanmax(x))
            x[(at + 3) % w] = np.inf
            _fold(x, out)
            assert out[1] == np.inf


@each_dtype
def test_fold_max_takes_the_second_of_equals(dtype):
    """That is a matter of order where 0 meets -0."""
    rng, out = np.random.default_rng(3), np.empty(2, dtype)
    for _ in range(100):
        x = np.where(rng.random(width(dtype)) < 0.5, 0.0, -0.0).astype(dtype)
        _fold(x, out)
        assert_same_bits(out[1], halving(list(x), lambda a, b: a if a > b else b))


@each_dtype
def test_fold_max_passes_over_nan(dtype):
    w, out = width(dtype), np.empty(2, dtype)
    rng = np.random.default_rng(2)
    for _ in range(100):
        x = numbers(w, dtype, int(rng.integers(1000)))
        x[rng.random(w) < 0.5] = np.nan
        x[rng.integers(w)] = -1000
        _fold(x, out)
        assert_same_bits(out[1], np.nanmax(x))
    _fold(np.full(w, np.nan, dtype), out)
    assert out[1] == -np.inf and np.isnan(out[0])


# ---- numbers beside vectors


@kernel
def _beside(x, number, out):
    v, w = memory.load(x, 0, x.size, 0.1), vectors.lanes(x)
    for i, u in enumerate((
            v + 0.1, 0.1 + v, v - 0.1, 0.1 - v, v * 0.1, 0.1 * v, v / 0.1, 0.1 / v, v + number, number * v,
            v * 3, 3 - v, vectors.fma(v, 0.1, 0.3), vectors.fma(0.1, v, v), vectors.fma(v, v, 0.1),
            vectors.fma(number, v, number),
            vectors.select(v < 0.1, 0.1, v), vectors.select(v >= number, v, number), vectors.select(0.1 < v, v, 7),
            vectors.splat(x, 0.1), vectors.splat(v, number), vectors.splat(x, 7), memory.load(x, 0, 0, 0.1),
            memory.load(x, 0, 0, number), memory.load(x, 0, 0, 7))):
        memory.store(out, i * w, (i + 1) * w, u)


def beside(x, c, n):
    """The same with c = 0.1 and n rounded to the dtype first."""
    fused = np.empty((4, x.size), x.dtype)
    full = np.full_like
    for row, args in zip(fused, ((x, full(x, c), full(x, 0.3)), (full(x, c), x, x), (x, x, full(x, c)),
                                 (full(x, n), x, full(x, n)))):
        _fma(*args, row)
    three = x.dtype.type(3)
    return (x + c, c + x, x - c, c - x, x * c, c * x, x / c, c / x, x + n, n * x, x * three, three - x, *fused,
            np.where(x < c, c, x), np.where(x >= n, x, n), np.where(c < x, x, x.dtype.type(7)), full(x, c), full(x, n),
            full(x, 7), full(x, c), full(x, n), full(x, 7))


@each_dtype
def test_a_number_means_that_number_in_each_lane(dtype):
    """Rounded to the lanes' type, in which everything is then computed."""
    w = width(dtype)
    for seed in range(30):
        x = numbers(w, dtype, seed)
        x[:4] = dtype(0.1), np.nextafter(dtype(0.1), dtype(1)), dtype(1 / 3), dtype(3)
        out = np.empty((25, w), dtype)
        _beside(x, 1 / 3, out)
        expected = beside(x, dtype(0.1), dtype(1 / 3))
        for i, (found, right) in enumerate(zip(out, expected, strict=True)):
            assert_same_bits(found, right, f"expression {i}")
        if dtype is np.float32:
            assert (x + dtype(0.1) != (x + 0.1).astype(dtype)).any() or (dtype(0.1) * x != 0.1 * x.astype(float)).any()


def test_a_number_beside_float32_widens_nothing():
    _beside(np.ones(16, np.float32), 0.5, np.empty((25, 16), np.float32))
    (text,) = (text for kind, text in _beside.inspect_llvm().items() if kind[0].dtype == numba.float32)
    assert "<16 x float>" in text
    assert "fpext" not in text and "x double>" not in text


@kernel
def _mixed(x, y):
    return vectors.fold_sum(memory.load(x, 0, 1, 0.0) + memory.load(y, 0, 1, 0.0))


def test_vectors_of_two_types_do_not_go_together():
    with pytest.raises(numba.TypingError):
        _mixed(np.zeros(1, np.float32), np.zeros(1, np.float64))


def child(code, **environment):
    environment = {**{k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}, **environment}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# ---- transposition


@kernel
def _transpose(x, at, step, rows, columns, y, y_at, y_step):
    memory.transpose(x, at, step, rows, columns, y, y_at, y_step)


@kernel
def _transpose_by_pointer(x, at, step, rows, columns, y, y_at, y_step):
    a, b = memory.pointer(x), memory.pointer(y)
    memory.transpose(memory.shift(a, at), 0, step, rows, columns, memory.shift(b, y_at), 0, y_step)


@each_dtype
def test_transpose_writes_the_columns_and_nothing_else(dtype):
    w = width(dtype)
    x = np.arange(1, 1 + 40 * w, dtype=dtype)
    for rows in range(w + 1):
        for columns in range(w + 1):
            for step, y_step in ((w, w), (w + 3, max(rows, 1)), (2 * w, w + 5)):
                y = room(w * (w + 5), dtype)
                _transpose(x, 5, step, rows, columns, y, MARGIN, y_step)
                expected = room(w * (w + 5), dtype)
                for c in range(columns):
                    for r in range(rows):
                        expected[MARGIN + c * y_step + r] = x[5 + r * step + c]
                assert np.array_equal(y, expected), f"{rows} rows, {columns} columns, steps {step} and {y_step}"


@each_dtype
def test_transpose_from_pointers(dtype):
    w = width(dtype)
    for rows, columns in ((w, w), (3, w), (w, 3), (w - 1, w - 1), (1, 1)):
        x = np.arange(1, 1 + rows * columns, dtype=dtype)
        y = room(w * w, dtype)
        _transpose_by_pointer(x, 0, columns, rows, columns, y, MARGIN, w)
        expected = room(w * w, dtype)
        expected[MARGIN:MARGIN + w * w].reshape(w, w)[:columns, :rows] = x.reshape(rows, columns).T
        assert np.array_equal(y, expected)


# ---- tiles: of 3 rows and 2 vectors


ROWS, VECTORS = 3, 2


@kernel
def _tile_zero(c, at, step, columns):
    tiles.tile_store(tiles.tile(c, 3, 2), memory.shift(memory.pointer(c), at), step, columns)


@kernel
def _tile_copy(x, at, step, columns, c, c_at, c_step, c_columns):
    t = tiles.tile_load(tiles.tile(c, 3, 2), memory.shift(memory.pointer(x), at), step, columns)
    tiles.tile_store(t, memory.shift(memory.pointer(c), c_at), c_step, c_columns)


@kernel
def _tile_finish(x, step, columns, row, row_at, row_columns, relu, c):
    width = tiles.tile_width(tiles.tile(c, 3, 2))
    t = tiles.tile_load(tiles.tile(c, 3, 2), memory.pointer(x), step, columns)
    t = tiles.tile_add(t, memory.shift(memory.pointer(row), row_at), row_columns)
    if relu:
        t = tiles.tile_relu(t)
    tiles.tile_store(t, memory.pointer(c), width, width)


@kernel
def _tile_product(a, a_at, a_step, a_next, b, b_at, b_next, depth, columns, c):
    left, right = memory.shift(memory.pointer(a), a_at), memory.shift(memory.pointer(b), b_at)
    t = tiles.tile(c, 3, 2)
    width = tiles.tile_width(t)
    t = tiles.outer_fma(t, left, a_step, a_next, right, b_next, columns, depth, right, b_next, None)
    tiles.tile_store(t, memory.pointer(c), width, width)


@kernel
def _high_tile_product(a, a_step, a_next, b, b_next, depth, c):
    t = tiles.tile(c, 12, 1)
    width = tiles.tile_width(t)
    t = tiles.outer_fma(t, memory.pointer(a), a_step, a_next, memory.pointer(b), b_next, None, depth,
                        memory.pointer(c), width, None)
    tiles.tile_store(t, memory.pointer(c), width, width)


@each_dtype
def test_a_tile_is_stored_up_to_its_last_column(dtype):
    w = VECTORS * width(dtype)
    for columns in range(w + 1):
        for step in (w, w + 3, max(columns, 1)):
            c = room(ROWS * (w + 3), dtype)
            _tile_zero(c, MARGIN, step, columns)
            expected = room(ROWS * (w + 3), dtype)
            for r in range(ROWS):
                expected[MARGIN + r * step:MARGIN + r * step + columns] = 0
            assert_same_bits(c, expected, f"{columns} columns, step {step}")


@each_dtype
def test_a_tile_is_loaded_up_to_its_last_column(dtype):
    w = VECTORS * width(dtype)
    x = numbers(5 * w, dtype)
    for columns in range(w + 1):
        c = room(ROWS * w, dtype)
        _tile_copy(x, 7, w + 5, columns, c, MARGIN, w, w)
        expected = room(ROWS * w, dtype)
        inside = expected[MARGIN:-MARGIN].reshape(ROWS, w)
        inside[...] = 0
        for r in range(ROWS):
            inside[r, :columns] = x[7 + r * (w + 5):][:columns]
        assert_same_bits(c, expected, f"{columns} columns")


@each_dtype
def test_a_row_is_added_to_each_row_of_a_tile(dtype):
    w = VECTORS * width(dtype)
    x, row = numbers(ROWS * w, dtype).reshape(ROWS, w), numbers(2 * w, dtype, 1)
    row[3] = np.nan
    for columns in range(w + 1):
        c = room(ROWS * w, dtype)
        _tile_finish(x, w, w, row, 2, columns, False, c[MARGIN:-MARGIN])
        expected = room(ROWS * w, dtype)
        inside = expected[MARGIN:-MARGIN].reshape(ROWS, w)
        inside[...] = x
        inside[:, :columns] += row[2:2 + columns]
        assert_same_bits(c, expected, f"{columns} columns")


@each_dtype
def test_relu_of_a_tile_keeps_nan(dtype):
    w = VECTORS * width(dtype)
    x = np.resize(wild(dtype), (6, ROWS, w))
    for block in x:
        c = np.empty((ROWS, w), dtype)
        _tile_finish(block, w, w, np.full(w, -0.0, dtype), 0, w, True, c)  # adding -0 changes nothing
        assert_same_bits(c, np.where(block <= 0, dtype(0), block))
        assert np.isnan(c[np.isnan(block)]).all() and not np.signbit(c[block <= 0]).any()


@each_dtype
def test_a_tile_of_products_is_one_chain_of_fma_each(dtype):
    w, depth = VECTORS * width(dtype), 7
    a, b = numbers(200, dtype, 1), numbers(20 * w, dtype, 2)
    for columns in (*range(0, w + 1, 3), w - 1, w):
        for a_step, a_next in ((1, 4), (11, 1)):
            c = room(ROWS * w, dtype)
            _tile_product(a, 5, a_step, a_next, b, 9, w + 2, depth, columns, c[MARGIN:-MARGIN])
            expected = np.zeros((ROWS, w), dtype)
            for k in range(depth):
                row = np.zeros(w, dtype)
                row[:columns] = b[9 + k * (w + 2):][:columns]
                for r in range(ROWS):
                    _fma(np.full(w, a[5 + k * a_next + r * a_step]), row, expected[r].copy(), expected[r])
            assert_same_bits(c[MARGIN:-MARGIN].reshape(ROWS, w)[:, :columns], expected[:, :columns], f"{columns}")
            assert (c[MARGIN:-MARGIN].reshape(ROWS, w)[:, columns:] == 0).all(), f"{columns}"
            assert (c[:MARGIN] == SENTINEL).all() and (c[-MARGIN:] == SENTINEL).all()


@each_dtype
def test_a_high_tile_of_products_takes_every_row_and_k(dtype):
    w, rows = width(dtype), 12
    for depth in range(10):  # several numbers k a turn
        for a_step, a_next in ((1, rows), (depth + 1, 1), (rows * depth + 3, 2)):
            a, b = numbers(rows * a_step + depth * a_next, dtype, 1), numbers((depth + 1) * (w + 2), dtype, 2)
            c, expected = np.full((rows, w), np.nan, dtype), np.zeros((rows, w), dtype)
            _high_tile_product(a, a_step, a_next, b, w + 2, depth, c)
            for k in range(depth):
                for r in range(rows):
                    _fma(np.full(w, a[k * a_next + r * a_step]), b[k * (w + 2):][:w], expected[r].copy(), expected[r])
            assert_same_bits(c, expected, f"depth {depth}, steps {a_step} {a_next}")


# ---- the end of memory


@kernel
def _prefetch(x, at):
    memory.prefetch(x, at)


GUARDED = """
import ctypes, json, mmap
import numpy as np
import test_vectors as t

libc = ctypes.CDLL(None)

def last(values):
    # a copy of an array that is followed by memory which must not be touched
    size = -(-values.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    room = mmap.mmap(-1, size + mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    assert libc.mprotect(ctypes.c_void_p(start + size), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    x = np.frombuffer(room, values.dtype, values.size, size - values.nbytes)
    x[:] = values
    return x

w, ones = 16, np.ones(400, "f4")
for size in range(1, w + 1):
    t._copy_all(last(ones[:size]), last(ones[:size]))
    for at in range(-w, size + 1):
        t._load_between(last(ones[:size]), at, 0, size, np.empty(w, "f4"))
    t._prefetch(last(ones[:size]), size + 16)
    for rows in (1, 3, w - 1, w):
        t._transpose(last(ones[:rows * size]), 0, size, rows, size, last(ones[:rows * size]), 0, rows)
for columns in range(1, 2 * w + 1):
    t._tile_copy(last(ones[:3 * columns]), 0, columns, columns, last(ones[:3 * columns]), 0, columns, columns)
    t._tile_finish(ones, 2 * w, 2 * w, last(ones[:columns]), 0, columns, False, np.empty(6 * w, "f4"))
    t._tile_product(last(ones[:3]), 0, 1, 0, last(ones[:columns]), 0, 0, 1, columns, np.empty(6 * w, "f4"))
print(json.dumps("alive"))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mprotect of an anonymous mapping")
def test_nothing_behind_the_end_is_even_read():
    """A process that does so is killed."""
    assert child(GUARDED, PYTHONPATH=os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])) == "alive"


# ---- the machine


def test_register_bytes_are_this_cpus():
    features = llvmlite.binding.get_host_cpu_features()
    assert vectors.REGISTER_BYTES in (16, 32, 64)
    if platform.machine() in ("x86_64", "AMD64") and not os.environ.get("NUMBA_CPU_NAME"):
        assert vectors.REGISTER_BYTES >= (32 if features.get("avx") else 16)
        assert vectors.REGISTER_BYTES < 64 or features.get("avx512f")


SIZES = {"nehalem": 16, "haswell": 32, "skylake-avx512": None, "znver4": 64}


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names of x86 CPUs")
@pytest.mark.parametrize("cpu", SIZES)
def test_register_bytes_follow_the_cpu_that_numba_compiles_for(cpu):
    """A child only compiles for it. LLVM prefers half of skylake-avx512's registers in some versions."""
    code = "from nnjit.kernels.core.vectors import REGISTER_BYTES; print(REGISTER_BYTES)"
    found = child(code, NUMBA_CPU_NAME=cpu, NUMBA_CPU_FEATURES="")
    assert found == SIZES[cpu] if SIZES[cpu] else found in (32, 64)

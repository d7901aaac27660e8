"""Standard normal numbers: each depends only on a seed, a stream and its index."""

from numba import prange

from .core import check, philox
from .core.elementary import cos_sin, log
from .core.compile import inline, loops, pick
from .core.memory import store
from .core.public import public
from .core.vectors import (bits, fma, from_bits, interleave, lanes, low_halves, reinterpret, single, splat, sqrt,
                           to_float)

BLOCK = 4096  # numbers per task, a multiple of philox.WORDS
PARALLEL_FROM = 32_768  # numbers; bench/thresholds.py at 2 threads
LOW = 0xFFFFFFFF


@inline
def _exact(i):
    """int64 lanes of less than 2^51 as floats. AVX2 has no instruction for that: with to_float a sixth more time."""
    shift = splat(from_bits(i), 1.5 * 2.0**52)
    return from_bits(i + bits(shift)) - shift


@inline
def _uniform(i):
    """(i + 1/2) / 2^n of the n bits of each lane, taken without a sign, rounded once: more than 0, at most 1."""
    if single(i):
        return fma(to_float((i >> 16) & 0xFFFF), 2.0**-16, fma(to_float(i & 0xFFFF), 2.0**-32, 2.0**-33))
    return fma(_exact((i >> 32) & LOW), 2.0**-32, fma(_exact(i & LOW), 2.0**-64, 2.0**-65))


@inline
def _quarters(i):
    """i / 2^n turns as the nearest number of quarter turns, and the rest in quarter turns, rounded once."""
    rest = (i << 2) >> 2
    if single(i):
        return (i - rest) >> 30, to_float(rest) * 2.0**-30
    return (i - rest) >> 62, fma(_exact(rest >> 32), 2.0**-30, _exact(rest & LOW) * 2.0**-62)


@inline
def _pair(u, v):
    """Two numbers from each lane of two vectors of random bits."""
    radius = sqrt(log(_uniform(u)) * -2.0)
    quadrant, t = _quarters(v)
    cosine, sine = cos_sin(quadrant, t)
    return radius * cosine, radius * sine


@inline
def _forward_block(y, seed, stream, start, end):
    for at in range(start, end, 4 * lanes(y)):
        # four numbers a counter in float32, two in float64
        a, b, c, d = philox.rounds(at // (lanes(y) // 4), seed, stream)
        first, second = _pair(bits(reinterpret(y, low_halves(a, b))), bits(reinterpret(y, low_halves(c, d))))
        store(y, at, end, interleave(first, second, 1))


@loops(writes=("y",))
def _forward_blocks(y, seed, stream):
    for block in prange((y.size + BLOCK - 1) // BLOCK):
        _forward_block(y, seed, stream, block * BLOCK, min((block + 1) * BLOCK, y.size))


@public
def forward(shape, *, seed, stream=0, dtype, out=None, parallel=None):
    """Random numbers of the normal distribution with mean 0 and variance 1.

    shape : a whole number or a tuple of them, none below 0
    seed, stream : whole numbers, 0 <= n < 2^64; another stream, such as the number of the step, is other numbers
    dtype : float32 or float64; the numbers of one are not those of the other, rounded
    out : that shape and dtype, C-contiguous, written and returned
    parallel : None decides by size; True or False overrides

    Returns y, that shape and dtype. Element i in C order depends on seed, stream and i alone, by Philox 4x32-10
    (philox.py): two elements, a pair, come from 64 random bits in float32 and from 128 in float64, half of them for the
    radius and half for the angle. So |y| goes up to 6.76 and 9.49, beyond which 1 normal number in 7e10 and in 4e20
    lies, and there is no infinity. The radius is 0 in one pair of 2^25 and of 2^54, else at least the root of eps.
    The error of a number is at most 2.3 eps times the radius; the largest seen is 1.4.
    Raises TypeError for another dtype or what is no whole number, ValueError for a number out of range.
    Size 0 gives an empty array.
    Formula and source: kernels/reference/normal.py
    """
    shape, dtype = check.shape("shape", shape), check.dtype("dtype", dtype)
    seed, stream = check.word("seed", seed), check.word("stream", stream)
    y = check.out("out", out, shape, dtype)
    pick(_forward_blocks, y.size >= PARALLEL_FROM, parallel)(y.ravel(), seed, stream)
    return y

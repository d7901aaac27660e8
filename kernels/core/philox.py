"""Philox 4x32-10 on vectors: random words that depend only on a seed, a stream and their index.

Word i of a stream is number i % 4 of the four words of the counter (i // 4, stream), 64 bits each, under the seed as
the key: ten rounds of two products of 32 x 32 bits (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
1, 2, 3", 2011). No state is passed on, so that each block of an operation makes its own words.
"""

from .compile import inline
from .vectors import count_from, interleave, low_halves, splat

WIDTH = 2  # of vectors: 5 to 10 % faster than 1, since each product waits for the one before
WORDS = 32 * WIDTH  # made at a time: four a counter, which is an int64 lane
LOW = 0xFFFFFFFF
FACTOR_0, FACTOR_1 = 0xD2511F53, 0xCD9E8D57
STEP_0, STEP_1 = 0x9E3779B9, 0xBB67AE85  # of the key's halves, after each round


@inline
def rounds(counter, seed, stream):
    """The four words of each counter from `counter` on, WORDS / 4 of them, for a seed and a stream as int64: four
    vectors of int64 lanes, a counter each, whose low halves are the words. Their high halves are anything."""
    # The state is in the low halves of lanes, and what comes into the high halves counts for nothing: so a product of
    # two halves is one instruction (vpmuludq). A scalar loop over uint64, which LLVM vectorises, takes the same time on
    # AVX2; on AVX-512 a tenth more in float32 and, in the cache, twice as much in float64.
    a = count_from(counter, WIDTH)
    b = a >> 32
    c = splat(a, stream)
    d = c >> 32
    key_0, key_1 = seed & LOW, (seed >> 32) & LOW
    for _ in range(10):
        p, q = (a & LOW) * FACTOR_0, (c & LOW) * FACTOR_1
        a, b, c, d = (q >> 32) ^ b ^ key_0, q, (p >> 32) ^ d ^ key_1, p
        key_0, key_1 = (key_0 + STEP_0) & LOW, (key_1 + STEP_1) & LOW
    return a, b, c, d


@inline
def words(counter, seed, stream):
    """Words 4 * counter, 4 * counter + 1, ... of a stream as int32 lanes, for a seed and a stream as int64."""
    a, b, c, d = rounds(counter, seed, stream)
    return interleave(low_halves(a, b), low_halves(c, d), 2)

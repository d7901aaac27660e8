"""kernels/core/philox.py: the published words, and each word's place."""

import numba
import numpy as np
import pytest
from scalar import philox

from nnjit.kernels.core import philox as kernel
from nnjit.kernels import reference
from nnjit.kernels.core import memory, vectors
from nnjit.kernels.core.compile import OPTIONS

# counter, key and result of Random123's known answers for philox4x32-10 (kat_vectors)
KNOWN = (
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
)
EDGES = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 0x0123456789ABCDEF, 2**63 - 1, 2**63, 2**64 - 1)


@numba.njit(**OPTIONS)
def _words(counter, seed, stream, out):
    memory.store(out, 0, out.size, vectors.from_bits(kernel.words(counter, seed, stream)))


def words(counter, seed, stream):
    """What the kernels take, for numbers of 64 bits."""
    out = np.empty(kernel.WORDS, np.float32)
    _words(*(int(np.uint64(n).view(np.int64)) for n in (counter, seed, stream)), out)
    return out.view(np.uint32).tolist()


def halves(n):
    return n % 2**32, n // 2**32


def joined(low, high):
    return low + 2**32 * high


@pytest.mark.parametrize("counter, key, expected", KNOWN)
def test_known_answers(counter, key, expected):
    number, stream, seed = joined(*counter[:2]), joined(*counter[2:]), joined(*key)
    assert philox(counter, key) == expected
    assert words(number, seed, stream)[:4] == list(expected)
    twin = reference.dropout._philox(np.array([number], np.uint64), seed, stream)
    assert twin.dtype == np.uint64 and twin.tolist() == [list(expected)]


@pytest.mark.parametrize("counter", (0, 8, 2**31 - 4, 2**32 - 5, 2**40 + 3))
def test_words_stand_in_the_order_of_their_counters(counter):
    numbers = range(counter, counter + kernel.WORDS // 4)
    expected = [word for n in numbers for word in philox((*halves(n), 7, 0), (5, 0))]
    assert words(counter, 5, 7) == expected


@pytest.mark.parametrize("seed", EDGES)
def test_each_bit_of_seed_and_stream_counts(seed):
    for stream in EDGES:
        assert words(2**33, seed, stream)[4:8] == list(philox((1, 2, *halves(stream)), halves(seed)))

"""Arrays that are the same on every machine, and hashes of arrays."""

import hashlib
import math

import numpy as np

SPECIALS = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-40, -5e-324, 3e38, -1e-30)


class Exact:
    """The part of a NumPy generator that `inputs` of the twins need, from integers (splitmix64) and exact products."""

    def __init__(self, seed, specials=False):
        self.state = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "little")
        self.specials = specials

    def _words(self, shape):
        count = math.prod(shape) if isinstance(shape, tuple) else shape
        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(self.state)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        self.state = (self.state + count * 0x9E3779B97F4A7C15) % 2**64
        return (z ^ z >> np.uint64(31)).reshape(shape)

    def random(self, shape):
        """Numbers in 0..1, multiples of 2^-53."""
        return (self._words(shape) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def standard_normal(self, shape):
        """Numbers in -2..2, not normal; a few of SPECIALS among them if wished."""
        x = 4 * self.random(shape) - 2
        if self.specials:
            flat = x.reshape(-1)
            flat[::29] = np.resize(SPECIALS, flat[::29].size)
        return x

    def integers(self, low, high, shape):
        """Whole numbers in low..high-1."""
        return low + (self._words(shape) % np.uint64(high - low)).astype(np.int64)


def feed(state, arrays):
    """Add arrays to a hash: dtype, shape and little-endian bits, every NaN as the same NaN."""
    for x in arrays:
        x = np.array(x, x.dtype.newbyteorder("<"), order="C")
        if x.dtype.kind == "f":
            x[np.isnan(x)] = np.nan
        state.update(f"{x.dtype.str} {x.shape} ".encode() + x.tobytes())

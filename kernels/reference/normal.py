"""Standard normal numbers: z = sqrt(-2 log u) cos(2 pi v) and sqrt(-2 log u) sin(2 pi v) of uniform u, v.

Box, Muller, "A note on the generation of random normal deviates" (1958). The uniform numbers are made of Philox
4x32-10's: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011).

The counter (k, stream) under the key `seed` gives four words. In float32, u is (word + 1/2) / 2^32 of the first two and
v word / 2^32 of the last two: of each the number with the cosine, then that with the sine, make elements 4k to 4k + 3.
In float64, the first two words, the lower half first, make u and the last two v in the same way: elements 2k and
2k + 1. u is rounded to the dtype.
"""

import math

import numpy as np

from .dropout import _philox

DIMENSIONS = ("N", "C")
SHAPES = ((0,), (1,), (2,), (3,), (4,), (5,), (31,), (32,), (33,), (63,), (64,), (65,), (67,), (100,), (4095,),
          (4096,), (4097,), (8200,))


def inputs(rng, shape, dtype):
    return [("forward", (), {"shape": shape, "seed": 2**63 + 11, "stream": 5, "dtype": dtype})]


def forward(shape, *, seed, stream=0, dtype, out=None, parallel=None):
    y = np.empty(shape, dtype) if out is None else out
    single = y.dtype == np.float32
    counters = np.arange(math.ceil(y.size / (4 if single else 2)), dtype=np.uint64)
    words = _philox(counters, seed, stream)
    if single:
        u = ((words[:, :2] + 0.5) / 2**32).astype(np.float32).astype(np.float64)
        v = words[:, 2:] / 2**32
    else:
        u = words[:, 1] / 2**32 + (words[:, 0] + 0.5) / 2**64
        v = words[:, 3] / 2**32 + words[:, 2] / 2**64
    radius, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * v
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    y[...] = pairs.reshape(-1)[:y.size].reshape(y.shape)
    return y

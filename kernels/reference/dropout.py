"""Inverted dropout: y = x * mask, mask = 0 with probability `rate`, else 1 / (1 - rate).

Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, "Dropout: a simple way to prevent neural networks from
overfitting" (2014), scaled in training instead of after it as in "Neural Networks from Scratch in Python", chapter 15,
where the mask is called `binary_mask`.

The random numbers are those of Philox 4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2,
3" (2011). Element i takes word i % 4 of the counter (i // 4, stream) under the key `seed`, and is kept if it is less
than round((1 - rate) * 2^32).
"""

import numpy as np

DIMENSIONS = ("N", "C")
SHAPES = ((1,), (3,), (4,), (5,), (8,), (15,), (16,), (17,), (31,), (32,), (33,), (63,), (64,), (65,), (100,), (4095,),
          (4096,), (4097,), (8200,))
LOW = 0xFFFFFFFF


def inputs(rng, shape, dtype):
    x = rng.standard_normal(shape).astype(dtype)
    options = {"rate": 0.1, "seed": 2**63 + 11, "stream": 5}
    dy = rng.standard_normal(shape).astype(dtype)
    return [("forward", (x,), options), ("backward", (dy, forward(x, **options)[1]), {})]


def forward(x, *, rate, seed, stream=0, out=(None, None), parallel=None):
    counters = np.arange((x.size + 3) // 4, dtype=np.uint64)
    words = _philox(counters, seed, stream).reshape(-1)[:x.size]
    kept = words.reshape(x.shape) < round((1 - rate) * 2**32)
    mask = np.empty(x.shape, x.dtype) if out[1] is None else out[1]
    mask[...] = np.where(kept, 1 / (1 - rate), 0.0)
    return np.multiply(x, mask, out=out[0]), mask


def _philox(counters, seed, stream):
    """The four words of each counter (M,), as (M, 4) uint64."""
    a, b = counters & LOW, counters >> 32
    c, d = np.full_like(counters, stream & LOW), np.full_like(counters, stream >> 32)
    key = [seed & LOW, seed >> 32]
    for _ in range(10):
        p, q = a * 0xD2511F53, c * 0xCD9E8D57
        a, b, c, d = q >> 32 ^ b ^ key[0], q & LOW, p >> 32 ^ d ^ key[1], p & LOW
        key = [(key[0] + 0x9E3779B9) & LOW, (key[1] + 0xBB67AE85) & LOW]
    return np.stack([a, b, c, d], axis=1)


def backward(dy, mask, *, out=None, parallel=None):
    return np.multiply(dy, mask, out=out)

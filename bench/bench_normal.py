"""Standard normal numbers: nothing is read, and random bits are not counted as operations."""

import numpy as np

from nnjit.bench.cases import Kernel, suite

# a logarithm and a root a pair, a cosine or sine and a product a number
CASES = [Kernel("normal", "forward", (n, c), 3 * n * c, dtype) for n, c in [(300, 64), (512, 1000)]
         for dtype in ("f32", "f64")]

test_normal = suite(CASES)


def in_torch(torch):
    return {"forward": lambda shape, dtype, **options: torch.randn(shape, dtype=getattr(torch, np.dtype(dtype).name))}


def in_jax(jax):
    def forward(shape, dtype, seed, stream):
        # known when it is compiled, the key would have the numbers drawn then
        key, run = jax.random.key(stream), jax.jit(lambda key: jax.random.normal(key, shape, dtype))
        return lambda: run(key).block_until_ready()

    return {"forward": forward}

"""The mean of a batch's losses, and of a vector beyond a core's cache."""

from nnjit.bench.cases import Kernel, suite

CASES = [Kernel("mean", "forward", (n,), n) for n in (32, 300, 4096, 1_000_000)]

test_mean = suite(CASES)


def in_torch(torch):
    return {"forward": lambda x: x.mean().item()}


def in_jax(jax):
    return {"forward": jax.numpy.mean}

"""Two arrays side by side: a copy, by rows."""

from nnjit.bench.cases import Kernel, suite

CASES = [Kernel("concatenate", "forward", (n, c, k), n * (c + k))
         for n, c, k in [(300, 64, 64), (512, 500, 500), (4096, 512, 512)]]

test_concatenate = suite(CASES)


def in_torch(torch):
    return {"forward": lambda a, b: torch.cat((a, b), 1)}


def in_jax(jax):
    return {"forward": lambda a, b: jax.numpy.concatenate((a, b), 1)}

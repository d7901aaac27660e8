"""The sum of two arrays: in cache, and with a fresh output, where the system's page faults count."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 64), (512, 1000), (4096, 1024)]:
    CASES += [
        Kernel("add", "forward", (n, c), n * c),
        Kernel("add", "forward", (n, c), n * c, out=True),
    ]

test_add = suite(CASES)


def in_torch(torch):
    return {"forward": torch.add, "forward out=": lambda a, b, out: torch.add(a, b, out=out)}


def in_jax(jax):
    return {"forward": jax.numpy.add}

"""An array cut in two: a copy, by rows."""

from nnjit.bench.cases import Kernel, suite

CASES = [Kernel("split", "forward", (n, c), n * c) for n, c in [(300, 128), (512, 1000), (4096, 1024)]]

test_split = suite(CASES)


def in_torch(torch):
    return {"forward": lambda x, columns: (x[:, :columns].contiguous(), x[:, columns:].contiguous())}


def in_jax(jax):
    return {"forward": lambda x, columns: (x[:, :columns], x[:, columns:])}

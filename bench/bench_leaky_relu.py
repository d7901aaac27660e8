"""Leaky ReLU: in cache, and with a fresh output, where the system's page faults count."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 64), (512, 1000), (4096, 1024)]:
    CASES += [
        Kernel("leaky_relu", "forward", (n, c), n * c),
        Kernel("leaky_relu", "forward", (n, c), n * c, out=True),
        Kernel("leaky_relu", "backward", (n, c), n * c),
    ]

test_leaky_relu = suite(CASES)

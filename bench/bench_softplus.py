"""Softplus: in cache, and with a fresh output, where the system's page faults count."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 64), (512, 1000)]:
    CASES += [
        Kernel("softplus", "forward", (n, c), 4 * n * c),
        Kernel("softplus", "forward", (n, c), 4 * n * c, out=True),
        Kernel("softplus", "backward", (n, c), 4 * n * c),
    ]
CASES.append(Kernel("softplus", "forward", (512, 1000), 4 * 512 * 1000, "f64", out=True))

test_softplus = suite(CASES)

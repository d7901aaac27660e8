"""Exponential linear unit: in cache, and with a fresh output, where the system's page faults count."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 64), (512, 1000)]:
    CASES += [
        Kernel("elu", "forward", (n, c), 3 * n * c),
        Kernel("elu", "forward", (n, c), 3 * n * c, out=True),
        Kernel("elu", "backward", (n, c), 2 * n * c),
    ]
CASES.append(Kernel("elu", "forward", (512, 1000), 3 * 512 * 1000, "f64", out=True))

test_elu = suite(CASES)

"""Dropout: forward makes its random numbers and two arrays, backward is a product."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 64), (512, 1000)]:
    CASES += [
        Kernel("dropout", "forward", (n, c), n * c),
        Kernel("dropout", "backward", (n, c), n * c),
    ]
CASES += [Kernel("dropout", "forward", (512, 1000), 512 * 1000, "f64")]

test_dropout = suite(CASES)

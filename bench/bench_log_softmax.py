"""Logarithm of softmax: narrow rows as behind a classifier, wide rows, and more than a core's cache holds."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 3), (128, 10), (512, 1000), (4096, 1024)]:
    CASES += [Kernel("log_softmax", "forward", (n, c), 5 * n * c), Kernel("log_softmax", "backward", (n, c), 4 * n * c)]
CASES += [
    Kernel("log_softmax", "forward", (512, 1000), 5 * 512 * 1000, out=True),
    Kernel("log_softmax", "forward", (512, 1000), 5 * 512 * 1000, "f64"),
]

test_log_softmax = suite(CASES)

"""Sigmoid and binary cross-entropy in one: a single output, of a batch and of many; narrow and wide rows."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 1), (1_000_000, 1), (128, 10), (512, 1000)]:
    CASES += [
        Kernel("sigmoid_cross_entropy", "forward", (n, c), 11 * n * c),
        Kernel("sigmoid_cross_entropy", "backward", (n, c), 2 * n * c),
    ]

test_sigmoid_cross_entropy = suite(CASES)

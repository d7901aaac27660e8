"""Binary cross-entropy: one output, as in binary classification, of a batch and of many; narrow and wide rows."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 1), (1_000_000, 1), (128, 10), (512, 1000)]:
    CASES += [
        Kernel("binary_cross_entropy", "forward", (n, c), 7 * n * c),
        Kernel("binary_cross_entropy", "backward", (n, c), 5 * n * c),
    ]

test_binary_cross_entropy = suite(CASES)

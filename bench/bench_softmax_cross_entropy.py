"""Softmax and cross-entropy in one: narrow rows with class numbers and one-hot rows, and wide rows."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 3), (128, 10), (512, 1000)]:
    CASES += [
        Kernel("softmax_cross_entropy", "forward", (n, c), 5 * n * c),
        Kernel("softmax_cross_entropy", "backward", (n, c), n * c),
    ]
CASES += [
    Kernel("softmax_cross_entropy", "forward", (128, 10), 9 * 128 * 10, entry=1, note="one-hot"),
    Kernel("softmax_cross_entropy", "backward", (128, 10), 2 * 128 * 10, entry=1, note="one-hot"),
]

test_softmax_cross_entropy = suite(CASES)

"""Cross-entropy of probabilities: narrow rows with class numbers and one-hot rows, and wide rows."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 3), (128, 10), (512, 1000)]:
    CASES += [
        Kernel("categorical_cross_entropy", "forward", (n, c), n, gathered=True),
        Kernel("categorical_cross_entropy", "backward", (n, c), 2 * n, gathered=True),
    ]
for n, c in [(128, 10), (512, 1000)]:
    CASES += [
        Kernel("categorical_cross_entropy", "forward", (n, c), 3 * n * c, entry=1, note="one-hot"),
        Kernel("categorical_cross_entropy", "backward", (n, c), 2 * n * c, entry=1, note="one-hot"),
    ]

test_categorical_cross_entropy = suite(CASES)

"""Categorical accuracy: narrow rows with class numbers and one-hot rows, and wide rows."""

from nnjit.bench.cases import Kernel, suite

CASES = [Kernel("categorical_accuracy", "forward", (n, c), n * c) for n, c in [(300, 3), (128, 10), (512, 1000)]]
CASES.append(Kernel("categorical_accuracy", "forward", (128, 10), 2 * 128 * 10, entry=1, note="one-hot"))

test_categorical_accuracy = suite(CASES)

"""Categorical accuracy: narrow rows with class numbers and one-hot rows, and wide rows."""

from nnjit.bench.cases import Kernel, suite

CASES = [Kernel("categorical_accuracy", "forward", (n, c), n * c) for n, c in [(300, 3), (128, 10), (512, 1000)]]
CASES.append(Kernel("categorical_accuracy", "forward", (128, 10), 2 * 128 * 10, entry=1, note="one-hot"))

test_categorical_accuracy = suite(CASES)


def in_torch(torch):
    return {
        "forward": lambda y, labels: (y.argmax(1) == labels).sum().item(),
        "forward one-hot": lambda y, t: (y.argmax(1) == t.argmax(1)).sum().item(),
    }


def in_jax(jax):
    return {
        "forward": lambda y, labels: (y.argmax(1) == labels).sum(),
        "forward one-hot": lambda y, t: (y.argmax(1) == t.argmax(1)).sum(),
    }

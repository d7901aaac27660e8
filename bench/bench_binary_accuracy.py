"""Binary accuracy: one output a row in a batch and in a whole set of data, and many numbers."""

from nnjit.bench.cases import Kernel, suite

SHAPES = [(200, 1), (128, 10), (60_000, 1), (512, 1000)]
CASES = [Kernel("binary_accuracy", "forward", (n, c), 2 * n * c) for n, c in SHAPES]

test_binary_accuracy = suite(CASES)


def in_torch(torch):
    return {"forward": lambda p, t, threshold=0.5: ((p > threshold) == (t > 0.5)).sum().item()}


def in_jax(jax):
    return {"forward": lambda p, t, threshold=0.5: ((p > threshold) == (t > 0.5)).sum()}

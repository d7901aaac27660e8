"""Regression accuracy: one output a row in a batch and in a whole set of data, and many numbers."""

from nnjit.bench.cases import Kernel, suite

SHAPES = [(1000, 1), (128, 10), (60_000, 1), (512, 1000)]
CASES = [Kernel("regression_accuracy", "forward", (n, c), 2 * n * c) for n, c in SHAPES]

test_regression_accuracy = suite(CASES)


def in_torch(torch):
    return {"forward": lambda y, t, precision: ((y - t).abs() < precision).sum().item()}


def in_jax(jax):
    return {"forward": lambda y, t, precision: (abs(y - t) < precision).sum()}

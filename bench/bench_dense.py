"""Dense layers of the networks of bench_training_step.py."""

from nnjit.bench.cases import Kernel, suite

ENTRIES = {"": 0, "relu": 1, "sigmoid": 2, "tanh": 3}


def both(n: int, k: int, c: int, activation: str = "") -> list[Kernel]:
    entry = ENTRIES[activation]
    return [Kernel("dense", "forward", (n, k, c), 2 * n * k * c, entry=entry, note=activation),
            Kernel("dense", "backward", (n, k, c), 4 * n * k * c, entry=entry, note=activation)]


CASES = [
    *both(300, 2, 64, "relu"),
    *both(300, 64, 3),
    *both(32, 64, 64, "relu"),
    *both(128, 784, 128, "relu"),
    *both(128, 784, 128, "sigmoid"),
    *both(128, 784, 128, "tanh"),
    *both(128, 128, 10),
    *both(256, 784, 512, "relu"),
]

test_dense = suite(CASES)

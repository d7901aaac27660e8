"""The product of two arrays element by element, and its two gradients."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 64), (512, 1000), (4096, 1024)]:
    CASES += [
        Kernel("multiply", "forward", (n, c), n * c),
        Kernel("multiply", "forward", (n, c), n * c, out=True),
        Kernel("multiply", "backward", (n, c), 2 * n * c),
    ]

test_multiply = suite(CASES)

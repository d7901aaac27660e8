"""Huber loss: one output, as in regression, of a batch and beyond a core's cache; narrow and wide rows."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 1), (1_000_000, 1), (128, 10), (512, 1000)]:
    CASES += [Kernel("huber", "forward", (n, c), 7 * n * c), Kernel("huber", "backward", (n, c), 4 * n * c)]

test_huber = suite(CASES)

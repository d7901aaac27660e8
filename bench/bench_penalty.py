"""The penalty of one layer's weights, and its gradient added to theirs."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for k, c in [(64, 64), (784, 128), (784, 512), (2048, 2048)]:
    CASES += [
        Kernel("penalty", "forward", (k, c), 3 * k * c),
        Kernel("penalty", "backward", (k, c), 3 * k * c),
    ]

test_penalty = suite(CASES)

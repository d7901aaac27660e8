"""Gradient descent's update of one layer's weights, without and with momentum, and with Nesterov's."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for k, c in [(64, 3), (64, 64), (784, 128), (784, 512), (2048, 2048)]:
    CASES += [
        Kernel("sgd", "step", (k, c), 2 * k * c),
        Kernel("sgd", "step", (k, c), 4 * k * c, entry=1, note="momentum"),
    ]
CASES.append(Kernel("sgd", "step", (784, 128), 7 * 784 * 128, entry=2, note="nesterov"))

test_sgd = suite(CASES)

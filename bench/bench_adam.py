"""Adam's update of one layer's weights: 13 operations and 7 numbers moved for each weight."""

from nnjit.bench.cases import Kernel, suite

SHAPES = [(64, 3), (64, 64), (784, 128), (784, 512), (2048, 2048)]

CASES = [Kernel("adam", "step", (k, c), 13 * k * c) for k, c in SHAPES]
CASES.append(Kernel("adam", "step", (784, 128), 13 * 784 * 128, "f64"))
CASES.append(Kernel("adam", "step", (784, 128), 13 * 784 * 128, entry=1, note="one neuron in 16 unused"))

test_adam = suite(CASES)

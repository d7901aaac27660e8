"""RMSprop's update of one layer's weights: 9 operations and 5 numbers moved for each weight."""

from nnjit.bench.cases import Kernel, suite

CASES = [Kernel("rmsprop", "step", (k, c), 9 * k * c)
         for k, c in [(64, 3), (64, 64), (784, 128), (784, 512), (2048, 2048)]]
CASES.append(Kernel("rmsprop", "step", (784, 128), 9 * 784 * 128, entry=1, note="one neuron in 16 unused"))

test_rmsprop = suite(CASES)

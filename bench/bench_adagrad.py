"""AdaGrad's update of one layer's weights: 7 operations and 5 numbers moved for each weight."""

from nnjit.bench.cases import Kernel, suite

CASES = [Kernel("adagrad", "step", (k, c), 7 * k * c)
         for k, c in [(64, 3), (64, 64), (784, 128), (784, 512), (2048, 2048)]]

test_adagrad = suite(CASES)

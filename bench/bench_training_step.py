"""Whole training steps (forward, backward, Adam), epochs, evaluations and predictions, through `nnjit.nn`."""

from nnjit.bench.cases import Network, suite

CASES = [
    Network("step", (2, 64, 3), 300),
    Network("step", (64, 64, 64, 10), 32),
    Network("step", (784, 128, 128, 10), 128),
    Network("step", (784, 512, 512, 10), 256),
    Network("step", (784, 1024, 1024, 10), 512),
    Network("step", (4, 32, 16, 4), 10_000, regression=True),  # the first example of SimpleChains.jl
    Network("epoch", (2, 64, 3), 300),
    Network("evaluate", (2, 64, 3), 1),
    Network("evaluate", (784, 128, 128, 10), 1),
    Network("predict", (2, 64, 3), 1),
    Network("predict", (784, 128, 128, 10), 1),
]

test_training_step = suite(CASES)

"""Whole training steps (forward, backward, Adam) and predictions of one sample, through `nnjit.nn`."""

from nnjit.bench.cases import Network, suite

CASES = [
    Network("step", (2, 64, 3), 300),
    Network("step", (64, 64, 64, 10), 32),
    Network("step", (784, 128, 128, 10), 128),
    Network("step", (784, 512, 512, 10), 256),
    Network("step", (784, 1024, 1024, 10), 512),
    Network("predict", (2, 64, 3), 1),
    Network("predict", (784, 128, 128, 10), 1),
]

test_training_step = suite(CASES)

"""Whole training steps of networks of images, and predictions of one image, through `nnjit.nn`."""

from nnjit.bench.cases import suite
from nnjit.bench.image_cases import ImageNetwork

CASES = [
    ImageNetwork("predict", "lenet5", 1),
    ImageNetwork("predict", "resnet8", 1),
    ImageNetwork("step", "lenet5", 64),
    ImageNetwork("step", "lenet5", 128),
    ImageNetwork("step", "resnet8", 32),
    ImageNetwork("step", "dcgan", 64),
]

test_image_networks = suite(CASES)

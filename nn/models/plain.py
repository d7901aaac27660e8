"""Networks of layers in a row: LeNet, AlexNet, VGG."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from ..checks import Seed
from ..layers import Flatten, Layer, MaxPool2d
from ..training.model import Model
from .parts import Maker, built, flat, image


def lenet5(classes: int = 10, *, channels: int = 1, size: int = 28, width: float = 1.0, rng: Seed = None,
           dtype: DTypeLike = np.float32) -> Model:
    """LeNet-5 (LeCun et al. 1998) with ReLU and max pooling: 61 706 parameters for ten classes of 28 x 28 images."""
    make, shape = Maker(width, rng, dtype, "he_uniform"), image(channels, size)
    a, b = make.wide(6), make.wide(16)
    layers: list[Layer] = [
        make.conv(channels, a, 5, padding=2, activation="relu"), MaxPool2d(2),
        make.conv(a, b, 5, activation="relu"), MaxPool2d(2), Flatten()]
    first, second = make.wide(120), make.wide(84)
    layers += [make.dense(flat(layers, shape), first, activation="relu"),
               make.dense(first, second, activation="relu"), *make.classifier(second, classes)]
    return built(layers, shape)


def alexnet(classes: int = 1000, *, channels: int = 3, size: int = 224, width: float = 1.0, dropout: float = 0.5,
            rng: Seed = None, dtype: DTypeLike = np.float32) -> Model:
    """AlexNet in its form of one tower (Krizhevsky 2014): 61 100 840 parameters. Images of at least 63 x 63."""
    make, shape = Maker(width, rng, dtype), image(channels, size)
    c = [make.wide(each) for each in (64, 192, 384, 256, 256)]
    layers: list[Layer] = [
        make.conv(channels, c[0], 11, stride=4, padding=2, activation="relu"), MaxPool2d(3, 2),
        make.conv(c[0], c[1], 5, padding=2, activation="relu"), MaxPool2d(3, 2),
        make.conv(c[1], c[2], 3, padding=1, activation="relu"), make.conv(c[2], c[3], 3, padding=1, activation="relu"),
        make.conv(c[3], c[4], 3, padding=1, activation="relu"), MaxPool2d(3, 2), Flatten()]
    return built([*layers, *_two_dense(make, flat(layers, shape), classes, dropout, before=True)], shape)


VGG11 = (1, 1, 2, 2, 2)  # convolutions before each pooling
VGG16 = (2, 2, 3, 3, 3)


def vgg11(classes: int = 1000, *, channels: int = 3, size: int = 224, width: float = 1.0, dropout: float = 0.5,
          rng: Seed = None, dtype: DTypeLike = np.float32) -> Model:
    """VGG of 11 layers (Simonyan, Zisserman 2015): 132 863 336 parameters. Images of at least 32 x 32."""
    return _vgg(VGG11, classes, channels, size, width, dropout, rng, dtype)


def vgg16(classes: int = 1000, *, channels: int = 3, size: int = 224, width: float = 1.0, dropout: float = 0.5,
          rng: Seed = None, dtype: DTypeLike = np.float32) -> Model:
    """VGG of 16 layers (Simonyan, Zisserman 2015): 138 357 544 parameters. Images of at least 32 x 32."""
    return _vgg(VGG16, classes, channels, size, width, dropout, rng, dtype)


def _vgg(counts: tuple[int, ...], classes: int, channels: int, size: int, width: float, dropout: float, rng: Seed,
         dtype: DTypeLike) -> Model:
    make, shape = Maker(width, rng, dtype), image(channels, size)
    layers: list[Layer] = []
    inputs = channels
    for stage, count in enumerate(counts):
        outputs = make.wide(min(64 * 2**stage, 512))
        for _ in range(count):
            layers.append(make.conv(inputs, outputs, 3, padding=1, activation="relu"))
            inputs = outputs
        layers.append(MaxPool2d(2))
    layers.append(Flatten())
    return built([*layers, *_two_dense(make, flat(layers, shape), classes, dropout, before=False)], shape)


def _two_dense(make: Maker, inputs: int, classes: int, dropout: float, before: bool) -> list[Layer]:
    # two dense layers with dropout, in AlexNet before each, in VGG behind it
    n = make.wide(4096)
    found: list[Layer] = []
    for number, size in enumerate((inputs, n)):
        drop = make.dropout(dropout, seed=number)
        dense = make.dense(size, n, activation="relu")
        found += [*drop, dense] if before else [dense, *drop]
    return [*found, *make.classifier(n, classes)]

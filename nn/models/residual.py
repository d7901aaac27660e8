"""Residual networks (He et al. 2016)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from ..checks import Seed
from ..layers import GlobalAvgPool2d, Layer, MaxPool2d, Residual, Sequential
from ..training.model import Model
from .parts import Maker, built, image

Block = Callable[[Maker, int, int, int], Layer]


def resnet18(classes: int = 1000, *, channels: int = 3, size: int = 224, width: float = 1.0, rng: Seed = None,
             dtype: DTypeLike = np.float32) -> Model:
    """ResNet of 18 layers: 11 689 512 parameters."""
    return _resnet((2, 2, 2, 2), basic_block, 1, classes, channels, size, width, rng, dtype)


def resnet34(classes: int = 1000, *, channels: int = 3, size: int = 224, width: float = 1.0, rng: Seed = None,
             dtype: DTypeLike = np.float32) -> Model:
    """ResNet of 34 layers: 21 797 672 parameters."""
    return _resnet((3, 4, 6, 3), basic_block, 1, classes, channels, size, width, rng, dtype)


def resnet50(classes: int = 1000, *, channels: int = 3, size: int = 224, width: float = 1.0, rng: Seed = None,
             dtype: DTypeLike = np.float32) -> Model:
    """ResNet of 50 layers: 25 557 032 parameters."""
    return _resnet((3, 4, 6, 3), bottleneck, 4, classes, channels, size, width, rng, dtype)


def resnet8(classes: int = 10, *, channels: int = 3, size: int = 32, width: float = 1.0, rng: Seed = None,
            dtype: DTypeLike = np.float32) -> Model:
    """ResNet of 8 layers for small images such as CIFAR-10's, three stages of one block: 78 042 parameters."""
    return _small(1, classes, channels, size, width, rng, dtype)


def resnet20(classes: int = 10, *, channels: int = 3, size: int = 32, width: float = 1.0, rng: Seed = None,
             dtype: DTypeLike = np.float32) -> Model:
    """The residual network of 20 layers for small images such as CIFAR-10's: three stages of three blocks."""
    return _small(3, classes, channels, size, width, rng, dtype)


def basic_block(make: Maker, inputs: int, outputs: int, stride: int) -> Layer:
    """Two convolutions of 3 x 3, and a shortcut, through a convolution of 1 x 1 where the shape changes."""
    return Residual(*make.conv_norm_relu(inputs, outputs, 3, stride=stride, padding=1),
                    *make.conv_norm(outputs, outputs, 3, padding=1),
                    shortcut=_shortcut(make, inputs, outputs, stride), activation="relu")


def bottleneck(make: Maker, inputs: int, outputs: int, stride: int) -> Layer:
    """A convolution of 3 x 3 on a quarter of the channels between two of 1 x 1; the second has the stride."""
    inner = max(1, outputs // 4)
    return Residual(*make.conv_norm_relu(inputs, inner, 1),
                    *make.conv_norm_relu(inner, inner, 3, stride=stride, padding=1),
                    *make.conv_norm(inner, outputs, 1),
                    shortcut=_shortcut(make, inputs, outputs, stride), activation="relu")


def _shortcut(make: Maker, inputs: int, outputs: int, stride: int) -> Layer | None:
    if inputs == outputs and stride == 1:
        return None
    return Sequential(*make.conv_norm(inputs, outputs, 1, stride=stride))


def _stages(make: Maker, counts: tuple[int, ...], block: Block, first: int, inputs: int) -> tuple[list[Layer], int]:
    layers: list[Layer] = []
    for stage, count in enumerate(counts):
        outputs = make.wide(first * 2**stage)
        for number in range(count):
            layers.append(block(make, inputs, outputs, 2 if stage and not number else 1))
            inputs = outputs
    return layers, inputs


def _resnet(counts: tuple[int, ...], block: Block, expansion: int, classes: int, channels: int, size: int,
            width: float, rng: Seed, dtype: DTypeLike) -> Model:
    make, shape = Maker(width, rng, dtype), image(channels, size)
    first = make.wide(64)
    layers: list[Layer] = [*make.conv_norm_relu(channels, first, 7, stride=2, padding=3), MaxPool2d(3, 2, 1)]
    stages, outputs = _stages(make, counts, block, 64 * expansion, first)
    return built([*layers, *stages, GlobalAvgPool2d(), *make.classifier(outputs, classes)], shape)


def _small(count: int, classes: int, channels: int, size: int, width: float, rng: Seed, dtype: DTypeLike) -> Model:
    make, shape = Maker(width, rng, dtype), image(channels, size)
    first = make.wide(16)
    stages, outputs = _stages(make, (count,) * 3, basic_block, 16, first)
    return built([*make.conv_norm_relu(channels, first, 3, padding=1), *stages, GlobalAvgPool2d(),
                  *make.classifier(outputs, classes)], shape)

"""Networks for small devices, with depthwise convolutions: MobileNet V2, EfficientNet."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from ..checks import Seed
from ..layers import (GlobalAvgPool2d, Identity, Layer, Parallel, ReLU6, Residual, Sequential, SiLU)
from ..training.model import Model
from .parts import Maker, built, image

# of each stage: the factor by which the channels grow within a block, channels, blocks, stride of the first
MOBILENET = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
# and the size of the windows
EFFICIENTNET = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5),
                (6, 192, 4, 2, 5), (6, 320, 1, 1, 3))


def mobilenet_v2(classes: int = 1000, *, channels: int = 3, size: int = 224, width: float = 1.0, dropout: float = 0.2,
                 rng: Seed = None, dtype: DTypeLike = np.float32) -> Model:
    """MobileNet V2 (Sandler et al. 2018): 3 504 872 parameters."""
    make, shape = Maker(width, rng, dtype), image(channels, size)
    inputs = make.wide(32)
    layers: list[Layer] = make.conv_norm(channels, inputs, 3, ReLU6(), stride=2, padding=1)
    for factor, stage, count, stride in MOBILENET:
        for number in range(count):
            outputs = make.wide(stage)
            layers.append(inverted_residual(make, inputs, outputs, factor, 1 if number else stride, 3, ReLU6, 0))
            inputs = outputs
    last = make.wide(1280)
    layers += [*make.conv_norm(inputs, last, 1, ReLU6()), GlobalAvgPool2d()]
    layers += make.dropout(dropout)
    return built([*layers, *make.classifier(last, classes)], shape)


def efficientnet_b0(classes: int = 1000, *, channels: int = 3, size: int = 224, width: float = 1.0,
                    dropout: float = 0.2, rng: Seed = None, dtype: DTypeLike = np.float32) -> Model:
    """EfficientNet B0 (Tan, Le 2019), without stochastic depth: 5 288 548 parameters."""
    make, shape = Maker(width, rng, dtype), image(channels, size)
    inputs = make.wide(32)
    layers: list[Layer] = make.conv_norm(channels, inputs, 3, SiLU(), stride=2, padding=1)
    for factor, stage, count, stride, window in EFFICIENTNET:
        for number in range(count):
            outputs = make.wide(stage)
            layers.append(inverted_residual(make, inputs, outputs, factor, 1 if number else stride, window, SiLU,
                                            max(1, inputs // 4)))
            inputs = outputs
    last = make.wide(1280)
    layers += [*make.conv_norm(inputs, last, 1, SiLU()), GlobalAvgPool2d()]
    layers += make.dropout(dropout)
    return built([*layers, *make.classifier(last, classes)], shape)


def inverted_residual(make: Maker, inputs: int, outputs: int, factor: int, stride: int, window: int,
                      activation: type[Layer], squeezed: int) -> Layer:
    """A depthwise convolution of `factor` times the channels between two of 1 x 1, with a shortcut where the shape
    stays the same, and with squeeze-and-excitation unless `squeezed` is 0."""
    inner = inputs * factor
    layers: list[Layer] = make.conv_norm(inputs, inner, 1, activation()) if factor != 1 else []
    layers += make.conv_norm(inner, inner, window, activation(), stride=stride, padding=window // 2, groups=inner)
    layers += [squeeze_excitation(make, inner, squeezed)] if squeezed else []
    layers += make.conv_norm(inner, outputs, 1)
    return Residual(*layers) if stride == 1 and inputs == outputs else Sequential(*layers)


def squeeze_excitation(make: Maker, channels: int, squeezed: int) -> Layer:
    """Multiplies each channel by a number in 0..1 that depends on the means of all channels (Hu et al. 2018)."""
    return Parallel(Identity(), Sequential(
        GlobalAvgPool2d(), make.dense(channels, squeezed), SiLU(),
        make.dense(squeezed, channels, activation="sigmoid")), join="multiply")

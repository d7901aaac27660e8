"""Networks whose branches are concatenated: SqueezeNet, DenseNet, GoogLeNet (Inception)."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from ..checks import Seed, shown, whole
from ..layers import (AvgPool2d, GlobalAvgPool2d, Identity, Layer, MaxPool2d, Parallel, ReLU, Sequential,
                      Softmax)
from ..training.model import Model
from .parts import Maker, built, image

# channels of each module: squeezed, then 1 x 1 and 3 x 3 each; None is a pooling
FIRES = ((16, 64), (16, 64), None, (32, 128), (32, 128), None, (48, 192), (48, 192), (64, 256), (64, 256))


def squeezenet1_1(classes: int = 1000, *, channels: int = 3, size: int = 224, width: float = 1.0, dropout: float = 0.5,
                  rng: Seed = None, dtype: DTypeLike = np.float32) -> Model:
    """SqueezeNet 1.1 (Iandola et al. 2016): 1 235 496 parameters. Images of at least 17 x 17."""
    make, shape = Maker(width, rng, dtype), image(channels, size)
    inputs = make.wide(64)
    layers: list[Layer] = [make.conv(channels, inputs, 3, stride=2, activation="relu"), MaxPool2d(3, 2)]
    for fire in FIRES:
        if fire is None:
            layers.append(MaxPool2d(3, 2))
        else:
            layers.append(fire_module(make, inputs, *map(make.wide, fire)))
            inputs = 2 * make.wide(fire[1])
    layers += make.dropout(dropout)
    last = make.conv(inputs, whole("classes", classes), 1, activation="relu")
    last.biases = np.ones(last.out_channels)  # from 0, ReLU makes some classes 0 for every image, and they never learn
    layers += [last, GlobalAvgPool2d(), Softmax()]
    return built(layers, shape)


def fire_module(make: Maker, inputs: int, squeezed: int, expanded: int) -> Layer:
    """A convolution of 1 x 1 to few channels, then ones of 1 x 1 and of 3 x 3 side by side."""
    return Sequential(make.conv(inputs, squeezed, 1, activation="relu"),
                      Parallel(make.conv(squeezed, expanded, 1, activation="relu"),
                               make.conv(squeezed, expanded, 3, padding=1, activation="relu")))


def densenet121(classes: int = 1000, *, channels: int = 3, size: int = 224, width: float = 1.0, rng: Seed = None,
                dtype: DTypeLike = np.float32, blocks: tuple[int, ...] = (6, 12, 24, 16)) -> Model:
    """DenseNet of 121 layers (Huang et al. 2017): 7 978 856 parameters. blocks: the number of layers in each block."""
    make, shape = Maker(width, rng, dtype), image(channels, size)
    if not isinstance(blocks, (tuple, list)) or not blocks:
        raise TypeError(f"blocks must be numbers of layers, such as (6, 12, 24, 16), got {shown(blocks)}")
    blocks = tuple(whole("blocks", count) for count in blocks)
    growth, outputs = make.wide(32), make.wide(64)
    layers: list[Layer] = [*make.conv_norm_relu(channels, outputs, 7, stride=2, padding=3), MaxPool2d(3, 2, 1)]
    for block, count in enumerate(blocks):
        for _ in range(count):
            layers.append(dense_layer(make, outputs, growth))
            outputs += growth
        if block < len(blocks) - 1:
            layers += [make.norm(outputs), ReLU(), make.conv(outputs, outputs // 2, 1, bias=False), AvgPool2d(2)]
            outputs //= 2
    layers += [make.norm(outputs), ReLU(), GlobalAvgPool2d(), *make.classifier(outputs, classes)]
    return built(layers, shape)


def dense_layer(make: Maker, inputs: int, growth: int) -> Layer:
    """The inputs concatenated with `growth` new channels that are computed from all of them."""
    return Parallel(Identity(), Sequential(
        make.norm(inputs), ReLU(), *make.conv_norm_relu(inputs, 4 * growth, 1),
        make.conv(4 * growth, growth, 3, padding=1, bias=False)))


# channels of each module: 1 x 1; before 3 x 3, and its own; before the second 3 x 3, and its own; after the pooling.
# None is a pooling
INCEPTIONS = ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None,
              (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
              (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), None,
              (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128))


def googlenet(classes: int = 1000, *, channels: int = 3, size: int = 224, width: float = 1.0, dropout: float = 0.2,
              rng: Seed = None, dtype: DTypeLike = np.float32) -> Model:
    """GoogLeNet (Szegedy et al. 2015) with batch normalization and without auxiliary classifiers, its convolutions of
    5 x 5 replaced by ones of 3 x 3, as in torchvision: 6 624 904 parameters."""
    make, shape = Maker(width, rng, dtype), image(channels, size)
    a, b, inputs = (make.wide(each) for each in (64, 64, 192))
    layers: list[Layer] = [*make.conv_norm_relu(channels, a, 7, stride=2, padding=3, eps=1e-3), MaxPool2d(3, 2, 1),
                           *make.conv_norm_relu(a, b, 1, eps=1e-3),
                           *make.conv_norm_relu(b, inputs, 3, padding=1, eps=1e-3), MaxPool2d(3, 2, 1)]
    for number, sizes in enumerate(INCEPTIONS):
        if sizes is None:
            layers.append(MaxPool2d(3, 2, 1) if number == 2 else MaxPool2d(2))
            continue
        sizes = [make.wide(each) for each in sizes]  # type: ignore[assignment]
        layers.append(inception(make, inputs, *sizes))
        inputs = sizes[0] + sizes[2] + sizes[4] + sizes[5]
    layers.append(GlobalAvgPool2d())
    layers += make.dropout(dropout)
    return built([*layers, *make.classifier(inputs, classes)], shape)


def inception(make: Maker, inputs: int, one: int, before_three: int, three: int, before_five: int, five: int,
              pooled: int) -> Layer:
    """Convolutions of 1 x 1 and of 3 x 3, two of 3 x 3, and a pooling, side by side."""
    def conv(inputs: int, outputs: int, size: int) -> list[Layer]:
        return make.conv_norm_relu(inputs, outputs, size, padding=size // 2, eps=1e-3)

    return Parallel(Sequential(*conv(inputs, one, 1)),
                    Sequential(*conv(inputs, before_three, 1), *conv(before_three, three, 3)),
                    Sequential(*conv(inputs, before_five, 1), *conv(before_five, five, 3)),
                    Sequential(MaxPool2d(3, 1, 1), *conv(inputs, pooled, 1)))

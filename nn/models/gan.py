"""The two networks of a DCGAN (Radford et al. 2016)."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from ..checks import Seed, generator, shown, whole
from ..initializers import normal
from ..layers import BatchNorm, Conv2d, ConvTranspose2d, Flatten, Layer, LeakyReLU, ReLU, Reshape, Sigmoid, Tanh
from ..training.model import Model
from .parts import built, image


def _stages(size: int) -> tuple[int, int]:
    # the smallest images, of 4 x 4 to 7 x 7 elements, and how often they are doubled
    base, stages = whole("size", size), 0
    while base % 2 == 0 and base >= 8:
        base, stages = base // 2, stages + 1
    if not 4 <= base <= 7 or not stages:
        raise ValueError(f"size must be 4, 5, 6 or 7 times a power of 2, such as 28, 32 or 64, got {shown(size)}")
    return base, stages


def dcgan_generator(latent: int = 100, *, channels: int = 3, size: int = 64, filters: int = 64, rng: Seed = None,
                    dtype: DTypeLike = np.float32) -> Model:
    """A network from random numbers (latent,) to images (channels, size, size) with elements in -1..1: 3 576 704
    parameters by default.

    size: 4, 5, 6 or 7 times a power of 2.
    filters: the number of channels before the last layer, which doubles with each layer before it.
    """
    base, stages = _stages(size)
    shape = image(channels, size)
    latent, filters = whole("latent", latent), whole("filters", filters)
    random, initial = generator("rng", rng), normal(0.02)
    wide = filters * 2**(stages - 1)
    layers: list[Layer] = [
        Reshape((latent, 1, 1)),
        ConvTranspose2d(latent, wide, base, bias=False, initializer=initial, rng=random, dtype=dtype),
        BatchNorm(wide, dtype=dtype), ReLU()]
    for _ in range(stages - 1):
        layers += [ConvTranspose2d(wide, wide // 2, 4, 2, 1, bias=False, initializer=initial, rng=random, dtype=dtype),
                   BatchNorm(wide // 2, dtype=dtype), ReLU()]
        wide //= 2
    layers += [ConvTranspose2d(wide, shape[0], 4, 2, 1, bias=False, initializer=initial, rng=random, dtype=dtype),
               Tanh()]
    return built(layers, (latent,))


def dcgan_discriminator(*, channels: int = 3, size: int = 64, filters: int = 64, rng: Seed = None,
                        dtype: DTypeLike = np.float32) -> Model:
    """A network from images (channels, size, size) to the probability (1,) that they are real.

    Arguments as for `dcgan_generator`.
    """
    base, stages = _stages(size)
    shape = image(channels, size)
    filters = whole("filters", filters)
    random, initial = generator("rng", rng), normal(0.02)
    layers: list[Layer] = []
    inputs, outputs = shape[0], filters
    for stage in range(stages):
        layers.append(Conv2d(inputs, outputs, 4, 2, 1, bias=False, initializer=initial, rng=random, dtype=dtype))
        layers += [BatchNorm(outputs, dtype=dtype)] if stage else []
        layers.append(LeakyReLU(0.2))
        inputs, outputs = outputs, 2 * outputs
    layers += [Conv2d(inputs, 1, base, bias=False, initializer=initial, rng=random, dtype=dtype), Flatten(), Sigmoid()]
    return built(layers, shape)

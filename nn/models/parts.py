"""What the networks share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from numpy.typing import DTypeLike

from ..arrays import float_dtype
from ..checks import Seed, generator, positive, rename, whole
from ..layers import BatchNorm, Conv2d, Dense, Dropout, Layer, ReLU, Sequential, Softmax, shape_through
from ..training.model import Model


class Maker:
    """Makes layers of one dtype, whose initial weights follow each other in one stream of random numbers."""

    def __init__(self, width: float, rng: Seed, dtype: DTypeLike, initializer: str = "he_normal") -> None:
        self._width = positive("width", width)
        self.dtype = float_dtype(dtype)
        self._given: dict[str, Any] = {
            "rng": generator("rng", rng), "dtype": self.dtype, "initializer": initializer}

    def wide(self, channels: int) -> int:
        """A number of channels times `width`, at least 1."""
        return max(1, round(channels * self._width))

    def conv(self, inputs: int, outputs: int, size: int, **options: Any) -> Conv2d:
        """A convolution."""
        return Conv2d(inputs, outputs, size, **options, **self._given)

    def dense(self, inputs: int, outputs: int, **options: Any) -> Dense:
        """A dense layer."""
        return Dense(inputs, outputs, **{**self._given, **options})

    def norm(self, channels: int, **options: Any) -> BatchNorm:
        """A batch normalization."""
        return BatchNorm(channels, dtype=self.dtype, **options)

    def dropout(self, dropout: float, seed: int = 0) -> list[Layer]:
        """A dropout, or nothing for 0."""
        try:
            layer = Dropout(dropout, seed=seed)
        except (TypeError, ValueError) as error:
            rename(error, rate="dropout")
            raise
        return [layer] if layer.rate else []

    def conv_norm(self, inputs: int, outputs: int, size: int, activation: Layer | None = None, eps: float = 1e-5,
                  **options: Any) -> list[Layer]:
        """A convolution without biases, its normalization and an activation, if there is one."""
        layers: list[Layer] = [self.conv(inputs, outputs, size, bias=False, **options), self.norm(outputs, eps=eps)]
        return layers if activation is None else [*layers, activation]

    def conv_norm_relu(self, inputs: int, outputs: int, size: int, **options: Any) -> list[Layer]:
        """The same with ReLU."""
        return self.conv_norm(inputs, outputs, size, ReLU(), **options)

    def classifier(self, inputs: int, classes: int) -> list[Layer]:
        """The last layers: probabilities of classes."""
        return [self.dense(inputs, whole("classes", classes), initializer="glorot_uniform"), Softmax()]


def image(channels: int, size: int) -> tuple[int, int, int]:
    """The shape of an image. Raises TypeError or ValueError for sizes below 1."""
    return whole("channels", channels), whole("size", size), whole("size", size)


def flat(layers: Sequence[Layer], shape: tuple[int, ...]) -> int:
    """The number of elements of the outputs of layers for samples of a shape. Raises ValueError if it is too small."""
    try:
        return math.prod(shape_through(layers, shape) or ())
    except ValueError as error:
        raise ValueError(f"size must be larger for this network, got {shape[-1]}: {error}") from error


def built(layers: Sequence[Layer], shape: tuple[int, ...]) -> Model:
    """A finalized model of layers, for samples of that shape. Raises ValueError if it is too small."""
    flat(layers, shape)
    model = Model([Sequential(*layers)])
    model.finalize(shape)
    return model

"""Pooling and upsampling of images."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from .. import backend
from ..arrays import Array, as_floats
from ..checks import flag, rename, shown
from .base import NUMBERS, Shape, _Layer
from .windows import Size, as_pair, check_images, convolved, image_shape, short


class _OfImages(_Layer):
    operation: str
    _gives = NUMBERS
    _arguments: tuple[str, ...] = ("inputs",)  # the attributes that the kernel's backward takes

    @property
    def _options(self) -> dict[str, Any]:
        return {}

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The outputs for images (N, C, H, W)."""
        flag("training", training)
        self.inputs = inputs = as_floats(inputs)
        check_images(inputs, None)
        try:
            self.output = y = getattr(backend.ops, self.operation).forward(inputs, **self._options)
        except (TypeError, ValueError) as error:
            rename(error, x="inputs", size="kernel_size")
            raise
        return y

    def backward(self, dvalues: ArrayLike) -> Array:
        """The gradient (N, C, H, W) of the loss with respect to the inputs, given that of the outputs."""
        if self.inputs is None:
            raise RuntimeError("call forward before backward")
        dvalues = as_floats(dvalues, self.inputs.dtype, "dvalues", infinite=True)
        if self.output is not None and dvalues.shape != self.output.shape:
            raise ValueError(f"dvalues must have shape {self.output.shape} to match the outputs, got {dvalues.shape}")
        try:
            self.dinputs = dx = getattr(backend.ops, self.operation).backward(
                dvalues, *[getattr(self, name) for name in self._arguments], **self._options)
        except (TypeError, ValueError) as error:
            rename(error, dy="dvalues", x="inputs", y="output", size="kernel_size")
            raise
        return dx


class _Pool(_OfImages):
    ceil_mode = False  # also of layers that were pickled without it

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, *, ceil_mode: bool = False
                 ) -> None:
        self.kernel_size = as_pair("kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else as_pair("stride", stride)
        self.padding = as_pair("padding", padding, 0)
        if any(2 * edge > size for edge, size in zip(self.padding, self.kernel_size)):
            raise ValueError(f"padding must be at most half of kernel_size, got {shown(self.padding)} and "
                             f"{shown(self.kernel_size)}")
        self.ceil_mode = flag("ceil_mode", ceil_mode)

    def __repr__(self) -> str:
        stride = "" if self.stride == self.kernel_size else f", stride={short(self.stride)}"
        padding = "" if self.padding == (0, 0) else f", padding={short(self.padding)}"
        ceil_mode = ", ceil_mode=True" if self.ceil_mode else ""
        return f"{type(self).__name__}({short(self.kernel_size)}{stride}{padding}{ceil_mode})"

    @property
    def _options(self) -> dict[str, Any]:
        return {"size": self.kernel_size, "stride": self.stride, "padding": self.padding,
                "ceil_mode": self.ceil_mode}

    def output_shape(self, shape: Shape | None) -> Shape | None:
        """(C, OH, OW). Raises ValueError for samples that are no images, or smaller than the windows."""
        if shape is None:
            return None
        channels, *size = image_shape(shape, None)
        rows, columns = self.padding
        return channels, *convolved((size[0], size[1]), self.kernel_size, self.stride,
                                    ((rows, rows), (columns, columns)), ceil_mode=self.ceil_mode)


class MaxPool2d(_Pool):
    """The largest element of each window of each channel.

    kernel_size: rows and columns of the window: a number or a pair.
    stride: the distance between windows; with None they lie side by side.
    padding: rows and columns around the image that windows reach into, at most half of kernel_size.
    ceil_mode: whether windows may reach beyond the padding, unless they begin there: else elements at the end of rows
        and columns may be in no window.

    Names are PyTorch's. Raises TypeError or ValueError for other arguments.
    """

    operation = "max_pool2d"
    _arguments = "inputs", "output"


class AvgPool2d(_Pool):
    """The mean of each window of each channel, with the arguments of `MaxPool2d`.

    count_include_pad: whether the zeros around the image count, as in PyTorch; Keras does not count them.
    """

    operation = "avg_pool2d"

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
                 count_include_pad: bool = True, *, ceil_mode: bool = False) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode=ceil_mode)
        self.count_include_pad = flag("count_include_pad", count_include_pad)

    @property
    def _options(self) -> dict[str, Any]:
        return {**super()._options, "count_include_pad": self.count_include_pad}


class GlobalAvgPool2d(_OfImages):
    """The mean of each channel: (N, C) from images (N, C, H, W). In PyTorch, AdaptiveAvgPool2d(1) and Flatten."""

    operation = "global_avg_pool"

    def __repr__(self) -> str:
        return "GlobalAvgPool2d()"

    def output_shape(self, shape: Shape | None) -> Shape | None:
        """(C,). Raises ValueError for samples that are no images."""
        return None if shape is None else image_shape(shape, None)[:1]


class Upsample(_OfImages):
    """Repeats each element of images in a block of `scale_factor` rows and columns, a number or a pair: the nearest
    neighbour, PyTorch's default."""

    operation = "upsample"
    _arguments = ()

    def __init__(self, scale_factor: Size = 2) -> None:
        self.scale_factor = as_pair("scale_factor", scale_factor)

    def __repr__(self) -> str:
        return f"Upsample({short(self.scale_factor)})"

    @property
    def _options(self) -> dict[str, Any]:
        return {"size": self.scale_factor}

    def output_shape(self, shape: Shape | None) -> Shape | None:
        """(C, H * rows, W * columns). Raises ValueError for samples that are no images."""
        if shape is None:
            return None
        channels, rows, columns = image_shape(shape, None)
        return channels, rows * self.scale_factor[0], columns * self.scale_factor[1]

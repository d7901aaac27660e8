"""Convolutions of images, and their transposes, with bias and activation in one kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .. import backend, initializers
from ..arrays import Array, as_floats, float_dtype, room
from ..checks import Seed, flag, generator, rename, shown, whole
from .base import Shape, add_penalty_gradients
from .weighted import _Weighted, draw
from .windows import Padding, Pair, Size, as_padding, as_pair, check_images, convolved, image_shape, short, sides

MODES = ("zeros", "reflect", "replicate")
WEIGHTS = "weights (out_channels, in_channels, rows, columns)"


def _mode(value: Any) -> str:
    if not isinstance(value, str) or value not in MODES:
        raise ValueError(f"padding_mode must be 'zeros', 'reflect' or 'replicate', got {shown(value)}")
    return value


class _Convolution(_Weighted):
    _biases: Array | None
    _operation: str
    kernel_size: Pair

    def __init__(self, in_channels: int, out_channels: int, groups: int, bias: bool, activation: str | None,
                 initializer: str | initializers.Initializer, rng: Seed, dtype: DTypeLike,
                 *regularizers: float) -> None:
        self.in_channels, self.out_channels = whole("in_channels", in_channels), whole("out_channels", out_channels)
        self.groups = whole("groups", groups)
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(f"{name} must be a multiple of groups, got {shown(getattr(self, name))} and "
                                 f"{shown(self.groups)}")
        self.bias = flag("bias", bias)
        self.activation = activation
        self.dtype = float_dtype(dtype)
        self._set_regularizers(*regularizers)
        initializers.find(initializer)
        random = generator("rng", rng)
        with room(WEIGHTS, self.weight_shape):
            self.weights = draw(initializer, self.weight_shape, random)
        self._biases = np.zeros(self.out_channels, dtype=self.dtype) if self.bias else None

    @staticmethod
    def _shape(in_channels: int, out_channels: int, groups: int, kernel_size: Pair) -> tuple[int, ...]:
        raise NotImplementedError

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The shape of the weights."""
        return self._shape(self.in_channels, self.out_channels, self.groups, self.kernel_size)

    @classmethod
    def _described_shape(cls, *, in_channels: Any, out_channels: Any, kernel_size: Any, groups: Any = 1,
                         **others: Any) -> tuple[int, ...]:
        """The shape of the weights of a layer with these arguments."""
        return cls._shape(whole("in_channels", in_channels), whole("out_channels", out_channels),
                          whole("groups", groups), as_pair("kernel_size", kernel_size))

    @property
    def biases(self) -> Array | None:
        return self._biases

    @biases.setter
    def biases(self, values: ArrayLike | None) -> None:
        if not self.bias and values is not None:
            raise ValueError("biases must be None for a layer with bias=False")
        self._biases = None if values is None else self._of_channels(values)

    def _of_channels(self, values: ArrayLike) -> Array:
        found = as_floats(values, self.dtype, "biases")
        if found.shape != (self.out_channels,):
            raise ValueError(f"biases must have shape ({self.out_channels},), got {found.shape}")
        return self._parameter(found, "biases", found.shape)

    @property
    def parameters(self) -> dict[str, Array]:
        """The weights and, unless `bias` is False, the biases (out_channels,)."""
        return {"weights": self._weights, **({} if self._biases is None else {"biases": self._biases})}

    @property
    def gradients(self) -> dict[str, Array | None]:
        """`dweights` and `dbiases` in the shapes of the parameters; None before `backward`."""
        return {"weights": self.dweights, **({} if self._biases is None else {"biases": self.dbiases})}

    @property
    def _options(self) -> dict[str, Any]:
        raise NotImplementedError

    def __repr__(self) -> str:
        defaults = {"stride": (1, 1), "padding": (0, 0), "output_padding": (0, 0), "dilation": (1, 1), "groups": 1,
                    "bias": True, "padding_mode": "zeros", "activation": None}
        more = "".join(f", {name}={short(getattr(self, name))}" for name, default in defaults.items()
                       if hasattr(self, name) and getattr(self, name) != default)
        size = short(self.kernel_size)
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels}, {size}{more})"

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The outputs (N, out_channels, OH, OW) for images (N, in_channels, H, W)."""
        flag("training", training)
        self.inputs = inputs = as_floats(inputs, self.dtype, infinite=True)
        try:
            self.output = y = getattr(backend.ops, self._operation).forward(inputs, self._weights, self._biases,
                                                                            **self._options)
        except (TypeError, ValueError) as error:
            check_images(inputs, self.in_channels)
            rename(error, x="inputs", w="weights", b="biases")
            raise
        return y

    def backward(self, dvalues: ArrayLike, *, input_gradient: bool = True) -> Array | None:
        """The gradient (N, in_channels, H, W) of the loss with respect to the inputs, given that of the outputs.

        Sets `dweights` and, with biases, `dbiases`, to None while the layer is frozen. `input_gradient=False`, for a
        first layer, returns None.
        """
        input_gradient = flag("input_gradient", input_gradient)
        if self.inputs is None:
            raise RuntimeError("call forward before backward")
        dvalues = as_floats(dvalues, self.dtype, "dvalues", infinite=True)
        try:
            self.dinputs, self.dweights, biases = getattr(backend.ops, self._operation).backward(
                dvalues, self.inputs, self._weights, self.output, **self._options, input_gradient=input_gradient,
                weight_gradient=self.trainable, bias_gradient=self.bias and self.trainable)
        except (TypeError, ValueError) as error:
            rename(error, dy="dvalues", x="inputs", w="weights", y="output")
            raise
        self.dbiases = biases
        if self.trainable and self._is_regularized():
            add_penalty_gradients(self)
        return self.dinputs


class Conv2d(_Convolution):
    """Convolution of images (N, in_channels, H, W): y = f(x * w + b), with f the identity, "relu", "sigmoid" or "tanh".

    kernel_size: rows and columns of the window: a number or a pair.
    stride: the distance between windows.
    padding: rows and columns around the image: a number, a pair, ((top, bottom), (left, right)), or "same" for outputs
        of the inputs' size, which needs stride 1.
    dilation: the distance between the elements that a window reads.
    groups: the number of groups of channels that are convolved separately; groups=in_channels is depthwise.
    bias: False leaves out the biases, as before a BatchNorm.
    padding_mode: the elements of the padding: "zeros", "reflect" or "replicate".

    `weights` (out_channels, in_channels / groups, rows, columns) are drawn by `initializer` from `rng`, `biases`
    (out_channels,) start at 0; both as for `Dense`, as are the regularizers. Names and shapes are PyTorch's.

    Raises TypeError or ValueError for arguments of another kind, and for channels that `groups` does not divide.
    """

    _operation = "conv2d"

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Padding = 0,
                 dilation: Size = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", *,
                 activation: str | None = None, initializer: str | initializers.Initializer = "glorot_uniform",
                 rng: Seed = None, dtype: DTypeLike = np.float32,
                 weight_regularizer_l1: float = 0.0, weight_regularizer_l2: float = 0.0,
                 bias_regularizer_l1: float = 0.0, bias_regularizer_l2: float = 0.0) -> None:
        self.kernel_size, self.stride = as_pair("kernel_size", kernel_size), as_pair("stride", stride)
        self.dilation = as_pair("dilation", dilation)
        self.padding = as_padding(padding, self.kernel_size, self.stride)
        self.padding_mode = _mode(padding_mode)
        super().__init__(in_channels, out_channels, groups, bias, activation, initializer, rng, dtype,
                         weight_regularizer_l1, weight_regularizer_l2, bias_regularizer_l1, bias_regularizer_l2)

    @staticmethod
    def _shape(in_channels: int, out_channels: int, groups: int, kernel_size: Pair) -> tuple[int, ...]:
        return out_channels, in_channels // groups, *kernel_size

    @property
    def _options(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups,
                "padding_mode": self.padding_mode, "activation": self.activation}

    def output_shape(self, shape: Shape | None) -> Shape | None:
        """(out_channels, OH, OW). Raises ValueError for samples that are no images of in_channels, or too small."""
        if shape is None:
            return None
        _, *size = image_shape(shape, self.in_channels)
        around = sides(self.padding, self.kernel_size, self.dilation)
        if self.padding_mode == "reflect" and any(max(pair) >= each for pair, each in zip(around, size)):
            raise ValueError(f"reflects {max(map(max, around))} rows or columns of images of {size[0]} x {size[1]}: "
                             "the padding must be smaller than the image")
        return self.out_channels, *convolved((size[0], size[1]), self.kernel_size, self.stride, around, self.dilation)


class ConvTranspose2d(_Convolution):
    """Transposed convolution, which makes images larger: y = f(x * w + b), with f as for `Conv2d`.

    Each element of the inputs is multiplied by a window and added to the outputs, windows `stride` apart: OH = (H - 1)
    stride - 2 padding + dilation (rows - 1) + output_padding + 1. `weights` are (in_channels, out_channels / groups,
    rows, columns). Names and shapes are PyTorch's; the rest is as for `Conv2d`.
    """

    _operation = "conv_transpose2d"

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Size = 0,
                 output_padding: Size = 0, groups: int = 1, bias: bool = True, dilation: Size = 1, *,
                 activation: str | None = None, initializer: str | initializers.Initializer = "glorot_uniform",
                 rng: Seed = None, dtype: DTypeLike = np.float32,
                 weight_regularizer_l1: float = 0.0, weight_regularizer_l2: float = 0.0,
                 bias_regularizer_l1: float = 0.0, bias_regularizer_l2: float = 0.0) -> None:
        self.kernel_size, self.stride = as_pair("kernel_size", kernel_size), as_pair("stride", stride)
        self.padding, self.dilation = as_pair("padding", padding, 0), as_pair("dilation", dilation)
        self.output_padding = as_pair("output_padding", output_padding, 0)
        for more, step, spread in zip(self.output_padding, self.stride, self.dilation):
            if more >= max(step, spread):
                raise ValueError("output_padding must be smaller than stride or dilation, got "
                                 f"{shown(self.output_padding)}")
        super().__init__(in_channels, out_channels, groups, bias, activation, initializer, rng, dtype,
                         weight_regularizer_l1, weight_regularizer_l2, bias_regularizer_l1, bias_regularizer_l2)

    @staticmethod
    def _shape(in_channels: int, out_channels: int, groups: int, kernel_size: Pair) -> tuple[int, ...]:
        return in_channels, out_channels // groups, *kernel_size

    @property
    def _options(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "output_padding": self.output_padding,
                "dilation": self.dilation, "groups": self.groups, "activation": self.activation}

    def output_shape(self, shape: Shape | None) -> Shape | None:
        """(out_channels, OH, OW). Raises ValueError for samples that are no images of in_channels, or too small."""
        if shape is None:
            return None
        _, *size = image_shape(shape, self.in_channels)
        found = [(each - 1) * step - 2 * padding + spread * (window - 1) + more + 1 for
                 each, step, padding, spread, window, more in
                 zip(size, self.stride, self.padding, self.dilation, self.kernel_size, self.output_padding)]
        if min(found) < 1:
            raise ValueError(f"makes images of {found[0]} x {found[1]} of {size[0]} x {size[1]}: give less padding")
        return self.out_channels, found[0], found[1]

"""Layers that check or change the shape of samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import MOST, Array, as_floats
from ..checks import flag, is_whole, scalar, shown
from .base import PASSED, Shape, _Layer, passed

DIMENSIONS = 63  # the most of a sample: NumPy's arrays have 64


def as_shape(name: str, shape: int | Sequence[int]) -> Shape:
    """The shape of a sample as a tuple. Raises TypeError or ValueError as `Input` does, naming the argument."""
    sizes = tuple(map(scalar, shape if isinstance(shape, (tuple, list)) else (shape,)))
    for size in sizes:
        if not is_whole(size):
            raise TypeError(f"{name} must be a whole number or a tuple of them, got {shown(shape)}")
        if size < 1:
            raise ValueError(f"{name} must have sizes of at least 1, got {shown(shape)}")
    if len(sizes) > DIMENSIONS or math.prod(map(int, sizes)) > MOST:  # a file's would take as long as it likes
        raise ValueError(f"{name} must have at most {DIMENSIONS} sizes with a product below 2^63, got "
                         f"{shown(shape)}")
    return tuple(map(int, sizes))


class Input(_Layer):
    """Passes on samples (N, *shape) and checks their shape: `Input(784)`, `Input((28, 28))`.

    Raises TypeError or ValueError for sizes that are not whole numbers of at least 1, ValueError for more dimensions or
    elements than an array can have.
    """

    _gives = PASSED

    def __init__(self, shape: int | Sequence[int]) -> None:
        self.shape = as_shape("shape", shape)

    def __repr__(self) -> str:
        return f"Input({self.shape[0] if len(self.shape) == 1 else self.shape})"

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The inputs (N, *shape) as floats; an array of integers stays as it is.

        Raises ValueError for another shape.
        """
        flag("training", training)
        self.inputs = self.output = y = passed(inputs)
        if y.shape[1:] != self.shape or not y.ndim:
            raise ValueError(f"inputs must have shape ({', '.join(map(str, ('samples', *self.shape)))}), got {y.shape}")
        return y

    def output_shape(self, shape: Shape | None) -> Shape | None:
        """The shape that was given. Raises ValueError for samples of another shape."""
        if shape not in (None, self.shape):
            raise ValueError(f"must accept samples of shape {shape}, not {self.shape}")
        return self.shape

    def backward(self, dvalues: ArrayLike) -> Array:
        """The gradient, unchanged."""
        self.dinputs = dx = as_floats(dvalues, name="dvalues")
        return dx


class _View(_Layer):
    _gives = PASSED

    def backward(self, dvalues: ArrayLike) -> Array:
        """The gradient in the shape of the inputs."""
        if self.inputs is None:
            raise RuntimeError("call forward before backward")
        dtype = self.inputs.dtype if self.inputs.dtype.kind == "f" else None
        dvalues = as_floats(dvalues, dtype, "dvalues", infinite=True)
        if dvalues.size != self.inputs.size:
            raise ValueError(f"dvalues must have as many elements as inputs {self.inputs.shape}, got {dvalues.shape}")
        self.dinputs = dx = dvalues.reshape(self.inputs.shape)
        return dx


class Flatten(_View):
    """y (N, everything else) from x (N, ...): turns images into rows."""

    def __repr__(self) -> str:
        return "Flatten()"

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The rows (N, everything else) of inputs (N, ...), as floats or, of an array of integers, in its dtype."""
        flag("training", training)
        self.inputs = inputs = passed(inputs)
        if not inputs.ndim:
            raise ValueError("inputs must have shape (N, ...), got ()")
        self.output = y = np.ascontiguousarray(inputs).reshape(len(inputs), math.prod(inputs.shape[1:]))
        return y

    def output_shape(self, shape: Shape | None) -> Shape | None:
        """(everything,)."""
        return None if shape is None else (math.prod(shape),)


class Reshape(_View):
    """Samples of another shape with as many elements: `Reshape((1, 28, 28))` turns rows of 784 into images.

    Raises TypeError or ValueError as `Input`.
    """

    def __init__(self, shape: int | Sequence[int]) -> None:
        self.shape = as_shape("shape", shape)

    def __repr__(self) -> str:
        return f"Reshape({self.shape[0] if len(self.shape) == 1 else self.shape})"

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The samples (N, *shape) of inputs (N, ...), as floats or, of an array of integers, in its dtype."""
        flag("training", training)
        self.inputs = inputs = passed(inputs)
        if not inputs.ndim or math.prod(inputs.shape[1:]) != math.prod(self.shape):
            raise ValueError(f"inputs must have {math.prod(self.shape)} elements per sample for {self}, got shape "
                             f"{inputs.shape}")
        self.output = y = np.ascontiguousarray(inputs).reshape(len(inputs), *self.shape)
        return y

    def output_shape(self, shape: Shape | None) -> Shape | None:
        """The shape that was given. Raises ValueError for samples of another number of elements."""
        if shape is not None and math.prod(shape) != math.prod(self.shape):
            raise ValueError(f"must accept samples of shape {shape}, which have {math.prod(shape)} elements, not "
                             f"{math.prod(self.shape)}")
        return self.shape

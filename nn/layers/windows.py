"""Windows on images: their sizes, strides and padding as layers take them, and the sizes of the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..checks import is_whole, scalar, shown, whole
from .base import Shape

Pair = tuple[int, int]
Size = int | Sequence[int]
Padding = Size | str | Sequence[Sequence[int]]  # also of a recorded description
Sides = tuple[Pair, Pair]  # (top, bottom), (left, right)
MOST = 2**31 - 1  # of a size: its product with another fits into 64 bits


def as_pair(name: str, value: Any, least: int = 1) -> Pair:
    """(of rows, of columns), given such a pair or one number for both. Raises TypeError or ValueError that names it."""
    pair = value if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(is_whole(scalar(each)) for each in pair):
        raise TypeError(f"{name} must be a whole number or a pair of them, for rows and columns, got {shown(value)}")
    rows, columns = (whole(name, each, least, MOST) for each in pair)
    return rows, columns


def as_padding(value: Any, kernel: Pair, stride: Pair) -> str | Pair | Sides:
    """"same", a pair, or ((top, bottom), (left, right)). Raises TypeError or ValueError for anything else."""
    if isinstance(value, str):
        if value not in ("same", "valid"):
            raise ValueError(f"padding must be 'same', 'valid' or numbers, got {shown(value)}")
        if value == "same" and stride != (1, 1):
            raise ValueError(f"padding='same' needs stride=1, got {shown(stride)}: give numbers, such as "
                             f"padding={tuple(each // 2 for each in kernel)}")
        return value if value == "same" else (0, 0)
    if isinstance(value, (tuple, list)) and value and isinstance(value[0], (tuple, list)):
        if len(value) != 2:
            raise TypeError(f"padding must be ((top, bottom), (left, right)), got {shown(value)}")
        rows, columns = (as_pair("padding", each, 0) for each in value)
        return rows, columns
    return as_pair("padding", value, 0)


def short(pair: Any) -> str:
    """A pair as it may be given: one number where both are the same."""
    return repr(pair[0] if isinstance(pair, tuple) and pair[0] == pair[1] else pair)


def sides(padding: str | Pair | Sides, kernel: Pair, dilation: Pair) -> Sides:
    """The rows and columns that padding adds on each side; with "same" the odd one goes to the end."""
    if isinstance(padding, str):
        rows, columns = (each * (size - 1) for each, size in zip(dilation, kernel))
        return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)
    first, second = padding
    return (first if isinstance(first, tuple) else (first, first),
            second if isinstance(second, tuple) else (second, second))


def image_shape(shape: Shape, channels: int | None) -> tuple[int, int, int]:
    """(C, H, W) of images that a layer gets. Raises ValueError for samples of another shape, or other channels."""
    wish = f"({'C' if channels is None else channels}, H, W)"
    if len(shape) != 3:
        alone = len(shape) == 2 and channels in (None, 1)
        remedy = f": add Reshape((1, {shape[0]}, {shape[1]})) before" if alone else ""
        raise ValueError(f"must accept samples of shape {shape}, not {wish}{remedy}")
    if channels not in (None, shape[0]):
        remedy = ": channels come first, see nn.preparation.to_nchw" if shape[2] == channels else ""
        raise ValueError(f"must have {shape[0]} channels, not {channels}{remedy}")
    channels, rows, columns = shape
    return channels, rows, columns


def convolved(size: Pair, kernel: Pair, stride: Pair, padding: Sides, dilation: Pair = (1, 1), ceil_mode: bool = False
              ) -> Pair:
    """Rows and columns of the outputs. Raises ValueError for a window larger than the padded image."""
    found = []
    for each, window, step, (before, after), spread in zip(size, kernel, stride, padding, dilation):
        room = each + before + after - (spread * (window - 1) + 1)
        if ceil_mode:
            room = -(-room // step) * step
            room -= step * (room >= each + before)  # a window that would begin in the padding behind
        if room < 0:
            raise ValueError(f"has a window of {spread * (window - 1) + 1} elements, larger than the padded image "
                             f"of {each + before + after}")
        found.append(room // step + 1)
    return found[0], found[1]


def check_images(inputs: Any, channels: int | None) -> None:
    """Raise ValueError unless inputs are images (N, C, H, W) with that many channels."""
    if inputs.ndim == 4 and channels in (None, inputs.shape[1]):
        return
    wish = f"(N, {'C' if channels is None else channels}, H, W)"
    remedy = ""
    if inputs.ndim == 4 and inputs.shape[3] == channels:
        remedy = ": channels come first, see nn.preparation.to_nchw"
    elif inputs.ndim == 3 and channels in (None, 1):
        remedy = f": use inputs[:, None], of shape ({inputs.shape[0]}, 1, {inputs.shape[1]}, {inputs.shape[2]})"
    raise ValueError(f"inputs must have shape {wish}, got {inputs.shape}{remedy}")

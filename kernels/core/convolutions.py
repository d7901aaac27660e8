"""The arguments of convolutions: checked, and what follows from them."""

from typing import NamedTuple

from . import check
from .planes import REFLECT, REPLICATE, ZEROS

MODES = {"zeros": ZEROS, "reflect": REFLECT, "replicate": REPLICATE}


class Window(NamedTuple):
    """How a kernel moves over an image: pairs are (of rows, of columns)."""

    stride: tuple[int, int]
    dilation: tuple[int, int]
    top: int
    bottom: int
    left: int
    right: int
    groups: int
    mode: int

    def extent(self, kernel):
        """The height and width of what a kernel of this height and width covers."""
        return tuple((k - 1) * d + 1 for k, d in zip(kernel, self.dilation))

    def output(self, shape, kernel):
        """The height and width of a convolution's output, for an image of this height and width."""
        padded = shape[0] + self.top + self.bottom, shape[1] + self.left + self.right
        covered = self.extent(kernel)
        if padded[0] < covered[0] or padded[1] < covered[1]:
            raise ValueError(f"w must not cover more than the padded x, {padded[0]} x {padded[1]}, got "
                             f"{covered[0]} x {covered[1]}")
        for size, most in ((shape[0], max(self.top, self.bottom)), (shape[1], max(self.left, self.right))):
            if self.mode == REFLECT and most >= size or self.mode == REPLICATE and most and not size:
                raise ValueError(f"x must be higher and wider than what is reflected or replicated of it, {most}, "
                                 f"got {size}")
        return tuple((p - c) // s + 1 for p, c, s in zip(padded, covered, self.stride))


def window(stride, padding, dilation, groups, padding_mode):
    """The Window of a convolution's arguments, and whether its padding is "same", which depends on the kernel."""
    stride, dilation = check.pair("stride", stride, 1), check.pair("dilation", dilation, 1)
    groups, mode = check.count("groups", groups), check.one_of("padding_mode", padding_mode, MODES)
    same = isinstance(padding, str) and padding == "same"
    if same:
        if stride != (1, 1):
            raise ValueError(f'padding must be numbers for a stride other than 1, got "same" for stride {stride}')
        rows = columns = (0, 0)
    elif isinstance(padding, (tuple, list)) and any(isinstance(each, (tuple, list)) for each in padding):
        if len(padding) != 2 or not all(isinstance(each, (tuple, list)) for each in padding):
            raise TypeError("padding must be a whole number, a pair of them, ((top, bottom), (left, right)) or "
                            f"\"same\", got {check._shown(padding)}")
        rows, columns = (check.pair("padding", each, 0) for each in padding)
    else:
        top, left = check.pair("padding", padding, 0)
        rows, columns = (top, top), (left, left)
    return Window(stride, dilation, *rows, *columns, groups, mode), same


def same_padding(window, kernel):
    """The Window with the padding that keeps an image's size; the odd row goes to the end."""
    height, width = (covered - 1 for covered in window.extent(kernel))
    return window._replace(top=height // 2, bottom=height - height // 2, left=width // 2, right=width - width // 2)


def shapes(window, same, x, w):
    """The Window for checked arrays x and w, and the height and width of the output."""
    for name, channels in (("x", x.shape[1]), ("w", w.shape[0])):
        if channels % window.groups:
            raise ValueError(f"{name} must have a multiple of {window.groups} channels, one for each of the groups, "
                             f"got {channels}")
    if w.shape[1] != x.shape[1] // window.groups:
        raise ValueError(f"w must have shape (o, {x.shape[1] // window.groups}, k, l) to match x "
                         f"{x.shape}, got {w.shape}")
    kernel = w.shape[2:]
    if 0 in kernel:
        raise ValueError(f"w must have at least one row and column, got shape {w.shape}")
    if same:
        window = same_padding(window, kernel)
    return window, window.output(x.shape[2:], kernel)


def transposed_window(stride, padding, output_padding, dilation, groups):
    """The Window of a transposed convolution's arguments, and the output's additional rows and columns."""
    stride, dilation = check.pair("stride", stride, 1), check.pair("dilation", dilation, 1)
    (top, left), groups = check.pair("padding", padding, 0), check.count("groups", groups)
    more = check.pair("output_padding", output_padding, 0)
    if any(m >= max(s, d) for m, s, d in zip(more, stride, dilation)):
        raise ValueError(f"output_padding must be less than stride or dilation, {stride} and {dilation}, got {more}")
    return Window(stride, dilation, top, top, left, left, groups, ZEROS), more


def transposed_shapes(window, more, x, w):
    """The shape of the output for checked arrays x and w."""
    if x.shape[1] % window.groups:
        raise ValueError(f"x must have a multiple of {window.groups} channels, one for each of the groups, got "
                         f"{x.shape[1]}")
    if w.shape[0] != x.shape[1]:
        raise ValueError(f"w must have shape ({x.shape[1]}, i, k, l) to match x {x.shape}, got {w.shape}")
    if 0 in w.shape[2:]:
        raise ValueError(f"w must have at least one row and column, got shape {w.shape}")
    if 0 in x.shape[2:]:
        raise ValueError(f"x must have at least one row and column, got shape {x.shape}")
    starts = (window.top, window.left)
    size = tuple((n - 1) * s - 2 * p + c + m for n, s, p, c, m in
                 zip(x.shape[2:], window.stride, starts, window.extent(w.shape[2:]), more))
    if min(size) < 1:
        raise ValueError(f"x and w must leave a row and a column of the output with padding {starts}, got {size[0]} x "
                         f"{size[1]}")
    return x.shape[0], w.shape[1] * window.groups, *size

"""Windows of images, which pooling slides over each plane (H, W): what they are, and how vectors read and write them.

Window (i, j) of P rows and Q columns begins at row i * sh - ph and column j * sw - pw, and has kh rows and kw columns;
what lies outside of the plane is padding. All these numbers follow each other in this order in what `checked` returns:
kh, kw, sh, sw, ph, pw. The lanes of a vector are windows side by side, or columns of one phase: every sw-th.
"""

import numpy as np

from . import check
from .compile import inline
from .llvm import BYTES
from .memory import load, load_between, pointer, scratch, store
from .shuffles import even_lanes
from .vectors import interleave, lanes, splat

PARALLEL_FROM = 65_536  # elements
TASKS = 16  # that need room of their own
MOST = 2**31  # elements of a window: they have numbers of 32 bits


def checked(size, stride, padding):
    """kh, kw, sh, sw, ph, pw of what a public function is given."""
    size = _size(size)
    stride = size if stride is None else check.pair("stride", stride, 1)
    padding = check.pair("padding", padding, 0)
    if padding[0] > size[0] // 2 or padding[1] > size[1] // 2:
        raise ValueError(f"padding must be at most half of size {size}, got {padding}")
    return *size, *stride, *padding


def _size(value):
    size = check.pair("size", value, 1)
    if size[0] * size[1] >= MOST:
        raise ValueError(f"size must have less than 2^31 elements, got {value}")
    return size


def images(name, x, window, ceil_mode):
    """x (N, C, H, W), and the shape (N, C, P, Q) of what its windows give."""
    ceil_mode = check.flag("ceil_mode", ceil_mode)
    x = check.array(name, x, 4)
    n, c, height, width = x.shape
    kh, kw, sh, sw, ph, pw = window
    rows, columns = _windows(height, kh, sh, ph, ceil_mode), _windows(width, kw, sw, pw, ceil_mode)
    if height == 0 or width == 0 or rows < 1 or columns < 1:
        raise ValueError(f"{name} must have images at least as large as the windows, {(kh, kw)} with padding "
                         f"{(ph, pw)}, got shape {x.shape}")
    return x, (n, c, rows, columns)


def _windows(length, size, stride, padding, ceil_mode):
    """How many windows a length has. With ceil_mode the last may reach beyond the padding, but not begin there."""
    room = length + 2 * padding - size
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - ((count - 1) * stride >= length + padding)


def results(name, y, x, shape):
    """y or dy of the shape that the windows of x give, of its dtype."""
    y = check.array(name, y, 4)
    check.dtype_of(name, y, "x", x)
    if y.shape != shape:
        raise ValueError(f"{name} must have shape {shape} to match x {x.shape} and its windows, got {y.shape}")
    return y


def planes(x):
    """An array (N, C, H, W) as (N C, H, W)."""
    return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])


def room(shape, dtype, arrays):
    """Room for `arrays` numbers of each window of a plane, with margins, for a few tasks."""
    n, c, rows, columns = shape
    return np.empty((min(TASKS, n * c), arrays, rows, columns + 2 * BYTES // dtype.itemsize), dtype)


def are_halves(window, x, shape):
    """Whether windows of 2 x 2 lie side by side: they have loops of their own, several times as fast."""
    return window == (2, 2, 2, 2, 0, 0) and lie_within(window, x, shape)


def lie_within(window, x, shape):
    """Whether no window reaches beyond the padding, as with ceil_mode."""
    kh, kw, sh, sw, ph, pw = window
    return (shape[2] - 1) * sh + kh <= x.shape[2] + 2 * ph and (shape[3] - 1) * sw + kw <= x.shape[3] + 2 * pw


@inline
def planes_together(x):
    """How many planes a task has: a call takes as long as a few rows."""
    return max(1, min(16, 4096 // (x.shape[1] * x.shape[2])))


@inline
def inside(start, size, length):
    """Which part of a window from `start` on lies within a length: from where in it to where."""
    return max(0, -start), min(size, length - start)


@inline
def load_spaced(x, at, step, begin, end, fill):
    """Lanes x[at], x[at + step], ...; `fill` in the lanes before index `begin` and at or past index `end`."""
    if step == 1:
        return load_between(x, at, begin, end, fill)
    if step == 2:
        return even_lanes(load_between(x, at, begin, end, fill), load_between(x, at + lanes(x), begin, end, fill))
    flat, numbers = pointer(x), scratch(x, 1)
    store(numbers, 0, lanes(x), splat(x, fill))
    for lane in range(lanes(x)):
        if begin <= at + lane * step < end:
            numbers[lane] = flat[at + lane * step]
    return load(numbers, 0, lanes(x), 0.0)


@inline
def store_spaced(x, at, step, end, v):
    """Write the lanes of v to x[at], x[at + step], ...; nothing at or past index `end`."""
    flat, numbers = pointer(x), scratch(x, 1)
    store(numbers, 0, lanes(x), v)
    for lane in range(lanes(x)):
        if at + lane * step < end:
            flat[at + lane * step] = numbers[lane]


@inline
def clear(room, fill, size):
    """Write `fill` to the first numbers of a room."""
    for at in range(0, size, lanes(room)):
        store(room, at, size, splat(room, fill))


@inline
def gather_rows(given, winners, shares, step, rows, columns, dx, plane, kh, kw, sh, sw, ph, pw):
    """dx of a plane: for each number 0 and what its windows give it, added with the windows ascending.

    `given(winners, shares, at, tap)` is what the windows from `at` on give number `tap` of their own. In both window
    (i, j) stands at i * step + lanes + j; those beside a row, as many as lanes, give nothing.
    """
    height, width = dx.shape[1], dx.shape[2]
    w = lanes(dx)
    phases = scratch(dx, 2)
    # number y of the plane and its padding is number ky + sh t of window i - t for t = 0, 1, ...; columns likewise
    i, ky = ph // sh, ph % sh
    more_rows, more_columns = kh % sh, kw % sw
    most_rows, most_columns, left, start = kh // sh, kw // sw, pw // sw, pw % sw
    for row in range(height):
        to = (plane * height + row) * width
        last_row = min(most_rows + (ky < more_rows) - 1, i)
        for block in range(0, (width + sw - 1) // sw, w):
            j, kx, column = left + block, start, sw * block
            for phase in range(min(sw, width - column)):
                first = min(most_columns + (kx < more_columns) - 1, j + w - 1)
                total = splat(dx, 0.0)
                for t in range(last_row, max(-1, i - rows), -1):
                    for u in range(first, max(-1, j - columns), -1):
                        total = total + given(winners, shares, (i - t) * step + w + j - u,
                                              (ky + t * sh) * kw + kx + u * sw)
                if sw > 2:
                    store_spaced(dx, to + column + phase, sw, to + width, total)
                else:
                    store(phases, phase * w, 2 * w, total)
                kx += 1
                if kx == sw:
                    j, kx = j + 1, 0
            if sw == 1:
                store(dx, to + column, to + width, load(phases, 0, w, 0.0))
            elif sw == 2:
                both = interleave(load(phases, 0, w, 0.0), load(phases, w, 2 * w, 0.0), 1)
                store(dx, to + column, to + width, both)
        ky += 1
        if ky == sh:
            i, ky = i + 1, 0

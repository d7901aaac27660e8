"""Copies of images that convolutions read: with their padding, and so that each tap's numbers are whole vectors.

A plane holds one channel. Its rows are sorted by their number mod stride, so that the rows that a tap meets lie one
after another; its columns are in copies, each with the columns that some taps meet one after another (see `columns`).
"""

from .compile import inline, shared
from .memory import load, shift, store, transpose
from .taps import every_second
from .vectors import lanes, splat

ZEROS, REFLECT, REPLICATE = range(3)
FEW = 5  # rows of a transpose that are copied number by number
SLACK = 8  # vectors behind planes: what a tile reads beyond the last number
FIRST, START, END, WIDTH, COPY = range(5)  # of a copy: its first column of the padded image, what of it lies in the
# image, and how many; the last is its length
ROW, PLACED, LINE = range(3)  # of a row that is copied: its number in the image and where it begins in a plane


@inline
def inside(i, size, mode):
    """The row or column of an image that stands at i, which may lie in its padding; -1 for zeros."""
    if 0 <= i < size:
        return i
    if mode == ZEROS:
        return -1
    if mode == REPLICATE:
        return 0 if i < 0 else size - 1
    return -i if i < 0 else 2 * (size - 1) - i


@shared
def clear(x, size):
    """x[:size] = 0."""
    for at in range(0, size, lanes(x)):
        store(x, at, size, splat(x, 0.0))


@shared
def list_rows(lines, rows, phases, height, top, mode, stride, phase_rows, pitch):
    """The rows of the padded image that are not all zeros, in the order of their places; of those mod stride only the
    first `phases`. Returns how many."""
    count = 0
    for phase in range(phases):
        for i in range(phase, rows, stride):
            row = inside(i - top, height, mode)
            if row >= 0:
                lines[count * LINE + ROW] = row
                lines[count * LINE + PLACED] = (phase * phase_rows + i // stride) * pitch
                count += 1
    return count


@inline
def put_copy(copies, k, first, count, stride, left, width):
    """Copy k: `count` columns of the padded image from number `first` on, `stride` apart."""
    start = 0 if first >= left else (left - first + stride - 1) // stride
    end = (left + width - 1 - first) // stride + 1 if left + width > first else 0
    start, end = min(start, count), min(end, count)
    copies[k * COPY + FIRST], copies[k * COPY + WIDTH] = first, count
    copies[k * COPY + START], copies[k * COPY + END] = start, max(start, end)


@shared
def fill(x, channels, area, width, y, size, lines, rows, left, mode, stride, apart, copies, count):
    """The planes of an image's channels, `size` numbers each. What is zero is there already."""
    w = lanes(x)
    for c in range(channels):
        for k in range(count):
            copy = shift(copies, k * COPY)
            first, start, end = copy[FIRST] - left, copy[START], copy[END]
            source, target = shift(x, c * area + first + start * stride), shift(y, c * size + k * apart + start)
            length = end - start
            for i in range(rows):  # zeros and then the rest of the row are written over what follows in the plane
                row, place = lines[i * LINE + ROW] * width, lines[i * LINE + PLACED]
                if stride == 1:
                    for q in range(0, length, w):
                        store(target, place + q, place + q + w, load(source, row + q, row + length, 0.0))
                elif stride == 2:
                    last = row + 2 * length - 1
                    for q in range(0, length, w):
                        low, high = load(source, row + 2 * q, last, 0.0), load(source, row + 2 * q + w, last, 0.0)
                        store(target, place + q, place + q + w, every_second(low, high))
                else:
                    for q in range(length):
                        target[place + q] = source[row + q * stride]
            if mode != ZEROS:
                for i in range(rows):
                    row, place = c * area + lines[i * LINE + ROW] * width, lines[i * LINE + PLACED]
                    place += c * size + k * apart
                    for q in range(start):
                        y[place + q] = x[row + inside(first + q * stride, width, mode)]
                    for q in range(end, copy[WIDTH]):
                        y[place + q] = x[row + inside(first + q * stride, width, mode)]


@shared
def turn(x, area, channels, height, width, y, rows, top, left, y_stride, dilation, kernel, padded_width, side):
    """Pixels one after another, with all their channels side by side, y[(i, j), c], in `side` places; or, with a
    kernel's rows beside them, y[(oy, j), c, ky] for `rows` of oy. Channels of x are `area` numbers apart. What is zero
    is there already."""
    w = lanes(x)
    step = side * kernel
    for i in range(rows):
        at = (i * padded_width + left) * step
        if kernel == 1:
            row = i - top
            if 0 <= row < height:
                for c in range(0, channels, w):
                    for j in range(0, width, w):
                        _transpose(x, c * area + row * width + j, area, min(w, channels - c), min(w, width - j), y,
                                   at + j * step + c, step, w)
        else:
            row = i * y_stride - top
            start = 0 if row >= 0 else (dilation - 1 - row) // dilation
            end = min(kernel, (height - 1 - row) // dilation + 1) if row < height else start
            for c in range(channels if end > start else 0):
                for k in range(start, end, w):
                    for j in range(0, width, w):
                        _transpose(x, c * area + (row + k * dilation) * width + j, dilation * width, min(w, end - k),
                                   min(w, width - j), y, at + j * step + c * kernel + k, step, w)


@inline
def _transpose(x, at, step, rows, columns, y, y_at, y_step, w):
    if y_step == 1:
        store(y, y_at, y_at + columns, load(x, at, at + columns, 0.0))
    elif rows <= FEW:  # its shuffles take as long for few rows as for all
        for c in range(columns):
            for r in range(rows):
                y[y_at + c * y_step + r] = x[at + r * step + c]
    else:
        transpose(x, at, step, rows, columns, y, y_at, y_step)

"""Convolutions of images as they are defined, one chain an output: conv2d, and what conv_transpose2d shares with it.

`correlate` is a convolution's output; `spread` its gradient with respect to x, which is a transposed convolution's
output. Both copy an image's channels into planes and multiply them by `sweep`, for as many images at a time as fill a
tile's vectors. core/kernel_gradient.py has the gradient with respect to w.
"""

import numpy as np
from numba import prange

from .compile import inline, loops, pick, shared
from .memory import aligned, pointer, shift, transpose
from .panels import ADD, ADD_RELU, NOTHING
from .planes import COPY, LINE, SLACK, clear, fill, list_rows, put_copy
from .sweep import RELU, SIDE, SPARE, across_width, activate, slide, sweep, sweep_across
from .taps import COUNT, PLACE, SOURCE, TARGET
from .threads import team
from .vectors import REGISTER_BYTES, lanes

FILLED = 85  # percent of the lanes that rows of pixels must fill, else the pixels of all rows are one run
VECTORS = 6  # of pixels from which an image is enough for high tiles
MANY, PIXELS = 4, 192  # images from which turning w pays; pixels at a time with channels in the lanes
BIAS, ACTIVATION = 1, 2  # flags; the activation stands above
PARALLEL_FROM = 500_000  # multiply-adds; bench/thresholds.py at 2 threads


@inline
def whole_lines(size, lines):
    """An odd number of lines: planes begin at different places of the cache."""
    return ((size + lines - 1) // lines | 1) * lines


@inline
def round_up(size, unit):
    return (size + unit - 1) // unit * unit


@inline
def are_runs(columns, w):
    return 100 * columns < FILLED * round_up(columns, w)


@inline
def is_alone(w, groups, stride, x_stride, dilation, x_dilation, runs):
    """Whether `slide` computes it: each channel has a kernel of its own, and pixels lie in rows."""
    return (not runs and w.shape[0] == groups and w.shape[1] == 1 and w.shape[2] == SIDE and w.shape[3] == SIDE
            and stride == x_stride == dilation == x_dilation == 1)


@inline
def count_places(rows, columns, runs, w):
    return (rows * columns + w - 1) // w if runs else rows * ((columns + w - 1) // w)


@shared
def list_places(places, images, image_source, image_target, rows, columns, pitch, runs, w):
    """The vectors of pixels of some images; in rows, or in one run."""
    u = 0
    for image in range(images):
        for row in range(1 if runs else rows):
            wide = rows * columns if runs else columns
            for at in range(0, wide, w):
                places[u + SOURCE] = image * image_source + row * pitch + at
                places[u + TARGET] = image * image_target + row * columns + at
                places[u + COUNT] = min(w, wide - at)
                u += PLACE


@shared
def _list_taps(taps, copies, channels, plane, kernel_height, kernel_width, columns, padded_width, stride, x_stride,
               dilation, x_dilation, phase_rows, pitch, apart, runs, left, width):
    """Where each tap's pixels begin, and what the copies of the columns are."""
    for kx in range(kernel_width if runs else x_stride):
        if runs:
            put_copy(copies, kx, kx * x_dilation, columns, x_stride, left, width)
        else:
            put_copy(copies, kx, kx, (padded_width - kx + x_stride - 1) // x_stride, x_stride, left, width)
    area = kernel_height * kernel_width
    for ky in range(kernel_height if channels else 0):
        i = ky * dilation
        row = (i % stride * phase_rows + i // stride) * pitch
        for kx in range(kernel_width):
            j = kx * x_dilation
            taps[ky * kernel_width + kx] = row + (kx * apart if runs else j % x_stride * apart + j // x_stride)
    for at in range(area, channels * area):  # divisions take as long as an image's fill
        taps[at] = taps[at - area] + plane


@shared
def _correlate_images(x, w, bias, y, first, last, together, group, last_group, from_vector, to_vector, plane, size,
                      lines, rows, left, mode, stride, apart, copies, count, taps, places, vectors, groups, flags,
                      alone, pitch, packed, across, sums, pixels):
    """The vectors of pixels from `from_vector` on of some images; of all if there are several at a time."""
    plane, lines, copies = pointer(plane), pointer(lines), pointer(copies)  # arrays, so that they stay alive
    taps, places = pointer(taps), pointer(places)
    channels, area = x.shape[1], x.shape[2] * x.shape[3]
    outputs, depth = w.shape[0], w.shape[1] * w.shape[2] * w.shape[3]
    area_out, pixels = y.shape[2] * y.shape[3], pointer(pixels)
    channels, outputs = channels // groups, outputs // groups
    end = NOTHING if flags & BIAS == 0 else ADD_RELU if flags // ACTIVATION == RELU else ADD
    for image in range(first, last, together):
        images = min(together, last - image)
        here = shift(places, from_vector * PLACE)
        many = to_vector - from_vector if images == 1 else images * vectors
        for g in range(group, last_group):
            for i in range(images):
                fill(shift(pointer(x), ((image + i) * groups + g) * channels * area), channels, area, x.shape[3],
                     shift(plane, i * channels * size), size, lines, rows, left, mode, stride, apart, copies, count)
            target = shift(pointer(y), (image * groups + g) * outputs * area_out)
            if alone:
                slide(shift(pointer(w), g * depth), plane, pitch, 1, target, y.shape[3], y.shape[2], y.shape[3],
                      shift(pointer(bias), g), end)
            elif across:
                sweep_across(plane, pixels, images * area_out, taps, depth,
                             shift(aligned(packed), g * depth * outputs), aligned(sums), outputs,
                             shift(pointer(bias), g * outputs), end)
                for i in range(images):
                    turn_back(shift(aligned(sums), i * area_out * outputs), outputs,
                              shift(target, i * y.shape[1] * area_out), area_out)
            else:
                sweep(shift(pointer(w), g * outputs * depth), depth, plane, taps, depth, here, many, target, area_out,
                      outputs, shift(pointer(bias), g * outputs), False, end)
            if flags // ACTIVATION > RELU:
                activate(target, area_out, outputs, here, many, flags // ACTIVATION)


@shared
def _pack(w, packed, groups, outputs, depth):
    """packed[g, k, o] = w[g, o, k], in panels of o for `sweep_across`."""
    line, w, packed = lanes(w), pointer(w), aligned(packed)
    width = across_width(outputs, line)
    for g in range(groups):
        for o in range(0, outputs, line):
            to = (g * outputs + o // width * width) * depth + o % width
            for k in range(0, depth, line):
                transpose(w, (g * outputs + o) * depth + k, depth, line, min(line, depth - k), packed, to + k * width,
                          width)


@shared
def turn_back(sums, channels, y, pixels):
    """y[o, p] = sums[p, o]."""
    w = lanes(y)
    for o in range(0, channels, w):
        for p in range(0, pixels, w):
            transpose(sums, p * channels + o, channels, min(w, pixels - p), min(w, channels - o), y, o * pixels + p,
                      pixels)


@shared
def list_pixels(pixels, images, image, rows, columns, row, column):
    """Where the pixels of some images begin that are `image` numbers apart, and their rows and columns so many."""
    at = 0
    for i in range(images):
        for y in range(rows):
            for x in range(columns):
                pixels[at] = i * image + y * row + x * column
                at += 1
    pixels[at:at + SPARE] = 0


@inline
def _share(n, vectors, tasks):
    """(images at a time, images a task, tasks of images, parts of an image's vectors)"""
    each = (n + tasks - 1) // tasks
    parts = min((tasks + n - 1) // n, vectors)
    together = 1 if vectors >= VECTORS or parts > 1 else min((VECTORS + vectors - 1) // vectors, each)
    return together, each, (n + each - 1) // each, parts


@loops(writes=("y",))
def _correlate(x, w, bias, y, top, left, stride, x_stride, dilation, x_dilation, groups, mode, flags, tasks):
    """y = f(the convolution of x and w + bias)."""
    n, height, width = x.shape[0], x.shape[2], x.shape[3]
    channels, kernel_height, kernel_width = w.shape[1], w.shape[2], w.shape[3]
    out_rows, out_columns, line = y.shape[2], y.shape[3], lanes(y)
    outputs, depth = w.shape[0] // groups, channels * kernel_height * kernel_width
    # channels in the lanes where pixels would not fill them
    across = (REGISTER_BYTES == 64 and n >= MANY and n >= tasks and outputs % (2 * line) == 0 and depth > 0
              and kernel_width > 1 and are_runs(out_columns, line))
    step, x_step = (1, 1) if across else (stride, x_stride)  # in which rows and columns are sorted
    runs = not across and (kernel_width <= x_stride or are_runs(out_columns, line))
    rows = (out_rows - 1) * stride + (kernel_height - 1) * dilation + 1
    padded_width = (out_columns - 1) * x_stride + (kernel_width - 1) * x_dilation + 1
    phase_rows = (rows + step - 1) // step
    pitch, count = (out_columns, kernel_width) if runs else ((padded_width + x_step - 1) // x_step, x_step)
    apart = phase_rows * step * pitch
    size = whole_lines(count * apart, line)
    vectors = count_places(out_rows, out_columns, runs, line)
    together, each, shares, parts = _share(n, vectors, tasks)
    if across:
        together = min((PIXELS + out_rows * out_columns - 1) // (out_rows * out_columns), each)
    packed = np.empty(w.size + line if across else 1, w.dtype)
    pixels = np.empty(together * out_rows * out_columns + SPARE if across else SPARE, np.int64)
    if across:
        _pack(w, packed, groups, outputs, depth)
        list_pixels(pixels, together, channels * size, out_rows, out_columns, stride * pitch, x_stride)
    taps = np.empty(channels * kernel_height * kernel_width + 1, np.int64)
    copies = np.empty(count * COPY, np.int64)
    lines = np.empty(rows * LINE, np.int64)
    places = np.empty(together * vectors * PLACE, np.int64)
    _list_taps(taps, copies, channels, size, kernel_height, kernel_width, out_columns, padded_width,
               step, x_step, dilation, x_dilation, phase_rows, pitch, apart, runs, left, width)
    filled = list_rows(lines, rows, 1 if kernel_height == 1 else step, height, top, mode, step, phase_rows, pitch)
    list_places(places, together, channels * size, y.shape[1] * out_rows * out_columns, out_rows, out_columns,
                pitch, runs, line)
    alone = together == 1 and is_alone(w, groups, stride, x_stride, dilation, x_dilation, runs)
    parts = min(parts, groups) if alone else parts
    for task in prange(shares * parts):
        share, part = task // parts, task % parts
        room = np.empty(together * channels * size + SLACK * line, x.dtype)
        clear(room, room.size)
        sums = np.empty(pixels.size * outputs + line if across else 1, x.dtype)
        group, last_group, begin, end = 0, groups, vectors * part // parts, vectors * (part + 1) // parts
        if alone:
            group, last_group, begin, end = groups * part // parts, groups * (part + 1) // parts, 0, vectors
        _correlate_images(x, w, bias, y, share * each, min(n, (share + 1) * each), together, group, last_group, begin,
                          end, room, size, lines, filled, left, mode, x_step, apart, copies, count, taps, places,
                          vectors, groups, flags, alone, pitch, packed, across, sums, pixels)


def correlate(x, w, b, y, window, activation, parallel):
    """y = f(conv2d of x and w + b) for checked arrays; b may be None where f is the identity."""
    work = y.size * (w.size // max(w.shape[0], 1))
    large = work >= PARALLEL_FROM
    nest = pick(_correlate, large, parallel)
    if y.size:
        flags = (b is not None) * BIAS + activation * ACTIVATION
        tasks = team() if parallel or large and parallel is None else 1
        nest(x, w, w.reshape(-1) if b is None else b, y, window.top, window.left, *window.stride, *window.dilation,
             window.groups, window.mode, flags, tasks)
    return y

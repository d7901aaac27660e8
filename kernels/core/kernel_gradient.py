"""The gradient of a convolution with respect to its kernel.

    dw[o, c, ky, kx] = block sum, over blocks of at least PIXELS pixels in whole images, of
        chain over n, oy, ox of dy[n, o, oy, ox] X[n, c, oy s + ky d, ox s + kx d],  X the padded x

An image is turned so that its channels, or its channels' rows under a kernel, lie side by side. What a row of the
kernel meets of it is then a few whole vectors, the lanes of `sweep`, whose numbers k are the pixels. Channels of dy
are its rows. Where each channel is a group of its own, channels are in the lanes on both sides.
"""

import numpy as np
from numba import prange

from .compile import inline, loops, pick, shared
from .convolve import PARALLEL_FROM
from .memory import aligned, load, pointer, prefetch, shift, store
from .panels import NOTHING
from .planes import COPY, LINE, SLACK, ZEROS, clear, fill, list_rows, put_copy, turn
from .sweep import multiply_lanes, sweep
from .taps import COUNT, PLACE, SOURCE, TARGET
from .threads import team
from .vectors import lanes

PIXELS = 1024  # of a block: part of the definition
ROUND = 16  # blocks whose sums are kept at a time
ROWS = 8  # channels of dy from which they are tasks of their own
STRIP, PIECE = 128, 32  # where channels are groups of their own, pixels of dy in a strip, and that are turned at a time


@shared
def _list_places(places, positions, channels, kernel_height, kernel_width, row, x_dilation, dilation, folded, alone,
                 w):
    """The vectors that a kernel meets, and where in them each of its numbers is. Returns how many vectors."""
    u = 0
    runs = 1 if folded else kernel_height
    height = kernel_height if folded else 1  # rows of the kernel beside each other
    parts = kernel_width if x_dilation > 1 or alone else 1
    length = channels * height * (kernel_width // parts)
    for ky in range(runs):
        for kx in range(parts):
            for at in range(0, 1 if alone else length, w):
                places[u * PLACE + SOURCE] = ky * dilation * row + kx * x_dilation * channels * height + at
                places[u * PLACE + TARGET], places[u * PLACE + COUNT] = u * w, w
                u += 1
    vectors_a_part = (length + w - 1) // w
    at = 0
    for c in range(0 if alone else channels):
        for ky in range(kernel_height):
            for kx in range(kernel_width):
                run, part = 0 if folded else ky, kx if parts > 1 else 0
                inner = 0 if parts > 1 else kx
                lane = (inner * channels + c) * height + (ky if folded else 0)
                positions[at] = (run * parts + part) * vectors_a_part * w + lane
                at += 1
    return u


@shared
def _list_pixels(taps, rows, columns, row, column):
    at = 0
    for oy in range(rows):
        for ox in range(columns):
            taps[at] = oy * row + ox * column
            at += 1


@shared
def _block(dy, x, part, target, first, last, group, groups, row, rows, room, padded, lines, filled, copies, turned, top,
           left, mode, stride, dilation, kernel, pitch, taps, places, vectors, step, high, wide):
    """The chains of a block of images, for some channels of a group of dy."""
    part, room, padded = shift(pointer(part), target), pointer(room), pointer(padded)
    lines, copies, taps, places = pointer(lines), pointer(copies), pointer(taps), pointer(places)
    channels, area, pixels = x.shape[1] // groups, x.shape[2] * x.shape[3], dy.shape[2] * dy.shape[3]
    outputs, width = dy.shape[1] // groups, x.shape[3]
    for i in range(first, last):
        image = shift(pointer(x), (i * x.shape[1] + group * channels) * area)
        gradient = shift(pointer(dy), (i * dy.shape[1] + group * outputs + row) * pixels)
        if mode != ZEROS:
            fill(image, channels, area, width, padded, high * wide, lines, filled, left, mode, 1, 0, copies, 1)
            turn(padded, high * wide, channels, high, wide, room, turned, 0, 0, stride, dilation, kernel, pitch,
                 channels)
        else:
            turn(image, area, channels, x.shape[2], width, room, turned, top, left, stride, dilation, kernel, pitch,
                 channels)
        sweep(gradient, pixels, room, taps, pixels, places, vectors, part, step, rows, part, i > first, NOTHING)


@inline
def _fetch(x, size):
    """Fetch x[:size]. Returns where it ends."""
    for at in range(0, size, lanes(x)):
        prefetch(x, at)
    return shift(x, size)


@shared
def _lanes_block(dy, x, part, target, first, last, channel, room, dy_room, padded, lines, filled, copies, top, left,
                 mode, stride, reach, taps, places, vectors, high, wide, strip):
    """The chains of a block of images for channels that are groups of their own, as many as there are lanes: a strip
    of rows after the other, which stay in the first-level cache. Meanwhile what is read next is fetched."""
    part, room, dy_room, padded = shift(pointer(part), target), aligned(room), aligned(dy_room), pointer(padded)
    lines, copies, taps, places = pointer(lines), pointer(copies), pointer(taps), pointer(places)
    channels, w, rows, columns = x.shape[1], lanes(x), dy.shape[2], dy.shape[3]
    area, pixels, count, line = x.shape[2] * x.shape[3], rows * columns, min(w, channels - channel), wide * w
    height, width, apart, above, before = x.shape[2], x.shape[3], area, top, left
    if mode != ZEROS:
        height, width, apart, above, before = high, wide, high * wide, 0, 0
    for i in range(first, last):
        image = source = shift(pointer(x), (i * channels + channel) * area)
        gradient = shift(pointer(dy), (i * channels + channel) * pixels)
        following = channels if i + 1 < last else count  # the channels that come next, in this image or the next
        ahead, dy_ahead = shift(image, following * area), shift(gradient, following * pixels)
        if mode != ZEROS:
            fill(image, count, area, x.shape[3], padded, apart, lines, filled, left, mode, 1, 0, copies, 1)
            source = padded
        known = 0  # the first row of the padded image that was not in the room yet
        for row in range(0, rows, strip):
            now, start = min(strip, rows - row), row * stride
            end = start + (now - 1) * stride + reach
            for at in range(0, max(known - start, 0) * line, w):
                old = strip * stride * line + at
                store(room, at, at + w, load(room, old, old + w, 0.0))
            for k in range(max(known, start), end):
                to, at = shift(room, (k - start) * line), k - above
                if 0 <= at < height:
                    turn(shift(source, at * width), apart, count, 1, width, to, 1, 0, before, 1, 1, 1, wide, w)
                    ahead = _fetch(ahead, count * width)
                else:
                    clear(to, line)
            known = end
            for at in range(0, now * columns, PIECE):
                piece = min(PIECE, now * columns - at)
                turn(shift(gradient, row * columns + at), pixels, count, 1, piece, dy_room, 1, 0, 0, 1, 1, 1, 0, w)
                dy_ahead = _fetch(dy_ahead, count * piece // 2)
                multiply_lanes(dy_room, w, room, shift(taps, at), piece, places, vectors, part,
                               i > first or row + at > 0)
                dy_ahead = _fetch(dy_ahead, count * piece // 2)


@shared
def _add(total, part, start, size, first):
    """total = part[start:], or that added."""
    for at in range(0, size, lanes(total)):
        v = load(part, start + at, start + size, 0.0)
        store(total, at, size, v if first else load(total, at, size, 0.0) + v)


@inline
def _vectors_of(length, w):
    return (length + w - 1) // w


@loops(writes=("dw",))
def _kernel_gradient(dy, x, dw, top, bottom, left, right, stride, x_stride, dilation, x_dilation, groups, mode, tasks):
    n, height, width, line = x.shape[0], x.shape[2], x.shape[3], lanes(x)
    channels, kernel_height, kernel_width = dw.shape[1], dw.shape[2], dw.shape[3]
    outputs, out_rows, out_columns = dw.shape[0] // groups, dy.shape[2], dy.shape[3]
    area, depth = kernel_height * kernel_width, channels * kernel_height * kernel_width
    alone = channels == 1 and outputs == 1 and groups > 1
    side = line if alone else channels
    x_parts = kernel_width if x_dilation > 1 else 1
    length = channels * (kernel_width // x_parts)
    folded = not alone and kernel_height > 1 and (
        _vectors_of(length * kernel_height, line) < kernel_height * _vectors_of(length, line))
    kernel = kernel_height if folded else 1
    high, wide = height + top + bottom, width + left + right
    strip, reach = min(max(STRIP // out_columns, 1), out_rows), (kernel_height - 1) * dilation + 1
    turned = out_rows if folded else ((strip if alone else out_rows) - 1) * stride + reach
    taps, positions = np.empty(out_rows * out_columns, np.int64), np.empty(depth + 1, np.int64)
    _list_pixels(taps, out_rows, out_columns, (1 if folded else stride) * wide * side * kernel,
                 x_stride * side * kernel)
    most = area * (_vectors_of(channels, line) + _vectors_of(depth, line)) + 1
    places = np.empty(most * PLACE, np.int64)
    vectors = _list_places(places, positions, side, kernel_height, kernel_width, wide * side,
                           x_dilation, dilation, folded, alone, line)
    step = vectors * line
    block = (PIXELS + out_rows * out_columns - 1) // (out_rows * out_columns)
    blocks, kept = (n + block - 1) // block, 1
    units, parts = _vectors_of(groups, line) if alone else groups, 1
    if tasks > 1:
        kept = min(blocks, ROUND)
        if not alone and kept * units < tasks:
            parts = max(1, min(tasks // max(kept * units, 1), outputs // ROWS))
    size = (units if alone else dw.shape[0]) * step
    part, total = np.empty(max(kept, 1) * size, dw.dtype), np.empty(size, dw.dtype)
    lines, copies = np.empty(high * LINE, np.int64), np.empty(COPY, np.int64)
    put_copy(copies, 0, 0, wide, 1, left, width)
    filled = list_rows(lines, high, 1, height, top, mode, 1, high, wide)
    for base in range(0, blocks, max(kept, 1)):
        now = min(kept, blocks - base)
        for task in prange(now * units * parts):
            number, unit, slice_ = task // (units * parts), task // parts % units, task % parts
            room = np.empty(turned * wide * side * kernel + SLACK * line, x.dtype)
            dy_room = np.empty((PIECE + 1) * line if alone else 1, x.dtype)
            padded = np.empty(1 if mode == ZEROS else side * high * wide + SLACK * line, x.dtype)
            clear(room, room.size)
            row, last_row = outputs * slice_ // parts, outputs * (slice_ + 1) // parts
            first = (base + number) * block
            target = number * size + (unit * step if alone else (unit * outputs + row) * step)
            if alone:
                _lanes_block(dy, x, part, target, first, min(n, first + block), unit * line, room, dy_room, padded,
                             lines, filled, copies, top, left, mode, stride, reach, taps, places, vectors, high, wide,
                             strip)
            else:
                _block(dy, x, part, target, first, min(n, first + block), unit, groups, row, last_row - row, room,
                       padded, lines, filled, copies, turned, top, left, mode, stride, dilation, kernel, wide, taps,
                       places, vectors, step, high, wide)
        for number in range(now):
            _add(total, part, number * size, size, base + number == 0)
    if blocks == 0:
        clear(total, size)
    _scatter(dw, total, positions, depth, step, alone)


@shared
def _scatter(dw, total, positions, depth, step, alone):
    """dw from where its numbers stand in the vectors."""
    w, to = lanes(dw), pointer(dw)
    for o in range(dw.shape[0]):
        for q in range(depth):
            at = (o // w * step + q * w + o % w) if alone else o * step + positions[q]
            to[o * depth + q] = total[at]


def kernel_gradient(dy, x, dw, window, parallel):
    """dw for checked arrays."""
    work = dy.size * (dw.size // max(dw.shape[0], 1))
    large = work >= PARALLEL_FROM
    nest = pick(_kernel_gradient, large, parallel)
    if dw.size:
        tasks = team() if parallel or large and parallel is None else 1
        nest(dy, x, dw, window.top, window.bottom, window.left, window.right, *window.stride, *window.dilation,
             window.groups, window.mode, tasks)
    return dw

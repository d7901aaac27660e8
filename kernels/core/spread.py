"""The gradient of a convolution with respect to its images, which is a transposed convolution's output.

    y[n, c, iy, ix] = f(chain over o, ky, kx of w[o, c, ky, kx] x[n, o, oy, ox] + bias[c])
    with oy = (iy + top - ky d) / s and ox likewise, zeros outside of x; where s does not divide it, there is no term

Pixels with the same remainders mod s meet the same taps: each such phase is a convolution with stride 1. Phases are
computed one after another and then put together.
"""

import numpy as np
from numba import prange

from .compile import inline, loops, pick, shared
from .convolve import (ACTIVATION, BIAS, MANY, PARALLEL_FROM, PIXELS, VECTORS, are_runs, count_places, is_alone,
                       list_pixels, list_places, turn_back, whole_lines)
from .memory import aligned, load, pointer, shift, store
from .panels import ADD, ADD_RELU, NOTHING
from .pixels import are_pixels, spread_pixels
from .planes import COPY, LINE, SLACK, ZEROS, clear, fill, list_rows, put_copy
from .sweep import RELU, SPARE, across_width, activate, slide, sweep, sweep_across
from .taps import PLACE
from .threads import team
from .vectors import REGISTER_BYTES, interleave, lanes

LEAST, MOST = range(2)  # of a range


@shared
def _range(found, kernel, start, stride, dilation):
    """The lowest and the highest number by which a tap's row of x lies before or behind the phase's own."""
    least, most, any_ = 0, 0, False
    for k in range(kernel):
        at = (start - k * dilation) // stride
        for e in (at, at + 1):  # of phases without and with a carry
            phase = e * stride - start + k * dilation
            if 0 <= phase < stride:
                least, most = e if not any_ or e < least else least, e if not any_ or e > most else most
                any_ = True
    found[LEAST], found[MOST] = least, most


@shared
def _list_phase(taps, first, picks, kernel_height, kernel_width, start, x_start, stride, x_stride, dilation, x_dilation,
                pitch, apart, up, before, runs):
    """The taps of a phase that begins at (start, x_start), from taps[first] on, and their numbers in the kernel.
    Returns how many."""
    count = 0
    for ky in range(kernel_height):
        row = start - ky * dilation
        if row % stride == 0:
            for kx in range(kernel_width):
                column = x_start - kx * x_dilation
                if column % x_stride == 0:
                    e = column // x_stride + before
                    taps[first + count] = (row // stride + up) * pitch + (e * apart if runs else e)
                    picks[count] = ky * kernel_width + kx
                    count += 1
    return count


@shared
def _pack(w, first, packed, at, channels, outputs, area, picks, count):
    """packed[c, (o, k)] = w[o, c, picks[k]], from packed[at] and w[first] on."""
    w, packed = shift(pointer(w), first), aligned(packed)
    for c in range(outputs):
        for o in range(channels):
            for k in range(count):
                packed[at] = w[(o * outputs + c) * area + picks[k]]
                at += 1


@shared
def _pack_across(w, first, packed, at, channels, outputs, area, picks, count):
    """packed[(o, k), c] = w[o, c, picks[k]] likewise, in panels of c for `sweep_across`."""
    w, packed, width = shift(pointer(w), first), aligned(packed), across_width(outputs, lanes(packed))
    for j in range(0, outputs, width):
        for o in range(channels):
            for k in range(count):
                for c in range(width):
                    packed[at + c] = w[(o * outputs + j + c) * area + picks[k]]
                at += width


@shared
def _join(room, rows, room_rows, room_columns, y, height, width, stride, x_stride):
    """y's channels from their phases."""
    area, w = room_rows * room_columns, lanes(y)
    for c in range(rows):
        for phase in range(min(stride, height)):
            first = phase * x_stride * rows + c
            for row in range((height - phase + stride - 1) // stride):
                source, target = row * room_columns, (c * height + row * stride + phase) * width
                if x_stride == 1:
                    part = shift(room, first * area + source)
                    for q in range(0, width, w):
                        store(y, target + q, target + width, load(part, q, room_columns, 0.0))
                elif x_stride == 2:
                    even = shift(room, first * area + source)
                    odd = shift(room, (first + rows) * area + source)
                    for q in range(0, room_columns, w):
                        both = interleave(load(even, q, room_columns, 0.0), load(odd, q, room_columns, 0.0), 1)
                        store(y, target + 2 * q, target + width, both)
                else:
                    for x_phase in range(min(x_stride, width)):
                        part = shift(room, (first + x_phase * rows) * area + source)
                        for q in range((width - x_phase + x_stride - 1) // x_stride):
                            y[target + q * x_stride + x_phase] = part[q]


@shared
def _spread_images(x, packed, bias, y, first, last, together, group, last_group, row, last_row, room, plane, size,
                   lines, filled, before, apart, copies, count, taps, spans, places, vectors, phase_rows, phase_columns,
                   stride, x_stride, groups, flags, alone, pitch, across, sums, starts):
    """Some output channels of some images."""
    packed, room, plane, lines = aligned(packed), pointer(room), pointer(plane), pointer(lines)
    sums, starts = aligned(sums), pointer(starts)
    copies, taps, places = pointer(copies), pointer(taps), pointer(places)
    channels, outputs, area = x.shape[1] // groups, y.shape[1] // groups, x.shape[2] * x.shape[3]
    pixels, phase_pixels, direct = y.shape[2] * y.shape[3], phase_rows * phase_columns, stride * x_stride == 1
    end = NOTHING if flags & BIAS == 0 else ADD_RELU if flags // ACTIVATION == RELU else ADD
    rows, block = last_row - row, outputs * spans[stride * x_stride]
    image = y.shape[1] * pixels if direct else stride * x_stride * rows * phase_pixels  # from one image to the next
    for n in range(first, last, together):
        images = min(together, last - n)
        for g in range(group, last_group):
            for i in range(images):
                fill(shift(pointer(x), ((n + i) * groups + g) * channels * area), channels, area, x.shape[3],
                     shift(plane, i * channels * size), size, lines, filled, before, ZEROS, 1, apart, copies, count)
            target = shift(pointer(y), ((n * groups + g) * outputs + row) * pixels)
            for phase in range(stride * x_stride):
                to = target if direct else shift(room, phase * rows * phase_pixels)
                depth = spans[phase + 1] - spans[phase]
                if alone:  # from the last row and column to the first
                    slide(shift(packed, g * block), shift(plane, taps[0] + (phase_rows - 1) * pitch), -pitch, -1,
                          shift(to, (phase_rows - 1) * phase_columns), -phase_columns, phase_rows, phase_columns,
                          shift(pointer(bias), g), end)
                elif across:
                    sweep_across(plane, starts, images * phase_pixels, shift(taps, spans[phase]), depth,
                                 shift(packed, g * block + outputs * spans[phase]), sums, outputs,
                                 shift(pointer(bias), g * outputs), end)
                    for i in range(images):
                        turn_back(shift(sums, i * phase_pixels * outputs), outputs, shift(to, i * image), phase_pixels)
                else:
                    sweep(shift(packed, g * block + outputs * spans[phase] + row * depth), depth, plane,
                          shift(taps, spans[phase]), depth, places, images * vectors, to, phase_pixels, rows,
                          shift(pointer(bias), g * outputs + row), False, end)
                if flags // ACTIVATION > RELU:
                    activate(to, phase_pixels, rows, places, images * vectors, flags // ACTIVATION)
            if not direct:
                for i in range(images):
                    _join(shift(room, i * image), rows, phase_rows, phase_columns,
                          shift(target, i * y.shape[1] * pixels), y.shape[2], y.shape[3], stride, x_stride)


@inline
def _shares(n, vectors, units, tasks):
    """(images at a time, images a task, tasks of images, parts of the channels)"""
    each = (n + tasks - 1) // tasks
    together = 1 if vectors >= VECTORS else min((VECTORS + vectors - 1) // vectors, each)
    return together, each, (n + each - 1) // each, min((tasks + n - 1) // n, units)


@loops(writes=("y",))
def _spread(x, w, bias, y, top, left, stride, x_stride, dilation, x_dilation, groups, flags, tasks):
    n, height, width, line = x.shape[0], x.shape[2], x.shape[3], lanes(y)
    channels, outputs, kernel_height, kernel_width = w.shape[0] // groups, w.shape[1], w.shape[2], w.shape[3]
    phase_rows, phase_columns = (y.shape[2] + stride - 1) // stride, (y.shape[3] + x_stride - 1) // x_stride
    found, x_found = np.empty(2, np.int64), np.empty(2, np.int64)
    _range(found, kernel_height, top, stride, dilation)
    _range(x_found, kernel_width, left, x_stride, x_dilation)
    up, before = max(0, -found[LEAST]), max(0, -x_found[LEAST])
    # channels in the lanes where pixels would not fill them; each phase must have taps
    across = (REGISTER_BYTES == 64 and n >= MANY and n >= tasks and outputs % (2 * line) == 0 and channels > 0
              and kernel_width > 1 and kernel_height >= stride and kernel_width >= x_stride
              and (stride * x_stride == 1 or dilation * x_dilation == 1)
              and are_runs(phase_columns, line))
    runs = not across and (x_found[LEAST] == x_found[MOST] or are_runs(phase_columns, line))
    rows = max(up + height, phase_rows + found[MOST] + up)
    count = x_found[MOST] - x_found[LEAST] + 1 if runs else 1
    pitch = phase_columns if runs else max(before + width, phase_columns + x_found[MOST] + before)
    apart, lines, copies = rows * pitch, np.empty(rows * LINE, np.int64), np.empty(count * COPY, np.int64)
    size = whole_lines(count * apart, line)
    for k in range(count):
        put_copy(copies, k, x_found[LEAST] + k + before if runs else 0, pitch, 1, before, width)
    filled = list_rows(lines, rows, 1, height, up, ZEROS, 1, rows, pitch)
    area = kernel_height * kernel_width
    taps, picks = np.empty(max(channels, 1) * area + 1, np.int64), np.empty(area, np.int64)
    spans, packed = np.empty(stride * x_stride + 1, np.int64), np.empty(w.size + line, w.dtype)
    spans[0] = 0
    for phase in range(stride * x_stride):
        at = spans[phase]
        number = _list_phase(taps, at, picks, kernel_height, kernel_width, top + phase // x_stride,
                             left + phase % x_stride, stride, x_stride, dilation, x_dilation, pitch, apart, up,
                             -x_found[LEAST] if runs else before, runs)
        for k in range(number, channels * number):
            taps[at + k] = taps[at + k - number] + size
        for g in range(groups):
            first = g * channels * outputs * area
            if across:
                _pack_across(w, first, packed, first + at * outputs, channels, outputs, area, picks, number)
            else:
                _pack(w, first, packed, first + at * outputs, channels, outputs, area, picks, number)
        spans[phase + 1] = at + (channels * number if channels else 0)
    vectors = count_places(phase_rows, phase_columns, runs, line)
    together, each, shares, parts = _shares(n, vectors, groups if groups > 1 else outputs, tasks)
    starts = np.empty(SPARE, np.int64)
    if across:
        together = min((PIXELS + phase_rows * phase_columns - 1) // (phase_rows * phase_columns), each)
        starts = np.empty(together * phase_rows * phase_columns + SPARE, np.int64)
        list_pixels(starts, together, channels * size, phase_rows, phase_columns, pitch, 1)
    direct = stride * x_stride == 1
    places = np.empty(together * vectors * PLACE, np.int64)
    target = y.shape[2] * y.shape[3] * y.shape[1]
    if not direct:
        most = outputs if groups > 1 else (outputs + parts - 1) // parts
        target = stride * x_stride * most * phase_rows * phase_columns
    list_places(places, together, channels * size, target, phase_rows, phase_columns, pitch, runs, line)
    alone = together == 1 and is_alone(w, groups, stride, x_stride, dilation, x_dilation, runs)
    for task in prange(shares * parts):
        share, part_ = task // parts, task % parts
        group, last_group, row, last_row = 0, groups, 0, outputs
        if groups > 1:
            group, last_group = groups * part_ // parts, groups * (part_ + 1) // parts
        else:
            row, last_row = outputs * part_ // parts, outputs * (part_ + 1) // parts
        plane = np.empty(together * channels * size + SLACK * line, x.dtype)
        room = np.empty(1 if direct else together * target, x.dtype)
        sums = np.empty(starts.size * outputs + line if across else 1, x.dtype)
        clear(plane, plane.size)
        _spread_images(x, packed, bias, y, share * each, min(n, (share + 1) * each), together, group, last_group, row,
                       last_row, room, plane, size, lines, filled, before, apart, copies, count, taps, spans, places,
                       vectors, phase_rows, phase_columns, stride, x_stride, groups, flags, alone, pitch, across, sums,
                       starts)


def spread(x, w, b, y, start, window, activation, parallel):
    """y = f(the sum + b) for checked arrays, with (top, left) = start; b may be None where f is the identity."""
    if are_pixels(x, w, y, start, window):
        return spread_pixels(x, w, b, y, activation, parallel)
    work = x.size * (w.size // max(w.shape[0], 1))
    large = work >= PARALLEL_FROM
    nest = pick(_spread, large, parallel)
    if y.size:
        flags = (b is not None) * BIAS + activation * ACTIVATION
        tasks = team() if parallel or large and parallel is None else 1
        nest(x, w, w.reshape(-1) if b is None else b, y, *start, *window.stride, *window.dilation, window.groups, flags,
             tasks)
    return y

"""A product of rows of numbers with vectors that lie anywhere, in tiles: what each convolution comes down to.

    y[r, j] = chain over k of a[r * a_row + k] b[source of j + taps[k]]   (+ bias[r], relu)

`places` lists the vectors j (taps.py). Tiles go down the rows for a few vectors, since these stay in the first-level
cache meanwhile, and so many numbers k at a time that they do.
"""

from .compile import inline, shared
from .elementary import sigmoid, tanh
from .memory import load, scratch, shift, store
from .panels import ADD, ADD_RELU, NOTHING
from .taps import (COUNT, PLACE, TARGET, lanes_fma, pixels_fma, places_load, places_store, taps_fma, tile_add_column,
                   window_fma)
from .tiles import tile, tile_add, tile_height, tile_load, tile_relu, tile_store, tile_width
from .vectors import REGISTER_BYTES, lanes, splat

DEPTH, ACROSS_DEPTH = 288, 64  # numbers k at a time
SPARE = 8  # pixels, for a last tile that is not full
NO_ACTIVATION, RELU, SIGMOID, TANH = range(4)


@inline
def _step(acc, a, a_row, b, taps, depth, places, y, y_row, bias, resume, end):
    if resume:
        acc = places_load(acc, y, y_row, places)
    acc = taps_fma(acc, a, a_row, 1, b, places, taps, depth)
    if end >= ADD:
        acc = tile_add_column(acc, bias)
        if end == ADD_RELU:
            acc = tile_relu(acc)
    places_store(acc, y, y_row, places)


@inline
def _steps(acc, i, last, a, a_row, b, taps, depth, places, y, y_row, bias, resume, end):
    """Tiles as high as acc from row i on, while there are enough rows. Returns the first row that is left."""
    while i + tile_height(acc) <= last:
        _step(acc, shift(a, i * a_row), a_row, b, taps, depth, places, shift(y, i * y_row), y_row, shift(bias, i),
              resume, end)
        i += tile_height(acc)
    return i


@inline
def _wide(u, vectors, rows, a, a_row, b, taps, depth, places, y, y_row, bias, resume, end):
    """For registers of 64 bytes: 8 x 3 vectors and 3 of b fill them."""
    left, here = vectors - u, shift(places, u * PLACE)
    ends = (rows, a, a_row, b, taps, depth, here, y, y_row, bias, resume, end)
    if rows == 1 and left >= 4:  # a row alone has no other chains for its fma to wait for
        if left >= 8:
            _steps(tile(y, 1, 8), 0, *ends)
            return 8
        _steps(tile(y, 1, 4), 0, *ends)
        return 4
    if left == 1:
        i = _steps(tile(y, 8, 1), 0, *ends)
        _steps(tile(y, 1, 1), _steps(tile(y, 4, 1), i, *ends), *ends)
        return 1
    if left == 2 or left == 4:
        i = _steps(tile(y, 8, 2), 0, *ends)
        i = _steps(tile(y, 6, 2), i, *ends)
        i = _steps(tile(y, 4, 2), i, *ends)
        _steps(tile(y, 1, 2), _steps(tile(y, 2, 2), i, *ends), *ends)
        return 2
    i = _steps(tile(y, 8, 3), 0, *ends)
    i = _steps(tile(y, 6, 3), i, *ends)
    i = _steps(tile(y, 4, 3), i, *ends)
    _steps(tile(y, 1, 3), _steps(tile(y, 2, 3), i, *ends), *ends)
    return 3


@inline
def _narrow(u, vectors, rows, a, a_row, b, taps, depth, places, y, y_row, bias, resume, end):
    """For smaller registers: a vector fills two or four of them."""
    ends = (rows, a, a_row, b, taps, depth, shift(places, u * PLACE), y, y_row, bias, resume, end)
    if rows == 1 and vectors - u >= 4:
        _steps(tile(y, 1, 4), 0, *ends)
        return 4
    i = _steps(tile(y, 6, 1), 0, *ends)
    i = _steps(tile(y, 4, 1), i, *ends)
    _steps(tile(y, 1, 1), _steps(tile(y, 2, 1), i, *ends), *ends)
    return 1


_vectors = _wide if REGISTER_BYTES == 64 else _narrow


@shared
def _sweep(a, a_row, b, taps, depth, places, vectors, y, y_row, rows, bias, resume, end):
    u = 0
    while u < vectors:
        u += _vectors(u, vectors, rows, a, a_row, b, taps, depth, places, y, y_row, bias, resume, end)


@inline
def sweep(a, a_row, b, taps, depth, places, vectors, y, y_row, rows, bias, resume, end):
    """y = (resume ? y : 0) + the product (+ bias, relu). Of what is read, whole vectors must exist."""
    for k in range(0, max(depth, 1), DEPTH):  # once for depth 0: the sums are empty, the bias is not
        size = min(DEPTH, depth - k)
        _sweep(shift(a, k), a_row, b, shift(taps, k), size, places, vectors, y, y_row, rows, bias, resume or k > 0,
               end if k + size == depth else NOTHING)


@shared
def activate(y, y_row, rows, places, vectors, activation):
    """y = sigmoid(y) or tanh(y) at these places, while they are in cache."""
    w = lanes(y)
    for r in range(rows):
        for u in range(vectors):
            at = r * y_row + places[u * PLACE + TARGET]
            end = at + min(w, places[u * PLACE + COUNT])
            v = load(y, at, end, 0.0)
            store(y, at, end, sigmoid(v) if activation == SIGMOID else tanh(v))


@inline
def _pixels(acc, a, pixels, count, taps, depth, b, y, y_row, bias, resume, end):
    """Tiles of pixels as high as acc, the last with pixels more than there are."""
    zeros = acc
    for i in range(0, count, tile_height(zeros)):
        to = shift(y, i * y_row)
        acc = tile_load(zeros, to, y_row, tile_width(zeros)) if resume else zeros
        acc = pixels_fma(acc, a, shift(pixels, i), taps, b, depth)
        if end >= ADD:
            acc = tile_add(acc, bias, tile_width(zeros))
            if end == ADD_RELU:
                acc = tile_relu(acc)
        tile_store(acc, to, y_row, tile_width(zeros))


@inline
def across_width(columns, w):
    """The width of the tiles of `sweep_across`: 6 x 4 vectors, or 8 x 2."""
    return 4 * w if columns % (4 * w) == 0 else 2 * w


@shared
def sweep_across(a, pixels, count, taps, depth, b, y, columns, bias, end):
    """y[p, o] = chain over k of a[pixels[p] + taps[k]] b[k, o]  (+ bias[o], relu): channels in the lanes, a multiple of
    2 vectors. b is cut into panels as wide as tiles. The tables have SPARE pixels more, and so has y."""
    w = lanes(y)
    width = across_width(columns, w)
    for k in range(0, depth, ACROSS_DEPTH):
        deep = min(ACROSS_DEPTH, depth - k)
        for j in range(0, columns, width):
            ends = (a, pixels, count, shift(taps, k), deep, shift(b, j * depth + k * width), shift(y, j), columns,
                    shift(bias, j), k > 0, end if k + deep == depth else NOTHING)
            if width > 2 * w:
                _pixels(tile(y, 6, 4), *ends)
            else:
                _pixels(tile(y, 8, 2), *ends)


SIDE, HIGH = 3, 4  # of the kernel of `slide`; rows at a time


@inline
def _slide(acc, a, b, b_row, b_column, y, y_row, columns, sums, end):
    acc = window_fma(acc, a, b, b_row, b_column, SIDE)
    if end >= ADD:
        acc = tile_add(acc, sums, columns)
        if end == ADD_RELU:
            acc = tile_relu(acc)
    tile_store(acc, y, y_row, columns)


@shared
def slide(a, b, b_row, b_column, y, y_row, rows, columns, bias, end):
    """y[r, j] = the chain of a kernel of SIDE x SIDE alone (+ bias[0], relu), of pixels in rows. Each number is loaded
    for all rows that meet it, a third of the loads of `sweep`. Of rows that are left some may be computed again."""
    w, sums = lanes(y), scratch(y, 2)
    if end >= ADD:
        for at in range(0, 2 * w, w):
            store(sums, at, at + w, splat(y, bias[0]))
    for j in range(0, columns, 2 * w):
        left = columns - j
        for i in range(0, rows, HIGH if rows >= HIGH else 1):
            row = max(0, min(i, rows - HIGH)) if rows >= HIGH else i
            here, to = shift(b, row * b_row + j), shift(y, row * y_row + j)
            if rows < HIGH:
                _slide(tile(y, 1, 1), a, here, b_row, b_column, to, y_row, min(w, left), sums, end)
                if left > w:
                    _slide(tile(y, 1, 1), a, shift(here, w), b_row, b_column, shift(to, w), y_row, left - w, sums, end)
            elif left > w:
                _slide(tile(y, HIGH, 2), a, here, b_row, b_column, to, y_row, left, sums, end)
            else:
                _slide(tile(y, HIGH, 1), a, here, b_row, b_column, to, y_row, left, sums, end)


@shared
def multiply_lanes(a, a_step, b, taps, depth, places, vectors, y, resume):
    """y[target of j ...] = (resume ? y : 0) + chain over k of a[k * a_step + lane] b[source of j + taps[k] + lane]:
    each lane has an a of its own."""
    u = 0
    while u < vectors:
        here, left = shift(places, u * PLACE), vectors - u
        if left >= 9:
            _lane_step(tile(y, 1, 9), a, a_step, b, taps, depth, here, y, resume)
            u += 9
        elif left >= 4:
            _lane_step(tile(y, 1, 4), a, a_step, b, taps, depth, here, y, resume)
            u += 4
        else:
            _lane_step(tile(y, 1, 1), a, a_step, b, taps, depth, here, y, resume)
            u += 1


@inline
def _lane_step(acc, a, a_step, b, taps, depth, places, y, resume):
    if resume:
        acc = places_load(acc, y, 0, places)
    places_store(lanes_fma(acc, a, a_step, a_step, b, places, taps, depth), y, 0, places)

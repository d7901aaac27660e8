"""Panels: what a matrix product does in as many columns as a tile is wide, and the copies it reads.

A panel of c goes through the registers by tiles of six rows, and what is left by lower ones. A panel of b is read where
it lies, or was copied: its rows, filled up with zeros to whole vectors, one after another.

Matrices are pointers to where the part in question begins, with the distance from row to row and, of a, from column to
column: of b and c the numbers of a row lie side by side.
"""

import numpy as np

from .compile import inline, shared
from .memory import load, prefetch, scratch, shift, store, transpose
from .tiles import inner_fma, outer_fma, tile, tile_add, tile_height, tile_load, tile_relu, tile_store, tile_width
from .vectors import REGISTER_BYTES, lanes, splat

# A tile of 6 x 4 vectors and 4 of b fill the registers of AVX-512, 6 x 2 half vectors and 2 of b AVX2's. It reads
# few rows of a and long pieces of b, and issues the fewest instructions a multiply-add: where another process uses the
# core's other half, 14 x 2 takes 5 % longer. A single vector needs 12 rows for as many chains as hide an fma's latency.
VECTORS = 4 if REGISTER_BYTES == 64 else 1
HEIGHT, NARROW_HEIGHT = 6, 12 if REGISTER_BYTES == 64 else 6
NARROW = VECTORS // 2  # vectors up to which a panel has tiles as narrow as itself
ROW_VECTORS = 8  # of the tile for a single row
FEW, FEW_VECTORS = 2, 2  # of tiles with b^T transposed in registers: most rows, and vectors: one would wait for its fma
FEW_ROOM = 16 * FEW_VECTORS
GROUPS = 8  # of HEIGHT columns of a^T that are copied at once: 3 lines of each row

NOTHING, ADD, ADD_RELU = np.intp(0), np.intp(1), np.intp(2)  # what a tile does with its bias at the end


@inline
def _finish(acc, c, c_row, columns, bias, end):
    """c = acc (+ bias, relu)."""
    if end >= ADD:
        acc = tile_add(acc, bias, columns)
        if end == ADD_RELU:
            acc = tile_relu(acc)
    tile_store(acc, c, c_row, columns)


@inline
def _tiles(acc, i, a, a_row, a_column, b, b_row, b_panel, c, c_row, rows, columns, depth, resume, bias, end):
    """Tiles as high as acc from row i of c on, while there are enough rows: c = (resume ? c : 0) + a b (+ bias, relu).
    Returns the first row that is left."""
    zeros, height, width = acc, tile_height(acc), tile_width(acc)
    while i + height <= rows:
        for j in range(0, columns, width):
            part = shift(c, i * c_row + j)
            acc = tile_load(zeros, part, c_row, columns - j) if resume else zeros
            following = shift(part, width) if j + width < columns else shift(c, (i + height) * c_row)
            acc = outer_fma(acc, shift(a, i * a_row), a_row, a_column, shift(b, j // width * b_panel), b_row, None,
                            depth, following, c_row, None)
            _finish(acc, part, c_row, columns - j, shift(bias, j), end)
        i += height
    return i


@shared
def block(a, a_row, a_column, b, b_row, b_panel, c, c_row, rows, columns, depth, resume, bias, end):
    """c = (resume ? c : 0) + a b (+ bias, relu), few rows of c after the other; the panels of b are b_panel numbers
    apart."""
    ends = (a, a_row, a_column, b, b_row, b_panel, c, c_row, rows, columns, depth, resume, bias, end)
    # of what is left, 5 rows are 3 and 2, and 4 are 2 and 2: a tile for 4 gains 1 to 5 % and takes seconds to compile
    if VECTORS == 1 or columns <= lanes(c):
        i = _tiles(tile(c, NARROW_HEIGHT, 1), 0, *ends)
        i = _tiles(tile(c, HEIGHT, 1), i, *ends)
        i = _tiles(tile(c, 3, 1), i, *ends) if (rows - i) % 2 else i
        _tiles(tile(c, 1, 1), _tiles(tile(c, 2, 1), i, *ends), *ends)
    elif columns <= NARROW * lanes(c):
        i = _tiles(tile(c, HEIGHT, 2), 0, *ends)
        i = _tiles(tile(c, 3, 2), i, *ends) if (rows - i) % 2 else i
        _tiles(tile(c, 1, 2), _tiles(tile(c, 2, 2), i, *ends), *ends)
    else:
        i = _tiles(tile(c, HEIGHT, 4), 0, *ends)
        i = _tiles(tile(c, 3, 4), i, *ends) if (rows - i) % 2 else i
        _tiles(tile(c, 1, 4), _tiles(tile(c, 2, 4), i, *ends), *ends)


@shared
def copying_rows(a, a_row, a_column, x, x_row, b, b_panel, c, c_row, columns, depth, resume, bias, end):
    """The first HEIGHT rows of a block. Whole panels of b still lie in x, and are copied as they are read."""
    zeros = tile(c, HEIGHT, VECTORS)
    width = tile_width(zeros)
    for j in range(0, columns, width):
        part, panel = shift(c, j), shift(b, j // width * b_panel)
        acc = tile_load(zeros, part, c_row, columns - j) if resume else zeros
        if columns - j >= width:
            acc = outer_fma(acc, a, a_row, a_column, shift(x, j), x_row, None, depth, shift(part, width), c_row, panel)
        else:
            acc = outer_fma(acc, a, a_row, a_column, panel, width, None, depth, part, c_row, None)
        _finish(acc, part, c_row, columns - j, shift(bias, j), end)


@shared
def single_row(a, a_column, b, b_row, c, columns, depth, resume, bias, end):
    """One row of c = (resume ? c : 0) + a b (+ bias, relu), in a tile that is wide, not high."""
    width = ROW_VECTORS * lanes(c)
    for j in range(0, columns, width):
        right, part, acc = shift(b, j), shift(c, j), tile(c, 1, ROW_VECTORS)
        if resume:
            acc = tile_load(acc, part, columns, columns - j)
        if columns - j >= width:  # without a mask 5 % faster
            acc = outer_fma(acc, a, a_column, a_column, right, b_row, None, depth, part, columns, None)
        else:
            acc = outer_fma(acc, a, a_column, a_column, right, b_row, columns - j, depth, part, columns, None)
        _finish(acc, part, columns, columns - j, shift(bias, j), end)


@shared
def few_rows(a, a_row, a_column, b, b_row, c, c_row, rows, columns, depth, bias, end):
    """At most FEW rows of c = a b^T (+ bias, relu) for depth > 0: columns of c are in the lanes, b is transposed in
    registers. What is left of k, or of few columns, is copied; it may begin with some that were already used."""
    w, width, copies = lanes(c), FEW_VECTORS * lanes(c), scratch(c, FEW_ROOM)
    whole = depth // w * w if columns >= width else 0
    for j in range(0, columns, width):
        at, k = max(min(j, columns - width), 0), 0
        part = shift(b, at * b_row)
        while k < depth:
            size, start = whole if k < whole else min(w, depth - k), max(min(k, depth - w), 0)
            if k >= whole:
                copy_transposed(shift(part, start), b_row, copies, width, 0, k + size - start, min(width, columns))
            step = (k < whole, shift(a, k * a_column), a_row, a_column, part, b_row, shift(copies, (k - start) * width),
                    shift(c, at), c_row, columns - at, size, k > 0, shift(bias, at),
                    end if k + size == depth else NOTHING)
            if rows == 1:
                _few_rows(tile(c, 1, FEW_VECTORS), *step)
            else:
                _few_rows(tile(c, 2, FEW_VECTORS), *step)
            k += size


@inline
def _few_rows(acc, there, a, a_row, a_column, b, b_row, copies, c, c_row, columns, depth, resume, bias, end):
    """A tile of the same, of b^T where it lies or of its copies."""
    if resume:
        acc = tile_load(acc, c, c_row, columns)
    if there:
        acc = inner_fma(acc, a, a_row, a_column, b, b_row, depth)
    else:
        acc = outer_fma(acc, a, a_row, a_column, copies, tile_width(acc), None, depth, c, c_row, None)
    _finish(acc, c, c_row, columns, bias, end)


@shared
def copy_rows(x, x_row, y, y_row, y_panel, rows, columns):
    """Rows of x cut into panels y_row wide, which stand y_panel numbers apart in y, the last filled up with zeros.
    The hardware fetches what follows in a row ahead, but not the next row: 1024^3 takes 10 % longer panel by
    panel, and 1 % without the prefetch."""
    row = tile(y, 1, VECTORS)
    for r in range(rows):
        part, to = shift(x, r * x_row), shift(y, r * y_row)
        for q in range(0, columns, tile_width(row)):
            if columns > tile_width(row):
                for line in range(0, tile_width(row), lanes(y)):
                    prefetch(part, x_row + q + line)
            tile_store(tile_load(row, shift(part, q), 0, columns - q), to, 0, y_row)
            to = shift(to, y_panel)


@shared
def copy_transposed(x, x_row, y, y_row, y_panel, rows, columns):
    """The same of the transpose of x: `rows` and `columns` are its."""
    w = lanes(y)
    for first in range(0, columns, y_row):
        for q in range(first, first + y_row, w):
            at = first // y_row * y_panel + q - first
            if columns - q < w:
                for r in range(rows):
                    store(y, at + r * y_row, at + r * y_row + w, splat(y, 0.0))
            for r in range(0, rows if q < columns else 0, w):
                transpose(x, q * x_row + r, x_row, min(w, columns - q), min(w, rows - r), y, at + r * y_row, y_row)


@shared
def copy_columns(x, x_row, y, rows, columns):
    """The first columns of x in at most GROUPS groups of HEIGHT. Of a group each row's numbers stand after those of the
    one before: whole vectors are written, of which the next row overwrites the rest, and the last one a gap."""
    for r in range(rows):
        for q in range(0, min(columns, GROUPS * HEIGHT), HEIGHT):
            at = q * rows + q // HEIGHT * lanes(y) + r * HEIGHT
            store(y, at, at + lanes(y), load(x, r * x_row + q, r * x_row + columns, 0.0))

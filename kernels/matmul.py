"""Matrix product: c = a b, and with an epilogue c = f(a b + bias).

Each element of c is one chain of fused multiply-adds over ascending k. The loops below only choose which elements are
in registers and caches, so no size in this file changes a bit.

    for each block of columns of b
        for each block of numbers k                c is read back and the chains go on
            copy b's block in panels               stays in the second-level cache
            for each few rows of a                 stay in the first-level cache
                for each panel of b                c is written along its rows
                    a tile, see core/panels.py     in registers

Of a small b each panel is a block. It is copied if it is transposed, narrow, or used by many rows.
"""

import numpy as np
from numba import prange

from .core import check, elementary
from .core.compile import inline, loops, pick, shared
from .core.memory import aligned, load, load_wide, pointer, scratch, shift, store, transpose
from .core.panels import (ADD, ADD_RELU, FEW, GROUPS, HEIGHT, NARROW, NOTHING, VECTORS, block, copy_columns, copy_rows,
                          copy_transposed, copying_rows, few_rows, single_row)
from .core.public import public
from .core.threads import team
from .core.vectors import WIDE, lanes, select

# Sizes in vectors of 64 bytes where not said otherwise.
BLOCK, DEPTH, COLUMNS = 16_384, 512, 64  # of b, 1 MB; at most so many numbers k, and columns unless k are few
PANEL_DEPTH, COPIED_ROWS = 256, 256  # numbers k in a copy of one panel; rows from which it pays, 2 % for 512x256x256
LARGE_ROWS, LARGE_B = 16, 12_288  # rows and size of b from which b is large, but b^T only
LARGE_A = 24_576  # for an a of more numbers, or more rows than COPIED_ROWS: 512x1024x1024^T takes a tenth less
COPYING_ROWS = 64  # up to which the first rows copy a large b; 16x256x4096 takes a tenth less
LOW_ROWS, LOW_DEPTH = 32, 96  # rows up to which blocks of a large b have so many k: another tenth
FEW_K, LARGE_C = 32, 6_250  # where it is all about writing c; 256x16x4096 takes half as long
PIECE = 256  # columns of c whose transpose is computed at a time
LANES_T, LANES = 10, 4  # columns of c up to which rows of a^T, and of a, are put into lanes
TASK_ROWS, TASK_VECTORS = 24, 4  # what copying b, and reading a, costs a task: as much as so many rows, and columns
PANEL_ROOM, PIECE_ROOM, A_ROOM = PANEL_DEPTH * VECTORS, PIECE * VECTORS, GROUPS * (DEPTH * HEIGHT // 8 + 2)
PARALLEL_FROM = 1_000_000  # multiply-adds; bench/thresholds.py at 2 threads

NO_ACTIVATION, RELU, SIGMOID, TANH = range(4)
A_TRANSPOSED, B_TRANSPOSED, BIAS, ACTIVATION = 1, 2, 4, 8  # flags of a product; the activation stands above them
NO, ONE = np.bool_(False), np.intp(1)  # not literals: what takes them would be compiled once more


@shared
def _along(a, a_row, a_column, b, b_row, b_transposed, c, c_row, rows, columns, depth, resume, bias, end, room, large):
    """c = (resume ? c : 0) + a b (+ bias, relu), by copies of blocks of b in `room` if it is large."""
    width = VECTORS * lanes(c)
    rest = columns % width  # the last panel, a block of its own if it is narrow
    whole = columns if rest > NARROW * lanes(c) else columns - rest
    across, deep, copies, a_copy = width, PANEL_DEPTH, scratch(c, PANEL_ROOM), shift(room, BLOCK * lanes(c))
    if large:
        copies = room
        across = _part(columns, max(COLUMNS, BLOCK // 4 // max(depth, 1)) * lanes(c), width)
        deep = _part(depth, min(DEPTH if rows > LOW_ROWS else LOW_DEPTH, BLOCK * lanes(c) // across), 4)
    j = 0
    while j < columns:
        wide = min(across, whole - j) if j < whole else rest
        copied = large or b_transposed or wide < width or rows >= COPIED_ROWS
        size = deep if copied else depth
        for k in range(0, max(depth, 1), max(size, 1)):  # once for depth 0: the sums are empty, the bias is not
            size, copying = min(size, depth - k), 0
            there, row = shift(b, j * b_row + k if b_transposed else k * b_row + j), b_row
            right, left, first = there, shift(a, k * a_column), 0
            if copied:
                row = width if wide > NARROW * lanes(c) else (wide + lanes(c) - 1) // lanes(c) * lanes(c)
                if b_transposed:
                    copy_transposed(there, b_row, copies, row, size * row, size, wide)
                else:
                    copying = wide // width * width if large and HEIGHT <= rows <= COPYING_ROWS and a_column == 1 else 0
                    copy_rows(shift(there, copying), b_row, shift(copies, copying * size), row, size * row, size,
                              wide - copying)
                right = copies
            ends = (wide, size, resume or k > 0, shift(bias, j), end if k + size >= depth else NOTHING)
            if wide > width and a_column > 1:
                for i in range(0, rows, HEIGHT):
                    if i % (GROUPS * HEIGHT) == 0:
                        copy_columns(shift(left, i), a_column, a_copy, size, rows - i)
                    part = shift(a_copy, i // HEIGHT % GROUPS * (size * HEIGHT + lanes(c)))
                    block(part, ONE, ONE * HEIGHT, right, row, size * row, shift(c, i * c_row + j), c_row,
                          min(HEIGHT, rows - i), *ends)
            else:
                if copying > 0:
                    copying_rows(left, a_row, a_column, there, b_row, right, size * row, shift(c, j), c_row, *ends)
                    first = HEIGHT
                block(shift(left, first * a_row), a_row, a_column, right, row, size * row, shift(c, first * c_row + j),
                      c_row, rows - first, *ends)
        j += wide


@inline
def _part(length, most, unit):
    """The length of parts, a multiple of `unit`, that are at most about as long as `most` and nearly equal."""
    count = max((length + most - 1) // most, 1)
    return ((length + count - 1) // count + unit - 1) // unit * unit


@shared
def _across(a, a_row, a_transposed, b, b_row, b_transposed, c, c_row, rows, columns, depth, resume, bias, end):
    """The same with rows of a in the lanes: c^T = b^T a^T in pieces, written transposed. For few columns a is
    transposed in registers."""
    few = columns <= FEW and not a_transposed and depth > 0
    width = PIECE // LANES * lanes(c) if few else VECTORS * lanes(c)
    sums = scratch(c, PIECE_ROOM)
    b_next, b_step = (b_row, 1) if b_transposed else (1, b_row)
    for i in range(0, rows, width):
        height = min(width, rows - i)
        left = shift(a, i if a_transposed else i * a_row)
        for j in range(0, columns, PIECE):
            wide = min(PIECE, columns - j)
            if few:
                few_rows(shift(b, j * b_next), b_next, b_step, left, a_row, sums, width, wide, height, depth, sums,
                         NOTHING)
            else:
                if resume:
                    _read_transposed(sums, width, shift(c, i * c_row + j), c_row, height, wide)
                _along(shift(b, j * b_next), b_next, b_step, left, a_row, not a_transposed, sums, width, wide, height,
                       depth, resume, sums, NOTHING, sums, NO)
            _write_transposed(sums, width, shift(c, i * c_row + j), c_row, height, wide, shift(bias, j), end)


@inline
def _read_transposed(sums, width, c, c_row, rows, columns):
    """sums[j, q] = c[q, j]; few columns."""
    for q in range(rows):
        for j in range(columns):
            sums[j * width + q] = c[q * c_row + j]


@shared
def _write_transposed(sums, width, c, c_row, rows, columns, bias, end):
    """c[q, j] = sums[j, q] (+ bias, relu)."""
    w = lanes(c)
    if end >= ADD:
        for j in range(columns):
            for at in range(j * width, j * width + rows, w):
                v = load(sums, at, at + w, 0.0) + bias[j]
                store(sums, at, at + w, select(v <= 0.0, 0.0, v) if end == ADD_RELU else v)
    for q in range(0, rows, w):
        for j in range(0, columns, w):
            if columns <= LANES:
                for column in range(columns):
                    for r in range(q, min(q + w, rows)):
                        c[r * c_row + column] = sums[column * width + r]
            else:
                transpose(sums, j * width + q, width, min(w, columns - j), min(w, rows - q), c, q * c_row + j, c_row)


@shared
def _activate(c, c_row, rows, columns, activation):
    """c = sigmoid(c) or tanh(c), while the block is in cache."""
    if columns == c_row:
        rows, columns = 1, rows * columns
    for i in range(rows):
        end = i * c_row + columns
        for at in range(i * c_row, end, WIDE * lanes(c)):
            v = load_wide(c, at, end, 0.0)
            store(c, at, end, elementary.sigmoid(v) if activation == SIGMOID else elementary.tanh(v))


@shared
def _task(a, b, c, bias, flags, resume, room, large, rows, columns, i, j):
    """The block of c at (i, j), by the way that suits its shape."""
    a_transposed, b_transposed, activation = flags & A_TRANSPOSED != 0, flags & B_TRANSPOSED != 0, flags // ACTIVATION
    end = NOTHING if flags & BIAS == 0 else ADD_RELU if activation == RELU else ADD
    a_row, a_column, depth = (1, a.shape[1], a.shape[0]) if a_transposed else (a.shape[1], 1, a.shape[1])
    b_row, c_row = b.shape[1], c.shape[1]
    rows, columns = min(rows, c.shape[0] - i), min(columns, c_row - j)
    part, left = shift(pointer(c), i * c_row + j), shift(pointer(a), i * a_row)
    right, ends = shift(pointer(b), j * b_row if b_transposed else j), (depth, resume, shift(pointer(bias), j), end)
    narrow = columns <= (LANES_T if a_transposed else LANES) and rows >= lanes(c)
    low = b_transposed and not a_transposed and lanes(c) <= 2 * rows <= 2 * lanes(c) <= columns
    if narrow or low:
        _across(left, a.shape[1], a_transposed, right, b_row, b_transposed, part, c_row, rows, columns, *ends)
    elif rows <= FEW and b_transposed and depth > 0:
        few_rows(left, a_row, a_column, right, b_row, part, c_row, rows, columns, depth, shift(pointer(bias), j), end)
    elif rows == 1:
        single_row(left, a_column, right, b_row, part, columns, *ends)
    else:
        _along(left, a_row, a_column, right, b_row, b_transposed, part, c_row, rows, columns, *ends, aligned(room),
               large)
    if activation > RELU:
        _activate(part, c_row, rows, columns, activation)


def _rows(flags):
    """What has the batch's rows (core/blocks.py): a and c, or a and b of a^T b. The rows of b^T are columns of c."""
    if flags & A_TRANSPOSED and flags & B_TRANSPOSED:
        return None
    names = ("a", "b") if flags & A_TRANSPOSED else ("a", "c")
    return names if flags & BIAS else (*names, "bias")


@loops(writes=("c",), rows=_rows)
def _product(a, b, c, bias, flags, first, tasks):
    """c cut into as many blocks as there are tasks, of the height and width that take least time. Of a^T b the chains
    in c go on if rows before `first` were added."""
    rows, columns = c.shape
    width = VECTORS * lanes(c)
    height, across, down, beside, least = rows, (columns + width - 1) // width * width, 1, 1, 0
    for n in range(1, tasks + 1 if tasks > 1 else 1):  # divisions take 15 ns, a seventh of 4x4x4
        if tasks % n == 0:
            h, w = (rows * n + tasks - 1) // tasks, (columns + n * width - 1) // (n * width) * width
            work = (h + TASK_ROWS) * (w + TASK_VECTORS * lanes(c))
            if n == 1 or work < least:
                least, height, across = work, h, w
    a_transposed, b_transposed = flags & A_TRANSPOSED != 0, flags & B_TRANSPOSED != 0
    depth = a.shape[0] if a_transposed else a.shape[1]
    large = height >= LARGE_ROWS and (
        depth * across > LARGE_B * lanes(c)
        and not (b_transposed and height <= COPIED_ROWS and height * depth <= LARGE_A * lanes(c))
        or depth <= FEW_K and height * across > LARGE_C * lanes(c))
    if tasks > 1:
        down, beside = (rows + height - 1) // height, (columns + across - 1) // across
    resume = a_transposed and first > 0
    for task in prange(down * beside):
        room = np.empty((1, (BLOCK + A_ROOM) * lanes(c)), c.dtype) if large else c  # even an empty one takes 20 ns
        i, j = task // beside * height, task % beside * across
        _task(a, b, c, bias, flags, resume, room, large, height, across, i, j)


def product(a, b, c, flags, work, parallel, bias=None):
    """c = f(a b + bias) for checked arrays, a and b as they lie in memory, of `work` multiply-adds. With a bias, BIAS
    must be in flags; without one, f must be the identity."""
    if work or c.size:
        large = work >= PARALLEL_FROM
        nest = pick(_product, large, parallel)
        tasks = team() if parallel or large and parallel is None else 1
        nest(a, b, c, a if bias is None else bias, flags, 0, tasks)  # a stands for it, and is not read as such
    return c


@public
def forward(a, b, *, out=None, parallel=None):
    """The matrix product a b.

    a : (M, K) float32 or float64, any strides; not modified
    b : (K, N) dtype of a, any strides; not modified
    out : (M, N) dtype of a, C-contiguous, written and returned; must not overlap a or b
    parallel : None decides by size; True or False overrides

    A transposed operand such as `w.T` is read where it lies. Returns c (M, N), dtype of a.
    Raises TypeError for other or unequal dtypes, ValueError for shapes that do not fit.
    K = 0 gives zeros, M = 0 or N = 0 an empty array; NaN propagates.
    Formula and source: kernels/reference/matmul.py
    """
    a, a_transposed, b, b_transposed = check.factors("a", a, "b", b)
    m, k = a.shape
    size, n = b.shape
    if a_transposed:
        m, k = k, m
    if b_transposed:
        size, n = n, size
    if size != k:
        raise ValueError(f"b must have shape ({k}, n) to match a {(m, k)}, got {(size, n)}")
    c = np.empty((m, n), a.dtype) if out is None else check.out("out", out, (m, n), a.dtype, a, b)
    return product(a, b, c, A_TRANSPOSED * a_transposed + B_TRANSPOSED * b_transposed, m * n * k, parallel)


@public
def backward(dc, a, b, *, out=None, parallel=None):
    """The gradients with respect to a and b: dc b^T and a^T dc.

    dc : (M, N) float32 or float64, any strides; not modified
    a : (M, K), b : (K, N) dtype of dc, any strides; not modified
    out : a tuple of (M, K) and (K, N) arrays to write, None for those to allocate
    parallel : None decides by size; True or False overrides

    Returns (da, db), shapes of a and b, dtype of dc. Errors and edge cases as in `forward`.
    Formula and source: kernels/reference/matmul.py
    """
    da, db = check.outs(out, 2)
    dc, dc_transposed = check.matrix("dc", dc)
    a, a_transposed, b, b_transposed = check.factors("a", a, "b", b)
    check.dtype_of("a", a, "dc", dc)
    m, n = dc.shape[::-1] if dc_transposed else dc.shape
    rows, k = a.shape[::-1] if a_transposed else a.shape
    size, columns = b.shape[::-1] if b_transposed else b.shape
    if rows != m:
        raise ValueError(f"a must have shape ({m}, k) to match dc {(m, n)}, got {(rows, k)}")
    if (size, columns) != (k, n):
        raise ValueError(f"b must have shape {(k, n)} to match a {(m, k)} and dc {(m, n)}, got {(size, columns)}")
    da = check.out("out[0]", da, (m, k), a.dtype, dc, a, b)
    db = check.out("out[1]", db, (k, n), a.dtype, dc, a, b, da)
    left = A_TRANSPOSED * dc_transposed + B_TRANSPOSED * (not b_transposed)
    right = A_TRANSPOSED * (not a_transposed) + B_TRANSPOSED * dc_transposed
    return (product(dc, b, da, left, m * n * k, parallel),
            product(a, dc, db, right, m * n * k, parallel))

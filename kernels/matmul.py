"""Matrix product: c = a b, and with an epilogue c = f(a b + bias).

Each element of c is one chain of fused multiply-adds over ascending k. The loops below only choose which elements are
in registers and caches, so no size in this file changes a bit.

    for each block of columns of b, PANELS wide
        for each block of DEPTH numbers k                c is read back and the chains go on
            for each block of ROWS rows of a             stays in the second-level cache
                for each panel of b                      stays in the first-level cache
                    for each tile of rows and columns    in registers: one column of a times one row of b at a time

b's panels are copied to a buffer if b is transposed or used often, a's blocks if their rows would clash in the cache.
"""

import numpy as np
from numba import prange

from .core import check, elementary
from .core.compile import inline, loops, pick, shared
from .core.public import public
from .core.threads import team
from .core.memory import aligned, load, load_wide, pointer, scratch, shift, store, transpose
from .core.tiles import outer_fma, tile, tile_add, tile_load, tile_prefetch, tile_relu, tile_store, tile_width
from .core.vectors import REGISTER_BYTES, WIDE, lanes, select

# A tile fills the registers: 14 x 2 vectors and 2 of b of AVX-512's 32, 6 x 2 half vectors of AVX2's 16. The rows
# that are left go to ever lower tiles.
if REGISTER_BYTES == 64:
    H0, H1, H2, H3, H4, VECTORS, LOW_VECTORS = 14, 8, 4, 2, 1, 2, 4
else:
    H0, H1, H2, H3, H4, VECTORS, LOW_VECTORS = 6, 4, 3, 2, 1, 1, 1
ROW_VECTORS = 8  # vectors of the tile for a single row: as many chains as hide the latency of an fma
ROWS = 26 * H0
DEPTH = 256
PANELS = 32  # of DEPTH rows of b, 1 MB; without PAD between them, the same rows of all fall on one place of the cache
PAD = 32
# Rows of a and size of b from which copying a panel of b pays; in place 64x1024x1024 takes 2.7 times as long,
# 64x784x512 1.7 times, 128x784x128 1.05 times, and 16x784x128 0.8 times.
PACK_B, PACK_LARGE_B = (96, 10_000), (15, 250_000)
PACK_A = 64, 65_536  # columns of b and size of a from which a block of a^T, or of rows at CLASH, is worth a copy
CLASH = 2048  # bytes: rows at a multiple of it fall on the same places of the first-level cache; 1024^3 gains 10 %
SHALLOW, LOW_ROWS = 4, 16  # numbers k up to which tiles are low and wide, and rows: 256x1x512 takes half as long
LANES_T, LANES = 10, 4  # columns of c up to which rows of a^T, and of a, are put into lanes
PARALLEL_FROM = 1_000_000  # multiply-adds; bench/thresholds.py at 2 threads
A_ROOM = (ROWS + H0) * DEPTH  # numbers
LOW_PANEL, LANE_SUMS = DEPTH * LOW_VECTORS, LANES_T * LOW_VECTORS

NO_ACTIVATION, RELU, SIGMOID, TANH = range(4)
A_TRANSPOSED, B_TRANSPOSED, BIAS, ACTIVATION = 1, 2, 4, 8  # flags of a product; the activation stands above them
NOTHING, ADD, ADD_RELU = np.intp(0), np.intp(1), np.intp(2)  # what a tile does with its bias at the end
YES, NO, ONE = np.bool_(True), np.bool_(False), np.intp(1)  # not literals: each would compile _panel once more

# Matrices are pointers to where the part in question begins, with the distance from row to row and from column to
# column: of b and c only the former, since the numbers of their rows lie side by side.


@inline
def _tile(acc, a, a_row, a_column, b, b_row, c, c_row, depth, columns, resume, bias, end, ahead):
    """Rows of c, as many as acc has: c = (resume ? c : 0) + a b over `depth` numbers k (+ bias, relu)."""
    if resume:
        acc = tile_load(acc, c, 0, c_row, columns)
        tile_prefetch(acc, c, ahead, c_row)
    if columns >= tile_width(acc):  # without a mask 5 % faster
        for k in range(depth):
            acc = outer_fma(acc, a, k * a_column, a_row, b, k * b_row, tile_width(acc))
    else:
        for k in range(depth):
            acc = outer_fma(acc, a, k * a_column, a_row, b, k * b_row, columns)
    if end >= ADD:
        acc = tile_add(acc, bias, 0, columns)
        if end == ADD_RELU:
            acc = tile_relu(acc)
    tile_store(acc, c, 0, c_row, columns)


@inline
def _tiles(acc, height, i, a, a_next, a_row, a_column, b, b_row, c, c_row, rows, depth, columns, resume, bias, end):
    """Tiles of `height` rows from row i on, while there are enough rows; returns the first row that is left."""
    while i + height <= rows:
        _tile(acc, shift(a, i * a_next), a_row, a_column, b, b_row, shift(c, i * c_row), c_row, depth, columns,
              resume, bias, end, height * c_row)
        i += height
    return i


@shared
def _panel(a, a_next, a_row, a_column, b, b_row, c, c_row, rows, depth, columns, resume, bias, end):
    """All rows of one panel of c, from the highest tiles to the lowest. a_next is a_row, but in a block of a that was
    packed for H0 rows at a time, where row i of these is at i * a_next."""
    rest = shift(a, rows // H0 * H0 * (a_next - a_row))
    ends = (b, b_row, c, c_row, rows, depth, columns, resume, bias, end)
    if columns <= lanes(c):
        i = _tiles(tile(c, H0, 1), H0, 0, a, a_next, a_row, a_column, *ends)
        i = _tiles(tile(c, H1, 1), H1, i, rest, a_row, a_row, a_column, *ends)
        i = _tiles(tile(c, H2, 1), H2, i, rest, a_row, a_row, a_column, *ends)
        i = _tiles(tile(c, H3, 1), H3, i, rest, a_row, a_row, a_column, *ends)
        i = _tiles(tile(c, H4, 1), H4, i, rest, a_row, a_row, a_column, *ends)
    else:
        i = _tiles(tile(c, H0, VECTORS), H0, 0, a, a_next, a_row, a_column, *ends)
        i = _tiles(tile(c, H1, VECTORS), H1, i, rest, a_row, a_row, a_column, *ends)
        i = _tiles(tile(c, H2, VECTORS), H2, i, rest, a_row, a_row, a_column, *ends)
        i = _tiles(tile(c, H3, VECTORS), H3, i, rest, a_row, a_row, a_column, *ends)
        i = _tiles(tile(c, H4, VECTORS), H4, i, rest, a_row, a_row, a_column, *ends)


@shared
def _block(a, a_row, a_column, b, b_row, c, c_row, rows, columns, depth, bias, end):
    """c = a b (+ bias), with a and b read where they lie."""
    width = VECTORS * lanes(c)
    for j in range(0, columns, width):
        _panel(a, a_row, a_row, a_column, shift(b, j), b_row, shift(c, j), c_row, rows, depth, min(width, columns - j),
               NO, shift(bias, j), end)


@shared
def _single_row(a, a_column, b, b_row, c, columns, depth, bias, end):
    """The same for one row: its tile is wide, not high."""
    width = ROW_VECTORS * lanes(c)
    for j in range(0, columns, width):
        _tile(tile(c, 1, ROW_VECTORS), a, a_column, a_column, shift(b, j), b_row, shift(c, j), columns, depth,
              min(width, columns - j), NO, shift(bias, j), end, 0)


@shared
def _copy(x, x_row, transposed, y, y_row, rows, columns):
    """y[r, q] = x[r, q], or x[q, r] if transposed, for r < rows and q < columns."""
    w = lanes(y)
    for r in range(0, rows, w):
        for q in range(0, columns, w):
            if transposed:
                transpose(x, q * x_row + r, x_row, min(w, columns - q), min(w, rows - r), y, r * y_row + q, y_row)
            else:
                for i in range(r, min(r + w, rows)):
                    store(y, i * y_row + q, i * y_row + columns, load(x, i * x_row + q, i * x_row + columns, 0.0))


@shared
def _copy_panels(x, x_row, y, y_panel, rows, columns):
    """Rows of x cut into panels, which stand y_panel numbers apart in y. Whole rows of x at a time: the hardware
    fetches what follows in a row ahead, but not the next row, and 1024^3 takes 10 % longer panel by panel."""
    w, width = lanes(y), VECTORS * lanes(y)
    for r in range(rows):
        for q in range(0, columns, w):
            at = q // width * y_panel + r * width + q % width
            store(y, at, at + w, load(x, r * x_row + q, r * x_row + columns, 0.0))


@shared
def _packed_block(a, a_row, a_column, b, b_row, b_transposed, c, c_row, rows, columns, depth, bias, end, room, pack_a):
    """The same by blocks, with copies of b's panels and, if pack_a, of a's blocks, in `room`."""
    width = VECTORS * lanes(c)
    panels = shift(room, A_ROOM if pack_a else 0)
    blocks = (rows + ROWS - 1) // ROWS
    step = (rows + blocks * H0 - 1) // (blocks * H0) * H0
    apart = DEPTH * width + PAD if blocks > 1 else 0  # 0: a panel is used at once and not again
    for first in range(0, columns, PANELS * width):
        wide = min(PANELS * width, columns - first)
        for k in range(0, max(depth, 1), DEPTH):  # once for depth 0: the sums are empty, the bias is not
            size = min(DEPTH, depth - k)
            last = k + DEPTH >= depth
            if blocks > 1 and not b_transposed:
                _copy_panels(shift(b, k * b_row + first), b_row, panels, apart, size, wide)
            for i in range(0, rows, step):
                height = min(step, rows - i)
                block, next_, row, column = shift(a, i * a_row + k * a_column), a_row, a_row, a_column
                if pack_a:
                    block, next_, row, column = room, size, ONE, ONE * H0
                    for r in range(0, height, H0):
                        _copy(shift(a, (i + r) * a_row + k * a_column), max(a_row, a_column), a_column == 1,
                              shift(block, r * size), ONE * H0, size, min(H0, height - r))
                for j in range(first, first + wide, width):
                    panel = shift(panels, (j - first) // width * apart)
                    if i == 0 and (blocks == 1 or b_transposed):
                        _copy(shift(b, j * b_row + k if b_transposed else k * b_row + j), b_row, b_transposed, panel,
                              width, size, min(width, columns - j))
                    _panel(block, next_, row, column, panel, width, shift(c, i * c_row + j), c_row, height, size,
                           min(width, columns - j), k > 0, shift(bias, j), end if last else NOTHING)


@shared
def _low_panel(a, a_row, a_column, b, b_row, c, c_row, rows, depth, columns, resume, bias, end):
    """_panel for a wide and low c: the tile has few rows, four at most, and more vectors."""
    ends = (a_row, a_row, a_column, b, b_row, c, c_row, rows, depth, columns, resume, bias, end)
    i = _tiles(tile(c, 4, LOW_VECTORS), 4, 0, a, *ends)
    i = _tiles(tile(c, 3, LOW_VECTORS), 3, i, a, *ends)
    i = _tiles(tile(c, 2, LOW_VECTORS), 2, i, a, *ends)
    i = _tiles(tile(c, 1, LOW_VECTORS), 1, i, a, *ends)


@shared
def _low_block(a, a_row, a_column, b, b_row, b_transposed, c, c_row, rows, columns, depth, bias, end):
    """The same for few rows, or few k where it is all about writing c: in longer pieces, a few rows at a time."""
    width = LOW_VECTORS * lanes(c)
    panel = scratch(c, LOW_PANEL)
    step = rows if b_transposed or columns <= width else LOW_ROWS
    for i in range(0, rows, step):
        for j in range(0, columns, width):
            wide = min(width, columns - j)
            for k in range(0, max(depth, 1), DEPTH):
                size = min(DEPTH, depth - k)
                right, right_row = shift(b, k * b_row + j), b_row
                if b_transposed:
                    _copy(shift(b, j * b_row + k), b_row, YES, panel, width, size, wide)
                    right, right_row = panel, ONE * width
                _low_panel(shift(a, i * a_row + k * a_column), a_row, a_column, right, right_row,
                           shift(c, i * c_row + j), c_row, min(step, rows - i), size, wide, k > 0, shift(bias, j),
                           end if k + DEPTH >= depth else NOTHING)


@shared
def _lane_block(a, a_row, a_transposed, b, b_row, b_column, c, rows, columns, depth, bias, end):
    """The same for few columns of b: rows of a in the lanes, columns of b as rows of the tile, c written transposed."""
    width = LOW_VECTORS * lanes(c)
    panel, sums = scratch(c, LOW_PANEL), scratch(c, LANE_SUMS)
    for i in range(0, rows, width):
        height = min(width, rows - i)
        if a_transposed:
            _low_panel(b, b_column, b_row, shift(a, i), a_row, sums, width, columns, depth, height, NO, sums, NOTHING)
        else:
            for k in range(0, max(depth, 1), DEPTH):
                size = min(DEPTH, depth - k)
                _copy(shift(a, i * a_row + k), a_row, YES, panel, width, size, height)
                _low_panel(shift(b, k * b_row), b_column, b_row, panel, width, sums, width, columns, size, height,
                           k > 0, sums, NOTHING)
        if end >= ADD:
            for j in range(columns):
                for at in range(j * width, (j + 1) * width, lanes(c)):
                    v = load(sums, at, (j + 1) * width, 0.0) + bias[j]
                    store(sums, at, (j + 1) * width, select(v <= 0.0, 0.0, v) if end == ADD_RELU else v)
        for q in range(height):
            for j in range(columns):
                c[(i + q) * columns + j] = sums[j * width + q]


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
def _task(a, b, c, bias, flags, pack_a, room, rows, columns, i, j):
    """The block of c at (i, j), by the way that suits its shape."""
    a_transposed, b_transposed, activation = flags & A_TRANSPOSED != 0, flags & B_TRANSPOSED != 0, flags // ACTIVATION
    end = NOTHING if flags & BIAS == 0 else ADD_RELU if activation == RELU else ADD
    a_row, a_column, depth = (1, a.shape[1], a.shape[0]) if a_transposed else (a.shape[1], 1, a.shape[1])
    b_row, c_row = b.shape[1], c.shape[1]
    rows, columns = min(rows, c.shape[0] - i), min(columns, c_row - j)
    part, left = shift(pointer(c), i * c_row + j), shift(pointer(a), i * a_row)
    right, ends = pointer(b), (depth, shift(pointer(bias), j), end)
    if columns == c_row <= (LANES_T if a_transposed else LANES) and rows >= lanes(c):
        b_steps = (1, b_row) if b_transposed else (b_row, 1)
        _lane_block(left, a.shape[1], a_transposed, right, *b_steps, part, rows, columns, *ends)
    elif rows == 1 and not b_transposed:
        _single_row(left, a_column, shift(right, j), b_row, part, columns, *ends)
    elif depth <= SHALLOW or rows == 1:
        _low_block(left, a_row, a_column, shift(right, j * b_row if b_transposed else j), b_row, b_transposed, part,
                   c_row, rows, columns, *ends)
    elif room.size > 0:
        _packed_block(left, a_row, a_column, shift(right, j * b_row if b_transposed else j), b_row, b_transposed, part,
                      c_row, rows, columns, *ends, aligned(room), pack_a)
    else:
        _block(left, a_row, a_column, shift(right, j), b_row, part, c_row, rows, columns, *ends)
    if activation > RELU:
        _activate(part, c_row, rows, columns, activation)


@loops(writes=("c",))
def _product(a, b, c, bias, flags, tasks):
    """c cut into blocks of the height and width that make the largest of `tasks` blocks smallest."""
    rows, columns = c.shape
    best = rows * columns
    width = VECTORS * lanes(c)
    height, across = rows, columns
    for n in range(1, tasks + 1):
        if tasks % n == 0:
            h = (rows * n + tasks * H1 - 1) // (tasks * H1) * H1
            w = (columns + n * width - 1) // (n * width) * width
            if h * w <= best:
                best, height, across = h * w, h, w
    pack_b = (flags & B_TRANSPOSED != 0 or height >= PACK_B[0] and b.size >= PACK_B[1]
              or height >= PACK_LARGE_B[0] and b.size >= PACK_LARGE_B[1])
    clash = pack_b and a.shape[1] * a.itemsize % CLASH == 0
    pack_a = (flags & A_TRANSPOSED != 0 or clash) and columns >= PACK_A[0] and a.size >= PACK_A[1]
    size = min(PANELS, across // width + 1) * (DEPTH * width + PAD) + lanes(c) if pack_a or pack_b else 0
    size += A_ROOM if pack_a else 0
    blocks = (columns + across - 1) // across
    for task in prange((rows + height - 1) // height * blocks):
        room = np.empty(size, c.dtype)
        _task(a, b, c, bias, flags, pack_a, room, height, across, task // blocks * height, task % blocks * across)


def product(a, b, c, flags, work, parallel, bias=None):
    """c = f(a b + bias) for checked arrays, a and b as they lie in memory, of `work` multiply-adds. With a bias, BIAS
    must be in flags; without one, f must be the identity."""
    if work or c.size:
        large = work >= PARALLEL_FROM
        nest = pick(_product, large, parallel)
        tasks = team() if parallel or large and parallel is None else 1
        nest(a, b, c, a if bias is None else bias, flags, tasks)  # a stands for it, and is not read as such
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

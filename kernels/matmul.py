"""Matrix product: c = a b, and with an epilogue c = f(a b + bias).

Each number of c is one chain of fused multiply-adds over ascending k. The loops below only choose which numbers are
in registers and caches when their turn comes, so no size in this file changes a bit.

    for each block of ROWS rows of a              stays in the second-level cache
        for each block of DEPTH numbers k         c is read back and the chains go on
            for each panel of WIDTH columns of b  copied to a buffer if it is transposed or used often
                for each tile of rows             in registers: one column of a times one row of b at a time
"""

import numpy as np
from numba import prange

from . import check, elementary
from .jit import get_num_threads, inline, loops, pick, shared
from .simd import (REGISTER_BYTES, lanes, load, outer_fma, select, store, tile, tile_add, tile_load, tile_store,
                   transpose)

# The tile fills the registers: 14 x 2 vectors and 2 of b of AVX-512's 32, 6 x 2 half vectors of AVX2's 16. What is
# left of the rows goes to ever lower tiles.
if REGISTER_BYTES == 64:
    H0, H1, H2, H3, H4, VECTORS = 14, 8, 4, 2, 1, 2
else:
    H0, H1, H2, H3, H4, VECTORS = 6, 4, 3, 2, 1, 1
ROWS = 24 * H0
DEPTH = 384
PACK_FROM, PACK_SIZE = 96, 65_536  # rows of a and size of b from which a panel is worth a copy
SWAP_TO = 10  # columns of c up to which a^T b is computed as (b^T a)^T
PARALLEL_FROM = 200_000  # multiply-adds

NO_ACTIVATION, RELU, SIGMOID, TANH = range(4)


@inline
def _tile(acc, a, a_at, a_row, a_column, b, b_at, b_row, c, c_at, c_row, depth, columns, resume, bias, bias_at):
    """Rows of c, as many as acc has: c = (resume ? c : 0) + a b over `depth` numbers k, then + bias if it has any."""
    if resume:
        acc = tile_load(acc, c, c_at, c_row, columns)
    for k in range(depth):
        acc = outer_fma(acc, a, a_at + k * a_column, a_row, b, b_at + k * b_row, columns)
    if bias_at >= 0:
        acc = tile_add(acc, bias, bias_at, columns)
    tile_store(acc, c, c_at, c_row, columns)


@inline
def _tiles(acc, height, i, a, a_at, a_row, a_column, b, b_at, b_row, c, c_at, c_row, rows, depth, columns, resume, bias,
           bias_at):
    """Tiles of `height` rows from row i on, while there are enough rows; returns the first row that is left."""
    while i + height <= rows:
        _tile(acc, a, a_at + i * a_row, a_row, a_column, b, b_at, b_row, c, c_at + i * c_row, c_row, depth, columns,
              resume, bias, bias_at)
        i += height
    return i


@shared
def _panel(a, a_at, a_row, a_column, b, b_at, b_row, c, c_at, c_row, rows, depth, columns, resume, bias, bias_at):
    """All rows of one panel of c, from the highest tiles to the lowest."""
    rest = (a, a_at, a_row, a_column, b, b_at, b_row, c, c_at, c_row, rows, depth, columns, resume, bias, bias_at)
    if columns <= lanes(c):
        i = _tiles(tile(c, H0, 1), H0, 0, *rest)
        i = _tiles(tile(c, H1, 1), H1, i, *rest)
        i = _tiles(tile(c, H2, 1), H2, i, *rest)
        i = _tiles(tile(c, H3, 1), H3, i, *rest)
        i = _tiles(tile(c, H4, 1), H4, i, *rest)
    else:
        i = _tiles(tile(c, H0, VECTORS), H0, 0, *rest)
        i = _tiles(tile(c, H1, VECTORS), H1, i, *rest)
        i = _tiles(tile(c, H2, VECTORS), H2, i, *rest)
        i = _tiles(tile(c, H3, VECTORS), H3, i, *rest)
        i = _tiles(tile(c, H4, VECTORS), H4, i, *rest)


@shared
def _pack(b, transposed, b_row, k0, depth, j, columns, panel, width):
    """panel[k, q] = b[k0 + k, j + q] for k < depth, q < columns."""
    w = lanes(panel)
    if transposed:
        for k in range(0, depth, w):
            for q in range(0, columns, w):
                transpose(b, (j + q) * b_row + k0 + k, b_row, min(w, columns - q), min(w, depth - k),
                          panel, k * width + q, width)
    else:
        for k in range(depth):
            at = (k0 + k) * b_row + j
            for q in range(0, columns, w):
                store(panel, k * width + q, (k + 1) * width, load(b, at + q, at + columns, 0.0))


@shared
def _block(a, a_transposed, b, b_transposed, c, bias, i0, i1, j0, j1):
    """c[i0:i1, j0:j1] = a b + bias; the matrices are flat, each with its row length."""
    a_flat, b_flat, c_flat = a.reshape(a.size), b.reshape(b.size), c.reshape(c.size)
    c_row, b_row = c.shape[1], b.shape[1]
    a_row, a_column, size = (1, a.shape[1], a.shape[0]) if a_transposed else (a.shape[1], 1, a.shape[1])
    width = VECTORS * lanes(c)
    pack = b_transposed or (i1 - i0 >= PACK_FROM and size * b_row >= PACK_SIZE)
    panel = np.empty(width * DEPTH if pack else 0, c.dtype)
    for i in range(i0, i1, ROWS):
        rows = min(ROWS, i1 - i)
        for k in range(0, max(size, 1), DEPTH):  # once for size 0: the sums are empty, the bias is not
            depth = min(DEPTH, size - k)
            last = k + DEPTH >= size
            for j in range(j0, j1, width):
                columns = min(width, j1 - j)
                source, at, step = b_flat, k * b_row + j, b_row
                if pack:
                    _pack(b_flat, b_transposed, b_row, k, depth, j, columns, panel, width)
                    source, at, step = panel, 0, width
                bias_at = j if last and bias.size > 0 else -1
                _panel(a_flat, i * a_row + k * a_column, a_row, a_column, source, at, step, c_flat, i * c_row + j,
                       c_row, rows, depth, columns, k > 0, bias, bias_at)


@inline
def _narrow(a, b, c, i, panel):
    """c[i:i + w] = a^T b for few columns of b: tiles of columns of b times rows of a, then written transposed."""
    a_flat, b_flat, c_flat = a.reshape(a.size), b.reshape(b.size), c.reshape(c.size)
    width = VECTORS * lanes(c)
    rows, columns = c.shape
    height = min(width, rows - i)
    _panel(b_flat, 0, 1, columns, a_flat, i, rows, panel, 0, width, columns, a.shape[0], height, False, panel, -1)
    for q in range(height):
        for j in range(columns):
            c_flat[(i + q) * columns + j] = panel[j * width + q]


@shared
def _narrow_block(a, b, c, start, end):
    width = VECTORS * lanes(c)
    panel = np.empty(width * c.shape[1], c.dtype)
    for i in range(start, end, width):
        _narrow(a, b, c, i, panel)


@shared
def _activate(c, activation, i0, i1, j0, j1):
    """c[i0:i1, j0:j1] = f(c[i0:i1, j0:j1]), while the block is in cache."""
    flat = c.reshape(c.size)
    for i in range(i0, i1):
        end = i * c.shape[1] + j1
        for at in range(i * c.shape[1] + j0, end, lanes(c)):
            v = load(flat, at, end, 0.0)
            if activation == RELU:
                v = select(v <= 0.0, 0.0, v)
            elif activation == SIGMOID:
                v = elementary.sigmoid(v)
            else:
                v = elementary.tanh(v)
            store(flat, at, end, v)


@loops
def _product(a, a_transposed, b, b_transposed, c, bias, activation, row_tasks, column_tasks):
    """c cut into a grid of row_tasks x column_tasks blocks."""
    rows = _share(c.shape[0], row_tasks, H1)
    columns = _share(c.shape[1], column_tasks, VECTORS * lanes(c))
    narrow = a_transposed and not b_transposed and c.shape[1] <= SWAP_TO and bias.size == 0
    for task in prange(row_tasks * column_tasks):
        i0, j0 = task // column_tasks * rows, task % column_tasks * columns
        i1, j1 = min(i0 + rows, c.shape[0]), min(j0 + columns, c.shape[1])
        if narrow:
            _narrow_block(a, b, c, i0, i1)
        else:
            _block(a, a_transposed, b, b_transposed, c, bias, i0, i1, j0, j1)
        if activation != NO_ACTIVATION:
            _activate(c, activation, i0, i1, j0, j1)


@inline
def _share(count, tasks, unit):
    """What each task takes: a multiple of `unit`, so that only the last has an edge."""
    return ((count + tasks - 1) // tasks + unit - 1) // unit * unit


def _grid(rows, columns, width, tasks):
    """(row tasks, column tasks) whose largest task is smallest."""
    best, grid = None, (1, tasks)
    for column_tasks in range(tasks, 0, -1):
        if tasks % column_tasks == 0:
            largest = -(-rows // (tasks // column_tasks)) * -(-(-(-columns // width)) // column_tasks)
            if best is None or largest < best:
                best, grid = largest, (tasks // column_tasks, column_tasks)
    return grid


def product(a, a_transposed, b, b_transposed, c, bias=None, activation=NO_ACTIVATION, parallel=None):
    """c = f(a b + bias) for checked arrays; a and b may each be given transposed."""
    rows, columns = c.shape
    depth = a.shape[0] if a_transposed else a.shape[1]
    if bias is None:
        bias = NO_BIAS[c.dtype]
    nest = pick(_product, rows * columns * depth >= PARALLEL_FROM, parallel)
    grid = (1, 1) if nest is _product.serial else _grid(rows, columns, VECTORS * 64 // c.itemsize, get_num_threads())
    nest(a, a_transposed, b, b_transposed, c, bias, activation, *grid)
    return c


NO_BIAS = {np.dtype(kind): np.empty(0, kind) for kind in (np.float32, np.float64)}


def forward(a, b, *, out=None, parallel=None):
    """The matrix product a b.

    a : (M, K) float32 or float64, any strides; not modified
    b : (K, N) dtype of a, any strides; not modified
    out : (M, N) dtype of a, C-contiguous, written and returned; must not overlap a or b
    parallel : None chooses by size; True or False forces

    A transposed operand such as `w.T` is read where it lies. Returns c (M, N), dtype of a.
    Raises TypeError for another or an unequal dtype, ValueError for shapes that do not fit.
    K = 0 gives zeros, M = 0 or N = 0 an empty array; NaN propagates.
    Formula and source: kernels/reference/matmul.py
    """
    a, a_transposed = check.matrix("a", a, True)
    b, b_transposed = check.matrix("b", b, True)
    check.dtype_of("b", b, "a", a)
    (m, k), (size, n) = a.shape[::-1] if a_transposed else a.shape, b.shape[::-1] if b_transposed else b.shape
    if size != k:
        raise ValueError(f"b must have shape ({k}, n) to match a {(m, k)}, got {(size, n)}")
    c = check.out("out", out, (m, n), a.dtype, a, b)
    return product(a, a_transposed, b, b_transposed, c, parallel=parallel)


def backward(dc, a, b, *, out=None, parallel=None):
    """The gradients with respect to a and b: dc b^T and a^T dc.

    dc : (M, N) float32 or float64, any strides; not modified
    a : (M, K), b : (K, N) dtype of dc, any strides; not modified
    out : a tuple of (M, K) and (K, N) arrays to write, None for those to be made
    parallel : None chooses by size; True or False forces

    Returns (da, db), shapes of a and b, dtype of dc. Errors and edge cases as in `forward`.
    Formula and source: kernels/reference/matmul.py
    """
    da, db = check.outs(out, 2)
    return forward(dc, b.T, out=da, parallel=parallel), forward(a.T, dc, out=db, parallel=parallel)

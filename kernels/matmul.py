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
from .simd import (REGISTER_BYTES, lanes, load, outer_fma, pointer, scratch, select, store, tile, tile_add, tile_load,
                   tile_store, transpose)

# A tile fills the registers: 14 x 2 vectors and 2 of b of AVX-512's 32, 6 x 2 half vectors of AVX2's 16. The rows
# that are left go to ever lower tiles.
if REGISTER_BYTES == 64:
    H0, H1, H2, H3, H4, VECTORS = 14, 8, 4, 2, 1, 2
else:
    H0, H1, H2, H3, H4, VECTORS = 6, 4, 3, 2, 1, 1
ROWS = 24 * H0
DEPTH = 384
PACK_FROM, PACK_SIZE = 96, 65_536  # rows of a and size of b from which a panel is worth a copy
SWAP_TO = 10  # columns of c up to which a^T b is computed as (b^T a)^T
PARALLEL_FROM = 200_000  # multiply-adds
PANEL, NARROW = DEPTH * VECTORS, SWAP_TO * VECTORS  # vectors on the stack: 48 KB and 1 KB

NO_ACTIVATION, RELU, SIGMOID, TANH = range(4)
ZERO, FALSE = np.intp(0), np.bool_(False)  # a literal argument would compile _panel once more

# Matrices are pointers here, with the distance from row to row and from column to column: of b and c only the former,
# since the columns of their rows lie side by side. `at` is where the part in question begins.


@inline
def _tile(acc, a, a_at, a_row, a_column, b, b_at, b_row, c, c_at, c_row, depth, columns, resume, bias, bias_at):
    """Rows of c, as many as acc has: c = (resume ? c : 0) + a b over `depth` numbers k, then + bias from bias_at on."""
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
def _block(a, a_row, a_column, b, b_row, c, c_row, depth, bias, has_bias, i0, i1, j0, j1):
    """c[i0:i1, j0:j1] = a b + bias, with a and b read where they lie."""
    width = VECTORS * lanes(c)
    for j in range(j0, j1, width):
        _panel(a, i0 * a_row, a_row, a_column, b, j, b_row, c, i0 * c_row + j, c_row, i1 - i0, depth,
               min(width, j1 - j), FALSE, bias, j if has_bias else -1)


@shared
def _pack(b, transposed, b_row, k0, depth, j, columns, panel, width):
    """panel[k, q] = b[k0 + k, j + q] for k < depth and q < columns."""
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
def _packed_block(a, a_row, a_column, b, b_transposed, b_row, c, c_row, size, bias, has_bias, i0, i1, j0, j1):
    """The same by blocks of rows and of k, each panel of b copied to a buffer first."""
    width = VECTORS * lanes(c)
    panel = scratch(c, PANEL)
    for i in range(i0, i1, ROWS):
        rows = min(ROWS, i1 - i)
        for k in range(0, max(size, 1), DEPTH):  # once for size 0: the sums are empty, the bias is not
            depth = min(DEPTH, size - k)
            add = has_bias and k + DEPTH >= size
            for j in range(j0, j1, width):
                columns = min(width, j1 - j)
                _pack(b, b_transposed, b_row, k, depth, j, columns, panel, width)
                _panel(a, i * a_row + k * a_column, a_row, a_column, panel, ZERO, width, c, i * c_row + j, c_row,
                       rows, depth, columns, k > 0, bias, j if add else -1)


@shared
def _narrow_block(a, a_row, b, c, columns, depth, i0, i1):
    """c[i0:i1] = a^T b for few columns of b: tiles of columns of b times rows of a, then written transposed."""
    width = VECTORS * lanes(c)
    panel = scratch(c, NARROW)
    for i in range(i0, i1, width):
        rows = min(width, i1 - i)
        _panel(b, ZERO, ZERO + 1, columns, a, i, a_row, panel, ZERO, width, columns, depth, rows, FALSE, panel, ZERO - 1)
        for q in range(rows):
            for j in range(columns):
                c[(i + q) * columns + j] = panel[j * width + q]


@shared
def _activate(c, c_row, activation, i0, i1, j0, j1):
    """c[i0:i1, j0:j1] = f(c[i0:i1, j0:j1]), while the block is in cache."""
    for i in range(i0, i1):
        end = i * c_row + j1
        for at in range(i * c_row + j0, end, lanes(c)):
            v = load(c, at, end, 0.0)
            if activation == RELU:
                v = select(v <= 0.0, 0.0, v)
            elif activation == SIGMOID:
                v = elementary.sigmoid(v)
            else:
                v = elementary.tanh(v)
            store(c, at, end, v)


@shared
def _task(a, a_row, a_column, a_transposed, b, b_row, b_transposed, c, c_row, depth, bias, has_bias, activation, pack,
          i0, i1, j0, j1):
    """One block of c by the way that suits its shape."""
    if a_transposed and not b_transposed and not has_bias and c_row <= SWAP_TO:
        _narrow_block(a, a_column, b, c, c_row, depth, i0, i1)
    elif pack:
        _packed_block(a, a_row, a_column, b, b_transposed, b_row, c, c_row, depth, bias, has_bias, i0, i1, j0, j1)
    else:
        _block(a, a_row, a_column, b, b_row, c, c_row, depth, bias, has_bias, i0, i1, j0, j1)
    if activation != NO_ACTIVATION:
        _activate(c, c_row, activation, i0, i1, j0, j1)


@loops
def _product(a, a_transposed, b, b_transposed, c, bias, activation, rows, columns):
    """c cut into blocks of rows x columns, each written by one task."""
    a_row, a_column, depth = (1, a.shape[1], a.shape[0]) if a_transposed else (a.shape[1], 1, a.shape[1])
    b_row, c_row = b.shape[1], c.shape[1]
    pack = b_transposed or (rows >= PACK_FROM and depth * c_row >= PACK_SIZE)
    across = (c_row + columns - 1) // columns
    for task in prange((c.shape[0] + rows - 1) // rows * across):
        i0, j0 = task // across * rows, task % across * columns
        _task(pointer(a), a_row, a_column, a_transposed, pointer(b), b_row, b_transposed, pointer(c), c_row, depth,
              pointer(bias), bias.size > 0, activation, pack,
              i0, min(i0 + rows, c.shape[0]), j0, min(j0 + columns, c_row))


def _task_size(rows, columns, width, tasks):
    """Rows and columns of a task, such that the largest of `tasks` tasks is smallest; only the last has an edge."""
    best = None
    for across in range(1, tasks + 1):
        if tasks % across == 0:
            height = -(-rows * across // (tasks * H1)) * H1
            panels = -(-columns // (width * across))
            if best is None or height * panels <= best:
                best, size = height * panels, (height, panels * width)
    return size


def product(a, a_transposed, b, b_transposed, c, bias=None, activation=NO_ACTIVATION, parallel=None):
    """c = f(a b + bias) for checked arrays; a and b may each be given transposed; bias is (N,)."""
    rows, columns = c.shape
    if rows and columns:
        depth = a.shape[0] if a_transposed else a.shape[1]
        nest = pick(_product, rows * columns * depth >= PARALLEL_FROM, parallel)
        if nest is not _product.serial:
            rows, columns = _task_size(rows, columns, VECTORS * 64 // c.itemsize, get_num_threads())
        nest(a, a_transposed, b, b_transposed, c, NO_BIAS[c.dtype] if bias is None else bias, activation, rows, columns)
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

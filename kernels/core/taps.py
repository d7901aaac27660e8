"""Tiles whose vectors lie anywhere: what convolutions multiply.

A vector of a tile has a place, three numbers in a table: where it begins in what is read, where in what is written, and
how many of its lanes are written. A tap, a number k of the chains, moves all of them by an offset of another table.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .llvm import INT32, call, first_lanes, masked_store, offset, repeat, suffix
from .tiles import NEAREST, _after, _filled, _load, _loop, _places, _vectors

SOURCE, TARGET, COUNT, PLACE = range(4)  # of a place; the last is its length


def _part(builder, places, v, part):
    return builder.load(builder.gep(places, [INT32(v * PLACE + part)]))


def _targets(builder, acc, y, y_row, places):
    """(position in the tile, pointer to its first lane, mask) of each vector of a tile in memory."""
    targets = [_part(builder, places, v, TARGET) for v in range(acc.vectors)]
    masks = [first_lanes(builder, _part(builder, places, v, COUNT), acc.vector.lanes) for v in range(acc.vectors)]
    for r in range(acc.rows):
        row = offset(builder, y, r, y_row)
        for v in range(acc.vectors):
            yield r * acc.vectors + v, builder.gep(row, [targets[v]]), masks[v]


def _multiply(acc, a_lanes):
    def emit(context, builder, sig, args):
        tile_, a_, a_row_, a_column_, b_, places_, taps_, depth_ = args
        rights = [builder.gep(b_, [_part(builder, places_, v, SOURCE)]) for v in range(acc.vectors)]

        def advance(_, state):
            taps, lefts, totals = state[0], state[1:pointers], state[pointers:]
            tap = builder.load(taps)
            factors = [_load(builder, acc.vector, builder.gep(right, [tap]), None) for right in rights]
            for r in range(acc.rows):
                nearest, steps = NEAREST[r]
                place = offset(builder, lefts[nearest], steps, a_row_)
                left = (_load(builder, acc.vector, place, None) if a_lanes else
                        repeat(builder, builder.load(place), acc.vector.lanes))
                for at, factor in enumerate(factors, r * acc.vectors):
                    totals[at] = call(builder, f"llvm.fma.{suffix(acc.vector)}", acc.vector.llvm,
                                      [left, factor, totals[at]])
            following = [builder.gep(taps, [INT32(1)]), *(builder.gep(left, [a_column_]) for left in lefts)]
            return [*_after(builder, totals[-1], *following), *totals]

        starts = [offset(builder, a_, r, a_row_) for r in range(0, acc.rows, 3)]
        pointers = 1 + len(starts)
        state = _loop(builder, depth_, [taps_, *starts, *_vectors(builder, acc, tile_)], advance)
        return _filled(builder, acc, state[pointers:])

    return emit


@intrinsic
def taps_fma(typing, acc, a, a_row, a_column, b, places, taps, depth):
    """acc[r, j] = fma(a[r * a_row + k * a_column], b[source of j + taps[k]], acc[r, j]) for k = 0, 1, ... depth - 1."""
    return acc(acc, a, types.intp, types.intp, b, places, taps, types.intp), _multiply(acc, False)


@intrinsic
def lanes_fma(typing, acc, a, a_row, a_column, b, places, taps, depth):
    """The same with a vector of a from there on, lane by lane, in the place of one number."""
    return acc(acc, a, types.intp, types.intp, b, places, taps, types.intp), _multiply(acc, True)


@intrinsic
def pixels_fma(typing, acc, a, pixels, taps, b, depth):
    """acc[r, j] = fma(a[pixels[r] + taps[k]], b[k * width + j], acc[r, j]) for k = 0, 1, ... depth - 1, of rows of b as
    wide as the tile."""

    def emit(context, builder, sig, args):
        tile_, a_, pixels_, taps_, b_, depth_ = args
        lefts = [builder.gep(a_, [builder.load(builder.gep(pixels_, [INT32(r)]))]) for r in range(acc.rows)]

        def advance(_, state):
            taps, right, *totals = state
            tap = builder.load(taps)
            factors = [_load(builder, acc.vector, place, None) for place in _places(builder, acc, right)]
            for r, left in enumerate(lefts):
                number = repeat(builder, builder.load(builder.gep(left, [tap])), acc.vector.lanes)
                for at, factor in enumerate(factors, r * acc.vectors):
                    totals[at] = call(builder, f"llvm.fma.{suffix(acc.vector)}", acc.vector.llvm,
                                      [number, factor, totals[at]])
            following = [builder.gep(taps, [INT32(1)]), builder.gep(right, [INT32(acc.vectors * acc.vector.lanes)])]
            return [*_after(builder, totals[-1], *following), *totals]

        return _filled(builder, acc, _loop(builder, depth_, [taps_, b_, *_vectors(builder, acc, tile_)], advance)[2:])

    return acc(acc, a, pixels, taps, b, types.intp), emit


@intrinsic(prefer_literal=True)
def window_fma(typing, acc, a, b, b_row, b_column, size):
    """acc[r, j] = chain over ky, kx < size of fma(a[ky * size + kx], b[(r + ky) * b_row + kx * b_column + j], ...).
    What several rows meet of b is loaded once; size is a constant."""
    side = size.literal_value

    def emit(context, builder, sig, args):
        tile_, a_, b_, b_row_, b_column_, _ = args
        totals = _vectors(builder, acc, tile_)
        numbers = [repeat(builder, builder.load(builder.gep(a_, [INT32(k)])), acc.vector.lanes)
                   for k in range(side * side)]
        for i in range(acc.rows + side - 1):
            for kx in range(side):
                place = offset(builder, offset(builder, b_, i, b_row_), kx, b_column_)
                for v in range(acc.vectors):
                    at = builder.gep(place, [INT32(v * acc.vector.lanes)])
                    factor = _load(builder, acc.vector, at, None)
                    for ky in range(max(0, i - acc.rows + 1), min(side, i + 1)):
                        total = (i - ky) * acc.vectors + v
                        totals[total] = call(builder, f"llvm.fma.{suffix(acc.vector)}", acc.vector.llvm,
                                             [numbers[ky * side + kx], factor, totals[total]])
        return _filled(builder, acc, totals)

    return acc(acc, a, b, types.intp, types.intp, size), emit


@intrinsic
def places_load(typing, acc, y, y_row, places):
    """The tile with row r at y[r * y_row + target ...], zeros where no lanes are written. acc only gives the shape."""

    def emit(context, builder, sig, args):
        return _filled(builder, acc, [_load(builder, acc.vector, place, mask)
                                      for _, place, mask in _targets(builder, acc, *args[1:])])

    return acc(acc, y, types.intp, places), emit


@intrinsic
def places_store(typing, acc, y, y_row, places):
    """Write row r to y[r * y_row + target ...]."""

    def emit(context, builder, sig, args):
        for position, place, mask in _targets(builder, acc, *args[1:]):
            masked_store(builder, acc.vector, place, mask, builder.extract_value(args[0], position))
        return context.get_dummy_value()

    return types.void(acc, y, types.intp, places), emit


@intrinsic
def tile_add_column(typing, acc, column):
    """Add column[r] to each number of row r."""

    def emit(context, builder, sig, args):
        numbers = [repeat(builder, builder.load(builder.gep(args[1], [INT32(r)])), acc.vector.lanes)
                   for r in range(acc.rows)]
        return _filled(builder, acc, [builder.fadd(total, numbers[at // acc.vectors])
                                      for at, total in enumerate(_vectors(builder, acc, args[0]))])

    return acc(acc, column), emit


@intrinsic
def every_second(typing, v, w):
    """Lanes 0, 2, 4, ... of v and then of w."""

    def emit(context, builder, sig, args):
        order = ir.Constant(ir.VectorType(INT32, v.lanes), list(range(0, 2 * v.lanes, 2)))
        return builder.shuffle_vector(args[0], args[1], order)

    return v(v, v), emit

"""Tiles: blocks of vectors held in registers, the accumulators of matrix products (see `outer_fma`)."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .llvm import INT32, Tile, call, first_lanes, masked_load, masked_store, offset, point_to, repeat, suffix


@intrinsic(prefer_literal=True)
def tile(typing, like, rows, vectors):
    """A tile of zeros in the dtype of the array `like`; rows and vectors are constants."""
    kind = Tile(like.dtype, rows.literal_value, vectors.literal_value)

    def emit(context, builder, sig, args):
        return ir.Constant(kind.llvm, None)

    return kind(like, rows, vectors), emit


@intrinsic
def tile_width(typing, acc):
    """The number of columns of a tile, a constant."""

    def emit(context, builder, sig, args):
        return context.get_constant(types.intp, acc.vectors * acc.vector.lanes)

    return types.intp(acc), emit


def _masks(builder, kind, columns):
    return [first_lanes(builder, builder.sub(columns, columns.type(v * kind.vector.lanes)), kind.vector.lanes)
            for v in range(kind.vectors)]


def _each_vector(builder, kind, pointer, step):
    """(row, vector, position in the tile, pointer to its first lane) for each vector of a tile laid out in memory."""
    for r in range(kind.rows):
        row = offset(builder, pointer, r, step)
        for v in range(kind.vectors):
            yield r, v, r * kind.vectors + v, builder.gep(row, [step.type(v * kind.vector.lanes)])


@intrinsic
def outer_fma(typing, acc, a, a_at, a_step, b, b_at, columns):
    """acc[r, j] = fma(a[a_at + r * a_step], b[b_at + j], acc[r, j]) for each row r and column j < columns."""

    def emit(context, builder, sig, args):
        tile_, a_, a_at_, a_step_, b_, b_at_, columns_ = args
        left = point_to(context, builder, a, a_, a_at_)
        right = point_to(context, builder, b, b_, b_at_)
        vector = acc.vector
        zero = ir.Constant(vector.llvm, [0.0] * vector.lanes)
        row = [masked_load(builder, vector, builder.gep(right, [a_at_.type(v * vector.lanes)]), mask, zero)
               for v, mask in enumerate(_masks(builder, acc, columns_))]
        for r in range(acc.rows):
            factor = repeat(builder, builder.load(offset(builder, left, r, a_step_)), vector.lanes)
            for v in range(acc.vectors):
                at = r * acc.vectors + v
                total = builder.extract_value(tile_, at)
                total = call(builder, f"llvm.fma.{suffix(vector)}", vector.llvm, [factor, row[v], total])
                tile_ = builder.insert_value(tile_, total, at)
        return tile_

    return acc(acc, a, types.intp, types.intp, b, types.intp, types.intp), emit


@intrinsic
def tile_prefetch(typing, acc, c, at, step):
    """Have rows c[at + r * step ...] of a tile brought to the second-level cache. Nothing is read, so they may lie
    outside of the array."""

    def emit(context, builder, sig, args):
        _, c_, at_, step_ = args
        read, second_level, data = INT32(0), INT32(2), INT32(1)
        for *_, pointer in _each_vector(builder, acc, point_to(context, builder, c, c_, at_), step_):
            pointer = builder.bitcast(pointer, ir.IntType(8).as_pointer())
            call(builder, "llvm.prefetch.p0", ir.VoidType(), [pointer, read, second_level, data])
        return context.get_dummy_value()

    return types.void(acc, c, types.intp, types.intp), emit


@intrinsic
def tile_load(typing, acc, c, at, step, columns):
    """The tile with rows c[at + r * step ...], `columns` numbers in each; zeros beyond. acc only gives the shape."""

    def emit(context, builder, sig, args):
        tile_, c_, at_, step_, columns_ = args
        masks = _masks(builder, acc, columns_)
        zero = ir.Constant(acc.vector.llvm, [0.0] * acc.vector.lanes)
        for _, v, position, pointer in _each_vector(builder, acc, point_to(context, builder, c, c_, at_), step_):
            value = masked_load(builder, acc.vector, pointer, masks[v], zero)
            tile_ = builder.insert_value(tile_, value, position)
        return tile_

    return acc(acc, c, types.intp, types.intp, types.intp), emit


@intrinsic
def tile_store(typing, acc, c, at, step, columns):
    """Write the first `columns` numbers of row r to c[at + r * step ...]."""

    def emit(context, builder, sig, args):
        tile_, c_, at_, step_, columns_ = args
        masks = _masks(builder, acc, columns_)
        for _, v, position, pointer in _each_vector(builder, acc, point_to(context, builder, c, c_, at_), step_):
            masked_store(builder, acc.vector, pointer, masks[v], builder.extract_value(tile_, position))
        return context.get_dummy_value()

    return types.void(acc, c, types.intp, types.intp, types.intp), emit


@intrinsic
def tile_add(typing, acc, row, at, columns):
    """Add row[at], row[at + 1], ... (`columns` numbers) to each row of the tile."""

    def emit(context, builder, sig, args):
        tile_, row_, at_, columns_ = args
        first = point_to(context, builder, row, row_, at_)
        zero = ir.Constant(acc.vector.llvm, [0.0] * acc.vector.lanes)
        addends = [masked_load(builder, acc.vector, builder.gep(first, [at_.type(v * acc.vector.lanes)]), mask, zero)
                   for v, mask in enumerate(_masks(builder, acc, columns_))]
        for position in range(acc.rows * acc.vectors):
            total = builder.fadd(builder.extract_value(tile_, position), addends[position % acc.vectors])
            tile_ = builder.insert_value(tile_, total, position)
        return tile_

    return acc(acc, row, types.intp, types.intp), emit


@intrinsic
def tile_relu(typing, acc):
    """0 in the place of what is at most 0; NaN stays."""

    def emit(context, builder, sig, args):
        tile_, = args
        zero = ir.Constant(acc.vector.llvm, [0.0] * acc.vector.lanes)
        for position in range(acc.rows * acc.vectors):
            v = builder.extract_value(tile_, position)
            v = builder.select(builder.fcmp_ordered("<=", v, zero), zero, v)
            tile_ = builder.insert_value(tile_, v, position)
        return tile_

    return acc(acc), emit

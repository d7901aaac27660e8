"""Tiles: blocks of vectors held in registers, the accumulators of matrix products (see `outer_fma`).

They are read and written through pointers, up to column `columns`; `step` is the distance from row to row.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .llvm import (INT32, Tile, VECTOR_REGISTER, call, first_lanes, load_transposed, masked_load, masked_store, offset,
                   prefetch_line, repeat, suffix)

# Numbers k a turn of high tiles: 6 x 4 takes 4 to 6 % less than with one where another process uses the core's other
# half. What is left over for low ones is little, and their code takes time to compile.
UNROLLED, HIGH = 4, 6
# An address can be a pointer and 1, 2, 4 or 8 times a stride. For each row, which of the pointers to rows 0, 3, 6 and 9
# is that many rows above it.
NEAREST = ((0, 0), (0, 1), (0, 2), (1, 0), (0, 4), (1, 2), (2, 0), (1, 4), (0, 8), (3, 0), (2, 4), (1, 8))


@intrinsic(prefer_literal=True)
def tile(typing, like, rows, vectors):
    """A tile of zeros in the dtype of the array or pointer `like`; rows and vectors are constants."""
    kind = Tile(like.dtype, rows.literal_value, vectors.literal_value)

    def emit(context, builder, sig, args):
        return ir.Constant(kind.llvm, None)

    return kind(like, rows, vectors), emit


@intrinsic
def tile_height(typing, acc):
    """The number of rows of a tile, a constant."""

    def emit(context, builder, sig, args):
        return context.get_constant(types.intp, acc.rows)

    return types.intp(acc), emit


@intrinsic
def tile_width(typing, acc):
    """The number of columns of a tile, a constant."""

    def emit(context, builder, sig, args):
        return context.get_constant(types.intp, acc.vectors * acc.vector.lanes)

    return types.intp(acc), emit


def _masks(builder, acc, columns):
    return [first_lanes(builder, builder.sub(columns, columns.type(v * acc.vector.lanes)), acc.vector.lanes)
            for v in range(acc.vectors)]


def _places(builder, acc, pointer):
    """Pointers to the first lanes of the vectors that follow `pointer`, as many as a row of the tile has."""
    return [builder.gep(pointer, [INT32(v * acc.vector.lanes)]) for v in range(acc.vectors)]


def _load(builder, vector, pointer, mask):
    if mask is None:
        return builder.load(builder.bitcast(pointer, vector.llvm.as_pointer()), align=vector.scalar.bitwidth // 8)
    return masked_load(builder, vector, pointer, mask, ir.Constant(vector.llvm, [0.0] * vector.lanes))


def _rows(builder, acc, first, step):
    """(position in the tile, pointer to its first lane, number in the row) of each vector of a tile in memory."""
    for r in range(acc.rows):
        for v, pointer in enumerate(_places(builder, acc, offset(builder, first, r, step))):
            yield r * acc.vectors + v, pointer, v


def _vectors(builder, acc, tile_):
    return [builder.extract_value(tile_, position) for position in range(acc.rows * acc.vectors)]


def _filled(builder, acc, vectors):
    tile_ = ir.Constant(acc.llvm, ir.Undefined)
    for position, vector in enumerate(vectors):
        tile_ = builder.insert_value(tile_, vector, position)
    return tile_


def _loop(builder, count, state, body):
    """`state`, a list of values, after `count` times `body`, which is given the number of the turn and the state and
    returns the next. LLVM leaves the loop as it is: it would unroll small tiles and peel large ones."""
    before, inside, after = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("after")
    builder.cbranch(builder.icmp_signed(">", count, count.type(0)), inside, after)
    builder.position_at_end(inside)
    turn, *values = [builder.phi(value.type) for value in (count, *state)]
    results = body(turn, values)
    following = builder.add(turn, turn.type(1))
    last = builder.block
    branch = builder.cbranch(builder.icmp_signed("<", following, count), inside, after)
    branch.set_metadata("llvm.loop", _without_unrolling(builder.module))
    for phi, first, next_ in zip((turn, *values), (turn.type(0), *state), (following, *results)):
        phi.add_incoming(first, before)
        phi.add_incoming(next_, last)
    builder.position_at_end(after)
    found = [builder.phi(value.type) for value in state]
    for phi, first, result in zip(found, state, results):
        phi.add_incoming(first, before)
        phi.add_incoming(result, last)
    return found


def _without_unrolling(module):
    node = ir.MDValue(module, (), str(len(module.metadata)))
    # the name of a loop is a node that begins with itself
    node.operands = node, module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    return node


def _after(builder, vector, *pointers):
    """The pointers, which LLVM believes to depend on the vector. Else it loads for later turns early, and has to put
    aside what it loaded; and it would know how they were computed, and make of a few strides many."""
    first = builder.extract_element(vector, INT32(0))
    kinds = [pointer.type for pointer in pointers]
    constraints = [*["=r"] * len(kinds), *map(str, range(len(kinds))), VECTOR_REGISTER]
    result = builder.asm(ir.FunctionType(ir.LiteralStructType(kinds), [*kinds, first.type]), "", ",".join(constraints),
                         [*pointers, first], False)
    return [builder.extract_value(result, at) for at in range(len(kinds))]


@intrinsic
def outer_fma(typing, acc, a, a_row, a_column, b, b_row, columns, depth, ahead, ahead_row, copies):
    """acc[r, j] = fma(a[r * a_row + k * a_column], b[k * b_row + j], acc[r, j]) for k = 0, 1, ... depth - 1, for each
    row r and column j < columns, or each at all if columns is None. Meanwhile the rows ahead[r * ahead_row ...] are
    brought to the first-level cache; they are not read, and may lie outside of any array. Unless `copies` is None, the
    rows of b are written there one after another; it lies at a multiple of 64 bytes."""

    def emit(context, builder, sig, args):
        tile_, a_, a_row_, a_column_, b_, b_row_, columns_, depth_, ahead_, ahead_step, copies_ = args
        masks = [None] * acc.vectors if columns is types.none else _masks(builder, acc, columns_)

        def advance(_, state):
            lefts, (right, *targets) = state[:len(starts)], state[len(starts):pointers]
            totals = state[pointers:]
            factors = [_load(builder, acc.vector, place, mask)
                       for place, mask in zip(_places(builder, acc, right), masks)]
            for target in targets:
                for place, factor in zip(_places(builder, acc, target), factors):
                    builder.store(factor, builder.bitcast(place, factor.type.as_pointer()), align=64)
            for r in range(acc.rows):
                nearest, steps = NEAREST[r]
                number = builder.load(offset(builder, lefts[nearest], steps, a_row_))
                number = repeat(builder, number, acc.vector.lanes)
                for at, factor in enumerate(factors, r * acc.vectors):
                    totals[at] = call(builder, f"llvm.fma.{suffix(acc.vector)}", acc.vector.llvm,
                                      [number, factor, totals[at]])
            following = [builder.gep(left, [a_column_]) for left in lefts]
            following.append(builder.gep(right, [b_row_]))
            following += [builder.gep(target, [INT32(acc.vectors * acc.vector.lanes)]) for target in targets]
            return [*_after(builder, totals[-1], *following), *totals]

        def advance_more(turn, state):
            ahead_row, *state = state
            with builder.if_then(builder.icmp_unsigned("<", turn, turn.type(acc.rows))):
                fetch(turn, [ahead_row])
            for _ in range(turns):
                state = advance(turn, state)
            return [builder.gep(ahead_row, [ahead_step]), *state]

        def fetch(_, state):
            for place in _places(builder, acc, state[0]):
                prefetch_line(builder, place)
            return [builder.gep(state[0], [ahead_step])]

        starts = [offset(builder, a_, r, a_row_) for r in range(0, acc.rows, 3)]
        targets = [] if copies is types.none else [copies_]
        pointers = len(starts) + 1 + len(targets)
        turns = UNROLLED if acc.rows >= HIGH else 1
        count = depth_.type(turns)
        state = [ahead_, *starts, b_, *targets, *_vectors(builder, acc, tile_)]
        done = builder.sdiv(depth_, count)
        ahead_, *state = _loop(builder, done, state, advance_more)
        _loop(builder, builder.sub(done.type(acc.rows), done), [ahead_], fetch)  # where there are few k
        if turns > 1:
            state = _loop(builder, builder.srem(depth_, count), state, advance)
        totals = state[pointers:]
        return _filled(builder, acc, totals)

    return acc(acc, a, types.intp, types.intp, b, types.intp, columns, types.intp, ahead, types.intp,
               copies), emit


@intrinsic
def inner_fma(typing, acc, a, a_row, a_column, b, b_row, depth):
    """The same with b transposed, which is done in registers: acc[r, j] = fma(a[r * a_row + k * a_column],
    b[j * b_row + k], acc[r, j]). Of k only as many as fill whole vectors."""

    def emit(context, builder, sig, args):
        tile_, a_, a_row_, a_column_, b_, b_row_, depth_ = args
        lanes = acc.vector.lanes

        def advance(_, state):
            left, right, *totals = state
            for v in range(acc.vectors):
                factors = load_transposed(builder, acc.vector, offset(builder, right, v * lanes, b_row_), b_row_)
                for k, factor in enumerate(factors):
                    for at in range(v, len(totals), acc.vectors):
                        row = offset(builder, left, at // acc.vectors, a_row_)
                        number = builder.load(offset(builder, row, k, a_column_))
                        totals[at] = call(builder, f"llvm.fma.{suffix(acc.vector)}", acc.vector.llvm,
                                          [repeat(builder, number, lanes), factor, totals[at]])
            return [offset(builder, left, lanes, a_column_), builder.gep(right, [INT32(lanes)]), *totals]

        turns = builder.sdiv(depth_, depth_.type(lanes))
        return _filled(builder, acc, _loop(builder, turns, [a_, b_, *_vectors(builder, acc, tile_)], advance)[2:])

    return acc(acc, a, types.intp, types.intp, b, types.intp, types.intp), emit


@intrinsic
def tile_load(typing, acc, c, step, columns):
    """The tile with rows c[r * step ...], zeros from column `columns` on. acc only gives the shape."""

    def emit(context, builder, sig, args):
        _, c_, step_, columns_ = args
        masks = _masks(builder, acc, columns_)
        return _filled(builder, acc, [_load(builder, acc.vector, place, masks[v])
                                      for _, place, v in _rows(builder, acc, c_, step_)])

    return acc(acc, c, types.intp, types.intp), emit


@intrinsic
def tile_store(typing, acc, c, step, columns):
    """Write the first `columns` numbers of row r to c[r * step ...]."""

    def emit(context, builder, sig, args):
        tile_, c_, step_, columns_ = args
        masks = _masks(builder, acc, columns_)
        for position, place, v in _rows(builder, acc, c_, step_):
            masked_store(builder, acc.vector, place, masks[v], builder.extract_value(tile_, position))
        return context.get_dummy_value()

    return types.void(acc, c, types.intp, types.intp), emit


@intrinsic
def tile_add(typing, acc, row, columns):
    """Add row[0], row[1], ... (`columns` numbers) to each row of the tile."""

    def emit(context, builder, sig, args):
        tile_, row_, columns_ = args
        addends = [_load(builder, acc.vector, place, mask)
                   for place, mask in zip(_places(builder, acc, row_), _masks(builder, acc, columns_))]
        return _filled(builder, acc, [builder.fadd(total, addends[at % acc.vectors])
                                      for at, total in enumerate(_vectors(builder, acc, tile_))])

    return acc(acc, row, types.intp), emit


@intrinsic
def tile_relu(typing, acc):
    """0 in the place of what is at most 0; NaN stays."""

    def emit(context, builder, sig, args):
        zero = ir.Constant(acc.vector.llvm, [0.0] * acc.vector.lanes)
        return _filled(builder, acc, [builder.select(builder.fcmp_ordered("<=", total, zero), zero, total)
                                      for total in _vectors(builder, acc, args[0])])

    return acc(acc), emit

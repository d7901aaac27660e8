"""Vectors from and to memory: arrays, and pointers to their first elements, which cost nothing to pass on."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .llvm import (LLVM_SCALARS, Vector, first_lanes, lanes_within, lift, load_transposed, masked_load, masked_store,
                   offset, point_to, prefetch_line, transposed)
from .vectors import WIDE


@intrinsic
def pointer(typing, x):
    """A pointer to the first number of an array, which must stay alive: what a kernel was given, not what it made."""

    def emit(context, builder, sig, args):
        return context.make_array(x)(context, builder, args[0]).data

    return types.CPointer(x.dtype)(x), emit


@intrinsic
def aligned(typing, x):
    """A pointer to the first number of an array that lies at a multiple of 64 bytes, a line of the cache."""

    def emit(context, builder, sig, args):
        start = context.make_array(x)(context, builder, args[0]).data
        address = builder.ptrtoint(start, context.get_value_type(types.intp))
        address = builder.and_(builder.add(address, address.type(63)), address.type(-64))
        return builder.inttoptr(address, start.type)

    return types.CPointer(x.dtype)(x), emit


@intrinsic
def shift(typing, x, count):
    """The pointer `count` numbers further on."""

    def emit(context, builder, sig, args):
        return builder.gep(args[0], [args[1]])

    return x(x, types.intp), emit


@intrinsic
def prefetch(typing, x, at):
    """Have x[at] brought to the first-level cache. Nothing is read, so it may lie outside of any array."""

    def emit(context, builder, sig, args):
        prefetch_line(builder, point_to(context, builder, x, *args))
        return context.get_dummy_value()

    return types.void(x, types.intp), emit


@intrinsic(prefer_literal=True)
def scratch(typing, like, vectors):
    """Room on the stack for a constant number of vectors of the dtype of `like`, until the function returns."""
    vector = Vector(like.dtype)
    room = ir.ArrayType(vector.llvm, vectors.literal_value)

    def emit(context, builder, sig, args):
        with builder.goto_entry_block():  # once, not in every turn of a loop; cgutils.alloca_once would also zero it
            start = builder.alloca(room)
        return builder.bitcast(start, LLVM_SCALARS[vector.scalar].as_pointer())

    return types.CPointer(like.dtype)(like, vectors), emit


def _load(vector, x, at, end, fill, *like):
    def emit(context, builder, sig, args):
        args = args[len(like):]
        pointer = point_to(context, builder, x, args[0], args[1])
        left = builder.sub(args[2], args[1])
        whole = builder.icmp_signed(">=", left, left.type(vector.lanes))
        with builder.if_else(whole, likely=True) as (then, otherwise):
            with then:
                full = builder.load(builder.bitcast(pointer, vector.llvm.as_pointer()), align=x.dtype.bitwidth // 8)
                full_block = builder.block
            with otherwise:
                rest = lift(context, builder, args[3], fill, vector)
                part = masked_load(builder, vector, pointer, first_lanes(builder, left, vector.lanes), rest)
                part_block = builder.block
        result = builder.phi(vector.llvm)
        result.add_incoming(full, full_block)
        result.add_incoming(part, part_block)
        return result

    return vector(*like, x, types.intp, types.intp, fill), emit


@intrinsic
def load(typing, x, at, end, fill):
    """Lanes x[at], x[at + 1], ... of x read flat; `fill` in the lanes at or past index `end`."""
    return _load(Vector(x.dtype), x, at, end, fill)


@intrinsic
def load_between(typing, x, at, begin, end, fill):
    """The same with `fill` also in the lanes before index `begin`; the indices must be less than 2^31 apart."""
    vector = Vector(x.dtype)

    def emit(context, builder, sig, args):
        pointer = point_to(context, builder, x, args[0], args[1])
        start, length = builder.sub(args[1], args[2]), builder.sub(args[3], args[2])
        last = builder.add(start, start.type(vector.lanes))
        whole = builder.and_(builder.icmp_signed(">=", start, start.type(0)), builder.icmp_signed("<=", last, length))
        with builder.if_else(whole, likely=True) as (then, otherwise):
            with then:
                full = builder.load(builder.bitcast(pointer, vector.llvm.as_pointer()), align=x.dtype.bitwidth // 8)
                full_block = builder.block
            with otherwise:
                rest = lift(context, builder, args[4], fill, vector)
                part = masked_load(builder, vector, pointer, lanes_within(builder, start, length, vector.lanes), rest)
                part_block = builder.block
        result = builder.phi(vector.llvm)
        result.add_incoming(full, full_block)
        result.add_incoming(part, part_block)
        return result

    return vector(x, types.intp, types.intp, types.intp, fill), emit


@intrinsic
def load_wide(typing, x, at, end, fill):
    """The same for WIDE * lanes(x) numbers at once."""
    return _load(Vector(x.dtype, WIDE), x, at, end, fill)


@intrinsic
def load_like(typing, like, x, at, end, fill):
    """The same for as many numbers as the vector or mask `like` has lanes."""
    return _load(Vector(x.dtype, like.lanes // Vector(x.dtype).lanes), x, at, end, fill, like)


@intrinsic
def store(typing, x, at, end, v):
    """Write the lanes of v to x[at], x[at + 1], ...; nothing at or past index `end`."""

    def emit(context, builder, sig, args):
        pointer = point_to(context, builder, sig.args[0], args[0], args[1])
        left = builder.sub(args[2], args[1])
        whole = builder.icmp_signed(">=", left, left.type(v.lanes))
        with builder.if_else(whole, likely=True) as (then, otherwise):
            with then:
                builder.store(args[3], builder.bitcast(pointer, v.llvm.as_pointer()), align=x.dtype.bitwidth // 8)
            with otherwise:
                masked_store(builder, v, pointer, first_lanes(builder, left, v.lanes), args[3])
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, v), emit


@intrinsic
def transpose(typing, x, at, step, rows, columns, y, y_at, y_step):
    """y[y_at + c * y_step + r] = x[at + r * step + c] for r < rows and c < columns, both at most W."""
    vector = Vector(x.dtype)
    size = vector.lanes

    def emit(context, builder, sig, args):
        x_, at_, step_, rows_, columns_, y_, y_at_, y_step_ = args
        first = point_to(context, builder, x, x_, at_)
        target = point_to(context, builder, y, y_, y_at_)
        align = x.dtype.bitwidth // 8
        kind = vector.llvm.as_pointer()
        whole = builder.and_(builder.icmp_signed("==", rows_, rows_.type(size)),
                             builder.icmp_signed("==", columns_, rows_.type(size)))
        with builder.if_else(whole, likely=True) as (then, otherwise):
            with then:
                for c, row in enumerate(load_transposed(builder, vector, first, step_)):
                    builder.store(row, builder.bitcast(offset(builder, target, c, y_step_), kind), align=align)
            with otherwise:
                zero = ir.Constant(vector.llvm, [0.0] * size)
                block = []
                for r in range(size):
                    count = builder.select(builder.icmp_signed("<", rows_.type(r), rows_), columns_, rows_.type(0))
                    block.append(masked_load(builder, vector, offset(builder, first, r, step_),
                                             first_lanes(builder, count, size), zero))
                for c, row in enumerate(transposed(builder, block, size)):
                    with builder.if_then(builder.icmp_signed("<", rows_.type(c), columns_)):
                        masked_store(builder, vector, offset(builder, target, c, y_step_),
                                     first_lanes(builder, rows_, size), row)
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, types.intp, types.intp, y, types.intp, types.intp), emit

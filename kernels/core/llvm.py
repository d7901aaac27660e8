"""The types of vectors and tiles in Numba and LLVM, and what their functions emit."""

import platform

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import models, register_model

BYTES = 64  # a vector's size: AVX-512's register, two of AVX2's, four of NEON's
INT32 = ir.IntType(32)
VECTOR_REGISTER = "w" if platform.machine() in ("aarch64", "arm64") else "v"  # a constraint of assembly
LLVM_SCALARS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType(), types.int32: ir.IntType(32),
                types.int64: ir.IntType(64)}
INTEGERS = {types.float32: types.int32, types.float64: types.int64}
FLOATS = {integer: real for real, integer in INTEGERS.items()}


class Vector(types.Type):
    """Lanes of float32, float64, int32 or int64 that fill 64 bytes, or `width` times as many."""

    def __init__(self, scalar, width=1):
        self.scalar = scalar
        self.width = width
        self.lanes = width * BYTES * 8 // scalar.bitwidth
        self.llvm = ir.VectorType(LLVM_SCALARS[scalar], self.lanes)
        super().__init__(name=f"Vector({scalar}, {width})")


class Mask(types.Type):
    """One truth value a lane, the result of comparing vectors."""

    def __init__(self, lanes):
        self.lanes = lanes
        self.llvm = ir.VectorType(ir.IntType(1), lanes)
        super().__init__(name=f"Mask({lanes})")


class Tile(types.Type):
    """Rows of vectors, kept in registers."""

    def __init__(self, scalar, rows, vectors):
        self.vector = Vector(scalar)
        self.rows = rows
        self.vectors = vectors
        self.llvm = ir.ArrayType(self.vector.llvm, rows * vectors)
        super().__init__(name=f"Tile({scalar}, {rows}, {vectors})")


@register_model(Vector)
@register_model(Mask)
@register_model(Tile)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.llvm)


def repeat(builder, value, lanes):
    kind = ir.VectorType(value.type, lanes)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, INT32(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes))


def lift(context, builder, value, kind, vector):
    """A vector from an operand that is one already, or from a number (rounded to the lanes' type)."""
    if isinstance(kind, Vector):
        return value
    return repeat(builder, context.cast(builder, value, kind, vector.scalar), vector.lanes)


def call(builder, name, result, args):
    kind = ir.FunctionType(result, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


def suffix(vector):
    return f"v{vector.lanes}f{vector.scalar.bitwidth}"


def point_to(context, builder, kind, x, at):
    if isinstance(kind, types.Array):
        x = context.make_array(kind)(context, builder, x).data
    return builder.gep(x, [at])


def first_lanes(builder, count, lanes):
    """A mask of the first `count` lanes; count may be negative or too large, but must fit 32 bits: in 64 the
    comparison takes twice the instructions."""
    kind = ir.VectorType(INT32, lanes)
    count = repeat(builder, builder.trunc(count, INT32), lanes)
    return builder.icmp_signed("<", ir.Constant(kind, list(range(lanes))), count)


def lanes_within(builder, start, length, lanes):
    """A mask of the lanes l with 0 <= start + l < length, which must fit 32 bits."""
    kind = ir.VectorType(INT32, lanes)
    start, length = (repeat(builder, builder.trunc(n, INT32), lanes) for n in (start, length))
    return builder.icmp_unsigned("<", builder.add(start, ir.Constant(kind, list(range(lanes)))), length)


def masked_load(builder, vector, pointer, mask, fill):
    pointer = builder.bitcast(pointer, vector.llvm.as_pointer())
    align = INT32(vector.scalar.bitwidth // 8)
    return call(builder, f"llvm.masked.load.{suffix(vector)}.p0", vector.llvm, [pointer, align, mask, fill])


def masked_store(builder, vector, pointer, mask, value):
    pointer = builder.bitcast(pointer, vector.llvm.as_pointer())
    align = INT32(vector.scalar.bitwidth // 8)
    call(builder, f"llvm.masked.store.{suffix(vector)}.p0", ir.VoidType(), [value, pointer, align, mask])


def prefetch_line(builder, pointer):
    """Have a line brought to the first-level cache. Nothing is read, so it may lie outside of any array."""
    read, first_level, data = INT32(0), INT32(3), INT32(1)
    pointer = builder.bitcast(pointer, ir.IntType(8).as_pointer())
    call(builder, "llvm.prefetch.p0", ir.VoidType(), [pointer, read, first_level, data])


def is_number(kind):
    return isinstance(kind, (types.Float, types.Integer))


def vector_of(*kinds):
    """The common vector type of operands of which some may be numbers; None when they do not go together."""
    vectors = {kind for kind in kinds if isinstance(kind, Vector)}
    if len(vectors) == 1 and all(isinstance(kind, Vector) or is_number(kind) for kind in kinds):
        return vectors.pop()
    return None


def offset(builder, pointer, index, stride):
    return builder.gep(pointer, [builder.mul(stride, stride.type(index))])


def transposed(builder, block, size):
    """The vectors of a block with the columns of its squares of `size` numbers for rows: the off-diagonal quarters of
    ever larger squares change places."""
    block, lanes, distance = list(block), len(block), 1
    while distance < size:
        low = [lane if not lane & distance else lanes + lane - distance for lane in range(lanes)]
        high = [lane + distance if not lane & distance else lanes + lane for lane in range(lanes)]
        for r in range(lanes):
            if not r & distance:
                pair = block[r], block[r + distance]
                block[r], block[r + distance] = (
                    builder.shuffle_vector(*pair, ir.Constant(ir.VectorType(INT32, lanes), pattern))
                    for pattern in (low, high))
        distance *= 2
    return block


def load_transposed(builder, vector, first, step):
    """The columns of a square of numbers, whose rows begin at first[r * step]. Half rows are put into their places as
    they are loaded, which leaves 48 of 64 shuffles."""
    half = vector.lanes // 2
    kind, align = ir.VectorType(vector.llvm.element, half).as_pointer(), vector.scalar.bitwidth // 8
    both = ir.Constant(ir.VectorType(INT32, vector.lanes), list(range(vector.lanes)))
    block = []
    for column in (0, half):
        for r in range(half):
            pair = [builder.load(builder.bitcast(builder.gep(offset(builder, first, row, step), [INT32(column)]), kind),
                                 align=align) for row in (r, r + half)]
            block.append(builder.shuffle_vector(*pair, both))
    return transposed(builder, block, half)

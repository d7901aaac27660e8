"""Explicit vectors for Numba: 16 lanes of float32 or 8 of float64, whatever the CPU.

A vector is a value like a float: `+ - * /`, comparisons, `fma`, `select`, `sqrt` work on all lanes at once, and a
plain number beside a vector means that number in every lane. The number of lanes never depends on the machine, so the
order of additions, and with it every bit, does not either; LLVM cuts a vector into whatever registers there are.

    v = load(x, at, end, 0.0)       lanes x[at], x[at+1], ... of a C-contiguous array read flat; 0.0 from `end` on
    store(x, at, end, v)            the same way back; nothing is written from `end` on
    load_wide(x, at, end, 0.0)      WIDE vectors as one value, for long formulas without sums across lanes
    fold_sum(v), fold_max(v)        lanes folded by halves: l with l + W/2, then l + W/4, ...

A tile is a block of vectors held in registers, the accumulator of a matrix product (see `outer_fma`).

None of these check bounds: `end` must not pass the array's end. Only this file and replay.py touch LLVM.
"""

import operator

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

BYTES = 64  # a vector's size: AVX-512's register, two of AVX2's, four of NEON's


def _register_bytes():
    """The size of this CPU's vector registers: what LLVM takes to add 64 bytes."""
    module = binding.parse_assembly("""
        define void @f(ptr %x) {
            %v = load <16 x float>, ptr %x, align 4
            %w = fadd <16 x float> %v, %v
            store <16 x float> %w, ptr %x, align 4
            ret void
        }""")
    assembly = cpu_target.target_context.codegen()._tm.emit_assembly(module)
    return 64 if "%zmm" in assembly else 32 if "%ymm" in assembly else 16


REGISTER_BYTES = _register_bytes()  # for choosing tiles; nothing that is computed depends on it
# Each operation of a long formula waits for the one before, and the CPU looks only so far ahead for others to do; in
# wide vectors these come next. Of 1, 2 and 4, 4 makes sigmoid 12 % faster, 20 % in float64. Fewer registers spill.
WIDE = 4 if REGISTER_BYTES == 64 else 1
INT32 = ir.IntType(32)
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


# ---- helpers that emit LLVM


def _repeat(builder, value, lanes):
    kind = ir.VectorType(value.type, lanes)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, INT32(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes))


def _lift(context, builder, value, kind, vector):
    """A vector from an operand that is one already, or from a number (rounded to the lanes' type)."""
    if isinstance(kind, Vector):
        return value
    return _repeat(builder, context.cast(builder, value, kind, vector.scalar), vector.lanes)


def _call(builder, name, result, args):
    kind = ir.FunctionType(result, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


def _suffix(vector):
    return f"v{vector.lanes}f{vector.scalar.bitwidth}"


def _pointer(context, builder, kind, x, at):
    if isinstance(kind, types.Array):
        x = context.make_array(kind)(context, builder, x).data
    return builder.gep(x, [at])


def _first_lanes(builder, count, lanes):
    """A mask of the first `count` lanes; count may be negative or too large, but must fit 32 bits: in 64 the
    comparison takes twice the instructions."""
    kind = ir.VectorType(INT32, lanes)
    count = _repeat(builder, builder.trunc(count, INT32), lanes)
    return builder.icmp_signed("<", ir.Constant(kind, list(range(lanes))), count)


def _masked_load(builder, vector, pointer, mask, fill):
    pointer = builder.bitcast(pointer, vector.llvm.as_pointer())
    align = INT32(vector.scalar.bitwidth // 8)
    return _call(builder, f"llvm.masked.load.{_suffix(vector)}.p0", vector.llvm, [pointer, align, mask, fill])


def _masked_store(builder, vector, pointer, mask, value):
    pointer = builder.bitcast(pointer, vector.llvm.as_pointer())
    align = INT32(vector.scalar.bitwidth // 8)
    _call(builder, f"llvm.masked.store.{_suffix(vector)}.p0", ir.VoidType(), [value, pointer, align, mask])


def _is_number(kind):
    return isinstance(kind, (types.Float, types.Integer))


def _vector_of(*kinds):
    """The common vector type of operands of which some may be numbers; None when they do not go together."""
    vectors = {kind for kind in kinds if isinstance(kind, Vector)}
    if len(vectors) == 1 and all(isinstance(kind, Vector) or _is_number(kind) for kind in kinds):
        return vectors.pop()
    return None


# ---- operators


def _define_operator(symbol, of_floats, of_integers, result):
    @infer_global(symbol)
    class Template(AbstractTemplate):
        def generic(self, args, kws):
            vector = _vector_of(*args)
            if vector is not None and (of_integers if vector.scalar in FLOATS else of_floats):
                return signature(result(vector), *args)

    def lower(context, builder, sig, args):
        vector = _vector_of(*sig.args)
        left, right = (_lift(context, builder, arg, kind, vector) for arg, kind in zip(args, sig.args))
        emit = of_integers if vector.scalar in FLOATS else of_floats
        return emit(builder, left, right)

    lower_builtin(symbol, Vector, Vector)(lower)
    for number in (types.Float, types.Integer):
        lower_builtin(symbol, Vector, number)(lower)
        lower_builtin(symbol, number, Vector)(lower)


def _same(vector):
    return vector


def _truth(vector):
    return Mask(vector.lanes)


_define_operator(operator.add, ir.IRBuilder.fadd, ir.IRBuilder.add, _same)
_define_operator(operator.sub, ir.IRBuilder.fsub, ir.IRBuilder.sub, _same)
_define_operator(operator.mul, ir.IRBuilder.fmul, ir.IRBuilder.mul, _same)
_define_operator(operator.truediv, ir.IRBuilder.fdiv, None, _same)
_define_operator(operator.and_, None, ir.IRBuilder.and_, _same)
_define_operator(operator.xor, None, ir.IRBuilder.xor, _same)
_define_operator(operator.lshift, None, ir.IRBuilder.shl, _same)
_define_operator(operator.rshift, None, ir.IRBuilder.ashr, _same)
for _symbol, _text in ((operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"), (operator.ge, ">=")):
    _define_operator(_symbol, lambda builder, left, right, text=_text: builder.fcmp_ordered(text, left, right),
                     lambda builder, left, right, text=_text: builder.icmp_signed(text, left, right), _truth)


# ---- memory: arrays, and pointers to their first numbers, which cost nothing to pass on


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


# ---- functions of vectors


@intrinsic
def lanes(typing, like):
    """The number of lanes of a vector of `like`'s dtype: 16 for float32, 8 for float64."""
    count = (like if isinstance(like, Vector) else Vector(like.dtype)).lanes

    def emit(context, builder, sig, args):
        return context.get_constant(types.intp, count)

    return types.intp(like), emit


@intrinsic
def single(typing, x):
    """Whether a vector's lanes have 32 bits, a constant: LLVM drops the branch that is not taken."""

    def emit(context, builder, sig, args):
        return context.get_constant(types.boolean, x.scalar.bitwidth == 32)

    return types.boolean(x), emit


@intrinsic
def splat(typing, like, number):
    """`number`, rounded to the dtype of the array or vector `like`, in every lane."""
    vector = like if isinstance(like, Vector) else Vector(like.dtype)

    def emit(context, builder, sig, args):
        return _lift(context, builder, args[1], sig.args[1], vector)

    return vector(like, number), emit


def _load(vector, x, at, end, fill, *like):
    def emit(context, builder, sig, args):
        args = args[len(like):]
        pointer = _pointer(context, builder, x, args[0], args[1])
        left = builder.sub(args[2], args[1])
        whole = builder.icmp_signed(">=", left, left.type(vector.lanes))
        with builder.if_else(whole, likely=True) as (then, otherwise):
            with then:
                full = builder.load(builder.bitcast(pointer, vector.llvm.as_pointer()), align=x.dtype.bitwidth // 8)
                full_block = builder.block
            with otherwise:
                rest = _lift(context, builder, args[3], fill, vector)
                part = _masked_load(builder, vector, pointer, _first_lanes(builder, left, vector.lanes), rest)
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
        pointer = _pointer(context, builder, sig.args[0], args[0], args[1])
        left = builder.sub(args[2], args[1])
        whole = builder.icmp_signed(">=", left, left.type(v.lanes))
        with builder.if_else(whole, likely=True) as (then, otherwise):
            with then:
                builder.store(args[3], builder.bitcast(pointer, v.llvm.as_pointer()), align=x.dtype.bitwidth // 8)
            with otherwise:
                _masked_store(builder, v, pointer, _first_lanes(builder, left, v.lanes), args[3])
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, v), emit


@intrinsic
def fma(typing, x, y, z):
    """x * y + z, rounded once."""
    vector = _vector_of(x, y, z)

    def emit(context, builder, sig, args):
        values = [_lift(context, builder, arg, kind, vector) for arg, kind in zip(args, sig.args)]
        return _call(builder, f"llvm.fma.{_suffix(vector)}", vector.llvm, values)

    return vector(x, y, z), emit


@intrinsic
def sqrt(typing, x):
    """The square root, correctly rounded."""

    def emit(context, builder, sig, args):
        return _call(builder, f"llvm.sqrt.{_suffix(x)}", x.llvm, list(args))

    return x(x), emit


@intrinsic
def absolute(typing, x):
    """The lanes without their sign."""

    def emit(context, builder, sig, args):
        return _call(builder, f"llvm.fabs.{_suffix(x)}", x.llvm, list(args))

    return x(x), emit


@intrinsic
def copysign(typing, x, sign):
    """The lanes of x with the signs of the lanes of `sign`."""

    def emit(context, builder, sig, args):
        return _call(builder, f"llvm.copysign.{_suffix(x)}", x.llvm, list(args))

    return x(x, x), emit


@intrinsic
def select(typing, mask, x, y):
    """x where the mask holds, else y. A comparison with NaN does not hold."""
    vector = _vector_of(x, y)

    def emit(context, builder, sig, args):
        yes, no = (_lift(context, builder, arg, kind, vector) for arg, kind in zip(args[1:], sig.args[1:]))
        return builder.select(args[0], yes, no)

    return vector(mask, x, y), emit


@intrinsic
def bits(typing, x):
    """The bits of float lanes as integers of the same width."""
    vector = Vector(INTEGERS[x.scalar], x.width)

    def emit(context, builder, sig, args):
        return builder.bitcast(args[0], vector.llvm)

    return vector(x), emit


@intrinsic
def from_bits(typing, i):
    """The floats whose bits the integer lanes hold."""
    vector = Vector(FLOATS[i.scalar], i.width)

    def emit(context, builder, sig, args):
        return builder.bitcast(args[0], vector.llvm)

    return vector(i), emit


@intrinsic
def to_float(typing, i):
    """Integer lanes as floats of the same width."""
    vector = Vector(FLOATS[i.scalar], i.width)

    def emit(context, builder, sig, args):
        return builder.sitofp(args[0], vector.llvm)

    return vector(i), emit


@intrinsic(prefer_literal=True)
def count_from(typing, n, width):
    """n, n + 1, n + 2, ... as int64 lanes; width is a constant."""
    vector = Vector(types.int64, width.literal_value)

    def emit(context, builder, sig, args):
        first = _lift(context, builder, args[0], n, vector)
        return builder.add(first, ir.Constant(vector.llvm, list(range(vector.lanes))))

    return vector(n, width), emit


@intrinsic
def low_halves(typing, a, b):
    """The low halves of the int64 lanes a[0], b[0], a[1], b[1], ... of two vectors, as int32 lanes."""
    vector = Vector(types.int32, a.width)

    def emit(context, builder, sig, args):
        # not by a shift: LLVM makes of `b << 32`, where b is a product, another product, of 64 bits
        a_, b_ = (builder.bitcast(arg, vector.llvm) for arg in args)
        order = [lane // 2 * 2 + lane % 2 * vector.lanes for lane in range(vector.lanes)]
        return builder.shuffle_vector(a_, b_, ir.Constant(ir.VectorType(INT32, len(order)), order))

    return vector(a, a), emit


@intrinsic(prefer_literal=True)
def interleave(typing, x, y, run):
    """`run` lanes of x, as many of y, the next of x, ...; run is a constant."""
    vector = Vector(x.scalar, 2 * x.width)
    run_ = run.literal_value

    def emit(context, builder, sig, args):
        order = [lane // (2 * run_) * run_ + lane % run_ + lane // run_ % 2 * x.lanes for lane in range(vector.lanes)]
        return builder.shuffle_vector(args[0], args[1], ir.Constant(ir.VectorType(INT32, len(order)), order))

    return vector(x, x, run), emit


@intrinsic
def reinterpret(typing, like, v):
    """The bits of v as lanes of the dtype of the array `like`."""
    vector = Vector(like.dtype, v.width)

    def emit(context, builder, sig, args):
        return builder.bitcast(args[1], vector.llvm)

    return vector(like, v), emit


@intrinsic
def widen(typing, x):
    """The lanes in float64: of float32 as many, in a vector twice as wide."""
    vector = Vector(types.float64, x.width * 64 // x.scalar.bitwidth)

    def emit(context, builder, sig, args):
        return args[0] if x is vector else builder.fpext(args[0], vector.llvm)

    return vector(x), emit


def _fold(builder, value, combine):
    while value.type.count > 1:
        half = value.type.count // 2
        low, high = (ir.Constant(ir.VectorType(INT32, half), list(range(start, start + half))) for start in (0, half))
        value = combine(builder.shuffle_vector(value, value, low), builder.shuffle_vector(value, value, high))
    return builder.extract_element(value, INT32(0))


@intrinsic
def fold_sum(typing, x):
    """The sum of all lanes, halves first: l with l + W/2, then l + W/4, ..."""

    def emit(context, builder, sig, args):
        return _fold(builder, args[0], builder.fadd)

    return x.scalar(x), emit


@intrinsic
def fold_max(typing, x):
    """The largest lane that is not NaN; -inf when all are."""

    def emit(context, builder, sig, args):
        lowest = _repeat(builder, ir.Constant(x.llvm.element, float("-inf")), x.lanes)
        known = builder.select(builder.fcmp_ordered("ord", args[0], args[0]), args[0], lowest)
        return _fold(builder, known, lambda a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))

    return x.scalar(x), emit


# ---- tiles


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
    return [_first_lanes(builder, builder.sub(columns, columns.type(v * kind.vector.lanes)), kind.vector.lanes)
            for v in range(kind.vectors)]


def _offset(builder, pointer, index, stride):
    return builder.gep(pointer, [builder.mul(stride, stride.type(index))])


def _each_vector(builder, kind, pointer, step):
    """(row, vector, position in the tile, pointer to its first lane) for each vector of a tile laid out in memory."""
    for r in range(kind.rows):
        row = _offset(builder, pointer, r, step)
        for v in range(kind.vectors):
            yield r, v, r * kind.vectors + v, builder.gep(row, [step.type(v * kind.vector.lanes)])


@intrinsic
def outer_fma(typing, acc, a, a_at, a_step, b, b_at, columns):
    """acc[r, j] = fma(a[a_at + r * a_step], b[b_at + j], acc[r, j]) for each row r and column j < columns."""

    def emit(context, builder, sig, args):
        tile_, a_, a_at_, a_step_, b_, b_at_, columns_ = args
        left = _pointer(context, builder, a, a_, a_at_)
        right = _pointer(context, builder, b, b_, b_at_)
        vector = acc.vector
        zero = ir.Constant(vector.llvm, [0.0] * vector.lanes)
        row = [_masked_load(builder, vector, builder.gep(right, [a_at_.type(v * vector.lanes)]), mask, zero)
               for v, mask in enumerate(_masks(builder, acc, columns_))]
        for r in range(acc.rows):
            factor = _repeat(builder, builder.load(_offset(builder, left, r, a_step_)), vector.lanes)
            for v in range(acc.vectors):
                at = r * acc.vectors + v
                total = builder.extract_value(tile_, at)
                total = _call(builder, f"llvm.fma.{_suffix(vector)}", vector.llvm, [factor, row[v], total])
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
        for *_, pointer in _each_vector(builder, acc, _pointer(context, builder, c, c_, at_), step_):
            pointer = builder.bitcast(pointer, ir.IntType(8).as_pointer())
            _call(builder, "llvm.prefetch.p0", ir.VoidType(), [pointer, read, second_level, data])
        return context.get_dummy_value()

    return types.void(acc, c, types.intp, types.intp), emit


@intrinsic
def tile_load(typing, acc, c, at, step, columns):
    """The tile with rows c[at + r * step ...], `columns` numbers in each; zeros beyond. acc only gives the shape."""

    def emit(context, builder, sig, args):
        tile_, c_, at_, step_, columns_ = args
        masks = _masks(builder, acc, columns_)
        zero = ir.Constant(acc.vector.llvm, [0.0] * acc.vector.lanes)
        for _, v, position, pointer in _each_vector(builder, acc, _pointer(context, builder, c, c_, at_), step_):
            value = _masked_load(builder, acc.vector, pointer, masks[v], zero)
            tile_ = builder.insert_value(tile_, value, position)
        return tile_

    return acc(acc, c, types.intp, types.intp, types.intp), emit


@intrinsic
def tile_store(typing, acc, c, at, step, columns):
    """Write the first `columns` numbers of row r to c[at + r * step ...]."""

    def emit(context, builder, sig, args):
        tile_, c_, at_, step_, columns_ = args
        masks = _masks(builder, acc, columns_)
        for _, v, position, pointer in _each_vector(builder, acc, _pointer(context, builder, c, c_, at_), step_):
            _masked_store(builder, acc.vector, pointer, masks[v], builder.extract_value(tile_, position))
        return context.get_dummy_value()

    return types.void(acc, c, types.intp, types.intp, types.intp), emit


@intrinsic
def tile_add(typing, acc, row, at, columns):
    """Add row[at], row[at + 1], ... (`columns` numbers) to each row of the tile."""

    def emit(context, builder, sig, args):
        tile_, row_, at_, columns_ = args
        first = _pointer(context, builder, row, row_, at_)
        zero = ir.Constant(acc.vector.llvm, [0.0] * acc.vector.lanes)
        addends = [_masked_load(builder, acc.vector, builder.gep(first, [at_.type(v * acc.vector.lanes)]), mask, zero)
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

# ---- transposition


def _transposed(builder, block):
    """The columns of a square of vectors: the off-diagonal quarters of ever larger squares change places."""
    size = len(block)
    block = list(block)
    distance = 1
    while distance < size:
        low = [lane if not lane & distance else size + lane - distance for lane in range(size)]
        high = [lane + distance if not lane & distance else size + lane for lane in range(size)]
        for r in range(size):
            if not r & distance:
                pair = block[r], block[r + distance]
                block[r], block[r + distance] = (
                    builder.shuffle_vector(*pair, ir.Constant(ir.VectorType(INT32, size), pattern))
                    for pattern in (low, high))
        distance *= 2
    return block


@intrinsic
def transpose(typing, x, at, step, rows, columns, y, y_at, y_step):
    """y[y_at + c * y_step + r] = x[at + r * step + c] for r < rows and c < columns, both at most W."""
    vector = Vector(x.dtype)
    size = vector.lanes

    def emit(context, builder, sig, args):
        x_, at_, step_, rows_, columns_, y_, y_at_, y_step_ = args
        first = _pointer(context, builder, x, x_, at_)
        target = _pointer(context, builder, y, y_, y_at_)
        align = x.dtype.bitwidth // 8
        kind = vector.llvm.as_pointer()
        whole = builder.and_(builder.icmp_signed("==", rows_, rows_.type(size)),
                             builder.icmp_signed("==", columns_, rows_.type(size)))
        with builder.if_else(whole, likely=True) as (then, otherwise):
            with then:
                block = [builder.load(builder.bitcast(_offset(builder, first, r, step_), kind), align=align)
                         for r in range(size)]
                for c, row in enumerate(_transposed(builder, block)):
                    builder.store(row, builder.bitcast(_offset(builder, target, c, y_step_), kind), align=align)
            with otherwise:
                zero = ir.Constant(vector.llvm, [0.0] * size)
                block = []
                for r in range(size):
                    count = builder.select(builder.icmp_signed("<", rows_.type(r), rows_), columns_, rows_.type(0))
                    block.append(_masked_load(builder, vector, _offset(builder, first, r, step_),
                                              _first_lanes(builder, count, size), zero))
                for c, row in enumerate(_transposed(builder, block)):
                    with builder.if_then(builder.icmp_signed("<", rows_.type(c), columns_)):
                        _masked_store(builder, vector, _offset(builder, target, c, y_step_),
                                      _first_lanes(builder, rows_, size), row)
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, types.intp, types.intp, y, types.intp, types.intp), emit

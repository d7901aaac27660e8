"""Explicit vectors for Numba: 16 lanes of float32 or 8 of float64, whatever the CPU.

A vector is a value like a float: `+ - * /`, `-v`, comparisons, `fma`, `select`, `sqrt` work on all lanes at once, and a
plain number beside a vector means that number in every lane. The number of lanes never depends on the machine, so the
order of additions, and with it every bit, does not either; LLVM cuts a vector into whatever registers there are.

    v = load(x, at, end, 0.0)       lanes x[at], x[at+1], ... of a C-contiguous array read flat; 0.0 from `end` on
    store(x, at, end, v)            the same way back; nothing is written from `end` on
    load_wide(x, at, end, 0.0)      WIDE vectors as one value, for long formulas without sums across lanes
    fold_sum(v), fold_max(v)        lanes folded by halves: l with l + W/2, then l + W/4, ...

None of these check bounds: `end` must not pass the array's end. What reads and writes arrays is in memory.py, blocks of
vectors in tiles.py.
"""

import operator

from llvmlite import binding, ir
from numba import types
from numba.core.registry import cpu_target
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin

from .llvm import FLOATS, INT32, INTEGERS, Mask, Vector, call, lift, repeat, suffix, vector_of


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


def _define_operator(symbol, of_floats, of_integers, result):
    @infer_global(symbol)
    class Template(AbstractTemplate):
        def generic(self, args, kws):
            vector = vector_of(*args)
            if vector is not None and (of_integers if vector.scalar in FLOATS else of_floats):
                return signature(result(vector), *args)

    def lower(context, builder, sig, args):
        vector = vector_of(*sig.args)
        left, right = (lift(context, builder, arg, kind, vector) for arg, kind in zip(args, sig.args))
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
for _symbol, _text in ((operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"), (operator.ge, ">="),
                       (operator.eq, "==")):
    _define_operator(_symbol, lambda builder, left, right, text=_text: builder.fcmp_ordered(text, left, right),
                     lambda builder, left, right, text=_text: builder.icmp_signed(text, left, right), _truth)


@infer_global(operator.neg)
class _Negative(AbstractTemplate):
    def generic(self, args, kws):
        if isinstance(args[0], Vector) and args[0].scalar in INTEGERS:
            return signature(args[0], *args)


@lower_builtin(operator.neg, Vector)
def _negative(context, builder, sig, args):
    return builder.fneg(args[0])  # a factor's or a term's costs nothing: there is an fma for each choice of signs


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
        return lift(context, builder, args[1], sig.args[1], vector)

    return vector(like, number), emit


@intrinsic
def fma(typing, x, y, z):
    """x * y + z, rounded once."""
    vector = vector_of(x, y, z)

    def emit(context, builder, sig, args):
        values = [lift(context, builder, arg, kind, vector) for arg, kind in zip(args, sig.args)]
        return call(builder, f"llvm.fma.{suffix(vector)}", vector.llvm, values)

    return vector(x, y, z), emit


@intrinsic
def sqrt(typing, x):
    """The square root, correctly rounded."""

    def emit(context, builder, sig, args):
        return call(builder, f"llvm.sqrt.{suffix(x)}", x.llvm, list(args))

    return x(x), emit


@intrinsic
def absolute(typing, x):
    """The lanes without their sign."""

    def emit(context, builder, sig, args):
        return call(builder, f"llvm.fabs.{suffix(x)}", x.llvm, list(args))

    return x(x), emit


@intrinsic
def copysign(typing, x, sign):
    """The lanes of x with the signs of the lanes of `sign`."""

    def emit(context, builder, sig, args):
        return call(builder, f"llvm.copysign.{suffix(x)}", x.llvm, list(args))

    return x(x, x), emit


@intrinsic
def select(typing, mask, x, y):
    """x where the mask holds, else y. A comparison with NaN does not hold."""
    vector = vector_of(x, y)

    def emit(context, builder, sig, args):
        yes, no = (lift(context, builder, arg, kind, vector) for arg, kind in zip(args[1:], sig.args[1:]))
        return builder.select(args[0], yes, no)

    return vector(mask, x, y), emit


@intrinsic
def first_lane(typing, mask):
    """The first lane where the mask holds; the number of lanes where it holds nowhere."""
    kind = ir.IntType(mask.lanes)

    def emit(context, builder, sig, args):
        first = builder.cttz(builder.bitcast(args[0], kind), ir.Constant(ir.IntType(1), 0))
        return builder.zext(first, context.get_value_type(types.intp))

    return types.intp(mask), emit


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
        first = lift(context, builder, args[0], n, vector)
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
        lowest = repeat(builder, ir.Constant(x.llvm.element, float("-inf")), x.lanes)
        known = builder.select(builder.fcmp_ordered("ord", args[0], args[0]), args[0], lowest)
        return _fold(builder, known, lambda a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))

    return x.scalar(x), emit

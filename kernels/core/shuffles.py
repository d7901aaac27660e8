"""Lanes of vectors in another order: every other one, and halves; and their numbers."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .llvm import INT32, INTEGERS, Vector


def _lanes_of_two(x, order):
    def emit(context, builder, sig, args):
        return builder.shuffle_vector(*args, ir.Constant(ir.VectorType(INT32, x.lanes), list(order)))

    return x(x, x), emit


def _moved(x, order):
    def emit(context, builder, sig, args):
        zeros = ir.Constant(x.llvm, [0] * x.lanes)
        return builder.shuffle_vector(args[0], zeros, ir.Constant(ir.VectorType(INT32, x.lanes), list(order)))

    return x(x), emit


@intrinsic
def even_lanes(typing, x, y):
    """Lanes 0, 2, 4, ... of x, then those of y."""
    return _lanes_of_two(x, range(0, 2 * x.lanes, 2))


@intrinsic
def odd_lanes(typing, x, y):
    """Lanes 1, 3, 5, ... of x, then those of y."""
    return _lanes_of_two(x, range(1, 2 * x.lanes, 2))


@intrinsic
def low_lanes(typing, x, y):
    """The lower half of the lanes of x, then that of y."""
    return _lanes_of_two(x, [*range(x.lanes // 2), *range(x.lanes, x.lanes * 3 // 2)])


@intrinsic
def high_lanes(typing, x, y):
    """The upper half of the lanes of x, then that of y."""
    return _lanes_of_two(x, [*range(x.lanes // 2, x.lanes), *range(x.lanes * 3 // 2, 2 * x.lanes)])


@intrinsic
def moved_up(typing, x):
    """Each lane of x one higher; 0 in the first."""
    return _moved(x, [x.lanes, *range(x.lanes - 1)])


@intrinsic
def moved_down(typing, x):
    """Each lane of x one lower; 0 in the last."""
    return _moved(x, range(1, x.lanes + 1))


@intrinsic
def halves(typing, x):
    """The lower and the upper half of the lanes of a vector that is wider than one, each a vector."""
    vector = Vector(x.scalar, x.width // 2)
    pair = types.UniTuple(vector, 2)

    def emit(context, builder, sig, args):
        parts = [builder.shuffle_vector(args[0], args[0], ir.Constant(ir.VectorType(INT32, vector.lanes), [*range(
            start, start + vector.lanes)])) for start in (0, vector.lanes)]
        return context.make_tuple(builder, pair, parts)

    return pair(x), emit


@intrinsic
def lane_numbers(typing, like):
    """0, 1, 2, ... as integer lanes as wide as those of `like`'s dtype."""
    vector = Vector(INTEGERS[like.dtype])

    def emit(context, builder, sig, args):
        return ir.Constant(vector.llvm, list(range(vector.lanes)))

    return vector(like), emit

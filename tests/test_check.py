"""Every gate of kernels/core/check.py: what it lets through and in which form, what it refuses and in which words."""

import pickle
import re
import tempfile
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from layouts import readonly, reversed_, sliced, unaligned
from numpy.lib.stride_tricks import as_strided

from nnjit.kernels import adam, dense, matmul, relu, softmax_cross_entropy
from nnjit.kernels.core import check
from nnjit.kernels.core.labels import check_labels

DTYPES = (np.float32, np.float64)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=("float32", "float64"))


class Sub(np.ndarray):
    """A subclass with an arithmetic of its own."""

    def __add__(self, other):
        raise AssertionError("a kernel took a subclass for an array")


def exactly(error, text):
    """pytest.raises with the whole text."""
    return pytest.raises(error, match=f"^{re.escape(text)}$")


def numbers(dtype, shape=(3, 4)):
    return np.arange(1, 1 + np.prod(shape), dtype=dtype).reshape(shape)


def unpickled(x):
    return pickle.loads(pickle.dumps(x))


def broadcast(x):
    """Each row is the same memory."""
    return np.broadcast_to(x[0].copy(), x.shape)


def memmap(x, columns=None):
    with tempfile.TemporaryFile() as file:
        room = np.memmap(file, x.dtype, "w+", shape=(x.shape[0], columns or x.shape[1]))
    room[:, :x.shape[1]] = x
    return room


def far_apart(x):
    """Rows two gigabytes apart: their distances do not fit 32 bits. The memory between them is never touched."""
    return memmap(x, 2**31 // x.itemsize).view(np.ndarray)[:, :x.shape[1]]


COPIED = {"fortran": np.asfortranarray, "reversed": reversed_, "sliced": sliced, "broadcast": broadcast,
          "unaligned": unaligned, "readonly": readonly, "memmap": memmap, "far apart": far_apart,
          "subclass": lambda x: x.copy().view(Sub), "readonly unpickled": lambda x: readonly(unpickled(x))}
LET_THROUGH = {"plain": np.copy, "unpickled": unpickled, "view": lambda x: np.stack([x, x])[1],
               "one huge stride": lambda x: as_strided(x[:1].copy(), (1, x.shape[1]), (2**40, x.itemsize)),
               "no numbers": lambda x: x[:0].copy(), "no dimension": lambda x: np.array(x[0, 0])}


# ---- array, matrix


@pytest.mark.parametrize("layout", LET_THROUGH)
@each_dtype
def test_what_a_loop_can_read_is_let_through(layout, dtype):
    x = LET_THROUGH[layout](numbers(dtype))
    assert check.array("x", x) is x


def test_an_unpickled_array_has_a_dtype_object_of_its_own():
    """What other tests rely on."""
    assert unpickled(numbers(np.float32)).dtype is not np.dtype(np.float32)
    assert unpickled(numbers(np.int64)).dtype is not np.dtype(np.int64)


@pytest.mark.parametrize("layout", COPIED)
@each_dtype
def test_other_layouts_are_copied_in_order(layout, dtype):
    x = COPIED[layout](numbers(dtype))
    before = x.tolist()
    y = check.array("x", x)
    assert type(y) is np.ndarray and y.dtype == dtype and y.flags.carray and y.tolist() == before
    assert not np.shares_memory(x, y)
    y[...] = 0
    assert x.tolist() == before


@pytest.mark.parametrize("layout", {**COPIED, **LET_THROUGH})
def test_a_kernel_computes_the_same_from_any_layout(layout):
    x = {**COPIED, **LET_THROUGH}[layout](numbers(np.float32) - 5)
    before = x.tolist()
    expected = np.maximum(np.array(before, np.float32), 0)
    y = relu.forward(x)
    assert y.tolist() == expected.tolist() and type(y) is np.ndarray and x.tolist() == before
    assert not np.shares_memory(x, y)


WRONG = {
    "a list": ([1.0], "must be a NumPy array, got list"),
    "None": (None, "must be a NumPy array, got NoneType"),
    "a number": (1.0, "must be a NumPy array, got float"),
    "a NumPy number": (np.float32(1), "must be a NumPy array, got float32"),
    "a memoryview": (memoryview(np.zeros(3)), "must be a NumPy array, got memoryview"),
    "masked": (np.ma.masked_array(np.zeros(3), [0, 1, 0]), "must not be a masked array: fill it first"),
    "nothing masked": (np.ma.masked_array(np.zeros(3)), "must not be a masked array: fill it first"),
    "int64": (np.zeros(3, np.int64), "must be float32 or float64, got int64"),
    "bool": (np.zeros(3, bool), "must be float32 or float64, got bool"),
    "float16": (np.zeros(3, np.float16), "must be float32 or float64, got float16"),
    "long double": (np.zeros(3, np.longdouble), f"must be float32 or float64, got {np.dtype(np.longdouble)}"),
    "complex64": (np.zeros(3, np.complex64), "must be float32 or float64, got complex64"),
    "object": (np.zeros(3, object), "must be float32 or float64, got object"),
    "text": (np.zeros(3, "U2"), "must be float32 or float64, got <U2"),
    "bytes": (np.zeros(3, "V4"), "must be float32 or float64, got |V4"),
    "dates": (np.zeros(3, "M8[s]"), "must be float32 or float64, got datetime64[s]"),
    "a record": (np.zeros(3, [("a", "f4")]), "must be float32 or float64, got [('a', '<f4')]"),
    "swapped f4": (np.zeros(3, ">f4"), "must be in native byte order, got >f4"),
    "swapped f8": (np.zeros(3, ">f8"), "must be in native byte order, got >f8"),
    "swapped int": (np.zeros(3, ">i4"), "must be float32 or float64, got >i4"),
    "strings": (np.zeros(3, np.dtypes.StringDType()), "must be float32 or float64, got StringDType()"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_kinds_of_arrays(what):
    x, text = WRONG[what]
    with exactly(TypeError, f"dy {text}"):
        check.array("dy", x)
    with exactly(TypeError, f"dy {text}"):
        check.matrix("dy", np.zeros((3, 2), x.dtype, "F") if type(x) is np.ndarray else x)
    with exactly(TypeError, f"dy {text}"):
        check.same("dy", x, "x", numbers(np.float32))


@pytest.mark.parametrize("shape, ndim, text", [
    ((2, 3), 1, "x must have 1 dimension, got shape (2, 3)"),
    ((), 1, "x must have 1 dimension, got shape ()"),
    ((3,), 2, "x must have 2 dimensions, got shape (3,)"),
    ((1, 2, 3), 2, "x must have 2 dimensions, got shape (1, 2, 3)"),
    ((0,), 2, "x must have 2 dimensions, got shape (0,)"),
])
def test_wrong_numbers_of_dimensions(shape, ndim, text):
    for x in (np.zeros(shape), np.zeros(shape, order="F"), readonly(np.zeros(shape))):
        with exactly(ValueError, text):
            check.array("x", x, ndim)
        if ndim == 2:
            with exactly(ValueError, text):
                check.matrix("x", x)
        assert check.array("x", x, len(shape)).shape == shape


@each_dtype
def test_a_column_major_matrix_is_not_copied(dtype):
    for x in (np.asfortranarray(numbers(dtype)), unpickled(np.asfortranarray(numbers(dtype))), numbers(dtype).T):
        y, transposed = check.matrix("x", x)
        assert transposed is True and y.flags.carray and np.shares_memory(x, y)
        assert y.T.tolist() == x.tolist() and y.ctypes.data == x.ctypes.data


@pytest.mark.parametrize("layout", {**COPIED, **LET_THROUGH})
@each_dtype
def test_matrix_tells_whether_it_is_transposed(layout, dtype):
    x = {**COPIED, **LET_THROUGH}[layout](numbers(dtype))
    if x.ndim == 2:
        y, transposed = check.matrix("x", x)
        assert y.flags.carray and type(y) is np.ndarray and y.dtype == dtype
        assert (y.T if transposed else y).tolist() == x.tolist()
        assert transposed is (layout == "fortran") and (y is x) is (layout in LET_THROUGH)


def test_a_readonly_column_major_matrix_is_copied():
    x = readonly(np.asfortranarray(numbers(np.float32)))
    y, transposed = check.matrix("x", x)
    assert not transposed and y.flags.carray and not np.shares_memory(x, y) and y.tolist() == x.tolist()


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (1, 1), (0, 5), (5, 0)])
def test_a_single_row_or_column_is_of_both_orders(shape):
    x = np.asfortranarray(numbers(np.float64, shape))
    assert check.matrix("x", x) == (x, False)


# ---- same, dtype_of


def test_same_lets_through_and_copies():
    like = numbers(np.float32)
    for x in (numbers(np.float32), unpickled(like)):
        assert check.same("dy", x, "y", like) is x
    assert check.same("dy", sliced(like), "y", unpickled(like)).tolist() == like.tolist()


@pytest.mark.parametrize("x, error, text", [
    (np.zeros((3, 4)), TypeError, "dy must be float32 as y is, got float64"),
    (np.zeros((4, 3), np.float64), TypeError, "dy must be float32 as y is, got float64"),
    (np.zeros((4, 3), np.float32), ValueError, "dy must have shape (3, 4) to match y, got (4, 3)"),
    (np.zeros(12, np.float32), ValueError, "dy must have shape (3, 4) to match y, got (12,)"),
    (np.zeros((1, 4), np.float32), ValueError, "dy must have shape (3, 4) to match y, got (1, 4)"),
    (np.zeros((), np.float32), ValueError, "dy must have shape (3, 4) to match y, got ()"),
])
def test_same_names_both(x, error, text):
    with exactly(error, text):
        check.same("dy", x, "y", numbers(np.float32))


def test_dtype_of_names_both():
    check.dtype_of("w", unpickled(numbers(np.float32)), "x", numbers(np.float32))
    with exactly(TypeError, "w must be float64 as x is, got float32"):
        check.dtype_of("w", numbers(np.float32), "x", numbers(np.float64))


# ---- memory: views of four of eight numbers, made in every way; whether they overlap is a matter of their offsets


def frombuffer(x, at):
    return np.frombuffer(x, x.dtype, 4, at * x.itemsize)


def frommemory(x, at):
    return np.frombuffer(memoryview(x), x.dtype, 4, at * x.itemsize)


VIEWS = {
    "slice": lambda x, at: x[at:at + 4],
    "slice of a slice": lambda x, at: x[at:][:4],
    "reshaped": lambda x, at: x[at:at + 4].reshape(2, 2).reshape(4),
    "buffer": lambda x, at: np.ndarray(4, x.dtype, x, at * x.itemsize),
    "frombuffer": frombuffer,
    "view of frombuffer": lambda x, at: frombuffer(x, at)[:],
    "memoryview": frommemory,
    "as_strided": lambda x, at: as_strided(x[at:], (4,)),
    "of a subclass": lambda x, at: x.view(Sub)[at:at + 4].view(np.ndarray),
    "dlpack": lambda x, at: np.from_dlpack(x)[at:at + 4],
    "bytes": lambda x, at: x.view(np.uint8)[at * x.itemsize:(at + 4) * x.itemsize].view(x.dtype),
}
if not np.from_dlpack(np.zeros(1)).flags.writeable:  # NumPy before 2.1
    del VIEWS["dlpack"]
PAIRS = [(first, second) for first in VIEWS for second in VIEWS]
MEMORIES = {"array": lambda: np.zeros(8, np.float32), "bytearray": lambda: np.frombuffer(bytearray(32), np.float32)}


@pytest.mark.parametrize("memory", MEMORIES)
def test_views_of_this_file_are_what_they_seem(memory):
    for name, view in VIEWS.items():
        for at in range(5):
            room = MEMORIES[memory]()
            view(room, at)[...] = 1
            assert room.tolist() == [0] * at + [1] * 4 + [0] * (4 - at), name


@pytest.mark.parametrize("memory", MEMORIES)
def test_out_may_touch_an_input_but_not_overlap(memory):
    room = MEMORIES[memory]()
    for first, second in PAIRS:
        for start in range(5):
            x, given = VIEWS[first](room, start), VIEWS[second](room, 4)
            other = np.zeros(4, np.float32)
            if start == 0:
                assert check.out("out", given, (4,), x.dtype, other, x) is given, (first, second)
            else:
                with exactly(ValueError, "out[1] must not share memory with an input"):
                    check.out("out[1]", given, (4,), x.dtype, other, x)


@pytest.mark.parametrize("memory", MEMORIES)
def test_out_may_be_its_alias_but_not_overlap_it(memory):
    room = MEMORIES[memory]()
    for first, second in PAIRS:
        for start in range(5):
            x, given = VIEWS[first](room, start), VIEWS[second](room, 4)
            if start in (0, 4):
                assert check.out("out", given, (4,), x.dtype, alias=x) is given, (first, second)
            else:
                with exactly(ValueError, "out must not overlap an input, except by being the same array"):
                    check.out("out", given, (4,), x.dtype, alias=x)


def test_out_may_be_the_whole_of_an_input_only_as_alias():
    x = numbers(np.float32)
    assert check.out("out", x, x.shape, x.dtype, alias=x) is x
    for other in (x, x[1:], x.ravel()[:1], x[:0]):
        if other.size:
            with exactly(ValueError, "out must not share memory with an input"):
                check.out("out", x, x.shape, x.dtype, other)
        else:
            assert check.out("out", x, x.shape, x.dtype, other) is x


def test_a_kernel_reads_nothing_that_it_wrote():
    """The gates in place: a product into its factor, a rectifier one number further."""
    room = np.ones(20, np.float64)
    a, b, c = room[:4].reshape(2, 2), np.ones((2, 2)), np.frombuffer(memoryview(room), count=4, offset=24).reshape(2, 2)
    with exactly(ValueError, "out must not share memory with an input"):
        matmul.forward(a, b, out=c)
    with exactly(ValueError, "out must not overlap an input, except by being the same array"):
        relu.forward(room[:9], out=room[1:10])
    assert room.tolist() == [1] * 20


# ---- out, outs, written


@each_dtype
def test_out_makes_an_array_or_returns_the_given_one(dtype):
    made = check.out("out", None, (2, 3), np.dtype(dtype))
    assert made.shape == (2, 3) and made.dtype == dtype and made.flags.carray and made.flags.owndata
    for given in (numbers(dtype), unpickled(numbers(dtype)), np.stack([numbers(dtype)] * 2)[1]):
        assert check.out("out", given, (3, 4), np.dtype(dtype), numbers(dtype)) is given
    given = np.zeros((0, 4), dtype)
    assert check.out("out", given, (0, 4), np.dtype(dtype), given) is given


IN_PLACE = {
    "a list": ([1.0], TypeError, "must be a NumPy array, got list"),
    "a number": (1.0, TypeError, "must be a NumPy array, got float"),
    "masked": (np.ma.masked_array(np.zeros((3, 4))), TypeError, "must be a NumPy array, got MaskedArray"),
    "subclass": (np.zeros((3, 4)).view(Sub), TypeError, "must be a NumPy array, got Sub"),
    "int64": (np.zeros((3, 4), np.int64), TypeError, "must be float32 or float64, got int64"),
    "float16": (np.zeros((3, 4), np.float16), TypeError, "must be float32 or float64, got float16"),
    "swapped": (np.zeros((3, 4), ">f8"), TypeError, "must be float32 or float64, got >f8"),
} | {name: (make(numbers(np.float64)), ValueError,
            "must be writeable, aligned and C-contiguous, since it is written in place")
     for name, make in COPIED.items() if name not in ("memmap", "far apart", "subclass")}


@pytest.mark.parametrize("what", IN_PLACE)
def test_what_is_written_in_place_must_be_plain(what):
    x, error, text = IN_PLACE[what]
    before = pickle.dumps(x)
    with exactly(error, f"w {text}"):
        check.written("w", x)
    with exactly(error, f"out[2] {text}"):
        check.out("out[2]", x, (3, 4), np.dtype(np.float64))
    with exactly(error, f"m {text}"):
        check.state(("w", "dw", "m"), (numbers(np.float64), numbers(np.float64), x))
    with exactly(error, f"w {text}"):
        check.state(("w", "dw"), (x, numbers(np.float64)))
    assert pickle.dumps(x) == before


def test_written_returns_what_it_was_given():
    for x in (numbers(np.float32), unpickled(numbers(np.float64)), np.zeros((0, 3)), np.array(1.0)):
        assert check.written("w", x) is x


@pytest.mark.parametrize("given, error, text", [
    (np.zeros((3, 4)), TypeError, "out must be float32, got float64"),
    (np.zeros((4, 3), np.float32), ValueError, "out must have shape (3, 4), got (4, 3)"),
    (np.zeros(12, np.float32), ValueError, "out must have shape (3, 4), got (12,)"),
    (np.zeros((3, 5), np.float32), ValueError, "out must have shape (3, 4), got (3, 5)"),
    (np.zeros((1, 4), np.float32), ValueError, "out must have shape (3, 4), got (1, 4)"),
])
def test_out_must_fit(given, error, text):
    with exactly(error, text):
        check.out("out", given, (3, 4), np.dtype(np.float32))


def test_outs_are_a_tuple():
    x = numbers(np.float32)
    assert check.outs(None, 3) == (None, None, None)
    for given in ((x, None), (None, x), (None, None)):
        assert check.outs(given, 2) is given
    for given in (x, [x, x], (x,), (x, x, x), (), "ab", 2):
        with exactly(TypeError, "out must be None or a tuple of 2 arrays (None for one to be made)"):
            check.outs(given, 2)


# ---- state


NAMES = ("w", "dw", "m", "v")


@each_dtype
def test_state_is_flat_and_the_same_memory(dtype):
    for make in (np.copy, unpickled):
        arrays = [make(numbers(dtype)) for _ in NAMES]
        flat = check.state(NAMES, arrays)
        assert [x.shape for x in flat] == [(12,)] * 4
        assert all(view.ctypes.data == x.ctypes.data and view.flags.carray for view, x in zip(flat, arrays))
    assert [x.shape for x in check.state(NAMES, [np.zeros((), dtype) for _ in NAMES])] == [(1,)] * 4
    assert [x.shape for x in check.state(NAMES, [np.zeros((0, 3), dtype) for _ in NAMES])] == [(0,)] * 4


@pytest.mark.parametrize("layout", COPIED)
def test_only_the_gradient_may_lie_anyhow(layout):
    gradient = COPIED[layout](numbers(np.float32))
    before = gradient.tolist()
    w, dw, m, v = check.state(NAMES, (numbers(np.float32), gradient, numbers(np.float32), numbers(np.float32)))
    assert dw.tolist() == np.ravel(before).tolist() and not np.shares_memory(dw, gradient)


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("i, j", [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])
def test_state_must_not_share_memory(memory, i, j):
    room = MEMORIES[memory]()
    for first, second in PAIRS:
        for start in range(5):
            arrays = [np.zeros(4, np.float32) for _ in NAMES]
            arrays[i], arrays[j] = VIEWS[first](room, start), VIEWS[second](room, 4)
            if start == 0:
                assert len(check.state(NAMES, arrays)) == 4, (first, second)
            else:
                with exactly(ValueError, f"{NAMES[j]} must not share memory with {NAMES[i]}"):
                    check.state(NAMES, arrays)


def test_one_array_twice_in_a_state():
    x, y = numbers(np.float32), numbers(np.float32)
    for arrays, text in (((x, x, y), "dw must not share memory with w"), ((x, y, x), "m must not share memory with w"),
                         ((x, y, y), "m must not share memory with dw")):
        with exactly(ValueError, text):
            check.state(NAMES[:3], arrays)
    assert len(check.state(NAMES[:3], (x, y, np.stack([y, y])[0]))) == 3


@pytest.mark.parametrize("position, wrong, error, text", [
    (0, np.zeros((3, 4), int), TypeError, "w must be float32 or float64, got int64"),
    (0, None, TypeError, "w must be a NumPy array, got NoneType"),
    (1, None, TypeError, "dw must be a NumPy array, got NoneType"),
    (1, np.zeros((3, 4)), TypeError, "dw must be float32 as w is, got float64"),
    (1, np.zeros((3, 4), ">f4"), TypeError, "dw must be in native byte order, got >f4"),
    (1, np.ma.masked_array(np.zeros((3, 4))), TypeError, "dw must not be a masked array: fill it first"),
    (1, np.zeros((4, 3), np.float32), ValueError, "dw must have shape (3, 4) to match w, got (4, 3)"),
    (2, None, TypeError, "m must be a NumPy array, got NoneType"),
    (2, np.zeros((3, 4)), TypeError, "m must be float32 as w is, got float64"),
    (3, np.zeros(12, np.float32), ValueError, "v must have shape (3, 4) to match w, got (12,)"),
])
def test_a_wrong_part_of_a_state_is_named(position, wrong, error, text):
    arrays = [numbers(np.float32) for _ in NAMES]
    arrays[position] = wrong
    before = pickle.dumps(arrays)
    with exactly(error, text):
        check.state(NAMES, arrays)
    with exactly(error, text):
        adam.step(*arrays, learning_rate=1, correction_1=1, correction_2=1)
    assert pickle.dumps(arrays) == before


# ---- number


@pytest.mark.parametrize("value, expected", [
    (1.5, 1.5), (2, 2.0), (-0.0, -0.0), (5e-324, 5e-324), (check.LARGEST, 1.7976931348623157e308),
    (-check.LARGEST, -1.7976931348623157e308), (np.float64(0.1), 0.1), (np.float32(0.1), 0.10000000149011612),
    (np.float16(0.1), 0.0999755859375), (np.int64(-3), -3.0), (np.uint8(200), 200.0), (Fraction(1, 3), 1 / 3),
    (Decimal("0.1"), 0.1), (np.array(0.25), 0.25), (2**1023, 2.0**1023),
], ids=repr)
def test_numbers_become_floats(value, expected):
    found = check.number("epsilon", value)
    assert type(found) is float and found.hex() == expected.hex()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("value", [
    None, "1", "one", np.str_("1"), True, False, np.True_, 1j, np.complex64(1 + 2j), b"1", bytearray(b"1"),
    memoryview(b"1"), np.bytes_(b"1"), np.datetime64(5, "s"), [1], (1,), {}, np.array([1.0]), np.array([1.0, 2.0]),
    object(), float,
], ids=lambda value: type(value).__name__)
def test_what_is_no_number_is_refused(value):
    with exactly(TypeError, f"learning_rate must be a number, got {type(value).__name__}"):
        check.number("learning_rate", value)


@pytest.mark.parametrize("value, text", [
    (float("nan"), "nan"), (float("inf"), "inf"), (-float("inf"), "-inf"), (np.float32("nan"), "nan"),
    (np.float32("inf"), "inf"), (np.array(-np.inf), "-inf"), (np.longdouble("inf"), "inf"), (Decimal("NaN"), "nan"),
    (Decimal("sNaN"), "nan"),
])
def test_numbers_must_be_finite(value, text):
    with exactly(ValueError, f"beta_1 must be finite, got {text}"):
        check.number("beta_1", value)


@pytest.mark.parametrize("value, expected", [
    (float("nan"), "nan"), (np.array(np.nan), "nan"), (np.inf, "inf"), (-np.float32("inf"), "-inf"), (10**400, "inf"),
    (-10**400, "-inf"), (Decimal("sNaN"), "nan"), (2, (2.0).hex()),
])
def test_numbers_may_be_infinite_where_it_is_said(value, expected):
    found = check.number("norm", value, finite=False)
    assert type(found) is float and found.hex() == expected
    with exactly(TypeError, "norm must be a number, got str"):
        check.number("norm", "inf", finite=False)


@pytest.mark.parametrize("value, text", [(10**400, "inf"), (-10**400, "-inf"), (Fraction(-10**400, 3), "-inf"),
                                         (10**5000, "inf")], ids=("huge", "-huge", "huge fraction", "5000 digits"))
def test_a_number_beyond_all_floats_is_named(value, text):
    with exactly(ValueError, f"beta_1 must be finite, got {text}"):
        check.number("beta_1", value)


# ---- word


@pytest.mark.parametrize("value, expected", [
    (0, 0), (7, 7), (2**63 - 1, 2**63 - 1), (2**63, -2**63), (2**64 - 1, -1), (np.int8(5), 5),
    (np.uint64(2**64 - 2), -2), (np.int64(2**63 - 1), 2**63 - 1),
], ids=repr)
def test_words_become_int64(value, expected):
    found = check.word("seed", value)
    assert type(found) is int and found == expected


@pytest.mark.parametrize("value", [None, "1", 1.0, np.float64(1), True, np.True_, np.timedelta64(1, "s"), np.array(1),
                                   [1], 1j, Fraction(1), Decimal(1)], ids=lambda value: type(value).__name__)
def test_what_is_no_whole_number_is_refused(value):
    with exactly(TypeError, f"seed must be a whole number, got {type(value).__name__}"):
        check.word("seed", value)


@pytest.mark.parametrize("value", [-1, 2**64, -2**63, 10**30, np.int8(-3)], ids=repr)
def test_words_have_64_bits(value):
    with exactly(ValueError, f"stream must be at least 0 and below 2^64, got {value}"):
        check.word("stream", value)


@pytest.mark.parametrize("gate, error", [(check.word, ValueError), (check.shape, ValueError), (check.dtype, TypeError)])
def test_a_number_that_python_does_not_write_is_named(gate, error):
    with pytest.raises(error, match="^seed must .*, got int of too many digits to show$"):
        gate("seed", 10**5000)


# ---- shape, dtype


@pytest.mark.parametrize("value, expected", [
    (0, (0,)), (3, (3,)), ((), ()), ((2, 3), (2, 3)), ([2, 3], (2, 3)), (np.int32(5), (5,)),
    ((np.uint8(2), np.int64(0)), (2, 0)),
], ids=repr)
def test_shapes_become_tuples_of_int(value, expected):
    found = check.shape("shape", value)
    assert type(found) is tuple and found == expected and {type(n) for n in found} <= {int}


@pytest.mark.parametrize("value", [None, "3", 3.0, True, (2, 3.0), (2, None), ((2, 3),), np.array([2, 3]), {2, 3},
                                   np.timedelta64(1, "s")], ids=repr)
def test_what_is_no_shape_is_refused(value):
    with exactly(TypeError, f"shape must be a whole number or a tuple of them, got {value!r}"):
        check.shape("shape", value)


@pytest.mark.parametrize("value", [-1, (3, -2), [-5]], ids=repr)
def test_lengths_are_not_negative(value):
    with exactly(ValueError, f"shape must not be negative, got {value!r}"):
        check.shape("shape", value)


@pytest.mark.parametrize("value", [2**64, 2**60, (2**62, 4), (2**40, 2**20), (1,) * 65, (0, 2**60)], ids=repr)
def test_a_shape_that_no_array_has_is_named(value):
    with exactly(ValueError, f"shape must have at most 64 dimensions and less than 2^60 numbers, got {value!r}"):
        check.shape("shape", value)
    assert check.shape("shape", (2**30, 2**29)) == (2**30, 2**29) and check.shape("shape", [1] * 64) == (1,) * 64


@pytest.mark.parametrize("value, expected", [(3, (3, 3)), ((2, 3), (2, 3)), ([2, 3], (2, 3)),
                                             ((np.uint8(2), np.int64(5)), (2, 5)), (2**31 - 1, (2**31 - 1,) * 2)],
                         ids=repr)
def test_pairs_are_two_ints(value, expected):
    found = check.pair("size", value, 1)
    assert found == expected and {type(n) for n in found} == {int}


@pytest.mark.parametrize("value", [None, "3", 3.0, True, (2, 3.0), (2,), (2, 3, 4), (), np.array([2, 3]), {2, 3}],
                         ids=repr)
def test_what_is_no_pair_is_refused(value):
    with exactly(TypeError, f"size must be a whole number or a pair of them, got {value!r}"):
        check.pair("size", value, 1)


@pytest.mark.parametrize("value", [0, (3, 0), [-5, 2], 2**31, (2, 2**40)], ids=repr)
def test_pairs_lie_in_a_range(value):
    with exactly(ValueError, f"size must be at least 1 and below 2^31, got {value!r}"):
        check.pair("size", value, 1)
    assert check.pair("padding", 0, 0) == (0, 0)


@pytest.mark.parametrize("value", ["float32", "f4", np.float32, np.dtype(np.float32), float, "d", np.float64], ids=repr)
def test_dtypes_are_taken_in_any_way(value):
    found = check.dtype("dtype", value)
    assert isinstance(found, np.dtype) and found == np.dtype(value)


@pytest.mark.parametrize("value", [None, "float16", np.int64, int, "nothing", 32, ">f4", np.longdouble, ",", "(2,f4",
                                   [("a", "f4"), ("a", "f4")], ("f4", -1)],
                         ids=repr)
def test_other_dtypes_are_refused(value):
    with exactly(TypeError, f"dtype must be float32 or float64, got {value!r}"):
        check.dtype("dtype", value)


# ---- columns, one_of


def test_rows_must_not_be_empty():
    check.columns("x", np.zeros((0, 1)))
    for shape in ((0, 0), (3, 0)):
        with exactly(ValueError, f"x must have at least one column, got shape {shape}"):
            check.columns("x", np.zeros(shape))


def test_flags_are_true_or_false():
    for value in (True, False, np.True_, np.False_):
        assert check.flag("nesterov", value) is bool(value)
    for value in (None, 0, 1, "False", "", np.array(True), []):
        with exactly(TypeError, f"nesterov must be True or False, got {type(value).__name__}"):
            check.flag("nesterov", value)


@pytest.mark.parametrize("value", [0, 1, "False", "", np.array([True, False]), [], 2.5], ids=repr)
def test_parallel_is_none_true_or_false(value):
    x = numbers(np.float32)
    for call in (lambda: relu.forward(x, parallel=value), lambda: matmul.forward(x, x.T, parallel=value)):
        with exactly(TypeError, f"parallel must be None, True or False, got {type(value).__name__}"):
            call()


def test_one_of_lists_the_choices():
    for value in dense.ACTIVATIONS:
        assert check.one_of("activation", value, dense.ACTIVATIONS) == dense.ACTIVATIONS[value]
    for value in ("Relu", "", 0, b"relu", True):
        with exactly(ValueError, f"activation must be one of None, 'relu', 'sigmoid', 'tanh', got {value!r}"):
            check.one_of("activation", value, dense.ACTIVATIONS)


@pytest.mark.parametrize("value", [[], {}, np.array(["relu"])], ids=("list", "dict", "array"))
def test_one_of_names_what_has_no_hash(value):
    with pytest.raises((TypeError, ValueError), match="^activation must be one of None, 'relu', 'sigmoid', 'tanh'"):
        dense.forward(np.ones((2, 3)), np.ones((3, 4)), np.ones(4), activation=value)


# ---- labels


LIKE = np.zeros((5, 3), np.float32)
LABELS = [2, 0, 1, 2, 0]
ONE_HOT = [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i2", ">i4", ">i8", ">u8"])
def test_labels_of_any_integers_become_int64(kind):
    y = np.array(LABELS, kind)
    found = check_labels(y, "p", LIKE)
    assert found.dtype == np.int64 and found.dtype.isnative and found.flags.carray and found.tolist() == LABELS
    assert (found is y) is (y.dtype == np.int64) and y.tolist() == LABELS


def test_labels_of_any_layout():
    y = np.array(LABELS)
    assert check_labels(unpickled(y), "p", LIKE).tolist() == LABELS
    for view in (y[::-1][::-1], np.repeat(y, 3)[::3], np.ascontiguousarray(y[::-1])[::-1], unaligned(y), readonly(y),
                 y.view(Sub), np.stack([y, y], axis=1)[:, 1]):
        found = check_labels(view, "p", LIKE)
        assert type(found) is np.ndarray and found.flags.carray and found.tolist() == LABELS
    assert check_labels(np.broadcast_to(2, 5), "p", LIKE).tolist() == [2] * 5
    assert check_labels(np.zeros(0, int), "p", LIKE[:0]).shape == (0,)


@pytest.mark.parametrize("kind", ["?", "i1", "u1", "i8", "f2", "f4", "f8", "g", ">i4", ">f4", ">f8"])
@each_dtype
def test_one_hot_rows_take_the_dtype_of_the_scores(kind, dtype):
    for make in (np.copy, np.asfortranarray, reversed_, unaligned, readonly, unpickled, lambda x: x.view(Sub)):
        y = make(np.array(ONE_HOT, kind))
        found = check_labels(y, "p", LIKE.astype(dtype))
        assert type(found) is np.ndarray and found.dtype == dtype and found.dtype.isnative and found.flags.carray
        assert found.tolist() == ONE_HOT and y.tolist() == ONE_HOT


def test_a_target_beyond_float32_is_infinite():
    y = np.array(ONE_HOT, np.float64)
    y[1, 1] = -1e300
    assert check_labels(y, "p", LIKE)[1, 1] == -np.inf


def test_a_one_hot_copy_is_not_the_callers():
    for y in (np.array(ONE_HOT), np.array(ONE_HOT, np.float64), readonly(np.array(ONE_HOT, np.float32))):
        assert not np.shares_memory(check_labels(y, "p", LIKE), y)


@pytest.mark.parametrize("label, text", [
    (3, "3"), (-1, "-1"), (4, "4"), (2**31, "2147483648"), (2**32, "4294967296"), (2**32 + 1, "4294967297"),
    (-2**63, "-9223372036854775808"), (2**63 - 1, "9223372036854775807"),
])
@pytest.mark.parametrize("at", range(5))
def test_a_label_out_of_range_is_named_with_its_place(label, text, at):
    y = np.array(LABELS)
    y[at] = label
    for view in (y, readonly(y), np.repeat(y, 2)[::2], y.astype(">i8")):
        with exactly(ValueError, f"labels must lie in 0..2, got {text} at index {at}"):
            check_labels(view, "p", LIKE)
    with exactly(ValueError, f"labels must lie in 0..2, got {text} at index {at}"):
        softmax_cross_entropy.forward(LIKE, y)


@pytest.mark.parametrize("kind, label, text", [("u1", 255, "255"), ("i1", -128, "-128"), (">i2", 768, "768"),
                                               ("u4", 2**32 - 1, "4294967295"), ("u8", 2**63, "9223372036854775808"),
                                               ("u8", 2**64 - 1, "18446744073709551615")])
def test_a_label_out_of_range_is_named_as_given(kind, label, text):
    y = np.array(LABELS, kind)
    y[3] = label
    with exactly(ValueError, f"labels must lie in 0..2, got {text} at index 3"):
        check_labels(y, "p", LIKE)


def test_the_first_of_many_wrong_labels_is_named():
    with exactly(ValueError, "labels must lie in 0..2, got -1 at index 1"):
        check_labels(np.array([0, -1, 7, -1, 3]), "p", LIKE)


NO_LABELS = {
    "a list": (LABELS, TypeError, "labels must be a NumPy array, got list"),
    "None": (None, TypeError, "labels must be a NumPy array, got NoneType"),
    "masked": (np.ma.masked_array(LABELS), TypeError, "labels must not be a masked array: fill it first"),
    "masked rows": (np.ma.masked_array(ONE_HOT), TypeError, "labels must not be a masked array: fill it first"),
    "floats": (np.array(LABELS, float), TypeError,
               "labels must be integers (N,) or one-hot rows (N, 3), got float64 (5,)"),
    "NaN": (np.full(5, np.nan, np.float32), TypeError,
            "labels must be integers (N,) or one-hot rows (N, 3), got float32 (5,)"),
    "bools": (np.zeros(5, bool), TypeError, "labels must be integers (N,) or one-hot rows (N, 3), got bool (5,)"),
    "objects": (np.array(LABELS, object), TypeError,
                "labels must be integers (N,) or one-hot rows (N, 3), got object (5,)"),
    "dates": (np.zeros(5, "M8[s]"), TypeError,
              "labels must be integers (N,) or one-hot rows (N, 3), got datetime64[s] (5,)"),
    "text": (np.array(list("abcde")), TypeError, "labels must be integers (N,) or one-hot rows (N, 3), got <U1 (5,)"),
    "too few": (np.array(LABELS[:4]), ValueError, "labels must have shape (5,) or (5, 3) to match p, got (4,)"),
    "too many": (np.array(LABELS + [0]), ValueError, "labels must have shape (5,) or (5, 3) to match p, got (6,)"),
    "none": (np.zeros(0, int), ValueError, "labels must have shape (5,) or (5, 3) to match p, got (0,)"),
    "one": (np.array(1), ValueError, "labels must have shape (5,) or (5, 3) to match p, got ()"),
    "a block": (np.zeros((5, 1, 1), int), ValueError,
                "labels must have shape (5,) or (5, 3) to match p, got (5, 1, 1)"),
    "a column": (np.array(LABELS)[:, None], ValueError, "one-hot labels must have shape (5, 3) to match p, got (5, 1)"),
    "columns": (np.array(ONE_HOT).T, ValueError, "one-hot labels must have shape (5, 3) to match p, got (3, 5)"),
    "rows too few": (np.array(ONE_HOT[:4]), ValueError,
                     "one-hot labels must have shape (5, 3) to match p, got (4, 3)"),
    "complex rows": (np.array(ONE_HOT, complex), TypeError, "one-hot labels must be numbers, got complex128"),
    "object rows": (np.array(ONE_HOT, object), TypeError, "one-hot labels must be numbers, got object"),
    "text rows": (np.array(ONE_HOT, "U1"), TypeError, "one-hot labels must be numbers, got <U1"),
}


@pytest.mark.parametrize("what", NO_LABELS)
def test_wrong_labels(what):
    y, error, text = NO_LABELS[what]
    before = pickle.dumps(y)
    with exactly(error, text):
        check_labels(y, "p", LIKE)
    assert pickle.dumps(y) == before

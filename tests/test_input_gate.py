"""The gate of `nnjit.kernels`: every argument of every function in each kind, layout, shape and value.

What is valid is what the docstring says of the argument, read here (`descriptions`). A valid call gives the bits of
the same call on plain arrays and changes nothing that it only reads. Any other call raises an error that names the
argument, and changes nothing at all.
"""

import array
import functools
import inspect
import itertools
import pickle
import re
import tempfile
import warnings
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from math import inf, isfinite, nan

import children
import numpy as np
from numpy.lib.stride_tricks import as_strided
from layouts import memmap, readonly, reversed_, sliced, unaligned
from operations import DTYPES, OPERATIONS, document, each, each_dtype, functions, in_place, signature
from scalar import assert_same_bits

from nnjit.bench import contract
from nnjit.kernels.core import check, public

ANY = "any shape"
public.install()  # calls on plain arrays, of which each case makes one, are then made by the compiled gate


# ---- what is declared


def descriptions(operation, function):
    """What the docstring says of each argument, by name, with what it refers to in that of `forward`."""
    found = {}
    for line in re.sub(r"\n +", " ", document(operation, function).split("\n\n")[1]).split("\n"):
        _, *parts = re.split(r"(?:^|(?<=\), ))((?:\w+, )*[\w ]+) : ", line)
        for names, text in zip(parts[::2], parts[1::2]):
            for name in names.split(", "):
                earlier = function != "forward" and "`forward`" in text and descriptions(operation, "forward").get(name)
                found[name] = f"{earlier}; {text}" if earlier else text
    return found


def forms(text):
    """The shapes that a description allows: letters, or ANY."""
    if "any shape" in text or "shape and dtype" in text:
        return [ANY]
    found = re.findall(r"\((\.\.\.(?:, [A-Z])*|[A-Z],(?: [A-Z])*(?:, [A-Z])*)\)", text)
    return list(dict.fromkeys(tuple(re.findall(r"\.\.\.|[A-Z]", letters)) for letters in found))


def array_names(operation, function):
    return [name for name, text in descriptions(operation, function).items() if name != "out" and forms(text)]


def never_zero(operation, function):
    """The letters whose length must not be 0: they stand in the sentence that tells what raises."""
    text = document(operation, function).replace("\n", " ")
    found = set(re.findall("([A-Z]) = 0", " ".join(re.findall(r"Raises [^.]*\.", text))))
    return found | (never_zero(operation, "forward") if re.search(r"Errors[^.]* as in `forward`", text) else set())


def lengths(declared, shapes):
    """The length of each letter if shapes by name fit what is declared, else None; all of ANY shape have one shape."""
    for choice in itertools.product(*(declared[name] for name in shapes)):
        found, fits = {}, True
        if any(declared[a] == declared[b] and choice[i] != choice[j] for i, a in enumerate(shapes)
               for j, b in enumerate(shapes) if i < j):
            continue  # of two that may be images or rows, both are
        for form, shape in zip(choice, shapes.values()):
            if form[0] == "..." and len(shape) >= len(form) - 1:
                before = len(shape) - len(form) + 1
                shape = (shape[:before], *shape[before:])
            pairs = [(ANY, shape)] if form == ANY else zip(form, shape)
            fits = fits and (form == ANY or len(form) == len(shape)) and all(
                found.setdefault(letter, length) == length for letter, length in pairs)
        if fits:
            return found
    return None


def fits(operation, function, args, options):
    """Whether these arrays are of shapes, and labels of numbers, that the docstring allows with these options."""
    text = descriptions(operation, function)
    declared = {name: forms(text[name]) for name in args}
    if "labels" in args:
        labels = args["labels"]
        declared["labels"] = [form for form in declared["labels"] if len(form) == 2 or labels.dtype.kind in "iu"]
    found = lengths(declared, {name: x.shape for name, x in args.items()})
    if found is None or any(found.get(letter) == 0 for letter in never_zero(operation, function)):
        return False
    twin = contract.twins(operation)[1]
    if hasattr(twin, "_fits") and not twin._fits(found, **options):
        return False
    if "labels" in args and labels.ndim == 1:
        return bool(((labels >= 0) & (labels < found["C"])).all())
    windows = getattr(contract.twins(operation)[1], "_output_shape", None)  # of a convolution
    if windows is not None:
        shape = windows(args["x"].shape, args["w"].shape, **{
            name: value for name, value in options.items() if name != "activation"})
        outputs = [args[name].shape for name in ("dy", "y") if name in args]
        return shape is not None and all(x == shape for x in outputs) and (
            "b" not in args or args["b"].shape == (shape[1],))
    return True


def is_plain(x):
    """What can be written where it lies."""
    return type(x) is np.ndarray and x.flags.c_contiguous and x.flags.aligned and x.flags.writeable


# ---- calls


class Case:
    """One of the calls that a twin lists as valid."""

    def __init__(self, operation, number, function, args, options):
        self.operation, self.function, self.options = operation, function, options
        self.args = dict(zip(signature(operation, function), args))
        self.text = descriptions(operation, function)
        for name in [*self.args]:
            if "where there is an activation" in self.text[name] and not options.get("activation"):
                del self.args[name]
        self.where = f"{operation}.{function}, case {number}"

    def updates(self, name, options=None):
        return in_place(self.operation, self.function, name, options or self.options)

    def returned(self):
        """What is returned."""
        found = self.run(self.fresh(), self.options)
        return found[:len(found) - sum(map(self.updates, self.args))]

    def run(self, args, options):
        """What is returned and what was updated in place."""
        result = getattr(contract.twins(self.operation)[0], self.function)(*args.values(), **options)
        returned = result if isinstance(result, tuple) else (result,)
        return [np.asarray(x) for x in returned if x is not None] + [
            x for name, x in args.items() if self.updates(name, options)]

    def fresh(self, **others):
        """The arguments, of those in place copies, with others for some."""
        changing = contract.updated(self.operation, self.function)
        return {name: others[name] if name in others else x.copy() if name in changing else x
                for name, x in self.args.items()}

    def floats(self):
        """The arrays of one dtype: one-hot labels may have their own."""
        return [name for name, x in self.args.items() if x.dtype.kind == "f" and name != "labels"]

    def right(self, args, where, options=None, like=None, out=None):
        """The call has the bits of the call on plain arrays, with the options `like`, and what it only reads stays."""
        options = {**self.options, **(options or {})}
        dtypes = {name: args[self.floats()[0] if name == "labels" else name].dtype for name in args}
        plain = {name: plainly(x, dtypes[name]) for name, x in args.items()}
        expected = self.run(plain, {**options, **(like or {})})
        written = (*(x for name, x in args.items() if self.updates(name, options)), *(out or ()))
        read = {name: x.view(np.ndarray) for name, x in args.items()}
        read = {name: x for name, x in read.items() if not any(np.may_share_memory(x, y) for y in written)}
        look = np.ndarray.tobytes if written else memory  # what lies around may be what is written
        before = {name: look(x) for name, x in read.items()}
        try:
            found = self.run(args, {**options, "out": out if len(out) > 1 else out[0]} if out else options)
        except Exception as error:
            raise AssertionError(f"{self.where}: {where}: {error!r}") from error
        for x, r in zip(found, expected, strict=True):
            assert_same_bits(x, r, f"{self.where}: {where}")
        for x, place in zip(found, out or ()):
            assert place is None or x is place, f"{self.where}: {where}: out is not what is returned"
        for name, x in read.items():
            assert look(x) == before[name], f"{self.where}: {where}: {name} was changed"

    def refused(self, args, where, errors, pattern, **options):
        """The call raises one of the errors with a text that has the pattern, and nothing changes."""
        outs = options.get("out")
        given = [*args.values(), *(outs if isinstance(outs, (tuple, list)) else [outs])]
        before = [memory(x) for x in given]
        try:
            self.run(args, {**self.options, **options})
        except Exception as error:
            assert isinstance(error, errors) and re.search(pattern, str(error)), f"{self.where}: {where}: {error!r}"
        else:
            raise AssertionError(f"{self.where}: {where}: no error")
        assert [memory(x) for x in given] == before, f"{self.where}: {where}: changed before the error"


def plainly(x, dtype):
    """A plain array of the same numbers; whole labels as int64."""
    with np.errstate(over="ignore"):
        return np.array(np.asarray(x), np.int64 if x.ndim == 1 and x.dtype.kind in "iu" else dtype, order="C")


def memory(x):
    """The bytes of an array, with those between and around its numbers if they are few."""
    if not isinstance(x, np.ndarray) or x.dtype.hasobject or x.dtype.kind == "T":
        return repr(x)
    whole = x
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    return (whole if whole.nbytes < 10**6 else x).tobytes()


def cases(operation, dtype=np.float64):
    rng = np.random.default_rng(0)
    twin = contract.twins(operation)[1]
    found = [Case(operation, number, *case) for number, case in
             enumerate(twin.inputs(rng, contract.small(operation), dtype))]
    assert {case.function for case in found} == set(functions(operation))
    return found


def covered(operation, seen, least):
    """Every array of every function was tried at least so many times: an empty grid fails."""
    for function in functions(operation):
        for name in array_names(operation, function):
            assert seen[function, name] >= least, f"{operation}.{function}, {name}: {seen[function, name]} cases"


def named(name):
    return rf"^(one-hot )?{name}\b"


def test_every_argument_is_described():
    kinds = Counter()
    for operation in OPERATIONS:
        for function in functions(operation):
            text = descriptions(operation, function)
            for name in signature(operation, function):
                assert name in text, f"{operation}.{function}: {name}"
                kind = ("array" if name in array_names(operation, function) else "out" if name == "out" else
                        domain(text[name]))
                assert kind, f"{operation}.{function}: what may {name} be? {text[name]}"
                kinds[kind] += 1
    assert kinds["array"] >= 90 and kinds["out"] >= 35 and kinds["switch"] >= 57
    assert min(kinds.values()) >= 1 and len(kinds) == 19, kinds


# ---- kinds


class Arraylike:
    def __array__(self, dtype=None, copy=None):
        return np.zeros((7, 5))


NO_ARRAYS = {
    "a list": [[1.0]], "a tuple": (1.0, 2.0), "an empty list": [], "a number": 1.5, "a whole number": 3,
    "a NumPy number": np.float32(1.5), "a text": "x", "bytes": b"12345678", "a bytearray": bytearray(8),
    "a memoryview": memoryview(np.zeros((7, 5))), "an array.array": array.array("d", [1.0]), "a dict": {},
    "a type": np.ndarray, "a dtype": np.dtype(np.float32), "...": ..., "True": True, "an object": object(),
    "what can be an array": Arraylike(), "a generator": (x for x in [1.0]),
}


def every_dtype(x):
    """(what, x as an array of it), for each dtype of NumPy's, with the same numbers where they are real."""
    for code in np.typecodes["All"]:
        kind = np.dtype(code)
        for kind in {kind, kind.newbyteorder()}:
            yield kind.str + code, x.astype(kind) if kind.kind in "biuf" else np.zeros(x.shape, kind)
    yield "structured", np.zeros(x.shape, [("a", "f4")])
    yield "structured, swapped", np.zeros(x.shape, [("a", ">f8"), ("b", "i2")])
    yield "strings", np.zeros(x.shape, np.dtypes.StringDType())
    yield "strings of 4", np.zeros(x.shape, "S4")
    yield "seconds", np.zeros(x.shape, "m8[s]")


@each_dtype
@each
def test_kinds(operation, dtype):
    seen = Counter()
    for case in cases(operation, dtype):
        for name, x in case.args.items():
            for what, other in every_dtype(x):
                where = f"{name} of {what}"
                if name == "labels":
                    # (N,) integers, or rows of any real numbers
                    valid = other.dtype.kind in ("iu" if x.ndim == 1 else "biuf")
                elif other.dtype in DTYPES and len(case.floats()) == 1:
                    continue  # valid, and done with that dtype
                else:
                    valid = other.dtype == dtype
                if valid:
                    case.right(case.fresh(**{name: other}), where)
                else:
                    pattern = rf"\b{name}\b" if other.dtype in DTYPES else named(name)
                    case.refused(case.fresh(**{name: other}), where, TypeError, pattern)
                seen[case.function, name] += 1
            masked = np.ma.masked_array(x, np.zeros(x.shape, bool))
            for what, other in {**NO_ARRAYS, "masked": masked, "masked in part": np.ma.masked_less(x, 1)}.items():
                case.refused(case.fresh(**{name: other}), f"{name} is {what}", TypeError, named(name))
            seen[case.function, name] += len(NO_ARRAYS) + 3
            if case.text[name].startswith("None, or"):
                case.right({other: x for other, x in case.fresh().items() if other != name}, f"without {name}")
                continue
            # what may be left out may be needed all the same
            needed = signature(operation, case.function)[name].default is inspect.Parameter.empty
            error = TypeError if needed else ValueError
            case.refused(case.fresh(**{name: None}), f"{name} is None", error, named(name))
    covered(operation, seen, 2 * len(np.typecodes["All"]) // 2 + len(NO_ARRAYS))


# ---- layouts


class Sub(np.ndarray):
    """A subclass with an arithmetic and an indexing of its own."""

    def __array_ufunc__(self, *args, **kwargs):
        raise AssertionError("a kernel took a subclass for an array")

    def __getitem__(self, at):
        return 12345.0

    def __array_function__(self, *args, **kwargs):
        raise AssertionError("a kernel took a subclass for an array")


@functools.cache
def wide_room():
    """Memory for as many rows as `contract.SMALL` has, of which but a few pages are ever touched."""
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.uint8, "w+", shape=(19 * 2**31,)).view(np.ndarray)


def far_apart(x, pages=itertools.cycle(range(64))):
    """Rows two gigabytes apart, so that no distance fits 32 bits."""
    start = next(pages) * 4096
    view = as_strided(wide_room()[start:start + x.itemsize].view(x.dtype), x.shape, (2**31, *x.strides[1:]))
    view[...] = x
    return view


def repeated(x):
    """One number at all places."""
    return as_strided(x.ravel()[:1].copy(), x.shape, (0,) * x.ndim)


def windows(x):
    """Each row begins one number after the one before."""
    return as_strided(x.ravel()[:sum(x.shape) - x.ndim + 1].copy(), x.shape, (x.itemsize,) * x.ndim)


def in_fields(x):
    """A field of records of 5 bytes more."""
    room = np.zeros(x.shape, [("before", "u1"), ("x", x.dtype), ("after", "u4")])
    room["x"] = x
    return room["x"]


LAYOUTS = {
    "plain": np.copy, "fortran": np.asfortranarray, "reversed": reversed_, "sliced": sliced, "unaligned": unaligned,
    "readonly": readonly, "readonly fortran": lambda x: readonly(x.T).T, "far apart": far_apart, "memmap": memmap,
    "repeated": repeated, "windows": windows, "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
    "one of several": lambda x: np.stack([x, x])[1], "last of several": lambda x: np.stack([x, x], axis=-1)[..., 1],
    "a field": in_fields, "unpickled": lambda x: pickle.loads(pickle.dumps(x)), "from dlpack": np.from_dlpack,
    "subclass": lambda x: x.copy().view(Sub), "sliced subclass": lambda x: sliced(x).view(Sub),
    "matrix": lambda x: x.copy().view(np.matrix if x.ndim == 2 else Sub),
    "records": lambda x: x.copy().view(np.recarray),
    "from a buffer": lambda x: np.frombuffer(bytearray(x.tobytes()), x.dtype).reshape(x.shape),
}


@each_dtype
@each
def test_layouts(operation, dtype):
    seen = Counter()
    for case in cases(operation, dtype):
        for name, x in case.args.items():
            for what, layout in LAYOUTS.items():
                view, where = layout(x), f"{name} {what}"
                if not case.updates(name) or is_plain(view):
                    case.right(case.fresh(**{name: view}), where)
                else:
                    error = ValueError if type(view) is np.ndarray else TypeError
                    case.refused(case.fresh(**{name: view}), where, error, named(name))
                seen[case.function, name] += 1
        for what, layout in LAYOUTS.items():  # and all at once
            if not any(map(case.updates, case.args)):
                case.right({name: layout(x) for name, x in case.args.items()}, f"all {what}")
    covered(operation, seen, len(LAYOUTS))


# ---- shapes


def other_shapes(shape):
    """Shapes of 0 to 5 dimensions, of no numbers, and those next to this one."""
    near = {(*shape[:at], length, *shape[at + 1:]) for at, n in enumerate(shape) for length in (0, 1, n - 1, n + 1)}
    fixed = {(), (1,), (5,), (7,), (35,), (0,), (1, 1), (0, 0), (4, 7), (7, 5), (1, 1, 1), (2, 3, 4), (0, 5, 4),
             (7, 5, 0), (1,) * 4, (2, 1, 3, 2), (7, 5, 1, 1), (1,) * 5, (1, 2, 1, 3, 2), (0,) * 5, (4097, 0), (0, 4097)}
    return sorted((near | fixed | {shape[::-1], (*shape, 1), (1, *shape), shape[:-1], shape[1:]}) - {shape})


def judge_shapes(case, args, where):
    if not fits(case.operation, case.function, args, case.options):
        # labels of neither form may be called a wrong kind or a wrong shape
        errors = (TypeError, ValueError) if "labels" in args else ValueError
        case.refused(args, where, errors, named(f"({'|'.join(args)})"))
        return
    before = {name: x.copy() for name, x in args.items()}
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's means of nothing
        expected = contract.call(contract.twins(case.operation)[1], case.function, list(before.values()), case.options)
    case.right(args, where)
    if case.function == "step":
        found = list(args.values())
    else:
        found = contract.call(contract.twins(case.operation)[0], case.function, list(args.values()), case.options)
    for x, r in zip(found, expected, strict=True):
        assert x.shape == r.shape, f"{case.where}: {where}"
        np.testing.assert_allclose(x, r, rtol=1e-9, atol=1e-12, err_msg=f"{case.where}: {where}")


def shape_of(form, lengths):
    parts = [lengths[letter] for letter in form]
    return tuple(itertools.chain.from_iterable(part if isinstance(part, tuple) else (part,) for part in parts))


def of_shape(x, shape):
    return np.resize(x, shape) if x.size else np.zeros(shape, x.dtype)


@each
def test_shapes(operation):
    seen = Counter()
    for case in cases(operation):
        for name, x in case.args.items():
            for shape in other_shapes(x.shape):
                judge_shapes(case, case.fresh(**{name: of_shape(x, shape)}), f"{name} {shape}")
                seen[case.function, name] += 1
        for shape in other_shapes(next(iter(case.args.values())).shape if case.args else ()):
            judge_shapes(case, {name: of_shape(x, shape) for name, x in case.args.items()}, f"all {shape}")
    covered(operation, seen, 25)


def few_or_all(count):
    """None, 0 or 1 for each letter: all, or where there are many letters, those with at most two lengths."""
    for some in itertools.product((None, 0, 1), repeat=count):
        if count <= 5 or sum(length is not None for length in some) <= 2:
            yield some


@each
def test_lengths_of_zero_and_one(operation):
    """All arrays together, with each letter's length changed."""
    found = Counter()
    for case in cases(operation):
        declared = {name: forms(case.text[name]) for name in case.args}
        now = lengths(declared, {name: x.shape for name, x in case.args.items()})
        letters = [letter for letter in now if letter not in (ANY, "...")]
        for some in few_or_all(len(letters)):
            changed = {**now, **{letter: length for letter, length in zip(letters, some) if length is not None}}
            args = {}
            for name, x in case.args.items():
                form = next(form for form in declared[name] if form[0] in (ANY[0], "...") or len(form) == x.ndim)
                args[name] = of_shape(x, x.shape if form == ANY else shape_of(form, changed))
                if name == "labels" and x.ndim == 1:
                    args[name] %= max(changed["C"], 1)
            judge_shapes(case, args, f"lengths {changed}")
            found[case.function] += 1
    assert set(found) == set(functions(operation)) or operation == "normal"


# ---- labels


@each_dtype
@each
def test_labels(operation, dtype):
    for case in cases(operation, dtype):
        labels = case.args.get("labels")
        if labels is None:
            continue
        classes = case.args[case.floats()[0]].shape[1]
        if labels.ndim == 2:
            for value in (nan, inf, -inf, -1.0, 2.0, 0.25, 1e300):  # any distribution is allowed, nothing is checked
                other = labels.astype(np.float64)
                other[2, 3] = value
                case.right(case.fresh(labels=other), f"a target of {value}")
            continue
        for kind in np.typecodes["AllInteger"]:
            least, most = np.iinfo(kind).min, np.iinfo(kind).max
            for label in {classes, -1, classes + 1, 2**8 - 1, 2**8, 2**31, 2**32, 2**32 + 1, 2**40, 2**63, least, most}:
                for at in (0, 3, 6):
                    if least <= label <= most and not 0 <= label < classes:
                        other = labels.astype(kind)
                        other[at] = label
                        for view in (other, other.astype(other.dtype.newbyteorder()), reversed_(other), readonly(other),
                                     other.view(Sub)):
                            case.refused(case.fresh(labels=view), f"label {label} at {at}", ValueError,
                                         rf"^labels must lie in 0..{classes - 1}, got {label} at index {at}$")
            for label in range(classes):
                other = labels.astype(kind)
                other[:] = label
                case.right(case.fresh(labels=other), f"all labels {label}")


# ---- numbers and choices


class Whole(int):
    pass


REALS = [  # and the float that each is
    *((value, float(value)) for value in (
        0.5, 0, 0.0, -0.0, 1, 2, -1, -0.25, 1e-300, 5e-324, 1e300, np.float16(0.5), np.float32(0.1), np.float64(0.75),
        np.longdouble(0.25), np.int8(-3), np.uint64(2**63), Fraction(1, 3), Decimal("0.1"), Whole(3), 2**1023,
        np.array(0.5), np.array(2), np.array(0.25, np.float16), nan, inf, -inf, np.float16("nan"), np.float32("inf"),
        np.longdouble("-inf"), np.array(inf), Decimal("NaN"), Decimal("-Infinity"))),
    (Decimal("1e999"), inf), (Decimal("sNaN"), nan), (10**400, inf), (-10**400, -inf), (10**5000, inf),
    (Fraction(-10**400, 3), -inf), (np.ma.masked_array(0.5), 0.5)]
NO_NUMBERS = [True, np.True_, np.array(True), "1", np.str_("1"), b"1", bytearray(b"1"), 1j, np.complex64(1), [1.0],
              (1.0,), {}, np.array([1.0]), np.array([[1.0]]), np.array("1"), np.array(None), np.array([]), np.ma.masked,
              np.datetime64(1, "s"), np.timedelta64(1, "s"), object(), float, ..., np.zeros(1, [("a", "f4")])[0]]
WORDS = [0, 5, 2**63 - 1, 2**63, 2**64 - 1, np.uint8(5), np.int64(5), np.uint64(2**64 - 1), Whole(5)]
NO_WORDS = [-1, 2**64, -2**63, 10**400, 10**5000, np.int8(-3)]
FLAGS = [True, False, np.True_, np.False_]
NO_FLAGS = [0, 1, "False", "", 1.0, nan, [], [1], np.array(True), np.array([1, 0]), np.array([]), object(), b"", ...]
SHAPES = [0, 3, np.int64(3), np.uint8(3), (), [], (3, 2), [3, 2], (0, 5), (2, 1, 3), (1,) * 64, Whole(2)]
NO_SHAPES = [None, "3", 3.0, True, (3, None), (3, 2.0), (3, True), np.array([3, 2]), np.array(3), {3}, b"3",
             (x for x in (3,))]
WRONG_SHAPES = [-1, (3, -1), [-5], 2**64, 2**62, (2**62, 4), (2**40, 2**40), (1,) * 65, 10**5000, (2, -10**5000)]
KINDS = ["float32", "f4", np.float32, np.dtype(np.float32), "<f4" if np.little_endian else ">f4", "float64", float, "d",
         np.float64, np.dtype("f8")]
NO_KINDS = [None, "float16", ">f4" if np.little_endian else "<f4", np.int64, int, 32, "nothing", "", ",", "(2,f4",
            "f4,f4", [("a", "f4"), ("a", "f4")], ("f4", -1), np.longdouble, object(), object, ..., 1.5, 10**5000,
            {"names": ["a"], "formats": []}]
CHOICES = ["Relu", "", "relu ", 0, 1.5, nan, b"relu", True, [], {}, ["relu"], ("relu",), np.array("relu"),
           np.array(["relu"]), object(), len, 10**5000]


DOMAINS = {  # what a description that gives no shape says of an argument; the first counts
    "None decides by size; True or False overrides": "switch", "^True": "flag", r"0 <= \w+ < 2\^64": "word",
    r"0 <= \w+ < 1": "share", "^a whole number or a tuple": "shape", "^float32 or float64": "dtype",
    "^a whole number or a pair": "pair", "^None takes size": "stride",
    '^None, "|^"': "choice", "^a whole number, at least 1, that divides": "count",
    r"^a whole number, at least 0, or a pair of them, \(\(top": "padding",
    "^a whole number, at least [01], or a pair": "windows",
    "^None .* else a number, at least 0, infinite and NaN included": "norm",
    "^a finite number,? (greater than|>) 0": "positive", "^a finite number, at least 0": "not negative",
    "^finite numbers, not 0": "not zero", "^a finite number|^finite numbers": "finite",
}


def domain(text):
    return next((name for words, name in DOMAINS.items() if re.search(words, text)), None)


WITHIN = {  # of a float
    "share": lambda x: 0 <= x < 1, "positive": lambda x: isfinite(x) and x > 0,
    "not negative": lambda x: isfinite(x) and x >= 0, "not zero": lambda x: isfinite(x) and x != 0, "finite": isfinite,
    "norm": lambda x: not x < 0,
}


NO_PAIRS = [None, "3", 3.0, True, (3, None), (3, 2.0), (3, True), (1, 2, 3), (1,), (), np.array([3, 2]), np.array(3),
            {3}, b"3", (x for x in (3,)), ...]
WRONG_PAIRS = [-1, (3, -1), [-5, 1], 2**31, 10**400, (2**40, 1), 10**5000, (2, -10**5000)]


def whole(kind, text, given):
    """The same of numbers of a convolution: the one given, in other ways, and others."""
    valid, wrong = [given], [(value, ValueError) for value in WRONG_PAIRS]
    if kind == "count":
        valid += [np.int64(given), Whole(given)]
        wrong = [(value, ValueError) for value in (0, -1, 2**31, 10**400, 10**5000)] + [((1, 1), TypeError)]
    elif isinstance(given, str):
        valid += [np.str_(given)]
    elif isinstance(given, int):
        valid += [(given, given), [given, Whole(given)], np.uint8(given), (np.int64(given), given)]
    elif isinstance(given[0], int):
        valid += [[*given], tuple(map(np.int64, given))]
    if kind == "padding" and not isinstance(given, str):
        sides = given if isinstance(given, tuple) else (given, given)
        rows, columns = ((n, n) if isinstance(n, int) else n for n in sides)
        valid += [(rows, columns), [[*rows], list(map(np.int8, columns))]]
        wrong += [(value, TypeError) for value in (((1, 2), 3), ((1,), (2,)), ((1, 2), (3, 4), (5, 6)),
                                                   ((1, 2), (3, 4.0)), "SAME")]
        wrong += [(((1, 2), (3, -1)), ValueError)]
    if "at least 1" in text and kind == "windows":
        wrong += [(0, ValueError), ((1, 0), ValueError)]
    return [(value, given) for value in valid], wrong + [(value, TypeError) for value in NO_PAIRS]


def values(kind, text, now=None):
    """(value, the plain value it means) of valid ones, then (value, errors) of those that are refused. Of windows only
    other spellings of what they are `now` fit the arrays."""
    if kind in ("pair", "stride"):
        rows, columns = now if isinstance(now, tuple) else (now, now)
        valid = [(value, now) for value in (now, (rows, columns), [rows, columns], (np.int64(rows), np.uint8(columns)))]
        wrong = [(value, TypeError) for value in NO_PAIRS if value is not None or kind == "pair"]
        return valid, wrong + [(value, ValueError) for value in WRONG_PAIRS + [0] * ("at least 1" in text)]
    if kind in WITHIN:
        valid = [(value, number) for value, number in REALS if WITHIN[kind](number)]
        wrong = [(value, ValueError) for value, number in REALS if not WITHIN[kind](number)]
        return valid, wrong + [(value, TypeError) for value in NO_NUMBERS + [None] * (kind != "norm")]
    if kind == "word":
        numbers = [value for value, _ in REALS if not isinstance(value, int | np.integer)]
        return ([(value, int(value)) for value in WORDS],
                [(value, ValueError) for value in NO_WORDS]
                + [(value, TypeError) for value in [*NO_NUMBERS, *numbers, None]])
    if kind == "shape":
        return ([(value, tuple(value) if isinstance(value, list) else value) for value in SHAPES],
                [(value, TypeError) for value in NO_SHAPES] + [(value, ValueError) for value in WRONG_SHAPES])
    if kind == "dtype":
        return [(value, np.dtype(value)) for value in KINDS], [(value, TypeError) for value in NO_KINDS]
    if kind == "choice":
        valid = [None] * text.startswith("None") + re.findall('"(.*?)"', text)
        return ([*zip(valid, valid), *((np.str_(value), value) for value in valid if value)],
                [(value, ValueError) for value in CHOICES])
    return ([(value, bool(value)) for value in FLAGS] + [(None, False)] * (kind == "switch"),
            [(value, TypeError) for value in NO_FLAGS + [None] * (kind == "flag")])


def shown(value):
    try:
        return f"{type(value).__name__} {value!r:.60}"
    except (TypeError, ValueError):
        return type(value).__name__


@each_dtype
@each
def test_numbers_and_choices(operation, dtype):
    seen = Counter()
    for case in cases(operation, dtype):
        arrays = array_names(operation, case.function)
        for name in signature(operation, case.function):
            if name in arrays or name == "out":
                continue
            if name in ("momentum", "nesterov") and "v" in arrays and "v" not in case.args:
                continue  # they need it: tests/test_sgd.py
            kind = domain(case.text[name])
            if kind in ("windows", "padding", "count"):
                default = signature(operation, case.function)[name].default
                valid, wrong = whole(kind, case.text[name], case.options.get(name, default))
            else:
                now = case.options.get(name, case.options.get("size") if kind == "stride" else 0)
                valid, wrong = values(kind, case.text[name], now)
            if name == "ceil_mode":  # the other gives another shape
                valid = [(value, plain) for value, plain in valid if plain == now]
            if kind == "choice" and None in dict(valid) and len(case.args) < len(arrays):
                valid = [(None, None)]  # an activation needs y: tests/test_dense.py
            for value, plain in valid:
                case.right(case.fresh(), f"{name} is {shown(value)}", {name: value}, {name: plain})
            for value, error in wrong:
                case.refused(case.fresh(), f"{name} is {shown(value)}", error, rf"\b{name}\b", **{name: value})
            seen[case.function, name] += len(valid) + len(wrong)
    for function in functions(operation):
        for name in set(signature(operation, function)) - {*array_names(operation, function), "out"}:
            assert seen[function, name] >= 15, f"{operation}.{function}, {name}: {seen[function, name]} cases"


# ---- what is written


def with_outputs(operation, dtype):
    """(case, what it returns, number of one of them, its name in errors, `out` with an array for that one)."""
    for case in cases(operation, dtype):
        if "out" not in signature(operation, case.function):
            continue
        results = case.returned()
        for number, result in enumerate(results):
            alone = len(results) == 1

            def out(x, number=number, count=len(results)):
                return tuple(x if i == number else None for i in range(count))

            yield case, result, number, r"^out\b" if alone else rf"^out\[{number}\]", out


@each_dtype
@each
def test_out(operation, dtype):
    seen = Counter()
    for case, result, number, name, out in with_outputs(operation, dtype):

        def refused(wrong, where, errors, pattern):
            given = out(wrong)
            case.refused(case.fresh(), f"out {number} {where}", errors, pattern, out=given if len(given) > 1 else wrong)
            seen[case.function] += 1

        for what, other in every_dtype(result):
            if other.dtype == dtype:
                case.right(case.fresh(), f"out {number} of {what}", out=out(other))
            else:
                refused(other, what, TypeError, name)
        for what, other in {**NO_ARRAYS, "masked": np.ma.masked_array(result)}.items():
            refused(other, what, TypeError, name)
        for what, layout in LAYOUTS.items():
            view = layout(result)
            if is_plain(view):
                case.right(case.fresh(), f"out {number} {what}", out=out(view))
            else:
                refused(view, what, ValueError if type(view) is np.ndarray else TypeError, name)
        for shape in other_shapes(result.shape):
            refused(of_shape(result, shape), f"{shape}", ValueError, name)
        if len(out(None)) > 1:
            few, many = [*out(None)][1:], [*out(None), None]
            for wrong in (result, [*out(result)], tuple(few), tuple(many), {}, "ab", 2, True, result[None], iter(few)):
                pattern = f"^out must be None or a tuple of {len(out(None))} arrays"
                case.refused(case.fresh(), f"out is {type(wrong)}", TypeError, pattern, out=wrong)
        else:
            refused((result,), "in a tuple", TypeError, "^out must be a NumPy array, got tuple")
    for function in functions(operation):
        if "out" in signature(operation, function):
            assert seen[function] >= len(np.typecodes["All"]) + len(NO_ARRAYS) + len(LAYOUTS) // 2 + 20


def shared(x, size, itemsize):
    """(distance, a copy of x, `size` bytes beside or over it, whether they overlap), by views that know of their common
    owner and by others."""
    at = -(-size // 8) * 8
    for start in sorted({0, at - size, at - size + itemsize, at - itemsize, at, at + itemsize, at + x.nbytes - size,
                         at + x.nbytes - itemsize, at + x.nbytes}):
        if start >= 0 and start % itemsize == 0:
            for one, two in itertools.product((np.asarray, lambda room: np.frombuffer(memoryview(room), np.uint8)),
                                              repeat=2):
                room = np.zeros(at + x.nbytes + size, np.uint8)
                copy = one(room)[at:at + x.nbytes].view(x.dtype).reshape(x.shape)
                copy[...] = x
                yield start - at, copy, two(room)[start:start + size], start < at + x.nbytes and at < start + size


@each_dtype
@each
def test_out_over_an_argument(operation, dtype):
    tried = Counter()
    for case, result, number, name, out in with_outputs(operation, dtype):
        itself = re.search(r"may be (\w+) itself", case.text["out"])
        for argument, x in case.args.items():
            for shift, copy, memory_of_out, overlap in shared(x, result.nbytes, result.itemsize):
                place = memory_of_out.view(dtype).reshape(result.shape)
                args, where = case.fresh(**{argument: copy}), f"out {number}, {shift} bytes from {argument}"
                if not overlap or shift == number == 0 and itself and itself[1] == argument:
                    case.right(args, where, out=out(place))
                else:
                    given = out(place)
                    case.refused(args, where, ValueError, name, out=given if len(given) > 1 else place)
                tried[overlap] += 1
            if itself and itself[1] == argument and number == 0:
                copy = x.copy()
                case.right(case.fresh(**{argument: copy}), f"out is {argument}", out=out(copy))
    assert not case_count(operation) or min(tried[False], tried[True]) >= 2 * case_count(operation)


def case_count(operation):
    """How many pairs of an array and an output there are, at least."""
    return sum(len(array_names(operation, function)) for function in functions(operation)
               if "out" in signature(operation, function))


@each_dtype
@each
def test_outs_over_each_other(operation, dtype):
    for case, first, number, _, out in with_outputs(operation, dtype):
        results = case.returned()
        for other, second in enumerate(results):
            if other == number:
                continue
            for shift, copy, memory_of_out, overlap in shared(first, second.nbytes, second.itemsize):
                places = [*out(copy)]
                places[other] = memory_of_out.view(dtype).reshape(second.shape)
                where = f"out {other}, {shift} bytes from out {number}"
                if overlap:
                    case.refused(case.fresh(), where, ValueError, rf"^out\[({number}|{other})\]", out=tuple(places))
                else:
                    case.right(case.fresh(), where, out=tuple(places))


@each_dtype
@each
def test_arrays_of_a_step_over_each_other(operation, dtype):
    for case in cases(operation, dtype):
        if case.function != "step":
            continue
        for name, other in itertools.permutations(case.args, 2):
            x, y = case.args[name], case.args[other]
            for shift, copy, bytes_of_y, overlap in shared(x, y.nbytes, y.itemsize):
                place = bytes_of_y.view(dtype).reshape(y.shape)
                if overlap:
                    case.refused(case.fresh(**{name: copy, other: place}), f"{other}, {shift} bytes from {name}",
                                 ValueError, rf"^({name}|{other}) must not share memory with ({name}|{other})$")
                else:
                    place[...] = y
                    case.right(case.fresh(**{name: copy, other: place}), f"{other} beside {name}")


# ---- code of the caller's

GATES = ("array", "matrix", "factors", "same", "check_labels", "written", "state", "out")
FIRST = {"__new__", "__init__", "__init_subclass__", "__subclasshook__", "__class__", "__class_getitem__"}


def spying(kind, hook):
    """A subclass whose special methods, all of them, call `hook` first."""
    def method(name):
        inherited = getattr(kind, name)

        def call(*args, **kwargs):
            hook()
            return inherited(*args, **kwargs)
        return call
    return type("Spy", (kind,), {name: method(name) for name in dir(kind) if re.fullmatch("__.*__", name)
                                 and callable(getattr(kind, name)) and name not in FIRST})


def pretender(kind, value, hook):
    """An object that says it is of another class, and can become any number."""
    def method(result):
        def call(*args):
            hook()
            return result
        return call
    results = {"__class__": property(method(kind)), "__bool__": method(bool(value)), "__index__": method(int(value)),
               "__float__": method(float(value)), "__hash__": method(0), "__eq__": method(True),
               "__lt__": method(False), "__len__": method(3), "__iter__": method(iter(())),
               "__array__": method(np.array(value))}
    return type("Pretender", (), results)()


def spies(kind, value, hook):
    """The value of an argument, given in ways that run code at each use."""
    if kind in WITHIN:
        value = 0.5 if value is None else value
        return [spying(number, hook)(value) for number in (float, Fraction, Decimal)] + [pretender(float, value, hook)]
    if kind in ("word", "shape", "windows", "padding", "count") and not isinstance(value, str):
        number = spying(int, hook)
        if not isinstance(value, tuple) or isinstance(value[0], tuple):
            value = value[0] if isinstance(value, tuple) else value
            pairs = [spying(tuple, hook)((value, value)), spying(list, hook)([value] * 2)]
            pairs = [] if kind in ("word", "count") else pairs
            return [*map(number, [value] * isinstance(value, int)), pretender(int, 1, hook), *pairs]
        return [spying(tuple, hook)(map(number, value)), spying(list, hook)(value), number(value[0])]
    if kind == "dtype":
        return [type("Kind", (spying(object, hook),), {"dtype": value})()]
    if kind == "choice" or isinstance(value, str):
        return [spying(str, hook)(value)] if value else []
    if kind in ("pair", "stride"):
        return [] if value is None else [spying(tuple, hook)(value if isinstance(value, tuple) else (value, value))]
    return [pretender(kind, bool(value), hook) for kind in (bool, np.bool_)]


@each
def test_no_code_of_the_callers_runs_once_an_array_has_passed(operation, monkeypatch):
    """It could resize the array, and compiled code would read what is freed: numbers and choices pass first."""
    passed, late, early = [], [], Counter()

    def hook():
        if passed:
            late.extend(passed[-1:])
        else:
            early[passing] += 1

    module = contract.twins(operation)[0]
    for place, gate in ((place, gate) for gate in GATES for place in (check, module) if hasattr(place, gate)):
        original = getattr(place, gate)
        monkeypatch.setattr(place, gate, lambda *args, _original=original, **more: (
            passed.append(args[0]), _original(*args, **more))[1])
    number_of_results = Counter()
    for case, *_ in with_outputs(operation, np.float32):
        number_of_results[case.where] += 1

    def call(args, options, where):
        passed.clear(), late.clear()
        try:
            case.run(args, options)
        except (TypeError, ValueError):
            return
        assert not late, f"{case.where}: code ran when {late[0]} had passed, {where}"

    for case in cases(operation):
        arrays = array_names(operation, case.function)
        parameters = signature(operation, case.function)
        for passing in parameters:
            if passing == "out":
                count = number_of_results[case.where]
                if count > 1:
                    call(case.fresh(), {**case.options, "out": spying(tuple, hook)([None] * count)}, "out")
            elif passing not in arrays:
                value = case.options.get(passing, parameters[passing].default)
                for spy in spies(domain(case.text[passing]), value, hook):
                    call(case.fresh(), {**case.options, passing: spy}, f"{passing} is {type(spy).__mro__[1].__name__}")
        for passing, x in case.args.items():
            for layout in (np.copy, sliced):
                spy = layout(x).view(spying(np.ndarray, hook))
                early.clear()
                call(case.fresh(**{passing: spy}), case.options, f"{passing} is a subclass")
                assert not early, f"{case.where}: code of {passing} ran"


def test_an_argument_that_resizes_the_arrays():
    """In a process of its own: what is freed here is given back to the system."""
    process = children.start("-c", """if True:
        import json
        import numpy as np
        from nnjit.kernels import binary_accuracy, dense, leaky_relu, regression_accuracy, softmax_cross_entropy

        def resize():
            for x in arrays:
                x.resize(0, refcheck=False)

        class Number(float):
            def __float__(self):
                resize()
                return 0.5

        class Text(str):
            def __hash__(self):
                resize()
                return hash("relu")

        class Pair(tuple):
            def __len__(self):
                resize()
                return 2
            def __iter__(self):
                resize()
                return iter((None, None))

        found = []
        for call in (lambda x, y: leaky_relu.forward(x, negative_slope=Number()),
                     lambda x, y: leaky_relu.backward(x, y, negative_slope=Number()),
                     lambda x, y: regression_accuracy.forward(x, y, precision=Number()),
                     lambda x, y: binary_accuracy.forward(x, y, threshold=Number()),
                     lambda x, y: dense.forward(x, y, np.ones(1000), activation=Text("relu")),
                     lambda x, y: softmax_cross_entropy.forward(x, y, out=Pair((None, None)))):
            arrays = np.ones((1000, 1000)), np.ones((1000, 1000))
            try:
                found.append(np.size(call(*arrays)))
            except ValueError as error:
                found.append(str(error))
        print(json.dumps(found))
    """)
    x = "must have 2 dimensions, got shape (0,)"
    assert children.finish(process) == [0, 0, 1, 1, f"x {x}", f"x {x}"]

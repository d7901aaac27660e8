"""The gate of nnjit.nn: for whatever is handed in, the result is that of the plain array or number, or an error of the
declared type that names the argument. Every public class, function and method has a declaration here."""

import atexit
import functools
import inspect
import re
import shutil
import tempfile
import warnings
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_datasets import small_set, write
from test_nn_activations import ACTIVATIONS
from test_nn_datasets import letters

from nnjit import kernels, nn
from nnjit.nn import nnfs
from nnjit.nn.parameters import state_of
from nnjit.nn.data import cifar

TYPE, VALUE, EITHER = TypeError, ValueError, (TypeError, ValueError)
GRID = np.array([[0, 1, 2], [1, 0, 1], [2, 1, 0], [1, 1, 3]], np.float64)  # whole numbers: every dtype holds them
SINGLE, COLUMN, CLASSES = GRID.astype("f4"), GRID[:, :1], np.array([0, 2, 1, 2])
PIXELS = np.arange(96.0).reshape(2, 3, 4, 4) % 5
SHAPES = ((), (0,), (3,), (4,), (0, 3), (4, 0), (4, 2), (3, 3), (5, 3), (1, 4, 3), (4, 3, 1), (2, 2, 1, 3),
          (1, 1, 1, 4, 3))


class Sub(np.ndarray):
    pass


# ---- kinds of arguments: `cases(name)` gives (value, what the plain value is) or (value, (errors, pattern))


class Bad:
    """An error of one of these types is expected, with a text that the pattern is found in."""

    def __init__(self, errors, pattern):
        self.errors, self.pattern = errors, pattern


def unaligned(x):
    room = np.zeros(x.nbytes + 1, np.uint8)[1:]
    view = room.view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


def matrix(x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.matrix(x)


def layouts(x, folder):
    """The same numbers otherwise laid out."""
    yield np.asfortranarray(x)
    yield np.ascontiguousarray(x[::-1])[::-1]
    if x.ndim > 1:
        yield np.ascontiguousarray(x[:, ::-1])[:, ::-1]
    wide = np.zeros((2 * len(x), *x.shape[1:]), x.dtype)
    wide[::2] = x
    yield wide[::2]
    yield unaligned(x)
    yield x.view(Sub)
    yield x.astype(x.dtype.newbyteorder())
    fixed = x.copy()
    fixed.flags.writeable = False
    yield fixed
    mapped = np.memmap(folder / "numbers", x.dtype, "w+", shape=x.shape)
    mapped[...] = x
    yield mapped
    yield np.asarray(x.tolist(), x.dtype)


def no_numbers(x):
    """What holds no real numbers."""
    yield np.ma.array(x, mask=x == 1)
    for dtype in (np.complex64, complex, object, "S3", "U3", "M8[s]", "m8[s]", [("a", "f4")]):
        yield (x.astype(int).astype(dtype) if dtype in ("M8[s]", "m8[s]") else x.astype(dtype))
    yield from ([["a"] * 3] * 4, {}, {1, 2}, object(), iter(()), len, [[None] * 3] * 4, [[1j] * 3] * 4, "text",
                b"ab")


class Floats:
    """Numbers of the shape of `base`. float32 and float64 arrays stay, with `passed` also those of integers; the rest
    becomes float32."""

    def __init__(self, base=GRID, named=None, shapes=(), none=False, finite=False, passed=False):
        self.base, self.named, self.shapes, self.none, self.finite = np.asarray(base), named, shapes, none, finite
        self.passed = passed

    def cases(self, name, folder):
        pattern = rf"\b({self.named or name})\b"
        base = self.base
        for dtype in ("f4", "f8"):
            for value in layouts(base.astype(dtype), folder):
                yield value, np.array(value, dtype, order="C")
        single = base.astype("f4")
        for dtype in "i1 i2 i4 i8 u1 u2 u4 u8 f2 g".split():
            yield base.astype(dtype), base.astype(dtype) if self.passed and dtype[0] in "iu" else single
        yield base.astype(">i4"), base.astype(">i4") if self.passed else single
        yield (base > 0), (base > 0).astype("f4")
        yield base.tolist(), single
        yield tuple(map(tuple, base.tolist())) if base.ndim > 1 else tuple(base.tolist()), single
        yield list(single), single
        if base.ndim == 2:
            yield matrix(single), single
        yield np.broadcast_to(single[:1], single.shape), np.repeat(single[:1], len(single), axis=0)
        for value in no_numbers(base):
            yield value, Bad(EITHER, pattern)
        if not self.none:
            yield None, Bad(EITHER, pattern)
        yield [[1.0, 2.0, 3.0], [1.0]], Bad(VALUE, pattern)
        for shape in SHAPES:
            if shape != base.shape and shape not in self.shapes:
                yield np.ones(shape, "f4"), Bad(EITHER, pattern + "|empty|no samples")
        if self.finite:
            for value in (np.nan, np.inf, -np.inf):
                wrong = single.copy()
                wrong.flat[1] = value
                yield wrong, Bad(VALUE, pattern)


class Labels:
    """Class numbers (4,), or one-hot rows (4, 3)."""

    def __init__(self, named="labels|y", rows=True, columns=True):
        self.named, self.rows, self.columns = named, rows, columns

    def cases(self, name, folder):
        pattern = rf"\b({self.named})\b"
        for value in layouts(CLASSES, folder):
            yield value, CLASSES
        for dtype in "i1 i2 i4 u1 u2 u4 u8 >i2".split():
            yield CLASSES.astype(dtype), CLASSES
        yield CLASSES.tolist(), CLASSES
        yield CLASSES > 1, (CLASSES > 1).astype(int)
        for dtype in ("f2", "f4", "f8", "g", ">f8"):
            yield CLASSES.astype(dtype), CLASSES
        for column in (CLASSES[:, None], CLASSES[:, None].astype("f4")):
            for value in (*layouts(column, folder), column.tolist()):
                yield value, CLASSES
        one_hot = np.eye(3, dtype="f4")[CLASSES]
        if self.rows:
            for dtype in ("f4", "f8", "i8", "u1", "?"):
                for value in layouts(one_hot.astype(dtype), folder):
                    yield value, one_hot
            yield one_hot.tolist(), one_hot
        else:
            yield one_hot, Bad(EITHER, pattern)
        for label in (-1, 3, 10**9, 2**62, -2**63) if self.columns else (-1, 2**62, -2**63):
            yield np.array([0, 1, label, 2]), Bad(VALUE, pattern)
        yield np.array([0, 1, 2**64 - 1, 2], "u8"), Bad(VALUE, pattern)
        for value in (CLASSES + 0.5, np.full(4, np.nan), CLASSES - np.inf, CLASSES * 1e300, -CLASSES * 2.0**63,
                      CLASSES[:, None] + 0.5):
            yield value, Bad(VALUE, pattern)
        for value in (np.ma.array(CLASSES), ["a"] * 4, [["a"]] * 4, [None] * 4,
                      CLASSES.astype(object), CLASSES.astype(complex), CLASSES.astype("M8[s]")):
            yield value, Bad(TYPE, pattern)
        few = CLASSES[:3]
        for value in (None, "abc", {}, 3, few, np.zeros((4, 0)), np.zeros((4, 2)), np.zeros((4, 4)),
                      np.zeros((4, 3, 1)), [[0, 1], [1]], np.ma.array(one_hot)):
            if self.columns or value is not few:
                yield value, Bad(EITHER, pattern + "|empty|no samples|the same length|lengths")


class Number:
    """A real number of at least 0, and below `below`."""

    def __init__(self, below=np.inf, named=None, none=False, least=0, zero=True, also=()):
        self.below, self.named, self.none, self.least, self.zero, self.also = below, named, none, least, zero, also

    def cases(self, name, folder):
        pattern = rf"\b({self.named or name})\b"
        for value in (np.float32(0.5), np.float64(0.5), np.float16(0.5), np.longdouble(0.5), Fraction(1, 2),
                      Decimal("0.5"), np.array(0.5)):
            yield value, 0.5
        if self.zero:
            yield 0, 0.0
            yield np.int8(0), 0.0
        else:
            yield 0, Bad(VALUE, pattern)
        bad = [np.nan, np.inf, -np.inf, 10**400, -10**5000, Decimal("NaN"), Decimal("sNaN"), Decimal("1e999"),
               Fraction(10**5000, 3), np.float16(np.inf), np.longdouble("nan"), np.array(np.nan)]
        bad += [-1, -1e-300, np.float32(-1)] if self.least == 0 else []
        bad += [self.below, 2 * self.below] if self.below < np.inf else []
        for value in bad:
            yield value, Bad(VALUE, pattern)
        for value in (True, np.True_, "0.5", b"0.5", [0.5], np.array([0.5]), 0.5j, {}, object(), np.timedelta64(1, "s"),
                      *([] if self.none else [None])):
            if not any(value is each for each in self.also):
                yield value, Bad(TYPE, pattern)


class Whole:
    """A whole number of at least `least`; `most` is one too large, or None where more only takes longer."""

    def __init__(self, valid=2, least=1, most=None, named=None, none=False, errors=(TYPE, VALUE), also=()):
        self.also = also
        self.valid, self.least, self.most, self.named, self.none = valid, least, most, named, none
        self.wrong, self.low = errors

    def cases(self, name, folder):
        pattern = rf"\b({self.named or name})\b"
        for kind in (np.int8, np.uint8, np.int64, np.uint64, np.array):
            yield kind(self.valid), self.valid
        large = () if self.most is None else (self.most, 10**5000)
        for value in (self.least - 1, -1, -10**5000, np.int64(-5), *large):
            if value < self.least or value == self.most or value == 10**5000:
                yield value, Bad(self.low, pattern)
        for value in (2.0, np.float64(2), np.nan, np.inf, True, np.True_, "2", b"2", [2], np.array([2]), 2j, {},
                      object(),
                      Fraction(2), Decimal(2), np.timedelta64(2, "s"), *([] if self.none else [None])):
            if not any(type(value) is type(each) and value == each for each in self.also):
                yield value, Bad(self.wrong, pattern)


class Pair:
    """A whole number of at least `least`, or two of them, of rows and of columns."""

    def __init__(self, least=1, also=()):
        self.least, self.also = least, also

    def cases(self, name, folder):
        for value in (np.int8(2), np.uint64(2), np.array(2), [2, 2], (2, np.int64(2))):
            yield value, (2, 2)
        for value in (self.least - 1, (2, self.least - 1), 2**31, -10**5000, 10**5000):
            yield value, Bad(VALUE, rf"\b{name}\b")
        for value in (2.0, np.nan, True, "2", b"2", [2], (1, 2, 3), (2, 2.5), np.array([2, 2]), {}, object(), (True, 1),
                      None):
            if not any(value is each for each in self.also):
                yield value, Bad(EITHER, rf"\b{name}\b")


class OneOf:
    """Any of these values, given as they are; others are wrong."""

    def __init__(self, *valid, bad=("text", 3, 2.5, object(), {}, [1], b"x"), errors=EITHER, named=None):
        self.valid, self.bad, self.errors, self.named = valid, bad, errors, named

    def cases(self, name, folder):
        for value in self.valid:
            yield value, value
        for value in self.bad:
            yield value, Bad(self.errors, rf"\b({self.named or name})\b")


class Seed:
    """A whole number of at least 0, a Generator or None: nothing else that NumPy would take."""

    def cases(self, name, folder):
        for value in (np.int64(3), np.uint8(3), np.array(3)):
            yield value, 3
        for value in (-1, np.int8(-1), -10**5000):
            yield value, Bad(VALUE, rf"\b{name} must be a whole number of at least 0, a NumPy Generator or None, got ")
        for value in (2.5, np.nan, "3", b"3", object(), {}, 1j, True, np.False_, [1, 2], (), np.array([3]), "a",
                      np.random.RandomState(3), np.random.SeedSequence(3), np.random.PCG64(3), np.random.default_rng):
            yield value, Bad(TYPE, rf"\b{name} must be a whole number of at least 0, a NumPy Generator or None, got ")


class File:
    """A path to read from; what is there is none of what is looked for."""

    def cases(self, name, folder):
        (folder / "empty").write_bytes(b"")
        (folder / "text.npz").write_text("no model")
        np.savez(folder / "other.npz", a=np.ones(3))
        np.save(folder / "plain.npy", np.ones(3))
        for value in ("missing", "", ".", "a/b", "x" * 5000, folder, folder / "empty", folder / "text.npz",
                      folder / "other.npz",
                      folder / "plain.npy", str(folder / "text.npz").encode(), "\0", "/dev/null"):
            yield value, Bad((OSError, ValueError, FileNotFoundError), "(?s).")
        for value in (None, 3, 0, True, 2.5, object(), [], np.array(1)):
            yield value, Bad(TYPE, "str|path")


class Target:
    """A path to write to."""

    def cases(self, name, folder):
        for value in (folder / "no" / "a.npz", "", folder, "x" * 5000 + ".npz", "/proc/a.npz"):
            yield value, Bad(OSError, ".")
        for value in (None, 3, True, 2.5, object(), []):
            yield value, Bad(TYPE, "str|path")
        yield "a\0.npz", Bad(VALUE, "null")


class Flag:
    """True or False, of Python or NumPy, and None where there is a choice without it."""

    def __init__(self, none=False):
        self.none = none

    def cases(self, name, folder):
        yield np.True_, True
        yield np.False_, False
        for value in ("False", "", b"no", 0, 1, 2.5, [], [True], {}, object(), np.array(True), np.zeros(2), np.int8(1),
                      *([] if self.none else [None])):
            yield value, Bad(TYPE,
                             rf"\b{name} must be True{', False or None' if self.none else ' or False'}, got ")


class Unchecked:
    """An object of which only methods are asked for: nothing to check."""

    def cases(self, name, folder):
        return iter(())


FLAG, DUCK = Flag(), Unchecked()


# ---- what is called


def network(last=None, loss=None, width=3, **options):
    model = nn.Model()
    model.add(nn.Dense(3, 5, activation="relu", rng=1))
    model.add(nn.Dense(5, width, rng=2))
    model.add(last or nn.Softmax())
    model.set(loss=loss or nn.CategoricalCrossentropy(), optimizer=nn.SGD(0.1),
              **({"accuracy": nn.Accuracy()} | options))
    model.finalize()
    return model


def forwarded():
    model = network()
    model.forward(GRID.astype("f4"))
    return model


def finalized(input_shape):
    model = nn.Model([nn.ReLU()])
    model.finalize(input_shape)
    return [row.shape for row in nn.summary(model).rows]


def parameters(model):
    return model.get_parameters(), dict(model.history)


def trained(model=network, **arguments):
    subject = model()
    subject.train(**{"X": GRID.astype("f4"), "y": CLASSES, **arguments})
    return parameters(subject)


def behind(layer, x=GRID):
    layer.forward(x.astype("f4"))
    return layer


def state(part):
    return {name: value for name, value in vars(part).items() if isinstance(value,
                                                                            (int, float, str, tuple, list, dict))}


def gradients(layer, dvalues, **more):
    found = behind(layer).backward(dvalues, **more)
    return found, getattr(layer, "dweights", None)


def gradients_of_images(layer, dvalues=PIXELS, **more):
    layer.forward(PIXELS.astype("f4"))
    return layer.backward(dvalues, **more), getattr(layer, "dweights", None)


def optimized(optimizer):
    layer = nn.Dense(3, 2, rng=0)
    gradients(layer, np.ones((4, 2), "f4"))
    optimizer.pre_update_params()
    optimizer.update_params(layer)
    return layer.weights


def clipped(max_norm):
    layer = nn.Dense(3, 2, rng=0)
    gradients(layer, np.ones((4, 2), "f4"))
    return nn.clip_gradients([layer], max_norm), layer.dweights


def assigned(name, value):
    layer = nn.Dense(4, 3, rng=0)
    setattr(layer, name, value)
    return getattr(layer, name)


def accumulated(include_regularization):
    loss = nn.MeanSquaredError()
    loss.calculate(SINGLE, SINGLE)
    return loss.calculate_accumulated(include_regularization=include_regularization)


def fitted(kind, x):
    scaler = kind().fit(x)
    return scaler.offset, scaler.divisor


def chosen(twin):
    with nn.use(twin):
        return nn.backend.name


DECLARED = {}  # by name what is called with keywords, and the kind of each


def declare(name, call, /, **kinds):
    DECLARED[name] = call, kinds


ANY_SHAPE = SHAPES
ROWS = ((0, 3), (4, 2), (3, 3), (5, 3))  # other shapes (N, C) of samples on their own
for kind in (*ACTIVATIONS, lambda: nn.Dropout(0.5, seed=1), nn.Flatten):
    name = type(kind()).__name__
    by_rows = name in ("LogSoftmax", "Softmax")
    declare(f"{name}.forward", lambda kind=kind, **given: kind().forward(**{"inputs": SINGLE, **given}),
            training=FLAG, inputs=Floats(named="inputs", passed=name == "Flatten",
                                         shapes=ROWS if by_rows else ANY_SHAPE[name == "Flatten":]))
    declare(f"{name}.backward", lambda dvalues, kind=kind: behind(kind()).backward(dvalues), dvalues=Floats(
        named="dvalues", shapes=((1, 4, 3), (4, 3, 1), (2, 2, 1, 3), (1, 1, 1, 4, 3)) if name == "Flatten" else ()))
    if name != "Flatten":
        declare(f"{name}.predictions", DUCK, outputs=DUCK)
        if name not in ("ELU", "LeakyReLU", "Dropout"):
            declare(name, DUCK)
declare("Flatten", DUCK)
declare("ELU", lambda alpha: nn.ELU(alpha).alpha, alpha=Number(zero=False))
declare("LeakyReLU", lambda negative_slope: nn.LeakyReLU(negative_slope).negative_slope, negative_slope=Number())
declare("Dropout", lambda **given: state(nn.Dropout(**{"rate": 0.5, "seed": 1, **given})), rate=Number(below=1),
        seed=Whole(least=0, most=2**64, none=True))
declare("Dropout.calls", lambda calls: setattr(nn.Dropout(0.5, seed=1), "calls", calls),
        calls=Whole(least=0, most=2**53))
declare("Dropout.seed", lambda seed: setattr(nn.Dropout(0.5, seed=1), "seed", seed), seed=Whole(least=0, most=2**64))
declare("Dropout.rate", lambda rate: setattr(nn.Dropout(0.5, seed=1), "rate", rate), rate=Number(below=1))

declare("Dense", lambda **given: state(nn.Dense(**{"n_inputs": 2, "n_neurons": 2, "rng": 0, **given})),
        n_inputs=Whole(most=2**62, named="n_inputs"), n_neurons=Whole(most=10**30, named="n_neurons"),
        activation=OneOf(None, "relu", "sigmoid", "tanh", bad=(
            "elu", 3, nn.ReLU, nn.ReLU(), np.array(["relu", "tanh"]), np.zeros(3), [], b"relu", object())), rng=Seed(),
        initializer=OneOf("he_normal", bad=("he", b"zeros", 3, None, [], {}, np.zeros((2, 2)), np.array(["zeros"]),
                                            type, lambda n: np.zeros((n, n)), nn.initializers.normal)),
        dtype=OneOf(np.float32, "float64", np.dtype("f4"),
                    bad=("f2", int, "text", complex, object, "M8[s]", "i4", 3, 10**5000, {})),
        **{f"{part}_regularizer_{kind}": Number() for part in ("weight", "bias") for kind in ("l1", "l2")})
OF_DENSE = (0, 3), (3, 3), (5, 3), (1, 4, 3), (2, 2, 1, 3), (1, 1, 1, 4, 3)
declare("Dense.forward", lambda **given: nn.Dense(3, 2, rng=0).forward(**{"inputs": SINGLE, **given}), training=FLAG,
        inputs=Floats(named="inputs", shapes=OF_DENSE))
declare("Dense.backward", lambda **given: gradients(nn.Dense(3, 3, rng=0), **{"dvalues": SINGLE, **given}),
        input_gradient=FLAG, dvalues=Floats(named="dvalues"))
declare("Dense.weights", lambda weights: assigned("weights", weights),
        weights=Floats())
declare("Dense.biases", lambda biases: assigned("biases", biases), biases=Floats(np.array([0.0, 1, 2])))
WEIGHTED = {name: DECLARED["Dense"][1][name] for name in ("activation", "rng", "initializer", "dtype", *(
    f"{part}_regularizer_{kind}" for part in ("weight", "bias") for kind in ("l1", "l2")))}
MODES = OneOf("zeros", "reflect", "replicate", bad=("circular", 3, None, [], {}))
for name, more in (("Conv2d", {"padding_mode": MODES}),
                   ("ConvTranspose2d", {"output_padding": Pair(0)})):
    kind = getattr(nn, name)
    declare(name, lambda kind=kind, **given: state(kind(**{
        "in_channels": 4, "out_channels": 2, "kernel_size": 3, "stride": 4,
        "rng": 0, **given})),
        in_channels=Whole(most=2**62), out_channels=Whole(most=2**62), kernel_size=Pair(), stride=Pair(),
        dilation=Pair(), padding=Pair(0), groups=Whole(), bias=FLAG, **WEIGHTED, **more)
    declare(f"{name}.weights", lambda weights, kind=kind: setattr(layer := kind(3, 3, 1), "weights", weights)
            or layer.weights, weights=Floats(np.arange(9.0).reshape(3, 3, 1, 1)))
    declare(f"{name}.biases", lambda biases, kind=kind: setattr(layer := kind(2, 3, 1), "biases", biases)
            or layer.biases, biases=Floats(np.array([0.0, 1, 2]), none=True))
for name, make in {"Conv2d": lambda: nn.Conv2d(3, 3, 1, rng=0), "ConvTranspose2d": lambda: nn.ConvTranspose2d(
        3, 3, 1, rng=0), "MaxPool2d": lambda: nn.MaxPool2d(1), "AvgPool2d": lambda: nn.AvgPool2d(1), "GlobalAvgPool2d":
        nn.GlobalAvgPool2d, "Upsample": lambda: nn.Upsample(1), "Dropout2d": lambda: nn.Dropout2d(0.5, seed=1)}.items():
    of_channels = name.startswith("Conv")
    declare(f"{name}.forward", lambda make=make, **given: make().forward(**{"inputs": PIXELS.astype("f4"), **given}),
            training=FLAG, inputs=Floats(PIXELS, named="inputs", shapes=() if of_channels else ((2, 2, 1, 3),)))
    declare(f"{name}.backward", lambda make=make, **given: gradients_of_images(make(), **given),
            **({"input_gradient": FLAG} if of_channels else {}),
            dvalues=Floats(PIXELS[..., 0, 0] if name == "GlobalAvgPool2d" else PIXELS, named="dvalues"))
declare("Dropout2d", DECLARED["Dropout"][0], **DECLARED["Dropout"][1])
for name in ("calls", "seed", "rate"):
    declare(f"Dropout2d.{name}", *DECLARED[f"Dropout.{name}"][:1], **DECLARED[f"Dropout.{name}"][1])
declare("Dropout2d.predictions", DUCK, outputs=DUCK)
declare("GlobalAvgPool2d", DUCK)
declare("Upsample", lambda scale_factor: state(nn.Upsample(scale_factor)), scale_factor=Pair())
for name, more in (("MaxPool2d", {}), ("AvgPool2d", {"count_include_pad": FLAG})):
    declare(name, lambda kind=getattr(nn, name), **given: state(kind(**{"kernel_size": 4, **given})),
            kernel_size=Pair(), stride=Pair(also=(None,)), padding=Pair(0), ceil_mode=FLAG, **more)
for name, kind in (("BatchNorm", nn.BatchNorm), ("LayerNorm", nn.LayerNorm)):
    more = {"momentum": Number(below=1.5)} if name == "BatchNorm" else {}
    declare(name, lambda kind=kind, **given: state(kind(**{"num_features": 2, **given})),
            num_features=Whole(most=2**62), eps=Number(zero=False), dtype=WEIGHTED["dtype"], **more)
    declare(f"{name}.forward", lambda kind=kind, **given: kind(3).forward(**{"inputs": SINGLE, **given}), training=FLAG,
            inputs=Floats(named="inputs", shapes=((0, 3), (3, 3), (5, 3)) + ((1, 4, 3), (2, 2, 1, 3), (
                1, 1, 1, 4, 3)) * (name == "LayerNorm")))
    declare(f"{name}.backward", lambda dvalues, kind=kind: behind(kind(3)).backward(dvalues), dvalues=Floats(
        named="dvalues"))
    for each in ("gamma", "beta", "running_mean", "running_variance")[:4 if more else 2]:
        declare(f"{name}.{each}", lambda kind=kind, **given: (
            setattr(layer := kind(3), *next(iter(given.items()))), state_of(layer)), **{
                each: Floats(np.array([0.0, 1, 2]))})
OF_MODELS = {"latent": Whole(), "classes": Whole(), "channels": Whole(), "size": DUCK, "filters": Whole(),
             "width": Number(zero=False), "dropout": DUCK, "blocks": DUCK, "rng": Seed(), "dtype": WEIGHTED["dtype"]}
for name in nn.models.__all__:
    function = getattr(nn.models, name)
    small = name in ("lenet5", "dcgan_generator", "dcgan_discriminator")
    declare(f"models.{name}", (lambda function=function, **given: [
        row.shape for row in nn.summary(function(**{"size": 28, "rng": 0, **given})).rows]) if small else DUCK, **{
            each: OF_MODELS[each] if small else DUCK for each in inspect.signature(function).parameters})
declare("Reshape", lambda shape: nn.Reshape(shape).shape, shape=Whole(also=([2],)))
declare("Reshape.forward", lambda **given: nn.Reshape((3, 1)).forward(**{"inputs": SINGLE, **given}), training=FLAG,
        inputs=Floats(named="inputs", shapes=((0, 3), (3, 3), (5, 3), (4, 3, 1)), passed=True))
declare("Reshape.backward", lambda dvalues: behind(nn.Reshape((3, 1))).backward(dvalues), dvalues=Floats(
    named="dvalues", shapes=((1, 4, 3), (4, 3, 1), (2, 2, 1, 3), (1, 1, 1, 4, 3))))
declare("Input", lambda shape: nn.Input(shape).shape, shape=Whole(also=([2],)))
declare("Input.forward", lambda **given: nn.Input(3).forward(**{"inputs": SINGLE, **given}), training=FLAG,
        inputs=Floats(shapes=((0, 3), (3, 3), (5, 3)), passed=True))
declare("Input.backward", lambda dvalues: behind(nn.Input(3)).backward(dvalues), dvalues=Floats(shapes=ANY_SHAPE))
declare("Sequential", lambda layers: repr(nn.Sequential(layers)), layers=OneOf(bad=(3, None, "Dense", nn.Dense, {}, []),
                                                                               named="Sequential"))
declare("Sequential.forward", lambda **given: nn.Sequential(nn.Dense(3, 2, rng=0)).forward(
    **{"inputs": SINGLE, **given}), training=FLAG, inputs=Floats(named="inputs", shapes=OF_DENSE))
CONTAINERS = {"Sequential": nn.Sequential, "Residual": nn.Residual, "Parallel": nn.Parallel}
for name, kind in CONTAINERS.items():
    declare(f"{name}.backward", lambda kind=kind, **given: gradients(kind(nn.Dense(3, 3, rng=0)), **{
        "dvalues": SINGLE, **given}), input_gradient=FLAG, dvalues=Floats(named="dvalues"))
    declare(f"{name}.predictions", DUCK, outputs=DUCK)
for name in ("Residual", "Parallel"):
    declare(f"{name}.forward", lambda kind=CONTAINERS[name], **given: kind(nn.Dense(3, 3, rng=0)).forward(
        **{"inputs": SINGLE, **given}), training=FLAG, inputs=Floats(named="inputs", shapes=OF_DENSE))
declare("Residual", lambda **given: repr(nn.Residual(given.get("layers", nn.ReLU()), **{
    key: value for key, value in given.items() if key != "layers"})), layers=OneOf(
        bad=(3, None, "Dense", nn.Dense, {}), named="Residual"),
    shortcut=DUCK, activation=OneOf(None, "relu", "sigmoid", "tanh", bad=("gelu", 3, nn.ReLU, {}, [], b"relu")))
declare("Parallel", lambda **given: repr(nn.Parallel(given.get("branches", nn.ReLU()), **{
    key: value for key, value in given.items() if key != "branches"})), branches=OneOf(
        bad=(3, None, "Dense", nn.Dense, {}), named="Parallel"),
    join=OneOf("concatenate", "add", "multiply", bad=("sum", 3, None, [], {}, nn.ReLU)))
declare("Rescale", lambda **given: state(nn.Rescale(**given)), scale=Number(least=None), offset=Number(least=None),
        dtype=OneOf("f4", float, bad=("f2", int, "text", complex, 3)))
declare("Rescale.forward", lambda **given: nn.Rescale(0.5, 1).forward(**{"inputs": SINGLE, **given}), training=FLAG,
        inputs=Floats(named="inputs", shapes=ANY_SHAPE))
declare("Rescale.backward", lambda dvalues: behind(nn.Rescale(0.5)).backward(dvalues), dvalues=Floats(named="dvalues"))
declare("Identity", DUCK)
declare("Identity.forward", lambda **given: nn.Identity().forward(**{"inputs": SINGLE, **given}), training=FLAG,
        inputs=Floats(named="inputs", shapes=ANY_SHAPE, passed=True))
declare("Identity.backward", lambda dvalues: nn.Identity().backward(dvalues), dvalues=Floats(
    named="dvalues", shapes=ANY_SHAPE))
for name in nn.__all__:
    if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.layers._Layer):  # for models
        declare(f"{name}.adopt", DUCK, parameter=DUCK, values=DUCK)
        declare(f"{name}.adopt_gradient", DUCK, parameter=DUCK, values=DUCK)
        declare(f"{name}.output_shape", DUCK, shape=DUCK)
        declare(f"{name}.prepare", DUCK, inputs=DUCK, name=DUCK)

# losses, and what Model asks of them with arguments that it has checked
WEIGHTS = Floats(np.array([0.0, 1, 2, 1]), none=True, finite=True)
CATEGORICAL = (nn.CategoricalCrossentropy, nn.SoftmaxCategoricalCrossentropy, nn.NegativeLogLikelihood)
BINARY = (nn.BinaryCrossentropy, nn.SigmoidBinaryCrossentropy)
for kind in (*CATEGORICAL, *BINARY, nn.MeanSquaredError, nn.MeanAbsoluteError, nn.Huber):
    name, classes = kind.__name__, kind in CATEGORICAL
    unit = GRID.clip(0, 1)
    wish = Labels() if classes else Floats(unit, named="y|X and y")
    single = () if classes else ((*GRID.shape, 1),)  # outputs of which targets may lack the last axis
    for method, first in (("forward", "y_pred"), ("backward", "dvalues")):
        declare(f"{name}.{method}", lambda kind=kind, method=method, first=first, classes=classes, **given: getattr(
            kind(), method)(**{first: unit.astype("f4"), "y_true": CLASSES if classes else unit.astype("f4"), **given}),
            **{first: Floats(unit, named=f"{first}|X and y|y|labels|sample_weight", shapes=single), "y_true": wish,
               "sample_weight": WEIGHTS})
    declare(f"{name}.calculate", lambda kind=kind, classes=classes, **given: kind().calculate(**{
        "output": unit.astype("f4"), "y": CLASSES if classes else unit.astype("f4"), **given}),
        include_regularization=FLAG, y=wish,
        output=Floats(unit, named="y_pred|X and y|y|labels", shapes=single))
    declare(f"{name}.accumulate", lambda losses, kind=kind: kind().accumulate(losses), losses=Floats(
        np.array([0.0, 1, 2, 3]), named="losses", shapes=SHAPES[2:4] + SHAPES[6:]))
    declare(f"{name}.calculate_accumulated", accumulated, include_regularization=FLAG)
    for method, arguments in (("count", ["mean", "samples"]),
                              ("regularization_loss", ["layer"]), ("remember_trainable_layers", ["layers"]),
                              ("targets", ["y", "samples", "outputs", "dtype"]), ("prepare", ["y", "outputs"]),
                              ("weights", ["y", "sample_weight", "dtype"])):
        declare(f"{name}.{method}", DUCK, **dict.fromkeys(arguments, DUCK))
CLASS_WEIGHTS = Floats(np.array([0.0, 1, 2]), none=True, finite=True, shapes=((4,),))
for kind in CATEGORICAL:
    declare(kind.__name__, lambda kind=kind, **given: state(kind(**given)), label_smoothing=Number(below=1),
            class_weights=CLASS_WEIGHTS)
    declare(f"{kind.__name__}, smoothing", lambda y, kind=kind: kind(
        label_smoothing=0.5, class_weights=[1, 2, 3]).forward(unit.astype("f4"), y), y=Labels())
for kind in BINARY:
    declare(kind.__name__, lambda class_weights, kind=kind: kind(class_weights=class_weights).class_weights,
            class_weights=Floats(np.array([0.0, 1]), none=True, finite=True))
declare("MeanSquaredError", DUCK)
declare("MeanAbsoluteError", DUCK)
declare("Huber", lambda delta: nn.Huber(delta).delta, delta=Number(zero=False))

for kind in (nn.Accuracy, nn.TopKAccuracy, nn.BinaryAccuracy, nn.RegressionAccuracy):
    name = kind.__name__
    made = {"TopKAccuracy": lambda: nn.TopKAccuracy(2),
            "RegressionAccuracy": lambda: nn.RegressionAccuracy(0.5)}.get(name, kind)
    classes = name in ("Accuracy", "TopKAccuracy")
    declare(f"{name}.calculate", lambda made=made, classes=classes, **given: made().calculate(
        **{"outputs": unit.astype("f4"), "y": CLASSES if classes else unit.astype("f4"), **given}),
        outputs=Floats(unit, named="outputs|labels|predictions", shapes=((4,),) if name == "Accuracy" else
                       () if classes else ((*GRID.shape, 1),)),
        y=Labels() if classes else Floats(unit, named="y"))
    for method, arguments in (("count", ["hits", "total"]), ("hits", ["outputs", "y"]), ("numbers", ["outputs"]),
                              ("prepare", ["y"]), ("check", ["columns"])):
        declare(f"{name}.{method}", DUCK, **dict.fromkeys(arguments, DUCK))
declare("Accuracy", DUCK)
declare("TopKAccuracy", lambda k: nn.TopKAccuracy(k).k, k=Whole())
declare("BinaryAccuracy", lambda threshold: nn.BinaryAccuracy(threshold).threshold,
        threshold=Number(least=-np.inf, none=True))
declare("RegressionAccuracy", lambda precision: nn.RegressionAccuracy(precision).precision, precision=Number(none=True))

SHARE = Number(below=1)
for kind, more in ((nn.SGD, {"momentum": SHARE, "nesterov": FLAG}), (nn.Adagrad, {"epsilon": Number()}),
                   (nn.RMSprop, {"epsilon": Number(), "rho": SHARE}),
                   (nn.Adam, {"epsilon": Number(), "beta_1": SHARE, "beta_2": SHARE, "weight_decay": Number()}),
                   (nn.AdamW, {"epsilon": Number(), "beta_1": SHARE, "beta_2": SHARE, "weight_decay": Number()})):
    start = {"momentum": 0.5} if kind is nn.SGD else {}  # nesterov needs it
    declare(kind.__name__, lambda kind=kind, start=start, **given: optimized(kind(**start | given)),
            learning_rate=Number(), decay=Number(), **more)
    for method, arguments in (("update_params", ["layer"]), ("update_all", ["parameters"]),
                              ("recorded", ["parameters"]),
                              ("ahead", ["parameters", "steps"])):
        declare(f"{kind.__name__}.{method}", DUCK, **dict.fromkeys(arguments, DUCK))
declare("clip_gradients", lambda max_norm: clipped(max_norm), layers=DUCK, max_norm=Number())

MODEL = ("X", "y", "sample_weight")
FIT = {"X": Floats(shapes=(), named="X|inputs|X and y|training data"), "y": Labels(), "sample_weight": WEIGHTS}
declare("Model", lambda layers: repr(nn.Model(layers)), layers=OneOf([nn.ReLU()], (), bad=(
    3, -10**5000, None, "Dense", nn.Dense, {}, nn.ReLU(), iter(()), [3], [nn.ReLU], [[nn.ReLU()]])))
declare("Model.add", lambda layer: network().add(layer),
        layer=OneOf(bad=(3, -10**5000, None, "Dense", nn.Dense, {}, []), named="add"))
declare("Model.finalize", lambda input_shape: finalized(input_shape),
        input_shape=Whole(most=2**63, none=True, also=([2],)))
declare("Model.set", lambda **given: network().set(**given), clip_norm=Number(none=True),
        **{name: OneOf(bad=("text", kind)) for name, kind in (
            ("loss", nn.Huber), ("optimizer", nn.SGD), ("accuracy", nn.Accuracy))})
declare("Model.clip_norm", lambda clip_norm: setattr(network(), "clip_norm", clip_norm), clip_norm=Number(none=True))
declare("Model.forward", lambda **given: network().forward(**{"X": SINGLE, **given}), training=FLAG, X=Floats(
    shapes=((0, 3), (3, 3), (5, 3))))
declare("Model.backward", lambda **given: forwarded().backward(**{"output": unit.astype("f4"), "y": CLASSES, **given}),
        output=Floats(unit, named="output|y|labels|X and y"), y=Labels(),
        input_gradient=FLAG)
declare("Model.train_step", lambda **given: network().train_step(**{"X": GRID.astype("f4"), "y": CLASSES, **given}),
        **FIT)
declare("Model.step_from", lambda **given: forwarded().step_from(**{"gradient": unit.astype("f4"), **given}),
        gradient=Floats(unit, shapes=((5, 3), (2, 3))), input_gradient=FLAG)
declare("Model.train", trained, **FIT, epochs=Whole(), batch_size=Whole(none=True), print_every=Whole(none=True),
        shuffle=Flag(none=True), progress=Flag(none=True), seed=Seed(), drop_last=FLAG,
        augment=OneOf(lambda images, *more: images, bad=(3, "ab", {}, object(), nn.data.Augment, lambda: None)),
        validation_data=OneOf((GRID.astype("f4"), CLASSES), [GRID, CLASSES], bad=(
            3, "ab", (GRID,), (GRID, CLASSES, None, None), {}, GRID, object())),
        callback=OneOf(print, [print], (), bad=(3, "ab", [3], {}, object(), [None], nn.StopTraining, lambda: None, [
            nn.callbacks.EarlyStopping], lambda epoch, model: None, lambda *, epoch: None)))
declare("Model.train, shuffled", lambda seed: trained(shuffle=True, seed=seed, batch_size=2), seed=Seed())
declare("Model.train, validation", lambda X=GRID, y=CLASSES: trained(validation_data=(X, y)), X=FIT["X"], y=Labels())
declare("Model.train, targets", lambda y: trained(lambda: network(
    nn.Linear(), nn.MeanSquaredError(), accuracy=nn.RegressionAccuracy()), y=y), y=Floats(named="y|X and y"))
declare("Model.evaluate", lambda **given: network().evaluate(**{"X": GRID.astype("f4"), "y": CLASSES, **given}), **FIT,
        batch_size=Whole(none=True))
declare("Model.predict", lambda **given: network().predict(**{"X": GRID.astype("f4"), **given}),
        X=Floats(named="X|inputs", shapes=((0, 3), (3, 3), (5, 3))), batch_size=Whole(none=True))
declare("Model.set_parameters", lambda parameters: network().set_parameters(parameters), parameters=OneOf(
    network().get_parameters(), bad=(3, None, "ab", [], [1, 2], [10**5000] * 2, [(1,), (2,)], [(GRID, GRID, GRID)] * 2,
                                     [(None, None)] * 2, {}),
    named="parameters|weights|biases|layers"))
declare("Model.save", lambda path: network().save(path), path=Target())
declare("Model.save_parameters", lambda path: network().save_parameters(path), path=Target())
declare("Model.load", lambda path: nn.Model.load(path), path=File())
declare("Model.load_parameters", lambda path: network().load_parameters(path), path=File())
declare("History", DUCK)
declare("History.plot", lambda path: nn.History(loss=[1.0, 0.5]).plot(path), path=OneOf(
    bad=("no/a.png", "a.nothing", "\0.png"), errors=(OSError, ValueError), named="no|nothing|null"))
declare("StopTraining", DUCK)
declare("use", chosen, twin=OneOf("numba", bad=("text", None, 3, 10**5000, [], {}), named="backend"))
declare("check_gradients", lambda **given: str(nn.check_gradients(**{
    "model": network(), "X": GRID, "y": CLASSES, "numbers": 2, "verbose": False, **given})), verbose=FLAG,
    model=OneOf(bad=(3, None, nn.Model, [])), X=Floats(named="X|inputs|X and y|checked data"), y=Labels(),
    numbers=Whole(none=True), step=Number(zero=False), tolerance=Number(zero=False), seed=Seed())

declare("summary", lambda model: str(nn.summary(model)), model=OneOf(bad=(3, None, nn.Model, [])))

WATCH = dict(watch=OneOf("loss", bad=(3, 10**5000, None, b"loss", [])), minimize=Flag(none=True),
             model=OneOf(bad=(3, None, nn.Model, "m")))
declare("callbacks.EarlyStopping", lambda **given: nn.callbacks.EarlyStopping(**{"model": network(), **given}).watch,
        **WATCH,
        patience=Whole(), least=Number(), restore=FLAG)
declare("callbacks.Checkpoint", lambda **given: nn.callbacks.Checkpoint(**{"model": network(), "path": "a",
                                                                           **given}).watch,
        **{**WATCH, "watch": OneOf("loss", bad=(3, b"loss", []))}, path=DUCK)
declare("callbacks.CSVLog", lambda **given: nn.callbacks.CSVLog(**{"model": network(), "path": "a", **given}).append,
        model=WATCH["model"], append=FLAG, path=OneOf(bad=(None, 3, [], 2.5), named="str|path"))
declare("callbacks.TerminateOnNaN", lambda model: nn.callbacks.TerminateOnNaN(model), model=WATCH["model"])
for name in ("EarlyStopping", "Checkpoint", "CSVLog", "TerminateOnNaN"):
    declare(f"callbacks.{name}.begin", lambda model, name=name: getattr(nn.callbacks, name)(
        network(), *["a"] * (name in ("Checkpoint", "CSVLog"))).begin(model), model=OneOf(bad=(network(), None)))


@functools.cache
def image_files():
    """A folder of three images with two labels."""
    folder = Path(tempfile.mkdtemp(prefix="images-"))
    atexit.register(shutil.rmtree, folder)
    for name in ("a/1", "a/2", "b/1"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / f"{name}.pgm").write_bytes(b"P5 2 2 255\n\1\2\3\4")
    return folder


@functools.cache
def sets():
    """A folder with a small set of each of these."""
    folder = Path(tempfile.mkdtemp(prefix="sets-"))
    atexit.register(shutil.rmtree, folder)
    write(folder, small_set())
    write(folder, letters("digits", 0, 10))
    for names, kinds in ((cifar.TEN, 1), (cifar.HUNDRED, 2)):
        for name in names:
            (folder / f"{name}.bin").write_bytes(bytes(3072 + kinds))
    return folder


SAMPLES = Whole(most=None)
for name in ("spiral", "vertical"):
    declare(f"datasets.{name}", lambda name=name, **given: getattr(nn.datasets, name)(**{
        "samples": 3, "classes": 2, "seed": 0, **given}), samples=Whole(most=2**62), classes=Whole(most=10**30),
        seed=Whole(least=0, most=2**32, none=True))
declare("datasets.sine", nn.datasets.sine, samples=Whole(most=2**62))
for name, more in (("fashion_mnist", {"images": FLAG}), ("mnist", {"images": FLAG}), ("cifar10", {}),
                   ("cifar100", {"coarse": FLAG}), ("emnist", {"images": FLAG, "split": OneOf(
                       bad=("letter", 3, None, [], b"digits"))})):
    declare(f"datasets.{name}", lambda name=name, **given: [each.shape for pair in getattr(nn.datasets, name)(**{
        "folder": sets(), **({"split": "digits"} if name == "emnist" else {}), **given}) for each in pair], scale=FLAG,
        folder=OneOf(bad=("no", "", "\0", "setup.cfg"), errors=(OSError, ValueError), named="E?MNIST|CIFAR-100?|null"),
        **more)
declare("datasets.load_idx", nn.datasets.load_idx, path=File())
for name in ("image_folder", "train_test_images"):
    declare(f"datasets.{name}", lambda name=name, **given: getattr(nn.datasets, name)(**{"path": "no", **given}),
            color=DUCK, background=DUCK,
            path=OneOf(bad=("no", "/dev/null", "\0", 3, None), errors=(OSError, ValueError, TypeError),
                       named="no|null|NoneType|int"))

declare("data.ImageFolder", lambda **given: len(nn.data.ImageFolder(**{
    "path": image_files(), "batch_size": 2, **given})),
        path=OneOf(bad=("no", "/dev/null", "\0", 3, None), errors=(OSError, ValueError, TypeError),
                   named="no|null|NoneType|int"), batch_size=Whole(), color=FLAG, scale=FLAG, shuffle=FLAG, seed=Seed(),
        drop_last=FLAG, background=OneOf(0, (1, 2, 3), bad=("red", -1, 256, None, (1, 2))),
        size=OneOf(None, 3, (2, 3), [2, 3], bad=(0, -1, "ab", (1, 2, 3), 2.5, (2, 2.5), {})))
SQUARES = np.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
CROP = nn.data.RandomCrop(4, padding=2)
declare("data.Augment", lambda **given: nn.data.Augment(*given.get("transforms", [CROP]), seed=given.get("seed", 0))(
    SQUARES), transforms=OneOf(bad=((), (3,), (nn.data.RandomCrop,), (None,)), named="Augment"),
    seed=Whole(least=0, most=2**64))
declare("data.Augment.over", DUCK, batches=DUCK)
for name in ("RandomHorizontalFlip", "RandomVerticalFlip"):
    declare(f"data.{name}", lambda p, name=name: nn.data.Augment(getattr(nn.data, name)(p))(SQUARES), p=OneOf(
        0, 1, 0.5, np.float32(0.5), Fraction(1, 2), bad=(-0.1, 1.1, np.nan, "a", None, True, [0.5])))
declare("data.RandomCrop", lambda **given: nn.data.Augment(nn.data.RandomCrop(**{"size": 4, "padding": 1, **given}))(
    SQUARES), size=OneOf(3, (2, 3), [2, 3], bad=(0, -1, "ab", (1, 2, 3), 2.5, (2, 2.5), {}, None)),
    padding=Whole(least=0), padding_mode=OneOf("constant", "edge", bad=("wrap", 3, None, [], {})),
    fill=OneOf(3, -1.0, np.int8(3), bad=("a", None, True, 0.5, [1], np.nan)))
declare("data.RandomRotation", lambda **given: nn.data.Augment(nn.data.RandomRotation(**{"degrees": 40, **given}))(
    SQUARES), degrees=OneOf(3, 2.5, (-3, 4), [0, 360], np.float32(3), bad=(
        -1, 361, "a", None, True, (1,), (2, 1), (1, np.nan), np.inf)),
    fill=OneOf(3, -1.0, np.int8(3), bad=("a", None, True, 0.5, [1], np.nan)))

for name in ("glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "zeros"):
    declare(f"initializers.{name}", lambda name=name, **given: getattr(nn.initializers, name)(**{
        "n_inputs": 2, "n_neurons": 3, "rng": np.random.default_rng(0), **given}),
        n_inputs=Whole(most=2**62, named="n_inputs"), n_neurons=Whole(most=10**30, named="n_neurons"), rng=Seed(),
        shape=DUCK)
declare("initializers.uniform", lambda limit: nn.initializers.uniform(limit)(2, 3, np.random.default_rng(0)),
        limit=Number())
declare("initializers.normal", lambda deviation: nn.initializers.normal(deviation)(2, 3, np.random.default_rng(0)),
        deviation=Number())
declare("initializers.find", nn.initializers.find, initializer=OneOf("zeros", bad=("he", None, 3, [], {})))

declare("preparation.MinMaxScaler", lambda **given: state(nn.preparation.MinMaxScaler(**given)),
        low=Number(least=None, below=1), high=Number(zero=False))
declare("preparation.StandardScaler", DUCK)
for name in ("MinMaxScaler", "StandardScaler"):
    kind = getattr(nn.preparation, name)
    more = SHAPES[6:]
    declare(f"preparation.{name}.fit", lambda X, kind=kind: fitted(kind, X), X=Floats(shapes=more))
    declare(f"preparation.{name}.fit_transform", lambda X, kind=kind: kind().fit_transform(X), X=Floats(shapes=more))
    for method in ("transform", "inverse_transform"):
        declare(f"preparation.{name}.{method}", lambda X, kind=kind,
                method=method: getattr(kind().fit(GRID), method)(X),
                X=Floats(shapes=((0, 3), (3, 3), (5, 3))))
WORDS = dict(labels=OneOf(["b", "a"], np.array(["b", "a"]), [["b"], ["a"]], bad=(
    None, 3, "ab", b"ab", {}, {"a"}, iter("ab"), [], ["a", 1], ["a", None], [None], [1j], [object()], [["a", "b"]],
    [["a"], ["b", "c"]], np.array(2), np.nan, [np.nan], np.ma.array([1, 2]), np.zeros((2, 1, 1)))))
declare("preparation.LabelEncoder", DUCK)
for method in ("fit", "fit_transform", "transform"):
    declare(f"preparation.LabelEncoder.{method}", lambda labels, method=method: (
        encoder := nn.preparation.LabelEncoder().fit(["a", "b"]), method == "fit" or getattr(encoder, method)(labels),
        nn.preparation.LabelEncoder().fit(labels).classes)[1:], **WORDS)
declare("preparation.LabelEncoder.inverse_transform", lambda numbers: nn.preparation.LabelEncoder().fit(
    ["a", "b", "c"]).inverse_transform(numbers), numbers=Labels("numbers", rows=False, columns=False))
declare("preparation.one_hot", lambda **given: nn.preparation.one_hot(**{"labels": CLASSES, **given}),
        labels=Labels(rows=False, columns=False), classes=Whole(4, most=10**30, none=True, named="classes|labels"),
        dtype=OneOf("f4", float, bad=("f2", int, "text", complex, 3)))
declare("preparation.from_one_hot", nn.preparation.from_one_hot, rows=Floats(shapes=ROWS))
for name in ("to_nchw", "to_nhwc"):
    valid = np.arange(24).reshape(2, 3, 4, 1)
    declare(f"preparation.{name}", getattr(nn.preparation, name), images=OneOf(valid, valid.tolist(), valid > 3, bad=(
        3, None, "ab", GRID, [[1], [1, 2]], valid[None], np.ma.array(valid), valid.astype(str), valid.astype(complex),
        valid.astype(object), {}, iter(()))))
declare("preparation.balanced_class_weights", lambda **given: nn.preparation.balanced_class_weights(**{
    "labels": CLASSES, **given}), labels=Labels(rows=False, columns=False),
    classes=Whole(3, most=2**62, none=True, named="classes|labels"))
declare("preparation.train_test_split", lambda **given: nn.preparation.train_test_split(**{
    "X": GRID, "y": CLASSES, "seed": 0, **given}), X=OneOf(GRID.tolist(), bad=(3, None, GRID[:2], [[1], [1, 2]])),
    y=OneOf(CLASSES.tolist(), bad=(3, None, CLASSES[:2])), shuffle=FLAG, seed=Seed(), test=OneOf(
        1, 0.5, np.int8(2), np.float32(0.5),
        bad=(0, 4, 1.0, -1, -0.5, np.nan, np.inf, True, "1", None, [1], 10**400, object()),
        named="test"))
declare("preparation.train_test_split, unshuffled", lambda seed: nn.preparation.train_test_split(
    GRID, CLASSES, shuffle=False, seed=seed), seed=Seed())
declare("preparation.batches, unshuffled", lambda seed: list(nn.preparation.batches(GRID, CLASSES, 2, seed=seed)),
        seed=Seed())
declare("preparation.batches", lambda **given: list(nn.preparation.batches(**{
    "X": GRID, "y": CLASSES, "batch_size": 2, "shuffle": True, "seed": 0, **given})), shuffle=FLAG, seed=Seed(),
    X=OneOf(GRID.tolist(), bad=(3, None, GRID[:2])), y=OneOf(CLASSES.tolist(), bad=(3, None, CLASSES[:2])),
    batch_size=Whole())

RATE = dict(rate=Number())
declare("schedules.Constant", lambda rate: nn.schedules.Constant(rate)(1), **RATE)
declare("schedules.Step", lambda **given: nn.schedules.Step(**{"rate": 0.1, "every": 2, **given})(3), **RATE,
        every=Whole(), factor=Number())
declare("schedules.Exponential", lambda **given: nn.schedules.Exponential(**{"rate": 0.1, "factor": 0.5, **given})(3),
        **RATE,
        factor=Number())
declare("schedules.Cosine", lambda **given: nn.schedules.Cosine(**{"rate": 0.1, "steps": 9, **given})(3), **RATE,
        final=Number(),
        steps=Whole())
declare("schedules.WarmUp", lambda **given: nn.schedules.WarmUp(**{"steps": 3, "schedule": 0.1, **given})(2),
        steps=Whole(), schedule=Number())
BAD_RATES = ("a", None, -1, np.nan, np.inf, True, np.array([0.1]), [0.1], 1j, Decimal("sNaN"), 10**5000)
for name, make in (("rate of a user", lambda rate: nn.SGD(lambda iteration: rate)),
                   ("rate of a user behind a warm-up", lambda rate: nn.SGD(nn.schedules.WarmUp(3, lambda i: rate)))):
    declare(name, lambda rate, make=make: make(rate).current_learning_rate, rate=OneOf(
        np.array(0.5), np.float16(0.5), bad=BAD_RATES, named="the rate that (learning_rate|schedule) returned"))
FUNCTIONS = nn.schedules.Cosine, nn.Adam, lambda: 0.1, lambda iteration, epoch: 0.1, lambda *, iteration: 0.1
declare("functions of a rate", lambda learning_rate: nn.SGD(learning_rate).current_learning_rate, learning_rate=OneOf(
    nn.schedules.Constant(0.5), lambda *updates: 0.5, bad=FUNCTIONS, errors=TYPE))
declare("functions behind a warm-up", lambda schedule: nn.schedules.WarmUp(3, schedule)(3), schedule=OneOf(
    nn.schedules.Constant(0.5), lambda i, scale=1: 0.5, bad=FUNCTIONS, errors=TYPE))
for schedule in (nn.schedules.Constant(0.5), nn.schedules.Step(0.5, every=2), nn.schedules.Exponential(0.5, factor=0.5),
                 nn.schedules.Cosine(0.5, steps=9), nn.schedules.WarmUp(3, 0.5)):
    declare(f"{type(schedule).__name__} of an iteration", lambda iteration, schedule=schedule: schedule(iteration),
            iteration=Whole(least=0))


declare("scores.confusion_matrix", lambda **given: nn.scores.confusion_matrix(**{"predictions": GRID, "y": CLASSES,
                                                                                 **given}),
        predictions=Floats(named="predictions|y|samples", shapes=((4,),)), y=Labels("y|labels|predictions"),
        threshold=Number(least=-np.inf), classes=Whole(3, most=10**30, none=True, named="classes|y"))
declare("scores.precision_recall_f1", lambda **given: tuple(nn.scores.precision_recall_f1(**{
    "predictions": GRID, "y": CLASSES, **given})), predictions=Floats(named="predictions|y|samples", shapes=((4,),)),
    y=Labels("y|labels|predictions"), threshold=Number(least=-np.inf),
    classes=Whole(3, most=10**30, none=True, named="classes|y"))
declare("scores.Averages", DUCK, precision=DUCK, recall=DUCK, f1=DUCK)
declare("scores.ClassScores", DUCK, precision=DUCK, recall=DUCK, f1=DUCK, support=DUCK, macro=DUCK, micro=DUCK)
for name in ("r2_score", "root_mean_squared_error"):
    declare(f"scores.{name}", lambda name=name,
            **given: getattr(nn.scores, name)(**{"outputs": GRID, "y": GRID + 1, **given}),
            outputs=Floats(named="outputs|samples", finite=True), y=Floats(named="y|samples", finite=True))


# ---- the tests

# what calls no kernel
TWINLESS = ("callbacks.", "data.", "datasets.", "preparation.", "schedules.", "scores.", "History", "use", "Model.save",
            "Model.load")


def public(owner=nn, prefix=""):
    """(name, arguments) of all public functions, constructors and methods."""
    names = getattr(owner, "__all__", None) or [
        name for name, found in vars(owner).items()
        if not name.startswith("_") and getattr(found, "__module__", None) == owner.__name__]
    for name in names:
        found = getattr(owner, name)
        if inspect.ismodule(found):
            if found is not nnfs:  # the classes of nn, in the book's names
                yield from public(found, f"{name}.")
        elif inspect.isclass(found):
            own = [each for each in found.__mro__ if each.__module__.startswith(nn.__name__)]
            constructed = any("__init__" in vars(each) or "__new__" in vars(each) for each in own)
            yield prefix + name, arguments(found) if constructed else set()
            for method in {each for base in own for each in vars(base)}:
                if not method.startswith("_") and inspect.isfunction(getattr(found, method)) and arguments(
                        getattr(found, method)):
                    yield f"{prefix}{name}.{method}", arguments(getattr(found, method))
        elif callable(found):
            yield prefix + name, arguments(found)


def arguments(function):
    return set(inspect.signature(function).parameters) - {"self"}


def test_every_public_name_and_argument_is_declared():
    found = dict(public())
    assert len(found) > 150
    assert sorted(set(found) - set(DECLARED)) == []
    assert {name: given ^ set(DECLARED[name][1]) for name,
            given in found.items() if given != set(DECLARED[name][1])} == {}


def bits(found):
    """What can be compared."""
    if isinstance(found, np.ndarray):
        return "array", found.dtype.str, found.shape, found.tobytes()
    if isinstance(found, dict):
        return [(name, bits(value)) for name, value in found.items()]
    if isinstance(found, (tuple, list)):
        return [bits(each) for each in found]
    return float(found).hex() if isinstance(found, (float, np.floating)) else found


def of_kernels(error):
    """Whether the text of an error has a name of an argument of kernels; that of an OSError has a path."""
    wish, *_ = str(error).partition(", got ")
    return not isinstance(error, OSError) and re.search(r"\b(x|w|b|p|d[xywbp]|targets)\b", wish)


def text(value):
    kind = f"{value.dtype.str}{value.shape} " if isinstance(value, np.ndarray) else ""
    if type(value) in (int, Fraction) and abs(value) > 10**99:
        return "a long number"  # of which Python writes no more than 4300 digits
    return f"{kind}{str(value)[:60]}".replace("\n", " ")


@pytest.mark.parametrize("name", [name for name, (call, _) in DECLARED.items() if call is not DUCK])
def test_the_gate(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(Path(__file__).parents[1])
    call, kinds = DECLARED[name]
    wrong, count = [], 0
    for argument, kind in kinds.items():
        for value, wish in kind.cases(argument, tmp_path):
            count += 1
            before = value.tobytes() if type(value) is np.ndarray and value.dtype != object else None
            try:
                found = bits(call(**{argument: value}))
            except Exception as error:
                if not isinstance(wish, Bad):
                    wrong.append(f"{argument}={text(value)}: is valid, raised {error!r}")
                elif not (isinstance(error, wish.errors) and type(error).__module__ in ("builtins", "numpy.exceptions")
                          and re.search(wish.pattern, str(error)) and (argument == "p" or not of_kernels(error))):
                    wrong.append(f"{argument}={text(value)}: {error!r}, not {wish.errors} with {wish.pattern!r}")
            else:
                if isinstance(wish, Bad):
                    wrong.append(f"{argument}={text(value)}: is wrong, gave {str(found)[:60]}")
                elif found != bits(call(**{argument: wish})):
                    wrong.append(f"{argument}={text(value)}: another result than for {text(wish)}")
            if before is not None and value.tobytes() != before:
                wrong.append(f"{argument}={text(value)}: was changed")
    assert not wrong, f"{len(wrong)} of {count}:\n" + "\n".join(wrong)
    assert count


@pytest.mark.parametrize("make, name, kind", (
    (lambda: nn.callbacks.EarlyStopping(network()), "minimize", FLAG),
    (lambda: nn.callbacks.EarlyStopping(network()), "restore", FLAG),
    (lambda: nn.callbacks.EarlyStopping(network()), "patience", Whole()),
    (lambda: nn.callbacks.EarlyStopping(network()), "least", Number()),
    (lambda: nn.callbacks.Checkpoint(network(), "a"), "minimize", FLAG),
    (lambda: nn.callbacks.CSVLog(network(), "a"), "append", FLAG),
    (lambda: nn.SGD(momentum=0.5), "nesterov", FLAG),
    (lambda: nn.SGD(), "iterations", Whole(least=0, most=2**53)),
    *((lambda: nn.Dense(2, 2), f"{part}_regularizer_{kind}", Number())
      for part in ("weight", "bias") for kind in ("l1", "l2")),
    (lambda: nn.Dense(2, 2), "activation", OneOf(None, "relu", bad=("elu", 3, nn.ReLU, np.array(["relu"])))),
    (lambda: nn.schedules.Step(0.1, every=2), "rate", Number()),
    (lambda: nn.schedules.Step(0.1, every=2), "factor", Number()),
    (lambda: nn.schedules.Step(0.1, every=2), "every", Whole()),
    (lambda: nn.schedules.Cosine(0.1, steps=2), "steps", Whole()),
    (lambda: nn.schedules.Cosine(0.1, steps=2), "final", Number()),
    (lambda: nn.schedules.WarmUp(2, 0.1), "steps", Whole())))
def test_attributes_are_checked_when_they_are_assigned(make, name, kind, tmp_path):
    part = make()
    for value, wish in kind.cases(name, tmp_path):
        if isinstance(wish, Bad):
            with pytest.raises(wish.errors, match=wish.pattern):
                setattr(part, name, value)
        else:
            setattr(part, name, value)
            assert bits(getattr(part, name)) == bits(wish) and type(getattr(part, name)) is type(wish)


def dense(**attributes):
    layer = nn.Dense(3, 2, rng=0, weight_regularizer_l1=0.5)
    gradients(layer, np.ones((4, 2), "f4"))
    vars(layer).update(attributes)
    return layer


NARROW = np.ones((4, 1), "f4")


@pytest.mark.parametrize("call, text", (
    (lambda: dense().forward(NARROW), "inputs must have shape (N, 3), got (4, 1)"),
    (lambda: dense(activation="elu").forward(GRID), "activation must be one of"),
    (lambda: dense(_weights=NARROW).forward(GRID), "weights must have shape (3, n) to match inputs (4, 3), got (4, 1)"),
    (lambda: dense().backward(NARROW), "dvalues must have shape (4, 2) to match inputs and weights, got (4, 1)"),
    (lambda: dense(output=None, activation="relu").backward(np.ones((4, 2))), "output, the output of forward, is"),
    (lambda: dense(weight_regularizer_l2="a").backward(np.ones((4, 2))), "weight_regularizer_l2 must be a number, got"),
    (lambda: dense(bias_regularizer_l1=np.nan).penalties(), "bias_regularizer_l1 must be finite, got nan"),
    (lambda: nn.Huber().regularization_loss(SimpleNamespace(weights=GRID, bias_regularizer_l2="a", biases=GRID)),
     "bias_regularizer_l2 must be a number, got str"),
    (lambda: behind(nn.GELU()).backward(NARROW), "dvalues must have shape (4, 3) to match inputs, got (4, 1)"),
    (lambda: behind(nn.ReLU()).backward(NARROW), "dvalues must have shape (4, 3) to match output, got (4, 1)"),
    (lambda: behind(nn.Dropout(0.5, seed=1)).backward(NARROW), "dvalues must have shape (4, 3) to match binary_mask"),
    (lambda: nn.Softmax().forward(NARROW[:, 1:]), "inputs must have at least one column, got shape (4, 0)"),
    (lambda: nn.CategoricalCrossentropy().backward(CLASSES, CLASSES), "dvalues must have shape (N, C) or (N, ..., C)"),
    (lambda: nn.NegativeLogLikelihood().forward(GRID, CLASSES[:3]), "to match y_pred, got (3,)"),
    (lambda: nn.SoftmaxCategoricalCrossentropy().backward(GRID, CLASSES[:3]), "to match dvalues, got (3,)"),
    (lambda: nn.Accuracy().calculate(GRID, CLASSES[:3]), "labels must have shape (4,) or (4, 3) to match outputs, got"),
    (lambda: nn.Accuracy().calculate(GRID[None], CLASSES), "labels must have shape (N, 4) or (N, 4, C), got"),
    (lambda: nn.BinaryAccuracy().calculate(GRID, NARROW), "y must have shape (4, 3) to match outputs, got (4, 1)"),
    (lambda: nn.RegressionAccuracy(1).calculate(GRID, NARROW), "y must have shape (4, 3) to match outputs, got"),
    (lambda: nn.SGD().update_params(dense(dweights=NARROW)), "dweights must have shape (3, 2) to match weights, got"),
    (lambda: nn.Adam().update_params(dense(dbiases=3)), "dbiases must be a NumPy array, got int"),
    (lambda: nn.RMSprop().update_params(dense(dbiases=np.ones((1, 2)))), "dbiases must be float32 as biases is, got"),
    (lambda: nn.clip_gradients([dense(dweights=np.ones((3, 2), int), dbiases=np.ones(2, int))], 1),
     "dweights and dbiases must be float32 or float64, got int64"),
    (lambda: nn.clip_gradients([dense(dweights=np.ones((2, 3), "f4").T)], 0.1), "dweights must be writeable")))
@pytest.mark.parametrize("twin", ("numba", "numpy"))
def test_errors_of_nn_have_its_names(call, text, twin):
    with nn.use(twin), pytest.raises((TypeError, ValueError), match=re.escape(text)):
        call()


def test_errors_of_kernels_keep_theirs():
    with pytest.raises(ValueError, match=r"^w must have shape \(1, n\) to match x \(4, 1\), got \(4, 3\)$"):
        kernels.dense.forward(NARROW, GRID.astype("f4"), np.ones(3, "f4"))


def outcome(call, given, twin):
    """What is returned, or the error's type and text."""
    with nn.use(twin), np.errstate(all="ignore"):
        try:
            return leaves(call(**given))
        except Exception as error:
            return type(error).__name__, str(error)


def leaves(found):
    if isinstance(found, dict):
        found = list(found.values())
    return [leaf for each in found for leaf in leaves(each)] if isinstance(found, (tuple, list)) else [found]


def alike(one, other):
    """Errors are equal; arrays have one dtype and shape, and numbers that differ by rounding."""
    if type(one) is not type(other) or isinstance(one, tuple) or len(one) != len(other):
        return one == other and isinstance(one, tuple)
    return all(type(x) is type(y) and (
        x.dtype == y.dtype and x.shape == y.shape and np.allclose(x, y, 1e-3, 1e-4, equal_nan=True)
        if isinstance(x, np.ndarray) else not isinstance(x, float) or np.isclose(x, y, 1e-3, 1e-4, equal_nan=True))
        for x, y in zip(one, other))


@pytest.mark.parametrize("name", [name for name, (call, _) in DECLARED.items()
                                  if call is not DUCK and not name.startswith(TWINLESS)])
def test_both_twins_refuse_the_same(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(Path(__file__).parents[1])
    call, kinds = DECLARED[name]
    wrong, count = [], 0
    for argument, kind in kinds.items():
        for value, _ in kind.cases(argument, tmp_path):
            count += 1
            one, other = (outcome(call, {argument: value}, twin) for twin in ("numba", "numpy"))
            if not alike(one, other):
                wrong.append(f"{argument}={text(value)}: {str(one)[:200]}, with NumPy {str(other)[:200]}")
    assert not wrong, f"{len(wrong)} of {count}:\n" + "\n".join(wrong)


@pytest.mark.parametrize("call", (
    lambda: nn.scores.confusion_matrix([0, 10**9], [0, 1]), lambda: nn.scores.confusion_matrix([0, 1], [0, 10**9]),
    lambda: nn.scores.precision_recall_f1([0, 10**9], [0, 1]), lambda: nn.preparation.one_hot([0, 10**9]),
    lambda: nn.scores.confusion_matrix([0, 1], [0, 1], 10**9),
    lambda: nn.preparation.balanced_class_weights([0, 10**9])))
def test_a_wrong_label_does_not_fill_the_memory(call):
    with pytest.raises(ValueError, match="must be class numbers.*, got 10000000"):
        call()


@pytest.mark.parametrize("call", (
    lambda: nn.Dense(2**40, 2**13), lambda: nnfs.Layer_Dense(2**40, 2**13), lambda: nn.Dense(2**41, 2**12, rng=1),
    lambda: nn.Dense(2**40, 2**13, dtype="f8", initializer="zeros"), lambda: nn.Dense(
        2**40, 2**13, initializer="he_normal"), lambda: nn.preparation.one_hot(np.zeros(2**13, int), 2**41)))
def test_what_no_memory_holds_is_said_in_bytes(call):
    with pytest.raises(MemoryError, match=r"^(weights|rows) \(.*\) would take 72057594037927936 bytes, more than "
                                          "there is memory$"):
        call()


def test_no_length_no_columns():
    for loss in CATEGORICAL:
        with pytest.raises(ValueError, match=r"labels must have shape \(N,\) or \(N, C\), got \(4, 0\)"):
            loss(label_smoothing=0.1).forward(unit.astype("f4"), np.zeros((4, 0)))


def test_iterations_before_the_first_do_not_hang():
    for schedule in (nn.schedules.Exponential(0.1, factor=0.5), nn.schedules.Step(0.1, every=2)):
        with pytest.raises(ValueError, match="iteration must be at least 0, got -"):
            schedule(-3)

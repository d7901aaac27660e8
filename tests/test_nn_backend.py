import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import test_input_gate as gate
from layouts import readonly

from nnjit import kernels, nn
from nnjit.nn import backend

NUMBA, NUMPY = backend.TWINS["numba"], backend.TWINS["numpy"]


@pytest.fixture(autouse=True)
def restored():
    with nn.use(backend.name):
        yield


def test_the_kernels_are_the_default():
    code = "from nnjit.nn import backend; from nnjit import kernels; print(backend.name, backend.ops is kernels)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "numba True\n"


def test_a_plain_call_switches_for_good():
    nn.use("numpy")
    assert (backend.name, backend.ops) == ("numpy", NUMPY)
    nn.use("numba")
    assert (backend.name, backend.ops) == ("numba", kernels)


def test_as_a_context_the_former_comes_back():
    nn.use("numba")
    with nn.use("numpy"):
        with nn.use("numba"):
            assert backend.ops is kernels
        assert backend.ops is NUMPY
    assert backend.ops is kernels


def test_the_former_comes_back_after_an_error():
    nn.use("numba")
    with pytest.raises(KeyError), nn.use("numpy"):
        raise KeyError
    assert backend.ops is kernels


@pytest.mark.parametrize("name", ["torch", "", "NumPy", None, 1])
def test_an_unknown_name_is_told_both_and_changes_nothing(name):
    nn.use("numpy")
    with pytest.raises(ValueError, match='"numba" or "numpy", got'):
        nn.use(name)
    assert (backend.name, backend.ops) == ("numpy", NUMPY)


def test_layers_call_the_chosen_twin(monkeypatch):
    called = []
    for name, module in reversed(backend.TWINS.items()):  # the NumPy twin is made with the kernel's checks
        monkeypatch.setattr(module.relu, "forward", lambda x, name=name: called.append(name) or x)
    layer = nn.ReLU()
    for name in ("numpy", "numba", "numpy"):
        with nn.use(name):
            layer.forward(np.ones((1, 1), np.float32))
    assert called == ["numpy", "numba", "numpy"]


def wrong_arrays(case, name):
    """Arrays, and what is none, in place of an argument. Most are refused."""
    x = case.args[name]
    yield from (value for what, value in gate.NO_ARRAYS.items() if what != "a generator")
    yield from (x.astype(kind) for kind in ("f2", "f4", "f8", "i8", "u1", "?", complex, object, "U3", ">f4", ">i8"))
    yield from (np.ma.array(x), readonly(x), x[..., ::-1], x.view(gate.Sub))
    yield from [x.view(np.matrix)] if x.ndim == 2 else []
    yield from (gate.of_shape(x, shape) for shape in gate.other_shapes(x.shape))
    yield from (other for argument, other in case.args.items() if argument != name)  # twice the same memory
    if name == "labels" and x.ndim == 1:
        yield from (np.append(x[1:], label) for label in (-1, 10, 2**62, -2**63))


def outcome(twin, case, args, options):
    """What is returned and updated, or the error's type and text."""
    copies = {id(x): x.copy() if gate.is_plain(x) else x for x in args.values()}
    args = {name: copies[id(x)] for name, x in args.items()}
    try:
        found = getattr(getattr(twin, case.operation), case.function)(*args.values(), **{**case.options, **options})
    except Exception as error:
        return type(error), str(error)
    return [*(found if isinstance(found, tuple) else (found,)),
            *(x for name, x in args.items() if case.updates(name))]


def compare(case, args, options=None):
    """Both twins raise the same error, or their results differ by rounding. Returns whether they raise one."""
    where = f"{case.where}: {[(type(x), getattr(x, 'shape', x)) for x in args.values()]} {options}"
    one, other = (outcome(twin, case, args, options or {}) for twin in (NUMBA, NUMPY))
    if isinstance(one, tuple) or isinstance(other, tuple):
        assert one == other, where
        return True
    for x, y in zip(one, other, strict=True):
        assert np.shape(x) == np.shape(y), where
        if "labels" not in args:  # the losses of nn give one-hot rows the dtype of the outputs
            assert getattr(x, "dtype", None) == getattr(y, "dtype", None), where
        if x is not None and not options:
            np.testing.assert_allclose(x, y, 1e-3, 1e-4, err_msg=where)
    return False


@gate.each
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of np.matrix
def test_both_twins_refuse_the_same(operation):
    refused = 0
    for case in gate.cases(operation, np.float32):
        compare(case, case.args)
        for name in case.args:
            for value in wrong_arrays(case, name):
                refused += compare(case, {**case.args, name: value})
        for name in gate.signature(operation, case.function).keys() - case.args.keys() - {"out", "parallel", "dtype"}:
            for value in (None, "x", -1, -0.5, 0, 0.25, 2, 2.5, np.nan, np.inf, True, [], {}, np.float64(0.25),
                          np.array(0.5), np.int64(1), Decimal("0.5"), Fraction(1, 2), 1j, object):
                refused += compare(case, case.args, {name: value})
    assert refused > 10


def extremes(dtype):
    """Infinities, NaN, zeros, and finite elements whose sums, products and quotients leave the dtype."""
    info = np.finfo(dtype)
    return np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, info.max, -info.max, info.max / 3, info.smallest_subnormal,
                     -info.smallest_normal / 4, info.smallest_normal, 1.0, -1.0], dtype)


@pytest.mark.parametrize("name", backend.TWINS)
@gate.each_dtype
@gate.each
def test_extreme_elements_are_no_error(operation, dtype, name):
    """NumPy would warn, or raise where a user wishes so; the kernels compute infinity and NaN."""
    values = extremes(dtype)
    for case in gate.cases(operation, dtype):
        floats = {key: x for key, x in case.args.items() if x.dtype.kind == "f"}
        alone = [{key: np.full_like(x, value)} for key, x in floats.items() for value in values]
        together = {key: np.roll(np.resize(values, x.shape), at) for at, (key, x) in enumerate(floats.items())}
        for changed in (*alone, together):
            with np.errstate(all="raise"):
                found = outcome(backend.TWINS[name], case, {**case.args, **changed}, {})
            assert isinstance(found, list), f"{case.where}, {changed}: {found}"


@pytest.mark.parametrize("l2", (0.1, np.float64(0.1), np.array(0.1), Decimal("0.1"), Fraction(1, 10)), ids=repr)
def test_both_twins_take_the_same_numbers_of_a_regularizer(l2):
    found = []
    for twin in ("numba", "numpy"):
        with nn.use(twin):
            layer = nn.Dense(3, 2, rng=0, weight_regularizer_l1=0.5)
            layer.weight_regularizer_l2 = layer.bias_regularizer_l2 = l2
            layer.forward(np.ones((4, 3), np.float32))
            layer.backward(np.ones((4, 2), np.float32))
            found.append((layer.dweights, layer.dbiases, *layer.penalties()))
    for x, y in zip(*found, strict=True):
        np.testing.assert_allclose(x, y, 1e-6)


def test_import_is_light():
    code = ("import sys, nnjit.nn; print({'matplotlib', 'tqdm', 'nnfs', 'torch', 'http', 'nnjit.kernels.relu', "
            "'nnjit.kernels.reference', 'nnjit.nn.inspect.summary'} & set(sys.modules))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")

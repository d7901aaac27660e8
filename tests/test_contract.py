"""The promises of `nnjit.kernels`, tested for every operation that is found: what is peculiar to one is in its file.

Arguments come from `inputs` of the NumPy twins, error bounds from `bound` in each test_<op>.py.
"""

import hashlib
import inspect
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import warnings
from importlib import import_module
from pathlib import Path
from types import MethodType

import llvmlite.binding
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import readonly, reversed_, sliced, unaligned
from scalar import assert_same_bits

from nnjit import kernels
from nnjit.bench import contract, digests
from nnjit.kernels.core.compile import Nest, nest_of

OPERATIONS = contract.operations()
BOUNDS = {name: import_module(f"test_{name}").bound for name in OPERATIONS}  # now: Hypothesis lets no test import tests
DTYPES = (np.float32, np.float64)
ORACLE = {np.float32: np.float64, np.float64: np.longdouble}  # the twins' precision
SHAPES = {  # around lanes, tiles and blocks; contract.SHAPES goes over the larger thresholds
    1: ((1,), (2,), (7,), (16,), (17,), (63,), (64,), (65,), (200,)),
    2: ((1, 1), (1, 16), (3, 2), (7, 3), (8, 8), (9, 10), (15, 7), (16, 16), (17, 9), (31, 17), (64, 5),
        (65, 3), (5, 33)),
    3: ((1, 1, 1), (2, 3, 1), (3, 1, 16), (5, 7, 3), (14, 8, 10), (15, 9, 17), (16, 16, 16), (29, 5, 33), (8, 40, 32)),
}
EMPTY = {1: (), 2: ((0, 3),), 3: ((0, 3, 2), (3, 0, 2), (0, 0, 1))}
TYPICAL = {1: (70,), 2: (19, 10), 3: (9, 7, 5)}

each = pytest.mark.parametrize("operation", OPERATIONS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=("float32", "float64"))


def cases(operation, shape, dtype, seed=0):
    """(function, arguments by name, knobs, text) for each case that the twin lists."""
    _, twin = contract.twins(operation)
    for number, (function, args, knobs) in enumerate(twin.inputs(np.random.default_rng(seed), shape, dtype)):
        names = inspect.signature(getattr(twin, function)).parameters
        yield function, dict(zip(names, args)), knobs, f"{operation}.{function}, case {number}, {shape}"


def call(operation, function, args, knobs, **more):
    return contract.call(contract.twins(operation)[0], function, list(args.values()), knobs, **more)


def in_place(function, name):
    """A step updates all its arrays but the gradients."""
    return function == "step" and not name.startswith("d")


def floats(args):
    return {name: x for name, x in args.items() if x.dtype.kind == "f"}


def oracle(operation, function, args, knobs, dtype):
    """The twin's results in higher precision, and the largest error that the kernel may have."""
    wide = ORACLE[dtype]
    args = [x.astype(wide) if x.dtype.kind == "f" else x for x in args.values()]
    with np.errstate(all="ignore"):
        expected = contract.call(contract.twins(operation)[1], function, args, knobs)
        u = float(np.finfo(dtype).eps) / 2
        bounds = BOUNDS[operation](function, u, expected, *args, **knobs)
    # the oracle's own error; what the bounds neglect (products of two errors); underflow
    factor = 1.01 + float(np.finfo(wide).eps / np.finfo(dtype).eps)
    bounds = [factor * limit + 64 * np.finfo(dtype).smallest_subnormal * (limit > 0) for limit in bounds]
    return expected, bounds


def assert_near(results, expected, bounds, where):
    for number, (x, r, limit) in enumerate(zip(results, expected, bounds, strict=True)):
        assert x.shape == r.shape == np.shape(limit), f"{where}: shapes of result {number}"
        with np.errstate(invalid="ignore"):
            wrong = ~(np.abs(x - r) <= limit)
        if wrong.any():
            at = tuple(np.argwhere(wrong)[0])
            raise AssertionError(f"{where}: result {number} at {at} is {x[at]}, expected {r[at]} +- {limit[at]:.2g}")


# ---- right results


@each_dtype
@each
def test_results_are_those_of_numpy_within_the_bound(operation, dtype):
    number = contract.dimensions(operation)
    for shape in (*SHAPES[number], *EMPTY[number], *contract.SHAPES[number]):
        for function, args, knobs, where in cases(operation, shape, dtype):
            expected, bounds = oracle(operation, function, args, knobs, dtype)
            before = {name: x.copy() for name, x in args.items()}
            results = call(operation, function, args, knobs)
            assert_near(results, expected, bounds, where)
            for x, r in zip(results, expected, strict=True):
                # counts and means are Python numbers
                assert x.dtype == (dtype if x.ndim else np.asarray(r).dtype), f"{where}: {x.dtype}"
            for name, x in before.items():
                assert_same_bits(args[name], x, f"{where}: {name} was changed")


LARGE = {1: (2**20 + 77,), 2: (1030, 1021), 3: (410, 300, 411)}


@each
def test_a_million_elements_are_as_right_as_a_few(operation):
    for function, args, knobs, where in cases(operation, LARGE[contract.dimensions(operation)], np.float32):
        expected, bounds = oracle(operation, function, args, knobs, np.float32)
        assert_near(call(operation, function, args, knobs), expected, bounds, where)


@each_dtype
@each
def test_nan_infinity_zero_and_denormals_propagate(operation, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    for shape in (TYPICAL[contract.dimensions(operation)], (3, 40, 20)[:contract.dimensions(operation)]):
        for function, args, knobs, where in cases(operation, shape, dtype):
            for name in floats(args):
                for value in (np.nan, np.inf, -np.inf, 0.0, -0.0, 1000 * tiny, np.finfo(dtype).smallest_normal / 4):
                    changed = {**args, name: args[name].copy()}
                    changed[name].flat[args[name].size // 2] = value
                    text = f"{where}, a {value} in {name}"
                    expected, bounds = oracle(operation, function, changed, knobs, dtype)
                    results = call(operation, function, changed, knobs)
                    for x, r in zip(results, expected, strict=True):
                        assert np.array_equal(np.isnan(x), np.isnan(r)), f"{text}: other NaNs than NumPy"
                        assert np.array_equal(x == np.inf, r == np.inf), f"{text}: other infinities than NumPy"
                        assert np.array_equal(x == -np.inf, r == -np.inf), f"{text}: other infinities than NumPy"
                    finite = [np.isfinite(r) & np.isfinite(limit) for r, limit in zip(expected, bounds)]
                    with np.errstate(invalid="ignore"):
                        bounds = [np.where(known, limit, np.inf) for known, limit in zip(finite, bounds)]
                        results = [np.where(known, x, 0) for known, x in zip(finite, results)]
                        expected = [np.where(known, r, 0) for known, r in zip(finite, expected)]
                    assert_near(results, expected, bounds, text)


@each_dtype
@each
def test_everything_denormal_stays(operation, dtype):
    # a CPU told to flush denormals would give zeros here
    for function, args, knobs, where in cases(operation, TYPICAL[contract.dimensions(operation)], dtype):
        for name in floats(args):
            small = {**args, name: args[name] * dtype(np.finfo(dtype).smallest_normal / 8)}
            expected, bounds = oracle(operation, function, small, knobs, dtype)
            assert_near(call(operation, function, small, knobs), expected, bounds, f"{where}, {name}")


@each
def test_backward_is_the_slope_of_forward(operation):
    """Central differences of the twin's forward in float64: neither kernel nor twin of backward has a say."""
    twin = contract.twins(operation)[1]
    if not hasattr(twin, "backward"):
        assert not hasattr(contract.twins(operation)[0], "backward")
        return
    step, checked = 1e-6, 0
    forward, forward_knobs = None, {}
    for function, args, knobs, where in cases(operation, (5, 4, 3)[:contract.dimensions(operation)], np.float64):
        if function == "forward":
            forward, forward_knobs = args, knobs
            continue
        leading = next(iter(args))
        weights = args[leading] if leading.startswith("d") else None  # a loss has no dy: it is the mean that counts
        added = leading[1:] if weights is not None and leading[1:] in forward else None

        def height(values):
            result = twin.forward(*values.values(), **forward_knobs)
            result = result[0] if isinstance(result, tuple) else result
            if added:  # dw beside w: backward adds the penalty's gradient to that of the rest of the loss
                return float(result + np.sum(values[added] * weights))
            return float(np.mean(result) if weights is None else np.sum(result * weights))

        slopes = call(operation, function, args, knobs)
        variables = [name for name in floats(forward) if name not in ("labels", "targets", "weights")]
        for name, slope in zip(variables, slopes, strict=True):
            numeric = np.empty_like(slope)
            for at in np.ndindex(slope.shape):
                ends = []
                for sign in (1, -1):
                    moved = {**forward, name: forward[name].copy()}
                    moved[name][at] += sign * step
                    ends.append(height(moved))
                numeric[at] = (ends[0] - ends[1]) / (2 * step)
            # differences: 1e-16 times the height over the step, and step^2 times the third derivative
            np.testing.assert_allclose(slope, numeric, rtol=1e-7, atol=1e-8, err_msg=f"{where}: d{name}")
            checked += slope.size
    assert checked


# ---- the same bits


def same_as(results, others, where):
    for number, (x, other) in enumerate(zip(results, others, strict=True)):
        assert_same_bits(x, other, f"{where}: result {number}")


@each_dtype
@each
def test_serial_and_parallel_and_a_second_run(operation, dtype):
    number = contract.dimensions(operation)
    threads = kernels.get_num_threads()
    try:
        for shape in (*SHAPES[number], *EMPTY[number], *contract.SHAPES[number]):
            for function, args, knobs, where in cases(operation, shape, dtype):
                serial = call(operation, function, args, knobs, parallel=False)
                same_as(call(operation, function, args, knobs, parallel=False), serial, f"{where}, again")
                same_as(call(operation, function, args, knobs, parallel=None), serial, f"{where}, parallel by size")
                for n in {1, threads}:
                    kernels.set_num_threads(n)
                    same_as(call(operation, function, args, knobs, parallel=True), serial, f"{where}, {n} threads")
    finally:
        kernels.set_num_threads(threads)


@pytest.mark.parametrize("name", (*OPERATIONS, "training"))
def test_digest(name):
    """A failure here is a change of bits. If it is meant, see CONTRIBUTING.md and say so in CHANGELOG.md."""
    found = contract.training_digest() if name == "training" else contract.operation_digest(name)
    assert found == digests.DIGESTS.get(name), f"{name}: see bench/digests.py"


def test_digests_are_printed_or_written(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(contract, "digests", lambda: digests.DIGESTS)
    monkeypatch.setattr(contract, "__file__", str(tmp_path / "contract.py"))
    text = Path(digests.__file__).read_text()
    contract.main([])
    assert capsys.readouterr().out == text and not [*tmp_path.iterdir()]
    contract.main(["--write"])
    assert capsys.readouterr().out == "" and (tmp_path / "digests.py").read_text() == text
    monkeypatch.setattr(contract, "digests", lambda: {"other": ""})
    monkeypatch.setattr("os.fsync", lambda file: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        contract.main(["--write"])
    assert (tmp_path / "digests.py").read_text() == text and len([*tmp_path.iterdir()]) == 1


# what the children run: digests of all operations, and the float32 kernels that compute in double
CHILD = """
import json, os, re
from nnjit import kernels
from nnjit.bench import contract
from nnjit.kernels.core import compile, threads

threads.CORES = 4

def doubles(nest):
    for signature, text in nest.serial.inspect_llvm().items():
        if "float32" in str(signature) and "array(float64" not in str(signature):
            for function in re.split(r"^(?=define )", text, flags=re.M)[1:]:
                if "cpython" not in function.split("(")[0] and "fpext" in function:  # cpython: makes a Python float
                    yield re.search("@([^(]*)", function)[1]

found = {"parallel": contract.digests(parallel=True), "info": kernels.info()}
if os.environ["TEST_SERIAL"] == "yes":
    found["serial"] = contract.digests(parallel=False)
    nests = {f"{name}.{key}": nest for name in contract.operations() for key, nest in
             vars(contract.twins(name)[0]).items() if isinstance(nest, compile.Nest)}
    found["compiled"] = {key: len(nest.serial.signatures) for key, nest in nests.items()}
    found["doubles"] = {key: list(doubles(nest)) for key, nest in nests.items()}
print(json.dumps(found))
"""


def start(folder, serial, **environment):
    """A child that writes what it finds to files in `folder`."""
    environment = {**os.environ, **environment, "TEST_SERIAL": "yes" if serial else "no"}
    with open(folder / "found", "w") as found, open(folder / "errors", "w") as errors:
        return subprocess.Popen([sys.executable, "-c", CHILD], env=environment, stdout=found, stderr=errors)


def result(process, folder):
    assert process.wait(timeout=900) == 0, (folder / "errors").read_text()
    return json.loads((folder / "found").read_text())


@pytest.mark.parametrize("threads", (3, 4))
def test_digests_on_more_threads_than_cores(threads, tmp_path):
    found = result(start(tmp_path, False, NUMBA_NUM_THREADS=str(threads), NNJIT_NUM_THREADS=str(threads)), tmp_path)
    assert found["info"]["threads"] == f"{threads} of {threads}"
    assert found["parallel"] == digests.DIGESTS


def numpy_features():
    """The CPU features that NumPy chooses its own loops by, as text: without them it takes plain ones."""
    from numpy._core import _multiarray_umath as core
    return " ".join(name for name in core.__cpu_dispatch__ if core.__cpu_features__.get(name))


NEEDS = {"haswell": ("avx2", "fma", "bmi2")}
WIDTHS = {"haswell": "256 bits"}


def missing(cpu):
    """The features that this machine lacks to run code for another CPU."""
    features = llvmlite.binding.get_host_cpu_features()
    return [name for name in NEEDS[cpu] if not features.get(name)]


@pytest.fixture(scope="session")
def compiled_for(tmp_path_factory):
    """What children compile and compute for other CPUs, all at the same time; NumPy gets another CPU, too."""
    folders = {cpu: tmp_path_factory.mktemp(cpu) for cpu in NEEDS if not missing(cpu)}
    children = {cpu: start(folder, True, NUMBA_CPU_NAME=cpu, NUMBA_CPU_FEATURES="", OPENBLAS_CORETYPE="Nehalem",
                           NPY_DISABLE_CPU_FEATURES=numpy_features(), NNJIT_CACHE_DIR=str(folder))
                for cpu, folder in folders.items()}
    found = {}

    def get(cpu):
        if cpu not in children:
            pytest.skip(f"this CPU has no {', '.join(missing(cpu))}")
        if cpu not in found:
            found[cpu] = result(children[cpu], folders[cpu])
        return found[cpu]

    yield get
    for child in children.values():
        child.kill()
        child.wait()


@pytest.mark.parametrize("cpu", NEEDS)
def test_digests_of_code_for_another_cpu(compiled_for, cpu):
    found = compiled_for(cpu)
    assert found["info"]["cpu"] == cpu and found["info"]["vector registers"] == WIDTHS[cpu]
    assert found["serial"] == digests.DIGESTS
    assert found["parallel"] == digests.DIGESTS


# the CPUs where only a few operations are compiled in every run: (needs, features, vector registers, fma)
# x86-64-v2 has no FMA: libm's counts, in software. Of znver4, sse4a is not needed, and Intel's CPUs lack it.
OTHERS = {"skylake-avx512": (("avx512f", "avx512bw", "avx512dq", "avx512vl"), "", "512 bits", "yes"),
          "x86-64-v2": (("sse4.2", "popcnt"), "", "128 bits", "no"),
          "znver4": (("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512bf16", "avx512vbmi2", "avx512vnni",
                      "avx512vpopcntdq", "avx512bitalg", "gfni", "vaes", "vpclmulqdq"), "-sse4a", "512 bits", "yes")}
CHEAP = [name for name in OPERATIONS if name not in ("matmul", "dense")]  # 40 s to compile for x86-64-v2

FEWER = """
import json, sys
from nnjit import kernels
from nnjit.bench import contract
found = {name: contract.training_digest() if name == "training" else contract.operation_digest(name)
         for name in sys.argv[1:]}
print(json.dumps({"digests": found, "info": kernels.info()}))
"""


@pytest.mark.parametrize("cpu", OTHERS)
@pytest.mark.parametrize("which", ["few", pytest.param("all", marks=pytest.mark.long)])
def test_digests_of_some_operations_for_another_cpu(cpu, which, tmp_path):
    """Others in each run; a failure shows which."""
    names = random.sample(CHEAP, 4) if which == "few" else [*OPERATIONS, "training"]
    needs, features, width, fma = OTHERS[cpu]
    if llvmlite.binding.get_default_triple().split("-")[0] != "x86_64":
        pytest.skip("needs an x86 CPU")
    host = llvmlite.binding.get_host_cpu_features()
    lacking = [name for name in needs if not host.get(name)]
    if lacking:
        pytest.skip(f"this CPU has no {', '.join(lacking)}")
    environment = {**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features,
                   "NNJIT_CACHE_DIR": str(tmp_path / "cache")}
    child = subprocess.run([sys.executable, "-c", FEWER, *names], env=environment, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    found = json.loads(child.stdout.splitlines()[-1])
    assert (found["info"]["cpu"], found["info"]["vector registers"], found["info"]["fma"]) == (cpu, width, fma)
    assert found["digests"] == {name: digests.DIGESTS[name] for name in names}


def test_float32_kernels_do_not_compute_in_double(compiled_for):
    found = compiled_for("haswell")
    assert set(found["doubles"]) == {name for name, _ in nests()}
    assert min(found["compiled"].values()) >= 2, "a kernel was not compiled for both dtypes"
    # meant to be in float64: a mean's last division, a penalty's last products, a norm's squares
    assert {name for name, functions in found["doubles"].items() if functions} == {
        "mean._mean", "penalty._penalty", "clip_norm._norm"}
    assert len(found["doubles"]["mean._mean"]) == len(found["doubles"]["penalty._penalty"]) == 1


# ---- memory


def memmap(x):
    if not x.size:
        return x
    with tempfile.TemporaryFile() as file:
        view = np.memmap(file, x.dtype, "w+", shape=x.shape)
    view[...] = x
    return view


LAYOUTS = {"fortran": np.asfortranarray, "reversed": reversed_, "sliced": sliced, "unaligned": unaligned,
           "readonly": readonly, "memmap": memmap}


@pytest.mark.parametrize("layout", LAYOUTS)
@each_dtype
@each
def test_any_layout_of_an_argument(operation, dtype, layout):
    for shape in (TYPICAL[contract.dimensions(operation)], *EMPTY[contract.dimensions(operation)]):
        for function, args, knobs, where in cases(operation, shape, dtype):
            expected = call(operation, function, args, knobs)
            for name, x in args.items():
                if in_place(function, name):
                    continue
                view = LAYOUTS[layout](x)
                results = call_as_given(operation, function, {**args, name: view}, knobs)
                same_as(results, expected, f"{where}: {name} {layout}")
                assert_same_bits(view, x, f"{where}: {name} {layout} was changed")


def call_as_given(operation, function, args, knobs, **more):
    """As `call`, but of a step's arguments only those in place are copied."""
    if function != "step":
        return call(operation, function, args, knobs, **more)
    args = {name: x.copy() if in_place(function, name) else x for name, x in args.items()}
    getattr(contract.twins(operation)[0], function)(*args.values(), **knobs, **more)
    return list(args.values())


@each_dtype
@each
def test_broadcast_arguments(operation, dtype):
    for function, args, knobs, where in cases(operation, TYPICAL[contract.dimensions(operation)], dtype):
        for name, x in args.items():
            if not in_place(function, name):
                view = np.broadcast_to(x[:1], x.shape)
                expected = call(operation, function, {**args, name: view.copy()}, knobs)
                results = call_as_given(operation, function, {**args, name: view}, knobs)
                same_as(results, expected, f"{where}: {name}")


@each
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_any_shape_and_strides(operation, data):
    dtype = data.draw(st.sampled_from(DTYPES))
    shape = tuple(data.draw(st.integers(1, 40)) for _ in range(contract.dimensions(operation)))
    for function, args, knobs, where in cases(operation, shape, dtype):
        expected, bounds = oracle(operation, function, args, knobs, dtype)
        results = call(operation, function, args, knobs, parallel=False)
        assert_near(results, expected, bounds, where)
        given_ = {name: x if in_place(function, name) else data.draw(st.sampled_from(list(LAYOUTS.values())))(x)
                  for name, x in args.items()}
        others = call_as_given(operation, function, given_, knobs, parallel=data.draw(st.sampled_from((None, True))))
        same_as(others, results, where)


@each
def test_labels_of_any_integer_kind(operation):
    for function, args, knobs, where in cases(operation, TYPICAL[contract.dimensions(operation)], np.float32):
        labels = args.get("labels")
        if labels is None:
            continue
        expected = call(operation, function, args, knobs)
        for kind in ("i1", "u1", "i2", "i4", "u4", "u8", ">i8", ">i2") if labels.ndim == 1 else ("?", "u1", "i8", "f2"):
            results = call(operation, function, {**args, "labels": labels.astype(kind)}, knobs)
            same_as(results, expected, f"{where}: labels {kind}")


MARGIN = 21  # not a multiple of the lanes: vectors of the results straddle registers


def with_margins(shape, dtype, fill):
    """An array in the middle of a larger one, and the larger one, whose margins hold 12345."""
    size = int(np.prod(shape))
    room = np.full(size + 2 * MARGIN, 12345, dtype)
    room[MARGIN:MARGIN + size] = fill
    return room[MARGIN:MARGIN + size].reshape(shape), room


def assert_margins(room, where):
    assert (room[:MARGIN] == 12345).all() and (room[-MARGIN:] == 12345).all(), f"{where}: written out of bounds"


def outputs(operation, function):
    return "out" in inspect.signature(getattr(contract.twins(operation)[0], function)).parameters


@pytest.mark.parametrize("parallel", (False, True))
@each_dtype
@each
def test_out_is_written_returned_and_not_overrun(operation, dtype, parallel):
    number = contract.dimensions(operation)
    for shape in (*SHAPES[number], *EMPTY[number], *contract.SHAPES[number][-6:]):
        for function, args, knobs, where in cases(operation, shape, dtype):
            expected = call(operation, function, args, knobs)
            run = getattr(contract.twins(operation)[0], function)
            if function == "step":
                places = {name: with_margins(x.shape, dtype, x.ravel()) for name, x in args.items()}
                run(*(x for x, _ in places.values()), **knobs, parallel=parallel)
                same_as([x for x, _ in places.values()], expected, where)
                rooms = [room for _, room in places.values()]
            elif outputs(operation, function):
                given_, rooms = zip(*(with_margins(x.shape, dtype, np.nan) for x in expected))
                out = given_ if len(given_) > 1 else given_[0]
                found = run(*args.values(), **knobs, out=out, parallel=parallel)
                for x, place in zip(found if isinstance(found, tuple) else (found,), given_, strict=True):
                    assert x is place, f"{where}: out is not what is returned"
                same_as(given_, expected, where)
            else:
                continue
            for room in rooms:
                assert_margins(room, where)


def overlapping(x, shift):
    """A copy of x, and an array of its shape `shift` numbers further in the same memory."""
    room = np.empty(x.size + shift, x.dtype)
    copy = room[:x.size].reshape(x.shape)
    copy[...] = x
    return copy, room[shift:].reshape(x.shape)


def right_or_refused(operation, function, args, knobs, expected, number, out, where):
    """The results are as expected with `out` for one of them, or an error names `out`."""
    many = tuple(out if i == number else None for i in range(len(expected)))
    try:
        found = call(operation, function, args, knobs, out=many if len(expected) > 1 else out)
    except ValueError as error:
        assert re.search(r"\bout\b", str(error)), f"{where}: {error}"
    else:
        same_as(found, expected, where)


@each
def test_out_over_an_argument_of_another_size(operation):
    for function, args, knobs, where in cases(operation, (6, 5, 4)[:contract.dimensions(operation)], np.float64):
        if not outputs(operation, function):
            continue
        expected = call(operation, function, args, knobs)
        for number, result in enumerate(expected):
            for name, x in args.items():
                if x.itemsize != result.itemsize or not x.size or x.size == result.size:
                    continue
                room = np.empty(max(x.size, result.size))
                for at in (0, abs(x.size - result.size)):
                    start, out_start = (at, 0) if x.size < result.size else (0, at)
                    copy = room[start:start + x.size].view(x.dtype).reshape(x.shape)
                    copy[...] = x
                    out = room[out_start:out_start + result.size].view(result.dtype).reshape(result.shape)
                    right_or_refused(operation, function, {**args, name: copy}, knobs, expected, number, out,
                                     f"{where}: out {number} over {name}, at {at}")


@each
def test_out_in_the_memory_of_an_argument(operation):
    """Allowed where the result is right, else an error that names `out`."""
    tried = 0
    for function, args, knobs, where in cases(operation, (6, 6, 6)[:contract.dimensions(operation)], np.float64):
        if not outputs(operation, function):
            continue
        expected = call(operation, function, args, knobs)
        for number, result in enumerate(expected):
            for name, x in args.items():
                if x.size != result.size or x.itemsize != result.itemsize:
                    continue
                for shift in (0, 1):
                    copy, out = overlapping(x, shift)
                    out = out.view(result.dtype).reshape(result.shape)
                    out = copy if shift == 0 and copy.shape == out.shape and copy.dtype == out.dtype else out
                    right_or_refused(operation, function, {**args, name: copy}, knobs, expected, number, out,
                                     f"{where}: out {number} over {name}, shifted by {shift}")
                    tried += 1
        if len(expected) > 1:
            for number in range(1, len(expected)):
                for shift in (0, 1):
                    first, second = (x for x in expected[number - 1:number + 1])
                    if first.size < second.size:
                        first, second = second, first
                    room = np.empty(first.size + shift)
                    pair = {id(first): room[:first.size].reshape(first.shape),
                            id(second): room[shift:shift + second.size].reshape(second.shape)}
                    many = tuple(pair.get(id(x)) for x in expected)
                    with pytest.raises(ValueError, match=r"\bout\b"):
                        call(operation, function, args, knobs, out=many)
                    tried += 1
    assert tried or operation == "concatenate" or not any(  # whose output is larger than each argument
        args and outputs(operation, function) for function, args, *_ in
        cases(operation, (6, 6, 6)[:contract.dimensions(operation)], np.float64))


def nests_of(operation):
    module = contract.twins(operation)[0]
    return [nest for nest in vars(module).values() if isinstance(nest, Nest)
            and nest.serial.__module__ == module.__name__]


def changed(variant, values, place):
    """Of the array at this place: what is written, and what of it depends on the values before."""
    after = []
    for fill in (0, 1):
        copies = [value.copy() if isinstance(value, np.ndarray) else value for value in values]
        copies[place][...] = fill
        variant(*copies)
        after.append(copies[place])
    kept = (after[0] == 0) & (after[1] == 1)
    same = (after[0] == after[1]) | (after[0] != after[0]) & (after[1] != after[1])
    return not kept.all(), not (kept | same).all()


@each
def test_nests_write_what_they_say(operation):
    """Recordings rely on it."""
    written, updated, seen = set(), set(), set()
    for shape in contract.SHAPES[contract.dimensions(operation)]:
        for function, args, knobs in contract.cases(operation, shape, np.float64) if math.prod(shape) < 20_000 else ():
            with kernels.capture() as calls:
                call(operation, function, {str(i): x for i, x in enumerate(args)}, knobs, parallel=False)
            for variant, values in calls:
                nest = nest_of(variant)
                for place, (name, x) in enumerate(zip(nest.names, values)):
                    if isinstance(x, np.ndarray) and x.size:
                        writes, reads = changed(variant, values, place)
                        seen.add(nest)
                        written |= {(nest, name)} if writes else set()
                        updated |= {(nest, name)} if writes and reads else set()
    assert {*nests_of(operation)} <= seen
    for nest in seen:
        assert {name for found, name in updated if found is nest} == {*nest.updates}, nest.serial
        assert {name for found, name in written if found is nest} == {*nest.writes, *nest.updates}, nest.serial


# ---- mistakes


def wrong_kinds(x):
    """(what, a wrong stand-in for the float array x)."""
    yield "a list", x.tolist()
    yield "None", None
    yield "a number", 1.5
    yield "a text", "x"
    yield "masked", np.ma.masked_array(x, np.zeros(x.shape, bool))
    yield "other byte order", x.astype(x.dtype.newbyteorder())
    for kind in (np.float16, np.longdouble, np.complex64, np.int64, np.int32, bool, object, "U8", "M8[s]"):
        yield np.dtype(kind).name, np.zeros(x.shape, kind)
    yield "structured", np.zeros(x.shape, [("a", "f4")])


# one-hot labels may be numbers of any real kind; an array of another byte order is converted as well
CONVERTED = {"float16", np.dtype(np.longdouble).name, "int64", "int32", "bool", "other byte order"}


def not_read(operation, function, args, knobs, name):
    """Whether an optional argument makes no difference, as dense's y without an activation."""
    module = contract.twins(operation)[0]
    if inspect.signature(getattr(module, function)).parameters[name].default is inspect.Parameter.empty:
        return False
    try:
        without = call(operation, function, {key: x for key, x in args.items() if key != name}, knobs)
    except ValueError:
        return False
    return all(map(np.array_equal, without, call(operation, function, args, knobs)))


@each_dtype
@each
def test_a_wrong_kind_is_named(operation, dtype):
    for function, args, knobs, where in cases(operation, TYPICAL[contract.dimensions(operation)], dtype):
        run = getattr(contract.twins(operation)[0], function)
        for name, x in floats(args).items():
            if not_read(operation, function, args, knobs, name):
                continue
            for what, wrong in wrong_kinds(x):
                if name == "labels" and what in CONVERTED:
                    run(*{**args, name: wrong}.values(), **knobs)
                    continue
                with pytest.raises(TypeError if name == "labels" or wrong is not None else (TypeError, ValueError),
                                   match=rf"\b{name}\b"):
                    run(*{**args, name: wrong}.values(), **knobs)
            if len(floats(args)) - ("labels" in floats(args)) > 1 and name != "labels":
                other = np.float32 if dtype == np.float64 else np.float64
                with pytest.raises(TypeError, match=r"must be float\d\d as \w+ is, got float\d\d"):
                    run(*{**args, name: x.astype(other)}.values(), **knobs)


@each
def test_a_wrong_shape_is_named(operation):
    """An error in words, or what NumPy computes: never a number from beyond an array."""
    kernel, twin = contract.twins(operation)
    for function, args, knobs, where in cases(operation, TYPICAL[contract.dimensions(operation)], np.float64):
        for name, x in args.items():
            others = {"one more row": np.concatenate([x, x[:1]]), "one row less": x[:-1].copy(),
                      "one row": x[:1].copy(), "no rows": x[:0].copy(), "one dimension more": x[None].copy(),
                      "flat": x.ravel(),
                      "a scalar": x.flat[0].reshape(())}
            if x.ndim > 1:
                others |= {"one more column": np.concatenate([x, x[:, :1]], axis=1), "no columns": x[:, :0].copy(),
                           "one column less": x[:, :-1].copy(), "transposed": x.T.copy()}
            for what, other in others.items():
                if other.shape == x.shape:
                    continue
                changed = {**args, name: other}
                try:
                    found = call(operation, function, changed, knobs)
                except (TypeError, ValueError) as error:
                    # of fewer columns the labels, which are right by themselves, are out of range
                    names = f"{name}|labels must lie in" if "column" in what else name
                    assert re.search(rf"\b({names})\b", str(error)), f"{where}: {name} {what}: {error}"
                else:
                    expected = contract.call(twin, function, [x.copy() for x in changed.values()], knobs)
                    for y, r in zip(found, expected, strict=True):
                        np.testing.assert_allclose(y, r, rtol=1e-9, atol=1e-12, err_msg=f"{where}: {name} {what}")


@each
def test_a_label_out_of_range_is_named(operation):
    for columns in (3, 16, 17, 40):
        shape = (70, columns, columns)[:contract.dimensions(operation)]
        for function, args, knobs, where in cases(operation, shape, np.float32):
            if "labels" not in args or args["labels"].ndim != 1:
                continue
            for label in (columns, -1, columns + 1, 2**31, 2**40, -2**63):
                for at in (0, 5, 69):
                    labels = args["labels"].copy()
                    labels[at] = label
                    with pytest.raises(ValueError, match=rf"labels must lie in 0..{columns - 1}, "
                                                         rf"got {label} at index {at}"):
                        call(operation, function, {**args, "labels": labels}, knobs)
            labels = args["labels"].astype(np.uint64)
            labels[3] = 2**64 - 1  # -1 as int64
            with pytest.raises(ValueError, match="labels must lie in"):
                call(operation, function, {**args, "labels": labels}, knobs)


@each
def test_a_wrong_out_is_named(operation):
    for function, args, knobs, where in cases(operation, TYPICAL[contract.dimensions(operation)], np.float32):
        if not outputs(operation, function):
            continue
        expected = call(operation, function, args, knobs)
        for number, x in enumerate(expected):
            good = np.zeros_like(x)
            strided = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)[..., ::2]
            for wrong, error in ((good.tolist(), TypeError), (good.astype(np.float64), TypeError),
                                 (good.astype(np.int32), TypeError), (good.astype(">f4"), TypeError),
                                 (np.ma.masked_array(good), TypeError), (np.zeros((*x.shape, 1), x.dtype), ValueError),
                                 (good[:-1].copy(), ValueError), (readonly(good), ValueError), (strided, ValueError),
                                 (unaligned(good), ValueError)):
                many = tuple(wrong if i == number else None for i in range(len(expected)))
                with pytest.raises(error, match=r"\bout\b"):
                    call(operation, function, args, knobs, out=many if len(expected) > 1 else wrong)
        if len(expected) > 1:
            for wrong in (expected[0], list(expected), tuple(expected[1:])):
                with pytest.raises(TypeError, match=f"out must be None or a tuple of {len(expected)} arrays"):
                    call(operation, function, args, knobs, out=wrong)


@each
def test_an_array_in_place_must_be_written_where_it_is(operation):
    for function, args, knobs, where in cases(operation, TYPICAL[contract.dimensions(operation)], np.float32):
        run = getattr(contract.twins(operation)[0], function)
        for name in [name for name in args if in_place(function, name)]:
            for layout in (np.asfortranarray, reversed_, sliced, unaligned, readonly):
                with pytest.raises(ValueError, match=rf"{name} must be writeable, aligned and C-contiguous"):
                    run(*{**args, name: layout(args[name])}.values(), **knobs)
            for other in args:
                if other != name:
                    with pytest.raises(ValueError, match=r"\w+ must not share memory with \w+"):
                        run(*{**args, name: args[other]}.values(), **knobs)


# ---- what belongs to all operations


def nests():
    """(name, loop nest) of every operation."""
    for operation in OPERATIONS:
        for name, value in vars(contract.twins(operation)[0]).items():
            if isinstance(value, Nest):
                yield f"{operation}.{name}", value


def test_warm_compiles_in_processes_of_its_own(capsys, monkeypatch):
    monkeypatch.setattr(contract, "operations", lambda: ["relu", "matmul"])
    contract.warm(progress=False)
    assert "2 operations are compiled in " in capsys.readouterr().out


@pytest.mark.parametrize("where", ("file/below", "open to all/below"))
def test_warm_says_at_once_that_nothing_can_be_saved(monkeypatch, tmp_path, where):
    (tmp_path / "file").touch()
    (tmp_path / "open to all" / "below").mkdir(parents=True)
    (tmp_path / "open to all" / "below").chmod(0o777)
    monkeypatch.setenv("NNJIT_CACHE_DIR", str(tmp_path / where))
    monkeypatch.setattr(contract, "compiled", None)
    with (warnings.catch_warnings(action="ignore"),
          pytest.raises(OSError, match=f"nothing can be saved in the cache folder, .*{where}")):
        contract.warm(progress=False)


def test_warm_says_that_nothing_was_saved(monkeypatch, tmp_path):
    """Where the disk filled up meanwhile, say."""
    monkeypatch.setenv("NNJIT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(contract, "operations", lambda: [])
    with pytest.raises(OSError, match="could not be saved in the cache folder"):
        contract.warm(progress=False)


@each
def test_after_warm_nothing_compiles(operation, monkeypatch):
    def kinds(calls):
        # a parallel variant is called through a method of its nest
        calls = [(variant.__self__.threads if isinstance(variant, MethodType) else variant, args)
                 for variant, args in calls]
        return {(variant, tuple(map(variant.typeof_pyval, args))) for variant, args in calls}

    compiled = []
    monkeypatch.setattr(kernels, "Replay", compiled.extend)  # what it takes can be recorded, too
    for dtype in contract.DTYPES:
        contract.compiled(operation, dtype)
    for parallel in (False, True, None):
        with kernels.capture() as calls:
            contract.operation_digest(operation, parallel)
        assert calls and kinds(calls) <= kinds(compiled), f"parallel={parallel}"


def test_two_python_threads_at_once():
    expected = contract.operation_digest("matmul", parallel=True)
    found = []

    def run():
        found.append(contract.operation_digest("matmul", parallel=True))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 3


def test_the_inputs_of_the_digests_are_made_of_integers():
    rng = contract.Exact("")
    rng.state = 1234567  # the known answers of splitmix64
    words = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    assert [int(word) for word in (*rng._words((2,)), *rng._words(3))] == words

    def again():
        rng.state = 1234567
        return rng

    # from there only exact operations: a shift, a product with a power of two, a difference
    assert [float(x) for x in again().random((5,))] == [(word >> 11) * 2.0**-53 for word in words]
    assert [float(x) for x in again().standard_normal(5)] == [4 * ((word >> 11) * 2.0**-53) - 2 for word in words]
    assert [int(x) for x in again().integers(3, 13, 5)] == [3 + word % 10 for word in words]


def test_digests_see_every_bit():
    def digest(*arrays):
        state = hashlib.sha256()
        contract.feed(state, arrays)
        return state.hexdigest()

    x = np.arange(6, dtype=np.float32)
    y = x.copy()
    y[3] = np.nextafter(y[3], np.float32(9))
    negative = np.array([0x7FC00000, 0xFFC00001], np.uint32).view(np.float32)
    assert len({digest(x), digest(y), digest(x.reshape(2, 3)), digest(x.astype(float)), digest(-x * 0)}) == 5
    assert digest(negative[:1]) == digest(negative[1:])
    assert digest(x) == digest(x.astype(">f4")) == digest(np.repeat(x, 2)[::2])

"""The bits that `nnjit.kernels` promises, for every operation: the same on any number of threads and on any CPU."""

import hashlib
import json
import math
import os
import random
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from types import MethodType

import llvmlite.binding
import numpy as np
import pytest
import sampling
from operations import OPERATIONS, call, cases, each, each_dtype, same_as

from nnjit import kernels
from nnjit.bench import contract, digests
from nnjit.bench.exact import Exact, feed
from nnjit.bench.trainings import TRAININGS
from nnjit.kernels.core.compile import Nest, nest_of


@each_dtype
@each
def test_serial_and_parallel_and_a_second_run(operation, dtype):
    threads = kernels.get_num_threads()
    try:
        for shape in contract.shapes(operation):
            for function, args, options, where in cases(operation, shape, dtype):
                serial = call(operation, function, args, options, parallel=False)
                same_as(call(operation, function, args, options, parallel=False), serial, f"{where}, again")
                same_as(call(operation, function, args, options, parallel=None), serial, f"{where}, parallel by size")
                for n in {1, threads}:
                    kernels.set_num_threads(n)
                    same_as(call(operation, function, args, options, parallel=True), serial, f"{where}, {n} threads")
    finally:
        kernels.set_num_threads(threads)


# flat arrays are enough where any shape will do
FLAT = [name for name in OPERATIONS if contract.dimensions(name) > len(contract.twins(name)[1].SHAPES[0])]


@each_dtype
@pytest.mark.parametrize("operation", FLAT)
def test_an_element_does_not_depend_on_its_place(operation, dtype):
    """But random numbers do, and so does the order of sums: counts and norms."""
    tried = 0
    for shape in contract.twins(operation)[1].SHAPES:
        for function, args, options, where in cases(operation, shape, dtype):
            results = call(operation, function, args, options)
            if (any(x.shape != shape for x in results) or "seed" in options
                    or "max_norm" in options and "norm" not in options):
                continue
            for shift in (1, 7):
                rolled = call(operation, function, {name: np.roll(x, shift) for name, x in args.items()}, options)
                same_as(rolled, [np.roll(x, shift) for x in results], f"{where}, {shift} further")
            tried += 1
    assert tried or operation in ("binary_accuracy", "normal", "regression_accuracy")


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
        listed = contract.cases(operation, shape, np.float64) if math.prod(shape) < 20_000 else ()
        for function, args, options in listed:
            with kernels.capture() as calls:
                call(operation, function, {str(i): x for i, x in enumerate(args)}, options, parallel=False)
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


# ---- digests


@pytest.mark.parametrize("name", (*OPERATIONS, *TRAININGS))
def test_digest(name):
    """A failure here is a change of bits. If it is meant, see CONTRIBUTING.md and say so in CHANGELOG.md."""
    assert contract.digest(name) == digests.DIGESTS.get(name), f"{name}: see bench/digests.py"


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


def test_the_inputs_of_the_digests_are_made_of_integers():
    rng = Exact("")
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
        feed(state, arrays)
        return state.hexdigest()

    x = np.arange(6, dtype=np.float32)
    y = x.copy()
    y[3] = np.nextafter(y[3], np.float32(9))
    negative = np.array([0x7FC00000, 0xFFC00001], np.uint32).view(np.float32)
    assert len({digest(x), digest(y), digest(x.reshape(2, 3)), digest(x.astype(float)), digest(-x * 0)}) == 5
    assert digest(negative[:1]) == digest(negative[1:])
    assert digest(x) == digest(x.astype(">f4")) == digest(np.repeat(x, 2)[::2])


# ---- digests of other processes


# what the children run: digests of some operations, and their float32 kernels that compute in double
CHILD = """
import json, os, re, sys
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

def digests(parallel):
    return {name: contract.digest(name, parallel) for name in sys.argv[1:]}

found = {"parallel": digests(True), "info": kernels.info()}
if os.environ["TEST_SERIAL"] == "yes":
    found["serial"] = digests(False)
    nests = {f"{name}.{key}": nest for name in sys.argv[1:] if name in kernels.OPERATIONS for key, nest in
             vars(contract.twins(name)[0]).items() if isinstance(nest, compile.Nest)}
    found["compiled"] = {key: len(nest.serial.signatures) for key, nest in nests.items()}
    found["doubles"] = {key: list(doubles(nest)) for key, nest in nests.items()}
print(json.dumps(found))
"""


def start(folder, serial, names, **environment):
    """A child that writes what it finds to files in `folder`."""
    environment = {**os.environ, **environment, "TEST_SERIAL": "yes" if serial else "no"}
    with open(folder / "found", "w") as found, open(folder / "errors", "w") as errors:
        return subprocess.Popen([sys.executable, "-c", CHILD, *names], env=environment, stdout=found, stderr=errors)


def result(process, folder):
    assert process.wait(timeout=900) == 0, (folder / "errors").read_text()
    return json.loads((folder / "found").read_text())


@pytest.mark.sample(1)
@pytest.mark.parametrize("threads", (3, 4))
def test_digests_on_more_threads_than_cores(threads, tmp_path, pytestconfig):
    names = [*sampling.some(pytestconfig, OPERATIONS, sampling.OPERATIONS), *TRAININGS]
    found = result(start(tmp_path, False, names, NUMBA_NUM_THREADS=str(threads), NNJIT_NUM_THREADS=str(threads)),
                   tmp_path)
    assert found["info"]["threads"] == f"{threads} of {threads}"
    assert found["parallel"] == {name: digests.DIGESTS[name] for name in names}


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
def compiled_for(tmp_path_factory, pytestconfig):
    """What children compile and compute for other CPUs, all at the same time; NumPy gets another CPU, too.

    In a sample some of the operations: to compile all takes four minutes.
    """
    names = sampling.some(pytestconfig, (*OPERATIONS, "training"), 4)
    if len(names) > 4:  # all: those of images compile convolutions, for a minute
        names = [*OPERATIONS, *TRAININGS]
    folders = {cpu: tmp_path_factory.mktemp(cpu) for cpu in NEEDS if not missing(cpu)}
    children = {cpu: start(folder, True, names, NUMBA_CPU_NAME=cpu, NUMBA_CPU_FEATURES="", OPENBLAS_CORETYPE="Nehalem",
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
    assert found["serial"] == {name: digests.DIGESTS[name] for name in found["serial"]}
    assert found["parallel"] == found["serial"]


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
found = {name: contract.digest(name) for name in sys.argv[1:]}
print(json.dumps({"digests": found, "info": kernels.info()}))
"""


@pytest.mark.sample(1)
@pytest.mark.parametrize("cpu", OTHERS)
@pytest.mark.parametrize("which", ["few", pytest.param("all", marks=pytest.mark.long)])
def test_digests_of_some_operations_for_another_cpu(cpu, which, tmp_path, pytestconfig):
    """Others in each run; a failure shows which."""
    draw = random.Random(pytestconfig.option.sample_seed)
    names = draw.sample(CHEAP, 2) if which == "few" else [*OPERATIONS, *TRAININGS]
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


def nests():
    """(name, loop nest) of every operation."""
    for operation in OPERATIONS:
        for name, value in vars(contract.twins(operation)[0]).items():
            if isinstance(value, Nest):
                yield f"{operation}.{name}", value


def test_float32_kernels_do_not_compute_in_double(compiled_for):
    found = compiled_for("haswell")
    assert set(found["doubles"]) == {name for name, _ in nests() if name.split(".")[0] in found["serial"]}
    assert min(found["compiled"].values()) >= 2, "a kernel was not compiled for both dtypes"
    # meant to be in float64: a mean's last division, a penalty's last products, a norm's squares
    known = {"mean._mean": 1, "penalty._penalty": 1, "clip_norm._norm": None}
    for name, functions in found["doubles"].items():
        assert bool(functions) == (name in known), name
        assert known.get(name) in (None, len(functions)), name

# ---- compiling


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

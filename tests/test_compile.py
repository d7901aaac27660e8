"""Compilation, threads and fork, mostly in child processes: a process decides about them only once."""

import ast
import os
import signal
import threading

import numba
import numpy as np
import pytest
from probed import NO_HOME, PACKAGE, PRELUDE, RIGHT, THREADS, child

from nnjit import kernels
from nnjit.kernels import relu, softmax
from nnjit.kernels.core import capture, compile, threads
from nnjit.kernels.core.signals import Postponed

SOURCES = sorted(path for folder in ("kernels", "kernels/core") for path in (PACKAGE / folder).glob("*.py"))


def test_what_kernels_call_is_not_called_from_python():
    x = np.ones(20, np.float32)
    relu.forward(x)
    for function in (relu._forward_block, softmax._forward_block):
        with pytest.raises(TypeError, match="_forward_block can be called by kernels only"):
            function(x, x, 0, 4)


def test_what_python_calls_is_not_called_by_compiled_code():
    nest = relu._forward_blocks.serial

    @numba.njit
    def caller(x):
        nest(x, x)

    with pytest.raises(TypeError, match="_forward_blocks.serial can't be called by compiled code"):
        caller(np.ones(20, np.float32))


def test_what_kernels_call_is_compiled_as_part_of_its_callers_only(copied, tmp_path):
    code = """
from numba import njit, prange
from numba.core.registry import cpu_target

@njit(parallel=True)
def doubled(x):
    for i in prange(x.size):
        x[i] *= 2
    return x

ran = work()
x = np.ones(4)
for variant in (probe.add.serial, probe.add.parallel):
    variant(x)
alone = [each.library.get_pointer_to_function(each.fndesc.llvm_func_name)
         for each in probe.plus.overloads.values()]
report(ids=ran, alone=alone, x=x.tolist(), patched="create_library" in vars(cpu_target.target_context.codegen()),
       users=doubled(np.ones(3)).tolist())
"""
    found = child(copied, tmp_path, code)  # what is loaded from a cache includes nothing
    assert found["ids"] == RIGHT and {*found["alone"]} == {0}
    assert found["x"] == [3, 3, 3, 3] and found["users"] == [2, 2, 2] and not found["patched"]


def test_an_error_in_code_that_a_kernel_includes(copied):
    code = """
from nnjit.kernels.core.compile import inline, loops

@inline
def refuse(x, i):
    if x[i] < 0:
        raise ValueError("negative", 1)

@loops
def checked(x):
    for i in range(x.size):
        refuse(x, i)

def error(variant):
    try:
        variant(np.array([1.0, -1.0]))
    except ValueError as error:
        return [str(each) for each in error.args]

report(errors=[error(checked.serial), error(checked.threads)])
"""
    assert child(copied, "", code)["errors"] == [["negative", "1"]] * 2


def test_info_without_a_home_folder(copied):
    found = child(copied, "", "report(info=info.info())", NO_HOME + PRELUDE)
    assert found["info"]["cpu"] and "cache folder" in found["info"]


# ---- options


def nests():
    modules = [getattr(kernels, name) for name in kernels.__all__]
    return {f"{module.__name__}.{name}": nest for module in modules for name, nest in vars(module).items()
            if isinstance(nest, compile.Nest)}


def test_options_of_every_kernel():
    assert len(nests()) > 10
    for name, nest in nests().items():
        for variant, parallel in ((nest.serial, None), (nest.threads, True)):
            options = variant.targetoptions
            assert options["nogil"] is True, name
            assert not options.get("fastmath") and options["error_model"] == "numpy", name
            assert options.get("parallel") is parallel, name


def test_no_kernel_uses_what_nnfs_replaces():
    """nnfs.init() replaces these for the whole process; what is compiled afterwards would see the replacements."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.MatMult), f"{path.name}: @"
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("dot", "zeros", "eye", "randn", "random"), f"{path.name}:{node.lineno}"


@pytest.mark.sample(1)
@pytest.mark.parametrize("code", [
    "import nnfs; nnfs.init(); from nnjit.kernels import softmax",
    "from nnjit.kernels import softmax; import nnfs; nnfs.init()",
    "from nnjit.kernels import softmax; softmax.forward(x); import nnfs; nnfs.init()",
])
def test_nnfs_init_changes_nothing(copied, tmp_path, code):
    """Before the import, before the first compilation, and between that and the next."""
    prelude = "import json, numpy as np; x = np.linspace(-3, 3, 600, dtype='f4').reshape(20, 30)\n" + code
    found = child(copied, tmp_path, """
        assert np.zeros(1).dtype == np.float32
        y = softmax.forward(x.astype("f8"))
        print(json.dumps(y.dtype.name + y.tobytes().hex()))
    """, prelude)
    expected = softmax.forward(np.linspace(-3, 3, 600, dtype=np.float32).reshape(20, 30).astype(np.float64))
    assert found == "float64" + expected.tobytes().hex()


def test_import_compiles_nothing(copied, tmp_path):
    found = child(copied, tmp_path, """
        import json, threading
        from numba.core import event
        with event.install_recorder("numba:compile") as recorder:
            from nnjit import kernels
            threads = threading.active_count()
            at_import = len(recorder.buffer)
            kernels.relu.forward(kernels.core.check.np.ones(3))
        print(json.dumps([at_import, len(recorder.buffer) > 0, threads]))
    """, prelude="")
    assert found == [0, True, 1]


def test_disabled_jit(copied, filled):
    found = child(copied, filled, """
        import json
        try:
            import nnjit.kernels
        except ImportError as error:
            print(json.dumps(str(error)))
    """, prelude="", NUMBA_DISABLE_JIT="1")
    assert found == "nnjit's kernels are compiled code: unset NUMBA_DISABLE_JIT to use them"


# ---- capture


class Nest:
    def serial(self, *args):
        return "serial", args

    def parallel(self, *args):
        return "parallel", args


def test_capture_notes_the_calls_of_this_thread():
    nest, found = Nest(), []
    with capture.capture() as calls:
        other = threading.Thread(target=lambda: found.append(compile.pick(nest, True, False)("other")))
        other.start()
        other.join()
        found += [compile.pick(nest, True, False)(1, 2), compile.pick(nest, True, True)(3)]
    found.append(compile.pick(nest, True, False)("after"))
    assert found == [("serial", ("other",)), ("serial", (1, 2)), ("parallel", (3,)), ("serial", ("after",))]
    assert [args for _, args in calls] == [[1, 2], [3]]
    assert [again(*args) for again, args in tuple(calls)] == found[1:3]
    assert len(calls) == 2  # to do them again notes nothing


def test_capture_in_a_capture():
    nest = Nest()
    with capture.capture() as outer:
        compile.pick(nest, True, True)(1)
        with capture.capture() as inner:
            compile.pick(nest, True, True)(2)
        compile.pick(nest, True, True)(3)
    assert [args for _, args in inner] == [[2]] and [args for _, args in outer] == [[1], [3]]
    assert not capture._captures


def test_capture_ends_with_an_error():
    with pytest.raises(KeyError), capture.capture() as calls:
        raise KeyError
    compile.pick(Nest(), True, False)(1)
    assert calls == [] and not capture._captures


# ---- code that comes in while a kernel is compiled or loaded

# It comes in where LLVM calls Python, where compiled code is read and kept, and at other points of Numba's compiler.
COMING_IN = """
import contextlib, gc, signal
import numba
from pathlib import Path
from nnjit.kernels import elu, gelu, leaky_relu, relu, silu, softplus

POINTS = {"_object_compiled_hook", "_object_getbuffer_hook", "add_overload", "_rebuild", "save_overload", "finalize",
          "add_linking_library", "run_pass", "insert_user_function", "lower", "refresh"}
X = np.linspace(-2, 2, 50, dtype=np.float32)
came = []

def at_points(do, most=12):
    "Call `do` at the first calls of each point, and some later ones."
    seen = {}
    def profile(frame, event, argument):
        name = frame.f_code.co_name
        if event == "call" and name in POINTS and frame.f_globals["__name__"].startswith(("numba.", "nnjit.")):
            seen[name] = seen.get(name, 0) + 1
            if seen[name] in (1, 2, 5, 40) and len(came) < most:
                sys.setprofile(None)
                came.append(name)
                try:
                    do()
                finally:
                    sys.setprofile(profile)
    return profile

@contextlib.contextmanager
def coming_in(do, most=12):
    sys.setprofile(at_points(do, most))
    try:
        yield
    finally:
        sys.setprofile(None)

def inside():
    "Whether the caller interrupts Numba."
    frame = sys._getframe()
    while frame and not frame.f_globals["__name__"].startswith("numba."):
        frame = frame.f_back
    return frame is not None

def digest(y):
    return hashlib.sha256(y).hexdigest()

def left():
    return [path.name for path in Path(os.environ["NNJIT_CACHE_DIR"]).rglob("*.tmp")]
"""


def test_a_signals_handler_that_needs_another_kernel(copied, tmp_path):
    """It would enter LLVM where that calls Python: with an empty cache, then with a full one."""
    for _ in range(2):
        found = child(copied, tmp_path, """
            others, handled, found = [elu, gelu, relu], [], []
            def handle(*_):
                number = len(handled)
                handled.append(None)  # it is interrupted, too
                handled[number] = [inside(), digest(others[number % 3].forward(X))]
            signal.signal(signal.SIGTERM, handle)
            work = [(leaky_relu, X), (leaky_relu, X.astype("f8")), (silu, X)]
            for kernel, x in work:
                came.clear()
                with coming_in(lambda: signal.raise_signal(signal.SIGTERM)):
                    found.append(digest(kernel.forward(x)))
                assert len(came) > 3
            right = [[False, digest(others[number % 3].forward(X))] for number in range(len(handled))]
            report(handled=len(handled) >= 3 and handled == right,
                   found=found == [digest(kernel.forward(x)) for kernel, x in work],
                   handler=signal.getsignal(signal.SIGTERM) is handle)
        """, PRELUDE + COMING_IN)
        assert found == {"handled": True, "found": True, "handler": True}


def test_ctrl_c_while_a_kernel_is_compiled_or_loaded(copied, tmp_path):
    """It ends the call, not the compilation: what is half registered would be wrong for ever."""
    expected = relu.forward(np.linspace(-2, 2, 50, dtype=np.float32)).tobytes()
    for _ in range(2):
        found = child(copied, tmp_path, """
            interrupted = []
            for number in range(4):
                came.clear()
                kernel, x = (relu, gelu)[number % 2], X.astype(("f4", "f8")[number // 2 % 2])
                with coming_in(lambda: signal.raise_signal(signal.SIGINT), 3 * number + 1):
                    try:
                        kernel.forward(x)
                    except KeyboardInterrupt:
                        interrupted.append(inside())
            with numba.core.event.install_recorder("numba:compile") as recorder:
                y = relu.forward(X)
            report(interrupted=interrupted, y=y.tobytes().hex(), compiled=len(recorder.buffer), left=left(),
                   locked=signals.global_compiler_lock.is_locked(),
                   handler=signal.getsignal(signal.SIGINT) is signal.default_int_handler)
        """, PRELUDE + COMING_IN)
        assert found == {"interrupted": [False] * 4, "y": expected.hex(), "compiled": 0, "left": [], "locked": False,
                         "handler": True}


@pytest.mark.sample(1)
@pytest.mark.parametrize("who", ["a function that traces", "a callback of the garbage collector",
                                 "a handler in a compilation of the user's own"])
def test_who_comes_in_otherwise_is_told(copied, tmp_path, who):
    found = child(copied, tmp_path, f"""
        who, errors = "{who}", set()
        softplus.forward(X)
        def other(*_):
            assert inside()
            assert softplus.forward(X).size == 50  # loaded
            assert softplus.forward(X, parallel=True).size == 50  # serially: no threads are started now
            try:
                relu.forward(X)
            except RuntimeError as error:
                errors.add(str(error))
        if "garbage" in who:
            gc.callbacks.append(other)
            do = gc.collect
        elif "handler" in who:
            signal.signal(signal.SIGTERM, other)
            do = lambda: signal.raise_signal(signal.SIGTERM)
        else:
            do = other
        with coming_in(do):
            if "own" in who:
                numba.njit(lambda x: x + 1)(1)
            else:
                first = tanh.forward(X)
        gc.callbacks.clear()
        same = "own" in who or first.tobytes() == tanh.forward(X).tobytes()
        report(errors=sorted(errors), same=same, many=len(came) > 3, after=relu.forward(X).size,
               layer=info.info()["threading layer"])
    """, PRELUDE + COMING_IN)
    (error,) = found.pop("errors")
    assert error.startswith("a kernel can't be compiled or loaded by code that interrupts the compilation of another ")
    assert found == {"same": True, "many": True, "after": 50, "layer": "not started"}


def test_a_handler_that_is_postponed():
    """All of them run once in the end, whatever one raises, and are back before."""
    ran, numbers = [], (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)

    def handle(number, frame):
        ran.append((number, [signal.getsignal(each) is handle for each in numbers]))
        raise KeyError(number)

    former = {number: signal.signal(number, handle) for number in numbers}
    try:
        with Postponed() as waiting:
            for number in numbers * 2:
                signal.raise_signal(number)
            assert not ran
        assert not ran and all(signal.getsignal(number) is handle for number in numbers)
        with pytest.raises(KeyError):
            waiting.deliver()
        assert sorted(ran) == sorted((number, [True] * 3) for number in numbers)
        waiting.deliver()
        assert len(ran) == 3
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


# ---- threads


def test_threads_start_with_the_first_parallel_call(copied, filled):
    found = child(copied, filled, """
        import nnjit.kernels
        def state():
            return [len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0,
                    info.info()["threading layer"]]
        at_import = state()
        bits(False), tanh.forward(X[:10])
        threads.set_num_threads(1)
        tanh.forward(np.tile(X, 20))  # large, but nobody wants threads
        serial = state()
        threads.set_num_threads(4)
        bits(True)
        report(at_import=at_import, serial=serial, parallel=state())
    """)
    # with SciPy installed, Numba's first call loads SciPy's BLAS, which starts a thread of its own
    assert found["at_import"][1] == found["serial"][1] == "not started"
    assert found["parallel"][1] in ("tbb", "omp", "workqueue")
    if found["serial"][0]:
        assert found["parallel"][0] > found["serial"][0]


@pytest.mark.sample(1)
@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_layer_is_the_users(copied, filled, layer):
    if layer == "omp":
        pytest.importorskip("numba.np.ufunc.omppool", reason="no OpenMP library here", exc_type=ImportError)
    code = "report(bits=bits(True), layer=info.info()['threading layer'], ids=ids(probe.who.parallel))"
    by_environment = child(copied, filled, code, NUMBA_THREADING_LAYER=layer)
    launched = f"""
        import numba
        numba.config.THREADING_LAYER = "{layer}"
        @numba.njit(parallel=True)
        def users(x):
            for i in numba.prange(x.size):
                x[i] += 1
        users(X.copy())
        assert numba.threading_layer() == "{layer}"
        numba.config.THREADING_LAYER = "default"
        {code}
    """
    expected = {"bits": (filled / "bits").read_text(), "layer": layer, "ids": [0, 1, 2, 3]}
    assert by_environment == child(copied, filled, launched) == expected


@pytest.mark.sample(1)
@pytest.mark.parametrize("launched", [False, True])
def test_python_threads_under_workqueue(copied, filled, launched):
    """Two threads inside abort the process: once the layer runs, and when both come first."""
    found = child(copied, filled, f"""
        if {launched}:
            bits(True)
        found, barrier = [], threading.Barrier(3)
        def run():
            barrier.wait()
            found.append({{bits(True) for _ in range(150)}})
        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        report(bits=sorted(set.union(*found)), count=len(found))
    """, NUMBA_THREADING_LAYER="workqueue")
    assert found == {"bits": [(filled / "bits").read_text()], "count": 3}


def test_signal_handler_may_compute_under_workqueue(copied, filled):
    """It runs in the thread that it interrupts, which may hold the lock."""
    found = child(copied, filled, """
        bits(True)
        with threads._lock:
            report(bits=bits(True))
    """, NUMBA_THREADING_LAYER="workqueue")
    assert found == {"bits": (filled / "bits").read_text()}


def test_kernels_release_the_gil(copied, filled):
    """Else no other Python thread could see what a kernel has half done."""
    found = child(copied, filled, """
        probe.slow.serial.compile("void(f8[::1])")
        x, seen = np.zeros(2), set()
        thread = threading.Thread(target=probe.slow.serial, args=(x,))
        thread.start()
        while thread.is_alive():
            seen.add(x[0])
        report(between=len(seen - {0, 50_000_000}), sum=x.sum())
    """)
    assert found["between"] > 0 and found["sum"] == 100_000_000


def test_two_threads_launch_once(monkeypatch):
    """Each would make its own lock otherwise, or remove the other's variable."""
    launches, inside = [], threading.Event()

    def launch():
        launches.append(threading.get_ident())
        inside.wait(0.2)  # time for the other to come in

    monkeypatch.setattr(threads, "_launched", False)
    monkeypatch.setattr(threads, "_lock", None)
    monkeypatch.setattr(threads.pool, "_launch_threads", launch)
    both = [threading.Thread(target=threads._launch) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(launches) == 1


@pytest.mark.sample(1)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("how", ["fork", "multiprocessing"])
@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_forked_children_compute_serially(copied, filled, layer, how):
    """libgomp kills such a child, hangs or leaves the result unwritten; a child's child is no better."""
    found = child(copied, filled, f"""
        import multiprocessing, tempfile
        context = multiprocessing.get_context("fork")
        file = tempfile.TemporaryFile("w+")
        probe.add.serial, probe.add.threads = (lambda x: "serial"), (lambda x: "parallel")
        with capture.capture() as calls:
            assert compile.pick(probe.add, True, True)(X) == "parallel"
        def variant():
            (again, args), = calls
            return [compile.pick(probe.add, True, True)(X), again(*args)]
        def descend(depth):
            file.write(json.dumps([depth, bits(True), bits(None), variant()]))
            file.write("\\n")
            file.flush()
            if depth < 2:
                spawn(depth + 1)
        def spawn(depth):
            if "{how}" == "fork":
                process = os.fork()
                if process == 0:
                    descend(depth)
                    os._exit(0)
                assert os.waitpid(process, 0)[1] == 0
            else:
                process = context.Process(target=descend, args=(depth,))
                process.start()
                process.join()
                assert process.exitcode == 0
        before = bits(True)
        spawn(1)
        after = bits(True)
        file.seek(0)
        children = [json.loads(line) for line in file]
        file.close()
        report(parent=[before, after], children=children, still=variant())
    """, NUMBA_THREADING_LAYER=layer)
    right = (filled / "bits").read_text()
    assert found == {"parent": [right] * 2, "children": [[depth, right, right, ["serial"] * 2] for depth in (1, 2)],
                     "still": ["parallel"] * 2}


def test_no_more_threads_than_cores(copied, filled):
    found = child(copied, filled, """
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        threads.CORES = 2
        report(ids=ids(probe.who.parallel), may=threads.get_num_threads(), uses=threads.team(), cores=cores)
    """)
    assert found == {"ids": [0, 1], "may": THREADS, "uses": 2, "cores": threads.CORES}


def test_number_of_threads(copied, filled):
    found = child(copied, filled, """
        import numba
        found = {}
        for n in (1, 2, 4, np.int64(3)):
            threads.set_num_threads(n)
            found[str(n)] = [threads.get_num_threads(), len(ids(probe.who.parallel)), numba.get_num_threads()]
        numba.set_num_threads(2)  # the user's own
        threads.set_num_threads(3)
        try:
            probe.who.parallel("no array")
        except numba.TypingError:
            found["error"] = numba.get_num_threads()
        found["mask"] = [len(ids(probe.who.parallel)), numba.get_num_threads()]
        report(**found)
    """)
    assert found == {"1": [1, 1, 4], "2": [2, 2, 4], "4": [4, 4, 4], "3": [3, 3, 4], "error": 2, "mask": [3, 2]}


@pytest.mark.parametrize("n, error", [
    (0, "ValueError: the number of threads must lie in 1..4, got 0 (set NUMBA_NUM_THREADS before the start for more)"),
    (-1, "ValueError: the number of threads must lie in 1..4, got -1"),
    (5, "ValueError: the number of threads must lie in 1..4, got 5"),
    (2.0, "TypeError: the number of threads must be an int, got float"),
    (True, "TypeError: the number of threads must be an int, got bool"),
    ("2", "TypeError: the number of threads must be an int, got str"),
    (None, "TypeError: the number of threads must be an int, got NoneType"),
])
def test_wrong_number_of_threads(monkeypatch, n, error):
    monkeypatch.setattr(threads.pool, "NUM_THREADS", 4)
    before = threads.get_num_threads()
    with pytest.raises((TypeError, ValueError)) as found:
        threads.set_num_threads(n)
    assert f"{found.type.__name__}: {found.value}".startswith(error)
    assert threads.get_num_threads() == before


@pytest.mark.parametrize("wish", ["0", "5", "-1", "two", "1.5", " "])
def test_wrong_threads_in_the_environment(monkeypatch, wish):
    monkeypatch.setattr(threads.pool, "NUM_THREADS", 4)
    monkeypatch.setenv("NNJIT_NUM_THREADS", wish)
    with pytest.raises(ValueError, match=f"NNJIT_NUM_THREADS must be a whole number in 1..4, got {wish!r}"):
        threads._threads_at_start()


def test_threads_in_the_environment(copied, filled):
    code = "report(threads=[threads.get_num_threads(), len(ids(probe.who.parallel))])"
    assert child(copied, filled, code, NNJIT_NUM_THREADS="3") == {"threads": [3, 3]}
    assert child(copied, filled, code, NNJIT_NUM_THREADS="") == {"threads": [4, 4]}


@pytest.mark.sample(1)
@pytest.mark.parametrize("settings, during", [
    ({}, threads.SPIN_COUNT), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None),
])
def test_environment_around_the_launch(copied, filled, settings, during):
    found = child(copied, filled, """
        before, launch, seen = dict(os.environ), threads.pool._launch_threads, []
        def recorded():
            seen.append(os.environ.get("GOMP_SPINCOUNT"))
            launch()
        threads.pool._launch_threads = recorded
        right = bits(True)
        report(seen=seen[0], same=before == dict(os.environ), bits=right)
    """, **settings)
    assert found == {"seen": during, "same": True, "bits": (filled / "bits").read_text()}

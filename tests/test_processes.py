"""Processes that a process starts after its kernels ran on threads: what they compute, and that they come to an end."""

import os
import textwrap

import children
import pytest
from optional import needs

pytestmark = [pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"), pytest.mark.sample(1)]
METHODS = ("fork", "spawn", "forkserver")

# A script, since other processes than forked ones import it. `work` is done by parents and children alike.
SCRIPT = """
import hashlib, json, multiprocessing, os, signal, sys, threading, time
import numpy as np
from nnjit import kernels, nn
from nnjit.kernels.core import capture

random = np.random.default_rng(0)
A, B = random.random((2, 128, 128), np.float32)
X, Y = random.random((300, 64), np.float32), random.integers(0, 5, 300)


def network(seed):
    model = nn.Model()
    for part in (nn.Dense(64, 64, activation="relu", rng=seed), nn.Dense(64, 5, rng=seed + 1), nn.Softmax()):
        model.add(part)
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.01))
    model.finalize()
    return model


def work(seed, parallel=True):
    "The digest of a product, and of a training with its predictions."
    model = network(seed)
    model.train(X, Y, epochs=4, batch_size=150)
    found = [kernels.matmul.forward(A, B, parallel=parallel), kernels.tanh.forward(A * seed, parallel=parallel),
             *[part for pair in model.get_parameters() for part in pair], *[model.predict(X[:3]) for _ in range(3)]]
    return hashlib.sha256(b"".join(each.tobytes() for each in found)).hexdigest()


def descend(seed, method, pipe, depth=2):
    "In a child, then in a child's child."
    pipe.send(work(seed))
    if depth > 1:
        child(method, descend, seed, method, pipe, depth - 1)


def child(method, function, *args):
    process = multiprocessing.get_context(method).Process(target=function, args=args)
    process.start()
    process.join()
    assert process.exitcode == 0, process.exitcode


def ended(process):
    "The exit status of a forked process."
    status = os.waitpid(process, 0)[1]
    return os.waitstatus_to_exitcode(status)


def fork(function, *args):
    "Run a function in a forked process, which then ends as any Python does; its exit status."
    process = os.fork()
    if process == 0:
        sys.exit(0 if function(*args) else 3)
    return ended(process)


class background:
    "Do something again and again in another thread."
    def __init__(self, function):
        self.function, self.began, self.stop, self.errors = function, threading.Event(), threading.Event(), []
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            while not self.stop.is_set():
                self.function()
                self.began.set()
        except BaseException as error:
            self.errors.append(repr(error))
            self.began.set()

    def __enter__(self):
        self.thread.start()
        self.began.wait()

    def __exit__(self, *exception):
        self.stop.set()
        self.thread.join()
        assert not self.errors, self.errors


def report(**found):
    print(json.dumps(found))


"""
MAIN = '\n\nif __name__ == "__main__":\n'


def run(folder, main, functions="", **settings):
    path = folder / "script.py"
    path.write_text(SCRIPT + textwrap.dedent(functions) + MAIN + textwrap.indent(textwrap.dedent(main), "    "))
    return children.finish(children.start(path, **{"NUMBA_NUM_THREADS": "4"} | settings), 300)


@pytest.mark.parametrize("method", METHODS)
def test_pools_of_multiprocessing_and_concurrent_futures(tmp_path, method):
    found = run(tmp_path, f"""
        from concurrent.futures import ProcessPoolExecutor
        expected = [work(seed) for seed in range(4)]
        context = multiprocessing.get_context("{method}")
        with context.Pool(2) as pool:
            pooled = pool.map(work, range(4))
            pool.close()
            pool.join()
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            executed = list(executor.map(work, range(4)))
        again = [work(seed) for seed in range(4)]
        report(right=[pooled == expected, executed == expected, again == expected], different=len(set(expected)))
    """)
    assert found == {"right": [True] * 3, "different": 4}


@pytest.mark.parametrize("outer, inner", [("fork", "fork"), ("spawn", "fork"), ("forkserver", "spawn")])
def test_grandchildren(tmp_path, outer, inner):
    found = run(tmp_path, f"""
        expected = work(1)
        here, there = multiprocessing.Pipe()
        child("{outer}", descend, 1, "{inner}", there)
        report(right=[here.recv() == expected for _ in range(2)], more=here.poll())
    """)
    assert found == {"right": [True] * 2, "more": False}


def test_joblib(tmp_path):
    needs("joblib")
    found = run(tmp_path, """
        from joblib import Parallel, delayed
        expected = [work(seed) for seed in range(4)]
        report(**{backend: Parallel(2, backend=backend)(delayed(work)(seed) for seed in range(4)) == expected
                  for backend in ("loky", "multiprocessing", "threading")})
    """)
    assert found == {"loky": True, "multiprocessing": True, "threading": True}


@pytest.mark.parametrize("first", ["torch", "kernels"])
def test_workers_of_pytorchs_dataloader(tmp_path, torch, first):
    """PyTorch forks them; it and Numba share one OpenMP library, or bring two."""
    found = run(tmp_path, f"""
        if "{first}" == "torch":
            import torch
        expected = work(0)
        import torch
        from torch.utils.data import DataLoader
        import warnings
        warnings.filterwarnings("ignore", "This DataLoader will create 2 worker")  # on one core

        class Samples(torch.utils.data.Dataset):
            def __len__(self):
                return 24

            def __getitem__(self, i):
                assert torch.utils.data.get_worker_info() is not None
                return kernels.softmax.forward(A * i, parallel=True), i % 5, work(0) if i % 12 == 0 else ""

        torch.ones(500, 500) @ torch.ones(500, 500)
        model, same, digests = network(0), [], set()
        for epoch in range(2):
            for x, y, text in DataLoader(Samples(), batch_size=4, num_workers=2):
                same += [kernels.softmax.forward(A * i).tobytes() == each.numpy().tobytes()
                         for i, each in enumerate(x, len(same) % 24)]
                digests |= set(text)
                model.train_step(x.numpy().reshape(-1, 64)[:4], y.numpy())
        report(same=same, right=digests - {{""}} == {{expected}}, after=work(0) == expected)
    """)
    assert found == {"same": [True] * 48, "right": True, "after": True}


@pytest.fixture
def one_core():
    """For the processes that a test starts."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("needs sched_setaffinity")
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    yield
    os.sched_setaffinity(0, cores)


@pytest.mark.usefixtures("one_core")
def test_fork_while_a_thread_is_in_a_parallel_kernel_on_one_core(tmp_path):
    """TBB's tasks of that moment are never done: neither process may wait for them at its end."""
    test_fork_while_a_thread_is_in_a_parallel_kernel(tmp_path, "tbb")


@pytest.mark.parametrize("layer", ["omp", "workqueue", "tbb"])
def test_fork_while_a_thread_is_in_a_parallel_kernel(tmp_path, layer):
    found = run(tmp_path, """
        expected = work(0, False)
        assert work(0) == expected
        large = random.random((600, 600), np.float32)
        right = kernels.matmul.forward(large, large, parallel=False).tobytes()

        def parallel_kernel():
            assert kernels.matmul.forward(large, large, parallel=True).tobytes() == right

        with background(parallel_kernel):
            ends = [fork(lambda: work(0) == expected) for _ in range(6)]
        report(ends=ends, after=work(0) == expected)
    """, **children.layer_settings(layer))
    assert found == {"ends": [0] * 6, "after": True}


@pytest.mark.parametrize("busy", ["compiles", "records"])
def test_fork_while_a_thread_is_in_the_compiler(tmp_path, busy):
    """The child compiles, too: it would wait for the lock of a thread that does not exist there."""
    found = run(tmp_path, """
        import numba
        from llvmlite import binding

        def compiles():
            numba.njit(lambda x: x + 1)(1.0)

        def records():  # what a replay does: it asks LLVM for addresses, without Numba's lock
            for _ in range(1000):
                binding.parse_assembly("define void @f() { ret void }")

        def new():
            return numba.njit(lambda x: x + 2)(1.0) == 3

        expected = work(0)
        with background(""" + busy + """):
            ends = [fork(new) for _ in range(3)] + [fork(lambda: work(0) == expected)]
        report(ends=ends, after=work(0) == expected)
    """)
    assert found == {"ends": [0] * 4, "after": True}


def test_fork_while_a_thread_captures(tmp_path):
    """Its number may be another's in the child, whose calls would then be kept for ever."""
    found = run(tmp_path, """
        inside, leave = threading.Event(), threading.Event()
        def captures():
            with capture.capture():
                inside.set()
                leave.wait()
        thread = threading.Thread(target=captures)
        thread.start()
        inside.wait()
        with capture.capture() as calls:
            end = fork(lambda: capture._captures == {threading.get_ident(): calls})
        parent = len(capture._captures)
        leave.set()
        thread.join()
        report(end=end, parent=parent, after=len(capture._captures))
    """)
    assert found == {"end": 0, "parent": 1, "after": 0}


def test_fork_while_a_thread_trains(tmp_path):
    found = run(tmp_path, """
        expected = work(0)
        model = network(0)
        with background(lambda: model.train(X, Y, epochs=3)):
            ends = [fork(lambda: work(0) == expected) for _ in range(4)]
        report(ends=ends, after=work(0) == expected)
    """)
    assert found == {"ends": [0] * 4, "after": True}


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_a_signal_handler_that_computes(tmp_path, layer):
    """In the midst of a training on threads: it computes, the training goes on; the second signal ends it."""
    found = run(tmp_path, """
        expected, signals = work(0), []
        model = network(0)

        def handle(number, frame):
            signals.append(work(0) == expected)
            if len(signals) == 2:
                sys.exit(7)

        def send(epoch):
            if epoch in (3, 6):
                os.kill(os.getpid(), signal.SIGTERM)

        signal.signal(signal.SIGTERM, handle)
        try:
            model.train(X, Y, epochs=1000, callback=send)
        except SystemExit as end:
            code = end.code
        epochs = len(model.history["loss"])
        model.train(X, Y, epochs=2)
        other = network(0)
        other.train(X, Y, epochs=epochs + 2)
        report(code=code, signals=signals, epochs=epochs,
               same=all(a.tobytes() == b.tobytes() for one, two in zip(model.get_parameters(), other.get_parameters())
                        for a, b in zip(one, two)))
    """, **children.layer_settings(layer))
    assert found == {"code": 7, "signals": [True] * 2, "epochs": 6, "same": True}


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_a_signal_handler_that_computes_while_steps_are_recorded(tmp_path, layer):
    """Again and again, anywhere: its kernels' calls are not the training's, and take none of its locks for ever."""
    found = run(tmp_path, """
        def trained():
            model = network(0)
            model.train(X, Y, epochs=3)
            return [part.tobytes() for pair in model.get_parameters() for part in pair]

        def timer(seconds):
            signal.setitimer(signal.ITIMER_REAL, seconds)

        def handle(*_):
            timer(0)
            count.append(kernels.matmul.forward(A, B, parallel=True).tobytes() == product)
            other.predict(X)
            other.predict(X[:3])
            timer(2e-4)

        count, other = [], network(1)
        other.train(X, Y)
        expected, product = trained(), kernels.matmul.forward(A, B).tobytes()
        signal.signal(signal.SIGALRM, handle)
        same = 0
        for _ in range(60):
            timer(2e-4)
            same += trained() == expected
            timer(0)
        report(same=same, right=all(count), many=len(count) > 60)
    """, **children.layer_settings(layer))
    assert found == {"same": 60, "right": True, "many": True}


def test_a_signal_handler_that_computes_while_threads_are_started(tmp_path):
    found = run(tmp_path, """
        from numba.np.ufunc import parallel as pool
        handled, start = [], pool._launch_threads

        def interrupted():
            signal.raise_signal(signal.SIGALRM)
            start()

        def handle(*_):
            if not handled:
                handled.append(0)
                handled.append(work(0))

        pool._launch_threads = interrupted
        signal.signal(signal.SIGALRM, handle)
        after = work(0)
        report(same=handled[1:] == [after] == [work(0, False)])
    """)
    assert found == {"same": True}


@pytest.mark.parametrize("method, handled", [("fork", False), ("fork", True), ("spawn", True)])
def test_a_child_is_terminated(tmp_path, method, handled):
    functions = f"""
        def endless(pipe):
            if {handled}:
                signal.signal(signal.SIGTERM, lambda *_: sys.exit(7 if work(0) == pipe.recv() else 3))
            model = network(0)
            model.train(X, Y, epochs=1)
            pipe.send("ready")
            while True:
                model.train(X, Y, epochs=100)
    """
    found = run(tmp_path, f"""
        expected = work(0)
        context = multiprocessing.get_context("{method}")
        here, there = context.Pipe()
        process = context.Process(target=endless, args=(there,))
        process.start()
        here.recv()
        here.send(expected)
        process.terminate()
        process.join()
        report(code=process.exitcode, after=work(0) == expected)
    """, functions)
    assert found == {"code": 7 if handled else -15, "after": True}

"""Programs that run for days: no call takes memory, files or threads that it does not give back.

The ordinary run makes a few hundred to a few thousand calls, `-m long` a million of each kernel. Growth is that of the
second half of the calls: the first fills caches.
"""

import ctypes
import gc
import os
import sys
import threading
import tracemalloc
from itertools import cycle

import numpy as np
import pytest

from nnjit import nn
from nnjit.bench import contract
from nnjit.kernels.core import compile

ALLOWED = 16 << 10  # bytes, of Python and of C each; 0 to 3 kB were seen
ALLOWED_RECORDING = 100 << 10  # the same where many large things come and go; up to 40 kB were seen, in short and long
ALLOWED_RESIDENT = 1 << 20  # bytes that the process may take from the system in a long run
PARALLEL = 100  # calls of a kernel on one thread, for each on many: those take 10 to 100 us

calls_of_kernels = pytest.mark.parametrize(
    "calls", [2000, pytest.param(10**6, marks=pytest.mark.long)], ids=("2000", "million"))
trainings = pytest.mark.parametrize(
    "calls", [200, pytest.param(10**4, marks=pytest.mark.long)], ids=("200", "10000"))
recordings = pytest.mark.parametrize(  # of which each takes 10 ms
    "calls", [50, pytest.param(10**4, marks=pytest.mark.long)], ids=("50", "10000"))


class _Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks",
                                                     "fsmblks", "uordblks", "fordblks", "keepcost")]


mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None) if sys.platform == "linux" else None
if mallinfo2 is not None:
    mallinfo2.restype = _Mallinfo


def used():
    """What is in use: bytes of Python's and NumPy's objects, bytes of malloc (glibc only), open files, threads."""
    gc.collect()
    python = tracemalloc.get_traced_memory()[0]
    info = mallinfo2() if mallinfo2 is not None else _Mallinfo()
    files = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    return {"Python": python, "malloc": info.uordblks + info.hblkhd, "files": files,
            "threads": threading.active_count()}


def resident():
    """Bytes of the process in memory; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def growth(call, calls):
    """By how much `used` grows over the second half of the calls, and the resident memory."""
    half = range(calls // 2)
    tracemalloc.start()
    try:
        for _ in half:
            call()
        used()
        before, pages = used(), resident()
        for _ in half:
            call()
        pages, after = resident() - pages, used()
    finally:
        tracemalloc.stop()
    return {**{name: after[name] - before[name] for name in before}, "resident": pages}


def assert_flat(call, calls, allowed=ALLOWED):
    for _ in range(3):  # a leak shows each time; what another test left behind, such as a buffer of malloc's, once
        found = growth(call, calls)
        print(f"{calls} calls: {found}")  # -rP shows it
        if found["Python"] <= allowed and found["malloc"] <= allowed:
            break
    assert found["Python"] <= allowed and found["malloc"] <= allowed, found
    assert found["files"] <= 0 and found["threads"] <= 0, found
    # pages are rounded up, and shared with everything else in the process: a short run tells nothing
    assert calls < 10**4 or found["resident"] <= ALLOWED_RESIDENT, found


@pytest.fixture(scope="module", autouse=True)
def frozen():
    """What other tests have left is not looked at in each collection of garbage, which would take most of the time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def compiled(monkeypatch):
    """How many entries were written into the cache of compiled code."""
    written, save = [], compile.Cache.save_overload

    def noted(self, sig, data):
        written.append(self._name)
        save(self, sig, data)

    monkeypatch.setattr(compile.Cache, "save_overload", noted)
    return written


def kernel_calls(operation, parallel):
    """A function without arguments for each of an operation's functions: its first case, in float32."""
    kernel = contract.twins(operation)[0]
    found = {}
    for function, args, options in contract.cases(operation, contract.small(operation), np.float32):
        if function not in found:
            found[function] = lambda run=getattr(kernel, function), args=args, options=options: run(
                *args, **options, parallel=parallel)
    return found


@calls_of_kernels
@pytest.mark.parametrize("operation", contract.operations())
def test_calls_of_a_kernel(operation, calls, compiled):
    for parallel, number in ((False, calls), (True, max(100, calls // PARALLEL))):
        for function, call in kernel_calls(operation, parallel).items():
            with np.errstate(all="ignore"):
                call()
                del compiled[:]
                assert_flat(call, number)
            assert not compiled, f"{operation}.{function} was compiled again: {compiled}"


RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 5)).astype(np.float32)
Y = RNG.integers(0, 3, 40)


def network(accuracy=None, optimizer=None):
    model = nn.Model()
    model.add(nn.Sequential(nn.Dense(5, 8, activation="tanh", rng=0), nn.Dropout(0.1, seed=1), nn.Dense(8, 3, rng=1)))
    model.add(nn.Softmax())
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=optimizer or nn.Adam(0.01, decay=1e-4),
              accuracy=accuracy or nn.Accuracy())
    model.finalize()
    return model


TRAININGS = {
    "all at once": (network, {"epochs": 2}),
    "batches": (network, {"batch_size": 16, "shuffle": True, "seed": 0, "sample_weight": np.ones(40)}),
    "validated": (network, {"validation_data": (X, Y), "callback": lambda epoch: None}),
    "not recorded": (lambda: network(nn.TopKAccuracy(2)), {"batch_size": 30}),
    "a schedule": (lambda: network(optimizer=nn.SGD(nn.schedules.Cosine(0.1, steps=100), momentum=0.9)), {}),
}


def once(model, **more):
    """Train, and forget the history, which grows by right."""
    model.train(X, Y, progress=False, **more)
    for figures in model.history.values():
        figures.clear()


@trainings
@pytest.mark.parametrize("name", TRAININGS)
def test_trainings(name, calls):
    make, more = TRAININGS[name]
    model = make()
    assert_flat(lambda: once(model, **more), calls)


@recordings
def test_trainings_with_ever_other_batches(calls):
    """A step is recorded for each size of a batch: those of the last training are kept."""
    model, sizes = network(), cycle(range(16, 41))  # as many as half of the calls, or a share: both ends are alike

    def train():
        once(model, batch_size=next(sizes))
        assert len(model._steps.plans) <= 2

    assert_flat(train, calls, ALLOWED_RECORDING)


@calls_of_kernels
@pytest.mark.parametrize("count", (3, 40), ids=("recorded", "layer by layer"))
def test_predictions(count, calls):
    model = network()
    assert_flat(lambda: model.predict(X[:count]), calls)


@recordings
def test_predictions_for_ever_other_numbers_of_samples(calls):
    model = network()

    def predict():
        for count in (1, 1, 1, 2, 2, 32, 32, 33, 40):
            assert len(model.predict(X[:count])) == count
        model.evaluate(X, Y, batch_size=16)

    assert_flat(predict, calls, ALLOWED_RECORDING)


@recordings
def test_models_made_trained_saved_and_loaded(tmp_path, calls):
    """Each model is another one, with recordings of its own."""
    path = tmp_path / "a.npz"

    def live():
        model = network()
        model.train(X, Y, epochs=3, progress=False)
        model.save(path)
        again = nn.Model.load(path)
        again.train(X, Y, batch_size=16, progress=False)
        again.load_parameters(save_parameters(again, tmp_path / "b.npz"))
        for _ in range(3):
            again.predict(X[:4])

    assert_flat(live, calls, ALLOWED_RECORDING)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def save_parameters(model, path):
    model.save_parameters(path)
    return path


@trainings
def test_errors(tmp_path, calls):
    """What is refused is let go, too."""
    model, path = network(), tmp_path / "a.npz"
    model.save(path)
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(b'"layers"')] ^= 1
    path.write_bytes(damaged)

    def fail():
        for call in (lambda: nn.Model.load(path), lambda: model.load_parameters(path),
                     lambda: model.train(X, Y + 3), lambda: model.predict(X[:, :2])):
            with pytest.raises(ValueError):
                call()

    assert_flat(fail, calls)

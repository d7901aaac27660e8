"""Python threads that compute at once, in child processes: a process chooses its threading layer only once."""

import copy
import pickle
import sys
import textwrap
import threading

import children
import numba
import numpy as np
import pytest

from nnjit import kernels, nn
from nnjit.bench import digests
from nnjit.kernels.core import invoke, replay
from nnjit.nn.training.guards import by_one_thread

LAYERS = ("omp", "workqueue", "tbb")
OPERATIONS = ("matmul", "softmax_cross_entropy", "tanh", "dropout", "normal", "mean", "clip_norm", "adam")

PRELUDE = """
import json, sys, threading
import numba
import numpy as np
from nnjit import kernels, nn
from nnjit.bench import contract

OPERATIONS = sys.argv[1:]
kernels.core.threads.CORES = 16

sys.setswitchinterval(1e-4)  # 50 times as often as Python does

def at_once(function, count):
    barrier, found, errors = threading.Barrier(count), [None] * count, []
    def run(number):
        barrier.wait()
        try:
            found[number] = function(number)
        except BaseException as error:
            errors.append(repr(error))
    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors
    return found

def trained(number):
    "A model of its own; its products are large enough for threads."
    random = np.random.default_rng(number)
    X, y = random.random((256, 64), np.float32), random.integers(0, 5, 256)
    model = nn.Model()
    for part in (nn.Dense(64, 96, activation="relu", rng=number), nn.Dropout(0.1, seed=number),
                 nn.Dense(96, 5, rng=number), nn.Softmax()):
        model.add(part)
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.01), accuracy=nn.Accuracy())
    model.finalize()
    model.train(X, y, epochs=6, batch_size=100)
    parts = [part.tobytes() for pair in model.get_parameters() for part in pair]
    parts += [model.predict(X[:4]).tobytes() for _ in range(3)] + [model.predict(X).tobytes()]
    return [repr(model.history), b"".join(parts).hex()]

def report(**found):
    print(json.dumps({"layer": numba.threading_layer(), **found}))
"""


@pytest.fixture(scope="module", params=LAYERS)
def layer(request):
    return children.layer_settings(request.param)


def child(code, layer, threads=4, *arguments):
    found = children.finish(children.start("-c", PRELUDE + textwrap.dedent(code), *arguments, **layer,
                                           NUMBA_NUM_THREADS=str(threads)), 500)
    assert found.pop("layer") == layer["NUMBA_THREADING_LAYER"]
    return found


@pytest.mark.parametrize("threads", [4, 16])
def test_threads_compute_at_once(layer, threads):
    """Each some operations, and a training of its own, while one more sets the number of threads."""
    if layer["NUMBA_THREADING_LAYER"] == "tbb" and kernels.core.threads.CORES == 1:
        pytest.skip("on one core TBB hangs at the end of a process whose first loop ran in a thread that is gone, "
                    "also after loops of Numba's own")
    found = child("""
        kernels.set_num_threads(1)
        alone = [trained(number) for number in range(8)]
        ended = threading.Event()

        def set_threads():
            n = 0
            while not ended.is_set():
                n = n % numba.config.NUMBA_NUM_THREADS + 1
                kernels.set_num_threads(n)
                ended.wait(1e-3)

        def work(number):
            operations = OPERATIONS[number:] + OPERATIONS[:number]
            return [{name: contract.operation_digest(name, parallel=True) for name in operations}, trained(number)]

        setter = threading.Thread(target=set_threads)
        setter.start()
        try:
            found = at_once(work, 8)
        finally:
            ended.set()
            setter.join()
        report(alone=alone, digests=[digests for digests, _ in found], trained=[model for _, model in found])
    """, layer, threads, *OPERATIONS)
    assert found["trained"] == found["alone"] and len({str(each) for each in found["alone"]}) == 8
    assert found["digests"] == [{name: digests.DIGESTS[name] for name in OPERATIONS}] * 8


def test_threads_record_steps_at_once():
    """Each its own calls: new models all the time, of two steps each."""
    found = child("""
        sys.setswitchinterval(1e-6)
        X, y = np.random.default_rng(0).random((12, 4), np.float32), np.arange(12) % 3

        def short(number):
            model = nn.Model()
            for part in (nn.Dense(4, 6 + number, activation="tanh", rng=number), nn.Dense(6 + number, 3, rng=1)):
                model.add(part)
            model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.SGD(0.1), clip_norm=1.0)
            model.finalize()
            model.train(X, y, epochs=2, progress=False)
            return b"".join(part.tobytes() for pair in model.get_parameters() for part in pair).hex()

        alone = [short(number) for number in range(8)]
        found = at_once(lambda number: [short(number) for _ in range(40)], 8)
        kernels.mean.forward(np.ones(3), parallel=True)  # starts the layer
        report(same=[set(each) == {right} for each, right in zip(found, alone)], different=len(set(alone)))
    """, children.layer_settings("omp"))
    assert found == {"same": [True] * 8, "different": 8}


def test_a_kernel_in_a_users_loop(layer):
    """Numba's own threads call Python there; those of workqueue abort when they start another loop."""
    found = child("""
        rng = np.random.default_rng(0)
        a, b = rng.random((16, 150, 120), np.float32), rng.random((120, 80), np.float32)

        def ours(i, parallel=True):
            return kernels.matmul.forward(a[i], b, parallel=parallel).tobytes()

        found = [None] * len(a)

        def note(i):
            found[i] = ours(i)

        @numba.njit(parallel=True)
        def users(n):
            for i in numba.prange(n):
                with numba.objmode():
                    note(i)

        users(len(a))
        expected = [ours(i, False) for i in range(len(a))]
        report(right=found == expected, after=ours(0) == expected[0])
    """, layer)
    assert found == {"right": True, "after": True}


def test_a_users_loop_beside_kernels():
    """Under workqueue, Numba itself aborts here: its own functions take no lock."""
    found = child("""
        @numba.njit(parallel=True)
        def users(x):
            for i in numba.prange(x.size):
                x[i] += 1

        a, b = np.random.default_rng(0).random((2, 200, 200), np.float32)
        expected = kernels.matmul.forward(a, b, parallel=False).tobytes()

        def work(number):
            if number % 2:
                x = np.zeros(100_000)
                for _ in range(200):
                    users(x)
                return bool((x == 200).all())
            return all(kernels.matmul.forward(a, b, parallel=True).tobytes() == expected for _ in range(200))

        report(right=at_once(work, 8))
    """, children.layer_settings("omp"))
    assert found == {"right": [True] * 8}


@pytest.mark.parametrize("parallel", [False, True])
def test_compiled_code_cannot_call_a_kernel(parallel):
    forward = kernels.relu.forward

    def by_name(x):
        return forward(x)

    def by_module(x):
        return kernels.relu.forward(x)

    def a_nest(x):
        return kernels.relu._forward_blocks(x, x)

    for function, message in ((by_name, "Untyped global name 'forward'|Cannot determine Numba type of .*function"),
                              (by_module, "Unknown attribute 'forward'"),
                              (a_nest, "Unknown attribute '_forward_blocks'")):
        with pytest.raises(numba.TypingError, match=message):
            numba.njit(parallel=parallel)(function)(np.ones(5, np.float32))


# ---- the lock of the interpreter


def test_threads_see_a_result_that_is_half_written():
    """Only where a kernel lets them run: its first number is there, and then the last is not."""
    a, b = np.ones((2, 400, 400), np.float32)
    results, ended = [np.zeros((400, 400), np.float32)], threading.Event()
    kernels.matmul.forward(a, b, out=results[0], parallel=False)

    def work():
        for _ in range(1000):  # most often the first will do
            if ended.is_set():
                break
            results[0] = c = np.zeros((400, 400), np.float32)
            kernels.matmul.forward(a, b, out=c, parallel=False)

    thread = threading.Thread(target=work)
    thread.start()
    seen = False
    while thread.is_alive() and not seen:
        c = results[0]
        seen = c[0, 0] != 0 and c[-1, -1] == 0  # in this order
    ended.set()
    thread.join()
    assert seen


def test_recorded_steps_release_the_lock_of_the_interpreter():
    for function in (invoke._one, replay._all, replay._each):
        assert function.targetoptions["nogil"] is True


# ---- one model


X = np.random.default_rng(0).random((64, 6), np.float32)
Y = np.random.default_rng(1).integers(0, 3, 64)
BUSY = "another thread is training or evaluating this model"


class OwnTanh(nn.Tanh):
    """Of no class of nn's: such a model is trained layer by layer."""


def network(middle=nn.Tanh):
    model = nn.Model()
    for part in (nn.Dense(6, 20, rng=0), middle(), nn.Dense(20, 3, rng=1), nn.Softmax()):
        model.add(part)
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.01), accuracy=nn.Accuracy())
    model.finalize()
    return model


def bits(model):
    return b"".join(part.tobytes() for pair in model.get_parameters() for part in pair)


def in_a_thread(function, *args, **more):
    """What a function returned, or raised, in a thread of its own."""
    found = []

    def work():
        try:
            found.append(function(*args, **more))
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found[0]


USES = {
    "train": lambda model, path: model.train(X, Y),
    "train_step": lambda model, path: model.train_step(X, Y),
    "evaluate": lambda model, path: model.evaluate(X, Y),
    "predict": lambda model, path: model.predict(X),
    "predict a few": lambda model, path: model.predict(X[:2]),
    "forward": lambda model, path: model.forward(X),
    "backward": lambda model, path: model.backward(np.full((64, 3), 1 / 3, np.float32), Y),
    "get_parameters": lambda model, path: model.get_parameters(),
    "set_parameters": lambda model, path: model.set_parameters([(np.ones((6, 20)), np.ones(20)),
                                                                (np.ones((20, 3)), np.ones(3))]),
    "save": lambda model, path: model.save(path),
    "save_parameters": lambda model, path: model.save_parameters(path),
    "deepcopy": lambda model, path: copy.deepcopy(model),
    "pickle": lambda model, path: pickle.dumps(model),
}


@pytest.mark.parametrize("middle", [nn.Tanh, OwnTanh])
@pytest.mark.parametrize("use", USES)
def test_while_one_thread_trains_no_other_uses_the_model(tmp_path, middle, use):
    alone, model, found = network(middle), network(middle), []

    def callback(epoch):
        found.append(in_a_thread(USES[use], model, tmp_path / "a.npz"))

    alone.train(X, Y, epochs=4, batch_size=20)
    model.train(X, Y, epochs=4, batch_size=20, callback=callback)
    assert [type(each) for each in found] == [RuntimeError] * 4 and all(BUSY in str(each) for each in found)
    assert bits(model) == bits(alone) and model.history == alone.history
    assert list(tmp_path.iterdir()) == []
    assert in_a_thread(model.predict, X).tobytes() == model.predict(X).tobytes()


@pytest.mark.parametrize("middle", [nn.Tanh, OwnTanh])
def test_other_threads_are_refused_at_any_moment_of_a_training(tmp_path, middle):
    model, uses, found, ended = network(middle), [*USES] * 40, [], threading.Event()

    def work():
        try:
            for use in uses:
                try:
                    USES[use](model, tmp_path / "a.npz")
                    found.append("not refused")
                except RuntimeError as error:
                    found.append(str(error))
        finally:
            ended.set()

    thread = threading.Thread(target=work)

    def callback(epoch):
        if epoch == 1:
            thread.start()
        if ended.is_set():
            raise nn.StopTraining

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        model.train(X, Y, epochs=10**5, batch_size=20, callback=callback)
    finally:
        sys.setswitchinterval(interval)
        thread.join(60)
    assert len(found) == len(uses) and [use for use, said in zip(uses, found) if BUSY not in said] == []
    alone = network(middle)
    alone.train(X, Y, epochs=len(model.history["loss"]), batch_size=20)
    assert bits(model) == bits(alone) and model.history == alone.history
    assert list(tmp_path.iterdir()) == []


class Pause:
    """Does something before line number `at` of the functions of this name that this thread runs."""

    def __init__(self, name, at, action):
        self.name, self.at, self.action, self.lines = name, at, action, 0

    def __enter__(self):
        self.former = sys.gettrace()
        sys.settrace(self.trace)

    def __exit__(self, *exception):
        sys.settrace(self.former)

    def trace(self, frame, event, argument):
        if frame.f_code.co_name != self.name:
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self.at:
                self.action()
        return self.trace


class Sharing(nn.Model):
    @by_one_thread
    def use(self, callback=None):
        """Checks nothing itself."""
        if callback:
            callback(1)


@pytest.mark.parametrize("method", [lambda model, callback: model.train(X, Y, epochs=2, callback=callback),
                                    Sharing.use], ids=("train", "use"))
def test_two_threads_come_at_any_line(method):
    """One of them is let in, the other is refused, whichever comes first."""
    name, seen = Sharing.use.__code__.co_name, set()
    for at in range(1, 50):
        model, inside, leave = network(), threading.Event(), threading.Event()
        model.__class__ = Sharing
        found = {}

        def come(number, callback=None):
            try:
                method(model, callback)
                found[number] = "let in"
            except RuntimeError as error:
                found[number] = str(error)
            inside.set()

        def hold(epoch):
            inside.set()
            assert leave.wait(60)

        def begin():
            other.start()
            assert inside.wait(60)

        other = threading.Thread(target=come, args=("other", hold))
        with Pause(name, at, begin):
            come("this")
        if other.ident is None:  # there are no more lines
            break
        if found["this"] != "let in":
            assert BUSY in str(in_a_thread(model.predict, X)), at  # the other is still in
        leave.set()
        other.join(60)
        first, second = sorted(found.values(), key=lambda said: said != "let in")
        assert first == "let in" and BUSY in second, f"line {at}: {found}"
        seen.add(found["this"] == "let in")
    assert seen == {True, False} and at > 5


def test_the_thread_that_trains_may_use_the_model(tmp_path):
    model = network()
    seen = []

    def callback(epoch):
        model.evaluate(X, Y)
        for use in ("predict", "evaluate", "get_parameters", "save", "deepcopy", "pickle"):
            USES[use](model, tmp_path / "a.npz")
        other = pickle.loads(pickle.dumps(model))
        seen.append(in_a_thread(USES["predict"], other, None).tobytes() == model.predict(X).tobytes())
        assert BUSY in str(in_a_thread(model.predict, X))  # the evaluation inside did not end the training

    model.train(X, Y, epochs=2, callback=callback)
    assert seen == [True] * 2


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_a_training_that_failed_lets_the_others_in(error):
    model = network()

    def callback(epoch):
        raise error

    with pytest.raises(error):
        model.train(X, Y, epochs=2, callback=callback)
    with pytest.raises(ValueError):
        model.train(X[:, :2], Y)
    with pytest.raises(ValueError):
        model.evaluate(X, Y[:2])
    assert in_a_thread(model.predict, X).shape == (64, 3)


def test_two_threads_train_one_model_at_once():
    """Each training was whole, or refused: the model is as after so many in one thread."""
    model, barrier, lock = network(), threading.Barrier(2), threading.Lock()
    counts = {"whole": 0, "refused": 0}

    def work():
        barrier.wait()
        for _ in range(200):
            try:
                model.train(X, Y, epochs=2, batch_size=20)
                result = "whole"
            except RuntimeError as error:
                assert BUSY in str(error)
                result = "refused"
            with lock:
                counts[result] += 1

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts.values()) == 400 and counts["whole"]
    alone = network()
    for _ in range(counts["whole"]):
        alone.train(X, Y, epochs=2, batch_size=20)
    assert bits(model) == bits(alone) and model.history == alone.history


def test_eight_threads_predict_with_one_model():
    model = network()
    batches = [X[:rows] + rows for rows in (1, 2, 4, 31, 32, 33, 50, 64)]  # recorded ones, and layer by layer
    expected = [network().predict(batch).tobytes() for batch in batches]
    wrong = []

    def work(number):
        for turn in range(150):
            place = (number * (turn % 2) + turn // 10) % 8
            if model.predict(batches[place]).tobytes() != expected[place]:
                wrong.append(place)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []

"""Ctrl-C, exceptions in callbacks, lack of memory, NaN: a training ends, and the model can be used and trained on."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import sampling
import tqdm
from children import without_hint

from nnjit import kernels, nn
from nnjit.nn.training import pace

rng = np.random.default_rng(5)
X = rng.standard_normal((30, 4)).astype(np.float32)
Y = rng.integers(0, 3, 30)
PACKAGE = os.path.dirname(nn.__file__) + os.sep
KERNELS = os.path.dirname(kernels.__file__) + os.sep


def network(optimizer=None):
    model = nn.Model()
    model.add(nn.Dense(4, 6, activation="relu", weight_regularizer_l2=1e-3, rng=1))
    model.add(nn.Dropout(0.2, seed=2))
    model.add(nn.Dense(6, 3, rng=3))
    model.add(nn.Softmax())
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=optimizer or nn.Adam(0.01, decay=1e-3),
              accuracy=nn.Accuracy(), clip_norm=1.0)
    model.finalize()
    return model


TRAININGS = {
    "one batch": lambda model: model.train(X, Y, epochs=6, progress=True),
    "batches": lambda model: model.train(X, Y, epochs=3, batch_size=8, shuffle=True, seed=1, progress=True,
                                         validation_data=(X[:9], Y[:9])),
    "weighted": lambda model: model.train(X.tolist(), np.eye(3)[Y], epochs=3, batch_size=15, progress=True,
                                          sample_weight=np.arange(30.0) / 30)}


def usable(model, path):
    """Histories of one length, predictions, and a training that goes on as that of a fresh copy does, to the bit."""
    assert not list(tqdm.tqdm._instances), "a progress bar is open"
    assert len({len(values) for values in model.history.values() if values}) <= 1, model.history
    outputs = model.predict(X)
    assert np.isfinite(outputs).all()
    model.save(path)
    other = nn.Model.load(path)
    assert (other.predict(X) == outputs).all()
    for each in (model, other):
        each.train(X, Y, epochs=2)
        each.train(X, Y, batch_size=12)
    assert model.history == other.history
    for pair, others in zip(model.get_parameters(), other.get_parameters()):
        assert all(np.isfinite(mine).all() and (mine == its).all() for mine, its in zip(pair, others))


def ctrl_c():
    raise KeyboardInterrupt


class Interrupter:
    """Does something before line number `at` that is run in some folders, as the handler of a signal might."""

    def __init__(self, at, handle=ctrl_c, folders=PACKAGE):
        self.at, self.handle, self.folders, self.lines = at, handle, folders, 0

    def __enter__(self):
        self.former = sys.gettrace()
        sys.settrace(self.trace)
        return self

    def __exit__(self, *exception):
        sys.settrace(self.former)

    def trace(self, frame, event, argument):
        if not frame.f_code.co_filename.startswith(self.folders):
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self.at:
                self.handle()
        return self.trace


def at_lines(count, prepare, run, check):
    """Interrupt `run` at about `count` lines, from the first to the last, each time on what `prepare` gives."""
    run(prepare())  # compiled, imported
    subject = prepare()
    with Interrupter(0) as all_lines:
        run(subject)
    assert all_lines.lines > 1000
    for at in range(1, all_lines.lines, max(1, all_lines.lines // count)):
        subject = prepare()
        with pytest.raises(KeyboardInterrupt) as caught, Interrupter(at):
            run(subject)
        where = str(caught.traceback[-2])
        del caught  # it holds the frames, and these the progress bar
        try:
            check(subject)
        except Exception as error:
            error.add_note(f"after an interrupt at {where}")
            raise


@pytest.fixture
def three_at_once(monkeypatch):
    """Steps by threes, not as many as the time allows: the same lines each time."""
    monkeypatch.setattr(pace.Pace, "next", lambda self, most: min(3, most))


COUNTS = (40, pytest.param(10**6, marks=pytest.mark.long))  # lines to interrupt at, all of them if there are no more


@pytest.mark.sample(1)
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", TRAININGS)
def test_an_interrupt_at_any_line_leaves_a_usable_model(name, count, tmp_path, three_at_once):
    at_lines(count, network, TRAININGS[name], lambda model: usable(model, tmp_path / "a.npz"))


@pytest.mark.sample(1)
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", TRAININGS)
def test_an_interrupt_at_any_line_of_a_later_training(name, count, tmp_path, three_at_once):
    # the steps are recorded then
    def trained():
        model = network()
        TRAININGS[name](model)
        return model

    at_lines(count, trained, TRAININGS[name], lambda model: usable(model, tmp_path / "a.npz"))


@pytest.mark.sample(1)
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", TRAININGS)
def test_a_handler_that_computes_at_any_line(name, count, three_at_once):
    """What it computes becomes no part of the training's recorded steps."""
    small, other = np.ones((4, 4), np.float32), network()
    other.train(X, Y)

    def handle():
        kernels.tanh.forward(small)
        kernels.clip_norm.step(small, max_norm=1.0)
        other.predict(X)
        other.predict(X[:3])

    def trained(at):
        model = network()
        with Interrupter(at, handle, (PACKAGE, KERNELS)) as lines:
            TRAININGS[name](model)
        return lines.lines, (model.history, [part.tobytes() for pair in model.get_parameters() for part in pair])

    trained(0)
    lines, expected = trained(0)
    assert lines > 1000
    for at in range(1, lines, max(1, lines // count)):
        assert trained(at)[1] == expected, f"line {at}"


def test_an_interrupt_at_any_line_of_many_updates():
    """The layers stay alike: they would be updated one by one from then on."""
    model = network()
    model.train(X, Y, epochs=2)
    parameters, optimizer = model._steps.parameters, model.optimizer
    for at in range(1, 200):
        with suppress(KeyboardInterrupt), Interrupter(at) as lines:
            optimizer.ahead(parameters, 3)
            optimizer.pre_update_params()
            optimizer.update_all(parameters)
            optimizer.post_update_params()
        assert optimizer.recorded(parameters)
        if lines.lines < at:
            break
    assert at > 40


# a file that is open is closed by its end, with a warning
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_an_interrupt_at_any_line_of_saving_leaves_the_old_file_or_the_new(tmp_path, pytestconfig):
    path, old, new = tmp_path / "b.npz", network(), network()
    new.train(X, Y)
    files = []
    for model in (old, new):
        model.save(path)
        files.append(path.read_bytes())
    found = set()
    for at in sampling.one_in(pytestconfig, 5, range(1, 10**4)):
        path.write_bytes(files[0])
        with suppress(KeyboardInterrupt), Interrupter(at) as lines:
            new.save(path)
        assert os.listdir(tmp_path) == ["b.npz"]
        found.add(files.index(path.read_bytes()))
        if lines.lines < at:
            break
    assert found == {0, 1} and at > 100


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of an exception that was lost
def test_a_signal_at_any_moment(tmp_path):
    draw, caught = random.Random(0), 0
    former = signal.signal(signal.SIGALRM, signal.default_int_handler)  # what Ctrl-C calls
    try:
        for number in range(20):
            model = network()
            try:
                # again and again: Python loses what is raised in a callback of the garbage collector, Hypothesis's say
                signal.setitimer(signal.ITIMER_REAL, draw.uniform(1e-4, 0.03), 0.5)
                model.train(X, Y, epochs=10**6, batch_size=(None, 7)[number % 2], progress=True)
            except KeyboardInterrupt:
                caught += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            usable(model, tmp_path / "a.npz")
    finally:
        signal.signal(signal.SIGALRM, former)
    assert caught == 20


@pytest.mark.parametrize("error", (KeyboardInterrupt, RuntimeError, MemoryError, SystemExit))
@pytest.mark.parametrize("name", TRAININGS)
def test_an_exception_in_a_callback(name, error, tmp_path):
    model, seen = network(), []

    def fail(epoch):
        seen.append(epoch)
        if epoch == 2:
            raise error("mine")

    with pytest.raises(error, match="mine") as caught:  # which holds the frames: the bar is not closed by their end
        model.train(X, Y, epochs=9, batch_size=8 if name == "batches" else None, callback=fail, progress=True)
    assert caught and seen == [1, 2] and len(model.history["loss"]) == 2
    usable(model, tmp_path / "a.npz")


def test_ctrl_c_in_the_command_saves_the_model(tmp_path):
    path = tmp_path / "a.npz"
    network().save(path)
    command = [sys.executable, "-u", "-m", "nnjit.nn", "train", "spiral", "--epochs", "100000000", "--save", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler)) as process:
        while not process.stdout.readline().startswith("epoch"):
            assert process.poll() is None
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        text = without_hint(process.stderr.read())
        assert process.wait() == 130
    epoch = int(text.removeprefix("nnjit: interrupted in epoch ").split()[0])
    assert text == (f"nnjit: interrupted in epoch {epoch} of 100000000: the model as of then is saved to {path}\n")
    model = nn.Model.load(path)
    assert len(model.history["loss"]) == epoch - 1 and model.optimizer.iterations in (epoch - 1, epoch)
    assert os.listdir(tmp_path) == ["a.npz"]
    model.train(*nn.datasets.spiral(100, 3, seed=0), epochs=2)


MEMORY = """
    import os, resource, sys
    import numpy as np
    from nnjit import nn

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 4)).astype(np.float32), rng.integers(0, 3, 50)

    def network():
        model = nn.Model()
        model.add(nn.Dense(4, 3000, activation="relu", rng=1))
        model.add(nn.Dense(3000, 3, rng=1))
        model.add(nn.Softmax())
        model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(0.1), accuracy=nn.Accuracy())
        model.finalize()
        return model

    first = network()
    first.train(x, y, epochs=5)
    first.predict(x)
    first.save(sys.argv[1])
    nn.Model.load(sys.argv[1])
    big = np.zeros((30000, 4), np.float32), np.zeros(30000, int)  # outputs of 360 MB
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20), resource.RLIM_INFINITY))
    model = network()
    for call in (lambda: model.train(*big), lambda: model.predict(big[0]), lambda: model.evaluate(*big),
                 lambda: model.train_step(*big), lambda: nn.Dense(10**5, 10**4),
                 lambda: nn.preparation.one_hot([10**6 - 1] * 100), lambda: nn.datasets.sine(10**9)):
        try:
            call()
        except MemoryError as error:
            print(type(error).__mro__[-4].__name__)
    model.train(x, y, epochs=5)
    print(all((a == b).all() for one, other in zip(model.get_parameters(), first.get_parameters())
              for a, b in zip(one, other)), model.history == first.history)
    model.save(sys.argv[1])
    print((nn.Model.load(sys.argv[1]).predict(x) == first.predict(x)).all())
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs the size of the process")
def test_too_little_memory_is_a_memory_error_and_the_process_goes_on(tmp_path):
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(MEMORY), str(tmp_path / "a.npz")], text=True,
                          capture_output=True, timeout=300)
    assert (done.stdout.split(), done.stderr) == (["MemoryError"] * 7 + ["True"] * 3, "")
    assert os.listdir(tmp_path) == ["a.npz"]


# ---- NaN


def exploding(optimizer):
    model = nn.Model()
    model.add(nn.Dense(4, 8, activation="relu", rng=1))
    model.add(nn.Dense(8, 1, rng=1))
    model.set(loss=nn.MeanSquaredError(), optimizer=optimizer)
    model.finalize()
    return model


def first_bad(model, X, y, batch, epochs):
    """Epoch and step of the first loss that is NaN or infinite, by steps of our own."""
    with np.errstate(all="ignore"):
        for epoch in range(1, epochs + 1):
            for step, start in enumerate(range(0, len(X), batch)):
                loss, _ = model.train_step(X[start:start + batch], y[start:start + batch])
                if not np.isfinite(loss):
                    return epoch, step
    return None


@pytest.mark.parametrize("rate", (1.5, 4.0, 1e20))
@pytest.mark.parametrize("batch", (30, 7))
@pytest.mark.parametrize("at_once", (1, 3, 1000))
def test_the_first_loss_that_is_no_number_is_reported_once(rate, batch, at_once, monkeypatch):
    monkeypatch.setattr(pace.Pace, "next", lambda self, most: min(at_once, most))
    y = X.sum(axis=1)
    epoch, step = first_bad(exploding(nn.SGD(rate)), X, y, batch, 60)
    model = exploding(nn.SGD(rate))
    for wish in ((epoch, step), (1, 0)):  # from then on it stays so
        with pytest.warns(RuntimeWarning) as found:
            model.train(X, y, epochs=60, batch_size=batch, shuffle=False)
        assert len(found) == 1 and found[0].filename == __file__
        assert f"in epoch {wish[0]}, step {wish[1]}: " in str(found[0].message)
    assert len(model.history["loss"]) == 120


def test_nan_in_the_data_is_reported_with_its_batch():
    x = X.copy()
    x[25, 1] = np.nan
    model = network()
    with pytest.warns(RuntimeWarning, match="the loss is nan in epoch 1, step 3: try a smaller") as found:
        model.train(x, Y, epochs=3, batch_size=8, shuffle=False, print_every=None)
    assert len(found) == 1


def test_numbers_are_not_reported():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network().train(X, Y, epochs=3, batch_size=8)
        network().train(X, Y, epochs=30)


@pytest.mark.parametrize("batch", (30, 7))
def test_a_training_ends_on_nan(batch):
    y = X.sum(axis=1)
    epoch, _ = first_bad(exploding(nn.SGD(4.0)), X, y, batch, 60)
    model = exploding(nn.SGD(4.0))
    with pytest.warns(RuntimeWarning, match=f"epoch {epoch}, "):
        model.train(X, y, epochs=60, batch_size=batch, shuffle=False,
                    callback=nn.callbacks.TerminateOnNaN(model))
    assert len(model.history["loss"]) == epoch < 60
    assert np.isfinite(model.history["loss"][:-1]).all()
    model = network()
    model.train(X, Y, epochs=3, callback=nn.callbacks.TerminateOnNaN(model))
    assert len(model.history["loss"]) == 3


def test_as_an_error_the_report_ends_the_training():
    y = X.sum(axis=1)
    model = exploding(nn.SGD(4.0))
    with warnings.catch_warnings(), pytest.raises(RuntimeWarning, match="the loss is "):
        warnings.simplefilter("error")
        model.train(X, y, epochs=60, progress=True)
    assert not list(tqdm.tqdm._instances)
    assert not np.isfinite(model.history["loss"][-1]) and len(model.history["loss"]) < 60

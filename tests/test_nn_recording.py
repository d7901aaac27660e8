"""A recorded step proves that it is complete, and predictions of other threads do not disturb a training."""

import copy
import functools
import gc
import random
import re
import sys
import threading
import time
import types
import weakref

import numpy as np
import pytest

from nnjit import nn
from nnjit.nn.training import recording

X, Y = nn.datasets.spiral(samples=60, classes=3, seed=0)


# layers as they could stand in the package, each with something that a recording must not miss
SOURCE = """
import numpy as np

from nnjit.nn import backend
from nnjit.nn.layers import _Layer


class Probe(_Layer):
    def __repr__(self):
        return f"{type(self).__name__}()"

    def forward(self, inputs, training=True):
        self.inputs = inputs
        self.output = y = self.compute(inputs)
        return y

    def backward(self, dvalues):
        self.dinputs = dx = backend.ops.add.forward(dvalues, dvalues)
        return dx


class Computes(Probe):
    def compute(self, x):
        return x + x


class Slices(Probe):
    def compute(self, x):
        return backend.ops.concatenate.forward(*[backend.ops.add.forward(part, part) for part in (x[:, :5], x[:, 5:])])


class InPlace(Probe):
    def compute(self, x):
        y = backend.ops.linear.forward(x)
        y += x
        return y


class Keeps(Probe):
    before = None

    def compute(self, x):
        last, self.before = self.before, x.copy()
        y = backend.ops.add.forward(x, x)
        return y if last is None or last.shape != x.shape else backend.ops.add.forward(
            backend.ops.add.forward(y, last), backend.ops.elu.forward(last))


class Numbers(Probe):
    def compute(self, x):
        slope = float(np.abs(x).max())  # of the batch
        return backend.ops.add.forward(backend.ops.leaky_relu.forward(x, negative_slope=slope), x)


class Chooses(Probe):
    def compute(self, x):
        operation = ("tanh", "relu", "sigmoid", "gelu", "silu", "softplus", "elu")[int(abs(x[0, 0]) * 10000) % 7]
        return backend.ops.add.forward(getattr(backend.ops, operation).forward(x), x)


class Counts(Probe):
    count = 0

    def compute(self, x):
        self.count += 1
        return backend.ops.add.forward(backend.ops.leaky_relu.forward(x, negative_slope=1 / self.count), x)


class Sloped(Probe):
    def __init__(self):
        self.slope = 0.5

    def compute(self, x):
        return backend.ops.add.forward(backend.ops.leaky_relu.forward(x, negative_slope=self.slope), x)


class Repeats(Probe):
    def compute(self, x):
        y = backend.ops.add.forward(x, x)
        return backend.ops.add.forward(y, x) if x[0, 0] > x[-1, 0] else y


class Honest(Probe):
    def compute(self, x):
        return backend.ops.add.forward(x, x)
"""
probes = types.ModuleType("nnjit.nn.layers.probes")
exec(SOURCE, vars(probes))


PROBES = {"Computes": "was not written by a kernel", "Slices": "an array, its",
          "InPlace": "computes with more than kernels",
          "Keeps": "", "Numbers": "other numbers", "Chooses": "other kernels", "Counts": "other numbers"}


def network(probe):
    model = nn.Model()
    probe = getattr(probes, probe)
    for layer in (nn.Dense(2, 12, activation="tanh", rng=0), probe(), nn.Dense(12, 3, rng=1)):
        model.add(layer)
    model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.Adam(0.02), accuracy=nn.Accuracy())
    model.finalize()
    return model


def bits(model):
    return [values.tobytes() for each in model.get_parameters() for values in each]


def batches(model, one_by_one):
    order = np.random.default_rng(0).permutation(len(X))
    for _ in range(4):
        if one_by_one:
            for at in range(0, len(X), 45):
                model._steps.by_layers(*model._samples("training", X[order[at:at + 45]], Y[order[at:at + 45]]))
        else:
            model.train(X[order], Y[order], batch_size=45, shuffle=False)
    return bits(model)


@pytest.mark.parametrize("probe", PROBES)
def test_a_step_that_says_less_than_it_does_is_named_and_not_repeated(probe):
    model, plain = network(probe), network(probe)
    found = batches(model, False)
    assert probe in ("Counts", "Keeps") or found == batches(plain, True)  # these two see each captured batch, too
    assert model.why_not_recorded is not None and PROBES[probe] in model.why_not_recorded
    assert f"{probe}()" in model.why_not_recorded


@pytest.mark.parametrize("single", (False, True))
def test_other_calls_before_a_dropout(single):
    """Its stream then stands elsewhere among the calls of another batch."""
    def dropping():
        model = nn.Model([nn.Dense(2, 12, activation="tanh", rng=0), probes.Repeats(), nn.Dropout(0.1, seed=1),
                          nn.Dense(12, 3, rng=1)])
        model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.Adam(0.02))
        model.finalize()
        return model

    model, plain, rng = dropping(), dropping(), np.random.default_rng(0)
    for number in range(6):
        x, gradient = (rng.standard_normal(shape).astype(np.float32) for shape in ((60, 2), (60, 3)))
        x[0] = (-1) ** number if single else 1
        x[-1] = -x[0]  # another number of calls for the next batch, or for the one that a recording makes of this one
        for each in (model, plain):
            each._steps.from_gradients = each is model
            if single:
                each.forward(x)
                each.step_from(gradient)
        if not single:
            model.train_step(x, Y[::3])
            plain._steps.by_layers(*plain._samples("training", x, Y[::3]))
        assert bits(model) == bits(plain)
    assert re.search("calls other kernels|makes other calls", model.why_not_recorded)


def test_a_step_that_says_all_is_repeated():
    model, plain = network("Honest"), network("Honest")
    assert batches(model, False) == batches(plain, True)
    assert model.why_not_recorded is None and all(plan.proved for plan in model._steps.plans.values())


STEPS = (lambda model: model.train_step(X, Y), lambda model: model.train(X, Y),
         lambda model: model.step_from(model.forward(X) + model.optimizer.iterations))


@pytest.mark.parametrize("step", STEPS)
def test_a_change_of_any_plain_attribute_is_seen(step):
    model, plain = network("Sloped"), network("Sloped")
    plain.forward = plain.forward  # which is not recorded
    for slope in (0.5, 0.25, 0.125):
        for each in (model, plain):
            each.layers[1].slope = slope
            for _ in range(5):
                step(each)
        assert bits(model) == bits(plain) and model.why_not_recorded is None
    assert model._steps._recorded() and plain._steps._recorded() == []


@pytest.mark.parametrize("step", (STEPS[0], STEPS[2]))
def test_what_changes_at_each_single_step_is_not_recorded_each_time(step, monkeypatch):
    """A recording takes as long as several steps layer by layer."""
    model = network("Sloped")
    for _ in range(4):
        step(model)
    assert model._steps._recorded()
    monkeypatch.setattr("nnjit.nn.training.recording._Recording.__init__", None)
    for number in range(4):
        model.layers[1].slope = 1 / (number + 3)
        step(model)
        assert model._steps._recorded() == [] and "changed since the step before" in model.why_not_recorded


@pytest.mark.parametrize("probe", [*PROBES, "Honest"])
def test_a_step_from_a_gradient_proves_itself(probe):
    model, plain, rng = network(probe), network(probe), np.random.default_rng(0)
    for _ in range(8):
        x, gradient = (rng.standard_normal(shape).astype(np.float32) for shape in ((60, 2), (60, 3)))
        assert model.forward(x).tobytes() == plain.forward(x).tobytes()
        model.step_from(gradient)
        plain._step.back(gradient)
        plain._step.update(plain._trained(), None)
        assert bits(model) == bits(plain)
    if probe == "Honest":
        assert model.why_not_recorded is None and model._steps.halves.proved
    else:
        assert re.search("changed since" if probe == "Counts" else rf"{probe}\(\).*{PROBES[probe]}",
                         model.why_not_recorded)


@pytest.mark.parametrize("probe", [probe for probe in PROBES if probe not in ("Keeps", "Counts")])
def test_a_prediction_that_says_less_than_it_does_is_not_repeated(probe):
    model = network(probe)
    for at in range(0, 40, 4):
        x = X[at:at + 4]
        assert np.array_equal(model.predict(x), model.forward(x, False))
    assert model.why_prediction_not_recorded is not None


def test_predictions_of_several_sizes_in_turn_are_recorded_once_each(monkeypatch):
    """A recording takes as long as ten predictions."""
    made, model = [], network("Honest")
    init = recording._Recording.__init__
    monkeypatch.setattr(recording._Recording, "__init__", lambda self, *args: made.append(self) or init(self, *args))
    for round in range(5):
        for samples in (1, 1, 3, 3, 2):
            x = X[round:round + samples]
            assert np.array_equal(model.predict(x), model.forward(x, False))
    assert len(made) == 3
    model.layers[0].weights = -model.layers[0].weights
    for samples in (3, 1, 2, 1, 3, 3, 3):
        assert np.array_equal(model.predict(X[:samples]), model.forward(X[:samples], False))
    assert len(made) == 5


@pytest.mark.parametrize("kind, method", ((nn.Adam, "update_params"), (nn.SoftmaxCategoricalCrossentropy, "accumulate"),
                                          (nn.Dense, "penalties"), (nn.Dense, "forward")))
def test_a_method_replaced_by_one_that_claims_to_be_the_original(monkeypatch, kind, method):
    """`functools.wraps` copies the name of the module, too."""
    called, original = [], getattr(kind, method)

    @functools.wraps(original)
    def wrapping(self, *args, **more):
        called.append(self)
        return original(self, *args, **more)

    model = network("Honest")
    monkeypatch.setattr(kind, method, wrapping)
    model.train(X, Y, epochs=5)
    assert len(called) >= 5 and model.why_not_recorded == "a method of the model or of one of its parts was replaced"


REASONS = [
    (lambda model: model.layers[0].__dict__.update(forward=model.layers[0].forward), "Dense.* of your own"),
    (lambda model: setattr(model, "forward", model.forward), "a method of the model"),
    (lambda model: setattr(model.layers[0], "trainable", False) or setattr(model.layers[2], "trainable", False),
     "no layer is trained"),
]


@pytest.mark.parametrize("change, text", REASONS)
def test_the_reason_is_one_sentence(change, text):
    model = network("Honest")
    change(model)
    model.train(X, Y, epochs=3)
    assert re.search(text, model.why_not_recorded) and "\n" not in model.why_not_recorded


def test_the_reason_of_another_backend_and_dtype():
    model = network("Honest")
    with nn.use("numpy"):
        model.train(X, Y)
    assert 'nn.use("numpy")' in model.why_not_recorded
    model.train(X.astype(np.float64), Y, epochs=3)
    assert model.why_not_recorded is None  # converted once
    wide = nn.Model()
    for layer in (nn.Dense(2, 4, dtype=np.float64, rng=0), nn.Dense(4, 3, rng=0)):
        wide.add(layer)
    wide.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.SGD(0.1))
    wide.finalize()
    wide.train(X, Y)
    assert "float32, float64" in wide.why_not_recorded


def test_ctrl_c_while_a_step_is_recorded(monkeypatch):
    model = network("Honest")
    model.train_step(X, Y)
    gradients = [layer.dinputs for layer in model.layers]

    def interrupted(*args, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(nn.Dense, "_backward", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.train(X, Y, epochs=3)
    assert all(layer.dinputs is gradient for layer, gradient in zip(model.layers[:2], gradients))
    model.train(X, Y, epochs=3)
    assert model.why_not_recorded is None


# ---- threads


@pytest.fixture
def switching():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("readers", (1, 2, 3))
@pytest.mark.parametrize("rows", (128, 1000, 4096))
@pytest.mark.parametrize("equal", (False, True))
def test_predictions_in_flight_do_not_disturb_a_training(switching, readers, rows, equal):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((rows, 6)).astype(np.float32), rng.integers(0, 3, rows)
    x = rng.standard_normal((rows if equal else rows // 2 + 1, 6)).astype(np.float32)

    def build():
        model = nn.Model()
        for layer in (nn.Dense(6, 16, activation="relu", rng=0), nn.Residual(nn.Dense(16, 16, rng=1), nn.Tanh()),
                      nn.Dense(16, 3, rng=2), nn.Softmax()):
            model.add(layer)
        model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.01))
        model.finalize()
        return model

    alone, model, stop, wrong = build(), build(), threading.Event(), []
    alone.train(X, y, epochs=3)
    first = model.predict(x)

    def read():
        while not stop.is_set():
            try:
                found = model.predict(x)
                if found.shape != first.shape:
                    wrong.append(found.shape)
            except RuntimeError as error:
                if "another thread is training" not in str(error) and "not finalized" not in str(error):
                    wrong.append(error)

    threads = [threading.Thread(target=read) for _ in range(readers)]
    for thread in threads:
        thread.start()
    try:
        until, start = time.monotonic() + 0.4, [values for each in model.get_parameters() for values in each]
        while time.monotonic() < until:
            fresh = build()
            model.set(loss=fresh.loss, optimizer=fresh.optimizer)
            model.finalize()
            for layer, kept in zip(model.trainable_layers, zip(start[::2], start[1::2])):
                layer.weights, layer.biases = kept
            time.sleep(random.random() / 1000)  # noqa: S311
            model.train(X, y, epochs=3)
            assert bits(model) == bits(alone)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []


CHANGES = {
    "finalize": lambda model: model.finalize(), "add": lambda model: model.add(nn.ReLU()),
    "set": lambda model: model.set(optimizer=nn.SGD()),
    "loss": lambda model: setattr(model, "loss", nn.MeanSquaredError()),
    "clip_norm": lambda model: setattr(model, "clip_norm", 1.0),
    "trainable_layers": lambda model: setattr(model, "trainable_layers", []),
    "trainable": lambda model: setattr(model.layers[0], "trainable", False),
    "weights": lambda model: setattr(model.layers[0], "weights", np.zeros((2, 12))),
    "biases": lambda model: setattr(model.layers[2], "biases", np.zeros(3)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_by_another_thread_during_a_training_are_refused(change):
    model, alone, found = network("Honest"), network("Honest"), []

    def elsewhere():
        try:
            CHANGES[change](model)
        except RuntimeError as error:
            found.append(str(error))

    def callback(epoch):
        if epoch == 2:
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()

    model.train(X, Y, epochs=4, callback=callback)
    alone.train(X, Y, epochs=4, callback=lambda epoch: None)
    assert len(found) == 1 and "another thread is training" in found[0]
    assert bits(model) == bits(alone)
    CHANGES[change](model)  # afterwards it may


USES = {"nothing": lambda model: None, "evaluate": lambda model: model.evaluate(X, Y),
        "predict": lambda model: model.predict(X[:3]), "train": lambda model: model.train(X, Y, batch_size=45),
        "train_step": lambda model: model.train_step(X, Y), "copy": copy.deepcopy,
        "step_from": lambda model: model.step_from(model.forward(X) + model.optimizer.iterations),
        "numpy": lambda model: in_numpy(model)}


def in_numpy(model):
    with nn.use("numpy"):
        model.train_step(X, Y)
        model.predict(X[:3])


@pytest.mark.parametrize("use", USES)
def test_a_model_is_freed_at_once(use):
    """Without the collector of cycles, which waits for many objects, not for large arrays."""
    gc.collect()
    gc.disable()
    try:
        model = network("Honest")
        model.clip_norm = 1.0
        for _ in range(4):
            USES[use](model)
        kept = [weakref.ref(model), weakref.ref(model.layers[0])]
        arrays = weakref.finalize(model.layers[0].weights.base, lambda: None)
        del model
        assert [each() for each in kept] == [None, None] and not arrays.alive
    finally:
        gc.enable()


def test_predictions_leave_the_layers_as_they_are():
    model = network("Honest")
    model.train(X, Y, epochs=3)
    before = [dict(vars(layer)) for layer in model.layers]
    for rows in (1, 1, 1, 5, 100):
        model.predict(X[:rows])
    for layer, wish in zip(model.layers, before):
        assert vars(layer).keys() == wish.keys() and all(vars(layer)[name] is value for name, value in wish.items())

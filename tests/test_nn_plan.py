"""nn/training/plans.py: a recorded step gives what the layers give one by one, and notices every change."""

import copy
import gc
import json
import math
import pickle
import sys
import threading
import weakref
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from nnjit import kernels, nn
from nnjit.nn.training import plans as plan

SAMPLES = 70
rng = np.random.default_rng(5)
X = rng.standard_normal((SAMPLES, 6)).astype(np.float32)
Y = rng.integers(0, 4, SAMPLES)


def network(optimizer=None, *, dtype=np.float32, loose=False, accuracy=True, one_loss=False, regularized=False):
    model, random = nn.Model(), np.random.default_rng(1)
    penalties = {"weight_regularizer_l2": 0.01, "bias_regularizer_l1": 0.001} if regularized else {}
    if loose:
        for part in (nn.Tanh(), nn.Dense(6, 20, rng=random, dtype=dtype), nn.ReLU(),
                     nn.Dense(20, 9, rng=random, dtype=dtype), nn.Sigmoid()):
            model.add(part)
    else:
        model.add(nn.Dense(6, 20, activation="relu", rng=random, dtype=dtype))
        model.add(nn.Dense(20, 9, activation="tanh", rng=random, dtype=dtype, **penalties))
    model.add(nn.Dense(9, 4, rng=random, dtype=dtype, **penalties))
    if not one_loss:
        model.add(nn.Softmax())
    model.set(loss=nn.SoftmaxCategoricalCrossentropy() if one_loss else nn.CategoricalCrossentropy(),
              optimizer=optimizer or nn.Adam(0.01, decay=1e-3), accuracy=nn.Accuracy() if accuracy else None)
    model.finalize()
    return model


def layer_by_layer(monkeypatch):
    """From here on, no step is recorded."""
    monkeypatch.setattr(nn.training.steps.Steps, "check", lambda self, *data: bool(self._model._check_ready("loss")))


def bits(model):
    return [parameter.tobytes() for pair in model.get_parameters() for parameter in pair]


ARRAYS = ("inputs", "output", "dinputs", "dweights", "dbiases", "binary_mask")
OPTIMIZERS = (nn.SGD, nn.Adagrad, nn.RMSprop, nn.Adam, nn.AdamW)


def at_once(monkeypatch, steps):
    monkeypatch.setattr(nn.training.pace.Pace, "next", lambda self, most: max(1, min(most, steps)))


def state(model):
    """What a training leaves behind, beside weights and history."""
    optimizer = model.optimizer
    arrays = [(number, name, value.shape, value.tobytes()) for number, layer in enumerate(model.layers)
              for name, value in vars(layer).items() if name in ARRAYS and value is not None]
    return (optimizer.iterations, optimizer.current_learning_rate, arrays,
            model.loss.accumulated_sum, model.loss.accumulated_count,
            model.accuracy and (model.accuracy.accumulated_sum, model.accuracy.accumulated_count))


def same_training(monkeypatch, build, train):
    """Train layer by layer, and recorded with one, three and all possible steps at once: equal weights and histories.

    Returns the model with three.
    """
    with monkeypatch.context() as patch:
        layer_by_layer(patch)
        plain = build()
        train(plain)
    assert plain._steps.plans == {}
    for steps in (1, 10**6, 3):
        with monkeypatch.context() as patch:
            at_once(patch, steps)
            recorded = build()
            train(recorded)
        assert bits(recorded) == bits(plain)
        assert recorded.history == plain.history
        if type(plain.optimizer) in OPTIMIZERS:
            assert state(recorded) == state(plain)
    return recorded


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("optimizer", (
    nn.Adam, lambda: nn.SGD(0.1), lambda: nn.SGD(0.1, momentum=0.9, decay=1e-2), lambda: nn.Adagrad(0.1, decay=1e-2),
    lambda: nn.RMSprop(0.01, decay=1e-2), lambda: nn.SGD(0.1, momentum=0.9, decay=1e-2, nesterov=True),
    lambda: nn.AdamW(0.01, decay=1e-2, weight_decay=0.5)))
@pytest.mark.parametrize("options", ({}, {"loose": True}, {"accuracy": False}, {"one_loss": True},
                                     {"regularized": True}))
@pytest.mark.parametrize("one_hot", (False, True))
def test_a_recorded_training_is_the_same_to_the_bit(monkeypatch, dtype, optimizer, options, one_hot):
    x, y = X.astype(dtype), np.eye(4)[Y] if one_hot else Y

    def train(model):
        model.train(x, y, epochs=4, batch_size=32, shuffle=True, seed=3, validation_data=(x[:9], y[:9]))
        model.train(x, y, epochs=20)

    model = same_training(monkeypatch, lambda: network(optimizer(), dtype=dtype, **options), train)
    assert list(model._steps.plans) == [70] and model._steps.plans[70].usable


@pytest.mark.parametrize("shuffle", (False, True))
def test_many_steps_are_one_call(monkeypatch, shuffle):
    calls = []
    repeat, run = plan.Plan.repeat, plan.Plan.run
    monkeypatch.setattr(plan.Plan, "repeat", lambda self, data, *rest: calls.append(len(data[0]))
                        or repeat(self, data, *rest))
    monkeypatch.setattr(plan.Plan, "run", lambda self, *data: calls.append(-len(data[0])) or run(self, *data))
    at_once(monkeypatch, 5)
    model = network()
    model.train(X, Y, epochs=2, batch_size=10, shuffle=shuffle, seed=0)
    # the first step is recorded layer by layer, the second compared; those at once with them are not yet repeated
    assert calls == [-10] * 4 + [20] + [50, 20]
    del calls[:]
    model.train(X[:, :], Y, epochs=12, shuffle=shuffle)
    assert calls == [-70] * 11 if shuffle else [-70, 70, 70]
    assert model.history["learning_rate"] == [0.01 / (1 + 1e-3 * step) for step in (6, 13, *range(14, 26))]


def test_epochs_between_two_printed_ones_are_one_call(monkeypatch, capsys):
    steps, repeat = [], plan.Plan.repeat
    monkeypatch.setattr(plan.Plan, "repeat", lambda self, data, samples, update, numbers: steps.append(len(numbers))
                        or repeat(self, data, samples, update, numbers))
    at_once(monkeypatch, 5)
    model = network(regularized=True)
    model.train(X, Y)
    assert steps == []
    capsys.readouterr()
    model.train(X, Y, epochs=15, print_every=7)
    assert steps == [5, 5, 2]  # and the last epoch alone, and those before the step was compared
    printed = capsys.readouterr().out
    with monkeypatch.context() as patch:
        layer_by_layer(patch)
        plain = network(regularized=True)
        plain.train(X, Y)
        plain.train(X, Y, epochs=15, print_every=7)
    assert printed == capsys.readouterr().out and len(printed.splitlines()) == 2
    assert bits(model) == bits(plain) and model.history == plain.history


def test_attributes_are_those_of_the_last_of_many_steps(monkeypatch):
    def train(model):
        model.train(X, Y, epochs=3, batch_size=10, shuffle=False,
                    callback=lambda epoch: epoch < 3 and model.forward(X[:3]))

    same_training(monkeypatch, network, train)


def test_an_unusable_recording_is_not_repeated():
    model = network()
    model.train(X, Y, epochs=2)
    recorded, update = model._steps.plans[SAMPLES], model._steps.parameters.updating[2]
    assert recorded.repeatable(update)
    recorded.why = "a reason"
    assert not recorded.repeatable(update)


def test_steps_with_something_to_see_are_done_one_by_one(monkeypatch, capsys):
    monkeypatch.setattr(plan.Plan, "repeat", None)
    at_once(monkeypatch, 5)
    for more in ({"callback": lambda epoch: None}, {"print_every": 1},
                 {"validation_data": (X[:-1].repeat(2, axis=0), Y[:-1].repeat(2)), "batch_size": SAMPLES}):
        network().train(X, Y, epochs=4, **more)


def test_pace(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(nn.training.pace, "perf_counter", lambda: clock[0])
    pace = nn.training.pace.Pace(1)

    def next(took, most=10**6):
        clock[0] += took
        return pace.next(most)

    assert [next(5.0), next(0.001), next(0.002), next(0.004)] == [1, 2, 4, 8]
    assert [next(0.012), next(0.03), next(0.009)] == [8, 4, 8]
    assert [next(0.009, 3), next(0.003, 3), next(0.003)] == [3, 3, 16]  # the end of an epoch says nothing
    assert [next(0.1, 0), next(0.1)] == [1, 1]
    assert nn.training.pace.Pace(64).next(100) == 64


def test_a_training_goes_on_at_the_pace_of_the_last(monkeypatch):
    model, counts = network(), []
    repeat = plan.Plan.repeat
    monkeypatch.setattr(plan.Plan, "repeat",
                        lambda self, data, samples, update, numbers:
                        counts.append(len(numbers)) or repeat(self, data, samples, update, numbers))
    monkeypatch.setattr(nn.training.pace, "perf_counter", lambda: 0.0)  # as fast as can be
    for epochs, wish in ((7, [4]), (20, [8, 12]), (20, [16, 4]), (3, [3])):
        del counts[:]
        model.train(X, Y, epochs=epochs)
        assert counts == wish


def test_threads_are_started_by_python(monkeypatch):
    at_once(monkeypatch, 4)
    serial, threads = network(), network()
    serial.train(X, Y, epochs=6)
    monkeypatch.setattr(kernels.matmul, "PARALLEL_FROM", 0)
    monkeypatch.setattr(nn.Adam, "ahead", None)
    for name in ("CORES", "_num_threads"):  # also where there is one
        monkeypatch.setattr(kernels.core.threads, name, 2)
    threads.train(X, Y, epochs=6)
    assert bits(threads) == bits(serial) and threads.history == serial.history


def test_data_of_another_kind_in_the_next_training(monkeypatch):
    def train(model):
        for x, y in ((X, Y), (X, np.eye(4)[Y]), (X.astype(np.float64), Y), (X, Y)):
            model.train(x, y, epochs=2, batch_size=32, shuffle=False)

    same_training(monkeypatch, network, train)
    same_training(monkeypatch, lambda: network(loose=True), train)


def test_data_of_another_width_in_the_next_training():
    model = network(loose=True)
    model.train(X, Y)
    with pytest.raises(ValueError, match="inputs must have shape"):
        model.train(X[:, :5], Y)


def test_a_step_is_recorded_and_proved_and_then_not_run_by_the_layers():
    model = network()
    calls = []
    forward = kernels.dense.forward.__self__.function.__code__
    sys.setprofile(lambda frame, event, _: calls.append(1) if event == "call" and frame.f_code is forward else None)
    try:
        model.train(X, Y, epochs=20)
    finally:
        sys.setprofile(None)
    assert len(calls) == 6  # three layers, two steps


@pytest.mark.parametrize("operation, function", [("dense", "forward"), ("clip_norm", "step"), ("adam", "step")])
def test_a_kernel_that_somebody_wrapped_is_not_recorded(monkeypatch, operation, function):
    """It is called at each step: what it does beside the kernel would be left out else."""
    def trained():
        model = network()
        model.set(clip_norm=0.5)
        model.finalize()
        model.train(X, Y, epochs=20)
        return bits(model)

    expected, calls, kernel = trained(), [], getattr(kernels, operation)
    known = getattr(kernel, function)
    monkeypatch.setattr(kernel, function, lambda *args, **more: calls.append(1) or known(*args, **more))
    assert trained() == expected and len(calls) >= 20


def changes(change, epochs=3):
    """A training with a change of the model after its second epoch."""
    def train(model):
        model.train(X, Y, epochs=epochs, batch_size=40, shuffle=False,
                    callback=lambda epoch: change(model) if epoch == 2 else None)
        model.train(X, Y, epochs=2, batch_size=40, shuffle=False)
    return train


def new_weights(model):
    model.layers[1].weights = model.layers[1].weights * np.float32(0.5)


def new_biases(model):
    model.layers[0].biases = np.ones(20)


def all_parameters(model):
    model.set_parameters([(w * 2, b + 1) for w, b in model.get_parameters()])


def in_place(model):
    model.layers[0].weights[:] += 1
    model.layers[0].biases[:] = 0.25


def activation(model):
    model.layers[0].activation = "sigmoid"
    model.finalize()


def rate(model):
    model.optimizer.learning_rate = 0.5


def update_by_hand(model):
    model.forward(X)
    model.backward(model.layers[-1].output, Y)
    model.optimizer.pre_update_params()
    for layer in model.trainable_layers:
        model.optimizer.update_params(layer)
    model.optimizer.post_update_params()


def step_by_hand(model):
    model.train_step(X[:11], Y[:11])


def no_accuracy(model):
    model.accuracy = None
    model.finalize()


@pytest.mark.parametrize("change", (new_weights, new_biases, all_parameters, in_place, activation, rate,
                                    update_by_hand, step_by_hand, no_accuracy))
@pytest.mark.parametrize("optimizer", (nn.Adam, lambda: nn.SGD(0.1, momentum=0.5)))
def test_a_change_in_a_callback_is_noticed(monkeypatch, change, optimizer):
    untouched = network(optimizer())
    changes(lambda model: None)(untouched)
    model = same_training(monkeypatch, lambda: network(optimizer()), changes(change))
    if change is not no_accuracy:
        assert bits(model) != bits(untouched)


def test_momentum_switched_on_in_a_callback(monkeypatch):
    def momentum(model):
        model.optimizer.momentum = 0.75

    same_training(monkeypatch, lambda: network(nn.SGD(0.1)), changes(momentum))


def test_weight_decay_switched_on_in_a_callback(monkeypatch):
    def decay(model):
        model.optimizer.weight_decay = 3  # no float

    untouched = network()
    changes(lambda model: None)(untouched)
    assert bits(same_training(monkeypatch, network, changes(decay))) != bits(untouched)


@pytest.mark.parametrize("before", (False, True))
def test_nesterov_switched_in_a_callback(monkeypatch, before):
    def switch(model):
        model.optimizer.nesterov = not before

    def build():
        return network(nn.SGD(0.1, momentum=0.5, nesterov=before))

    untouched = build()
    changes(lambda model: None)(untouched)
    assert bits(same_training(monkeypatch, build, changes(switch))) != bits(untouched)


def test_nesterov_stays_without_a_momentum_that_was_taken_away(monkeypatch):
    def no_momentum(model):
        model.optimizer.momentum = 0.0

    same_training(monkeypatch, lambda: network(nn.SGD(0.1, momentum=0.5, nesterov=True)), changes(no_momentum))


def test_another_optimizer_and_back(monkeypatch):
    def train(model):
        first, second = model.optimizer, nn.SGD(0.05, momentum=0.5)
        for optimizer in (first, second, first):
            model.set(optimizer=optimizer)
            model.finalize()
            model.train(X, Y, epochs=2)

    same_training(monkeypatch, network, train)


def test_a_copy_trains_on_as_its_original(monkeypatch):
    for clone in (copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))):
        model = network()
        model.train(X, Y, epochs=3, batch_size=32, shuffle=False)
        other = clone(model)
        before = bits(model)
        other.train(X, Y, epochs=3, batch_size=32, shuffle=False)
        assert bits(model) == before, "a copy shares arrays with its original"
        model.train(X, Y, epochs=3, batch_size=32, shuffle=False)
        assert bits(other) == bits(model)


def test_backend_in_the_middle(monkeypatch):
    def numpy_between(model):
        model.train(X, Y, epochs=2, batch_size=40, shuffle=False)
        with nn.use("numpy"):
            model.train(X, Y, epochs=2, batch_size=40, shuffle=False)
        model.train(X, Y, epochs=2, batch_size=40, shuffle=False)

    same_training(monkeypatch, network, numpy_between)


def switched(work, line, lines):
    """Do work, and at a line of nn switch to the other twin, as another thread may, and some lines later back. How many
    lines there were."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        if frame.f_globals.get("__package__") != nn.__package__ or frame.f_globals["__name__"] == nn.backend.__name__:
            return None
        count += 1
        if count in (line, line + lines):
            nn.use("numpy" if count == line else "numba")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
        nn.use("numba")
    return count


@pytest.mark.parametrize("lines", (5, 50))
def test_a_switch_of_the_backend_while_calls_are_recorded(monkeypatch, lines):
    """What was recorded by half is not used."""
    def predict():
        model.predict(X[:1]), model.predict(X[1:2])

    def train():
        model.train(X, Y, epochs=2)

    for work, step, build in ((predict, 3, network), (train, 23, dropping)):
        model = build()
        for line in range(1, switched(work, 0, 0), step):
            model = build()
            switched(work, line, lines)
            assert model.predict(X[2:3]).tobytes() == layer_by_layer_outputs(model, X[2:3]).tobytes()
            if work is train:
                other = copy.deepcopy(model)
                model.train(X, Y, epochs=2)
                with monkeypatch.context() as patch:
                    layer_by_layer(patch)
                    other.train(X, Y, epochs=2)
                assert bits(model) == bits(other) and model.history == other.history


def test_number_of_threads_in_the_middle(monkeypatch):
    before = kernels.get_num_threads()
    try:
        model = network()
        for threads in (1, before, 1):
            kernels.set_num_threads(threads)
            model.train(X, Y, epochs=2)
        kernels.set_num_threads(before)
        other = network()
        other.train(X, Y, epochs=6)
        assert bits(model) == bits(other)
    finally:
        kernels.set_num_threads(before)


@pytest.mark.parametrize("kind", ("readonly", "fortran", "float64", "list"))
def test_data_of_any_kind(monkeypatch, kind):
    x = {"readonly": X.copy(), "fortran": np.asfortranarray(X), "float64": X.astype(np.float64),
         "list": X.tolist()}[kind]
    if kind == "readonly":
        x.flags.writeable = False
    same_training(monkeypatch, network, lambda model: model.train(x, Y, epochs=3, batch_size=32, shuffle=False))


class Doubled(nn.Dense):
    def forward(self, x, training=True):
        return super().forward(2 * np.asarray(x), training)


class Halved(nn.SGD):
    def update_params(self, layer):
        layer.dweights = layer.dweights / 2
        super().update_params(layer)


def test_classes_of_users_are_not_recorded(monkeypatch):
    def layer():
        model = nn.Model()
        model.add(Doubled(6, 4, rng=0))
        model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.SGD(0.1))
        model.finalize()
        return model

    for build in (layer, lambda: network(Halved(0.1))):
        model = same_training(monkeypatch, build, lambda model: model.train(X, Y, epochs=3))
        assert model._steps.plans == {}


@pytest.mark.parametrize("part, method", ((0, "forward"), (1, "backward"), ("optimizer", "update_params")))
def test_a_method_of_one_object_is_called_at_each_step(part, method):
    model, calls = network(), []
    target = model.optimizer if part == "optimizer" else model.layers[part]
    usual = getattr(target, method)
    setattr(target, method, lambda *args, **more: calls.append(1) or usual(*args, **more))
    model.train(X, Y, epochs=5)
    assert len(calls) == (15 if part == "optimizer" else 5)


def test_two_models_may_share_layers_and_optimizer(monkeypatch):
    def build():
        first = network()
        second = nn.Model()
        for layer in first.layers[:2]:
            second.add(layer)
        second.add(nn.Dense(9, 4, rng=7))
        second.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=first.optimizer)
        second.finalize()
        first.second = second
        return first

    def train(model):
        model.train(X, Y, epochs=3, callback=lambda epoch: model.second.train(X, Y, epochs=2, batch_size=30))
        model.history["loss"] += [float(x.sum()) for pair in model.second.get_parameters() for x in pair]

    same_training(monkeypatch, build, train)


@pytest.mark.parametrize("recorded", (False, True))
def test_two_models_may_share_a_loss(monkeypatch, recorded):
    """Each adds the penalties of its own layers."""
    loss, models = nn.MeanSquaredError(), []
    for l2 in (0.5, 0.0):
        model = nn.Model()
        model.add(nn.Dense(6, 1, rng=0, weight_regularizer_l2=l2))
        model.set(loss=loss, optimizer=nn.SGD(0.0))
        model.finalize()
        models.append(model)
    if not recorded:
        layer_by_layer(monkeypatch)
    first, second = models
    penalty = 0.5 * float((first.layers[0].weights ** 2).sum())
    first.train(X, Y, epochs=3, callback=lambda epoch: second.train(X, Y))
    second.train(X, Y)
    assert first.history["regularization_loss"] == pytest.approx([penalty] * 3, rel=1e-5)
    assert second.history["loss"] == pytest.approx([first.history["loss"][0] - penalty] * 4, rel=1e-5)
    assert first.train_step(X, Y)[0] == pytest.approx(first.history["loss"][0], rel=1e-6)


@pytest.mark.parametrize("part", ("loss", "optimizer"))
def test_a_part_taken_away_in_a_callback_is_named(part):
    model = network()
    with pytest.raises(RuntimeError, match=f"the model has no {part}"):
        model.train(X, Y, epochs=3, callback=lambda epoch: setattr(model, part, None))


def test_a_history_that_was_emptied_begins_anew():
    model, other = network(), network()
    model.train(X, Y, epochs=2)
    other.train(X, Y, epochs=2)
    other.history.clear()
    for each in (model, other):
        each.train(X, Y, epochs=3, callback=lambda epoch: None)
    assert other.history["loss"] == model.history["loss"][2:]


def test_weights_cannot_be_resized_under_a_recording():
    """Recorded calls know where they lie; not even NumPy's count of references keeps them there."""
    copied = copy.deepcopy(network())
    copied.finalize()
    copied.layers[0].weights = copied.layers[0].weights
    for layer in (nn.Dense(6, 4), pickle.loads(pickle.dumps(nn.Dense(6, 4))), copied.layers[0]):
        for parameter in (layer.weights, layer.biases):
            with pytest.raises(ValueError, match="does not own its data"):
                parameter.resize((100, 100), refcheck=False)


def test_recording_takes_time_in_proportion_to_the_layers(monkeypatch):
    """Each gradient's places are not looked for among all calls."""
    calls = []
    address = plan.address
    monkeypatch.setattr(plan, "address", lambda array: calls.append(1) or address(array))
    counts = []
    for layers in (10, 40):
        model = nn.Model()
        for _ in range(layers):
            model.add(nn.Dense(6, 6, rng=0))
        model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.SGD(0.1))
        model.finalize()
        calls.clear()
        model.train(X, Y)
        assert model._steps.plans
        counts.append(len(calls))
    assert counts[1] < 5 * counts[0]


def test_layers_of_two_dtypes_are_not_recorded(monkeypatch):
    def build():
        model = nn.Model()
        model.add(nn.Dense(6, 5, rng=0, dtype=np.float64))
        model.add(nn.Dense(5, 4, rng=0))
        model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.SGD(0.1))
        model.finalize()
        return model

    assert same_training(monkeypatch, build, lambda model: model.train(X, Y, epochs=3))._steps.plans == {}


def dropping(seed=11, rate=0.4):
    model, random = nn.Model(), np.random.default_rng(1)
    for part in (nn.Dense(6, 20, activation="relu", rng=random), nn.Dropout(rate, seed=seed),
                 nn.Dense(20, 4, rng=random), nn.Softmax()):
        model.add(part)
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.01), accuracy=nn.Accuracy())
    model.finalize()
    return model


@pytest.mark.parametrize("steps", (1, 3, 10**6))
def test_dropout_has_a_mask_for_each_step(monkeypatch, steps):
    # an epoch has three batches, of 30, 30 and 10
    at_once(monkeypatch, steps)
    model, masks = dropping(), []
    model.train(X, Y, epochs=3, batch_size=30, shuffle=False, validation_data=(X, Y),
                callback=lambda epoch: masks.append((model.layers[1].calls, model.layers[1].binary_mask)))
    assert masks == [(3, None), (6, None), (9, None)]  # the validation came last, and drops nothing
    assert [*model._steps.plans] == [30, 10]
    for epochs in (1, 5):
        model.train(X, Y, epochs=epochs)
        mask = kernels.reference.dropout.forward(np.ones((70, 20), np.float32), rate=0.4, seed=11,
                                                 stream=model.layers[1].calls - 1)[1]
        assert np.array_equal(model.layers[1].binary_mask, mask)
    assert model.layers[1].calls == 15
    model.train(X[:30], Y[:30], callback=lambda epoch: masks.append(model.layers[1].binary_mask.copy()))
    assert np.array_equal(masks[-1], kernels.reference.dropout.forward(
        np.ones((30, 20), np.float32), rate=0.4, seed=11, stream=15)[1])


@pytest.mark.parametrize("change", ("rate", "seed", "calls"))
def test_a_change_of_dropout_in_a_callback_is_noticed(monkeypatch, change):
    value = 0.8 if change == "rate" else 5

    def train(model):
        model.train(X, Y, epochs=6, batch_size=30, shuffle=False,
                    callback=lambda epoch: epoch == 3 and setattr(model.layers[1], change, value))

    model = same_training(monkeypatch, dropping, train)
    assert model.layers[1].rate == (0.8 if change == "rate" else 0.4)
    assert model.layers[1].calls == (5 + 9 if change == "calls" else 18)


def test_several_dropouts(monkeypatch):
    def build():
        model, random = nn.Model(), np.random.default_rng(1)
        for part in (nn.Dropout(0.1, seed=2**64 - 1), nn.Dense(6, 20, activation="relu", rng=random),
                     nn.Dropout(0.5, seed=1), nn.ReLU(), nn.Dropout(0.2, seed=2), nn.Dense(20, 4, rng=random),
                     nn.Softmax()):
            model.add(part)
        model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.01), accuracy=nn.Accuracy())
        model.finalize()
        return model

    def train(model):
        model.train(X, Y, epochs=4, batch_size=32, shuffle=True, seed=3)
        model.train(X, Y, epochs=9)

    model = same_training(monkeypatch, build, train)
    assert [layer.calls for layer in model.layers if isinstance(layer, nn.Dropout)] == [21, 21, 21]
    assert model._steps.plans[70].usable


WEIGHTS = rng.random(SAMPLES)


@pytest.mark.parametrize("kind", ("numbers", "classes", "both", "smoothed", "binary"))
def test_weights_and_smoothed_labels_are_recorded_too(monkeypatch, kind):
    more = {} if kind == "numbers" else {"label_smoothing": 0.1} if kind == "smoothed" else {
        "class_weights": [1, 2.5] if kind == "binary" else [0.5, 1, 2, 0]}
    given = {"sample_weight": WEIGHTS} if kind in ("numbers", "both") else {}

    def build():
        if kind != "binary":
            model = network()
            model.set(loss=nn.CategoricalCrossentropy(**more))
        else:
            model = nn.Model()
            for part in (nn.Dense(6, 5, rng=0), nn.Tanh(), nn.Dense(5, 1, activation="sigmoid", rng=1)):
                model.add(part)
            model.set(loss=nn.BinaryCrossentropy(**more), optimizer=nn.Adam(0.01), accuracy=nn.BinaryAccuracy())
        model.finalize()
        return model

    def train(model):
        y = Y % 2 if kind == "binary" else Y
        validation = (X[:9], y[:9], *[values[:9] for values in given.values()])
        model.train(X, y, epochs=3, batch_size=30, shuffle=True, seed=3, **given)
        model.train(X, y, epochs=2, validation_data=validation, **given)
        model.train(X, y, epochs=9, **given)
        model.train(X, y, epochs=3)  # without numbers, another step

    model = same_training(monkeypatch, build, train)
    assert model._steps.plans[70].usable
    other, given = build(), {}
    other.set(loss=type(other.loss)())
    other.finalize()
    train(other)
    assert bits(other) != bits(model)


def narrow():
    model = nn.Model()
    for part in (nn.Dense(1, 8, activation="tanh", rng=0), nn.Dense(8, 1, activation="sigmoid", rng=1)):
        model.add(part)
    model.set(loss=nn.BinaryCrossentropy(), optimizer=nn.SGD(0.5))
    model.finalize()
    return model


def test_weights_that_lie_in_the_memory_of_the_inputs(monkeypatch):
    x, y = np.abs(X[:, :1]).copy(), Y % 2

    def train(model):
        for weights in (x[:, 0], np.linspace(0, 2, SAMPLES, dtype=np.float32)):
            model.train(x, y, epochs=3, sample_weight=weights)
            model.train(x, y, epochs=2, batch_size=30, shuffle=False, sample_weight=weights)

    model = same_training(monkeypatch, narrow, train)
    assert model._steps.plans[30].usable


def test_weights_that_are_an_output_of_the_model(monkeypatch):
    def train(model):
        for _ in range(4):
            model.train(X[:, :1], Y % 2, epochs=3)
            model.train(X[:, :1], Y % 2, epochs=3, sample_weight=model.layers[-1].output.reshape(-1))

    same_training(monkeypatch, narrow, train)


def test_weights_that_are_not_contiguous_are_recorded(monkeypatch):
    weights = np.repeat(WEIGHTS.astype(np.float32), 2)[::2]

    def train(model):
        for size in (1, 30):
            model.train(X, Y, epochs=3, batch_size=size, shuffle=False, sample_weight=weights)

    assert same_training(monkeypatch, network, train)._steps.plans[30].usable


def soft(**more):
    model = network(nn.SGD(0.1), one_loss=True)
    model.set(loss=nn.SoftmaxCategoricalCrossentropy(**more))
    model.finalize()
    return model


@pytest.mark.parametrize("more", ({"label_smoothing": 0.25}, {"class_weights": [1, 2, 0.5, 3]},
                                  {"label_smoothing": 0.25, "class_weights": [1, 2, 0.5, 3]}))
def test_a_loss_that_was_given_weights_since_finalize(monkeypatch, more):
    def train(model):
        def late(epoch):  # the labels of this training are prepared
            for name in more if epoch == 2 else ():
                setattr(model.loss, name, more[name])

        model.train(X, Y, epochs=4, callback=late)
        model.train(X, Y, epochs=2)
        model.loss.label_smoothing, model.loss.class_weights = 0.0, None
        model.train(X, Y, epochs=2)

    model, other = same_training(monkeypatch, soft, train), soft()
    for epochs, given in ((4, {}), (2, more), (2, {})):
        other.set(loss=nn.SoftmaxCategoricalCrossentropy(**given))
        other.finalize()
        other.train(X, Y, epochs=epochs)
    assert bits(model) == bits(other) and model.history == other.history


def clipped(norm, **more):
    model = network(**more)
    model.set(clip_norm=norm)
    model.finalize()
    return model


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("loose", (False, True))
@pytest.mark.parametrize("regularized", (False, True))
def test_clipped_gradients_are_recorded_too(monkeypatch, dtype, loose, regularized):
    def train(model):
        model.train(X, Y, epochs=3, batch_size=30, shuffle=False)
        model.train(X, Y, epochs=8)
        if model.clip_norm == 0.01:
            norm = np.sqrt(sum(np.sum(gradient.astype(float)**2) for layer in model.trainable_layers
                               for gradient in (layer.dweights, layer.dbiases)))
            assert norm == pytest.approx(0.01, rel=1e-3)  # 1e-6 is added to it

    more = {"dtype": dtype, "loose": loose, "regularized": regularized}
    model = same_training(monkeypatch, lambda: clipped(0.01, **more), train)
    free, unclipped = clipped(100.0, **more), network(**more)
    for each in (free, unclipped):
        train(each)
    assert bits(free) == bits(unclipped) != bits(model)


def test_clipping_switched_in_a_callback(monkeypatch):
    def train(model):
        def switch(epoch):
            if epoch in (2, 4, 6):
                model.clip_norm = {2: 0.01, 4: 0.02, 6: None}[epoch]

        model.train(X, Y, epochs=8, callback=switch)

    same_training(monkeypatch, network, train)


@pytest.mark.parametrize("first", ("input", "flatten", "both"))
def test_layers_that_pass_the_batch_on_show_the_last_one(monkeypatch, first):
    def build():
        model, random = nn.Model(), np.random.default_rng(1)
        for part in (nn.Input(6) if first == "input" else nn.Input((2, 3)) if first == "both" else nn.Flatten(),
                     *([nn.Flatten()] if first == "both" else []), nn.Dense(6, 20, activation="relu", rng=random),
                     nn.Dense(20, 4, rng=random), nn.Softmax()):
            model.add(part)
        model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.01), accuracy=nn.Accuracy())
        model.finalize()
        return model

    x = X if first == "input" else X.reshape(-1, 2, 3)

    def train(model):
        model.train(x, Y, epochs=3, batch_size=20, shuffle=True, seed=1)
        model.train(x, Y, epochs=4, batch_size=25, shuffle=False)
        for _ in range(3):
            model.predict(x[:2])

    model = same_training(monkeypatch, build, train)
    assert model._steps.plans[25].usable
    wide = build()
    wide.train(x.astype(np.float64), Y, epochs=3, batch_size=20, shuffle=True, seed=1)
    wide.train(x.astype(np.float64), Y, epochs=4, batch_size=25, shuffle=False)
    assert wide._steps.plans[25].usable and bits(wide) == bits(model)
    assert all(layer.inputs is not None and len(layer.inputs) == 20 for layer in model.layers[:-1])


def test_a_training_with_dropout_repeats_under_its_seed(monkeypatch):
    def train(model):
        model.train(X, Y, epochs=4, batch_size=32, shuffle=True, seed=3)
        model.train(X, Y, epochs=3)

    model = same_training(monkeypatch, dropping, train)
    other, none = dropping(seed=12), dropping(rate=0)
    for each in (other, none):
        train(each)
    assert len({tuple(bits(each)) for each in (model, other, none)}) == 3
    # a copy goes on with the masks that its original would take
    clone = pickle.loads(pickle.dumps(model))
    for each in (model, clone):
        each.train(X, Y, epochs=2)
    assert bits(model) == bits(clone)


def test_predictions_and_evaluations_do_not_drop():
    model = dropping(rate=0.9)
    model.train(X, Y, epochs=2)
    plain = nn.Model()
    for layer in (model.layers[0], *model.layers[2:]):
        plain.add(layer)
    plain.set(loss=nn.CategoricalCrossentropy(), accuracy=nn.Accuracy())
    plain.finalize()
    for x in (X, X[:3], X[:3], X[:3], X[3:6]):  # a few samples would be recorded
        assert model.predict(x).tobytes() == plain.predict(x).tobytes()
    assert model.evaluate(X, Y) == plain.evaluate(X, Y)
    assert model.evaluate(X, Y, batch_size=11) == plain.evaluate(X, Y, batch_size=11)
    assert model.layers[1].calls == 2
    assert model.forward(X).tobytes() != plain.predict(X).tobytes()  # in training it does


def test_the_width_behind_dropout_is_known():
    model = nn.Model()
    for part in (nn.Dense(6, 20), nn.Dropout(0.1), nn.Dense(19, 4)):
        model.add(part)
    with pytest.raises(ValueError, match="must have 20 inputs, not"):
        model.finalize()


def test_attributes_are_those_of_the_last_batch(monkeypatch):
    def train(model):
        model.train(X, Y, epochs=2, batch_size=40, shuffle=False)

    recorded = same_training(monkeypatch, network, train)
    layer_by_layer(monkeypatch)
    plain = network()
    train(plain)
    for layer, other in zip(recorded.layers, plain.layers):
        for name in ARRAYS:
            ours, theirs = getattr(layer, name, None), getattr(other, name, None)
            assert (ours is None) == (theirs is None), f"{layer}: {name}"
            if ours is not None and theirs is not None:
                assert ours.shape == theirs.shape and ours.tobytes() == theirs.tobytes(), f"{layer}: {name}"


def test_labels_changed_by_a_callback_do_not_reach_the_kernels():
    y = Y.copy()

    def spoil(epoch):
        y[:] = 10**9

    model, other = network(), network()
    model.train(X, y, epochs=3, callback=spoil)
    other.train(X, Y, epochs=3)
    assert bits(model) == bits(other)


def test_the_data_is_not_held_after_the_training():
    x, y = X.copy(), Y.copy()
    model = network()
    model.train(x, y, epochs=2, batch_size=32, shuffle=False)
    model.train(X, Y, epochs=1, batch_size=32, shuffle=False)
    gone = weakref.ref(x)
    del x
    assert gone() is None


def test_parameters_are_views_of_one_array():
    model = network()
    model.train(X, Y)
    parameters = model._steps.parameters
    for layer, gradients in zip(model.trainable_layers, parameters.cut(parameters.gradients)):
        assert all(np.shares_memory(x, parameters.values) for x in layer.parameters.values())
        assert np.array_equal(gradients["weights"], layer.dweights)
        assert np.array_equal(gradients["biases"], layer.dbiases[0])
        assert layer.dbiases.shape == layer.biases.shape


@pytest.mark.parametrize("make", (lambda: nn.Adam(0.03), lambda: nn.SGD(0.1, momentum=0.5), nn.Adagrad, nn.RMSprop))
def test_another_optimizer_of_the_same_kind_in_a_callback(monkeypatch, make):
    # its state is its own: not that of the recorded update
    def other(model):
        model.optimizer = make()
        model.finalize()

    same_training(monkeypatch, lambda: network(make()), changes(other, epochs=5))


def test_an_optimizer_of_a_user_in_a_callback(monkeypatch):
    def other(model):
        model.optimizer = Halved(0.1)
        model.finalize()

    same_training(monkeypatch, lambda: network(nn.SGD(0.1)), changes(other, epochs=5))


def test_inputs_of_another_dtype_in_the_next_training(monkeypatch):
    def train(model):
        for x in (X, X.astype(np.float64), X):
            model.train(x, Y, epochs=2, batch_size=32, shuffle=False)

    same_training(monkeypatch, lambda: network(loose=True), train)


def test_a_step_is_recorded_anew_for_another_number_of_threads():
    before = kernels.get_num_threads()
    if before == 1:
        pytest.skip("one thread")
    try:
        model = network()
        model.train(X, Y)
        plan = model._steps.plans[SAMPLES]
        kernels.set_num_threads(1)
        model.train(X, Y)
        assert model._steps.plans[SAMPLES] is not plan
    finally:
        kernels.set_num_threads(before)


def test_attributes_are_those_of_the_plan_that_ran_last():
    model = network()
    model.train(X, Y, epochs=2, batch_size=40, shuffle=False)  # plans for 40 and 30
    model.train(X[:40], Y[:40])
    assert model.layers[0].output.shape == (40, 20) and model.layers[-1].dinputs.shape == (40, 4)


def test_the_data_of_a_single_training_is_not_held():
    x, y = X.copy(), Y.copy()
    model = network()
    model.train(x, y, epochs=3, batch_size=35, shuffle=False)
    gone = weakref.ref(x)
    del x
    model.layers[0].inputs = None
    assert gone() is None


@pytest.mark.parametrize("name", ("forward", "backward"))
def test_a_method_of_a_class_that_a_user_replaced_is_called_at_each_step(monkeypatch, name):
    model, calls = network(), []
    usual = getattr(nn.Dense, name)
    monkeypatch.setattr(nn.Dense, name, lambda *args, **more: calls.append(1) or usual(*args, **more))
    model.train(X, Y, epochs=5)
    assert len(calls) == 15


def test_a_method_put_into_an_object_after_a_training_is_called():
    model, calls = network(), []
    model.train(X, Y)
    layer = model.layers[0]
    usual = layer.backward
    layer.backward = lambda *args, **more: calls.append(1) or usual(*args, **more)
    model.train(X, Y, epochs=3)
    assert len(calls) == 3


def test_a_softmax_of_a_user_is_not_joined_with_the_loss():
    class Warm(nn.Softmax):
        def forward(self, x, training=True):
            return super().forward(np.asarray(x) / 5, training)

    model = nn.Model()
    for layer in (nn.Dense(6, 4, rng=0), Warm()):
        model.add(layer)
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(0.1), accuracy=nn.Accuracy())
    model.finalize()
    p = model.predict(X)
    assert np.isclose(model.evaluate(X, Y)[0], -np.log(p[np.arange(SAMPLES), Y]).mean(), rtol=1e-5)


def test_labels_are_checked_against_a_head_that_was_cut():
    layer = nn.Dense(6, 10, rng=0)
    model = nn.Model()
    model.add(layer)
    model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.SGD(0.1))
    model.finalize()
    layer.n_neurons = 3
    layer.weights, layer.biases = layer.weights[:, :3], np.zeros(3)
    y = Y % 3
    model.train(X, y, batch_size=10, shuffle=False)
    y[40] = 9
    with pytest.raises(ValueError, match="labels must lie in 0..2, got 9"):
        model.train(X, y, batch_size=10, shuffle=False)


def test_layers_exchanged_without_finalize_are_noticed():
    model = network()
    model.train(X, Y)
    model.layers[1] = nn.Dense(20, 9, rng=5)
    for call in (model.train, model.evaluate):
        with pytest.raises(RuntimeError, match="not finalized"):
            call(X, Y)
    with pytest.raises(RuntimeError, match="not finalized"):
        model.predict(X)


def test_attributes_after_a_prediction_between_trainings(monkeypatch):
    def train(model):
        model.train(X, Y)
        model.predict(X * 0)
        model.train(X, Y)
        model.backward(model._step.batch_loss.output, Y)
        model.history["loss"] += [float(layer.dweights.sum()) for layer in model.trainable_layers]

    same_training(monkeypatch, network, train)


def test_inputs_that_are_the_models_own_arrays(monkeypatch):
    def build():
        model = nn.Model()
        for size in range(2):
            model.add(nn.Dense(6, 6, activation="tanh", rng=size))
        model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.SGD(0.5))
        model.finalize()
        return model

    def train(model):
        model.train(X[:6], Y[:6], epochs=2)
        for layer, name in ((0, "output"), (1, "dweights"), (0, "weights"), (1, "dinputs")):
            model.train(getattr(model.layers[layer], name), Y[:6])
        model.train(X[6:12], Y[:6])

    same_training(monkeypatch, build, train)


@pytest.mark.parametrize("value, error", ((float("nan"), ValueError), ("a", TypeError), (None, TypeError)))
def test_a_learning_rate_that_is_no_number_is_named(value, error):
    model = network(nn.SGD(lambda iteration: 0.1 if iteration < 4 else value))
    model.train(X, Y, epochs=4)
    before = bits(model)
    with pytest.raises(error, match="the rate that learning_rate returned for iteration 4 must be "):
        model.train(X, Y)
    assert bits(model) == before


def test_a_schedule_beyond_all_floats_is_named_when_its_turn_comes(monkeypatch):
    at_once(monkeypatch, 10**6)
    model = network(nn.SGD(nn.schedules.Exponential(2.0**1000, factor=2)))
    with pytest.warns(RuntimeWarning, match="the loss is nan"), pytest.raises(
            ValueError, match="the rate that learning_rate returned for iteration 24 must be finite .*, got inf"):
        model.train(X, Y, epochs=30)
    assert model.optimizer.iterations == 24


@pytest.fixture
def recordings(monkeypatch):
    """A list that gets an entry for each recording."""
    found, known = [], nn.backend.capture
    monkeypatch.setattr(nn.backend, "capture", lambda: found.append(1) or known())
    return found


@pytest.mark.parametrize("given", ("argument", "attribute", "schedule", "own"))
@pytest.mark.parametrize("kind", (np.float32, np.float64, lambda value: np.array(value, np.float32), Decimal, Fraction))
def test_any_number_is_recorded_as_a_float_is(monkeypatch, recordings, kind, given):
    at_once(monkeypatch, 4)

    def trained(number):
        rate = number(0.1)
        if given == "schedule":
            rate = lambda iteration: number(0.1)  # noqa: E731
        elif given == "own":
            rate = nn.schedules.Constant(0.5)
            rate.rate = number(0.1)
        model = network(nn.Adam(0.5 if given == "attribute" else rate))
        if given == "attribute":
            for name in ("learning_rate", "decay", "epsilon", "beta_1", "beta_2", "weight_decay"):
                setattr(model.optimizer, name, number(0.1))
        model.clip_norm = number(0.5)
        model.train(X, Y, epochs=9)
        model.train(X, Y, batch_size=14)
        assert json.loads(json.dumps(model.history)) == model.history
        assert {type(each) for values in model.history.values() for each in values} == {float}
        return bits(model), model.history, len(recordings)

    found = trained(kind)
    # a step and its clipping, the same again to compare, the update, then a step of another size
    assert found[2] == 7
    del recordings[:]
    assert found == trained(lambda value: float(kind(value)))


def test_regularizers_of_another_kind_are_recorded_once(recordings):
    found = []
    for kind in (np.float32, float):
        model = network(regularized=True)
        for layer in model.layers[1:3]:
            layer.weight_regularizer_l2, layer.bias_regularizer_l1 = kind(0.25), kind(0.125)
        del recordings[:]
        model.train(X, Y, epochs=5)
        assert json.dumps(model.history)
        found.append((bits(model), model.history, len(recordings)))
    assert found[0] == found[1] and found[0][2] == 3  # the step, the same to compare, the update


def test_references_to_parameters_stay_alive():
    model = network()
    weights, biases = model.layers[0].weights, model.layers[0].biases
    model.train(X, Y)
    model.layers[1].weights = np.ones((20, 9))
    model.train(X, Y, batch_size=30, shuffle=False)
    assert np.shares_memory(weights, model.layers[0].weights) and np.array_equal(biases, model.layers[0].biases)
    assert (model.layers[1].weights != 1).any()


def test_plans_of_other_sizes_are_forgotten():
    model = network()
    for size in range(20, 30):
        model.train(X, Y, batch_size=size, shuffle=False)
    assert sorted(model._steps.plans) == [SAMPLES % 29, 29]


def test_a_recorded_step_compiles_nothing_more():
    """An elementwise first layer takes the batch as a vector, on threads too: the next batches as well."""
    times = -(-kernels.tanh.PARALLEL_FROM // X.size)
    x, y = np.repeat(X, times, 0), np.repeat(Y, times)
    model = network(loose=True)
    model.train(x, y, epochs=1)
    nest = kernels.tanh._forward_blocks.threads
    assert kernels.get_num_threads() == 1 or nest.overloads
    model.train(x, y, epochs=2)
    assert all(kinds[0].ndim == 1 for kinds in nest.overloads)


# ---- predictions of a few samples


def recorded_predictions(model):
    """The shapes of inputs whose predictions are repeated."""
    return [shape for shape, forward in model._predictions._state[1].items() if forward is not None and forward.ready]


def layer_by_layer_outputs(model, x):
    return model.forward(x, training=False)


def assert_predicted(model, x):
    """Three times: as it comes, recorded, and from the recording; the bits of layer by layer, in new arrays."""
    expected = layer_by_layer_outputs(model, x).copy()
    found = [model.predict(x) for _ in range(3)]
    assert [y.tobytes() for y in found] == 3 * [expected.tobytes()]
    assert found[0].dtype == expected.dtype and found[0].shape == expected.shape
    assert not any(np.shares_memory(found[2], y) for y in found[:2])
    assert model.layers[-1].output.tobytes() == expected.tobytes()
    return found


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("loose", (False, True))
@pytest.mark.parametrize("samples", (1, 2, 31))
def test_few_samples_are_predicted_from_a_recording(dtype, loose, samples):
    model = network(dtype=dtype, loose=loose)
    x = X[:samples].astype(dtype)
    assert_predicted(model, x)
    assert recorded_predictions(model) == [x.shape]
    assert not np.shares_memory(model.predict(x), model.layers[-1].output)
    for other in (x + 1, np.asfortranarray(x), x[::-1], x.tolist(), x.astype(np.float64), np.repeat(x, 2, 1)[:, ::2]):
        assert model.predict(other).tobytes() == layer_by_layer_outputs(model, other).tobytes()


def changed_weights(model):
    model.layers[0].weights = model.layers[0].weights * 2


def changed_in_place(model):
    model.layers[0].weights[...] *= -1


def changed_biases(model):
    model.layers[-2].biases = model.layers[-2].biases + 1


def changed_by_training(model):
    model.train(X, Y, epochs=2)


def changed_activation(model):
    model.layers[0].activation = "sigmoid"
    model.finalize()


def changed_layer(model):
    model.layers[1] = nn.Dense(20, 9, rng=np.random.default_rng(7))
    model.finalize()


def changed_method(model):
    layer = model.layers[0]
    usual = layer.forward
    layer.forward = lambda x, training=True: usual(x, training) + 1


@pytest.mark.parametrize("change", (changed_weights, changed_in_place, changed_biases, changed_by_training,
                                    changed_activation, changed_layer, changed_method))
def test_predictions_follow_every_change(change):
    model, x = network(), X[:1]
    before = assert_predicted(model, x)[2]
    change(model)
    expected = layer_by_layer_outputs(model, x)
    assert model.predict(x).tobytes() == expected.tobytes() != before.tobytes()
    assert_predicted(model, x + 1)


def test_a_method_of_the_class_replaced_between_predictions(monkeypatch):
    model, x = network(), X[:1]
    expected = assert_predicted(model, x)[2]
    usual = nn.Dense.forward
    monkeypatch.setattr(nn.Dense, "forward", lambda self, x, training=True: 0 * usual(self, x, training))
    assert model.predict(x).tolist() == [[0.25] * 4] != expected.tolist()
    monkeypatch.undo()
    assert_predicted(model, x)


def test_predictions_on_the_other_twin():
    model, x = network(), X[:1]
    assert_predicted(model, x)
    with nn.use("numpy"):
        expected = layer_by_layer_outputs(model, x)
        assert model.predict(x).tobytes() == expected.tobytes()
    assert_predicted(model, x)


def test_a_recorded_prediction_holds_no_samples():
    model, x = network(), X[:2].copy()
    assert_predicted(model, x)
    held = weakref.ref(x)
    model.layers[0].inputs = None
    del x
    gc.collect()  # Numba's first compilation may leave the frames of its callers in cycles
    assert held() is None


def test_a_converted_batch_is_not_recorded():
    """A first layer without a dtype of its own passes float64 on, and the next one converts it."""
    model = nn.Model()
    for part in (nn.Tanh(), nn.Dense(6, 4, rng=0)):
        model.add(part)
    model.finalize()
    for row in range(4):
        x = X[row:row + 1].astype(np.float64)
        assert model.predict(x).tobytes() == layer_by_layer_outputs(model, x).tobytes()


def test_predictions_of_layers_of_two_dtypes_are_not_recorded():
    """What one layer gives is converted for the next, which no recorded call does."""
    model = nn.Model()
    model.add(nn.Dense(6, 5, rng=0))
    model.add(nn.Dense(5, 4, rng=1, dtype=np.float64))
    model.finalize()
    for row in range(4):
        x = X[row:row + 1]
        assert model.predict(x).tobytes() == layer_by_layer_outputs(model, x).tobytes()


def test_threads_predict_with_one_model():
    model = network()
    batches = [X[number:number + 1] + number for number in range(4)]
    expected = [layer_by_layer_outputs(model, x).tobytes() for x in batches]
    wrong = []

    def work(number):
        for _ in range(2000):
            if model.predict(batches[number]).tobytes() != expected[number]:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_model_with_recorded_predictions_is_copied_and_pickled():
    model, x = network(), X[:1]
    expected = assert_predicted(model, x)[2]
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_predicted(other, x)
        other.layers[0].weights = 0 * other.layers[0].weights
        assert other.predict(x).tobytes() != expected.tobytes()
    assert model.predict(x).tobytes() == expected.tobytes()


def change_a_regularizer(model):
    model.layers[1].weight_regularizer_l1 = 0.125


def test_a_regularizer_set_in_a_callback(monkeypatch):
    for regularized in (False, True):
        model = same_training(monkeypatch, lambda: network(regularized=regularized), changes(change_a_regularizer))
        assert model.history["regularization_loss"][-1] > 0


@pytest.mark.parametrize("loss, last", (
    *[(loss, last) for loss in (nn.MeanSquaredError, nn.MeanAbsoluteError, lambda: nn.Huber(0.5))
      for last in (nn.Sigmoid, nn.Linear)],
    (nn.BinaryCrossentropy, nn.Sigmoid), (nn.SigmoidBinaryCrossentropy, nn.Linear)))
@pytest.mark.parametrize("columns", (1, 3))
def test_losses_of_the_outputs_are_recorded_too(monkeypatch, loss, last, columns):
    targets = np.random.default_rng(3).random((SAMPLES, columns))
    metric = nn.BinaryAccuracy if last is nn.Sigmoid else nn.RegressionAccuracy

    def build():
        model, random = nn.Model(), np.random.default_rng(1)
        for part in (nn.Dense(6, 20, rng=random), nn.LeakyReLU(0.1), nn.Dense(20, columns, rng=random), last()):
            model.add(part)
        model.set(loss=loss(), optimizer=nn.Adam(0.01), accuracy=metric())
        model.finalize()
        return model

    def train(model):
        model.train(X, targets, epochs=3, batch_size=32, shuffle=False, validation_data=(X, targets))
        model.train(X, targets[:, 0] if columns == 1 else targets, epochs=6)

    model = same_training(monkeypatch, build, train)
    assert model._steps.plans[SAMPLES].usable and model.history["loss"][-1] < model.history["loss"][0]
    assert all(0 <= share <= 1 for share in model.history["accuracy"])


@pytest.mark.parametrize("apart", (True, False), ids=("layer", "activation"))
@pytest.mark.parametrize("depth", (0, 1))
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_a_sigmoid_that_is_joined_with_its_loss(monkeypatch, apart, depth, dtype):
    x, y = X.astype(dtype), (Y % 2)[:, None]

    def build():
        model, random = nn.Model(), np.random.default_rng(1)
        if depth:
            model.add(nn.Dense(6, 6, activation="tanh", rng=random, dtype=dtype))
        model.add(nn.Dense(6, 1, rng=random, dtype=dtype, weight_regularizer_l2=1e-3,
                           activation=None if apart else "sigmoid"))
        if apart:
            model.add(nn.Sigmoid())
        model.set(loss=nn.BinaryCrossentropy(class_weights=[1, 2]), optimizer=nn.Adam(0.01),
                  accuracy=nn.BinaryAccuracy(), clip_norm=0.5)
        model.finalize()
        return model

    def train(model):
        model.train(x, y, epochs=3, batch_size=32, validation_data=(x[:9], y[:9]), shuffle=True, seed=0)
        model.predict(x[:5])
        model.train(x, y, epochs=6, sample_weight=WEIGHTS)

    model = same_training(monkeypatch, build, train)
    assert model._steps.plans[SAMPLES].usable
    last = model.layers[-1]
    assert ((last.output > 0) & (last.output < 1)).all()
    outputs = last.output.copy()
    again = build()
    again.set_parameters(model.get_parameters())
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    model.train_step(x, y)  # layer by layer: the outputs are those of before the update
    np.testing.assert_array_equal(last.output, again.predict(x))
    assert outputs.shape == last.output.shape


def test_log_probabilities_are_recorded_too(monkeypatch):
    def build():
        model = network(one_loss=True)
        model.add(nn.LogSoftmax())
        model.set(loss=nn.NegativeLogLikelihood())
        model.finalize()
        return model

    def train(model):
        model.train(X, Y, epochs=3, batch_size=32, validation_data=(X, Y))
        model.train(X, np.eye(4)[Y], epochs=6)

    model, joined = same_training(monkeypatch, build, train), network()
    train(joined)
    assert model._steps.plans[SAMPLES].usable
    np.testing.assert_allclose(model.history["loss"], joined.history["loss"], rtol=1e-4)
    assert model.history["accuracy"] == joined.history["accuracy"]


def test_a_precision_set_in_a_callback(monkeypatch):
    def build():
        model = nn.Model()
        model.add(nn.Dense(6, 1, rng=0))
        model.set(loss=nn.MeanSquaredError(), optimizer=nn.SGD(0.01), accuracy=nn.RegressionAccuracy(0.5))
        model.finalize()
        return model

    def widen(model):
        model.accuracy.precision = 100.0

    def train(model):
        model.train(X, X[:, :1], epochs=4, callback=lambda epoch: epoch == 2 and widen(model))

    model = same_training(monkeypatch, build, train)
    assert model.history["accuracy"][1] < model.history["accuracy"][2] == 1


# ---- what a recording could miss


class Clipped(nn.Model):
    def backward(self, *args, **more):
        super().backward(*args, **more)
        for layer in self.trainable_layers:
            layer.dweights[...] *= np.float32(0.5)


class Doubling(nn.Model):
    def forward(self, X, training=True):
        return 2 * super().forward(X, training)


def as_kind(kind):
    model = network()
    model.__class__ = kind
    return model


def test_a_model_of_a_user_with_another_backward(monkeypatch):
    model = same_training(monkeypatch, lambda: as_kind(Clipped), lambda model: model.train(X, Y, epochs=4))
    plain = network()
    plain.train(X, Y, epochs=4)
    assert bits(model) != bits(plain)


def test_a_models_own_backward_is_called_at_each_step():
    model, calls = network(), []
    model.train(X, Y)
    usual = model.backward
    model.backward = lambda *args, **more: calls.append(1) or usual(*args, **more)
    model.train(X, Y, epochs=3)
    assert len(calls) == 3


def test_a_models_own_forward_predicts():
    model, plain = as_kind(Doubling), network()
    expected = 2 * plain.predict(X[:2])
    assert all(np.array_equal(model.predict(X[:2]), expected) for _ in range(4))
    recorded = assert_predicted(plain, X[:2])[2]
    usual = plain.forward
    plain.forward = lambda *args: 2 * usual(*args)
    assert np.array_equal(plain.predict(X[:2]), 2 * recorded)


@pytest.mark.parametrize("part, name, value", (("loss", "targets", None), ("accuracy", "hits", 1),
                                               ("layer", "penalties", [0.25]), ("loss", "regularization_loss", 0.5)))
def test_other_methods_of_one_object_are_called_at_each_step(monkeypatch, part, name, value):
    def replace(model):
        target = model.layers[1] if part == "layer" else getattr(model, part)
        setattr(target, name, getattr(target, name) if value is None else lambda *args: value)

    model = same_training(monkeypatch, lambda: network(one_loss=True), changes(replace))
    assert model._steps.plans == {}


def freeze(model, *frozen):
    """Train all layers with weights but those of these numbers."""
    for number, layer in enumerate(model._parametrized()):
        layer.trainable = number not in frozen


@pytest.mark.parametrize("options", ({}, {"loose": True}, {"regularized": True}, {"dtype": np.float64}))
@pytest.mark.parametrize("frozen", ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2)))
def test_frozen_layers_are_recorded_too(monkeypatch, frozen, options):
    """Also when they change, and with gradients of another backward in the layers."""
    x = X.astype(options.get("dtype", np.float32))

    def train(model):
        layers = model._parametrized()
        model.train(x, Y, epochs=3)
        freeze(model, *frozen)
        kept = [layer.weights.copy() for layer in layers]
        model.train(x, Y, epochs=4)
        for number, (layer, weights) in enumerate(zip(layers, kept)):
            assert np.array_equal(layer.weights, weights) == (number in frozen)
        model.backward(model.forward(2 * x), Y)
        layers[frozen[0]].weights[...] *= 2
        model.train(x, Y, epochs=2)
        layers[frozen[0]].weights = layers[frozen[0]].weights / 2
        layers[frozen[0]].biases = layers[frozen[0]].biases + 1
        model.train(x, Y, epochs=4)
        model.train(x, Y, epochs=2, batch_size=40)

    model = same_training(monkeypatch, lambda: network(**options), train)
    assert model._steps.plans[40].usable


def test_a_layer_frozen_and_thawed_in_a_callback(monkeypatch):
    """As many layers of the same shapes as before: a recording of the others must not run."""
    def build():
        model = nn.Model()
        for seed in range(3):
            model.add(nn.Dense(6, 6, activation="tanh" if seed < 2 else None, rng=seed))
        model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.SGD(0.5, momentum=0.5))
        model.clip_norm = 0.5
        model.finalize()
        return model

    def train(model):
        still = []

        def change(epoch):
            still.append([layer.weights.copy() for layer in model.layers])
            freeze(model, epoch % 4)  # 3: none

        model.train(X, Y, epochs=8, batch_size=20, callback=change)
        model.train(X, Y, batch_size=20, callback=lambda epoch: change(8))
        for epoch, pairs in enumerate(zip(still, still[1:]), 1):
            assert [np.array_equal(*pair) for pair in zip(*pairs)] == [epoch % 4 == number for number in range(3)]

    assert same_training(monkeypatch, build, train)._steps.plans[20].usable


def test_frozen_layers_before_the_trained_ones_get_no_gradients():
    model = network(loose=True)
    freeze(model, 0, 1)
    for _ in range(2):  # recorded, and layer by layer
        model.train(X, Y, epochs=3)
        model.train_step(X, Y)
    for layer in model.layers[:5]:
        assert layer.dinputs is None and getattr(layer, "dweights", None) is None
    assert model.layers[5].dweights is not None


def test_with_all_layers_frozen_nothing_is_trained(monkeypatch):
    def train(model):
        freeze(model, 0, 1, 2)
        before = bits(model)
        model.train(X, Y, epochs=3)
        assert bits(model) == before and len(set(model.history["loss"])) == 1
        assert model.layers[0].dweights is model.layers[2].dinputs is None
        freeze(model)
        model.train(X, Y, epochs=3)
        assert bits(model) != before

    same_training(monkeypatch, network, train)


def thawed(model, between=lambda model: model, wait=lambda model: None):
    """A training with the first layer frozen for a while, and another one behind; `between` may exchange the model."""
    for frozen, epochs in (((), 3), ((0,), 4), ((), 3), ((1,), 2), ((0, 2), 2), ((), 5)):
        freeze(model, *frozen)
        model = between(model)
        model.train(X, Y, epochs=epochs, batch_size=20)
        model.train(X, Y, epochs=epochs)
        wait(model)
    return model


FROZEN = {"adam": nn.Adam, "adamw": lambda: nn.AdamW(0.01, decay=0.01), "momentum": lambda: nn.SGD(0.1, momentum=0.9),
          "adagrad": lambda: nn.Adagrad(0.1), "rmsprop": lambda: nn.RMSprop(0.01)}


@pytest.mark.parametrize("optimizer", FROZEN)
def test_layers_frozen_and_thawed(monkeypatch, optimizer, tmp_path):
    def loaded(model):
        model.save(tmp_path / "a.npz")
        return nn.Model.load(tmp_path / "a.npz")

    def build():
        return network(FROZEN[optimizer]())

    model = same_training(monkeypatch, build, thawed)
    assert model._steps.plans[SAMPLES].usable
    # only what has no corrections, which differ, is updated by one recorded call
    assert model.optimizer.recorded(model._steps.parameters) == ("adam" not in optimizer)
    for between in (loaded, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))):
        other = thawed(build(), between)
        assert bits(other) == bits(model) and other.history == model.history


@pytest.mark.parametrize("optimizer, theirs", (
    (lambda: nn.Adam(0.01), lambda torch, p: torch.optim.Adam(p, 0.01, eps=1e-7)),
    (lambda: nn.AdamW(0.01, weight_decay=0.1), lambda torch, p: torch.optim.AdamW(p, 0.01, eps=1e-7, weight_decay=0.1)),
    (lambda: nn.SGD(0.1, momentum=0.9), lambda torch, p: torch.optim.SGD(p, 0.1, momentum=0.9)),
    (lambda: nn.RMSprop(0.01), lambda torch, p: torch.optim.RMSprop(p, 0.01, alpha=0.9, eps=1e-7))))
def test_layers_frozen_and_thawed_as_in_pytorch(torch, optimizer, theirs):
    model = network(optimizer(), dtype=np.float64)
    parameters = [torch.tensor(p, requires_grad=True) for pair in model.get_parameters() for p in pair]
    inputs, labels, other = torch.tensor(X.astype(float)), torch.tensor(Y), theirs(torch, parameters)
    w1, b1, w2, b2, w3, b3 = parameters
    for frozen, epochs in (([0], 5), ([], 3), ([1, 2], 4), ([], 10)):
        freeze(model, *frozen)
        model.train(X.astype(float), Y, epochs=epochs)
        for _ in range(epochs):
            other.zero_grad()
            scores = torch.tanh(torch.relu(inputs @ w1 + b1) @ w2 + b2) @ w3 + b3
            torch.nn.functional.cross_entropy(scores, labels).backward()
            for number in frozen:
                parameters[2 * number].grad = parameters[2 * number + 1].grad = None
            other.step()
    for mine, leaf in zip([p for pair in model.get_parameters() for p in pair], parameters):
        np.testing.assert_allclose(mine, leaf.detach().numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("optimizer", FROZEN)
def test_a_model_under_an_optimizer_that_has_run(monkeypatch, optimizer):
    """It trains as under a new one, and so do both, in turn, from then on."""
    def trained(share):
        first = network(FROZEN[optimizer]())
        second = network(FROZEN[optimizer](), one_loss=True)
        for each in (first, second):
            each.optimizer.decay = 0.0
        if share:
            second.optimizer = first.optimizer
            second.finalize()
        for epochs in (9, 1, 4):
            first.train(X, Y, epochs=epochs)
            second.train(X[::2], Y[::2], epochs=epochs + 2)
        return bits(first), bits(second), first.history, second.history

    assert trained(True) == trained(False)
    with monkeypatch.context() as patch:
        layer_by_layer(patch)
        plain = trained(True)
    assert plain == trained(True)


def test_layers_that_joined_at_once_are_updated_by_one_call(monkeypatch, recordings):
    """Which is recorded once, and repeated."""
    repeats, repeat = [], plan.Plan.repeat
    monkeypatch.setattr(plan.Plan, "repeat", lambda self, *args: repeats.append(1) or repeat(self, *args))
    at_once(monkeypatch, 4)
    model = network()
    model.train(X, Y, epochs=9)
    assert (len(recordings), len(repeats)) == (3, 2) and model.optimizer.recorded(model._steps.parameters)
    freeze(model, 0)
    model.train(X, Y)
    freeze(model)
    del recordings[:], repeats[:]
    model.train(X, Y, epochs=9)
    assert (len(recordings), len(repeats)) == (2, 0), "the update of one by one is not recorded"


def test_one_layer_updated_by_hand_in_a_callback(monkeypatch):
    def train(model):
        def update(epoch):
            if epoch == 2:
                model.optimizer.update_params(model.layers[1])

        model.train(X, Y, epochs=5, batch_size=10, callback=update)
        model.train(X, Y, epochs=5)

    for optimizer in FROZEN.values():
        same_training(monkeypatch, lambda: network(optimizer()), train)


def test_a_reset_in_a_callback(monkeypatch):
    def train(model):
        model.train(X, Y, epochs=6, batch_size=40, callback=lambda epoch: epoch % 3 or model.optimizer.reset())
        model.optimizer.reset()
        model.train(X, Y, epochs=3)

    for optimizer in FROZEN.values():
        model = same_training(monkeypatch, lambda: network(optimizer()), train)
        assert model.optimizer.iterations == 3
        other = network(optimizer())
        other.train(X, Y, epochs=3)
        fresh = network(optimizer())
        model.optimizer.reset()
        model.set_parameters(fresh.get_parameters())
        model.train(X, Y, epochs=3)
        assert bits(model) == bits(other)


def test_momentum_of_before_it_was_switched_off_does_not_come_back(monkeypatch):
    def train(model):
        for momentum in (0.9, 0.0, 0.9):
            model.optimizer.momentum = momentum
            if momentum:
                model.train(X, Y, epochs=3)
            else:
                update_by_hand(model)

    same_training(monkeypatch, lambda: network(nn.SGD(0.1, momentum=0.9)), train)


def square():
    model = nn.Model()
    for seed in range(2):
        model.add(nn.Dense(6, 6, activation="tanh", rng=seed))
    model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.SGD(0.5))
    model.finalize()
    return model


def test_layers_of_one_shape_keep_their_own_parameters_when_one_is_frozen(monkeypatch):
    def train(model):
        model.train(X, Y, epochs=2, callback=lambda epoch: epoch == 1 and freeze(model, 0))

    model = same_training(monkeypatch, square, train)
    assert not np.shares_memory(model.layers[0].weights, model.layers[1].weights)


@pytest.mark.parametrize("optimizer", (nn.Adam, lambda: nn.SGD(0.1, momentum=0.5)))
@pytest.mark.parametrize("before", (1, 20))
def test_a_layer_of_another_width_begins_with_a_new_state(monkeypatch, optimizer, before):
    def build():
        model = nn.Model()
        for part in (nn.Dense(6, before, rng=0), nn.Dense(before, 4, rng=1), nn.Softmax()):
            model.add(part)
        model.set(loss=nn.CategoricalCrossentropy(), optimizer=optimizer())
        model.finalize()
        return model

    def widen(model):
        first, second = model.layers[:2]
        first.n_neurons = second.n_inputs = 30
        first.weights, first.biases, second.weights = np.full((6, 30), 0.5), np.zeros(30), np.full((30, 4), 0.25)

    same_training(monkeypatch, build, changes(widen, epochs=4))


def test_inputs_that_are_gradients_with_another_number_of_samples(monkeypatch):
    def train(model):
        model.train(X, Y, epochs=2)
        model.train(model.layers[1].dweights, Y[:6], epochs=4)

    same_training(monkeypatch, square, train)


def test_inputs_that_moved_in_memory(monkeypatch):
    def train(model):
        x = X.copy()

        def move(epoch):
            x.resize((9000, 6), refcheck=False)
            x.resize(X.shape, refcheck=False)
            x[...] = epoch * X

        model.train(x, Y, epochs=4, callback=move)

    same_training(monkeypatch, network, train)


@pytest.mark.parametrize("trained", (0, 1, 5))
def test_read_only_weights_are_not_written(trained):
    model = network()
    for _ in range(trained):
        model.train(X, Y)
    model.layers[0].weights.flags.writeable = False
    with pytest.raises(ValueError, match="^weights must be writeable"):
        model.train(X, Y, epochs=2)


def test_predictions_with_weights_that_were_read_only():
    model = network()
    weights = model.layers[0].weights
    weights.flags.writeable = False
    assert_predicted(model, X[:2])
    weights.flags.writeable = True
    weights *= 2
    assert_predicted(model, X[:2])


def test_a_prediction_leaves_the_gradients_alone():
    model = network()
    model.train(X, Y)
    assert_predicted(model, X[:2])
    model.forward(X)
    model.backward(model.layers[-1].output, 3 - Y)
    gradients = [layer.dweights.copy() for layer in model.trainable_layers]
    model.predict(X[:2])
    assert all(np.array_equal(layer.dweights, dw) for layer, dw in zip(model.trainable_layers, gradients))


def test_attributes_behind_a_flatten_are_those_of_the_last_batch(monkeypatch):
    def build():
        model = nn.Model()
        for part in (nn.Flatten(), nn.Dense(6, 4, rng=0)):
            model.add(part)
        model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.SGD(0.5))
        model.finalize()
        return model

    x = X.reshape(SAMPLES, 2, 3)
    model = same_training(monkeypatch, build, lambda model: model.train(x, Y, epochs=2, batch_size=10, shuffle=False))
    for _ in range(3):
        model.predict(x[:2])
        assert np.array_equal(model.layers[1].inputs, X[60:70]) and np.array_equal(model.layers[0].inputs, x[60:70])


def test_penalties_are_added_one_after_another(monkeypatch):
    """As Python's own sum does only until 3.11."""
    monkeypatch.setattr(plan, "sum", math.fsum, raising=False)
    penalties = {"weight_regularizer_l2": 0.013, "bias_regularizer_l1": 1e-9, "weight_regularizer_l1": 0.7}

    def build():
        model, random = nn.Model(), np.random.default_rng(1)
        for sizes in ((6, 20), (20, 9), (9, 4)):
            model.add(nn.Dense(*sizes, rng=random, **penalties))
        model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.SGD(0.01))
        model.finalize()
        return model

    same_training(monkeypatch, build, lambda model: model.train(X, Y, epochs=30))


def test_steps_before_ctrl_c_are_counted(monkeypatch):
    at_once(monkeypatch, 50)
    repeat = plan.Plan.repeat

    def interrupted(self, *args):
        repeat(self, *args)
        raise KeyboardInterrupt  # Python takes a signal when the compiled call returns

    monkeypatch.setattr(plan.Plan, "repeat", interrupted)
    model = network()
    with pytest.raises(KeyboardInterrupt):
        model.train(X, Y, epochs=60)
    monkeypatch.undo()
    other = network()
    other.train(X, Y, epochs=52)  # one, one to compare, and 50 at once
    assert bits(model) == bits(other) and model.optimizer.iterations == 52
    model.train(X, Y, epochs=9)
    other.train(X, Y, epochs=9)
    assert bits(model) == bits(other)


def test_a_schedule_after_a_count_that_is_a_numpy_integer():
    model, other = network(nn.SGD(nn.schedules.Step(0.1, every=4))), network(nn.SGD(nn.schedules.Step(0.1, every=4)))
    model.optimizer.iterations, other.optimizer.iterations = np.int64(3), 3
    for each in (model, other):
        each.train(X, Y, epochs=5)
    assert bits(model) == bits(other)


def test_attributes_where_recorded_and_other_steps_follow_each_other(monkeypatch):
    fixed = X.copy()
    fixed.flags.writeable = False  # kernels copy it: a step for 30 of its rows is not usable, that for 10 was recorded

    def train(model):
        model.train(X[:10], Y[:10])
        model.train(fixed, Y, epochs=3, batch_size=30, shuffle=False)

    model = same_training(monkeypatch, network, train)
    assert {size: recorded.usable for size, recorded in model._steps.plans.items()} == {30: False, 10: True}
    assert model.layers[0].output.shape == (10, 20)


def test_a_users_schedule_is_asked_once_a_step_and_not_before_its_time(monkeypatch):
    asked = []

    def build():
        del asked[:]
        model = network()

        def falling(iteration):  # what it gives depends on the training so far
            asked.append((iteration, len(model.history["loss"])))
            return 0.05 / (1 + len(model.history["loss"]))

        model.set(optimizer=nn.Adam(nn.schedules.WarmUp(2, falling)))
        model.finalize()
        return model

    with monkeypatch.context() as patch:
        layer_by_layer(patch)
        plain = build()
        plain.train(X, Y, epochs=12)
        calls = list(asked)
    recorded = build()
    recorded.train(X, Y, epochs=12)
    assert asked == calls and recorded.history == plain.history and bits(recorded) == bits(plain)
    assert len(set(recorded.history["learning_rate"])) == 11  # the warm-up gives one twice


def exchange(model):
    model.layers[1] = nn.Dense(20, 9, activation="tanh", rng=5)


def add(model):
    model.add(nn.Dense(4, 4, rng=5))


def cut(model):
    model.layers[2] = nn.Dense(9, 2, rng=5)


@pytest.mark.parametrize("change", (exchange, add))
def test_a_model_finalized_in_a_callback_trains_its_new_layers(monkeypatch, change):
    def train(model):
        model.train(X, Y, epochs=5, batch_size=30, callback=lambda epoch: epoch == 2 and (change(model),
                                                                                          model.finalize()))
        model.train(X, Y, epochs=3)

    same_training(monkeypatch, lambda: network(one_loss=True), train)


@pytest.mark.parametrize("before", (False, True))
def test_labels_of_a_head_that_a_callback_cut_are_named(before):
    """No recorded kernel writes at their places."""
    def change(epoch_or_model):
        if epoch_or_model != 1:
            cut(model)
            model.finalize()

    class Callback:
        begin = staticmethod(change)

        def __call__(self, epoch):
            pass

    model = network(one_loss=True)
    model.train(X, np.sort(Y), batch_size=10, shuffle=False)
    with pytest.raises(ValueError, match="labels must lie in 0..1, got 2"):
        model.train(X, np.sort(Y), epochs=3, batch_size=10, shuffle=False, callback=Callback() if before else change)


def test_attributes_that_a_step_leaves_alone(monkeypatch):
    """Gradients before the first parameters, and the inputs of a softmax that is joined with the loss."""
    def train(model):
        for factor in (1, 2):
            model.backward(model.forward(factor * X), Y)
            model.train(X, Y, epochs=6)

    same_training(monkeypatch, lambda: network(loose=True), train)


def of_squares():
    """A model whose inputs, outputs and targets have one shape."""
    model = nn.Model()
    for seed in (0, 1):
        model.add(nn.Dense(6, 6, rng=seed))
    model.set(loss=nn.MeanSquaredError(), optimizer=nn.SGD(0.1))
    model.finalize()
    return model


@pytest.mark.parametrize("place", (0, 1))
def test_validation_data_that_is_the_models_own_arrays(monkeypatch, place):
    def train(model):
        model.train(X, X, epochs=3)
        validation_data = [X, X]
        validation_data[place] = model.layers[place].output
        model.train(X, X, epochs=4, validation_data=validation_data)

    same_training(monkeypatch, of_squares, train)


def test_inputs_that_are_an_output_of_a_recorded_prediction(monkeypatch):
    x = X[:20]

    def train(model):
        for _ in range(3):
            expected = model.predict(x)
        seen = []
        model.train(model.forward(x, False), x, epochs=3, callback=lambda epoch: seen.append(model.predict(2 * x)))
        model.train(expected, x)

    expected = network_of(of_squares, train)
    assert expected == network_of(of_squares, train, plain=True)


def network_of(build, train, plain=False):
    model = build()
    with pytest.MonkeyPatch.context() as patch:
        if plain:
            patch.setattr(nn.training.predictions.Predictions, "outputs", lambda self, model, x: None)
        train(model)
    return bits(model), model.history


def test_a_schedule_of_a_user_that_predicts_or_switches_the_backend(monkeypatch):
    def train(model):
        def predict(iteration):
            if iteration == 3:
                model.predict(2 * X)
            return 0.01

        def switch(iteration):
            nn.use("numpy" if 8 < iteration < 12 else "numba")
            return 0.01

        for schedule in (predict, switch):
            model.optimizer.learning_rate = schedule
            model.train(X, Y, epochs=8)

    same_training(monkeypatch, network, train)


@pytest.mark.parametrize("kind", ("model", "sequential"))
def test_layers_that_a_recording_cannot_look_into(kind):
    inner, model, x = nn.Dense(6, 6, rng=0), nn.Model(), X[:1]
    if kind == "model":
        part = nn.Model()
        part.add(inner)
        part.finalize()
    else:
        part = nn.Sequential(inner)
    model.layers += [part, nn.Dense(6, 4, rng=1)]
    model.finalize()
    for factor in (1, 2, 3, 4):
        inner.weights[...] *= factor
        assert model.predict(x).tobytes() == layer_by_layer_outputs(model, x).tobytes()


@pytest.mark.parametrize("copied", (copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))))
def test_the_accuracy_of_a_copy_is_that_of_each_batch(monkeypatch, copied):
    """The copied dtype is another object: one-hot labels of it would be converted for the metric, once for all."""
    model = same_training(monkeypatch, lambda: copied(network()),
                          lambda model: model.train(X, np.eye(4)[Y], epochs=3, batch_size=10, shuffle=False))
    assert model._steps.plans[10].usable


def test_labels_that_only_the_metric_converts_are_not_recorded(monkeypatch):
    def build():
        model = network()
        model._dtype = pickle.loads(pickle.dumps(model._dtype))
        return model

    same_training(monkeypatch, build, lambda model: model.train(X, np.eye(4)[Y], epochs=3, batch_size=10))


def test_weights_assigned_where_read_only_ones_were(monkeypatch):
    def change(model):
        model.layers[0].weights.flags.writeable = False
        model.layers[0].weights = model.layers[0].weights * 2

    def train(model):
        model.train(X, Y, epochs=3)
        change(model)
        model.train(X, Y, epochs=3)

    same_training(monkeypatch, network, train)


def test_the_loss_that_shows_its_arrays_after_a_callback_set_smoothing(monkeypatch):
    def build():
        model = network(one_loss=True)
        model.set(loss=nn.SoftmaxCategoricalCrossentropy())
        model.finalize()
        return model

    def train(model):
        def smooth(epoch):
            model.loss.label_smoothing = 0.1 * (epoch > 2)

        model.train(X, Y, epochs=5, callback=smooth)
        model.history["loss"].append(float(model.loss.output.sum(dtype=np.float64)))
        model.history["loss"].append(float((model.loss.output ** 2).sum(dtype=np.float64)))

    same_training(monkeypatch, build, train)


# ---- buffers: running statistics


def replaced(model, values):
    if values == "assigned":
        model.layers[1].running_mean = np.arange(9.0)
    else:
        found = model.get_parameters()
        found[1] = *found[1][:2], np.arange(9.0), np.full(9, 2.0)
        model.set_parameters(found)


def by_trainings(model, change):
    for number in range(4):
        if number == 3:
            change(model)
        model.train(X, Y, epochs=2, batch_size=32)


def with_a_callback(model, change):
    for _ in range(2):
        model.train(X, Y, epochs=2, batch_size=32)
    model.train(X, Y, epochs=4, callback=lambda epoch: change(model) if epoch == 2 else None)


def by_single_steps(model, change):
    for number in range(9):
        if number == 6:
            change(model)
        model.train_step(X, Y)


def from_gradients(model, change):
    gradient = np.linspace(-1, 1, 4 * SAMPLES, dtype=np.float32).reshape(SAMPLES, 4)
    for number in range(9):
        if number == 6:
            change(model)
        model.forward(X)
        model.step_from(gradient)


@pytest.mark.parametrize("values", ("assigned", "set"))
@pytest.mark.parametrize("steps", (by_trainings, with_a_callback, by_single_steps, from_gradients))
def test_running_statistics_that_are_replaced_are_those_that_follow(monkeypatch, steps, values):
    def work():
        model = nn.Model([nn.Dense(6, 9, rng=0), nn.BatchNorm(9), nn.ReLU(), nn.Dense(9, 4, rng=1)])
        model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.Adam(0.01))
        model.finalize()
        steps(model, lambda model: replaced(model, values))
        return model

    recorded = work()
    assert recorded.why_not_recorded is None
    layer_by_layer(monkeypatch)
    assert bits(work()) == bits(recorded)

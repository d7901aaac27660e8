"""Validations, evaluations and predictions are recorded: the same bits as layer by layer, and nothing is stale."""

import copy
import gc
import itertools
import pickle
import sys
import threading
import time
import types
import weakref

import numpy as np
import pytest
from test_nn_recording import SOURCE, bits

from nnjit import kernels, nn
from nnjit.nn.training import predictions, scores

rng = np.random.default_rng(0)
X = rng.standard_normal((60, 5)).astype(np.float32)
Y = rng.integers(0, 4, 60)
WEIGHTS = rng.random(60)
LAST = ("inputs", "output", "dinputs", "dweights", "dbiases", "binary_mask")

MORE = """

class Filled(Probe):
    def __init__(self):
        self.slopes = {"negative_slope": 0.5}

    def compute(self, x):
        return backend.ops.add.forward(backend.ops.leaky_relu.forward(x, **self.slopes), x)


class Elsewhere(Probe):
    def __init__(self):
        self.table = {"scales": np.linspace(0.5, 2, 60, dtype=np.float32)}

    @property
    def buffers(self):
        return self.table

    def compute(self, x):
        return backend.ops.scale_rows.forward(x, self.table["scales"][:len(x)].copy() if len(x) < 60 else
                                              self.table["scales"])


class Ends(Probe):
    def compute(self, x):
        return np.ascontiguousarray(backend.ops.add.forward(x, x)[:, ::-1])


class Odd(Probe):
    def compute(self, x):
        return backend.ops.add.forward(x, x)

    def backward(self, dvalues):
        self.dinputs = dx = dvalues + dvalues
        return dx
"""
probes = types.ModuleType("nnjit.nn.layers.probes")
exec(SOURCE + MORE, vars(probes))


class Plain(nn.Model):
    """A model of which nothing is recorded."""

    def _forget_recordings(self):
        super()._forget_recordings()
        self._predictions.repeat = self._predictions.outputs = lambda model, x: None
        self._steps.scores._look = lambda model, dtype: False
        self._steps.check = lambda *data: bool(self._check_ready(*["loss"] * (len(data) > 1)))


def network(*middle, kind=nn.Model, optimizer=None, loss=None, accuracy=None, dtype=np.float32, **penalties):
    random = np.random.default_rng(1)
    model = kind([nn.Dense(5, 24, activation="tanh", rng=random, dtype=dtype, **penalties), nn.Dropout(0.25, seed=3),
                  *[make() for make in middle], nn.Dense(24, 4, rng=random, dtype=dtype), nn.Softmax()])
    model.set(loss=loss() if loss else nn.CategoricalCrossentropy(), accuracy=accuracy() if accuracy else nn.Accuracy(),
              optimizer=optimizer() if optimizer else nn.Adam(0.02))
    model.finalize()
    return model


def pair(*middle, **options):
    """A model, and one of which nothing is recorded."""
    return network(*middle, **options), network(*middle, kind=Plain, **options)


def left(model):
    """What an evaluation leaves behind."""
    arrays = [(number, name, None if value is None else value.tobytes()) for number, layer in enumerate(model._walked)
              for name, value in vars(layer).items() if name in LAST and name != "dinputs"]
    parts = [(part.accumulated_sum, part.accumulated_count) for part in (model.loss, model.accuracy)]
    return sorted(arrays, key=lambda each: each[:2]), parts, model._step.batch_loss.output.tobytes()


def same(model, plain, times=4, x=X, y=Y):
    """Evaluations and predictions of both, several times, so that the first is recorded."""
    for number in range(times):
        rows = slice(number, 40 + number)
        found, wish = (each.evaluate(x[rows], y[rows], batch_size=15) for each in (model, plain))
        assert found == wish and left(model) == left(plain)
        found, wish = (each.evaluate(x, y) for each in (model, plain))
        assert found == wish and left(model) == left(plain)
        for size in (1, 40):
            assert model.predict(x[number:][:size]).tobytes() == plain.predict(x[number:][:size]).tobytes()


def recorded(model):
    """How many batches' evaluations, and shapes' predictions, are repeated."""
    return (sum(score.why is None and score.proved for score in model._steps.scores.recorded()),
            sum(forward is not None and forward.ready for forward in model._predictions._state[1].values()))


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("trained", (False, True))
def test_recorded_evaluations_have_the_bits_of_layer_by_layer(dtype, trained):
    model, plain = pair(dtype=dtype, weight_regularizer_l2=0.01)
    for each in (model, plain):
        if trained:
            each.train(X, Y, epochs=3)
    same(model, plain)
    assert recorded(model) == (3, 2) and recorded(plain) == (0, 0)
    assert model.why_evaluation_not_recorded is model.why_prediction_not_recorded is None


MODELS = {
    "binary": lambda: ([nn.Dense(5, 3, activation="sigmoid", rng=0)], nn.BinaryCrossentropy(), nn.BinaryAccuracy(),
                       (X[:, :3] > 0) * 1),
    "weighted": lambda: ([nn.Dense(5, 4, rng=0)], nn.SoftmaxCategoricalCrossentropy(
        class_weights=[1, 2, 0.5, 3], label_smoothing=0.1), nn.Accuracy(), Y),
    "one-hot": lambda: ([nn.Dense(5, 4, rng=0), nn.LogSoftmax()], nn.NegativeLogLikelihood(), nn.Accuracy(),
                        np.eye(4)[Y]),
    "regression": lambda: ([nn.Dense(5, 1, rng=0)], nn.Huber(0.5), nn.RegressionAccuracy(), X[:, 0]),
    "no accuracy": lambda: ([nn.Flatten(), nn.Dense(5, 2, rng=0)], nn.MeanSquaredError(), None, X[:, :2]),
    "branches": lambda: ([nn.Residual(nn.Dense(5, 5, rng=0), nn.Tanh()), nn.Parallel(
        nn.Dense(5, 2, rng=1), nn.Sequential(nn.Dense(5, 2, rng=2), nn.ReLU())), nn.Softmax()],
        nn.CategoricalCrossentropy(), nn.Accuracy(), Y),
    "scores": lambda: ([nn.Dense(5, 2, rng=0)], nn.SigmoidBinaryCrossentropy(), nn.BinaryAccuracy(),
                       (X[:, :2] > 0) * 1),
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("weighted", (False, True))
def test_other_losses_and_layers(kind, weighted):
    def build(of):
        layers, loss, accuracy, y = MODELS[kind]()
        model = of(layers)
        model.set(loss=loss, accuracy=accuracy)
        model.finalize()
        return model, y

    (model, y), (plain, _) = build(nn.Model), build(Plain)
    for number in range(5):
        rows = slice(number, 33 + number)
        given = {"sample_weight": WEIGHTS[rows] if weighted else None, "batch_size": 16}
        assert model.evaluate(X[rows], y[rows], **given) == plain.evaluate(X[rows], y[rows], **given)
        assert model.predict(X[rows]).tobytes() == plain.predict(X[rows]).tobytes()
    assert recorded(model) == (2, 1)


def test_a_metric_without_a_kernel_is_named():
    model, plain = pair(accuracy=lambda: nn.TopKAccuracy(2))
    for _ in range(4):
        assert model.evaluate(X, Y) == plain.evaluate(X, Y)
    assert "TopKAccuracy" in model.why_evaluation_not_recorded and recorded(model) == (0, 0)


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def unaligned(x):
    view = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


LARGE = rng.standard_normal((2000, 5)).astype(np.float32)
LARGE_Y = rng.integers(0, 4, 2000)


@pytest.mark.parametrize("of", (
    read_only, unaligned, np.asfortranarray, lambda x: x[::-1], lambda x: np.repeat(x, 2, 1)[:, ::2],
    lambda x: x.tolist(), lambda x: x.astype(float), lambda x: (10 * x).astype(int), lambda x: x.astype(">f4")))
@pytest.mark.parametrize("large", (False, True))
def test_inputs_of_any_kind_follow_a_recording(of, large):
    x, y = (LARGE, LARGE_Y) if large else (X, Y)
    (model, plain), kept = pair(), []
    for number in range(6):
        given = x if number < 3 else of(x) if number < 5 else x + 1
        assert model.evaluate(given, y) == plain.evaluate(given, y)
        kept.append((model.predict(given), plain.predict(given)))
    assert recorded(model) == (1, 1) and all(found.tobytes() == wish.tobytes() for found, wish in kept)
    model, given = network(), of(x)
    for _ in range(3):
        model.evaluate(given, y)
        model.predict(given)
    assert recorded(model) == (1, 1)


# ---- changes


def replaced(layer, factor=2):
    usual = layer.forward
    layer.forward = lambda x, training=True: usual(x * np.float32(factor), training)


def exchanged(model, number, layer):
    model.layers[number] = layer
    model.finalize()


def finalized(model, **parts):
    model.set(**parts)
    model.finalize()


def loaded(model, folder):
    model.save_parameters(folder / "a.npz")
    for layer in model.trainable_layers:
        layer.weights = 0 * layer.weights
    model.evaluate(X, Y)
    model.load_parameters(folder / "a.npz")


class Halved(nn.Dense):
    def forward(self, inputs, training=True):
        return super().forward(np.asarray(inputs) / 2, training)


class Doubling(Plain):
    def forward(self, X, training=True):
        return 2 * super().forward(X, training)


def another_claims(model):
    other = nn.Model([nn.Dense(5, 4, rng=3)])
    other.set(loss=model.loss if isinstance(model.loss, nn.SoftmaxCategoricalCrossentropy) else
              nn.SoftmaxCategoricalCrossentropy(), accuracy=model.accuracy)
    other.finalize()
    other.evaluate(X, Y)


CHANGES = {
    "weights": lambda model: setattr(model.layers[0], "weights", model.layers[0].weights * 2),
    "weights in place": lambda model: np.negative(model.layers[0].weights, out=model.layers[0].weights),
    "biases": lambda model: setattr(model.layers[2], "biases", np.arange(4)),
    "set_parameters": lambda model: model.set_parameters([(w / 2, b + 1) for w, b in model.get_parameters()]),
    "train": lambda model: model.train(X, Y, epochs=3),
    "train_step": lambda model: [model.train_step(X, Y) for _ in range(3)],
    "step_from": lambda model: [model.step_from(model.forward(X) - 1) for _ in range(4)],
    "rate": lambda model: setattr(model.layers[1], "rate", 0.75),
    "activation": lambda model: (setattr(model.layers[0], "activation", "relu"), model.finalize()),
    "layer": lambda model: exchanged(model, 0, nn.Dense(5, 24, activation="relu", rng=9)),
    "dtype": lambda model: exchanged(model, 0, nn.Dense(5, 24, rng=9, dtype=np.float64)),
    "added": lambda model: (model.layers.insert(1, nn.ELU()), model.finalize()),
    "loss": lambda model: finalized(model, loss=nn.CategoricalCrossentropy(label_smoothing=0.25)),
    "class weights": lambda model: setattr(model.loss, "class_weights", [1, 2, 3, 0.5]),
    "smoothing": lambda model: setattr(model.loss, "label_smoothing", 0.25),
    "accuracy": lambda model: finalized(model, accuracy=nn.TopKAccuracy(3)),
    "frozen": lambda model: setattr(model.layers[0], "trainable", False),
    "clip_norm": lambda model: setattr(model, "clip_norm", 0.5),
    "regularizer": lambda model: setattr(model.layers[0], "weight_regularizer_l2", 0.5),
    "layer's method": lambda model: replaced(model.layers[0]),
    "joined layer's method": lambda model: replaced(model.layers[3]),
    "loss's method": lambda model: setattr(model._step.batch_loss, "forward", lambda x, y, of=type(
        model._step.batch_loss)(): of.forward(2 * x, y)),
    "accuracy's method": lambda model: setattr(model.accuracy, "hits", lambda outputs, y: 1),
    "layer's class": lambda model: setattr(model.layers[0], "__class__", Halved),
    "model's class": lambda model: setattr(model, "__class__", Doubling),
    "claimed by another": another_claims,
    "read-only": lambda model: model.layers[0].weights.setflags(write=False),
    "copied layer": lambda model: exchanged(model, 0, copy.deepcopy(model.layers[0])),
    "dict": lambda model: vars(model.layers[0]).update(_weights=model.layers[0].weights * 3),
    "adopted": lambda model: model.layers[0].adopt("weights", model.layers[0].weights * 3),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_between_evaluations_are_seen(change):
    model, plain = pair()
    same(model, plain)
    before = model.evaluate(X, Y), model.predict(X).tobytes()
    for each in (model, plain):
        CHANGES[change](each)
    same(model, plain)
    if change in ("weights", "biases", "layer", "smoothing", "loss", "class weights", "accuracy", "accuracy's method",
                  "layer's class", "layer's method", "loss's method", "dict", "adopted", "train", "activation"):
        assert (model.evaluate(X, Y), model.predict(X).tobytes()) != before


@pytest.mark.parametrize("change", (
    lambda model: model.layers.reverse(), lambda model: model.add(nn.ReLU()), lambda model: model.layers.pop(),
    lambda model: model.set(loss=nn.MeanSquaredError()), lambda model: model.layers[1].layers.pop(),
    lambda model: model.layers[1].layers.append(nn.ReLU())))
def test_a_model_that_was_changed_must_be_finalized(change):
    model = nn.Model([nn.Dense(5, 4, rng=0), nn.Parallel(nn.Dense(4, 2, rng=2), nn.Dense(4, 2, rng=3)), nn.Tanh()])
    model.set(loss=nn.SoftmaxCategoricalCrossentropy())
    model.finalize()
    for _ in range(4):
        model.predict(X)
        model.evaluate(X, Y)
    assert recorded(model) == (1, 1)
    change(model)
    for call in (lambda: model.predict(X), lambda: model.evaluate(X, Y)):
        with pytest.raises(RuntimeError, match="not finalized"):
            call()


def test_parameters_from_a_file(tmp_path):
    model, plain = pair()
    same(model, plain)
    for each in (model, plain):
        loaded(each, tmp_path)
    same(model, plain)


@pytest.mark.parametrize("kind, method, value", (
    (nn.Dense, "forward", None), (nn.Softmax, "forward", None), (nn.Accuracy, "hits", 1),
    (nn.SoftmaxCategoricalCrossentropy, "forward", None), (nn.losses.Loss, "accumulate", 0.5)))
def test_methods_of_classes_replaced_between_evaluations(monkeypatch, kind, method, value):
    model, plain = pair()
    same(model, plain)
    before = model.evaluate(X, Y)
    usual = getattr(kind, method)

    def other(self, x, *args):
        return usual(self, x * np.float32(2), *args) if value is None else value

    monkeypatch.setattr(kind, method, other)
    for _ in range(3):
        found = model.evaluate(X, Y) if value != 0.5 else model._step.score(False, X, Y)
        assert found == (plain.evaluate(X, Y) if value != 0.5 else plain._step.score(False, X, Y))
        assert model.predict(X[:3]).tobytes() == plain.predict(X[:3]).tobytes()
    assert found != before or kind is nn.Softmax  # which is joined with the loss
    monkeypatch.undo()
    same(model, plain)
    assert model.evaluate(X, Y) == before


@pytest.mark.parametrize("probe, change", (
    (probes.Sloped, lambda layer: setattr(layer, "slope", 0.25)),
    (probes.Filled, lambda layer: layer.slopes.update(negative_slope=0.25)),
    (probes.Filled, lambda layer: setattr(layer, "slopes", {"negative_slope": 0.25})),
    (probes.Elsewhere, lambda layer: layer.table.update(scales=layer.table["scales"][::-1].copy())),
    (nn.LeakyReLU, lambda layer: layer._options.update(negative_slope=0.5))))
def test_options_of_layers_are_seen(probe, change):
    model, plain = pair(probe)
    if probe is probes.Sloped:
        for each in (model, plain):
            each.layers[2].slope = 0.0
    for _ in range(2):
        for _ in range(4):
            assert model.evaluate(X, Y) == plain.evaluate(X, Y)
            found = model.predict(X)
            assert found.tobytes() == plain.predict(X).tobytes()
            [each.train_step(X, Y) for each in (model, plain)]
            assert model.layers[0].weights.tobytes() == plain.layers[0].weights.tobytes()
        for each in (model, plain):
            change(each.layers[2])
    assert recorded(model) == (1, 1) and model._steps._recorded()


@pytest.mark.parametrize("probe", ("Computes", "Slices", "InPlace", "Numbers", "Ends"))
@pytest.mark.parametrize("last", (False, True))
def test_layers_that_depend_on_their_data_are_not_repeated(probe, last):
    def build(kind):
        first, second, own = nn.Dense(5, 12, rng=0), nn.Dense(12, 4, rng=1), getattr(probes, probe)()
        model = kind([first, second, own] if last and probe != "Slices" else [first, own, second])
        model.set(loss=nn.MeanSquaredError())
        model.finalize()
        return model

    model, plain = build(nn.Model), build(Plain)
    for number in range(8):
        x, y = X[number:number + 30] * np.float32(number + 1), X[number:number + 30, :4]
        assert model.evaluate(x, y) == plain.evaluate(x, y)
        assert model.predict(x).tobytes() == plain.predict(x).tobytes()
    assert model.why_evaluation_not_recorded and model.why_prediction_not_recorded and recorded(model) == (0, 0)


def test_the_gradient_of_inputs_that_no_kernel_wrote():
    model = nn.Model([probes.Odd(), nn.Dense(5, 4, rng=0)])
    model.set(optimizer=nn.SGD(0.1))
    model.finalize()
    for number in range(6):
        x = X * np.float32(number + 1)
        dx = model.step_from(model.forward(x), input_gradient=True)
        assert dx.tobytes() == (2 * model.layers[1].dinputs).tobytes()


def test_the_twin_and_threads_between_evaluations():
    model, plain = pair()
    before = kernels.get_num_threads()
    same(model, plain)
    expected = model.evaluate(X, Y)
    try:
        with nn.use("numpy"):
            same(model, plain)
            assert 'nn.use("numpy")' in model.why_evaluation_not_recorded
            assert 'nn.use("numpy")' in model.why_prediction_not_recorded
        kernels.set_num_threads(1)
        same(model, plain)
        kernels.set_num_threads(before)
        same(model, plain)
    finally:
        kernels.set_num_threads(before)
    assert model.evaluate(X, Y) == expected and recorded(model) == (3, 2)


def test_labels_are_checked_where_the_outputs_are_not_known():
    """A recorded kernel does not check them."""
    model = nn.Model([nn.Softmax()])
    model.set(loss=nn.CategoricalCrossentropy(), accuracy=nn.Accuracy())
    model.finalize()
    for _ in range(4):
        model.evaluate(X, Y)
        with pytest.raises(ValueError, match="labels must lie in 0..4, got 5"):
            model.evaluate(X, np.where(Y == 3, 5, Y))
    assert "not known" in model.why_evaluation_not_recorded
    model = network()
    for _ in range(4):
        model.evaluate(X, Y)
        with pytest.raises(ValueError, match="labels must lie in 0..3, got -1"):
            model.evaluate(X, Y - 1)


@pytest.mark.parametrize("copied", (copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))))
def test_copies_have_no_recordings(copied):
    model, plain = pair()
    same(model, plain)
    other = copied(model)
    assert recorded(other) == (0, 0)
    other.layers[0].weights = 2 * other.layers[0].weights
    expected = other.evaluate(X, Y)
    same(model, plain)
    assert other.evaluate(X, Y) == expected != model.evaluate(X, Y)


@pytest.mark.parametrize("data, labels", ((X, Y), (LARGE, LARGE_Y)))
def test_no_batch_is_held(data, labels):
    model = network()
    for number in range(5):
        x, y = data + number, labels.copy()
        model.predict(x)
        model.evaluate(x, y)
        assert model.layers[0].inputs is x  # and no copy of it
        held = [weakref.ref(x), weakref.ref(y)]
        model.layers[0].inputs = None
        del x, y
        gc.collect()
        assert [each() for each in held] == [None, None], number
    assert recorded(model) == (1, 1)


def test_arrays_of_the_model_as_data():
    """Outputs that a recording will write."""
    def build(kind):
        model = kind([nn.Dense(70, 70, activation="tanh", rng=0), nn.Dense(70, 70, rng=1)])
        model.set(loss=nn.MeanSquaredError(), optimizer=nn.SGD(0.1))
        model.finalize()
        return model

    model, plain, wide = build(nn.Model), build(Plain), rng.standard_normal((90, 70)).astype(np.float32)
    for number in range(12):
        found = []
        for each in (model, plain):
            x = each.layers[number % 2].output if number > 3 else wide
            found.append((each.predict(x).tobytes(), each.evaluate(x, wide), each.layers[1].output.tobytes(),
                          each.predict(each.layers[0].output).tobytes()))
        assert found[0] == found[1], number


def test_what_takes_much_memory_is_not_kept(monkeypatch):
    monkeypatch.setattr("nnjit.nn.training.recording.MOST", 20000)
    monkeypatch.setattr(predictions, "MOST", 20000)
    model = network()
    for _ in range(3):
        model.predict(LARGE)
        model.evaluate(LARGE, LARGE_Y)
    for why in (model.why_prediction_not_recorded, model.why_evaluation_not_recorded):
        assert "bytes" in why and "batch_size" in why
    for rows in range(1, 60):
        for _ in range(2):
            model.predict(X[:rows])
    kept = [each for each in model._predictions._state[1].values() if each is not None]
    assert 0 < sum(each.size for each in kept) <= 20000 and kept[-1].ready
    for rows in range(1, 30):
        model.evaluate(X[:rows], Y[:rows])
        model.evaluate(X[:rows], Y[:rows])
    assert len(model._steps.scores._known) <= scores.KINDS
    monkeypatch.setattr(scores, "MOST", 20000)
    for rows in range(30, 60):
        for _ in range(3):
            model.evaluate(X[:rows], Y[:rows])
        assert 0 < sum(each.size for each in model._steps.scores.recorded()) <= 20000


# ---- validations


OPTIONS = ({}, {"print_every": 4}, {"batch_size": 25}, {"batch_size": 60}, {"batch_size": 25, "print_every": 2},
           {"callback": lambda epoch: None}, {"shuffle": True, "seed": 3}, {"validation_data": (X[:7], Y[:7])},
           {"validation_data": (X[:7], Y[:7], WEIGHTS[:7]), "sample_weight": WEIGHTS},
           {"validation_data": (X[:, :].astype(np.float64), np.eye(4)[Y])},
           {"validation_data": (np.repeat(X, 2, 0), np.repeat(Y, 2)), "batch_size": 60})


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("accuracy", (True, False))
def test_validations_have_the_bits_of_layer_by_layer(options, accuracy, capsys):
    found = []
    for model in pair(weight_regularizer_l2=0.01):
        if not accuracy:
            model.accuracy = None
            model.finalize()
        lines = []
        for epochs in (1, 9, 5):
            model.train(X, Y, epochs=epochs, **{"validation_data": (X[::-1], Y[::-1]), **options})
            lines.append(capsys.readouterr().out)
        found.append((model.history, lines, bits(model),
                      model.loss.accumulated_sum, model.loss.accumulated_count, model._step.penalty,
                      [(name, value.tobytes()) for layer in model.layers for name, value in sorted(vars(layer).items())
                       if name in LAST and name != "dinputs" and value is not None]))
    assert found[0] == found[1]
    assert "val_loss" in found[0][0] and len(found[0][0]["val_loss"]) == 15


def test_many_epochs_with_their_validations_are_one_call(monkeypatch):
    steps, repeat = [], nn.training.plans.Plan.repeat
    monkeypatch.setattr(nn.training.plans.Plan, "repeat", lambda self, data, samples, update, numbers, *more:
                        steps.append((len(numbers), len(more))) or repeat(self, data, samples, update, numbers, *more))
    monkeypatch.setattr(nn.training.pace.Pace, "next", lambda self, most: max(1, min(most, 50)))
    model = network()
    model.train(X, Y, epochs=9, validation_data=(X, Y))
    assert steps == [(7, 2)]  # the first is recorded, the second compared
    model.layers[0].weights = 2 * model.layers[0].weights
    model.train(X, Y, epochs=3, validation_data=(X, Y))
    model.train(X, Y, epochs=3)
    model.train(X, Y, epochs=3, validation_data=(X, Y))
    assert steps[1:] == [(2, 2), (3, 0), (3, 2)]  # new weights have to be copied


@pytest.mark.parametrize("change", (
    "weights", "weights in place", "rate", "class weights", "smoothing", "frozen", "regularizer", "dict", "clip_norm",
    "layer's method", "loss's method", "accuracy's method", "layer's class", "activation", "layer", "accuracy",
    "claimed by another"))
@pytest.mark.parametrize("batch_size", (None, 25))
def test_changes_in_a_callback_are_seen_by_validations(change, batch_size):
    found = []
    for model in pair():
        model.train(X, Y, epochs=9, batch_size=batch_size, shuffle=False, validation_data=(X[:35], Y[:35]),
                    callback=lambda epoch: [CHANGES[change](model)] if epoch == 5 else None)
        model.train(X, Y, epochs=3, validation_data=(X[:35], Y[:35]))
        found.append((model.history, bits(model)))
    assert found[0] == found[1]


def test_callbacks_see_the_same_and_restore_the_same():
    found = []
    for model in pair(optimizer=lambda: nn.Adam(0.3)):
        seen = []
        stop = nn.callbacks.EarlyStopping(model, patience=3)
        model.train(X, Y, epochs=60, batch_size=30, validation_data=(X[::-1] * 0.5, Y), callback=[stop, lambda epoch: (
            seen.append({name: values[-1] for name, values in model.history.items()}))])
        found.append((seen, model.history, stop.best_epoch, bits(model), model.evaluate(X, Y)))
    assert found[0] == found[1] and len(found[0][0]) < 60


def test_a_step_by_hand_after_an_evaluation():
    """Backward takes what the layers show."""
    found = []
    for model in pair():
        for _ in range(4):
            model.train(X, Y, epochs=3)
            model.evaluate(X[:20], Y[:20])
            dx = model.backward(model._step.batch_loss.output, Y[:20])
        found.append((dx.tobytes(), [layer.dweights.tobytes() for layer in model.trainable_layers]))
    assert found[0] == found[1]


# ---- threads


def test_predictions_of_threads_while_another_trains_and_evaluates():
    """With a rate of 0 each prediction is that of a model nobody else uses."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    model, stop, wrong, made = network(optimizer=lambda: nn.SGD(0.0)), threading.Event(), [], []
    batches = [X[:1], X[:40], X[3:4], LARGE]
    expected = [model.forward(x, False).tobytes() for x in batches]
    first = model.evaluate(X, Y)

    def read(start):
        for number in itertools.cycle([*range(start, 4), *range(start)]):
            if stop.is_set():
                return
            try:
                if model.predict(batches[number]).tobytes() != expected[number]:
                    wrong.append(number)
                made.append(number)
            except RuntimeError as error:
                if "another thread is training" not in str(error):
                    wrong.append(error)

    readers = [threading.Thread(target=read, args=(start,)) for start in range(3)]
    for thread in readers:
        thread.start()
    try:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            model.train(X, Y, epochs=4, validation_data=(X[:30], Y[:30]), shuffle=False)
            assert model.evaluate(X, Y) == first
            time.sleep(0.002)
    finally:
        stop.set()
        for thread in readers:
            thread.join()
        sys.setswitchinterval(before)
    assert wrong == [] and len(set(made)) == 4


def test_predictions_and_evaluations_disturb_neither_steps_nor_each_other():
    found = []
    for disturbed in (False, True):
        model = network()
        outputs = []
        for number in range(8):
            x = X[number:number + 30]
            outputs.append(model.forward(x).tobytes())
            if disturbed:
                model.predict(x + 1)
                model.predict(X)
            outputs.append(model.step_from(model.layers[-1].output - 1, input_gradient=True).tobytes())
            outputs.append(model.train_step(x, Y[number:number + 30]))
            if disturbed:
                model.evaluate(X, Y)
                model.predict(x)
        found.append((outputs, bits(model)))
    assert found[0] == found[1]


def test_what_cannot_be_recorded_is_not_watched(monkeypatch):
    """At each validation that took twice the time of the validation itself."""
    made = []
    monkeypatch.setattr(scores, "Watch", lambda *args: made.append(args))
    X, y = np.ones((4, 2), np.float32), np.array([0, 1, 2, 0])
    model = nn.Model([nn.Dense(2, 3, rng=0), nn.Softmax()])
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD())
    model.finalize()
    with nn.use("numpy"):
        model.train(X, y, epochs=3, validation_data=(X, y))
    assert made == [] and "numpy" in model.why_evaluation_not_recorded

"""Model.save and Model.load: a loaded model is the same and trains on with the same bits; no file does harm."""

import copy
import errno
import inspect
import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import threading
import time
import warnings
import zipfile

import children
import numpy as np
import pytest

from nnjit import nn
from nnjit.nn import nnfs
from nnjit.nn.commands import predict
from nnjit.nn.formats import parts as saving

rng = np.random.default_rng(2)
X = rng.standard_normal((40, 5)).astype(np.float32)
Y = rng.integers(0, 3, 40)
OPTIMIZERS = {"sgd": lambda: nn.SGD(0.1), "momentum": lambda: nn.SGD(0.1, momentum=0.9, nesterov=True),
              "adagrad": lambda: nn.Adagrad(0.1), "rmsprop": lambda: nn.RMSprop(0.01), "adamw": lambda: nn.AdamW(0.01),
              "scheduled": lambda: nn.Adam(nn.schedules.WarmUp(3, nn.schedules.Cosine(0.1, steps=30)), decay=1e-3)}


def network(optimizer=None, dtype=np.float32):
    model, random = nn.Model(), np.random.default_rng(1)
    model.add(nn.Dense(5, 8, activation="tanh", rng=random, dtype=dtype))
    model.add(nn.Dense(8, 6, rng=random, dtype=dtype, weight_regularizer_l2=0.01, bias_regularizer_l1=0.001))
    model.add(nn.LeakyReLU(0.2))
    model.add(nn.Dropout(0.1, seed=5))
    model.add(nn.Dense(6, 3, rng=random, dtype=dtype))
    model.add(nn.Softmax())
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=optimizer or nn.Adam(0.01), accuracy=nn.Accuracy())
    model.finalize()
    return model


def bits(model):
    return [parameter.tobytes() for pair in model.get_parameters() for parameter in pair]


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_training_goes_on_with_the_same_bits(tmp_path, name, dtype):
    x = X.astype(dtype)
    model = network(OPTIMIZERS[name](), dtype)
    model.train(x, Y, epochs=6, batch_size=16)
    model.save(tmp_path / "a.npz")
    loaded = nn.Model.load(tmp_path / "a.npz")
    assert bits(loaded) == bits(model) and loaded.history == model.history
    assert list(map(repr, loaded.layers)) == list(map(repr, model.layers))
    assert loaded.predict(x).tobytes() == model.predict(x).tobytes()
    for each in (model, loaded):
        each.train(x, Y, epochs=4, batch_size=16)
    assert bits(loaded) == bits(model) and loaded.history == model.history
    assert loaded.optimizer.iterations == model.optimizer.iterations == 30


def parts():
    found = [nn.Dense(2, 3, activation="relu", dtype=np.float64, weight_regularizer_l1=0.5), nn.Dropout(0.25, seed=9),
             nn.Conv2d(4, 6, (3, 2), 2, ((1, 0), (0, 2)), groups=2, padding_mode="replicate", activation="relu"),
             nn.Conv2d(1, 2, 3, padding="same", bias=False, dtype=np.float64), nn.Dropout2d(0.5, seed=3),
             nn.ConvTranspose2d(2, 3, 4, 3, 1, 2), nn.BatchNorm(3, 1e-3, 0.5), nn.LayerNorm(4, dtype=np.float64),
             nn.MaxPool2d(3, 2, (1, 0), ceil_mode=True), nn.AvgPool2d(2, count_include_pad=False), nn.Reshape((2, 3)),
             nn.LeakyReLU(0.3), nn.ELU(0.5), nn.Huber(2.5), nn.RegressionAccuracy(0.25), nn.BinaryAccuracy(0.75),
             nnfs.Layer_Dense(2, 3, 0, 0.5), nnfs.Layer_Dropout(0.25), nnfs.Accuracy_Categorical(binary=True),
             nn.Adam(nn.schedules.Step(0.5, every=3, factor=0.25), epsilon=0.5, weight_decay=0.125)]
    known = {type(part) for part in found}
    for made in saving.CLASSES.values():  # the others need no arguments
        containers = nn.Sequential, nn.Residual, nn.Parallel  # see tests/test_nn_containers.py
        if made not in known and made not in (nn.Model, nnfs.Model, *containers) and all(
                p.default is not p.empty for name, p in list(inspect.signature(made.__init__).parameters.items())[1:]
                if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)):
            found.append(made())
    return found


@pytest.mark.parametrize("part", parts(), ids=lambda part: type(part).__name__)
def test_every_part_comes_back_with_its_arguments(part):
    described = json.loads(json.dumps(saving.describe(part)))
    again = saving.build(described, object, "a part")
    assert type(again) is saving.CLASSES[described["class"]]
    assert saving.describe(again) == described
    for name in inspect.signature(type(part).__init__).parameters:
        if hasattr(part, name):
            found, wish = getattr(again, name), getattr(part, name)
            assert found == wish or saving.describe(found) == saving.describe(wish), name


COPIES = {"pickle": lambda part: pickle.loads(pickle.dumps(part)), "deepcopy": copy.deepcopy, "copy": copy.copy}
ARRAYS = ("inputs", "output", "dinputs", "dweights", "dbiases", "binary_mask", "dgamma", "dbeta",
          "last_mean", "last_scale")
IMAGES = {"Conv2d", "ConvTranspose2d", "MaxPool2d", "AvgPool2d", "GlobalAvgPool2d", "Upsample", "Dropout2d"}
GIVEN = {"Conv2d": (5, 4, 1), "ConvTranspose2d": (5, 4, 1), "MaxPool2d": (1,), "AvgPool2d": (1,), "Dropout2d": (0.5,),
         "BatchNorm": (5,), "LayerNorm": (5,), "Reshape": ((5, 1),), "Dense": (5, 5),
         "Layer_Dense": (5, 5), "Dropout": (0.5,), "Layer_Dropout": (0.5,), "Input": (5,),
         "Sequential": (nn.Dense(5, 5, activation="relu"), nn.Dropout(0.5), nn.Softplus())}
CALLED = [pytest.param(kind, GIVEN.get(name, ()), id=f"{module.__name__}.{name}")
          for module in (nn, nnfs) for name, kind in ((name, getattr(module, name)) for name in module.__all__)
          if hasattr(kind, "forward") and kind not in (nn.Model, nnfs.Model, nnfs.Loss, nn.Residual, nn.Parallel)]


def call(part, samples):
    """Forward and backward of a layer or a loss, on a batch; the gradient."""
    x = np.abs(np.random.default_rng(0).standard_normal((samples, 5)).astype(np.float32))
    x /= x.sum(axis=1, keepdims=True)
    if isinstance(part, nnfs.Loss):
        y = np.arange(samples) % 5 if isinstance(part, nn.losses._Categorical) else x[::-1]
        part.forward(x, y)
        return part.backward(part.output, y)
    if type(part).__name__ in IMAGES:
        x = x[:, :, None, None]
    y = part.forward(x, True)
    return part.backward(x if y is None else np.ones_like(y)) if hasattr(part, "backward") else None


def held(part):
    """The arrays of its last call that a part, and what it consists of, hold."""
    found = [value for name, value in vars(part).items() if name in ARRAYS and value is not None]
    for value in vars(part).values():
        for each in value if isinstance(value, list) else [value]:
            if hasattr(each, "forward"):
                found += held(each)
    return found


@pytest.mark.parametrize(("kind", "given"), CALLED)
def test_copies_hold_no_batch(kind, given):
    part = kind(*given)
    call(part, 3)
    small = len(pickle.dumps(part))
    call(part, 4000)
    assert held(part) and abs(len(pickle.dumps(part)) - small) < 50
    for name, copied in COPIES.items():
        other = copied(part)
        if kind is nn.Sequential and name == "copy":  # of the same layers
            assert other.layers is part.layers
            continue
        assert all(getattr(other, name) is None for name in ARRAYS if hasattr(other, name))
        assert name == "copy" or not held(other)
        assert held(part)
        if hasattr(other, "backward") and not isinstance(other, (nnfs.Loss, nn.Input, nn.Identity)):
            with pytest.raises(RuntimeError, match="call forward before backward"):
                other.backward(np.ones((4000, 5), np.float32))
        found, wish = call(other, 7), call(copied(part), 7)
        assert found is wish is None or found.tobytes() == wish.tobytes()


class Own(nn.Dense):
    def forward(self, inputs, training=True):
        self.seen = len(inputs)
        return super().forward(inputs, training)


def test_a_class_made_from_a_layer_is_copied_alike():
    layer = Own(5, 5, rng=0)
    call(layer, 400)
    for copied in COPIES.values():
        other = copied(layer)
        assert other.seen == 400 and not held(other) and other.weights.tobytes() == layer.weights.tobytes()
        assert other.weights is not layer.weights


def regression(model):
    model = model()
    for layer in (nn.Input(5), nn.Flatten(), nn.Dense(5, 8, activation="tanh", rng=0), nn.Dropout(0.2, seed=1),
                  nn.Dense(8, 1, rng=1)):
        model.add(layer)
    model.set(loss=nn.Huber(), optimizer=nn.Adam(0.01), accuracy=nn.RegressionAccuracy())
    model.finalize()
    return model, lambda x: x[:, :1]


def of_the_book(model):
    np.random.seed(0)
    model = model()
    for layer in (nnfs.Layer_Dense(5, 8, 0, 1e-3), nnfs.Activation_ReLU(), nnfs.Layer_Dropout(0.1),
                  nnfs.Layer_Dense(8, 3), nnfs.Activation_Softmax()):
        model.add(layer)
    model.set(loss=nnfs.Loss_CategoricalCrossentropy(), optimizer=nnfs.Optimizer_Adam(),
              accuracy=nnfs.Accuracy_Categorical())
    model.finalize()
    return model, lambda x: (x[:, 0] > 0) + 0


def smoothed(model):
    model = model()
    for layer in (nn.Dense(5, 3, rng=0), nn.LogSoftmax(), nn.Softmax()):
        model.add(layer)
    model.set(loss=nn.CategoricalCrossentropy(label_smoothing=0.1, class_weights=[1, 2, 3]), optimizer=nn.SGD(0.1),
              accuracy=nn.Accuracy())
    model.finalize()
    return model, lambda x: (x[:, 0] > 0) + 0


@pytest.mark.parametrize("build", (regression, of_the_book, smoothed))
@pytest.mark.parametrize("kind", (nn.Model, nnfs.Model))
def test_a_model_that_saw_much_is_as_small_as_before(twin, tmp_path, build, kind, capsys):
    model, labels = build(kind)
    model.train(X, labels(X), epochs=2, progress=False)
    small, much = len(pickle.dumps(model)), np.random.default_rng(0).standard_normal((5000, 5)).astype(np.float32)
    model.save(tmp_path / "a.npz")
    model.evaluate(much, labels(much))
    assert abs(len(pickle.dumps(model)) - small) < 100
    model.predict(much)
    assert abs(len(pickle.dumps(model)) - small) < 100
    model.backward(model.forward(much), labels(much))
    assert abs(len(pickle.dumps(model)) - small) < 100
    model.train(much, labels(much), progress=False)
    assert abs(len(pickle.dumps(model)) - small) < 300  # of another epoch's figures
    model.save(tmp_path / "b.npz")
    assert (tmp_path / "b.npz").stat().st_size - (tmp_path / "a.npz").stat().st_size < 300
    for copied in COPIES.values():
        other = copied(model.layers[-1])
        with pytest.raises(RuntimeError, match="call forward before backward"):
            other.backward(much)


def test_a_copy_taken_amid_a_step_holds_no_batch():
    """As one that a signal's handler takes."""
    copies = []

    class Looking(nn.Tanh):
        def backward(self, dvalues):
            copies.append(copy.deepcopy(model))
            return super().backward(dvalues)

    model = nn.Model()
    for layer in (nn.Dense(5, 4, rng=0), Looking(), nn.Dense(4, 3, rng=1), nn.Softmax()):
        model.add(layer)
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(0.1))
    model.finalize()
    first = model.train_step(X, Y)
    [found] = copies
    assert len(model._data) == len(found._data) == 0 and not any(map(held, found.layers))
    assert found.train_step(X, Y) == first and len(copies) == 2


@pytest.mark.parametrize("build", (regression, of_the_book, smoothed))
@pytest.mark.parametrize("kind", (nn.Model, nnfs.Model))
def test_a_copy_taken_amid_a_training_goes_on_alike(twin, build, kind, capsys):
    copies = []

    def take(epoch):
        if epoch == 2:
            copies.extend(COPIES[name](model) for name in ("pickle", "deepcopy"))

    model, labels = build(kind)
    model.train(X, labels(X), epochs=5, batch_size=16, callback=take)
    for each in copies:
        each.train(X, labels(X), epochs=3, batch_size=16)
        assert bits(each) == bits(model) and each.history == model.history


ODD = [0.1, -0.0, 5e-324, 1 / 3, float("nan"), float("inf"), -float("inf"), 1e308, 12.0]


def test_a_long_history_takes_eight_bytes_a_number(tmp_path):
    model = network()
    model.save(tmp_path / "a.npz")
    before = (tmp_path / "a.npz").stat().st_size
    for name in ("loss", "val_accuracy", "mine"):
        model.history[name] = ODD + rng.standard_normal(20_000).tolist()
    model.save(tmp_path / "a.npz")
    assert (tmp_path / "a.npz").stat().st_size - before < 3 * 8 * len(model.history["loss"]) + 2000
    loaded = nn.Model.load(tmp_path / "a.npz")
    assert type(loaded.history) is nn.History and list(loaded.history) == list(model.history)
    for name, values in model.history.items():
        assert {type(value) for value in loaded.history[name]} <= {float}
        assert np.array(loaded.history[name]).tobytes() == np.array(values).tobytes()
    assert pickle.loads(pickle.dumps(loaded)).history.keys() == model.history.keys()


NAMES = ["", "../../up", "/root", "a\\b", "a\nb", "\0", "\ud800", "\u00e9", "layer0.weights", "model.json", "history0",
         "history1", "x.npy", "file", "y" * 70_000]


def test_any_name_may_stand_in_a_history(tmp_path):
    model = network()
    model.history.clear()
    for number, name in enumerate(NAMES):
        model.history[name] = [float(number), 0.5]
    model.history[7] = [np.float32(0.25), 3, True]
    model.history["empty"] = []
    model.save(tmp_path / "a.npz")
    loaded = nn.Model.load(tmp_path / "a.npz")
    assert bits(loaded) == bits(model) and list(tmp_path.iterdir()) == [tmp_path / "a.npz"]
    assert {name: loaded.history[name] for name in [*NAMES, "7", "empty"]} == {
        **{name: [float(number), 0.5] for number, name in enumerate(NAMES)}, "7": [0.25, 3.0, 1.0], "empty": []}


@pytest.mark.parametrize("values", (None, 0.5, ["a"], [None], [[1.0, 2.0]], [1j], [10**400]))
def test_a_history_of_what_is_no_number_is_named(tmp_path, values):
    model = network()
    model.history["mine"] = values
    with pytest.raises(TypeError, match="the model cannot be saved: history.'mine'. must be a list of numbers, got"):
        model.save(tmp_path / "a.npz")
    assert not list(tmp_path.iterdir())


def test_a_file_with_its_history_as_text_is_read(tmp_path):
    """As it was written before there were arrays for it."""
    model = network()
    model.train(X, Y, epochs=3)
    model.save(tmp_path / "a.npz")

    def old(description, arrays):
        assert description["history"]["loss"] == []
        description["history"] = model.history
        for name in [name for name in arrays if name.startswith("history")]:
            del arrays[name]

    assert nn.Model.load(changed(tmp_path / "a.npz", old)).history == model.history


def test_a_model_of_the_book(tmp_path):
    np.random.seed(0)
    model = nnfs.Model()
    model.add(nnfs.Layer_Dense(5, 4))
    model.add(nnfs.Activation_ReLU())
    model.add(nnfs.Layer_Dense(4, 3))
    model.add(nnfs.Activation_Softmax())
    model.set(loss=nnfs.Loss_CategoricalCrossentropy(), optimizer=nnfs.Optimizer_Adam(),
              accuracy=nnfs.Accuracy_Categorical())
    model.finalize()
    model.train(X, Y, epochs=2, print_every=None)
    model.save(tmp_path / "a.model")
    state = np.random.get_state()[1].tobytes()
    loaded = nnfs.Model.load(tmp_path / "a.model")
    assert np.random.get_state()[1].tobytes() == state, "loading drew random numbers"
    assert type(loaded) is nnfs.Model and type(loaded.layers[0]) is nnfs.Layer_Dense
    assert bits(loaded) == bits(model)


def test_a_model_without_loss_predicts(tmp_path):
    model = nn.Model()
    model.add(nn.Dense(5, 2, rng=0))
    model.finalize()
    model.save(tmp_path / "a.npz")
    assert nn.Model.load(tmp_path / "a.npz").predict(X).tobytes() == model.predict(X).tobytes()


def test_what_cannot_be_saved_is_named(tmp_path):
    class Mine:
        def forward(self, x, training=True):
            return x

        def backward(self, dy):
            return dy

    model = network()
    model.add(Mine())
    with pytest.raises(TypeError, match="^Mine cannot be saved: it is not of a class of nnjit.nn"):
        model.save(tmp_path / "a.npz")
    model = network(nn.SGD(lambda iteration: 0.1))
    with pytest.raises(TypeError, match="lambda.* cannot be saved"):
        model.save(tmp_path / "a.npz")

    class Own(nn.Model):
        pass

    model = Own()
    with pytest.raises(TypeError, match="Own cannot be saved: it is not nn.Model, but a subclass"):
        model.save(tmp_path / "a.npz")
    assert not list(tmp_path.iterdir())


def test_weights_smoothing_and_clipping_come_back(tmp_path):
    x, y = np.random.default_rng(0).standard_normal((20, 5)), np.arange(20) % 3
    first = nn.Model()
    for layer in (nn.Input((5,)), nn.Sequential(nn.Dense(5, 8, rng=0), nn.Dropout(0.2, seed=1), nn.ReLU()),
                  nn.Dense(8, 3, rng=1), nn.Softmax()):
        first.add(layer)
    first.set(loss=nn.CategoricalCrossentropy(label_smoothing=0.1, class_weights=[1, 2, 0.5]), optimizer=nn.Adam(0.1),
              accuracy=nn.TopKAccuracy(2), clip_norm=0.3)
    first.finalize()
    first.train(x, y, epochs=3)
    first.save(tmp_path / "a.npz")
    second = nn.Model.load(tmp_path / "a.npz")
    assert (second.clip_norm, second.loss.label_smoothing, second.loss.class_weights, second.accuracy.k) == (
        0.3, 0.1, [1, 2, 0.5], 2)
    for model in (first, second):
        model.train(x, y, epochs=3)
    assert first.history == second.history
    for ours, theirs in zip(first.get_parameters(), second.get_parameters()):
        assert ours[0].tobytes() == theirs[0].tobytes() and ours[1].tobytes() == theirs[1].tobytes()


def test_frozen_layers_come_back_frozen(tmp_path):
    model = network()
    model.layers[1].trainable = model.layers[2].trainable = False
    model.save(tmp_path / "a.npz")
    loaded = nn.Model.load(tmp_path / "a.npz")
    assert [layer.trainable for layer in loaded.layers] == [True, False, False, True, True, True]
    for each in (model, loaded):
        each.train(X, Y, epochs=3, batch_size=16)
    assert bits(loaded) == bits(model) and loaded.history == model.history
    assert loaded.layers[1].weights.tobytes() == network().layers[1].weights.tobytes()


def test_a_file_of_before_layers_could_be_frozen(tmp_path):
    """All are trained; penalties were noted of models with regularizers only, and their list is as long as the others
    now."""
    model = network()
    model.train(X, Y, epochs=2)

    def old(description, arrays):
        del description["trainable"]
        number = list(description["history"]).index("regularization_loss")
        del arrays[f"history{number}"]

    model.save(tmp_path / "a.npz")
    loaded = nn.Model.load(changed(tmp_path / "a.npz", old))
    assert all(layer.trainable for layer in loaded.layers)
    loaded.train(X, Y)
    assert loaded.history["regularization_loss"][:2] == [0, 0] and len(loaded.history["regularization_loss"]) == 3


def test_numbers_of_numpy_are_saved_as_numbers(tmp_path):
    model = network()
    model.train(X, Y)
    model.clip_norm, model.optimizer.iterations, model.layers[3].calls = np.float32(0.5), np.int64(7), np.int64(9)
    model.optimizer.epsilon = np.float32(0.25)
    model.save(tmp_path / "a.npz")
    loaded = nn.Model.load(tmp_path / "a.npz")
    assert (loaded.clip_norm, loaded.optimizer.iterations, loaded.layers[3].calls) == (0.5, 7, 9)
    assert loaded.optimizer.epsilon == 0.25


@pytest.mark.parametrize(("before", "after"), (
    ({"momentum": 0.9, "nesterov": True}, {"momentum": 0.0}), ({"momentum": 0.9}, {"momentum": 0}),
    ({"momentum": 0.9, "nesterov": True}, {"momentum": 0.0, "nesterov": False}), ({}, {"momentum": 0.9}),
    ({}, {"learning_rate": np.float32(0.25)})))
@pytest.mark.parametrize("steps", (0, 2))
def test_a_setting_changed_after_a_training_is_saved(tmp_path, before, after, steps):
    model = network(nn.SGD(0.1, **before))
    model.train(X, Y, epochs=2)
    for name, value in after.items():
        setattr(model.optimizer, name, value)
    model.train(X, Y, epochs=steps) if steps else None
    model.save(tmp_path / "a.npz")
    loaded = nn.Model.load(tmp_path / "a.npz")
    for each in (model, loaded):
        each.train(X, Y, epochs=2)
    assert bits(loaded) == bits(model) and loaded.history == model.history


@pytest.mark.parametrize(("part", "name", "value"), (
    ("dense", "n_inputs", 4), ("dropout", "dropped", 1.5)))
def test_what_could_not_be_loaded_is_not_saved(tmp_path, part, name, value):
    """The old file stays, and the error names what an attribute was set to."""
    model = network()
    model.save(tmp_path / "a.npz")
    before = (tmp_path / "a.npz").read_bytes()
    owner = {"dense": model.layers[0], "dropout": model.layers[3]}[part]
    setattr(owner, name, value)
    name = {"n_inputs": "layer 0: layer0.weights", "dropped": "rate"}.get(name, name)
    with pytest.raises((TypeError, ValueError), match=f"the model cannot be saved.*{name}"):
        model.save(tmp_path / "a.npz")
    assert (tmp_path / "a.npz").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_precision_of_the_targets_is_taken_anew_after_loading(tmp_path):
    def regression(precision):
        model = nn.Model()
        model.add(nn.Dense(5, 1, rng=0))
        model.set(loss=nn.MeanSquaredError(), optimizer=nn.SGD(0.01), accuracy=nn.RegressionAccuracy(precision))
        model.finalize()
        return model

    for precision in (None, 0.25):
        model = regression(precision)
        model.train(X, X[:, 0])
        model.save(tmp_path / "a.npz")
        loaded = nn.Model.load(tmp_path / "a.npz")
        assert loaded.accuracy.precision == model.accuracy.precision
        for each in (model, loaded):
            each.train(X, X[:, 0] * 500)
        assert loaded.accuracy.precision == model.accuracy.precision and loaded.history == model.history


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_file_of_before_layers_counted_their_updates(tmp_path, name):
    """All layers with state have the optimizer's iterations, with its betas of now."""
    model = network(OPTIMIZERS[name]())
    model.train(X, Y, epochs=11, batch_size=16)
    model.save(tmp_path / "a.npz")
    loaded = nn.Model.load(changed(tmp_path / "a.npz", lambda d, a: d.pop("powers")))
    for each in (model, loaded):
        each.train(X, Y, epochs=4, batch_size=16)
    assert bits(loaded) == bits(model) and loaded.history == model.history


COUNTED = """
import sys
import numpy as np
from nnjit import nn
for path in sys.argv[1:]:
    model = nn.Model.load(path)
    for training in range(2):
        model.train(np.ones((3, 5), np.float32), [0, 1, 2], epochs=3)
        model.optimizer.iterations = 2**52
    model.layers[0] = nn.Dense(5, 8, rng=0)
    model.finalize()
    model.train(np.ones((3, 5), np.float32), [0, 1, 2], epochs=3)
    assert all(np.isfinite(array).all() for pair in model.get_parameters() for array in pair)
print(model.optimizer.iterations)
"""


def test_a_count_of_steps_beyond_all_powers_takes_no_time(tmp_path):
    """A file may claim any, and betas near 1: the powers are not taken one by one for ever."""
    files = []
    for number, beta in enumerate((0.999, 1 - 1e-9, 1 - 2**-53)):
        model = network(nn.Adam(0.01, beta_1=beta, beta_2=beta))
        model.train(X, Y)
        for old in (True, False):
            model.save(tmp_path / "a.npz")
            files.append(tmp_path / f"{number}{old}.npz")
            changed(tmp_path / "a.npz", lambda d, a: d.update(iterations=2**52) or old and d.pop("powers")).rename(
                files[-1])
    assert children.finish(children.start("-c", COUNTED, *files)) == 2**52 + 3


def test_powers_of_old_files_are_running_products_as_far_as_anyone_trains(monkeypatch):
    optimizer, powers = nn.Adam(), (1.0, 1.0)
    for updates in range(400):
        assert optimizer._powers_after(updates) == powers
        powers = powers[0] * 0.9, powers[1] * 0.999
    assert optimizer._powers_after(800_000) == optimizer._powers_after(2**52)  # they stay
    monkeypatch.setattr(nn.optimizers.methods, "MOST", 300)
    assert optimizer._powers_after(399) == pytest.approx((0.9**399, 0.999**399), rel=1e-12)
    assert nn.SGD()._powers_after(2**52) == ()


def test_a_beta_changed_in_a_training_is_remembered(tmp_path):
    model = network(nn.Adam(0.01))
    for beta in (0.9, 0.5, 0.75):
        model.optimizer.beta_1 = beta
        model.train(X, Y, epochs=3)
        model.save(tmp_path / "a.npz")
        loaded = nn.Model.load(tmp_path / "a.npz")
        for each in (model, loaded):
            each.train(X, Y, epochs=2)
        assert bits(loaded) == bits(model)


SAVING = """
import sys
from nnjit import nn
model = nn.Model.load(sys.argv[1])
print("ready", flush=True)
while True:
    model.layers[0].biases[...] += 1
    model.save(sys.argv[1])
    print("saved", flush=True)
"""


def test_a_killed_save_leaves_the_old_file_or_the_new(tmp_path):
    path, random = tmp_path / "a.npz", np.random.default_rng(0)
    model = network()
    model.layers[0].biases = np.zeros(8)
    model.save(path)
    seen = [0.0]
    for _ in range(12):
        with subprocess.Popen([sys.executable, "-c", SAVING, str(path)], stdout=subprocess.PIPE) as child:
            for _ in range(random.integers(1, 5)):
                child.stdout.readline()
            time.sleep(random.random() * 0.005)
            child.kill()
        biases = nn.Model.load(path).layers[0].biases
        assert (biases == biases[0, 0]).all()
        seen.append(float(biases[0, 0]))
    assert seen == sorted(seen) and len(set(seen)) > 3
    left = [each for each in tmp_path.iterdir() if each != path]
    assert len(left) <= 12
    for each in left:
        os.utime(each, (0, 0))
    (tmp_path / ".a.npz.1.2.tmp").touch()  # another process is at it
    (tmp_path / ".b.npz.1.2.tmp").touch()
    os.utime(tmp_path / ".b.npz.1.2.tmp", (0, 0))
    model.save(path)
    assert sorted(each.name for each in tmp_path.iterdir()) == [".a.npz.1.2.tmp", ".b.npz.1.2.tmp", "a.npz"]


def test_threads_may_save_to_one_path(tmp_path):
    path, models = tmp_path / "a.npz", [network() for _ in range(3)]
    for number, model in enumerate(models):
        model.layers[0].biases = np.full(8, number)
    models[0].save(path)

    def work(model):
        for _ in range(20):
            model.save(path)

    threads = [threading.Thread(target=work, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        biases = nn.Model.load(path).layers[0].biases
        assert (biases == biases[0, 0]).all()
    assert list(tmp_path.iterdir()) == [path]


def test_a_handler_saves_to_the_path_that_is_being_saved(tmp_path, monkeypatch):
    """As one of SIGUSR1 does before a job's time is up, while a checkpoint is being written."""
    path, first, second = tmp_path / "a.npz", network(), network()
    first.layers[0].biases, second.layers[0].biases = np.full(8, 1), np.full(8, 2)
    fsync = os.fsync

    def interrupted(file):
        monkeypatch.setattr(os, "fsync", fsync)
        second.save(path)
        assert (nn.Model.load(path).layers[0].biases == 2).all()
        fsync(file)

    monkeypatch.setattr(os, "fsync", interrupted)
    first.save(path)
    assert (nn.Model.load(path).layers[0].biases == 1).all() and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("save", (nn.Model.save, nn.Model.save_parameters,
                                  lambda model, path: predict.write(path.with_suffix(".npy"), np.zeros((2, 3)))))
def test_what_is_saved_is_on_the_disk_before_it_takes_the_name(save, tmp_path, monkeypatch):
    """Or a machine that stops could leave an empty file in place of the old one."""
    done = []

    def noting(name):
        call = getattr(os, name)

        def noted(what, *more):
            done.append((name, os.fstat(what).st_size if name == "fsync" else os.stat(what).st_size))
            return call(what, *more)
        monkeypatch.setattr(os, name, noted)

    noting("fsync")
    noting("replace")
    save(network(), tmp_path / "a.npz")
    (first, synced), (last, named) = done
    assert (first, last) == ("fsync", "replace") and synced == named > 0


@pytest.mark.parametrize("letter", ("x", "\u00e9", "\U0001f600"))
def test_a_name_as_long_as_a_name_may_be(tmp_path, letter):
    path = tmp_path / f"{letter * (251 // len(letter.encode()))}.npz"
    network().save(path)
    network().save(path)
    assert nn.Model.load(path).layers and list(tmp_path.iterdir()) == [path]


def test_a_save_into_a_pipe_leaves_it_one(tmp_path):
    """A device, too: who may replace /dev/null would do so for everybody."""
    path, read = tmp_path / "a.npz", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()), daemon=True)
    reader.start()
    model = network()
    model.save(path)
    reader.join(60)
    assert path.is_fifo() and not reader.is_alive() and list(tmp_path.iterdir()) == [path]
    (tmp_path / "b.npz").write_bytes(read[0])
    assert (nn.Model.load(tmp_path / "b.npz").layers[0].weights == model.layers[0].weights).all()


def test_the_number_of_an_open_pipe_is_no_path():
    reader, writer = os.pipe()
    try:
        for save in (network().save, network().save_parameters):
            with pytest.raises(TypeError, match="got int"):
                save(writer)
        os.write(writer, b"still open")
        assert os.read(reader, 100) == b"still open"
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.skipif(os.name != "posix", reason="needs modes of files")
def test_a_save_keeps_the_mode_of_the_file(tmp_path):
    path, model = tmp_path / "a.npz", network()
    for mode in (0o600, 0o640):
        model.save(path)
        path.chmod(mode)
        model.save(path)
        assert path.stat().st_mode & 0o777 == mode


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path, model = tmp_path / "a.npz", network()
    model.save(path)
    before = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        model.save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def changed(path, change):
    """The file with another description."""
    with np.load(path) as file:
        arrays = dict(file)
    description = json.loads(arrays["model.json"].tobytes())
    change(description, arrays)
    arrays["model.json"] = np.frombuffer(json.dumps(description).encode(), np.uint8)
    np.savez(path.with_name("b.npz"), **arrays)
    return path.with_name("b.npz")


def within(described, count):
    """A layer in so many others."""
    for _ in range(count):
        described = {"class": "Residual", "body": [described], "shortcut": None, "activation": None}
    return described


def warm(described, count):
    """A schedule in so many others."""
    for _ in range(count):
        described = {"class": "WarmUp", "steps": 2, "schedule": described}
    return described


@pytest.mark.parametrize(("change", "text"), (
    (lambda d, a: d.update(format="nnjit model 99"), "its format is 'nnjit model 99'"),
    (lambda d, a: d["layers"][0].update({"class": "system"}), "'system'"),
    (lambda d, a: d["layers"][0].update({"class": "Model"}), "layer 0: Model where a layer belongs"),
    (lambda d, a: d.update(loss={"class": "Adam"}), "loss: Adam where a loss belongs"),
    (lambda d, a: d.update(optimizer={"class": "Huber"}), "optimizer: Huber where an optimizer belongs"),
    (lambda d, a: d["layers"][0].update(n_inputs=6), "layer 0: layer0.weights must have shape .6, 8., got .5, 8."),
    (lambda d, a: d["layers"][0].update(n_neurons=10**12), "layer0.weights must have shape .5, 1000000000000."),
    (lambda d, a: d["layers"][0].update(more=1), "layer 0: it has 'more', which is not known here: known are n_inputs"),
    (lambda d, a: d["layers"][2].update(negative_slope="a"), "negative_slope must be a number"),
    (lambda d, a: d["layers"].pop(), "trainable must have 5 elements"),
    (lambda d, a: a.pop("layer1.biases"), "layer1.biases"),
    (lambda d, a: a.update({"layer0.state0": np.zeros((2, 2))}), "layer 0: the optimizer's state does not fit"),
    (lambda d, a: d.update(history={"loss": ["a"]}), "history of 'loss' must be a number, got 'a'"),
    (lambda d, a: d.update(iterations="many"), "iterations must be a whole number .*, got 'many'"),
    (lambda d, a: d.update(iterations=10**400), "iterations must be a whole number .*, got 1000"),
    (lambda d, a: d.update(iterations=-1), "iterations must be a whole number .*, got -1"),
    (lambda d, a: d["powers"].__setitem__(0, [0.5, 1.5]), "layer 0: powers must be 2 numbers in 0..1, got .0.5, 1.5"),
    (lambda d, a: d["powers"].__setitem__(0, [0.5, float("nan")]), "layer 0: powers must be 2 numbers in 0..1"),
    (lambda d, a: d["powers"].__setitem__(1, [-0.5, 0.5]), "layer 1: powers must be 2 numbers in 0..1"),
    (lambda d, a: d["powers"].__setitem__(1, [0.5]), "layer 1: powers must be 2 numbers in 0..1, got .0.5"),
    (lambda d, a: d["powers"].__setitem__(1, [10**400, 0]), "layer 1: powers must be 2 numbers in 0..1"),
    (lambda d, a: d["powers"].__setitem__(1, "ab"), "layer 1: powers must be a list, got 'ab'"),
    (lambda d, a: d["powers"].__setitem__(1, None), "layer 1: powers must be a list"),
    (lambda d, a: d.update(powers=[[0.5, 0.5]]), "powers must have 6 elements, one for each layer, got 1"),
    (lambda d, a: d.update(learning_rate=float("nan")), "learning_rate must be finite and at least 0, got nan"),
    (lambda d, a: d.update(learning_rate=10**400), "learning_rate must be finite and at least 0, got inf"),
    (lambda d, a: d.update(learning_rate=-1), "learning_rate must be finite and at least 0, got -1"),
    (lambda d, a: d["calls"].__setitem__(3, -2), "calls must be a whole number .*, got -2"),
    (lambda d, a: d["calls"].__setitem__(3, 1.5), "calls must be a whole number .*, got 1.5"),
    (lambda d, a: d.update(clip_norm="a"), "clip_norm must be a number, got 'a'"),
    (lambda d, a: d.update(clip_norm=-1), "clip_norm must be finite and at least 0, got -1"),
    (lambda d, a: d["loss"].update(label_smoothing=float("nan")), "label_smoothing must be at least 0 and below 1"),
    (lambda d, a: d["loss"].update(class_weights=[1, "a"]), "class_weights must contain real numbers"),
    *[(lambda d, a, key=key: d["loss"].update(class_weights={"1": 2.0, key: 3.0}), f"{key!r} is not a class number")
      for key in ("01", "0_1", " 1", "-1", "1.0", "\u0661", "a")],
    (lambda d, a: d["loss"].update(class_weights={"class": "Dense", "n_inputs": 10**5, "n_neurons": 10**5}),
     "Dense where a schedule belongs"),
    (lambda d, a: d["layers"].__setitem__(3, {"class": "Input", "shape": [10**400, -1]}),
     "shape must have sizes of at"),
    (lambda d, a: d.update(accuracy=[1, 2]), "accuracy: it must be the description of an accuracy, got .1, 2."),
    (lambda d, a: d.update(loss=True), "loss: it must be the description of a loss, got True"),
    (lambda d, a: d["layers"].__setitem__(2, 7), "layer 2: it must be the description of a layer, got 7"),
    (lambda d, a: d.update(history=[1]), "history must be an object with a list for each name, got .1."),
    (lambda d, a: a.update(history0=np.zeros((2, 2))), "history of 'loss' must have shape .N,., got .2, 2."),
    (lambda d, a: a.update(history0=np.float64(1)), "history of 'loss' must have shape .N,., got .."),
    (lambda d, a: a.update(history0=np.zeros(2, complex)), "history0 must contain real numbers, got dtype complex"),
    (lambda d, a: d["history"].update({"loss": 3}), "history of 'loss' must be a list, got 3"),
    (lambda d, a: d["layers"].__setitem__(2, {"class": "Huber"}), "Huber where a layer belongs"),
    (lambda d, a: d["layers"].__setitem__(2, {"class": "Model"}), "Model where a layer belongs"),
    (lambda d, a: d["calls"].__setitem__(0, 1), "layer 0: calls must be null, since Dense.5, 8, .* counts none, got 1"),
    (lambda d, a: d["calls"].__setitem__(3, 2**63 - 1), "calls must be a whole number .*, got 9223372036854775807"),
    (lambda d, a: d.update(optimizer=None), "layer 0: the optimizer's state does not fit"),
    (lambda d, a: d["trainable"].__setitem__(1, "False"), "trainable must be True or False, got 'False'"),
    (lambda d, a: d["trainable"].__setitem__(1, None), "trainable must be True or False, got None"),
    (lambda d, a: d["trainable"].pop(), "trainable must have 6 elements"),
    (lambda d, a: d.update(trainable=None), "trainable must be a list, got None"),
    (lambda d, a: d.pop("layers"), "model.json: it lacks 'layers'"),
    (lambda d, a: d.update(more=1), "model.json: it has 'more', which is not known here: known are format, class, "),
    (lambda d, a: d.update(format=[1]), "model.json: its format is .1., this version reads"),
    (lambda d, a: d["layers"][0].pop("n_neurons"), "layer 0: it lacks 'n_neurons'"),
    (lambda d, a: d["layers"][0].update(rng=1), "layer 0: it has 'rng', which is not known"),
    (lambda d, a: d["layers"][0].update(dtype=None), "layer 0: dtype must not be null"),
    (lambda d, a: d["layers"][2].update({"class": ["ReLU"]}), "layer 2: there is no class .'ReLU'."),
    (lambda d, a: d["layers"].__setitem__(2, within({"class": "ELU", "alpha": "a"}, 3)),
     "layer 2.body.0.body.0.body.0: alpha must be a number, got 'a'"),
    (lambda d, a: d["layers"].__setitem__(2, within({"class": "ReLU"}, 25)), "layer 2.*: layers are nested more than"),
    (lambda d, a: d["optimizer"].update(learning_rate=warm(0.1, 25)), "learning_rate: .* more than 10 times"),
    (lambda d, a: d["optimizer"].update(learning_rate=warm({"class": "Cosine", "rate": 1}, 2)),
     "optimizer: learning_rate: schedule: schedule: it lacks 'steps'"),
    (lambda d, a: d.update(balanced=[1, 2, "a"]), "balanced: a class must be a number, got 'a'"),
    (lambda d, a: (d.update(balanced=[1.0]), d.update(loss=None)), "balanced must be null for a loss without class"),
    (lambda d, a: d.update(precision_given=False), "precision_given must be null for an accuracy without"),
    (lambda d, a: a.update({"layer7.weights": np.ones(2)}), "it has layer7.weights, which belongs to no layer"),
    (lambda d, a: d["calls"].__setitem__(3, None), "layer 3: calls must be a whole number .*, got None"),
    (lambda d, a: d["loss"].update(class_weights=[[[1.0]], 2.0]), "class_weights: it must be a list of "
     "numbers, or of pairs of them, got"),
    (lambda d, a: a.update({"layer0.biases": np.zeros(8, complex)}), "layer0.biases must contain real numbers, got"),
    (lambda d, a: a.update({"layer0.biases": np.zeros(8, "U0")}), "layer0.biases must contain real numbers, got"),
))
def test_files_that_were_changed(tmp_path, change, text):
    model = network()
    model.train(X, Y, epochs=1)
    model.save(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=f"b.npz contains no model: .*{text}"):
        nn.Model.load(changed(tmp_path / "a.npz", change))


@pytest.mark.parametrize("name", ("Loss", "nnfs.Loss", "nnfs.Accuracy", "Layer", "_Layer", "_Activation", "Optimizer",
                                  "_Optimizer", "_Metric", "_Weighted", "Schedule"))
def test_a_base_class_is_no_part(tmp_path, name):
    network().save(tmp_path / "a.npz")
    schedule = {"class": name}
    for change in (lambda d, a: d.update(loss={"class": name}), lambda d, a: d.update(accuracy={"class": name}),
                   lambda d, a: d.update(optimizer={"class": name}),
                   lambda d, a: d["layers"].__setitem__(2, {"class": name}),
                   lambda d, a: d["optimizer"].update(learning_rate=schedule)):
        with pytest.raises(ValueError, match=f"b.npz contains no model: .*: there is no class '{name}'"):
            nn.Model.load(changed(tmp_path / "a.npz", change))


def test_objects_of_base_classes_cannot_be_saved(tmp_path):
    model = network()
    model.set(loss=nnfs.Loss())
    with pytest.raises(TypeError, match="cannot be saved: it is of a base class"):
        model.save(tmp_path / "a.npz")


@pytest.mark.parametrize("count", (2**52, 2**52 - 1, 2**52 - 3))
def test_what_was_loaded_with_many_steps_is_trained_on_and_saved(tmp_path, count):
    """Nobody gets there by steps: the count stays in the file, and training goes on."""
    def many(description, arrays):
        description["iterations"] = description["calls"][3] = count

    network().save(tmp_path / "a.npz")
    model = nn.Model.load(changed(tmp_path / "a.npz", many))
    for steps in (2, 4):
        model.train(X, Y, epochs=steps)
        model.save(tmp_path / "c.npz")
        loaded = nn.Model.load(tmp_path / "c.npz")
        assert loaded.optimizer.iterations == min(model.optimizer.iterations, 2**52)
        assert loaded.layers[3].calls == min(model.layers[3].calls, 2**52)
        assert bits(loaded) == bits(model)
        model = loaded
    for name in ("iterations", "calls"):
        def more(description, arrays):
            count = 2**52 + 1
            description.update({name: count if name == "iterations" else [None, None, None, count, None, None]})

        with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 0 and at most {2**52}, got"):
            nn.Model.load(changed(tmp_path / "a.npz", more))
    with pytest.raises(ValueError, match=f"iterations must be in 0..{2**53 - 1}, got {2**53}"):
        model.optimizer.iterations = 2**53


def test_a_path_that_is_none_is_named(tmp_path):
    model = network()
    for call in (model.save, model.load, nn.Model.load, nnfs.Model.load, model.save_parameters, model.load_parameters):
        for path in (3, None, 1.5, [tmp_path]):
            with pytest.raises(TypeError, match=f"path must be text or a path, got {type(path).__name__}$"):
                call(path)
    model.save(os.fsencode(tmp_path / "a.npz"))
    assert bits(nn.Model.load(os.fsencode(tmp_path / "a.npz"))) == bits(model)


def test_files_of_another_kind(tmp_path):
    path, model = tmp_path / "a.npz", network()
    with pytest.raises(FileNotFoundError):
        nn.Model.load(path)
    missing = tmp_path / "missing" / "a.npz"
    for call in (model.save, model.save_parameters):
        with pytest.raises(FileNotFoundError) as caught:
            call(missing)
        assert str(caught.value) == f"[Errno 2] No such file or directory: '{missing}'"
    model.save(path)
    whole = path.read_bytes()
    for content in (b"", b"hello", whole[:100], whole[:-30], whole[:len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="a.npz contains no model: it is damaged, or not an npz file"):
            nn.Model.load(path)
    model.save_parameters(path)
    with pytest.raises(ValueError, match="a.npz contains no model: it has no model.json, but layer0.weights"):
        nn.Model.load(path)
    np.savez_compressed(path, **{"model.json": np.zeros(10**6, np.uint8)})
    with pytest.raises(ValueError, match="a.npz contains no model: its parts are compressed"):
        nn.Model.load(path)


def test_numbers_that_are_read_by_half_are_noticed(tmp_path):
    """One byte of a header says that numbers are shorter: what is left is not read, and so not its checksum."""
    path, model = tmp_path / "a.npz", nn.Model()
    model.add(nn.Dense(60, 60, rng=0))  # more than zipfile reads ahead
    model.finalize()
    for save, load in ((model.save, nn.Model.load), (model.save_parameters, model.load_parameters)):
        save(path)
        content = bytearray(path.read_bytes())
        content[content.index(b"'<f4'") + 3] = ord("2")
        path.write_bytes(content)
        with pytest.raises(ValueError, match="a.npz contains no .*: (it is damaged|there is more data)"):
            load(path)


def test_members_that_lie_in_one_place(tmp_path):
    """A directory may name one place in the file a thousand times, of which each would take memory and time."""
    path, content = tmp_path / "a.npz", io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("a.npy", bytes(1000))
    whole = content.getvalue()
    start, end = whole.index(b"PK\1\2"), whole.index(b"PK\5\6")
    entries = whole[start:end] * 100
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 100, 100, len(entries), start, 0)
    path.write_bytes(whole[:start] + entries + tail)
    with pytest.raises(ValueError, match="a.npz contains no model: its parts are compressed, or overlap"):
        nn.Model.load(path)


@pytest.mark.parametrize("twin", ("layer0.biases", "layer0.biases.npy"))
def test_one_name_of_two_arrays(tmp_path, twin):
    """Nobody knows which is meant; NumPy takes the last one."""
    path, model = tmp_path / "a.npz", network()
    for save, load in ((model.save, nn.Model.load), (model.save_parameters, model.load_parameters)):
        save(path)
        with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "a") as file:
            file.writestr(twin, file.read("layer0.biases.npy"))
        with pytest.raises(ValueError, match="a.npz contains no .*: it has layer0.biases twice"):
            load(path)


def test_an_error_is_one_printable_line(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **{"\x1b[2J\n" + "x" * 3000: np.zeros(1)})
    with pytest.raises(ValueError, match="a.npz contains no model: it has no model.json, but .*xxx") as error:
        nn.Model.load(path)
    assert str(error.value).isprintable() and len(str(error.value)) < 300 + len(str(path))


class Pickled:
    ran = False

    def __reduce__(self):
        return setattr, (Pickled, "ran", True)


def test_no_code_from_a_file_is_run(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **{"model.json": np.array([Pickled()], object)})
    with pytest.raises(ValueError, match="a.npz contains no model"):
        nn.Model.load(path)
    content = io.BytesIO()
    np.save(content, np.array([Pickled()], object), allow_pickle=True)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("layer0.weights.npy", content.getvalue())
    with pytest.raises(ValueError, match="contains no parameters of this model"):
        network().load_parameters(path)
    assert not Pickled.ran


@pytest.mark.parametrize("seed", range(3))
def test_damaged_bytes_give_an_error_or_a_model(tmp_path, seed):
    random = np.random.default_rng(seed)
    path, model = tmp_path / "a.npz", network()
    model.save(path)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(60):
        damaged = whole.copy()
        damaged[random.integers(0, len(whole), 4)] = random.integers(0, 256, 4)
        path.write_bytes(damaged.tobytes())
        try:
            assert type(nn.Model.load(path)) is nn.Model
        except ValueError as error:
            assert "a.npz contains no model: " in str(error)


FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device is always full here")


@FULL
@pytest.mark.parametrize("write", (
    lambda: network().save("/dev/full"), lambda: network().save_parameters("/dev/full"),
    lambda: (model := network()).train(X, Y, callback=nn.callbacks.CSVLog(model, "/dev/full")),
    lambda: predict.write("/dev/full", np.ones((1000, 3)))))
def test_a_full_disk_names_the_file(write):
    with pytest.raises(OSError) as caught:
        write()
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == "/dev/full"


@pytest.mark.parametrize("error", (
    OSError(errno.ENOSPC, "No space left on device"), OSError("9 requested and 0 written")))
def test_a_file_that_cannot_be_finished_is_named_and_the_old_one_stays(tmp_path, error, monkeypatch):
    path, model = tmp_path / "a.npz", network()
    model.save(path)
    before = path.read_bytes()

    def fail(*arguments, **more):
        raise error

    monkeypatch.setattr(np, "savez", fail)
    for write in (model.save, model.save_parameters):
        with pytest.raises(OSError, match=re.escape(str(path))):
            write(path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content, text", (
    (b"", "model.json is damaged at line 1, column 1"),
    (b'{"format":\n nnjit}', "model.json is damaged at line 2, column 2"),
    (b'{"format": "nnjit mod', "model.json is damaged at line 1, column 12"),
    (b'{"format": "\xff"}', "model.json is damaged at byte 12"),
    (b"[1, 2]", "model.json is damaged: it is not a JSON object"),
    (b'{"format": ' + b"9" * 5000 + b"}", "model.json is damaged: a number in it is too long, or brackets"),
    (b'{"format": {"a": 1, "b": 2, "a": 1}}', "model.json is damaged: an object in it has 'a' twice"),
    (b"[" * 10**5, "model.json is damaged: a number in it is too long, or brackets")))
def test_a_damaged_description_is_named_without_words_of_python(tmp_path, content, text):
    path = tmp_path / "a.npz"
    np.savez(path, **{"model.json": np.frombuffer(content, np.uint8)})
    with pytest.raises(ValueError, match=f"a.npz contains no model: {text}"):
        nn.Model.load(path)

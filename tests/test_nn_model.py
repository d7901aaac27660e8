import copy
import os
import pickle
import re
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from optional import needs
from test_nn_activations import ACTIVATIONS

from nnjit import nn
from nnjit.nn import nnfs
from nnjit.nn.training import progress


@pytest.fixture(scope="module")
def spiral():
    return nn.datasets.spiral(100, 3, seed=0)


def build(*layers, loss=nn.CategoricalCrossentropy, optimizer=None, accuracy=nn.Accuracy,
          model=nn.Model):
    model = model()
    for layer in layers:
        model.add(layer)
    model.set(loss=loss and loss(), optimizer=optimizer or nn.Adam(0.05, decay=5e-7), accuracy=accuracy and accuracy())
    model.finalize()
    return model


def small(seed=0, **more):
    rng = np.random.default_rng(seed)
    return build(nn.Dense(2, 16, activation="relu", rng=rng), nn.Dense(16, 3, rng=rng), nn.Softmax(), **more)


def bits(model):
    return b"".join(p.tobytes() for pair in model.get_parameters() for p in pair)


class Spy:
    """A layer of a user's own, which does nothing but look."""

    def __init__(self):
        self.seen = []

    def forward(self, x, training):
        self.seen.append((np.array(x), training))
        return x

    def backward(self, dy):
        return dy


# ---- training


def book_epochs(X, y, w1, w2, epochs, rate):
    """The book's network, loss and Adam, full batch, in NumPy's float64; returns the loss before each update."""
    parameters = [w1, np.zeros((1, w1.shape[1])), w2, np.zeros((1, w2.shape[1]))]
    caches = [[np.zeros_like(p), np.zeros_like(p)] for p in parameters]
    losses = []
    for t in range(1, epochs + 1):
        w1, b1, w2, b2 = parameters
        z1 = X @ w1 + b1
        a1 = np.maximum(0, z1)
        z2 = a1 @ w2 + b2
        e = np.exp(z2 - z2.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        losses.append(np.mean(-np.log(p[range(len(X)), y])))
        dz2 = p.copy()
        dz2[range(len(X)), y] -= 1
        dz2 /= len(X)
        dz1 = dz2 @ w2.T
        dz1[z1 <= 0] = 0
        found = [X.T @ dz1, dz1.sum(axis=0, keepdims=True), a1.T @ dz2, dz2.sum(axis=0, keepdims=True)]
        for parameter, gradient, cache in zip(parameters, found, caches):
            cache[0] = 0.9 * cache[0] + 0.1 * gradient
            cache[1] = 0.999 * cache[1] + 0.001 * gradient**2
            parameter -= rate * cache[0] / (1 - 0.9**t) / (np.sqrt(cache[1] / (1 - 0.999**t)) + 1e-7)
    return losses, parameters


def test_the_first_20_epochs_are_the_books(twin, spiral):
    X, y = spiral
    model = build(nn.Dense(2, 64, activation="relu", rng=0), nn.Dense(64, 3, rng=1), nn.Softmax(),
                  optimizer=nn.Adam(0.05))
    (w1, _), (w2, _) = model.get_parameters()
    losses, parameters = book_epochs(X.astype(float), y, w1.astype(float), w2.astype(float), 20, 0.05)
    model.train(X, y, epochs=20)
    np.testing.assert_allclose(model.history["loss"], losses, atol=1e-5)
    for found, expected in zip([p for pair in model.get_parameters() for p in pair], parameters):
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_first_20_epochs_of_both_twins_agree(spiral):
    models = {}
    for name in ("numba", "numpy"):
        with nn.use(name):
            models[name] = small(3)
            models[name].train(*spiral, epochs=20, batch_size=64, shuffle=True, seed=5)
    assert models["numba"].trainable_layers[0].weights is not models["numpy"].trainable_layers[0].weights
    for a, b in zip(*(model.get_parameters() for model in models.values())):
        np.testing.assert_allclose(a[0], b[0], atol=1e-4)
        np.testing.assert_allclose(a[1], b[1], atol=1e-4)


def test_the_spiral_is_learned(twin, spiral):
    rng = np.random.default_rng(0)
    model = build(nn.Dense(2, 64, activation="relu", rng=rng), nn.Dense(64, 3, rng=rng), nn.Softmax())
    model.train(*spiral, epochs=1000)
    loss, accuracy = model.evaluate(*spiral)
    assert accuracy > 0.9 and loss < 0.25
    p = model.predict(spiral[0])
    assert np.mean(p.argmax(axis=1) == spiral[1]) == accuracy
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)


def test_separate_activation_layers_train_alike(twin, spiral):
    fused, apart = small(), build(nn.Dense(2, 16, rng=1), nn.ReLU(), nn.Dense(16, 3), nn.Softmax())
    apart.set_parameters(fused.get_parameters())
    for model in (fused, apart):
        model.train(*spiral, epochs=10)
    for a, b in zip(fused.get_parameters(), apart.get_parameters()):
        np.testing.assert_allclose(a[0], b[0], atol=1e-5)


def test_runs_repeat_to_the_bit(twin, spiral):
    runs = []
    for seed in (1, 1, 2):
        model = small()
        model.train(*spiral, epochs=5, batch_size=64, shuffle=True, seed=seed, validation_data=spiral)
        runs.append((bits(model), model.history))
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[2][0]


def test_two_trainings_continue_as_one(twin, spiral):
    once, twice = small(), small()
    once.train(*spiral, epochs=6)
    twice.train(*spiral, epochs=2)
    assert twice.train(*spiral, epochs=4) is twice.history
    assert bits(once) == bits(twice) and once.history == twice.history


def test_a_copied_model_goes_on_alike(twin, spiral):
    model = small()
    model.train(*spiral, epochs=3)
    clone = copy.deepcopy(model)
    for each in (model, clone):
        each.train(*spiral, epochs=3)
    assert bits(model) == bits(clone) and model.history == clone.history


def test_batches_cover_the_samples_in_order_and_the_last_is_smaller(spiral):
    spy = Spy()
    model = build(spy, nn.Dense(2, 3), nn.Softmax())
    with nn.use("numpy"):
        model.train(*spiral, epochs=2, batch_size=128, shuffle=False)
    assert [len(x) for x, _ in spy.seen] == [128, 128, 44] * 2
    assert all(training for _, training in spy.seen)
    np.testing.assert_array_equal(np.concatenate([x for x, _ in spy.seen[:3]]), spiral[0])
    assert model.optimizer.iterations == 6


def test_shuffling_takes_every_sample_once_an_epoch_with_its_label(spiral):
    X = np.arange(300, dtype=np.float32).reshape(-1, 1)
    y = np.arange(300) % 3
    spy, labels = Spy(), []

    class Loss(nn.CategoricalCrossentropy):
        def forward(self, output, y):
            labels.append(np.array(y))
            return super().forward(output, y)

    model = build(spy, nn.Dense(1, 3), nn.Softmax(), loss=Loss, optimizer=nn.SGD(0))
    with nn.use("numpy"):
        model.train(X, y, epochs=2, batch_size=128, shuffle=True, seed=3)
    epochs = [np.concatenate([x[:, 0] for x, _ in spy.seen[at:at + 3]]) for at in (0, 3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(300)) and list(epoch) != list(range(300))
    assert list(epochs[0]) != list(epochs[1])
    np.testing.assert_array_equal(np.concatenate(labels), np.concatenate(epochs) % 3)


def orders(epochs, model=nn.Model, **given):
    """The order in which 10 samples come in each of so many epochs of one or several trainings, and the model."""
    X, spy = np.arange(10, dtype=np.float32)[:, None], Spy()
    made = build(spy, nn.Dense(1, 2, rng=0), nn.Softmax(), model=model)
    with nn.use("numpy"):
        for each in epochs:
            made.train(X, np.arange(10) % 2, epochs=each, **{"batch_size": 4, "progress": False, **given})
    seen = np.concatenate([x[:, 0] for x, _ in spy.seen]).astype(int).reshape(-1, 10).tolist()
    assert all(sorted(order) == list(range(10)) for order in seen) and len(seen) == sum(epochs)
    return seen, made


def test_mini_batches_are_shuffled_unless_told_otherwise(capsys):
    found, _ = orders([6])
    assert len(set(map(tuple, found))) == 6 and list(range(10)) not in found
    assert found == orders([6])[0] == orders([6], shuffle=True, seed=0)[0]
    assert found != orders([6], seed=1)[0] != orders([6], seed=None)[0] != orders([6], seed=None)[0]
    in_order = [list(range(10))] * 2
    assert in_order == orders([2], shuffle=False)[0] == orders([2], model=nnfs.Model)[0]
    assert orders([6], model=nnfs.Model, shuffle=True)[0] == found
    for batch_size in (None, 10, 11, 10**9):  # one batch: there is nothing to shuffle
        assert orders([2], batch_size=batch_size)[0] == in_order == orders([2], batch_size=batch_size, seed=5)[0]
    assert orders([2], batch_size=None, shuffle=True)[0] == found[:2]


@pytest.mark.parametrize("seed", (0, 7, np.int64(2**40), 2**90))
def test_the_orders_go_on_in_the_next_training(seed):
    once, model = orders([6], seed=seed)
    for epochs in ([3, 3], [1] * 6, [5, 1]):
        found, other = orders(epochs, seed=seed)
        assert found == once and bits(other) == bits(model)
    assert once[0] == np.random.default_rng(seed).permutation(10).tolist()


def test_a_generator_gives_the_orders_one_after_another():
    random, same = np.random.default_rng(3), np.random.default_rng(3)
    assert orders([2, 2], seed=random)[0] == [same.permutation(10).tolist() for _ in range(4)]
    assert random.integers(2**60) == same.integers(2**60)
    orders([2], batch_size=None, seed=random)
    assert random.integers(2**60) == same.integers(2**60), "one batch is not shuffled"


def test_a_history_that_is_emptied_does_not_stop_the_orders():
    X, spy = np.arange(10, dtype=np.float32)[:, None], Spy()
    model = build(spy, nn.Dense(1, 2, rng=0), nn.Softmax())
    model.train(X, np.arange(10) % 2, epochs=6, batch_size=4, callback=lambda epoch: model.history.clear())
    assert np.concatenate([x[:, 0] for x, _ in spy.seen]).reshape(-1, 10).tolist() == orders([6])[0]


@pytest.mark.parametrize("kept", (copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), None))
def test_a_model_that_was_kept_trains_on_in_the_same_orders(twin, spiral, tmp_path, kept):
    once, model = small(), small()
    once.train(*spiral, epochs=5, batch_size=64)
    model.train(*spiral, epochs=2, batch_size=64)
    model.save(tmp_path / "a.npz")
    model = nn.Model.load(tmp_path / "a.npz") if kept is None else kept(model)
    model.train(*spiral, epochs=3, batch_size=64)
    assert bits(model) == bits(once) and model.history == once.history


def test_data_sorted_by_class_is_learned_by_mini_batches(twin, capsys):
    """In its own order each batch is of one class, and only the last one is remembered."""
    X, y = nn.datasets.vertical(100, 3, seed=0)
    assert (np.diff(y) >= 0).all()

    def accuracy(model=nn.Model, **given):
        made = build(nn.Dense(2, 16, activation="relu", rng=0), nn.Dense(16, 3, rng=1), nn.Softmax(), model=model,
                     optimizer=nn.SGD(1.0))
        made.train(X, y, epochs=30, batch_size=50, progress=False, **given)
        return made.evaluate(X, y)[1]

    assert accuracy() > 0.8 > 0.4 > accuracy(shuffle=False) == accuracy(nnfs.Model)


def test_figures_of_an_epoch_are_means_over_its_samples(twin, spiral):
    X, y = spiral
    model = small(optimizer=nn.SGD(0.0))  # the weights stay
    model.train(X, y, epochs=1, batch_size=128, validation_data=(X[:50], y[:50]))
    whole, part = model.evaluate(X, y), model.evaluate(X[:50], y[:50])
    history = model.history
    assert (history["loss"][0], history["accuracy"][0]) == (pytest.approx(whole[0], rel=1e-5), whole[1])
    assert (history["val_loss"][0], history["val_accuracy"][0]) == (pytest.approx(part[0], rel=1e-5), part[1])
    assert model.evaluate(X, y, batch_size=7) == (pytest.approx(whole[0], rel=1e-5), whole[1])
    p = model.predict(X)
    assert whole[0] == pytest.approx(float(-np.log(p[range(300), y]).mean()), rel=1e-4)
    np.testing.assert_allclose(model.predict(X, batch_size=7), p, rtol=1e-6)


def test_layers_are_told_whether_they_train(spiral):
    spy = Spy()
    model = build(spy, nn.Dense(2, 3), nn.Softmax())
    with nn.use("numpy"):
        model.train(*spiral, batch_size=200, validation_data=spiral)
        model.evaluate(*spiral)
        model.predict(spiral[0])
        model.forward(spiral[0])
    assert [training for _, training in spy.seen] == [True, True, False, False, False, False, True]


def test_history(spiral):
    with nn.use("numpy"):
        model = small(optimizer=nn.SGD(1, decay=1))
        assert model.train(*spiral, epochs=3, validation_data=spiral) is model.history
        assert {name: len(values) for name, values in model.history.items()} == {**dict.fromkeys(
            ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "regularization_loss"), 3)}
        assert model.history["learning_rate"] == [1, 1 / 2, 1 / 3] and model.history["regularization_loss"] == [0] * 3
        model = small(accuracy=None)
        model.train(*spiral, epochs=2)
        assert {name: len(values) for name, values in model.history.items()} == {
            "loss": 2, "regularization_loss": 2, "accuracy": 0, "val_loss": 0, "val_accuracy": 0, "learning_rate": 2}
        assert model.evaluate(*spiral)[1] is None


@pytest.mark.parametrize("X, y", [
    (lambda X: X.tolist(), lambda y: y.tolist()),
    (lambda X: X.astype(np.float64), lambda y: y.astype(np.uint8)),
    (lambda X: np.asfortranarray(X), lambda y: np.repeat(y, 2)[::2]),
])
def test_lists_and_other_dtypes_train_to_the_same_bits(twin, spiral, X, y):
    plain, other = small(), small()
    plain.train(*spiral, epochs=3, batch_size=100)
    other.train(X(spiral[0]), y(spiral[1]), epochs=3, batch_size=100)
    assert bits(plain) == bits(other)


def test_one_hot_labels_train_alike(twin, spiral):
    plain, hot = small(), small()
    plain.train(*spiral, epochs=5, validation_data=spiral)
    labels = np.eye(3, dtype=int)[spiral[1]]
    hot.train(spiral[0], labels, epochs=5, validation_data=(spiral[0], labels))
    for name in plain.history:
        np.testing.assert_allclose(plain.history[name], hot.history[name], atol=1e-5)


# ---- finalize


def test_joined_and_separate_softmax_have_the_same_gradients(twin, spiral):
    class Separate(nn.CategoricalCrossentropy):  # not joined: it might not be a cross-entropy any more
        pass

    X, y = spiral
    joined, separate = small(4), small(4, loss=Separate)
    scores = build(*copy.deepcopy(joined.layers[:2]), loss=nn.SoftmaxCategoricalCrossentropy)
    dx = {}
    for model in (joined, separate, scores):
        dx[model] = model.backward(model.forward(X), y)
    for model in (separate, scores):
        for a, b in zip(joined.trainable_layers, model.trainable_layers):
            np.testing.assert_allclose(a.dweights, b.dweights, atol=1e-7)
            np.testing.assert_allclose(a.dbiases, b.dbiases, atol=1e-7)
        np.testing.assert_allclose(dx[joined], dx[model], atol=1e-8)
    np.testing.assert_allclose(joined.layers[-1].dinputs, separate.layers[-1].dinputs, atol=1e-7)
    assert joined.evaluate(X, y) == pytest.approx(separate.evaluate(X, y), rel=1e-5)
    assert joined.loss.accumulated_count == 300
    for model in joined, scores:
        with pytest.raises(ValueError, match=r"^output must have shape \(N, C\) or"):
            model.backward(np.ones(300), y)
    scores.loss.calculate(scores.forward(X), y)
    assert np.array_equal(scores.backward(scores.loss.output, y), dx[scores])  # what the loss's own backward takes


def test_one_layer_is_enough(twin):
    model = build(nn.Dense(2, 3, rng=0), loss=nn.SoftmaxCategoricalCrossentropy, optimizer=nn.Adam(0.1))
    model.train(*nn.datasets.vertical(100, 3, seed=0), epochs=300)
    assert model.history["accuracy"][-1] > 0.85 and model.history["loss"][-1] < 0.4
    alone = build(nn.Softmax(), optimizer=nn.SGD())  # nothing to train is no error either
    alone.train(np.eye(3), [0, 1, 2])
    assert alone.history["accuracy"] == [1]


def test_without_loss_and_optimizer_a_model_predicts_but_does_not_train(spiral):
    model = nn.Model()
    model.add(nn.Dense(2, 3))
    model.finalize()
    with nn.use("numpy"):
        assert model.predict(spiral[0]).shape == (300, 3)
        for act in (model.train, model.evaluate):
            with pytest.raises(RuntimeError, match=r"no loss: call model.set\(loss=...\) and model.finalize\(\)"):
                act(*spiral)
        model.set(loss=nn.SoftmaxCategoricalCrossentropy())
        model.finalize()
        assert model.evaluate(*spiral)[0] > 0
        with pytest.raises(RuntimeError, match="no optimizer: call model.set"):
            model.train(*spiral)


def test_a_changed_model_must_be_finalized_again(spiral):
    model = small()
    model.set(optimizer=nn.SGD())
    assert isinstance(model.loss, nn.CategoricalCrossentropy)
    for act in (model.train, model.evaluate, lambda X, y: model.predict(X), lambda X, y: model.forward(X)):
        with pytest.raises(RuntimeError, match=r"not finalized: call model.finalize\(\)"):
            act(*spiral)
    model.finalize()
    model.add(nn.Dense(3, 3))
    with pytest.raises(RuntimeError, match="not finalized"):
        model.predict(spiral[0])


def assigned(name, value):
    return lambda model: setattr(model, name, value())


def of_layers(change):
    return lambda model: change(model.layers)


CHANGES = {
    "loss": assigned("loss", nn.NegativeLogLikelihood), "same loss": assigned("loss", nn.CategoricalCrossentropy),
    "optimizer": assigned("optimizer", nn.Adam), "no optimizer": lambda model: setattr(model, "optimizer", None),
    "accuracy": assigned("accuracy", nn.TopKAccuracy), "no accuracy": lambda model: setattr(model, "accuracy", None),
    "append": of_layers(lambda layers: layers.append(nn.Dense(3, 3))), "pop": of_layers(lambda layers: layers.pop()),
    "insert": of_layers(lambda layers: layers.insert(0, nn.Linear())), "reverse": of_layers(list.reverse),
    "replace": of_layers(lambda layers: layers.__setitem__(1, nn.Dense(16, 3))),
    "replaced activation": of_layers(lambda layers: layers.__setitem__(-1, nn.Sigmoid())),
    "other list": lambda model: setattr(model, "layers", model.layers[:2]),
    "activation": of_layers(lambda layers: setattr(layers[0], "activation", "tanh")),
    "last activation": of_layers(lambda layers: setattr(layers[1], "activation", "sigmoid"))}


@pytest.mark.parametrize("kind", (nn.Model, nnfs.Model))
@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_changed_the_model_must_be_finalized_again(spiral, change, kind):
    model = small(model=kind)
    model.train(*spiral, print_every=None)
    output = model.predict(spiral[0][:4])
    CHANGES[change](model)
    calls = {"train": model.train, "train_step": model.train_step, "evaluate": model.evaluate,
             "predict": lambda X, y: model.predict(X), "a few": lambda X, y: model.predict(X[:4]),
             "forward": lambda X, y: model.forward(X), "backward": lambda X, y: model.backward(output, y[:4])}
    if "no optimizer" in change:
        del calls["train"], calls["train_step"]  # which name what is missing
    for call in calls.values():
        with pytest.raises(RuntimeError, match=r"not finalized: call model.finalize\(\)"):
            call(*spiral)
    assert len(model.history["loss"]) == 1


@pytest.mark.parametrize("change", ("loss", "optimizer", "accuracy", "append", "activation"))
def test_a_change_in_a_callback_needs_finalize_too(spiral, change):
    model = small()
    with pytest.raises(RuntimeError, match="not finalized"):
        model.train(*spiral, epochs=5, callback=lambda epoch: epoch == 2 and CHANGES[change](model))
    assert len(model.history["loss"]) == 2


@pytest.mark.parametrize("loss, activation, after", (
    (nn.BinaryCrossentropy, "sigmoid", "tanh"), (nn.SoftmaxCategoricalCrossentropy, None, "sigmoid"),
    (nn.SigmoidBinaryCrossentropy, None, "sigmoid"), (nn.BinaryCrossentropy, "sigmoid", None)))
def test_an_activation_that_is_changed_is_judged_again(loss, activation, after):
    model = build(nn.Dense(2, 3, activation=activation, rng=0), loss=loss, accuracy=None)
    model.layers[0].activation = after
    with pytest.raises(RuntimeError, match="not finalized"):
        model.train(np.ones((2, 2)), np.eye(3)[:2])
    with pytest.raises(ValueError, match=f"{loss.__name__} takes "):
        model.finalize()
    model.layers[0].activation = activation
    model.train(np.ones((2, 2)), np.eye(3)[:2])  # nothing has changed


def test_another_optimizer_is_taken_whole(spiral):
    models = []
    for assign in (True, False):
        model = small()
        model.train(*spiral, epochs=2)
        if assign:
            model.optimizer = nn.SGD(0.5)
        else:
            model.set(optimizer=nn.SGD(0.5))
        model.finalize()
        model.train(*spiral, epochs=2)
        models.append(model)
    assert bits(models[0]) == bits(models[1]) and models[0].history == models[1].history


@pytest.mark.parametrize("value", ("False", 0, 1.0, []))
def test_flags_are_true_or_false(value):
    """The text "False" would count as True."""
    model = nn.Model()
    model.add(nn.Dense(2, 1))
    model.set(loss=nn.MeanSquaredError(), optimizer=nn.SGD())
    model.finalize()
    x, y = np.ones((4, 2)), np.ones((4, 1))
    for call in (lambda: model.train(x, y, batch_size=2, shuffle=value),
                 lambda: nn.preparation.train_test_split(x, y, shuffle=value),
                 lambda: nn.preparation.batches(x, y, 2, shuffle=value)):
        text = rf"shuffle must be True(, False or None| or False), got {re.escape(repr(value))}"
        with pytest.raises(TypeError, match=text):
            call()
    with pytest.raises(TypeError, match="nesterov must be True or False, got "):
        nn.SGD(momentum=0.5, nesterov=value)


# ---- frozen layers


@pytest.mark.parametrize("model", (nn.Model, nnfs.Model))
def test_a_frozen_layer_stays_as_it_is(twin, spiral, tmp_path, model):
    """However the model goes on, and also if it is finalized again."""
    def finalized(model):
        model.finalize()
        return model

    def loaded(model):
        model.save(tmp_path / "a.npz")
        return nn.Model.load(tmp_path / "a.npz")

    model = small(model=model)
    model.layers[0].trainable = False
    for again in (finalized, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), loaded):
        model = again(model)
        assert [layer.trainable for layer in model.layers] == [False, True, True]
        assert model.trainable_layers == [model.layers[1]]
        before = model.get_parameters()
        model.train(*spiral, epochs=2, print_every=None)
        model.train_step(*spiral)
        frozen, trained = ([np.array_equal(*pair) for pair in zip(*pairs)]
                           for pairs in zip(before, model.get_parameters()))
        assert all(frozen) and not any(trained)


def test_backward_stops_at_the_first_layer_that_is_trained(spiral):
    class Own(Spy):
        weights, biases = np.ones((1, 1)), np.ones((1, 1))
        trainable = False
        backward = dweights = dbiases = None  # an error, if it were called or updated

    model = build(Own(), nn.Dense(2, 4, rng=0), nn.ReLU(), nn.Dense(4, 3, rng=1), nn.Softmax())
    model.layers[1].trainable = False
    model.train(*spiral, epochs=2)
    assert model.layers[1].dinputs is model.layers[2].dinputs is None
    assert model.trainable_layers == [model.layers[3]] and len(model.get_parameters()) == 3


def test_penalties_of_frozen_layers_count_in_the_loss(twin, spiral):
    """As in Keras, however they were frozen; their gradients move nothing."""
    def trained(freeze):
        model = build(nn.Dense(2, 4, rng=0, weight_regularizer_l2=0.5), nn.Dense(4, 3, rng=1), nn.Softmax())
        freeze(model)
        model.train(*spiral, epochs=2)
        model.train(*spiral, epochs=2, batch_size=100)
        return model

    def flag(model):
        model.layers[0].trainable = False

    def assign(model):
        model.trainable_layers = model.trainable_layers[1:]

    def later(model):
        flag(model)
        model.finalize()

    models = list(map(trained, (flag, assign, later)))
    penalty = 0.5 * np.sum(models[0].layers[0].weights.astype(float)**2)
    for model in models:
        assert model.history["regularization_loss"] == pytest.approx([penalty] * 4, rel=1e-6)
        assert model.history == models[0].history and bits(model) == bits(models[0])
    assert models[0].train_step(*spiral)[0] > penalty


def test_assigned_trainable_layers_set_the_flags(spiral):
    model = small()
    first, last, softmax = model.layers
    model.trainable_layers = (last,)
    assert (first.trainable, last.trainable, softmax.trainable) == (False, True, True)
    trained = []
    for layers in ([last, first], [first, last]):  # in any order
        each = copy.deepcopy(model)
        each.trainable_layers = [each.layers[model.layers.index(layer)] for layer in layers]
        each.train(*spiral, epochs=2)
        trained.append(bits(each))
    assert trained[0] == trained[1]
    for value, error, text in (
            ([last, last], ValueError, "trainable_layers has a layer twice"),
            ([nn.Dense(2, 16)], ValueError, r"must be layers of this model with weights, got Dense\(2, 16\)"),
            ([softmax], ValueError, r"must be layers of this model with weights, got Softmax\(\)"),
            ([None], ValueError, "must be layers of this model with weights, got None"),
            (None, TypeError, "trainable_layers must be a list of layers, got NoneType: to freeze a layer, set layer"),
            (iter([first]), TypeError, "must be a list of layers, got list_iterator"),
            ("all", TypeError, "must be a list of layers, got str"), (last, TypeError, "must be a list.*got Dense")):
        with pytest.raises(error, match=text):
            model.trainable_layers = value
        assert model.trainable_layers == [last]
    with pytest.raises(ValueError, match="must be layers of this model"):
        small().trainable_layers = [*small().layers[:2]]


def test_trainable_layers_cannot_be_changed_in_place():
    """It is made anew at each look: the change would be lost."""
    def delete(layers):
        del layers[0]

    def replace(layers):
        layers[:] = []

    def add(layers):
        layers += layers

    def repeat(layers):
        layers *= 0

    calls = [lambda layers, name=name, given=given: getattr(layers, name)(*given) for name, given in (
        ("append", [3]), ("extend", [[]]), ("insert", [0, 3]), ("remove", [3]), ("pop", []), ("clear", []),
        ("reverse", []), ("sort", []))]
    model = small()
    for call in (delete, replace, add, repeat, *calls):
        with pytest.raises(TypeError, match="cannot be changed in place: set layer.trainable = False to freeze a"):
            call(model.trainable_layers)
    for copied in (copy.copy, copy.deepcopy, list, lambda layers: pickle.loads(pickle.dumps(layers))):
        layers = copied(model.trainable_layers)
        layers.append(None)
        assert len(layers) == 3
    for layer in model.trainable_layers:  # none is left out
        layer.trainable = False
    assert model.trainable_layers == []


@pytest.mark.parametrize("kind", (nn.Sequential, nn.Model))
def test_a_whole_block_is_frozen_and_thawed(spiral, kind):
    block = kind()
    block.layers += [nn.Dense(2, 4, rng=0), nn.ReLU(), nn.Dense(4, 4, rng=1)]
    assert block.trainable
    block.layers[0].trainable = False
    assert block.trainable and block.trainable_layers == block.layers[2:]
    block.trainable = False
    assert not block.trainable and not any(layer.trainable for layer in block.layers)
    model = build(*block.layers, nn.Dense(4, 3, rng=2), nn.Softmax())
    assert model.trainable_layers == [model.layers[3]]
    block.trainable = np.True_
    assert all(layer.trainable is True for layer in block.layers)
    with pytest.raises(TypeError, match="trainable must be True or False, got 'no'"):
        block.trainable = "no"


def test_a_class_is_no_schedule():
    with pytest.raises(TypeError, match=r"learning_rate must not be a class, got Cosine: write Cosine\(\.\.\.\)"):
        nn.Adam(nn.schedules.Cosine)


def test_text_as_targets_names_the_encoder():
    with pytest.raises(TypeError, match="y must contain real numbers, got 'no' at index 1: encode text with nn.prep"):
        nn.BinaryCrossentropy().forward([[0.5], [0.5]], ["0", "no"])


def test_what_finalize_finds():
    with pytest.raises(ValueError, match="no layers"):
        build()
    with pytest.raises(ValueError, match=r"layer 2, Dense\(4, 3\), must have 5 inputs, not 4"):
        build(nn.Dense(2, 5), nn.ReLU(), nn.Dense(4, 3))
    layer = nn.Dense(2, 2)
    with pytest.raises(ValueError, match="added twice"):
        build(layer, layer)
    build(nn.Dense(2, 5), Spy(), nn.Dense(4, 3), nn.Softmax())  # a user's layer may change the width
    half = Spy()
    half.weights = np.ones((2, 2))
    with pytest.raises(ValueError, match="^Spy has weights, but no biases: a layer with parameters must have both"):
        build(half)


GIVEN = {  # by what a layer of 3 outputs gives
    "probabilities of classes": (nn.Softmax,),
    "a probability for each output": (nn.Sigmoid, lambda: nn.Dense(3, 3, activation="sigmoid")),
    "log-probabilities": (nn.LogSoftmax,),
    "other numbers": (*(kind for kind in ACTIVATIONS if kind not in (nn.Softmax, nn.Sigmoid, nn.LogSoftmax)),
                      lambda: nn.Dense(3, 3), lambda: nn.Dense(3, 3, activation="relu"),
                      lambda: nn.Dense(3, 3, activation="tanh"))}
INSTEAD = {  # of a loss: what it takes, and what to write where something else stands
    nn.CategoricalCrossentropy: ("probabilities of classes", {
        "a probability for each output": "write Softmax() in place of {} for one class per sample, or use "
                                         "BinaryCrossentropy() for several labels",
        "log-probabilities": "use NegativeLogLikelihood()",
        "other numbers": "add Softmax() as the last layer, or use SoftmaxCategoricalCrossentropy()"}),
    nn.BinaryCrossentropy: ("probabilities", {
        "log-probabilities": "write Sigmoid() in place of LogSoftmax(), or use NegativeLogLikelihood()",
        "other numbers": "add Sigmoid() as the last layer, or use SigmoidBinaryCrossentropy()"}),
    nn.NegativeLogLikelihood: ("log-probabilities", {
        "probabilities of classes": "write LogSoftmax() in place of {}, or use CategoricalCrossentropy()",
        "a probability for each output": "write LogSoftmax() in place of {} for one class per sample, or use "
                                         "BinaryCrossentropy() for several labels",
        "other numbers": "add LogSoftmax() as the last layer, or use SoftmaxCategoricalCrossentropy()"}),
    nn.SoftmaxCategoricalCrossentropy: ("scores", {
        "probabilities of classes": "leave {} out, or use CategoricalCrossentropy()",
        "a probability for each output": "leave {} out for one class per sample, or use BinaryCrossentropy() for "
                                         "several labels",
        "log-probabilities": "leave LogSoftmax() out, or use NegativeLogLikelihood()"}),
    nn.SigmoidBinaryCrossentropy: ("scores", {
        "probabilities of classes": "leave {} out for several labels, or use CategoricalCrossentropy() for one class "
                                    "per sample",
        "a probability for each output": "leave {} out, or use BinaryCrossentropy()",
        "log-probabilities": "leave LogSoftmax() out, or use NegativeLogLikelihood()"})}


@pytest.mark.parametrize("behind", ((), (nn.Flatten,), (lambda: nn.Dropout(0.5, seed=0), nn.Linear)),
                         ids=("last", "Flatten", "Dropout, Linear"))
@pytest.mark.parametrize("loss", INSTEAD)
@pytest.mark.parametrize("gives", GIVEN)
def test_a_loss_takes_what_the_layers_give(gives, loss, behind):
    takes, instead = INSTEAD[loss]
    for make in GIVEN[gives]:
        last, rest = make(), [each() for each in behind]
        if gives not in instead:
            if takes == "scores" or not behind:  # the next test has the others
                build(nn.Dense(2, 3), last, *rest, loss=loss)
            continue
        with pytest.raises(ValueError) as caught:
            build(nn.Dense(2, 3), last, *rest, loss=loss)
        named = "Dense(2, 3)" if isinstance(last, nn.Linear) else repr(last)
        left = f"activation={last.activation!r}" if isinstance(last, nn.Dense) else repr(last)
        assert str(caught.value) == f"{loss.__name__} takes {takes}, but {named} gives {gives}: " + (
            instead[gives].format(left))


@pytest.mark.parametrize("dropout", (nn.Dropout, nnfs.Layer_Dropout))
@pytest.mark.parametrize("loss, last", (
    (nn.CategoricalCrossentropy, nn.Softmax), (nn.BinaryCrossentropy, nn.Sigmoid), (nn.BinaryCrossentropy, nn.Softmax),
    (nn.BinaryCrossentropy, lambda: nn.Dense(3, 3, activation="sigmoid")), (nn.NegativeLogLikelihood, nn.LogSoftmax),
    (nn.CategoricalCrossentropy, Spy)))
def test_nothing_is_dropped_of_probabilities(dropout, loss, last):
    layer = dropout(0.5, seed=0)
    logarithms = "log-" * (loss is nn.NegativeLogLikelihood)
    text = (f"{layer!r} would drop some of the {logarithms}probabilities that {loss.__name__} takes: put it before the "
            "last layer with weights, or leave it out")
    for behind in ((layer,), (nn.Linear(), layer, nn.Flatten())):
        with pytest.raises(ValueError, match=re.escape(text)):
            build(nn.Dense(2, 3), last(), *behind, loss=loss)
        with pytest.raises(ValueError, match=re.escape(text)):
            build(nn.Dense(2, 3), nn.Sequential(last(), *behind), loss=loss)
        build(nn.Dense(2, 3), last(), *behind, nn.Dense(3, 3), nn.Softmax(), loss=nn.CategoricalCrossentropy)
        for other in (nn.MeanSquaredError, None):
            build(nn.Dense(2, 3), last(), *behind, loss=other)


@pytest.mark.parametrize("behind", (nn.Linear, nn.Flatten, lambda: nn.Input(3)))
@pytest.mark.parametrize("loss, last", (
    (nn.CategoricalCrossentropy, nn.Softmax), (nn.BinaryCrossentropy, nn.Sigmoid),
    (nn.BinaryCrossentropy, lambda: nn.Dense(3, 3, activation="sigmoid"))))
def test_nothing_stands_between_layers_that_are_joined(loss, last, behind):
    last, layer = last(), behind()
    text = (f"{layer!r} after {last!r} does nothing, but keeps {loss.__name__} from being joined with it: leave "
            f"{layer!r} out")
    for rest in ((layer,), (layer, nn.Linear())):
        with pytest.raises(ValueError, match=re.escape(text)):
            build(nn.Dense(2, 3), last, *rest, loss=loss)
        build(nn.Dense(2, 3), last, *rest, loss=nn.MeanSquaredError)


def test_what_is_not_joined_may_stand_before_layers_that_do_nothing():
    for loss, last in ((nn.NegativeLogLikelihood, nn.LogSoftmax()), (nn.BinaryCrossentropy, nn.Softmax()),
                       (nn.SoftmaxCategoricalCrossentropy, nn.ReLU()), (nn.CategoricalCrossentropy, Spy())):
        build(nn.Dense(2, 3), last, nn.Linear(), nn.Flatten(), loss=loss)


def test_other_losses_and_what_is_not_ours_is_not_judged():
    class Own(nn.ReLU):
        pass

    class Likelihood(nn.CategoricalCrossentropy):
        pass

    for kinds in GIVEN.values():
        for make in kinds:
            for loss in (nn.MeanSquaredError, nn.MeanAbsoluteError, nn.Huber, Likelihood, nn.losses.Loss, None):
                build(nn.Dense(2, 3), make(), loss=loss)
    for last in ((Spy(),), (Own(),), (nn.ReLU(), Spy(), nn.Flatten()), (nn.Softmax(), Spy())):
        for loss in INSTEAD:
            build(nn.Dense(2, 3), *last, loss=loss)
    for loss in INSTEAD:
        build(nn.Input(3), nn.Flatten(), loss=loss)  # of what the data hold


def test_a_single_output_is_no_class():
    for loss, last, better in (
            (nn.CategoricalCrossentropy, nn.Dense(2, 1), "SigmoidBinaryCrossentropy"),
            (nn.CategoricalCrossentropy, nn.Dense(2, 1, activation="sigmoid"), "BinaryCrossentropy"),
            (nn.SoftmaxCategoricalCrossentropy, nn.Dense(2, 1), "SigmoidBinaryCrossentropy"),
            (nn.NegativeLogLikelihood, nn.Dense(2, 1), "SigmoidBinaryCrossentropy")):
        with pytest.raises(ValueError, match=rf"{loss.__name__} needs an output for each class, but the model has a "
                                             rf"single one: use {better}\(\), or give the last layer with weights"):
            build(last, loss=loss)
    for layers, named in (([nn.Dense(2, 1), nn.Softmax()], r"1, Softmax\(\), of a single output is always 1"),
                          ([nn.Dense(2, 1), nn.LogSoftmax()], r"1, LogSoftmax\(\), of a single output is always 0"),
                          ([nn.Dense(2, 1), nn.ReLU(), nn.Softmax(), nn.Dense(1, 3), nn.Softmax()], "2, Softmax"),
                          ([nn.Input((1, 1)), nn.Flatten(), nn.Softmax()], "2, Softmax")):
        for loss in (nn.CategoricalCrossentropy, nn.BinaryCrossentropy, nn.NegativeLogLikelihood, nn.MeanSquaredError,
                     None):
            with pytest.raises(ValueError, match=f"layer {named}.*: use Sigmoid.* and BinaryCrossentropy"):
                build(*layers, loss=loss)
    build(nn.Dense(2, 1), Spy(), nn.Softmax())  # it may make more of it


# ---- a sigmoid and the loss behind it


def sigmoid_models(**more):
    """A single neuron with sigmoid and binary cross-entropy in the three ways to write it."""
    for layers, loss in (((nn.Dense(1, 1, rng=0), nn.Sigmoid()), nn.BinaryCrossentropy),
                         ((nn.Dense(1, 1, rng=0, activation="sigmoid"),), nn.BinaryCrossentropy),
                         ((nn.Dense(1, 1, rng=0),), nn.SigmoidBinaryCrossentropy)):
        yield build(*layers, loss=loss, accuracy=nn.BinaryAccuracy, **more)


def test_a_wrong_sigmoid_is_learnt_from_however_sure_it_is(twin):
    X, y = np.array([[100.0], [-100.0]]), np.array([0, 1])
    for model in sigmoid_models(optimizer=nn.SGD(0.015)):
        layer = model.layers[0]
        layer.weights = [[1.0]]
        outputs = model.forward(X)
        scores = isinstance(model.loss, nn.SigmoidBinaryCrossentropy)
        np.testing.assert_allclose(outputs, X if scores else [[1], [0]], atol=1e-30)
        model.backward(outputs, y)
        assert layer.dweights.tolist() == [[100.0]] and layer.dbiases.tolist() == [[0.0]]
        assert model.evaluate(X, y) == (100.0, 0.0)
        model.train(X, y, epochs=3)
        assert model.history["accuracy"] == [0.0, 1.0, 1.0] and model.evaluate(X, y)[0] < 1e-20


def test_the_sigmoid_that_is_joined_shows_its_arrays(twin):
    X, y = np.linspace(-2, 2, 7)[:, None], np.arange(7) % 2
    dense = nn.Dense(1, 1, rng=0)
    p = nn.Sigmoid().forward(dense.forward(X))
    for model in list(sigmoid_models())[:2]:
        last, slope = model.layers[-1], (p - y[:, None]) / 7
        np.testing.assert_allclose(model.forward(X), p, rtol=1e-6)
        np.testing.assert_allclose(model.backward(last.output, y), slope @ dense.weights.T, rtol=1e-6)
        model.train_step(X, y)
        np.testing.assert_allclose(last.output, p, rtol=1e-6)
        if isinstance(last, nn.Sigmoid):
            np.testing.assert_allclose(last.dinputs, slope, rtol=1e-6)
        np.testing.assert_allclose(model.layers[0].dbiases, [slope.sum(axis=0)], rtol=1e-5)


def test_unscaled_features_do_not_stop_a_sigmoid():
    datasets = needs("sklearn.datasets")
    X, y = datasets.load_breast_cancer(return_X_y=True)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        model = build(nn.Dense(30, 16, activation="relu", rng=rng), nn.Dense(16, 1, rng=rng), nn.Sigmoid(),
                      loss=nn.BinaryCrossentropy, optimizer=nn.Adam(0.01), accuracy=nn.BinaryAccuracy)
        model.train(X, y, epochs=100, batch_size=64, shuffle=True, seed=seed)
        assert model.evaluate(X, y)[1] > 0.8, seed  # the majority is 0.63


def test_a_joined_sigmoid_is_copied_with_its_model(tmp_path):
    X, y = np.linspace(-2, 2, 7)[:, None], np.arange(7) % 2
    for model in sigmoid_models():
        model.train(X, y, epochs=2)
        model.save(tmp_path / "a.npz")
        others = [copy.deepcopy(model), pickle.loads(pickle.dumps(model)), nn.Model.load(tmp_path / "a.npz")]
        model.train(X, y, epochs=5)
        for other in others:
            other.train(X, y, epochs=5)
            assert bits(other) == bits(model) and repr(other.loss) == repr(model.loss)
            np.testing.assert_array_equal(other.layers[-1].output, model.layers[-1].output)


def test_a_layer_that_gives_nothing_is_named():
    class Mute(Spy):
        def forward(self, x, training=True):
            pass

    with pytest.raises(TypeError, match="^forward of Mute must return its result, or set self.output"):
        build(nn.Dense(2, 3), Mute()).forward(np.ones((4, 2)))


def test_text_of_a_model_and_of_optimizers():
    assert repr(small()) == "Model(Dense(2, 16, activation='relu'), Dense(16, 3), Softmax())"
    assert repr(nn.Adam(0.05, decay=5e-7)) == "Adam(learning_rate=0.05, decay=5e-07)"
    assert repr(nn.SGD()) == "SGD()" and repr(nn.SGD(0.1, 0.0, 0.9, True)) == (
        "SGD(learning_rate=0.1, momentum=0.9, nesterov=True)")


OTHERS = {  # of which one kind each is right
    "loss": nn.Huber, "optimizer": nn.Adam, "accuracy": nn.TopKAccuracy, "layer": lambda: nn.Dense(2, 3),
    "block": nn.Sequential, "model": nn.Model, "number": lambda: 3, "text": lambda: "adam", "flag": lambda: False,
    "function": lambda: np.mean, "schedule": lambda: nn.schedules.Cosine(0.1, steps=3), "list": lambda: [nn.Huber()],
    "array": lambda: np.zeros(1000)}


@pytest.mark.parametrize("kind", (nn.Model, nnfs.Model))
@pytest.mark.parametrize("name, example", (("loss", "CategoricalCrossentropy"), ("optimizer", "Adam"),
                                           ("accuracy", "Accuracy")))
def test_parts_of_another_kind_are_refused_at_once(kind, name, example):
    model = small(model=kind)
    before = dict(vars(model))
    for other, make in OTHERS.items():
        if other == name:
            continue
        for assign in (lambda value: model.set(**{name: value}), lambda value: setattr(model, name, value)):
            with pytest.raises(TypeError, match=rf"^{name} must be an object such as nn.{example}\(\), got ") as caught:
                assign(make())
            assert "\n" not in str(caught.value) and len(str(caught.value)) < 150
    for found in (nn.Adam, nn.Huber, nn.ReLU):
        with pytest.raises(TypeError, match=rf"{name} must be an object, got the class: write {found.__name__}\(\)"):
            model.set(**{name: found})
    assert vars(model) == before


def test_nothing_is_set_if_one_part_is_wrong():
    model = small()
    loss, optimizer = model.loss, model.optimizer
    with pytest.raises(TypeError, match="accuracy must be an object"):
        model.set(loss=nn.MeanSquaredError(), optimizer=nn.SGD(), accuracy=3)
    with pytest.raises(TypeError, match="clip_norm must be a number"):
        model.set(loss=nn.MeanSquaredError(), optimizer=nn.SGD(), clip_norm="3")
    assert model.loss is loss and model.optimizer is optimizer
    model.predict(np.ones((1, 2)))  # it is still finalized


def test_what_is_no_layer_is_no_layer():
    model = nn.Model()
    for take, name in ((model.add, "add"), (nn.Sequential, "Sequential")):
        with pytest.raises(TypeError, match=rf"{name} takes a layer, .* got the class ReLU: write ReLU\(...\)"):
            take(nn.ReLU)
        for value in ("relu", 3, None, [nn.ReLU()]):
            with pytest.raises(TypeError, match=rf"{name} takes a layer, such as Dense\(2, 64\), got "):
                take(value)
        for part, value in (("loss", nn.Huber()), ("loss", nnfs.Loss()), ("optimizer", nn.Adam()),
                            ("optimizer", nnfs.Optimizer_SGD()), ("accuracy", nn.Accuracy())):
            with pytest.raises(TypeError, match=rf"{name} takes a layer, .*: write model.set\({part}=...\)"):
                take(value)
    assert model.layers == []
    for value in (nn.Huber(), nn.Adam(), nn.ReLU, 3):  # put there by hand
        model.layers = [nn.Dense(2, 3), value]
        with pytest.raises(TypeError, match=r"layers\[1\] must be a layer"):
            model.finalize()


@pytest.mark.parametrize("kind", (nn.Model, nnfs.Model))
def test_the_books_softmax_and_loss_is_for_loops_of_ones_own(kind):
    model, both = kind(), nnfs.Activation_Softmax_Loss_CategoricalCrossentropy()
    for take in (model.add, nn.Sequential, lambda both: model.set(loss=both)):
        with pytest.raises(TypeError, match=r"Activation_Softmax_Loss_CategoricalCrossentropy is for .*: write add\("
                                            r"Activation_Softmax\(\)\) and set\(loss=Loss_CategoricalCross"):
            take(both)


# ---- layers inside of others


class Skip(nn.Sequential):
    """A block of a user's own."""

    def forward(self, inputs, training=True):
        return inputs + super().forward(inputs, training)

    def backward(self, dvalues):
        return dvalues + super().backward(dvalues)


class Holder(Spy):
    """Holds something as an attribute."""

    n_inputs = update_params = None  # whatever a user has

    def __init__(self, held):
        super().__init__()
        self.held = held


class Shared:
    inner = nn.Dense(2, 2)
    forward = backward = lambda self, x, training=True: x


def holders(inner):
    def model():
        found = nn.Model()
        found.layers = [inner]
        return found

    return {"attribute": Holder(inner), "list": Holder([nn.ReLU(), inner]), "tuple": Holder((inner,)),
            "dict": Holder({"a": [inner]}), "deep": Holder(Holder([Skip(inner)])), "model": model(),
            "in one": Skip(Holder(inner))}


def inside(model, layer):
    model.layers = [nn.Dense(2, 2, rng=0), layer, nn.Dense(2, 3, rng=1), nn.Softmax()]
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(0.5), accuracy=nn.Accuracy())
    return model


@pytest.mark.parametrize("kind", (nn.Model, nnfs.Model))
@pytest.mark.parametrize("holder", holders(nn.ReLU()))
def test_layers_that_would_never_be_trained_are_named(spiral, holder, kind):
    inner = nn.Dense(2, 2, activation="tanh")
    layer = holders(inner)[holder]
    model = inside(kind(), layer)
    text = rf"(Holder|\w+\(.*\)) contains {re.escape(repr(inner))}, which the model would not train"
    with pytest.raises(ValueError, match=f"layer 1, {text}: name it in the attribute `layers`, add the layers one by"):
        model.finalize()
    if isinstance(layer, (Skip, nn.Model)):
        with pytest.raises(ValueError, match="^layer 1, .* which the model would not train"):
            nn.Model([nn.ReLU()]).add(layer)
    inner.trainable = False
    if holder != "model":
        model.finalize()
        model.train(*spiral, epochs=2, print_every=None)
    model.optimizer = None  # nothing is trained
    inner.trainable = True
    model.finalize()


def test_layers_of_a_class_would_not_be_trained_either():
    with pytest.raises(ValueError, match=r"^layer 1, Shared contains Dense\(2, 2\), which the model would not train"):
        inside(nn.Model(), Shared()).finalize()


def test_what_is_trained_may_be_held_by_others(spiral):
    """A layer of the model; parameters that a layer shows as its own; the book's neighbours."""
    class Wrapped(nn.Sequential):
        weights = property(lambda self: self.layers[0].weights)
        biases = property(lambda self: self.layers[0].biases)
        dweights = property(lambda self: self.layers[0].dweights)
        dbiases = property(lambda self: self.layers[0].dbiases)

    dense = nn.Dense(2, 2, rng=0)
    for layer, others in ((Wrapped(dense), []), (Holder(dense), [dense])):
        layer.itself, layer.other = layer, Holder([layer])
        model = build(*others, layer, nn.Dense(2, 3, rng=1), nn.Softmax())
        before = dense.weights.copy()
        model.train(*spiral, epochs=2)
        assert not np.array_equal(dense.weights, before)
    first, second = nnfs.Model(), nnfs.Model()
    for model, width in ((first, 5), (second, 2)):  # the second takes a layer of the first
        model.add(first.layers[0] if first.layers else nn.Softplus())
        model.add(nn.Dense(width, width, rng=0))
        model.set(loss=nn.MeanSquaredError(), optimizer=nn.SGD(0.1))
        model.finalize()


# ---- data that does not fit


@pytest.mark.parametrize("X, y, error, text", [
    (np.ones((3, 2)), [0, 1], ValueError, "X and y must have the same length, got 3 and 2"),
    (np.ones((0, 2)), [], ValueError, "the training data is empty"),
    (np.ones((2, 3)), [0, 1], ValueError, r"X must have shape \(samples, 2\) for Dense\(2, 16.*got \(2, 3\)"),
    (np.ones(2), [0, 1], ValueError, r"X must have shape \(samples, 2\).*got \(2,\)"),
    (np.ones((2, 2)), [0, 3], ValueError, r"labels must lie in 0..2, got 3 at index 1"),
    (np.ones((2, 2)), [-1, 0], ValueError, r"labels must lie in 0..2, got -1 at index 0"),
    (np.ones((2, 2)), [0.0, 0.5], ValueError, "labels must be whole numbers, got 0.5 at index 1"),
    (np.ones((2, 2)), np.ones((2, 4)), ValueError, r"y must have shape \(2,\) or \(2, 3\), got \(2, 4\)"),
    (np.ones((2, 2)), [[1], [3]], ValueError, "labels must lie in 0..2, got 3 at index 1: class numbers count from 0"),
    (np.ones((2, 2), complex), [0, 1], TypeError, "X must contain real numbers, got dtype complex128"),
    ([[1, 2], [3]], [0, 1], ValueError, "inhomogeneous"),
])
def test_errors_name_what_is_wrong_and_nothing_is_trained(X, y, error, text):
    model = small()
    before = bits(model)
    with pytest.raises(error, match=text):
        model.train(X, y)
    with pytest.raises(error, match=text.replace("training", "evaluation")):
        model.evaluate(X, y)
    with pytest.raises(error, match=f"^validation_data: .*{text.replace('training', 'validation')}"):
        model.train(np.ones((2, 2)), [0, 1], validation_data=(X, y))
    assert bits(model) == before and model.history["loss"] == []


@pytest.mark.parametrize("layers, wish", (
    ((nn.Input((4, 4)), nn.Flatten(), nn.Dense(16, 3)), r"\(samples, 4, 4\) for Input\(\(4, 4\)\)"),
    ((nn.Flatten(), nn.Dense(16, 3)), r"\(samples, ...\) with 16 elements per sample for Dense\(16, 3\)"),
    ((nn.Input(16), nn.Dense(16, 3)), r"\(samples, 16\) for Input\(16\)")))
def test_inputs_of_another_shape_are_named_before_anything_is_trained(twin, layers, wish):
    model = build(*layers, nn.Softmax())
    shape = layers[0].shape if isinstance(layers[0], nn.Input) else (4, 4)
    X, before = np.ones((2, *shape), np.float32), bits(model)
    text = rf"X must have shape {wish}, got \(2, 4, 3\)"
    for call in (lambda: model.train(X, [0, 1], validation_data=(np.ones((2, 4, 3)), [0, 1])),
                 lambda: model.train(np.ones((2, 4, 3)), [0, 1]), lambda: model.evaluate(np.ones((2, 4, 3)), [0, 1]),
                 lambda: model.predict(np.ones((2, 4, 3)))):
        with pytest.raises(ValueError, match=text):
            call()
    assert bits(model) == before and model.history["loss"] == []
    model.train(X, [0, 1])


@pytest.mark.parametrize("weights, error, text", (
    ([1], ValueError, r"sample_weight must have shape \(2,\), got \(1,\)"),
    ([1, -1], ValueError, "sample_weight must be finite and at least 0, got -1"),
    (["a", "b"], TypeError, "sample_weight must contain real numbers")))
def test_weights_of_the_validation_are_named_as_such(weights, error, text):
    with pytest.raises(error, match=f"^validation_data: {text}"):
        small().train(np.ones((2, 2)), [0, 1], validation_data=(np.ones((2, 2)), [0, 1], weights))


@pytest.mark.parametrize("value, found", ((0.2, "0.2"), (True, "True"), ("X", "'X'"), ((1,), "a tuple of 1"),
                                          ([1, 2, 3, 4], "a list of 4"), (np.ones((2, 2)), "ndarray"),
                                          ({"X": 1, "y": 2}, "dict")))
def test_what_is_no_validation_data_is_named(value, found):
    model = small()
    with pytest.raises(TypeError, match=rf"validation_data must be \(X, y\) or .*, or an iterable of .*, got {found}"):
        model.train(np.ones((2, 2)), [0, 1], validation_data=value)
    if isinstance(value, float):
        with pytest.raises(TypeError, match="to hold out a share of the samples, use nn.preparation.train_test_split"):
            model.train(np.ones((2, 2)), [0, 1], validation_data=value)


@pytest.mark.parametrize("kept", (np.array([2.0, 3.0]), (2.0, 3.0), range(2, 4), np.array([2, 3], np.float32)))
def test_a_history_of_another_kind_becomes_lists(spiral, kept):
    model, other = small(), small()
    other.train(*spiral, epochs=2)
    model.history["loss"] = model.history["mine"] = kept
    model.train(*spiral, epochs=2)
    assert model.history["loss"] == [2.0, 3.0, *other.history["loss"]]
    assert {type(value) for value in model.history["loss"]} == {float} and model.history["mine"] is kept
    model.train(*spiral, epochs=3, batch_size=100,
                callback=lambda epoch: model.history.update(accuracy=np.zeros(epoch), val_loss=()))
    assert list(model.history["accuracy"]) == [0, 0, 0] and model.history["val_loss"] == ()


@pytest.mark.parametrize("wrong", (None, 3, "ab", ("a",), {"a": 1}, np.zeros((2, 2))))
def test_a_history_that_cannot_go_on_is_named_before_anything_is_trained(spiral, wrong):
    model = small()
    before = bits(model)
    for name in ("loss", "accuracy", "regularization_loss", "learning_rate", "val_loss", "val_accuracy"):
        kept, model.history[name] = model.history[name], wrong
        with pytest.raises(TypeError, match=rf"history\['{name}'\] must be a list of numbers, got "):
            model.train(*spiral, epochs=2, validation_data=spiral)
        model.history[name] = kept
    assert bits(model) == before and model.optimizer.iterations == 0
    model.train(*spiral)


@pytest.mark.parametrize("name, value, error, text", [
    ("epochs", 0, ValueError, "epochs must be at least 1, got 0"),
    ("epochs", 1.5, TypeError, "epochs must be a whole number, got 1.5"),
    ("batch_size", 0, ValueError, "batch_size must be at least 1, got 0"),
    ("batch_size", True, TypeError, "batch_size must be a whole number, got True"),
    ("print_every", -1, ValueError, "print_every must be at least 1, got -1"),
])
def test_numbers_of_the_training(spiral, name, value, error, text):
    with pytest.raises(error, match=text):
        small().train(*spiral, **{name: value})


@pytest.mark.parametrize("layers", [(nn.Input(4),), (nn.Flatten(),), (nn.Input((2, 2)), nn.Flatten()), (nn.Linear(),)])
@pytest.mark.parametrize("count", (2, 40))
def test_what_predict_returns_is_the_callers(layers, count):
    """Layers that pass their inputs on, too."""
    model = nn.Model()
    for layer in layers:
        model.add(layer)
    model.finalize()
    X = np.ones((count, 2, 2) if len(layers) == 2 else (count, 4), np.float32)
    for _ in range(4):
        outputs = model.predict(X)
        outputs[...] = 7
        assert (X == 1).all() and (model.predict(X) == 1).all()


def test_predicting_nothing():
    with nn.use("numpy"):
        assert small().predict(np.empty((0, 2))).shape == (0, 3)


# ---- what is printed


def test_silent_unless_asked(spiral, capfd):
    with nn.use("numpy"):
        model = small()
        model.train(*spiral, epochs=2, validation_data=spiral)
        model.evaluate(*spiral)
    assert capfd.readouterr() == ("", "")


def test_lines_are_the_books(spiral, capsys):
    with nn.use("numpy"):
        model = small(optimizer=nn.SGD(0.1, decay=0.5))
        model.train(*spiral, epochs=2, batch_size=50, print_every=2, validation_data=spiral)
    figures = r"acc: 0\.\d{3}, loss: \d\.\d{3} \(data_loss: \d\.\d{3}, reg_loss: 0\.000\), lr: "
    expected = []
    for epoch in (0, 1):
        rates = [0.1 / (1 + 0.5 * (6 * epoch + step)) for step in range(6)]
        expected += [f"epoch: {epoch + 1}", *(f"step: {step}, {figures}{rates[step]}" for step in (0, 2, 4, 5)),
                     f"training, {figures}{rates[5]}", r"validation, acc: 0\.\d{3}, loss: \d\.\d{3}"]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(expected)
    for line, pattern in zip(lines, expected):
        assert re.fullmatch(pattern, line), (line, pattern)
    loss, accuracy = model.history["val_loss"][1], model.history["val_accuracy"][1]
    assert lines[-1] == f"validation, acc: {accuracy:.3f}, loss: {loss:.3f}"


@pytest.mark.parametrize("batch_size", (None, 300, 1000))
@pytest.mark.parametrize("validated", (False, True))
@pytest.mark.parametrize("model", (nn.Model, nnfs.Model))
def test_where_an_epoch_is_one_step_epochs_are_counted(twin, spiral, capsys, model, validated, batch_size):
    """As in chapter 18 of the book: 1000 epochs, 10 lines, and one of the validation at the end, which names its epoch
    unless the line before does."""
    made = build(nn.Dense(2, 8, rng=0, weight_regularizer_l2=0.1), nn.Softmax(), optimizer=nn.SGD(0.1, decay=0.5),
                 model=model)
    history = made.train(*spiral, epochs=35, print_every=10, batch_size=batch_size,
                         validation_data=spiral if validated else None)
    lines = capsys.readouterr().out.splitlines()
    for line, epoch in zip(lines, (10, 20, 30)):
        accuracy, loss, penalty, rate = (history[name][epoch - 1] for name in (
            "accuracy", "loss", "regularization_loss", "learning_rate"))
        assert line == (f"epoch: {epoch}, acc: {accuracy:.3f}, loss: {loss:.3f} (data_loss: {loss - penalty:.3f}, "
                        f"reg_loss: {penalty:.3f}), lr: {rate}")
        assert penalty > 0.001 and rate == 0.1 / (1 + 0.5 * (epoch - 1))
    assert lines[3:] == ([f"epoch: 35, validation, acc: {history['val_accuracy'][-1]:.3f}, "
                          f"loss: {history['val_loss'][-1]:.3f}"] if validated else [])
    made.train(*spiral, epochs=10, print_every=10, batch_size=batch_size, validation_data=spiral if validated else None)
    epoch, *last = capsys.readouterr().out.splitlines()
    assert epoch.startswith("epoch: 10, acc: ")
    assert [line.partition(" acc: ")[0] for line in last] == ["validation,"] * validated


def test_what_is_printed_does_not_change_the_training(spiral, capsys):
    def trained(**given):
        model = small()
        model.train(*spiral, epochs=50, **given)
        return model.history, bits(model)

    silent = trained()
    for every in (1, 7, 1000):
        assert trained(print_every=every) == silent
        assert len(capsys.readouterr().out.splitlines()) == 50 // every


def test_the_validation_of_a_training_that_is_stopped_is_printed(twin, spiral, capsys):
    model = small()

    def stop(epoch):
        if epoch == 3:
            raise nn.StopTraining

    model.train(*spiral, epochs=50, print_every=2, validation_data=spiral, callback=stop)
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("epoch: 2, acc: ")
    assert last == (f"epoch: 3, validation, acc: {model.history['val_accuracy'][2]:.3f}, "
                    f"loss: {model.history['val_loss'][2]:.3f}")


def test_the_bar_shows_on_terminals_only(monkeypatch):
    class Terminal:
        def isatty(self):
            return True

        def write(self, text):
            return len(text)

        def flush(self):
            pass

    assert progress.bar(10, None) is None
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert progress.bar(10, False) is None
    shown = progress.bar(10, None)
    assert (shown.total, shown.delay) == (10, 1)
    shown.close()


def test_the_bar_counts_steps_and_is_closed(monkeypatch, spiral):
    class Bar:
        steps = closed = 0

        def update(self, steps):
            self.steps += steps

        def close(self):
            self.closed += 1

    monkeypatch.setattr(nn.training.trainer, "bar", lambda total, wanted: made.append((total, wanted)) or bar)

    def stop(epoch):
        raise KeyboardInterrupt

    for callback, steps in ((None, 9), (stop, 3)):
        bar, made = Bar(), []
        try:
            with nn.use("numpy"):
                small().train(*spiral, epochs=3, batch_size=128, progress=True, callback=callback)
        except KeyboardInterrupt:
            pass
        assert made == [(9, True)] and (bar.steps, bar.closed) == (steps, 1)


def test_ctrl_c_leaves_a_usable_model(twin, spiral):
    model = small()

    def stop(epoch):
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.train(*spiral, epochs=9, callback=stop)
    assert len(model.history["loss"]) == len(model.history["accuracy"]) == len(model.history["learning_rate"]) == 3
    model.train(*spiral, epochs=3)
    whole = small()
    whole.train(*spiral, epochs=6)
    assert bits(model) == bits(whole)


# ---- parameters and files


def test_parameters_are_copies():
    model = small()
    parameters = model.get_parameters()
    before = bits(model)
    parameters[0][0][:] = 7
    assert bits(model) == before
    model.set_parameters(parameters)
    parameters[0][0][:] = 8
    assert (model.layers[0].weights == 7).all()


@pytest.mark.parametrize("change, text", [
    (lambda p: p[:1], "has 2 layers with parameters, got 1"),
    (lambda p: [p[0], (p[1][0].T, p[1][1])], r"weights of layer 1 must have shape \(16, 3\), got \(3, 16\)"),
    (lambda p: [(p[0][0] + 1, p[0][1]), (p[1][0], np.ones((1, 2)))], r"biases of layer 1 must have shape \(1, 3\)"),
])
def test_parameters_that_do_not_fit_change_nothing(change, text):
    model = small()
    before = bits(model)
    with pytest.raises(ValueError, match=text):
        model.set_parameters(change(model.get_parameters()))
    assert bits(model) == before


def test_errors_of_parameters_name_the_layer_as_the_model_counts():
    model = build(nn.Dense(2, 4), nn.ReLU(), nn.Residual(nn.Dense(4, 4)), nn.Dense(4, 3), nn.Softmax())
    for place, found in enumerate(("0", "2.body.0", "3")):
        parameters = model.get_parameters()
        parameters[place] = np.ones((9, 9)), parameters[place][1]
        with pytest.raises(ValueError, match=f"^weights of layer {found} must have shape"):
            model.set_parameters(parameters)
        parameters[place] = ()
        with pytest.raises(ValueError, match=f"^parameters of layer {found} must be a pair"):
            model.set_parameters(parameters)


def test_save_and_load(tmp_path, spiral):
    path = tmp_path / "weights"  # no suffix is added
    model, other = small(0), small(1)
    model.save_parameters(path)
    assert bits(model) != bits(other)
    other.load_parameters(str(path))
    assert bits(model) == bits(other)
    assert os.listdir(tmp_path) == ["weights"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    with np.load(path, allow_pickle=False) as file:
        assert sorted(file.files) == ["layer0.biases", "layer0.weights", "layer1.biases", "layer1.weights"]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "weights.npz"
    path.write_bytes(b"old")

    def full(file, **arrays):
        file.write(b"half")
        raise OSError("no space left")

    def killed(source, target):
        raise OSError("no space left")

    for module, name, failure in ((np, "savez", full), (os, "replace", killed)):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="no space left"):
            patch.setattr(module, name, failure)
            small().save_parameters(path)
        assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["weights.npz"]


def test_a_save_that_fails_names_the_file_that_was_wanted(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        small().save_parameters(tmp_path / "nowhere" / "weights.npz")
    assert error.value.filename == str(tmp_path / "nowhere" / "weights.npz")


def test_a_link_is_followed(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    small().save_parameters(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").stat().st_size > 500


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("bomb",)


def test_files_that_are_no_parameters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = small()
    before = bits(model)
    model.save_parameters("good.npz")
    good = Path("good.npz").read_bytes()
    files = {"text.npz": b"hello", "empty.npz": b"", "cut.npz": good[:-200], "pickle.npz": pickle.dumps(Bomb()),
             "changed.npz": good[:300] + bytes([good[300] ^ 1]) + good[301:]}
    for name, content in files.items():
        Path(name).write_bytes(content)
    np.save("array.npy", np.ones(3))
    np.savez("other.npz", a=np.ones(3))
    names = [f"layer{i}.{p}" for i in (0, 1) for p in ("weights", "biases")]
    np.savez("objects.npz", **{name: np.array([Bomb()], object) for name in names})
    build(nn.Dense(2, 8), nn.Dense(8, 3), nn.Softmax()).save_parameters("shape.npz")
    for name in (*files, "array.npy", "other.npz", "objects.npz", "shape.npz"):
        with pytest.raises(ValueError, match=f"{name} contains no parameters of this model: "):
            model.load_parameters(name)
        assert bits(model) == before
    with pytest.raises(ValueError, match="it is damaged, or not an npz file$"):  # not NumPy's advice to allow pickles
        model.load_parameters("text.npz")
    assert not os.path.exists("bomb")
    with pytest.raises(FileNotFoundError):
        model.load_parameters("none.npz")

"""The table of a model's layers: names, shapes, parameters."""

import copy
import threading

import numpy as np
import pytest

from nnjit import nn
from nnjit.nn import nnfs

X, Y = nn.datasets.spiral(samples=20, classes=3, seed=0)


def branched():
    return nn.Model([
        nn.Dense(2, 16, activation="relu", rng=0),
        nn.Residual(nn.Dense(16, 8, rng=1), nn.Tanh(), shortcut=nn.Sequential(nn.Dense(16, 8, rng=2)),
                    activation="relu"),
        nn.Parallel(nn.Dense(8, 4, rng=3), nn.Sequential(nn.Dense(8, 5, rng=4), nn.ReLU()), nn.Identity()),
        nn.Dense(17, 3, rng=5)])


class Own:
    """A layer of a user's own: it says no shape."""

    def __init__(self, *shape):
        self.weights, self.biases = np.zeros(shape, np.float32), np.zeros((1, shape[1]), np.float32)

    def forward(self, x, training=True):
        return x @ self.weights + self.biases

    def backward(self, dy):
        return dy @ self.weights.T


def test_each_layer_has_its_shapes_and_parameters():
    model = branched()
    model.finalize()
    assert [(row.name, row.layer, row.shape, row.parameters) for row in nn.summary(model).rows] == [
        ("0", "Dense(2, 16, activation='relu')", (16,), 48),
        ("1", "Residual", (8,), 0),
        ("1.body", "Sequential", (8,), 0),
        ("1.body.0", "Dense(16, 8)", (8,), 136),
        ("1.body.1", "Tanh()", (8,), 0),
        ("1.shortcut", "Sequential", (8,), 0),
        ("1.shortcut.0", "Dense(16, 8)", (8,), 136),
        ("1.activation", "ReLU()", (8,), 0),
        ("2", "Parallel", (17,), 0),
        ("2.0", "Dense(8, 4)", (4,), 36),
        ("2.1", "Sequential", (5,), 0),
        ("2.1.0", "Dense(8, 5)", (5,), 45),
        ("2.1.1", "ReLU()", (5,), 0),
        ("2.2", "Identity()", (8,), 0),
        ("3", "Dense(17, 3)", (3,), 54)]


def test_shapes_are_those_of_the_outputs():
    model = branched()
    model.finalize()
    model.forward(X)
    for row in nn.summary(model).rows:
        layer = model
        for name in row.name.split("."):
            layer = layer.layers[name if isinstance(layer.layers, dict) else int(name)]
        assert layer.output.shape == (len(X), *row.shape), row.name
    assert nn.summary(model).total == sum(values.size for each in model.get_parameters() for values in each)


def test_model_prints_the_table(capsys):
    model = nn.Model([nn.Flatten(), nn.Dense(784, 1280, activation="relu", rng=0), nn.Dropout(0.1, seed=1),
                      nn.Dense(1280, 10, rng=1), nn.Softmax()])
    model.layers[1].trainable = False
    model.finalize(input_shape=(28, 28))
    assert model.summary() is None
    assert capsys.readouterr().out == f"{nn.summary(model)}\n" == """\
name  layer                                output shape  parameters
0     Flatten()                            (N, 784)               0
1     Dense(784, 1280, activation='relu')  (N, 1280)      1,004,800  frozen
2     Dropout(0.1, seed=1)                 (N, 1280)              0
3     Dense(1280, 10)                      (N, 10)           12,810
4     Softmax()                            (N, 10)                0
parameters: 1,017,610, trainable: 12,810, frozen: 1,004,800
"""


def test_shapes_are_unknown_before_a_layer_says_them(capsys):
    model = nn.Model([nn.Flatten(), nn.Residual(nn.Tanh()), nn.Dense(6, 3, rng=0), Own(3, 2), nn.ReLU(),
                      nn.Parallel(nn.Identity(), nn.Dense(2, 4, rng=0)), nn.Dense(6, 2, rng=0)])
    wish = [None, None, None, None, (3,), None, None, None, None, (4,), (2,)]
    assert [row.shape for row in nn.summary(model).rows] == wish  # before finalize, too
    model.finalize()
    assert [row.shape for row in nn.summary(model).rows] == wish
    model.summary()
    assert [line.split()[-2] for line in capsys.readouterr().out.splitlines()[1:3]] == ["?", "?"]
    model.finalize(input_shape=(2, 3))
    assert [row.shape for row in nn.summary(model).rows][:5] == [(6,), (6,), (6,), (6,), (3,)]


def test_layers_that_do_not_fit_are_named_as_by_finalize():
    model = nn.Model([nn.Dense(2, 3, rng=0), nn.Residual(nn.Dense(4, 4, rng=0))])
    for call in (model.finalize, model.summary, lambda: nn.summary(model)):
        with pytest.raises(ValueError, match="^layer 1, Residual.*, layer 0, Dense.*, must have"):
            call()


def test_a_users_container_shows_its_layers():
    class Container:
        def __init__(self, layers):
            self.layers = layers

        def forward(self, x, training=True):
            return x

        def backward(self, dy):
            return dy

    rows = nn.summary(nn.Model([nn.Input(2), Container([nn.Dense(2, 3, rng=0), nn.ReLU()]),
                                Container({"a\n" + 200 * "b": nn.Dense(2, 3, rng=0)})])).rows
    assert [(row.name[:3], row.shape, row.parameters) for row in rows] == [
        ("0", (2,), 0), ("1", None, 0), ("1.0", (3,), 9), ("1.1", None, 0), ("2", None, 0), ("2.a", (3,), 9)]
    assert rows[1].layer == "Container"


def test_counts_follow_what_is_frozen():
    model = branched()
    for frozen in ([], [model.layers[0]], [model.layers[1]], model.layers):
        model.trainable = True
        for layer in frozen:
            layer.trainable = False
        found = nn.summary(model)
        counts = sum(values.size for layer in model.trainable_layers for values in layer.parameters.values())
        assert (found.total, found.trainable, found.frozen) == (455, counts, 455 - counts)
        assert sum(row.parameters for row in found.rows) == 455
        assert str(found).count(" frozen\n") == sum(not row.trainable and row.parameters > 0 for row in found.rows)
    assert counts == 0


def test_a_model_within_a_model_counts_as_frozen():
    inner = nn.Model([nn.Dense(2, 4, rng=0), nn.ReLU()])
    inner.trainable = False
    model = nn.Model([inner, nn.Dense(4, 3, rng=1)])
    found = nn.summary(model)
    assert [(row.name, row.layer, row.shape) for row in found.rows] == [
        ("0", "Model", None), ("0.0", "Dense(2, 4)", (4,)), ("0.1", "ReLU()", (4,)), ("1", "Dense(4, 3)", (3,))]
    assert (found.total, found.trainable, found.frozen) == (27, 15, 12)


class Wide(Own):
    def __repr__(self):
        return "Wide\n" + 300 * "w"


class Unshown(Own):
    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize("layers", (
    [nn.Dropout(0.123456789012345678, seed=2**64 - 1)], [Wide(2, 3)], [Unshown(2, 3)], [nn.Input((1,) * 63)],
    [nn.Residual(nn.Residual(nn.Residual(nn.Residual(nn.Residual(nn.Residual(nn.Residual(Wide(3, 3))))))))]))
def test_lines_are_not_too_long(layers):
    lines = str(nn.summary(nn.Model(layers))).splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) == 2 + len(nn.summary(nn.Model(layers)).rows)
    if isinstance(layers[0], nn.Residual):  # the end tells names apart
        assert "..." in lines[-2] and lines[-2].split()[0].endswith(".body.0")


def test_a_model_without_layers():
    found = nn.summary(nn.Model())
    assert found.rows == [] and str(found).splitlines()[1:] == ["parameters: 0, trainable: 0, frozen: 0"]


def test_the_books_model_copies_and_loaded_ones_show_the_same(tmp_path, capsys):
    model = nnfs.Model()
    for layer in (nnfs.Layer_Dense(2, 4), nnfs.Activation_ReLU(), nnfs.Layer_Dropout(0.1), nnfs.Layer_Dense(4, 3)):
        model.add(layer)
    model.finalize()
    wish = str(nn.summary(model))
    assert "Dense(2, 4)  " in wish
    model.save(tmp_path / "m.npz")
    for other in (copy.deepcopy(model), nn.Model.load(tmp_path / "m.npz")):
        assert str(nn.summary(other)) == wish
    model.summary()
    assert capsys.readouterr().out == f"{wish}\n"


def test_it_changes_nothing_and_may_be_called_in_a_training(capsys):
    def trained(look):
        model = branched()
        model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.Adam(0.01))
        model.finalize()

        def callback(epoch):
            if look:
                model.summary()
                other = threading.Thread(target=model.summary)
                other.start()
                other.join()

        model.train(X, Y, epochs=3, callback=callback)
        assert model.why_not_recorded is None
        return [values.tobytes() for each in model.get_parameters() for values in each]

    assert trained(True) == trained(False)
    assert capsys.readouterr().out.count("parameters: 455") == 6


@pytest.mark.parametrize("wrong", (nn.Model, None, nn.Dense(2, 3, rng=0), [nn.Dense(2, 3, rng=0)]))
def test_what_is_no_model_is_named(wrong):
    with pytest.raises(TypeError, match="^model must be an nn.Model, got"):
        nn.summary(wrong)

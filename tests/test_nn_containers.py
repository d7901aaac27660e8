"""Networks with branches: recorded, layer by layer and by hand they are the same, and all their layers are trained."""

import copy
import pickle
import typing

import numpy as np
import pytest

from nnjit import nn
from nnjit.nn.parameters import named, walk

X, Y = nn.datasets.spiral(samples=60, classes=3, seed=0)


def dense(*sizes, seed=0, **more):
    return nn.Dense(*sizes, rng=seed, **more)


class Shortcut:
    """A reader's own container: it declares its layers."""

    def __init__(self, *layers):
        self.layers = list(layers)

    def forward(self, inputs, training=True):
        self.inputs = y = inputs
        for layer in self.layers:
            y = layer.forward(y, training)
        self.output = y + inputs
        return self.output

    def backward(self, dvalues):
        dx = dvalues
        for layer in reversed(self.layers):
            dx = layer.backward(dx)
        return dx + dvalues


MIDDLES = {
    "residual": lambda: [nn.Residual(dense(16, 16, activation="relu", seed=1))],
    "residual, activation": lambda: [nn.Residual(dense(16, 16, seed=1), nn.GELU(), dense(16, 16, seed=2),
                                                 activation="tanh")],
    "residual, shortcut": lambda: [nn.Residual(dense(16, 12, seed=1), nn.ReLU(), shortcut=dense(16, 12, seed=2)),
                                   dense(12, 16, seed=3)],
    "concatenate": lambda: [nn.Parallel(dense(16, 5, seed=1), nn.Identity(), dense(16, 3, activation="tanh", seed=2)),
                            dense(24, 16, seed=3)],
    "add": lambda: [nn.Parallel(dense(16, 16, seed=1), dense(16, 16, activation="tanh", seed=2), nn.Identity(),
                                join="add")],
    "multiply": lambda: [nn.Parallel(dense(16, 16, seed=1), dense(16, 16, activation="sigmoid", seed=2),
                                     dense(16, 16, activation="sigmoid", seed=3), join="multiply")],
    "nested": lambda: [nn.Residual(nn.Parallel(nn.Sequential(dense(16, 8, seed=1), nn.ReLU()),
                                               nn.Residual(dense(16, 16, seed=2))), dense(24, 16, seed=3),
                                   nn.Dropout(0.1, seed=5), activation=nn.SiLU())],
    "regularized": lambda: [nn.Residual(dense(16, 16, seed=1, weight_regularizer_l2=0.01, bias_regularizer_l1=0.01))],
}


def network(middle, optimizer=None, **options):
    model = nn.Model()
    for layer in (dense(2, 16, activation="relu"), *MIDDLES[middle](), dense(16, 3), nn.Softmax()):
        model.add(layer)
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=optimizer or nn.Adam(0.02), accuracy=nn.Accuracy(),
              **options)
    model.finalize()
    return model


def bits(model):
    return [values.tobytes() for each in model.get_parameters() for values in each]


def by_hand(model, steps):
    """The book's loop over the model's layers."""
    optimizer = model.optimizer
    layers, joined = model.layers[:-1], nn.SoftmaxCategoricalCrossentropy()
    for _ in range(steps):
        y = X
        for layer in layers:
            y = layer.forward(y, True)
        joined.forward(y, Y)
        gradient = joined.backward(joined.output, Y)
        for layer in reversed(layers):
            gradient = layer.backward(gradient)
        optimizer.pre_update_params()
        for layer in walk(layers):
            if getattr(layer, "parameters", None):
                optimizer.update_params(layer)
        optimizer.post_update_params()


each = pytest.mark.parametrize("middle", MIDDLES)


@each
def test_recorded_layer_by_layer_and_by_hand_are_the_same(middle):
    recorded, one_by_one, hand = network(middle), network(middle), network(middle)
    recorded.train(X, Y, epochs=20)
    assert recorded.why_not_recorded is None and recorded._steps.plans[len(X)].proved
    for _ in range(20):
        one_by_one._steps.by_layers(*one_by_one._samples("training", X, Y))
    by_hand(hand, 20)
    assert bits(recorded) == bits(one_by_one) == bits(hand)
    assert np.array_equal(recorded.predict(X), one_by_one.predict(X))
    for _ in range(4):  # recorded from the third on
        assert np.array_equal(recorded.predict(X[5:8]), one_by_one.predict(X)[5:8])
    with nn.use("numpy"):
        twin = network(middle)
        twin.train(X, Y, epochs=20)
    for mine, other in zip(recorded.get_parameters(), twin.get_parameters(), strict=True):
        for values, wish in zip(mine, other):
            np.testing.assert_allclose(values, wish, atol=1e-4)


@each
def test_mini_batches_clipping_and_another_optimizer(middle):
    def trained(by_step):
        model = network(middle, nn.SGD(0.1, momentum=0.9, decay=0.01), clip_norm=0.5)
        if by_step:
            for _ in range(3):
                for at in range(0, len(X), 50):
                    model.train_step(X[at:at + 50], Y[at:at + 50])
        else:
            model.train(X, Y, epochs=3, batch_size=50, shuffle=False)
        return bits(model)

    assert trained(True) == trained(False)


@pytest.mark.parametrize("use", (lambda model: model.predict(X[:3]), lambda model: model.train_step(X, Y),
                                 lambda model: model.step_from(model.forward(X))))
def test_a_changed_join_needs_finalize(use):
    model = network("add")
    for _ in range(3):
        use(model)
    model.layers[1].join = "multiply"
    with pytest.raises(RuntimeError, match="the model is not finalized"):
        use(model)
    model.finalize()
    assert np.array_equal(model.predict(X), model.forward(X, False))
    with pytest.raises(ValueError, match="join must be 'concatenate', 'add' or 'multiply', got 'sum'"):
        model.layers[1].join = "sum"
    assert pickle.loads(pickle.dumps(model)).layers[1].join == "multiply"


@each
def test_gradients(middle):
    assert nn.check_gradients(network(middle), X[:20], Y[:20], verbose=False, numbers=None)


@each
def test_saved_copied_and_pickled_models_go_on(middle, tmp_path):
    model = network(middle)
    model.train(X, Y, epochs=5)
    model.save(tmp_path / "m.npz")
    model.save_parameters(tmp_path / "p.npz")
    others = [nn.Model.load(tmp_path / "m.npz"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    fresh = network(middle)
    fresh.load_parameters(tmp_path / "p.npz")
    assert bits(fresh) == bits(model) and repr(others[0]) == repr(model)
    model.train(X, Y, epochs=5)
    for other in others:
        other.train(X, Y, epochs=5)
        assert bits(other) == bits(model) and other.history == model.history


def test_a_readers_own_container_is_frozen_as_a_whole():
    def built():
        model = nn.Model([dense(2, 16), nn.Sequential(nn.Tanh(), nn.Residual(Shortcut(dense(16, 16, seed=1)))),
                          dense(16, 3, seed=4)])
        model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.Adam())
        model.finalize()
        return model, model.layers[2].body.layers[0]

    model, own = built()
    first, inner, last = model.trainable_layers
    own.trainable = False
    assert model.trainable_layers == [first, last] and not model.layers[2].trainable
    before = inner.weights.copy()
    model.train(X, Y, epochs=3)
    model.train_step(X, Y)
    assert np.array_equal(inner.weights, before) and nn.summary(model).frozen == 272
    model.trainable_layers = [inner, last]
    assert own.trainable and model.trainable_layers == [inner, last]
    model.train(X, Y)
    assert not np.array_equal(inner.weights, before)
    model.trainable = False
    assert not model.trainable and model.trainable_layers == []


@pytest.mark.parametrize("how", ("layer", "container", "loaded"))
def test_frozen_parts_stay_and_are_recorded(how, tmp_path):
    model = network("nested")
    frozen = model.layers[1] if how == "container" else model.layers[1].body.layers[1]
    frozen.trainable = False
    if how == "loaded":
        model.save(tmp_path / "m.npz")
        model = nn.Model.load(tmp_path / "m.npz")
        frozen = model.layers[1].body.layers[1]
        assert not frozen.trainable and model.layers[1].trainable
    before = [{name: values.copy() for name, values in layer.parameters.items()} for layer in walk([frozen])]
    other = copy.deepcopy(model)
    model.train(X, Y, epochs=10)
    for _ in range(10):
        other._steps.by_layers(*other._samples("training", X, Y))
    assert model.why_not_recorded is None and bits(model) == bits(other)
    for layer, wish in zip(walk([frozen]), before):
        assert all(np.array_equal(values, wish[name]) for name, values in layer.parameters.items())
    assert bits(model) != bits(network("nested"))


def test_two_models_share_an_optimizer_and_layers():
    def trained(share):
        first, second = network("residual"), network("add")
        if share:
            second.set(optimizer=first.optimizer)
            second.finalize()
        for model in (first, second, first):
            model.train(X, Y, epochs=3)
        return bits(first)

    assert trained(True) == trained(False)  # its state belongs to the layers
    shared = dense(16, 16, seed=9)
    models = []
    for _ in range(2):
        model = nn.Model()
        for layer in (dense(2, 16), nn.Residual(shared), dense(16, 3)):
            model.add(layer)
        model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.SGD(0.1))
        model.finalize()
        models.append(model)
    for model in models:
        model.train(X, Y, epochs=3)
    assert np.array_equal(models[0].get_parameters()[1][0], models[1].get_parameters()[1][0])


def test_a_readers_own_container_is_trained():
    model, ours = nn.Model(), nn.Model()
    blocks = Shortcut(dense(16, 16, activation="relu", seed=1)), MIDDLES["residual"]()[0]
    for each_model, block in zip((model, ours), blocks):
        for layer in (dense(2, 16, activation="relu"), block, dense(16, 3)):
            each_model.add(layer)
        each_model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.Adam(0.02))
        each_model.finalize()
        each_model.train(X, Y, epochs=10)
    assert bits(model) == bits(ours)
    assert "Shortcut" in model.why_not_recorded and ours.why_not_recorded is None


class ByName(Shortcut):
    """One whose layers have names, of which it knows one by an attribute, too."""

    def __init__(self, *layers):
        self.layers = {str(number): layer for number, layer in enumerate(layers)}
        self.first = layers[0]

    def forward(self, inputs, training=True):
        self.first.forward(inputs, training)
        y = self.layers["0"].output
        for name in list(self.layers)[1:]:
            y = self.layers[name].forward(y, training)
        self.output = y + inputs
        return self.output


class Named(typing.NamedTuple):
    first: nn.Dense
    second: Shortcut
    third: nn.GELU


class OfTuple(Shortcut):
    """One that keeps them in a tuple with names."""

    def __init__(self, *layers):
        self.parts = Named(*layers)

    @property
    def layers(self):
        return self.parts._asdict()

    def forward(self, inputs, training=True):
        y = self.parts.first.forward(inputs, training)
        return self.parts.third.forward(self.parts.second.forward(y, training), training) + inputs


def alone(*layers):
    model = nn.Model(layers)
    model.finalize()
    model.trainable = False
    return model


def linked(*layers):
    class Linked(nn.Dense):
        """It knows its neighbours."""

    first, second = (Linked(16, 16, rng=seed) for seed in (5, 6))
    first.neighbours, second.neighbours, first.behind, second.before = [second], (first,), second, first
    return nn.Sequential(first, second, *layers)


@pytest.mark.parametrize("own", (Shortcut, ByName, OfTuple, alone, linked))
def test_predictions_leave_layers_within_others_as_they_are(own):
    """A step from a gradient goes back through the last forward, whatever was predicted in between."""
    inner = Shortcut(dense(16, 16, activation="tanh", seed=1), nn.ReLU())
    inner.layers[0].trainable = own is not alone
    model = nn.Model([own(dense(16, 16, seed=2), inner, nn.GELU()), dense(16, 3, seed=3)])
    model.set(optimizer=nn.SGD(0.1))
    model.finalize()
    x = np.random.default_rng(0).standard_normal((6, 16)).astype(np.float32)
    y = model.forward(x)
    before = [dict(vars(layer)) for layer in (*model._walked, inner, *inner.layers)]
    for rows in (6, 6, 6, 2):
        assert np.array_equal(model.predict(x[:rows]), y[:rows])
    for layer, wish in zip((*model._walked, inner, *inner.layers), before):
        assert vars(layer).keys() == wish.keys() and all(vars(layer)[name] is value for name, value in wish.items())


def test_names_of_parts():
    model = network("nested")
    assert [name for name, layer in named(model.layers) if getattr(layer, "parameters", None)] == [
        "0", "1.body.0.0.0", "1.body.0.1.body.0", "1.body.1", "2"]
    assert [repr(layer) for layer in model.trainable_layers] == [
        repr(layer) for layer in walk(model.layers) if getattr(layer, "parameters", None)]


MISTAKES = [
    (lambda: nn.Residual(), "Residual needs at least one layer"),
    (lambda: nn.Parallel(), "Parallel needs at least one branch"),
    (lambda: nn.Parallel(dense(2, 2), join="sum"), "join must be 'concatenate', 'add' or 'multiply', got 'sum'"),
    (lambda: nn.Residual(dense(2, 2), activation="gelu"), "must be None, 'relu', 'sigmoid', 'tanh' or a layer"),
    (lambda: shaped(nn.Residual(dense(4, 5))), r"body that gives \(5,\) and a shortcut that gives \(4,\): give"),
    (lambda: shaped(nn.Residual(dense(3, 3))), r"must have 4 inputs, not 3"),
    (lambda: shaped(nn.Parallel(dense(4, 5), nn.Identity(), join="add")), r"give different shapes.*add needs the same"),
    (lambda: nn.Residual(dense(4, 5)).forward(np.ones((2, 4))), r"gives \(2, 5\) and a shortcut that gives \(2, 4\)"),
    (lambda: nn.Parallel(dense(4, 5), nn.Identity(), join="add").forward(np.ones((2, 4))), "needs the same"),
    (lambda: twice(), "a layer was added twice"),
]


def shaped(layer):
    model = nn.Model()
    model.add(nn.Input(4))
    model.add(layer)
    model.finalize()


def twice():
    layer, model = dense(4, 4), nn.Model()
    model.add(layer)
    model.add(nn.Residual(layer))
    model.finalize()


@pytest.mark.parametrize("container", [nn.Sequential, nn.Residual, nn.Parallel])
def test_what_is_no_layer(container):
    for wrong in (nn.Dense, 3, nn.Adam()):
        with pytest.raises(TypeError, match=f"^{container.__name__} takes a layer, such as"):
            container(dense(2, 2), wrong)
    with pytest.raises(TypeError, match=r"got \[Dense\(2, 2\)\]: pass the layers one by one$"):
        container([dense(2, 2)])


@pytest.mark.parametrize("call, text", MISTAKES)
def test_mistakes_are_named(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_outputs_of_more_dimensions_are_joined_along_the_last():
    x = np.random.default_rng(0).standard_normal((4, 3, 5)).astype(np.float32)
    layer = nn.Parallel(nn.Identity(), nn.Tanh(), nn.ReLU())
    y = layer.forward(x)
    wish = np.concatenate([x, nn.Tanh().forward(x), np.maximum(x, 0)], axis=-1)
    assert np.array_equal(y, wish)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
    tanh = nn.Tanh()
    tanh.forward(x)
    expected = (dy[..., :5] + tanh.backward(np.ascontiguousarray(dy[..., 5:10]))) + dy[..., 10:] * (x > 0)
    assert np.array_equal(layer.backward(dy), expected)

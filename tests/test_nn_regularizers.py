"""Regularizers of layers: their penalties and gradients, in layers, losses and models."""

import copy
import re

import numpy as np
import pytest

from nnjit import nn
from nnjit.nn import nnfs
from nnjit.nn.layers import _Layer, add_penalty_gradients


KNOBS = {"weight_regularizer_l1": 0.1, "weight_regularizer_l2": 0.02, "bias_regularizer_l1": 0.3,
         "bias_regularizer_l2": 0.04}
rng = np.random.default_rng(0)
X = rng.standard_normal((9, 4))
Y = rng.integers(0, 3, 9)


def penalty(layer):
    w, b = layer.weights, layer.biases
    return (layer.weight_regularizer_l1 * abs(w).sum() + layer.weight_regularizer_l2 * (w * w).sum()
            + layer.bias_regularizer_l1 * abs(b).sum() + layer.bias_regularizer_l2 * (b * b).sum())


def layers(**options):
    found = [nn.Dense(4, 5, activation="tanh", rng=1, dtype=np.float64, **options),
             nn.Dense(5, 3, rng=2, dtype=np.float64, **options)]
    for layer in found:
        layer.biases = rng.standard_normal(layer.biases.shape)
    return found


@pytest.mark.parametrize("backend", ("numba", "numpy"))
@pytest.mark.parametrize("chosen", [(), *[(name,) for name in KNOBS], tuple(KNOBS)])
def test_gradients_are_the_slope_of_loss_and_penalty(chosen, backend):
    model = nn.Model()
    for layer in layers(**{name: KNOBS[name] for name in chosen}):
        model.add(layer)
    model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.SGD())
    model.finalize()

    def height():
        return float(model.loss.forward(model.forward(X), Y).mean() + sum(map(penalty, model.layers)))

    with nn.use(backend):
        losses = model.loss.forward(model.forward(X), Y)
        assert model.loss.regularization_loss() == pytest.approx(sum(map(penalty, model.layers)), rel=1e-13)
        model.backward(model.loss.output, Y)
        assert losses.shape == (9,)
        for layer in model.layers:
            for name in ("weights", "biases"):
                gradient, values = getattr(layer, f"d{name}").copy(), getattr(layer, name).copy()
                for at in np.ndindex(values.shape):
                    ends = []
                    for step in (1e-6, -1e-6):
                        moved = values.copy()
                        moved[at] += step
                        setattr(layer, name, moved)
                        ends.append(height())
                    setattr(layer, name, values)
                    assert gradient[at] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6, abs=1e-8)


def test_a_loss_tells_a_layers_penalty_or_that_of_all():
    first, second = layers(**KNOBS)
    loss = nn.MeanSquaredError()
    assert loss.regularization_loss(first) == pytest.approx(penalty(first), rel=1e-14)
    assert loss.regularization_loss() == 0
    loss.remember_trainable_layers([first, second])
    assert loss.regularization_loss() == pytest.approx(penalty(first) + penalty(second), rel=1e-14)
    y = np.ones((2, 1))
    data, more = loss.calculate(y, y * 3, include_regularization=True)
    assert data == 4 and more == loss.regularization_loss()
    assert loss.calculate_accumulated(include_regularization=True) == (4, more)
    assert loss.calculate_accumulated() == 4


def test_history_and_lines_show_the_penalty(capsys):
    def train(**more):
        model = nn.Model()
        model.add(nn.Dense(4, 3, rng=0, **KNOBS))
        model.add(nn.Softmax())
        model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(0.0))
        model.finalize()
        model.train(X, Y, **more)
        return model

    model = train(epochs=3)
    wish = penalty(model.layers[0])
    assert model.history["regularization_loss"] == pytest.approx([wish] * 3, rel=1e-6)
    data = model.evaluate(X, Y)[0]
    assert model.history["loss"] == pytest.approx([data + wish] * 3, rel=1e-6)
    train(epochs=1, batch_size=4, print_every=1)
    lines = capsys.readouterr().out.splitlines()
    assert f"reg_loss: {wish:.3f}), lr: 0.0" in lines[1] and f"reg_loss: {wish:.3f}), lr: 0.0" in lines[-1]
    assert f"loss: {data + wish:.3f} (data_loss: {data:.3f}, " in lines[-1]


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="weight_regularizer_l2 must be finite and at least 0, got -1.0"):
        nn.Dense(2, 3, weight_regularizer_l2=-1)
    with pytest.raises(TypeError, match="bias_regularizer_l1 must be a number, got 'a'"):
        nn.Dense(2, 3, bias_regularizer_l1="a")


class Scale:
    """y = gamma x + beta, a layer of a user's own with parameters by other names than the book's."""

    def __init__(self, regularizers=None):
        self.gamma, self.beta = np.array([0.5, -2.0, 1.5, 1.0]), np.array([1.0, 0.5, -1.0, 2.0])
        self.dgamma = self.dbeta = None
        self.regularizers = {"gamma": (0.1, 0.02), "beta": (0.0, 0.04)} if regularizers is None else regularizers

    @property
    def parameters(self):
        return {"gamma": self.gamma, "beta": self.beta}

    @property
    def gradients(self):
        return {"gamma": self.dgamma, "beta": self.dbeta}

    def forward(self, x, training=True):
        self.inputs = x
        return x * self.gamma + self.beta

    def backward(self, dy):
        self.dgamma, self.dbeta = (dy * self.inputs).sum(axis=0), dy.sum(axis=0)
        add_penalty_gradients(self)
        return dy * self.gamma


class OfBase(Scale, _Layer):
    """The same on the base class of our layers, which has `penalties`."""

    parameters, regularizers = Scale.parameters, {"gamma": (0.1, 0.02), "beta": (0.0, 0.04)}

    def __init__(self):
        super().__init__(self.regularizers)


class Attributes(Scale):
    """The same with attributes such as the book's."""

    gamma_regularizer_l1, gamma_regularizer_l2, beta_regularizer_l2 = 0.1, 0.02, 0.04

    def __init__(self):
        super().__init__()
        self.regularizers = None


def scaled(layer):
    return (0.1 * abs(layer.gamma).sum() + 0.02 * (layer.gamma ** 2).sum() + 0.04 * (layer.beta ** 2).sum())


@pytest.mark.parametrize("kind", (Scale, OfBase, Attributes))
def test_a_layer_of_ones_own_has_regularizers_by_the_names_of_its_parameters(kind):
    layer, model = kind(), nn.Model()
    for each in (layer, nn.Dense(4, 3, rng=0, dtype=np.float64, bias_regularizer_l2=0.5)):
        model.add(each)
    model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.SGD(0.1))
    model.finalize()
    model.layers[1].biases = [1, 2, 3]

    def height():
        return model.loss.forward(model.forward(X), Y).mean() + scaled(layer) + penalty(model.layers[1])

    loss = height()
    assert model.loss.regularization_loss() == pytest.approx(scaled(layer) + penalty(model.layers[1]), rel=1e-14)
    model.backward(model.loss.output, Y)
    expected = {}
    for name, values in layer.parameters.items():
        expected[name] = values.copy()
        for at in range(4):
            kept, ends = values[at], []
            for step in (1e-6, -1e-6):
                values[at] = kept + step
                ends.append(height())
            values[at] = kept
            slope = (ends[0] - ends[1]) / 2e-6
            assert layer.gradients[name][at] == pytest.approx(slope, rel=1e-6, abs=1e-8)
            expected[name][at] -= 0.1 * slope
    before = scaled(layer) + penalty(model.layers[1])
    model.train(X, Y)
    assert model.history["loss"] == pytest.approx([loss]) and "own" in model.why_not_recorded
    assert model.history["regularization_loss"] == pytest.approx([before])
    for name, values in layer.parameters.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-6)
    assert nn.check_gradients(model, X, Y, verbose=False)


@pytest.mark.parametrize("run", (lambda model: model.train_step(X, Y), lambda model: model.train(X, Y, epochs=2),
                                 lambda model: model.step_from(model.forward(X))))
@pytest.mark.parametrize("clip_norm", (None, 0.1))
def test_parameters_that_appear_at_the_first_forward_are_trained_from_the_first_step_on(run, clip_norm):
    class Late:
        """y = gamma x, as wide as its inputs."""

        regularizers = {"gamma": (0.1, 0.02)}

        def __init__(self, width=None):
            self.parameters, self.gradients = {} if width is None else {"gamma": np.ones(width)}, {}

        def forward(self, x, training=True):
            if not self.parameters:
                self.parameters["gamma"] = np.ones(x.shape[1])
            self.inputs = x
            return x * self.parameters["gamma"]

        def backward(self, dy):
            self.gradients["gamma"] = (dy * self.inputs).sum(axis=0)
            add_penalty_gradients(self)
            return dy * self.parameters["gamma"]

    def trained(width):
        model = nn.Model([nn.Dense(4, 3, rng=0, dtype=np.float64), Late(width)])
        model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.Adam(0.1), clip_norm=clip_norm)
        model.finalize()
        assert model.loss.regularization_loss() == (0 if width is None else pytest.approx(3 * 0.12))
        found = run(model)
        return ([values.tobytes() for layer in model.get_parameters() for values in layer], repr(found),
                dict(model.history))

    late, given = trained(None), trained(3)
    assert late == given and late[0][2] != np.ones(3).tobytes()


def test_a_class_made_from_dense_names_its_regularizers():
    class Decayed(nn.Dense):
        regularizers = {"weights": (0.0, 0.25)}

    made, plain = Decayed(4, 3, rng=0), nn.Dense(4, 3, rng=0, weight_regularizer_l2=0.25)
    for layer in (made, plain):
        layer.forward(X)
        layer.backward(np.ones((9, 3)))
    assert made.penalties() == plain.penalties() != [] and made.regularizers["weights"] == plain.regularizers["weights"]
    assert np.array_equal(made.dweights, plain.dweights) and np.array_equal(made.dbiases, plain.dbiases)


@pytest.mark.parametrize("kind", (nn.Dense, nnfs.Layer_Dense))
def test_regularizers_of_dense_by_name(kind):
    layer = kind(2, 3, **KNOBS)
    assert layer.regularizers == {"weights": (0.1, 0.02), "biases": (0.3, 0.04)}
    layer.bias_regularizer_l1 = 0
    assert copy.deepcopy(layer).regularizers["biases"] == (0.0, 0.04)


def test_layers_without_parameters_have_no_regularizers():
    for layer in (nn.ReLU(), nn.Sequential(nn.Dense(4, 3, **KNOBS)), nn.Dropout(0.5, seed=0)):
        assert layer.regularizers == {} and layer.penalties() == []


@pytest.mark.parametrize("regularizers, error, text", (
    ([("gamma", 0.1)], TypeError, "must be a dict such as {'weights': (l1, l2)}, got [('gamma', 0.1)]"),
    ({"gamma": 0.1}, TypeError, "must be pairs (l1, l2), got 0.1 for 'gamma'"),
    ({"gama": (0.1, 0)}, ValueError, "must be for its parameters, gamma, beta, got 'gama'"),
    ({"gamma": (0, "a")}, TypeError, "l2 of regularizers['gamma'] must be a number, got str"),
    ({"beta": (np.nan, 0)}, ValueError, "l1 of regularizers['beta'] must be finite, got nan")))
def test_regularizers_that_are_no_pairs_of_parameters(regularizers, error, text):
    with pytest.raises(error, match=re.escape(text)):
        nn.MeanSquaredError().regularization_loss(Scale(regularizers))


def test_a_layer_in_the_style_of_the_book_passes_the_check_of_gradients():
    """Its attributes of the book's names add to the loss, and its backward to the gradients."""
    class Own:
        weight_regularizer_l2 = 0.5

        def __init__(self):
            self.weights, self.biases = np.linspace(-1, 1, 12).reshape(4, 3), np.ones((1, 3))

        def forward(self, inputs, training):
            self.inputs, self.output = inputs, inputs @ self.weights + self.biases

        def backward(self, dvalues):
            self.dweights = self.inputs.T @ dvalues + 2 * self.weight_regularizer_l2 * self.weights
            self.dbiases = dvalues.sum(axis=0, keepdims=True)
            self.dinputs = dvalues @ self.weights.T

    model = nn.Model()
    model.add(Own())
    model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.SGD())
    model.finalize()
    assert nn.check_gradients(model, X, Y, verbose=False)
    model.layers[0].weight_regularizer_l2 = 0
    assert nn.check_gradients(model, X, Y, verbose=False)

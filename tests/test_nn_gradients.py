"""check_gradients: every layer and every loss of nn passes, faults put into a backward are found and named."""

import inspect
import math
import re

import numpy as np
import pytest

from nnjit import nn
from nnjit.nn import nnfs
from nnjit.nn.losses import Loss

N = 12
rng = np.random.default_rng(3)
X = rng.standard_normal((N, 4))
CLASSES = rng.integers(0, 3, N)
ONE_HOT = np.eye(3)[CLASSES]
SHARES = rng.random((N, 3)) + 0.05
SHARES /= SHARES.sum(axis=1, keepdims=True)
ARGUMENTS = {"Dense": (4, 3), "Dropout": (0.4,), "Input": (4,), "Conv2d": (2, 3, (1, 2)), "BatchNorm": (4,),
             "ConvTranspose2d": (2, 3, (1, 2)), "Dropout2d": (0.4,), "MaxPool2d": ((1, 2),), "AvgPool2d": ((1, 2),),
             "LayerNorm": (4,), "Reshape": ((2, 2),)}  # of constructors that need some
WIDTHS = {"Dense": 3, "Conv2d": 3, "ConvTranspose2d": 9, "MaxPool2d": 2, "AvgPool2d": 2, "GlobalAvgPool2d": 2,
          "Upsample": 16}  # of the outputs, where they are not 4
IMAGES = {"Conv2d", "ConvTranspose2d", "Dropout2d", "MaxPool2d", "AvgPool2d", "GlobalAvgPool2d", "Upsample"}

pytestmark = pytest.mark.usefixtures("twin")


def exported(wish):
    """The classes of nn that `wish` is true for: a new one is tested without a word here."""
    found = {name: getattr(nn, name) for name in nn.__all__}
    return sorted(name for name, value in found.items() if inspect.isclass(value) and hasattr(value, "forward")
                  and hasattr(value, "backward") and wish(value))


# a model takes the layers of a Sequential one by one
LAYERS = exported(lambda kind: not issubclass(kind, (Loss, nn.Model, nn.Sequential, nn.Residual, nn.Parallel)))
LOSSES = exported(lambda kind: issubclass(kind, Loss))


def model_of(*layers, loss=None):
    model = nn.Model()
    for layer in layers:
        model.add(layer)
    model.set(loss=loss or nn.MeanSquaredError(), optimizer=nn.Adam())
    model.finalize()
    return model


def check(model, X=X, y=SHARES, **options):
    return nn.check_gradients(model, X, y, **{"numbers": None, "verbose": False, **options})


def failed(found):
    return [(row.layer, row.name) for row in found.rows if not row.passed]


# ---- what is right passes


def test_the_exports_are_found():
    assert {"Dense", "Dropout", "Flatten", "Softmax", "Step"} < set(LAYERS)
    assert {"CategoricalCrossentropy", "Huber"} < set(LOSSES) and "Model" not in LAYERS + LOSSES


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_every_layer_passes(name, dtype):
    layer = getattr(nn, name)(*ARGUMENTS.get(name, ()))
    before, after = ([nn.Reshape((2, 1, 2))], [nn.Flatten()]) if name in IMAGES else ([], [nn.Flatten()])
    found = check(model_of(nn.Dense(4, 4, rng=0, dtype=dtype), *before, layer, *after,
                           nn.Dense(WIDTHS.get(name, 4), 3, rng=1, dtype=dtype)))
    assert found, str(found)
    rows = [row for row in found.rows if row.layer == f"{1 + len(before)} {layer!r}"]
    assert [row.name for row in rows] == ["inputs", *getattr(layer, "parameters", ())]
    most = 1e-6 if name == "BatchNorm" else 1e-9  # biases before it have no effect: their gradient is rounding
    for row in found.rows:
        assert row.checked == math.prod(row.shape) and row.skipped == 0 and row.error < most and row.note == ""


@pytest.mark.parametrize("activation", (None, "relu", "sigmoid", "tanh"))
@pytest.mark.parametrize("options", ({}, {"weight_regularizer_l1": 0.1}, {"weight_regularizer_l2": 0.02},
                                     {"bias_regularizer_l1": 0.3}, {"bias_regularizer_l2": 0.04}))
def test_dense_passes_with_each_activation_and_regularizer(activation, options):
    found = check(model_of(nn.Dense(4, 5, rng=0, activation=activation, **options), nn.Dense(5, 3, rng=1, **options)))
    assert found and max(row.error for row in found.rows) < 1e-9, str(found)


def ending(name):
    """What gives a loss what it takes."""
    return {"NegativeLogLikelihood": nn.LogSoftmax, "CategoricalCrossentropy": nn.Softmax}.get(
        name, nn.Linear if name.startswith("S") else nn.Sigmoid)()


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_passes_with_all_labels_it_takes(name):
    taken = 0
    for y in (CLASSES, CLASSES.tolist(), ONE_HOT, SHARES, SHARES.astype(np.float32)):
        loss = getattr(nn, name)()
        try:
            loss.targets(y, N, 3, np.dtype(float))
        except (TypeError, ValueError):
            continue
        found = check(model_of(nn.Dense(4, 3, rng=0), ending(name), loss=loss), X / 3, y)
        assert found, str(found)
        joined = {"BinaryCrossentropy": "Sigmoid, ", "CategoricalCrossentropy": "Softmax, "}.get(name, "")
        assert found.rows[-1][:4] == (joined + name, "inputs", (N, 3), 3 * N)
        assert found.rows[-1].error < (1e-7 if getattr(y, "dtype", None) == np.float32 else 1e-8)  # their sum is not 1
        taken += 1
    assert taken >= 2


@pytest.mark.parametrize("joined", (True, False))
@pytest.mark.parametrize("options", ({"label_smoothing": 0.2}, {"class_weights": [0.5, 2, 0.25]}))
def test_weights_and_smoothed_labels_pass(joined, options):
    loss = (nn.CategoricalCrossentropy if joined else nn.SoftmaxCategoricalCrossentropy)(**options)
    found = check(model_of(nn.Dense(4, 3, rng=0), *([nn.Softmax()] if joined else []), loss=loss), y=CLASSES)
    assert found and found.rows[-1].error < 1e-8, str(found)


@pytest.mark.parametrize("name", [name for name in LOSSES if "Categorical" not in name and "Log" not in name])
@pytest.mark.parametrize("shape", ((N,), (N, 1)))
def test_one_column(name, shape):
    found = check(model_of(nn.Dense(4, 1, rng=0), ending(name), loss=getattr(nn, name)()),
                  y=SHARES[:, 0].reshape(shape))
    assert found and found.rows[-1].shape == (N, 1)


@pytest.mark.parametrize("y", (CLASSES, ONE_HOT, SHARES))
def test_softmax_with_cross_entropy_joined_or_not(y):
    class Own(nn.CategoricalCrossentropy):
        """Not joined."""
    for loss, last in ((nn.CategoricalCrossentropy(), "Softmax, CategoricalCrossentropy"), (Own(), "Own")):
        model = model_of(nn.Dense(4, 3, rng=0), nn.Softmax(), loss=loss)
        assert (model._step.joined is None) == (last == "Own")
        found = check(model, y=y)
        assert found and found.rows[-1].layer == last
        assert len(found.rows) == (5 if last == "Own" else 4)


@pytest.mark.parametrize("last", ([nn.Dense(4, 3, rng=0), nn.Sigmoid()], [nn.Dense(4, 3, activation="sigmoid", rng=0)]),
                         ids=("layer", "activation"))
def test_sigmoid_with_binary_cross_entropy_joined_or_not(last):
    class Own(nn.BinaryCrossentropy):
        """Not joined."""
    before = repr(last)
    for loss, name, dense in ((nn.BinaryCrossentropy(class_weights=None), "Sigmoid, BinaryCrossentropy", "Dense(4, 3)"),
                              (Own(), "Own", repr(last[0]))):
        found = check(model_of(*last, loss=loss))
        assert found and found.rows[-1].layer == name, str(found)
        assert [row.name for row in found.rows if row.layer == f"0 {dense}"] == ["inputs", "weights", "biases"]
    assert repr(last) == before


def test_log_softmax_with_the_loss_of_log_probabilities():
    for y in (CLASSES, ONE_HOT, SHARES):
        found = check(model_of(nn.Dense(4, 3, rng=0), nn.LogSoftmax(), loss=nn.NegativeLogLikelihood()), y=y)
        assert found and found.rows[-1].layer == "NegativeLogLikelihood", str(found)


def test_images_and_the_books_classes():
    images = np.random.default_rng(1).standard_normal((N, 2, 3, 2)).astype(np.float32)
    found = check(model_of(nn.Flatten(), nn.Dense(12, 3, rng=0)), images)
    assert found and found.rows[0][:4] == ("0 Flatten()", "inputs", (N, 2, 3, 2), 12 * N)
    np.random.seed(0)
    model = nnfs.Model()
    for layer in (nnfs.Layer_Dense(4, 6, weight_regularizer_l2=5e-4), nnfs.Activation_ReLU(), nnfs.Layer_Dropout(0.3),
                  nnfs.Layer_Dense(6, 3), nnfs.Activation_Softmax()):
        model.add(layer)
    model.set(loss=nnfs.Loss_CategoricalCrossentropy(), optimizer=nnfs.Optimizer_Adam(),
              accuracy=nnfs.Accuracy_Categorical())
    model.finalize()
    assert check(model, y=CLASSES)


def test_frozen_layers_are_checked_too():
    model = model_of(nn.Dense(4, 5, activation="tanh", rng=0), nn.BatchNorm(5), nn.Dense(5, 3, rng=1), nn.Softmax())
    model.trainable = False
    found = check(model)
    assert not failed(found) and {"weights", "gamma"} <= {row.name for row in found.rows} and not model.trainable


def test_gradients_that_vanish_are_no_false_alarm():
    deep = [nn.Dense(4, 4, activation="sigmoid", rng=number) for number in range(8)]
    assert check(model_of(*deep, nn.Dense(4, 3, rng=9)))
    saturated = nn.Dense(4, 4, activation="tanh", rng=0)
    saturated.biases += 15  # a slope of 4e-13, which no difference of numbers near 1 can show
    assert check(model_of(saturated, nn.Dense(4, 3, rng=1)))


# ---- kinks


class Leaky(nn.ReLU):
    """ReLU with a gradient twice too large."""

    def backward(self, dy):
        return 2 * super().backward(dy)


def test_entries_at_kinks_are_skipped_and_counted():
    at_kinks = X.copy()
    at_kinks[:3, 1] = 0
    at_kinks[5] = 0
    found = check(model_of(nn.ReLU(), nn.Dense(4, 3, rng=1)), at_kinks)
    assert found and (found.rows[0].checked, found.rows[0].skipped) == (4 * N - 7, 7)
    near = at_kinks + 5e-6  # within the step, but not within a tenth of it
    found = check(model_of(nn.ReLU(), nn.Dense(4, 3, rng=1)), near)
    assert found and found.rows[0].checked == 4 * N and found.rows[0].skipped == 0


def test_a_fault_is_not_hidden_by_kinks():
    at_kinks = X.copy()
    at_kinks[:3, 1] = 0
    found = check(model_of(Leaky(), nn.Dense(4, 3, rng=1)), at_kinks)
    assert failed(found) == [("0 Leaky()", "inputs")]


def test_where_all_is_skipped_nothing_passes():
    found = check(model_of(nn.ReLU(), nn.Dense(4, 3, rng=1)), np.zeros((N, 4)))
    assert failed(found) == [("0 ReLU()", "inputs")] and found.rows[0].checked == 0
    assert found.rows[0].note == "every entry is at a kink: try other inputs"


@pytest.mark.parametrize("loss", (nn.MeanAbsoluteError, lambda: nn.Huber(0.5)))
def test_losses_at_their_kinks(loss):
    outputs = X[:, :3]
    model = model_of(nn.Linear(), loss=loss())
    assert check(model, outputs, outputs + 0.25)
    y = outputs + 0.25
    y[2, 1] = outputs[2, 1]
    y[3, 0] = outputs[3, 0] + 0.5
    row = check(model, outputs, y).rows[-1]
    assert row.passed and row.skipped == (isinstance(model.loss, nn.MeanAbsoluteError))  # Huber's slope is continuous


def test_a_fresh_model_with_biases_of_0_and_inputs_of_0():
    X, y = nn.datasets.spiral(samples=10, classes=3, seed=0)
    assert not X[0].any()
    found = check(model_of(nn.Dense(2, 8, activation="relu", rng=0, bias_regularizer_l1=0.1), nn.Dense(8, 3, rng=1),
                           nn.Softmax(), loss=nn.CategoricalCrossentropy()), X, y)
    assert found and not any(row.skipped for row in found.rows)


# ---- what is wrong is named


class Own:
    """y = x * weights + biases, a layer as a user writes it, with parameters in float32."""

    weight_regularizer_l1 = weight_regularizer_l2 = 0.0

    def __init__(self, **wrong):
        self.weights = np.linspace(-1, 1, 4, dtype=np.float32)[None]
        self.biases = np.zeros((1, 4), np.float32)
        self.wrong = wrong

    def penalties(self):
        return [0.1 * float(abs(self.weights).sum()) + 0.01 * float((self.weights ** 2).sum())]

    def forward(self, x, training=True):
        self.inputs = x
        self.output = x * self.weights + self.biases
        return self.output

    def backward(self, dy):
        self.dweights = (dy * self.inputs).sum(axis=0, keepdims=True)
        self.dweights += 0.1 * np.sign(self.weights) + 0.02 * self.weights
        self.dbiases = dy.sum(axis=0, keepdims=True)
        self.dinputs = dy * self.weights
        for name, change in self.wrong.items():
            setattr(self, name, change(getattr(self, name), self))
        return self.dinputs


def one_element(gradient, layer):
    gradient[-1, 1] *= 1.001
    return gradient


FAULTS = {
    "inputs, 1e-4 too large": {"dinputs": lambda g, layer: g * 1.0001},
    "weights, 1e-4 too large": {"dweights": lambda g, layer: g * 1.0001},
    "biases, 1e-4 too small": {"dbiases": lambda g, layer: g / 1.0001},
    "sign": {"dinputs": lambda g, layer: -g},
    "one element of inputs": {"dinputs": one_element},
    "one element of weights": {"dweights": one_element},
    "L1 forgotten": {"dweights": lambda g, layer: g - 0.1 * np.sign(layer.weights)},
    "L2 forgotten": {"dweights": lambda g, layer: g - 0.02 * layer.weights},
    "L2 without its 2": {"dweights": lambda g, layer: g - 0.01 * layer.weights},
    "a mean for a sum": {"dbiases": lambda g, layer: g / N},
    "0": {"dweights": lambda g, layer: 0 * g},
    "NaN": {"dweights": lambda g, layer: g + np.array([0, 0, math.nan, 0])},
    "infinite": {"dbiases": lambda g, layer: g + math.inf},
    "another shape": {"dweights": lambda g, layer: g.T},
    "forgotten": {"dbiases": lambda g, layer: None},
    "two at once": {"dweights": lambda g, layer: g * 1.01, "dinputs": lambda g, layer: g * 1.01},
}


def test_a_users_layer_passes():
    model = model_of(nn.Dense(4, 4, rng=0), Own(), nn.Dense(4, 3, rng=1))
    found = check(model)
    assert found and [row.layer for row in found.rows[3:6]] == ["1 Own"] * 3
    assert model.layers[1].weights.dtype == np.float32 and not hasattr(model.layers[1], "inputs")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("place", (0, 1, 2))
def test_a_wrong_backward_is_named_and_no_other(fault, place):
    layers = [Own(), Own(), Own(), nn.Dense(4, 3, rng=1)]
    layers[place] = Own(**FAULTS[fault])
    found = check(model_of(*layers))
    expected = [(f"{place} Own", name[1:]) for name in FAULTS[fault]]
    assert sorted(failed(found)) == sorted(expected) and not found
    text = str(found).splitlines()
    assert text[-1] == f"{len(expected)} of {len(found.rows)} gradients FAIL"
    assert sum("FAIL" in line and f"{place} Own" in line for line in text) == len(expected)


@pytest.mark.parametrize(("factor", "error"), ((0, 1), (0.5, 0.5), (2, 0.5), (-1, 2), (1.001, 0.001)))
def test_the_size_of_an_error(factor, error):
    found = check(model_of(Own(dbiases=lambda g, layer: factor * g), nn.Dense(4, 3, rng=0)))
    assert found.rows[2].error == pytest.approx(error, rel=2e-3)


def test_a_gradient_that_is_never_set():
    class Frozen(Own):
        def backward(self, dy):
            return dy * self.weights
    found = check(model_of(Frozen(), nn.Dense(4, 3, rng=0)))
    assert [row[:2] + row[-1:] for row in found.rows if not row.passed] == [
        ("0 Frozen", name, "backward gives nothing") for name in ("weights", "biases")]


@pytest.mark.parametrize("backward", (lambda dy: None, lambda dy: dy.T, lambda dy: dy[:, :2]))
def test_a_wrong_shape_of_the_inputs_gradient(backward):
    layer = nn.Linear()
    layer.backward = backward
    found = check(model_of(nn.Dense(4, 4, rng=0), layer, nn.Dense(4, 3, rng=1)))
    assert failed(found) == [("1 Linear()", "inputs")]
    assert found.rows[0].note.startswith("backward gives ") and found.rows[0].error == math.inf
    assert [row.layer for row in found.rows] == ["1 Linear()", *["2 Dense(4, 3)"] * 3, "MeanSquaredError"]


def test_a_transposed_gradient_of_equal_shape():
    class Transposed(nn.Dense):
        def backward(self, dy, **more):
            found = super().backward(dy, **more)
            self.dweights = self.dweights.T
            return found
    found = check(model_of(nn.Dense(4, 4, rng=0), Transposed(4, 4, rng=1), nn.Dense(4, 3, rng=2)))
    assert failed(found) == [("1 Dense(4, 4)", "weights")]


@pytest.mark.parametrize(("name", "regularizer"), (("weights", "weight_regularizer_l1"),
                                                   ("weights", "weight_regularizer_l2"),
                                                   ("biases", "bias_regularizer_l1"),
                                                   ("biases", "bias_regularizer_l2")))
def test_a_regularizer_without_its_gradient(name, regularizer):
    class Forgetful(nn.Dense):
        def backward(self, dy, **more):
            kept = getattr(self, regularizer)
            setattr(self, regularizer, 0.0)
            found = super().backward(dy, **more)
            setattr(self, regularizer, kept)
            return found
    layer = Forgetful(4, 3, rng=0, **{regularizer: 1e-3})
    layer.biases = [1, -2, 0.5]
    assert failed(check(model_of(layer))) == [("0 Dense(4, 3)", name)]


@pytest.mark.parametrize("change", (lambda g: g * N, lambda g: g * 1.0001, lambda g: -g, lambda g: np.roll(g, 1, 1)))
@pytest.mark.parametrize("kind", LOSSES)
def test_a_wrong_loss_is_named_and_no_layer(kind, change):
    class Wrong(getattr(nn, kind)):
        def backward(self, dvalues, y):
            return change(super().backward(dvalues, y))
    found = check(model_of(nn.Dense(4, 4, rng=0), nn.Dense(4, 3, activation="sigmoid", rng=1), loss=Wrong()))
    assert failed(found) == [("Wrong", "inputs")]


def test_dropout_that_forgets_its_mask():
    layer = nn.Dropout(0.3, seed=1)
    layer.backward = lambda dy: dy
    assert failed(check(model_of(nn.Dense(4, 4, rng=0), layer, nn.Dense(4, 3, rng=1)))) == [(f"1 {layer}", "inputs")]


def test_instances_that_share_what_they_remember():
    class Shared:
        """The inputs belong to the class, so that the second layer's overwrite those of the first."""

        def forward(self, x, training=True):
            Shared.inputs = x
            return x ** 2

        def backward(self, dy):
            return dy * 2 * Shared.inputs
    assert failed(check(model_of(Shared(), Shared(), nn.Dense(4, 3, rng=0)))) == [("0 Shared", "inputs")]


def test_the_error_is_that_of_the_largest_gradient():
    # loss = sum over j of (w_j x_j)^2 for one sample and targets of 0, so that dw = 2 w x^2 / 4
    weights, x = np.array([[1., 2, -3, 0.1]]), np.array([[1., 1, 2, 1]])

    class Shifted(Own):
        def penalties(self):
            return []

        def backward(self, dy):
            super().backward(dy)
            self.dweights = dy * self.inputs + [[0, 0, 0, 0.006]]
            return self.dinputs
    layer = Shifted()
    layer.weights = weights
    found = check(model_of(layer), x, np.zeros((1, 4)), tolerance=1e-4)
    row, = (row for row in found.rows if row.name == "weights")
    assert not row.passed and row.error == pytest.approx(0.006 / 6, rel=2e-3)  # 6 at w = -3, as far as the shift lets
    at, given, slope = re.fullmatch(r"at \[(.*)\] backward gives (.*), the differences (.*)", row.note).groups()
    assert at == "0, 3" and float(slope) == pytest.approx(0.05, rel=0.05)
    assert float(given) - float(slope) == pytest.approx(0.006, rel=1e-4)
    assert check(model_of(layer), x, np.zeros((1, 4)), tolerance=1.1e-3)


# ---- the model, the choice of entries, the answer


def test_the_model_stays_as_it_is():
    def trained(checking):
        model = model_of(nn.Dense(4, 8, activation="relu", rng=0, weight_regularizer_l2=1e-3), nn.Dropout(0.2, seed=5),
                         nn.Dense(8, 3, rng=1), nn.Softmax(), loss=nn.CategoricalCrossentropy())
        model.set(accuracy=nn.Accuracy())
        model.finalize()
        data = X.astype(np.float32)
        model.train(data, CLASSES, epochs=3)
        before = [dict(vars(layer)) for layer in model.layers], dict(vars(model.loss)), dict(vars(model.optimizer))
        kept = data.copy(), CLASSES.copy(), [layer.output.copy() for layer in model.layers]
        if checking:
            random = np.random.get_state()[1].copy()
            assert check(model, data, CLASSES)
            assert (np.random.get_state()[1] == random).all()
            for part, was in zip((*model.layers, model.loss, model.optimizer), (*before[0], *before[1:])):
                assert vars(part).keys() == was.keys() and all(vars(part)[name] is was[name] for name in was)
            assert model.layers[1].calls == 3
            for now, was in zip((data, CLASSES, *[layer.output for layer in model.layers]), (*kept[:2], *kept[2])):
                np.testing.assert_array_equal(now, was)
        model.train(data, CLASSES, epochs=3)
        return model
    one, other = trained(True), trained(False)
    for pair, same in zip(one.get_parameters(), other.get_parameters()):
        assert [array.tobytes() for array in pair] == [array.tobytes() for array in same]
    assert one.history == other.history


def test_numbers_and_seed():
    layer = Own(dinputs=one_element)
    random = np.random.default_rng(0)
    wide, y = random.standard_normal((40, 4)), random.standard_normal((40, 3))
    model = model_of(layer, nn.Dense(4, 3, rng=0))
    few = check(model, wide, y, numbers=5)
    assert [row.checked for row in few.rows] == [5, 4, 4, 5, 5, 3, 5]
    assert few == check(model, wide, y, numbers=5, seed=0) != check(model, wide, y, numbers=5, seed=1)
    assert any(check(model, wide, y, numbers=5, seed=seed) for seed in range(5))  # a wrong one of 160 is overlooked
    assert failed(check(model, wide, y)) == [("0 Own", "inputs")]
    layer.wrong["dinputs"] = lambda g, layer: g + 1e3 * (np.arange(g.size).reshape(g.shape) == 17)
    for seed in range(5):  # the largest gradient is always looked at
        assert failed(check(model, wide, y, numbers=1, seed=seed)) == [("0 Own", "inputs")]
    assert all(row.checked <= 100 for row in nn.check_gradients(model, wide, y, verbose=False).rows)


def test_the_table(capsys):
    model = model_of(Own(dweights=lambda g, layer: 2 * g), nn.Dense(4, 3, rng=0))
    found = nn.check_gradients(model, X, SHARES)
    printed = capsys.readouterr().out
    assert printed == f"{found}\n" and not found
    head, *rows, last = printed.splitlines()
    assert head.split() == "layer gradient of shape checked skipped error".split() and last == "1 of 7 gradients FAIL"
    assert rows[1].startswith("0 Own             weights      (1, 4)         4        0  ")
    assert "FAIL: at [0, " in rows[1] and all(row.endswith("  ok") for row in rows[:1] + rows[2:])
    model = model_of(nn.Dense(4, 3, rng=0))
    assert str(check(model)).endswith("\nall 4 gradients agree with central differences to 1e-06")
    check(model)
    assert capsys.readouterr().out == ""


def test_a_layer_with_a_generator_repeats_its_numbers():
    class Noise:
        def __init__(self, rng):
            self.rng = rng

        def forward(self, x, training=True):
            self.factor = self.rng.random(x.shape)
            return x * self.factor

        def backward(self, dy):
            return dy * self.factor

    generator = np.random.default_rng(0)
    assert check(model_of(Noise(generator), nn.Dense(4, 3, rng=0)))
    assert generator.random() == np.random.default_rng(0).random()
    assert check(model_of(Noise(np.random.RandomState(0)), nn.Dense(4, 3, rng=0)))

    class Global(nn.Linear):
        def forward(self, x, training=True):
            return super().forward(x * np.random.rand(*x.shape))

    with pytest.raises(RuntimeError, match=r"^layer 0 Global\(\) gives other outputs each time: its random numb"):
        check(model_of(Global(), nn.Dense(4, 3, rng=0)))


def test_layers_that_write_into_what_they_get():
    class InPlace:
        def forward(self, x, training=True):
            self.mask = x > 0
            x *= self.mask
            return x

        def backward(self, dy):
            dy *= self.mask
            return dy
    inputs = X.copy()
    found = check(model_of(InPlace(), nn.Dense(4, 4, rng=0), InPlace(), nn.Dense(4, 3, rng=1)), inputs)
    assert found and not any(row.skipped for row in found.rows)
    assert inputs.tobytes() == X.tobytes()


def test_a_layer_that_computes_in_the_dtype_of_its_arrays():
    class Scale(Own):
        def __init__(self):
            super().__init__()
            self.buffer = np.empty((N, 4), np.float32)

        def forward(self, x, training=True):
            self.inputs = x
            self.buffer[...] = x * self.weights + self.biases
            return self.buffer
    assert check(model_of(Scale(), nn.Dense(4, 3, rng=0))) and check(model_of(Scale()), y=X)


def test_a_layer_that_computes_in_float32():
    class Single(nn.Linear):
        def forward(self, x, training=True):
            return super().forward(x).astype(np.float32)
    with pytest.raises(TypeError, match=r"^layer 1 Single\(\) must give float64 for float64, got float32$"):
        check(model_of(nn.Dense(4, 3, rng=0), Single()))


@pytest.mark.parametrize(("options", "error", "text"), (
    ({"numbers": 0}, ValueError, "numbers must be at least 1, got 0"),
    ({"numbers": 1.5}, TypeError, "numbers must be a whole number, got 1.5"),
    ({"step": 0}, ValueError, "step must be finite and greater than 0, got 0.0"),
    ({"step": "a"}, TypeError, "step must be a number, got 'a'"),
    ({"tolerance": -1}, ValueError, "tolerance must be finite and greater than 0, got -1.0"),
    ({"X": X[:, :2]}, ValueError, r"X must have shape \(samples, 4\) for Dense\(4, 3\), got \(12, 2\)"),
    ({"X": X[:5]}, ValueError, "X and y must have the same length, got 5 and 12"),
    ({"X": X[:0], "y": SHARES[:0]}, ValueError, "the checked data is empty"),
    ({"X": [["a"]]}, TypeError, "X must contain real numbers"),
    ({"y": SHARES[:, :2]}, ValueError, r"y must have shape \(12, 3\), got \(12, 2\)"),
    ({"model": nn.Model}, TypeError, "model must be an nn.Model, got <class"),
    ({"model": nn.Model()}, RuntimeError, "the model has no loss"),
))
def test_mistakes(options, error, text):
    with pytest.raises(error, match="^" + text):
        check(**{"model": model_of(nn.Dense(4, 3, rng=0)), **options})


def test_a_model_must_be_finalized():
    model = model_of(nn.Dense(4, 3, rng=0))
    model.add(nn.Sigmoid())
    with pytest.raises(RuntimeError, match="^the model is not finalized"):
        check(model)


@pytest.mark.parametrize("factor", (2, 1))
def test_layers_that_return_nothing(factor):
    class Square:
        def forward(self, inputs, training=True):
            self.inputs, self.output = inputs, inputs * inputs

        def backward(self, dvalues):
            self.dinputs = factor * dvalues * self.inputs

    class Own(Loss):
        def forward(self, y_pred, y_true):
            return ((y_pred - y_true)**2).mean(axis=1)

        def backward(self, dvalues, y_true):
            self.dinputs = 2 * (dvalues - y_true) / dvalues.size

    found = check(model_of(nn.Dense(4, 3, rng=0), Square(), loss=Own()))
    assert failed(found) == ([] if factor == 2 else [("1 Square", "inputs")]), str(found)


class Hidden:
    """y = x * w, a layer whose parameter has a name, but no attribute of that name."""

    def __init__(self):
        self._scale = np.linspace(-1, 1, 4, dtype=np.float32)

    @property
    def parameters(self):
        return {"scale": self._scale}

    @property
    def gradients(self):
        return {"scale": self._gradient}

    def forward(self, x, training=True):
        self.inputs = x
        return x * self.parameters["scale"]

    def backward(self, dy):
        self._gradient = (dy * self.inputs).sum(axis=0)
        return dy * self.parameters["scale"]


class InDict(Hidden):
    """The same in a dict of the layer's own."""

    parameters = None

    def __init__(self):
        super().__init__()
        self.parameters = {"scale": self._scale}


class ReadOnly(Hidden):
    """The same with a property that cannot be assigned."""

    scale = property(lambda self: self._scale)


@pytest.mark.parametrize("kind", (Hidden, InDict, ReadOnly))
def test_parameters_that_cannot_be_assigned(kind):
    model = model_of(kind(), nn.Dense(4, 3, rng=0))
    before = model.layers[0].parameters["scale"].copy()
    found = check(model)
    assert found and found.rows[1][:4] == (f"0 {kind.__name__}", "scale", (4,), 4)
    assert np.array_equal(model.layers[0].parameters["scale"], before)

    class Wrong(kind):
        def backward(self, dy):
            dx = super().backward(dy)
            self._gradient *= 1.01
            return dx
    assert failed(check(model_of(Wrong(), nn.Dense(4, 3, rng=0)))) == [("0 Wrong", "scale")]

"""nn/nnfs.py: the book's scripts run, in both styles, and print its first figures; with every option of nnfs.init."""

import inspect
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from optional import needs

from nnjit import nn
from nnjit.nn import nnfs

# the book's chapter 9, in its own style
EARLY = """
X, y = spiral_data(samples=100, classes=3)
assert np.allclose(X[:5], [[0, 0], [.00299556, .00964661], [.01288097, .01556285], [.02997479, .0044481],
                           [.03931246, .00932828]], rtol=0, atol=6e-9), X[:5]
dense1 = Layer_Dense(2, 3)
activation1 = Activation_ReLU()
dense2 = Layer_Dense(3, 3)
loss_activation = Activation_Softmax_Loss_CategoricalCrossentropy()
dense1.forward(X)
activation1.forward(dense1.output)
dense2.forward(activation1.output)
loss = loss_activation.forward(dense2.output, y)
predictions = np.argmax(loss_activation.output, axis=1)
accuracy = np.mean(predictions == y)
loss_activation.backward(loss_activation.output, y)
dense2.backward(loss_activation.dinputs)
activation1.backward(dense2.dinputs)
dense1.backward(activation1.dinputs)
"""
FIGURES = """
def near(found, wish, more=0):
    assert np.abs(found - wish).max() <= 1e-6 * np.abs(wish).max() + more, (found, wish)

# of 300 gradients by class, 100 add up to 0.22 before the others take that back: each addition there is rounded by up
# to 2^-27, and the book's were in another order
sums = 300**0.5 * 2**-27

near(np.array(loss), np.array(1.0986104))
near(dense2.dweights, np.array([[5.44109462e-05, 1.07411419e-04, -1.61822361e-04],
    [-4.07913431e-05, -7.16780924e-05, 1.12469446e-04], [-5.30112993e-05, 8.58172934e-05, -3.28059905e-05]]))
near(dense2.dbiases, np.array([[-1.0729185e-05, -9.4610732e-06, 2.0027859e-05]]), sums)
near(dense1.dbiases, np.array([[-3.60553473e-04, 9.66117223e-05, -1.03671395e-04]]), sums)
assert dense1.weights.dtype == np.float32 and dense1.output.dtype == np.float32
"""
IMPORTS = """
import numpy as np
import nnfs
from nnfs.datasets import spiral_data, sine_data
"""
OURS = """
from nnjit.nn.nnfs import *
"""


def run(*parts, **environment):
    program = "\n".join(parts) + "\nprint('done')"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True,
                          env={**os.environ, **environment})
    assert done.returncode == 0 and done.stdout.endswith("done\n"), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(autouse=True)
def _package():
    needs("nnfs")


COMPILED = """
from nnjit import kernels
kernels.softmax.forward(np.ones((3, 3), np.float32))
"""


@pytest.mark.parametrize("order", (
    (IMPORTS, "nnfs.init()", OURS, EARLY, FIGURES), (IMPORTS, OURS, "nnfs.init()", EARLY, FIGURES),
    (IMPORTS, OURS, COMPILED, "nnfs.init()", EARLY, FIGURES)), ids=("init first", "import first", "compiled first"))
def test_the_books_first_figures(order, tmp_path):
    run(*order)


@pytest.mark.long
def test_with_nothing_compiled_before(tmp_path):
    """In every run, test_compile.py compiles one kernel after `nnfs.init`; none may call what that replaces."""
    run(IMPORTS, "nnfs.init()", OURS, EARLY, FIGURES, NNJIT_CACHE_DIR=str(tmp_path))


@pytest.mark.parametrize("options", ("dot_precision_workaround=False", "default_dtype='float64'", "default_dtype=None",
                                     "random_seed=7", "random_seed=None"))
def test_options_of_init(options):
    dtype = {"default_dtype='float64'": "float64", "default_dtype=None": "float64"}.get(options, "float32")
    run(IMPORTS, OURS, f"nnfs.init({options})", "state = np.random.get_state()",
        EARLY if "seed" not in options else EARLY.split("assert", 1)[0] + "dense1" + EARLY.split("dense1", 1)[1],
        f"assert dense1.weights.dtype == dense1.output.dtype == dense1.dweights.dtype == np.{dtype}",
        "assert abs(loss - np.log(3)) < 1e-3",
        # the weights are those that the book draws: after the data, 0.01 * randn
        "np.random.set_state(state); spiral_data(samples=100, classes=3)",
        "assert (dense1.weights == 0.01 * np.random.randn(2, 3)).all()",
        "assert (dense2.weights == 0.01 * np.random.randn(3, 3)).all()")


@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_the_weights_have_the_scale_that_is_given(tmp_path, dtype):
    """Chapter 17 draws 0.1 * randn, in place of the 0.01 of the chapters before it."""
    run(IMPORTS, OURS, f"""
nnfs.init(default_dtype="{dtype}")
np.random.seed(3)
layers = [Layer_Dense(1, 64, weight_scale=0.1), Layer_Dense(64, 64, 0, 0.5, weight_scale=np.float64(2)),
          Layer_Dense(64, 1, weight_scale=0)]
np.random.seed(3)
for layer, scale in zip(layers, (0.1, 2, 0)):
    assert (layer.weights == scale * np.random.randn(*layer.weights.shape)).all()
    assert layer.weights.dtype == "{dtype}"
assert layers[1].weight_regularizer_l2 == 0.5
model = Model()
for layer in layers:
    model.add(layer)
model.finalize()
model.save(r"{tmp_path / 'a.model'}")
loaded = Model.load(r"{tmp_path / 'a.model'}")
assert (loaded.layers[0].weights == layers[0].weights).all()
""")


@pytest.mark.parametrize(("scale", "error"), ((-0.1, ValueError), (np.nan, ValueError), (np.inf, ValueError),
                                              ("0.1", TypeError), (None, TypeError), (True, TypeError)))
def test_a_scale_that_is_none_is_named(scale, error):
    state = np.random.get_state()[1].tobytes()
    with pytest.raises(error, match="weight_scale must be "):
        nnfs.Layer_Dense(2, 3, weight_scale=scale)
    with pytest.raises(TypeError):
        nnfs.Layer_Dense(2, 3, 0, 0, 0, 0, 0.1)  # behind the book's arguments, by its name alone
    assert np.random.get_state()[1].tobytes() == state


LATE = """
nnfs.init()
X, y = spiral_data(samples=100, classes=3)
X_test, y_test = spiral_data(samples=100, classes=3)
model = Model()
model.add(Layer_Dense(2, 64, weight_regularizer_l2=5e-4, bias_regularizer_l2=5e-4))
model.add(Activation_ReLU())
model.add(Layer_Dropout(0.1))
model.add(Layer_Dense(64, 3))
model.add(Activation_Softmax())
model.set(loss=Loss_CategoricalCrossentropy(), optimizer=Optimizer_Adam(learning_rate=0.05, decay=5e-5),
          accuracy=Accuracy_Categorical())
model.finalize()
model.train(X, y, validation_data=(X_test, y_test), epochs=3, batch_size=128, print_every=2)
model.evaluate(X_test, y_test)
confidences = model.predict(X_test[:5])
print(model.output_layer_activation.predictions(confidences))
parameters = model.get_parameters()
model.set_parameters(parameters)
assert model.trainable_layers[0].weight_momentums.shape == (2, 64)
assert model.trainable_layers[1].bias_cache.shape == (1, 3)
"""


def test_the_books_model_prints_its_lines():
    lines = run(IMPORTS, OURS, LATE).splitlines()
    starts = ["epoch: ", "step: 0, acc: ", "step: 2, acc: ", "training, acc: ", "validation, acc: "]
    assert [line[:len(start)] for line, start in zip(lines, starts * 3)] == starts * 3
    assert lines[15].startswith("validation, acc: ") and lines[16].startswith("[")
    assert "reg_loss: 0.0" in lines[1] and "(data_loss: " in lines[3] and ", lr: 0.0" in lines[3]


BINARY = """
nnfs.init()
X, y = spiral_data(samples=100, classes=2)
y = y.reshape(-1, 1)
dense1 = Layer_Dense(2, 64, weight_regularizer_l2=5e-4, bias_regularizer_l2=5e-4)
activation1 = Activation_ReLU()
dense2 = Layer_Dense(64, 1)
activation2 = Activation_Sigmoid()
loss_function = Loss_BinaryCrossentropy()
optimizer = Optimizer_Adam(decay=5e-7)
for epoch in range(101):
    dense1.forward(X)
    activation1.forward(dense1.output)
    dense2.forward(activation1.output)
    activation2.forward(dense2.output)
    data_loss = loss_function.calculate(activation2.output, y)
    regularization_loss = loss_function.regularization_loss(dense1) + loss_function.regularization_loss(dense2)
    loss = data_loss + regularization_loss
    predictions = (activation2.output > 0.5) * 1
    accuracy = np.mean(predictions == y)
    loss_function.backward(activation2.output, y)
    activation2.backward(loss_function.dinputs)
    dense2.backward(activation2.dinputs)
    activation1.backward(dense2.dinputs)
    dense1.backward(activation1.dinputs)
    optimizer.pre_update_params()
    optimizer.update_params(dense1)
    optimizer.update_params(dense2)
    optimizer.post_update_params()
assert (round(accuracy, 3), round(loss, 3)) == (0.630, 0.674), (accuracy, loss)
assert regularization_loss > 0
"""


def test_binary_logistic_regression_as_in_the_book():
    run(IMPORTS, OURS, BINARY)


SINE = """
nnfs.init()
X, y = sine_data()
model = Model()
model.add(Layer_Dense(1, 64))
model.add(Activation_ReLU())
model.add(Layer_Dense(64, 1))
model.add(Activation_Linear())
accuracy = Accuracy_Regression()
model.set(loss=Loss_MeanSquaredError(), optimizer=Optimizer_Adam(), accuracy=accuracy)
model.finalize()
model.train(X, y, epochs=200, print_every=None)
assert abs(accuracy.precision * 250 / np.std(y) - 1) < 1e-14
assert 0.1 < model.history['loss'][-1] < model.history['loss'][0] < 0.6
"""


def test_regression_as_in_the_book():
    run(IMPORTS, OURS, SINE)


def test_accuracies_in_the_books_style():
    accuracy = nnfs.Accuracy_Categorical()
    assert accuracy.calculate(np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])) == 0.75
    assert accuracy.calculate(np.array([0, 1]), np.eye(3)[[0, 2]]) == 0.5
    assert accuracy.calculate_accumulated() == 4 / 6
    accuracy.new_pass()
    binary = nnfs.Accuracy_Categorical(binary=True)
    assert binary.calculate(np.array([[0, 1], [1, 1]]), np.array([[0, 1], [0, 0]])) == 0.5
    regression = nnfs.Accuracy_Regression()
    y = np.linspace(0, 1, 11)[:, None]
    with pytest.raises(RuntimeError, match="call init"):
        regression.calculate(y, y)
    regression.init(y)
    before = regression.precision
    assert before == pytest.approx(np.std(y) / 250, rel=1e-14)
    off = y.copy()
    off[:3] += 2 * before
    off[3:5] -= before / 2
    assert regression.calculate(off, y) == 8 / 11
    regression.init(y * 2)
    assert regression.precision == before
    regression.init(y * 2, reinit=True)
    assert regression.precision == pytest.approx(2 * before, rel=1e-14)


def test_constant_labels_have_a_precision():
    accuracy, y = nnfs.Accuracy_Regression(), np.full((4, 1), 5.0)
    accuracy.init(y)
    assert accuracy.precision == 0.02
    assert accuracy.calculate(y + [[0], [0.019], [-0.019], [0.021]], y) == 0.75
    accuracy.init(np.zeros(3), reinit=True)
    assert accuracy.precision == 1 / 250


def test_names_are_aliases_of_the_same_classes():
    assert nnfs.Activation_ReLU is nn.ReLU and nnfs.Loss_MeanSquaredError is nn.MeanSquaredError
    for name in nnfs.__all__:
        assert getattr(nnfs, name).__doc__, name


def test_dropout_keeps_the_books_attribute():
    layer = nnfs.Layer_Dropout(0.25)
    assert layer.rate == 0.75
    y = layer.forward(np.ones((200, 50), np.float32), True)
    # of 10000, the share that is kept is off by less than 5 deviations
    assert abs((y > 0).mean() - 0.75) < 5 * np.sqrt(0.25 * 0.75 / 10_000)
    assert set(np.unique(layer.binary_mask)) == {np.float32(0), np.float32(1 / 0.75)}
    assert (layer.forward(np.ones((2, 2), np.float32), False) == 1).all()


def test_an_accuracy_keeps_its_precision_from_training_to_training_and_in_a_file(tmp_path):
    X = np.linspace(0, 1, 20)[:, None]
    model = nnfs.Model()
    model.add(nnfs.Layer_Dense(1, 1))
    model.set(loss=nnfs.Loss_MeanSquaredError(), optimizer=nnfs.Optimizer_SGD(0.1), accuracy=nnfs.Accuracy_Regression())
    model.finalize()
    model.train(X, X, print_every=None)
    precision = model.accuracy.precision
    assert precision == pytest.approx(X.std() / 250, rel=1e-14)
    model.train(X, 9 * X, print_every=None)
    assert model.accuracy.precision == precision
    model.save(tmp_path / "a")
    assert nnfs.Model.load(tmp_path / "a").accuracy.precision == precision


def test_labels_in_a_row_and_in_a_column_are_the_same():
    y = np.array([0, 1, 1, 0])
    assert nnfs.Accuracy_Categorical(binary=True).calculate(y[:, None], y) == 1
    assert nnfs.Accuracy_Categorical().calculate(np.array([0, 1, 1, 1]), y[:, None].repeat(2, axis=1) == [1, 0]) == 0.25
    assert nnfs.Accuracy_Categorical().calculate([0, 2, 1, 1], [[0], [2.0], [1], [0]]) == 0.75
    regression = nnfs.Accuracy_Regression(0.25)
    assert regression.calculate(y[:, None] + 0.125, y) == 1
    X, loss = np.ones((4, 2)), nnfs.Loss_BinaryCrossentropy()
    p = np.array([[0.25], [0.5], [0.75], [0.125]])
    assert loss.calculate(p, y) == loss.calculate(p, y[:, None]) == pytest.approx(-np.log([.75, .5, .75, .875]).mean())
    model = small(nnfs.Activation_Sigmoid(), nnfs.Loss_BinaryCrossentropy(), outputs=1,
                  accuracy=nnfs.Accuracy_Categorical(binary=True))
    assert model.evaluate(X, y) == model.evaluate(X, y[:, None])


def test_the_books_binary_accuracy_of_scores():
    X, y = np.array([[1.0, 0], [0.2, 0], [-3, 0], [-0.1, 0]]), [1, 0, 0, 1]
    model = small(nnfs.Activation_Linear(), nn.SigmoidBinaryCrossentropy(), outputs=1,
                  accuracy=nnfs.Accuracy_Categorical(binary=True))
    model.layers[0].weights = [[1], [0]]
    assert model.predict(X).tolist() == [[1.0], [0.2], [-3], [-0.1]] and model.evaluate(X, y)[1] == 0.5
    with pytest.raises(ValueError, match=r"BinaryAccuracy\(\) needs a threshold for log-probabilities and for scores"):
        small(nnfs.Activation_Linear(), nn.SoftmaxCategoricalCrossentropy(),
              accuracy=nnfs.Accuracy_Categorical(binary=True))


def test_classes_of_a_single_output_are_refused():
    with pytest.raises(ValueError, match=r"write Accuracy_Categorical\(binary=True\)"):
        small(nnfs.Activation_Sigmoid(), nnfs.Loss_BinaryCrossentropy(), outputs=1)


def test_a_sigmoid_is_joined_with_binary_cross_entropy():
    class Activation_Own(nnfs.Activation_Sigmoid):
        pass

    X, y = np.array([[100.0, 0], [-100, 0]]), np.array([0, 1])  # both start on the wrong side
    for activation, learns in ((nnfs.Activation_Sigmoid(), True), (Activation_Own(), False)):
        model = small(activation, nnfs.Loss_BinaryCrossentropy(), outputs=1,
                      accuracy=nnfs.Accuracy_Categorical(binary=True))
        model.layers[0].weights = [[1], [0]]
        model.train(X, y, epochs=100, print_every=None)
        assert model.history["accuracy"][-1] == learns and model.softmax_classifier_output is None
        np.testing.assert_allclose(activation.output[:, 0], [1 - learns, learns], atol=1e-3)
        assert activation.dinputs.shape == (2, 1)


def test_a_readers_accuracy_and_predictions_decide():
    class Accuracy_Of_Parity(nnfs.Accuracy_Categorical):
        def compare(self, predictions, y):
            return predictions % 2 == y % 2

    class Activation_Least(nnfs.Activation_Softmax):
        def predictions(self, outputs):
            return outputs.argmin(axis=1)

    X, y = np.eye(2)[[0, 1, 0, 0]], np.array([0, 1, 2, 1])
    for activation, accuracy, wish in ((nnfs.Activation_Softmax(), Accuracy_Of_Parity(), 0.75),
                                       (Activation_Least(), nnfs.Accuracy_Categorical(), 0.25),
                                       (nnfs.Activation_Softmax(), nnfs.Accuracy_Categorical(), 0.5)):
        model = small(activation, nnfs.Loss_CategoricalCrossentropy(), accuracy=accuracy)
        model.layers[0].weights = [[3, 2, 1], [0, 1, -1]]
        assert model.evaluate(X, y)[1] == wish


def test_a_readers_loss_gets_class_numbers_and_may_return_a_column():
    class Loss_Own(nnfs.Loss):
        def forward(self, y_pred, y_true):
            assert y_true.dtype.kind == "i"
            return (-np.log(y_pred[range(len(y_pred)), y_true]))[:, None]

        def backward(self, dvalues, y_true):
            self.dinputs = np.zeros_like(dvalues)
            self.dinputs[range(len(dvalues)), y_true] = -1 / dvalues[range(len(dvalues)), y_true] / len(dvalues)

    X, y = np.random.default_rng(0).standard_normal((10, 2)), np.arange(10) % 3
    found = []
    for loss in (Loss_Own(), nnfs.Loss_CategoricalCrossentropy()):
        model = small(nnfs.Activation_Softmax(), loss)
        model.layers[0].weights = np.arange(6).reshape(2, 3) / 4
        model.train(X, y.tolist(), epochs=4, batch_size=4, print_every=None)
        found.append([*model.history["loss"], *model.layers[0].weights.ravel()])
    np.testing.assert_allclose(*found, rtol=1e-9)


def test_penalties_of_a_readers_layer():
    class Layer:
        weights, biases = np.array([[1.0, -2.0], [0.5, 0.0]]), np.array([[3.0, -1.0]])
        weight_regularizer_l1, bias_regularizer_l2 = 0.5, 0.25

    assert nnfs.Loss().regularization_loss(Layer()) == 0.5 * 3.5 + 0.25 * 10
    assert nnfs.Loss().regularization_loss(nnfs.Activation_ReLU()) == 0


def test_gradients_of_a_readers_layer_may_be_of_the_other_float():
    class Layer:
        weights, biases = np.ones((2, 2), np.float32), np.ones((1, 2), np.float32)
        dweights, dbiases = np.array([[0.5, 0.25], [1.0, -1.0]]), np.array([[2.0, 4.0]])

    layer, optimizer = Layer(), nnfs.Optimizer_SGD(0.5)
    optimizer.pre_update_params()
    optimizer.update_params(layer)
    assert layer.weights.tolist() == [[0.75, 0.875], [0.5, 1.5]] and layer.biases.tolist() == [[0, -1]]


def test_masked_targets_are_refused():
    targets = np.ma.masked_array([[1], [2]], mask=[[0], [1]])
    for loss in nnfs.Loss(), nnfs.Loss_MeanSquaredError():
        with pytest.raises(TypeError, match="y must be a plain array, got a masked one"):
            loss.targets(targets, 2, 1, np.dtype(np.float32))


def small(activation, loss, outputs=3, accuracy=None):
    model = nnfs.Model()
    model.add(nnfs.Layer_Dense(2, outputs))
    model.add(activation)
    model.set(loss=loss, optimizer=nnfs.Optimizer_SGD(0.1), accuracy=accuracy or nnfs.Accuracy_Categorical())
    model.finalize()
    return model


def test_metrics_of_nn_see_outputs_in_the_books_model(capsys):
    X, y = np.random.default_rng(0).standard_normal((20, 2)), np.arange(20) % 3
    model = small(nnfs.Activation_Softmax(), nnfs.Loss_CategoricalCrossentropy(), accuracy=nn.TopKAccuracy(2))
    share = np.mean([label in row.argsort()[-2:] for row, label in zip(model.predict(X), y)])
    assert model.train(X, y)["accuracy"] == [share]
    assert f"acc: {share:.3f}" in capsys.readouterr().out


def test_the_learning_rate_may_be_assigned():
    optimizer, layer = nnfs.Optimizer_SGD(1.0), nnfs.Layer_Dense(2, 1)
    optimizer.learning_rate = 0.25
    before = layer.weights.copy()
    layer.forward(np.ones((1, 2)))
    layer.backward(np.ones((1, 1)))
    optimizer.pre_update_params()
    optimizer.update_params(layer)
    assert optimizer.current_learning_rate == 0.25
    np.testing.assert_allclose(layer.weights, before - 0.25, rtol=1e-14)


# ---- docs/defects.md

def central(function, x, h=1e-6):
    """The gradient of a function of an array, by central differences."""
    found = np.empty_like(x)
    for at in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[at] += h
        down[at] -= h
        found[at] = (function(up) - function(down)) / (2 * h)
    return found


def test_defect_1_the_absolute_error_falls():
    loss, y, t = nnfs.Loss_MeanAbsoluteError(), np.array([[2.0, -1.0], [0.25, 3.0]]), np.array([[1.0, 0.0], [1.0, 5.0]])
    np.testing.assert_allclose(loss.backward(y, t), central(lambda p: loss.calculate(p, t), y), atol=1e-9)

    class Wrong(nnfs.Loss_MeanAbsoluteError):  # as in the book
        def backward(self, dvalues, y_true):
            return -super().backward(dvalues, y_true)

    from nnfs.datasets import sine_data
    X, y = sine_data()
    ends = []
    for loss in nnfs.Loss_MeanAbsoluteError(), Wrong():
        model = nnfs.Model()
        weights = np.random.default_rng(0)
        for layer in nnfs.Layer_Dense(1, 64), nnfs.Activation_ReLU(), nnfs.Layer_Dense(64, 1):
            if hasattr(layer, "weights"):
                layer.weights = 0.01 * weights.standard_normal(layer.weights.shape)
            model.add(layer)
        model.set(loss=loss, optimizer=nnfs.Optimizer_Adam(0.005))
        model.finalize()
        model.train(X, y, epochs=100, print_every=None)
        assert model.history["loss"][0] == pytest.approx(0.64, abs=0.01)
        ends.append(model.history["loss"][-1])
    assert ends[0] < 0.4 and ends[1] > 10


def test_defect_2_accuracy_is_at_most_1():
    y = np.array([[0, 1, 1], [1, 0, 1], [0, 0, 0]])
    accuracy = nnfs.Accuracy_Categorical(binary=True)
    assert accuracy.calculate(y, y) == 1 and accuracy.calculate(1 - y[:1], y[:1]) == 0
    assert accuracy.calculate_accumulated() == 9 / 12
    model = small(nnfs.Activation_Sigmoid(), nnfs.Loss_BinaryCrossentropy(), accuracy=accuracy)
    model.layers[0].weights, model.layers[0].biases = np.zeros((2, 3)), [[1, -1, 1]]
    model.train(np.ones((4, 2)), np.array([[1, 0, 1]] * 4), batch_size=2, print_every=None)
    assert model.history["accuracy"] == [1.0]


def test_defect_3_one_layer_and_no_loss():
    model = nnfs.Model()
    model.add(nnfs.Layer_Dense(2, 1))
    model.finalize()
    [layer] = model.layers
    X = np.array([[1.0, 2.0], [3.0, 5.0]])
    np.testing.assert_allclose(model.predict(X), X @ layer.weights, rtol=1e-14)
    assert (layer.prev, layer.next) == (model.input_layer, None)
    model.set(loss=nnfs.Loss_MeanSquaredError(), optimizer=nnfs.Optimizer_SGD(0.01))
    model.finalize()
    assert layer.next is model.loss
    losses = model.train(X, [1, 2], epochs=20, print_every=None)["loss"]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0] / 2


class Trap:
    ran = 0

    def __reduce__(self):
        return Trap._spring, ()

    @staticmethod
    def _spring():
        Trap.ran += 1


def test_defect_4_files_are_small_and_run_nothing(tmp_path):
    model = nnfs.Model()
    for layer in (nnfs.Layer_Dense(2, 64), nnfs.Activation_ReLU(), nnfs.Layer_Dropout(0.1), nnfs.Layer_Dense(64, 3),
                  nnfs.Activation_Softmax()):
        model.add(layer)
    model.set(loss=nnfs.Loss_CategoricalCrossentropy(), optimizer=nnfs.Optimizer_Adam())
    model.finalize()
    X = np.random.default_rng(0).standard_normal((3000, 2))
    model.train(X, np.arange(3000) % 3, print_every=None)
    model.save(tmp_path / "a")
    # weights and biases, and for each two numbers of Adam's: all else takes a few kB
    size, numbers = (tmp_path / "a").stat().st_size, 3 * sum(values.size for pair in model.get_parameters()
                                                             for values in pair)
    itemsize = model.layers[0].weights.itemsize
    assert numbers * itemsize < size < numbers * itemsize + 8000 < model.layers[2].binary_mask.nbytes / 20

    (tmp_path / "trap").write_bytes(pickle.dumps(Trap()))
    for load in nnfs.Model.load, model.load_parameters:
        with pytest.raises(ValueError, match="it is damaged, or not an npz file"):
            load(tmp_path / "trap")
    assert Trap.ran == 0
    pickle.loads((tmp_path / "trap").read_bytes())
    assert Trap.ran == 1


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_defect_5_a_probability_of_0_has_a_finite_gradient(dtype):
    y = np.array([0, 1])
    softmax, loss = nnfs.Activation_Softmax(), nnfs.Loss_CategoricalCrossentropy()
    p = softmax.forward(np.array([[0, 800], [0, 800]], dtype))
    assert p[0, 0] == 0
    np.testing.assert_allclose(loss.backward(p, y), [[-0.5e7, 0], [0, -0.5]], rtol=1e-6)
    assert np.isfinite(softmax.backward(loss.dinputs)).all()
    joined = nnfs.Activation_Softmax_Loss_CategoricalCrossentropy()
    assert np.isfinite(joined.forward(np.array([[0, 800], [0, 800]], dtype), y))
    assert joined.backward(joined.output, y).tolist() == [[-0.5, 0.5], [0, 0]]
    x = np.random.default_rng(1).standard_normal((5, 4))
    labels, weights = np.array([0, 3, 1, 2, 2]), np.random.default_rng(2).standard_normal((5, 4))
    np.testing.assert_allclose((joined.forward(x, labels), joined.backward(joined.output, labels))[1],
                               central(lambda z: joined.forward(z, labels), x), atol=1e-9)
    softmax.forward(x)
    gradient = softmax.backward(weights)
    np.testing.assert_allclose(gradient, central(lambda z: (softmax.forward(z) * weights).sum(), x), atol=1e-9)


KINDS = (nnfs.Optimizer_SGD, lambda: nnfs.Optimizer_SGD(momentum=0.5), nnfs.Optimizer_Adagrad, nnfs.Optimizer_RMSprop,
         nnfs.Optimizer_Adam)


@pytest.mark.parametrize("second", range(5))
@pytest.mark.parametrize("first", range(5))
def test_defect_6_an_optimizer_starts_afresh(first, second):
    def step(layer, optimizer):
        layer.forward(np.ones((4, 2)))
        layer.backward(np.ones((4, 3)))
        optimizer.pre_update_params()
        optimizer.update_params(layer)
        optimizer.post_update_params()

    used, fresh = nnfs.Layer_Dense(2, 3), nnfs.Layer_Dense(2, 3)
    step(used, KINDS[first]())
    fresh.weights, fresh.biases = used.weights, used.biases
    for layer in used, fresh:
        optimizer = KINDS[second]()
        step(layer, optimizer)
        step(layer, optimizer)
    assert used.weights.tobytes() == fresh.weights.tobytes() and used.biases.tobytes() == fresh.biases.tobytes()
    for name in ("weight_momentums", "bias_momentums", "weight_cache", "bias_cache"):
        if hasattr(fresh, name):
            assert getattr(used, name).tobytes() == getattr(fresh, name).tobytes()


def test_defect_6_the_first_step_of_a_new_layer_is_as_long_as_any():
    """Of Adam it is the rate, whichever steps the optimizer made before."""
    optimizer = nnfs.Optimizer_Adam(0.25)
    for layer in nnfs.Layer_Dense(2, 3), nnfs.Layer_Dense(2, 3):
        for _ in range(5):
            before = layer.weights.copy()
            layer.forward(np.ones((4, 2)))
            layer.backward(np.ones((4, 3)))
            optimizer.pre_update_params()
            optimizer.update_params(layer)
            optimizer.post_update_params()
            np.testing.assert_allclose(before - layer.weights, 0.25, rtol=1e-6)


def test_defect_7_sigmoid_and_training():
    with np.errstate(all="raise"):
        y = nnfs.Activation_Sigmoid().forward(np.array([[-1000, -20, 0, 20, 1000]], np.float32))
    np.testing.assert_allclose(y, [[0, 1 / (1 + np.exp(20)), 0.5, 1 / (1 + np.exp(-20)), 1]], rtol=1e-6)
    X, y = np.random.default_rng(0).standard_normal((30, 2)), np.arange(30) // 10

    def losses(**options):
        model = small(nnfs.Activation_Softmax(), nnfs.Loss_CategoricalCrossentropy())
        model.layers[0].weights = np.arange(6).reshape(2, 3) / 4
        return model.train(X, y, epochs=8, batch_size=10, print_every=None, **options)["loss"]

    assert losses(shuffle=True, seed=1) == losses(shuffle=True, seed=1)
    assert len({tuple(losses()), tuple(losses(shuffle=True, seed=1)), tuple(losses(shuffle=True, seed=2))}) == 3

    def stop(epoch):
        if epoch == 3:
            raise nn.StopTraining

    assert losses(callback=stop) == losses()[:3]


def test_defect_8_formulas_of_readers():
    p, y = np.array([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25]]), np.array([0, 2])
    loss, relu = nnfs.Loss_CategoricalCrossentropy(), nnfs.Activation_ReLU()
    assert loss.calculate(p, y) == pytest.approx(-(np.log(0.7) + np.log(0.25)) / 2, rel=1e-14)
    np.testing.assert_allclose(loss.backward(p, y), central(lambda q: loss.calculate(q, y), p), rtol=1e-6, atol=1e-8)
    x = np.array([[3.0, -3.0, 0.5]])
    relu.forward(x)
    np.testing.assert_allclose(relu.backward(np.ones((1, 3))), central(lambda z: relu.forward(z).sum(), x), atol=1e-9)
    large = np.array([[1000, 0, -1000]], np.float32)
    assert nn.Tanh().forward(large).tolist() == [[1, 0, -1]]
    assert nnfs.Activation_Softmax().forward(large).tolist() == [[1, 0, 0]]


@pytest.mark.parametrize("page", ("defects.md", "book.md"))
def test_tests_that_the_pages_name_are_there(page):
    text = (Path(__file__).parent.parent / "docs" / page).read_text()
    names = set(re.findall(r"`(test_\w+)`", text))
    assert names <= set(globals())
    assert page != "defects.md" or names >= {name for name in globals() if name.startswith("test_defect_")}


LAYER = {"forward": "inputs training", "backward": "dvalues"}
LOSS = {"forward": "y_pred y_true", "backward": "dvalues y_true", "calculate": "output y include_regularization",
        "calculate_accumulated": "include_regularization", "new_pass": "", "remember_trainable_layers": "layers"}
RATE = "learning_rate decay"
NAMES = {
    "Layer_Dense": {"__init__": "n_inputs n_neurons weight_regularizer_l1 weight_regularizer_l2 bias_regularizer_l1 "
                                "bias_regularizer_l2", **LAYER, "set_parameters": "weights biases"},
    "Layer_Dropout": {"__init__": "rate", **LAYER}, "Layer_Input": {"forward": "inputs training"},
    **{f"Activation_{name}": {**LAYER, "predictions": "outputs"} for name in ("ReLU", "Softmax", "Sigmoid", "Linear")},
    "Activation_Softmax_Loss_CategoricalCrossentropy": {"forward": "inputs y_true", "backward": "dvalues y_true"},
    "Optimizer_SGD": {"__init__": f"{RATE} momentum", "update_params": "layer"},
    "Optimizer_Adagrad": {"__init__": f"{RATE} epsilon"}, "Optimizer_RMSprop": {"__init__": f"{RATE} epsilon rho"},
    "Optimizer_Adam": {"__init__": f"{RATE} epsilon beta_1 beta_2"},
    "Loss": LOSS, **{f"Loss_{name}": LOSS for name in ("CategoricalCrossentropy", "BinaryCrossentropy",
                                                       "MeanSquaredError", "MeanAbsoluteError")},
    "Accuracy": {"calculate": "predictions y", "compare": "predictions y", "init": "y reinit"},
    "Accuracy_Categorical": {"__init__": "binary"}, "Accuracy_Regression": {"init": "y reinit"},
    "Model": {"add": "layer", "set": "loss optimizer accuracy", "finalize": "", "forward": "X training",
              "backward": "output y", "train": "X y print_every", "evaluate": "X_val y_val batch_size",
              "predict": "X batch_size", "set_parameters": "parameters", "save_parameters": "path",
              "load_parameters": "path", "save": "path", "load": "path"}}


@pytest.mark.parametrize("kind", sorted(NAMES))
def test_arguments_have_the_books_names(kind):
    assert sorted(NAMES) == sorted(nnfs.__all__)
    for method, names in NAMES[kind].items():
        found = [name for name in inspect.signature(getattr(getattr(nnfs, kind), method)).parameters if name != "self"]
        assert found[:len(names.split())] == names.split(), method


def test_accuracies_that_cannot_be_are_named():
    for accuracy in (nnfs.Accuracy_Categorical(), nnfs.Accuracy_Regression(1.0)):
        with pytest.raises(ValueError, match="the accuracy of an empty batch is undefined"):
            accuracy.calculate(np.zeros(0, int), np.zeros(0, int))
        for y in ([1], [1, 2]):  # one would be compared with all
            with pytest.raises(ValueError, match=r"the same number of elements, got shapes \(3,\) and"):
                accuracy.calculate(np.arange(3), np.array(y))


def test_sizes_of_a_layer_are_named():
    with pytest.raises(ValueError, match="n_inputs must be at least 1, got -1"):
        nnfs.Layer_Dense(-1, 2)
    with pytest.raises(TypeError, match="n_neurons must be a whole number, got 2.5"):
        nnfs.Layer_Dense(1, 2.5)


ONES = np.ones((3, 1), np.float32)


@pytest.mark.parametrize("name, call", (
    ("training", lambda value: nnfs.Layer_Input().forward(ONES, value)),
    ("training", lambda value: nnfs.Layer_Dropout(0.5).forward(ONES, training=value)),
    ("training", lambda value: nnfs.Activation_ReLU().forward(ONES, value)),
    ("include_regularization", lambda value: nnfs.Loss_MeanSquaredError().calculate(
        ONES, ONES, include_regularization=value)),
    ("binary", lambda value: nnfs.Accuracy_Categorical(binary=value)),
    ("reinit", lambda value: nnfs.Accuracy_Categorical().init(ONES, value)),
    ("reinit", lambda value: nnfs.Accuracy_Regression().init(ONES, reinit=value)),
    ("nesterov", lambda value: nnfs.Optimizer_SGD(momentum=0.5, nesterov=value))))
def test_flags_are_true_or_false(name, call):
    call(np.True_)
    for value in ("False", 1, 0, None, ONES):
        with pytest.raises(TypeError, match=f"^{name} must be True or False, got "):
            call(value)

"""nn/nnfs.py: the book's scripts run, in both styles, and print its first figures; with every option of nnfs.init."""

import os
import subprocess
import sys

import numpy as np
import pytest

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
    pytest.importorskip("nnfs")


COMPILED = """
from nnjit import kernels
kernels.softmax.forward(np.ones((3, 3), np.float32))
"""


@pytest.mark.parametrize("order", (
    (IMPORTS, "nnfs.init()", OURS, EARLY, FIGURES), (IMPORTS, OURS, "nnfs.init()", EARLY, FIGURES),
    (IMPORTS, OURS, COMPILED, "nnfs.init()", EARLY, FIGURES)), ids=("init first", "import first", "compiled first"))
def test_the_books_first_figures(order, tmp_path):
    run(*order)


def test_with_nothing_compiled_before(tmp_path):
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

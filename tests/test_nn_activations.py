"""The activations of nn are thin: one kernel call each way; what they predict; Flatten."""

import inspect

import numpy as np
import pytest

from nnjit import kernels, nn
from nnjit.nn.layers import activations

rng = np.random.default_rng(0)
X = rng.standard_normal((7, 5)).astype(np.float32)
DY = rng.standard_normal((7, 5)).astype(np.float32)
ACTIVATIONS = [kind for kind in vars(activations).values() if getattr(kind, "operation", "")]
OPTIONS = {nn.ELU: {"alpha": 0.5}, nn.LeakyReLU: {"negative_slope": 0.25}}


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_a_layer_is_its_kernel(kind):
    options = OPTIONS.get(kind, {})
    layer, operation = kind(**options), getattr(kernels, kind.operation)
    assert kind.operation.replace("_", "") == kind.__name__.lower() and getattr(nn, kind.__name__) is kind
    of_inputs = "x" in inspect.signature(operation.backward).parameters
    y = operation.forward(X, **options)
    assert (layer.forward(X) == y).all() and layer.output.dtype == np.float32
    dx = operation.backward(DY, X if of_inputs else y, **options)
    assert (layer.backward(DY) == dx).all() and (layer.dinputs == dx).all()
    assert (layer.forward(X.tolist()) == y).all()
    with pytest.raises(RuntimeError, match="call forward before backward"):
        kind().backward(DY)


def test_predictions():
    outputs = np.array([[0.25, 0.75], [0.5, 0.5]])
    assert nn.Softmax().predictions(outputs).tolist() == nn.LogSoftmax().predictions(outputs).tolist() == [1, 0]
    assert nn.Sigmoid().predictions(outputs).tolist() == nn.Step().predictions(outputs).tolist() == [[0, 1], [0, 0]]
    for layer in (nn.Linear(), nn.ReLU(), nn.Tanh()):
        assert (layer.predictions(outputs) == outputs).all()


def test_flatten():
    layer, x = nn.Flatten(), np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    y = layer.forward(x)
    assert y.shape == (2, 12) and (y == x.reshape(2, 12)).all()
    assert (layer.backward(y) == x).all()
    model = nn.Model()
    for part in (layer, nn.Dense(12, 2, rng=0), nn.Softmax()):
        model.add(part)
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(0.001))
    model.finalize()
    before = model.evaluate(x, [0, 1])[0]
    model.train(x, [0, 1], epochs=5)
    assert model.evaluate(x, [0, 1])[0] < before


@pytest.mark.parametrize(("make", "error", "text"), (
    (lambda: nn.LeakyReLU(-1), ValueError, "negative_slope must be finite and at least 0, got -1.0"),
    (lambda: nn.ELU("a"), TypeError, "alpha must be a number, got 'a'"),
    (lambda: nn.Huber(0), ValueError, "delta must be finite and greater than 0, got 0.0"),
    (lambda: nn.Huber(float("nan")), ValueError, "delta must be finite"),
    (lambda: nn.RegressionAccuracy(-1), ValueError, "precision must be finite and at least 0"),
))
def test_mistakes_are_named(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize("name", ("ReLU", "GELU", "Softmax", "Linear", "Step"))
def test_options_that_there_are_not(name):
    with pytest.raises(TypeError, match="unexpected keyword argument 'alpha'"):
        getattr(nn, name)(alpha=3)

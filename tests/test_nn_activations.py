"""The activations of nn are thin: one kernel call each way; what they predict; Flatten."""

import numpy as np
import pytest

from nnjit import kernels, nn

rng = np.random.default_rng(0)
X = rng.standard_normal((7, 5)).astype(np.float32)
DY = rng.standard_normal((7, 5)).astype(np.float32)
LAYERS = {"elu": (nn.ELU(0.5), {"alpha": 0.5}, "y"), "gelu": (nn.GELU(), {}, "x"),
          "leaky_relu": (nn.LeakyReLU(0.25), {"negative_slope": 0.25}, "y"), "linear": (nn.Linear(), {}, "y"),
          "log_softmax": (nn.LogSoftmax(), {}, "y"), "relu": (nn.ReLU(), {}, "y"), "sigmoid": (nn.Sigmoid(), {}, "y"),
          "silu": (nn.SiLU(), {}, "x"), "softmax": (nn.Softmax(), {}, "y"), "softplus": (nn.Softplus(), {}, "x"),
          "step": (nn.Step(), {}, "y"), "tanh": (nn.Tanh(), {}, "y")}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_its_kernel(name):
    layer, knobs, seen = LAYERS[name]
    operation = getattr(kernels, name)
    y = operation.forward(X, **knobs)
    assert (layer.forward(X) == y).all() and layer.output.dtype == np.float32
    dx = operation.backward(DY, X if seen == "x" else y, **knobs)
    assert (layer.backward(DY) == dx).all() and (layer.dinputs == dx).all()
    assert (layer.forward(X.tolist()) == y).all()
    with pytest.raises(RuntimeError, match="call forward before backward"):
        type(layer)().backward(DY)


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
def test_knobs_that_there_are_not(name):
    with pytest.raises(TypeError, match="unexpected keyword argument 'alpha'"):
        getattr(nn, name)(alpha=3)

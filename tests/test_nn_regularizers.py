"""Regularizers of Dense: their penalties and gradients, in layers, losses and models."""

import numpy as np
import pytest

from nnjit import nn

KNOBS = {"weight_regularizer_l1": 0.1, "weight_regularizer_l2": 0.02, "bias_regularizer_l1": 0.3,
         "bias_regularizer_l2": 0.04}
rng = np.random.default_rng(0)
X = rng.standard_normal((9, 4))
Y = rng.integers(0, 3, 9)


def penalty(layer):
    w, b = layer.weights, layer.biases
    return (layer.weight_regularizer_l1 * abs(w).sum() + layer.weight_regularizer_l2 * (w * w).sum()
            + layer.bias_regularizer_l1 * abs(b).sum() + layer.bias_regularizer_l2 * (b * b).sum())


def layers(**knobs):
    found = [nn.Dense(4, 5, activation="tanh", rng=1, dtype=np.float64, **knobs),
             nn.Dense(5, 3, rng=2, dtype=np.float64, **knobs)]
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

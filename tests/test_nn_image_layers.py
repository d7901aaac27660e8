"""Layers of images: against PyTorch, saved and copied, recorded."""

import copy
import pickle

import numpy as np
import pytest

from nnjit import nn

RNG = np.random.default_rng(0)


def images(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


# ---- running statistics


def with_norm(seed=0, last=3):
    model = nn.Model([nn.Dense(4, 6, rng=seed), nn.BatchNorm(6), nn.ReLU(), nn.Dense(6, last, rng=seed + 1),
                      nn.Softmax()])
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(0.1), accuracy=nn.Accuracy())
    model.finalize()
    return model


X, Y = images(40, 4), np.arange(40) % 3


def state(model):
    return [each.tobytes() for arrays in model.get_parameters() for each in arrays]


def test_running_statistics_are_buffers():
    model = with_norm()
    norm = model.layers[1]
    assert list(norm.buffers) == ["running_mean", "running_variance"]
    model.train(X, Y, epochs=3, batch_size=16)
    assert model.why_not_recorded is None
    assert not np.array_equal(norm.running_mean, np.zeros(6))
    assert [each.shape for each in model.get_parameters()[1]] == 4 * [(6,)]


def test_recorded_steps_write_them_as_layers_do(twin):
    model, slow = with_norm(), with_norm()
    model.train(X, Y, epochs=5, batch_size=16, shuffle=False)
    for _ in range(5):
        for start in (0, 16, 32):
            batch = X[start:start + 16], Y[start:start + 16]
            out = slow.forward(batch[0])
            slow.backward(out, batch[1], input_gradient=False)
            slow.optimizer.pre_update_params()
            for layer in slow.trainable_layers:
                slow.optimizer.update_params(layer)
            slow.optimizer.post_update_params()
    assert state(model) == state(slow)


def test_predictions_and_evaluations_leave_them_alone(twin):
    model = with_norm()
    model.train(X, Y, epochs=2)
    before = state(model)
    for _ in range(4):
        model.predict(X[:7])
        model.evaluate(X, Y)
    assert state(model) == before


@pytest.mark.parametrize("way", ("save", "pickle", "copy", "parameters", "file of parameters"))
def test_they_come_back(way, tmp_path):
    model = with_norm()
    model.train(X, Y, epochs=2)
    if way == "save":
        model.save(tmp_path / "m.npz")
        again = nn.Model.load(tmp_path / "m.npz")
    elif way == "pickle":
        again = pickle.loads(pickle.dumps(model))
    elif way == "copy":
        again = copy.deepcopy(model)
    else:
        again = with_norm(5)
        if way == "parameters":
            again.set_parameters(model.get_parameters())
        else:
            model.save_parameters(tmp_path / "p.npz")
            again.load_parameters(tmp_path / "p.npz")
    assert state(again) == state(model)
    assert again.predict(X).tobytes() == model.predict(X).tobytes()
    if way in ("save", "pickle", "copy"):
        for each in (model, again):
            each.train(X, Y, epochs=3)
        assert state(again) == state(model)


def test_one_element_for_each_channel_is_an_error():
    model = with_norm()
    with pytest.raises(ValueError, match=r"BatchNorm\(6\) got one element for each channel.*drop_last=True"):
        model.train(X[:33], Y[:33], batch_size=16)
    model.train(X[:32], Y[:32], batch_size=16)


def test_batch_norm_is_pytorchs(torch):
    ours, theirs = nn.BatchNorm(5, momentum=0.3), torch.nn.BatchNorm2d(5, momentum=0.3)
    for training in (True, True, False):
        theirs.train(training)
        x, dy = images(6, 5, 4, 7), images(6, 5, 4, 7)
        leaf = torch.tensor(x, requires_grad=True)
        y = theirs(leaf)
        y.backward(torch.tensor(dy))
        np.testing.assert_allclose(ours.forward(x, training), y.detach().numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(ours.backward(dy), leaf.grad.numpy(), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(ours.running_mean, theirs.running_mean.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.running_variance, theirs.running_var.numpy(), rtol=1e-5)


def test_layer_norm_is_pytorchs(torch):
    ours, theirs = nn.LayerNorm(9), torch.nn.LayerNorm(9)
    gamma, beta = images(9), images(9)
    ours.gamma, ours.beta = gamma, beta
    theirs.load_state_dict({"weight": torch.tensor(gamma), "bias": torch.tensor(beta)})
    x, dy = images(3, 5, 9), images(3, 5, 9)
    leaf = torch.tensor(x, requires_grad=True)
    y = theirs(leaf)
    y.backward(torch.tensor(dy))
    np.testing.assert_allclose(ours.forward(x), y.detach().numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours.backward(dy), leaf.grad.numpy(), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(ours.dgamma, theirs.weight.grad.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours.dbeta, theirs.bias.grad.numpy(), rtol=1e-4, atol=1e-5)

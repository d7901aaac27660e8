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


# ---- shapes, and what is said of others


@pytest.mark.parametrize("layers, shape, text", [
    ([nn.Conv2d(3, 4, 3)], (28, 28, 3), "must have 28 channels, not 3: channels come first, see nn.preparation"),
    ([nn.Conv2d(1, 4, 3)], (28, 28), r"not \(1, H, W\): add Reshape\(\(1, 28, 28\)\) before"),
    ([nn.Conv2d(1, 4, 5)], (1, 4, 4), "has a window of 5 elements, larger than the padded image of 4"),
    ([nn.Conv2d(1, 4, 3, padding=4, padding_mode="reflect")], (1, 4, 4), "the padding must be smaller than the image"),
    ([nn.MaxPool2d(2), nn.Dense(4, 2)], (1, 4, 4), r"not 4 inputs: add Flatten\(\) before"),
    ([nn.BatchNorm(3)], (4, 5, 5), r"must accept samples of shape \(4, 5, 5\), not \(3, H, W\) or \(3,\)"),
    ([nn.Reshape((2, 3))], (5,), "which have 5 elements, not 6"),
    ([nn.Parallel(nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 1))], (1, 5, 5), "cannot join outputs .* along their channels"),
    ([nn.ConvTranspose2d(1, 1, 2, padding=3)], (1, 3, 3), "give less padding")])
def test_shapes_that_do_not_fit_are_named(layers, shape, text):
    with pytest.raises(ValueError, match=text):
        nn.Model(layers).finalize(shape)


def test_images_in_another_order_are_named():
    with pytest.raises(ValueError, match=r"inputs must have shape \(N, 3, H, W\), got .*: channels come first"):
        nn.Conv2d(3, 4, 3).forward(images(2, 8, 8, 3))
    with pytest.raises(ValueError, match=r"use inputs\[:, None\], of shape \(2, 1, 8, 8\)"):
        nn.Conv2d(1, 4, 3).forward(images(2, 8, 8))
    for wrong in ({"stride": 2, "padding": "same"}, {"groups": 2}, {"padding": "full"}):
        with pytest.raises(ValueError, match="padding|groups"):
            nn.Conv2d(3, 4, 3, **wrong)
    for layer in (nn.Conv2d, nn.ConvTranspose2d):
        with pytest.raises(ValueError, match="^in_channels must be a multiple of groups, got 3 and 10.5000$"):
            layer(3, 3, 1, groups=10**5000)  # of which Python writes no text


def test_errors_of_kernels_name_arguments_alone(twin):
    with pytest.raises(ValueError, match="^weights must not cover more than the padded inputs, 12 x 2, got 3 x 3$"):
        nn.Conv2d(3, 4, 3).forward(images(2, 3, 12, 2))
    with pytest.raises(ValueError, match=r"^array is too big; `arr\.size \* arr\.dtype\.itemsize`"):  # NumPy's own
        nn.Upsample(2**31 - 1).forward(images(2, 3, 4, 5))


def test_shapes_are_those_of_the_outputs():
    x = images(2, 6, 9, 7)
    for layer in (nn.Conv2d(6, 4, 3, 2, 1), nn.Conv2d(6, 4, (2, 3), padding="same", dilation=2), nn.MaxPool2d(3, 2, 1),
                  nn.MaxPool2d(2, ceil_mode=True), nn.AvgPool2d((4, 5), (3, 4), (1, 2), ceil_mode=True),
                  nn.Conv2d(6, 6, 3, padding=((0, 1), (2, 3)), groups=3, padding_mode="replicate"),
                  nn.AvgPool2d((2, 3)), nn.ConvTranspose2d(6, 4, 4, 3, 1, 2, groups=2), nn.GlobalAvgPool2d(),
                  nn.Upsample((2, 3)),
                  nn.BatchNorm(6), nn.LayerNorm(7), nn.Dropout2d(0.5), nn.Flatten(), nn.Reshape((7, 54)),
                  nn.Parallel(nn.Conv2d(6, 2, 1), nn.Identity()),
                  nn.Parallel(nn.Identity(), nn.Sequential(nn.GlobalAvgPool2d(), nn.Dense(6, 6)), join="multiply")):
        assert layer.output_shape((6, 9, 7)) == layer.forward(x).shape[1:], layer


def test_whole_channels_are_dropped(twin):
    layer, x = nn.Dropout2d(0.5, seed=3), np.abs(images(20, 8, 3, 4)) + 1
    y = layer.forward(x)
    dropped = (y == 0).all(axis=(2, 3))
    assert np.array_equal(dropped, (y == 0).any(axis=(2, 3))) and 0.3 < dropped.mean() < 0.7
    np.testing.assert_array_equal(y[~dropped], 2 * x[~dropped])
    np.testing.assert_array_equal(layer.backward(x), y)
    np.testing.assert_array_equal(layer.forward(x, training=False), x)
    first = nn.Dropout2d(0.5, seed=3).forward(2 * x)
    np.testing.assert_array_equal((first == 0).all(axis=(2, 3)), dropped)


def test_initial_weights_by_fan_in():
    layer = nn.Conv2d(8, 64, 5, initializer="he_normal", rng=0)
    assert layer.weights.std() == pytest.approx((2 / 200) ** 0.5, rel=0.05)
    layer = nn.Conv2d(8, 64, 5, rng=0)  # Glorot's, of 200 and 1600
    assert abs(layer.weights).max() == pytest.approx((6 / 1800) ** 0.5, rel=0.01)
    own = nn.Conv2d(2, 3, 2, initializer=lambda n, m, rng: np.arange(n * m).reshape(n, m))
    np.testing.assert_array_equal(own.weights, np.arange(24).reshape(8, 3).T.reshape(3, 2, 2, 2))
    with pytest.raises(ValueError, match=r"initializer must return an array of shape \(8, 3\), got \(3, 8\)"):
        nn.Conv2d(2, 3, 2, initializer=lambda n, m, rng: np.ones((m, n)))


def test_channels_are_scaled_in_images_of_a_size_that_is_not_known():
    def model(*more):
        branch = nn.Sequential(nn.GlobalAvgPool2d(), nn.Dense(4, 4, activation="sigmoid", rng=0))
        return nn.Model([*more, nn.Conv2d(3, 4, 3, rng=1), nn.Parallel(nn.Identity(), branch, join="multiply"),
                         nn.Conv2d(4, 2, 1, rng=2)])

    images = np.random.default_rng(0).random((2, 3, 8, 7)).astype(np.float32)
    known, unknown = model(nn.Input((3, 8, 7))), model()
    known.finalize()
    unknown.finalize()
    assert nn.summary(known).rows[2].shape == (4, 6, 5) and nn.summary(unknown).rows[1].shape is None
    assert np.array_equal(known.predict(images), unknown.predict(images))


# ---- frozen layers


@pytest.mark.parametrize("layer, shape", (
    (nn.Dense(4, 3, activation="tanh", rng=0, weight_regularizer_l2=0.1), (5, 4)),
    (nn.Conv2d(2, 3, 3, activation="relu", rng=0, weight_regularizer_l1=0.1), (5, 2, 6, 6)),
    (nn.Conv2d(2, 3, 6, bias=False, rng=0), (5, 2, 6, 6)),
    (nn.ConvTranspose2d(2, 3, 3, stride=2, rng=0), (5, 2, 4, 4)),
    (nn.BatchNorm(2), (5, 2, 4, 4)), (nn.LayerNorm(4), (5, 4))), ids=repr)
def test_a_frozen_layer_gives_the_gradient_of_its_inputs_alone(twin, layer, shape):
    x = images(*shape)
    dy = images(*layer.forward(x).shape)
    dx, gradients = layer.backward(dy), layer.gradients
    layer.trainable = False
    assert layer.backward(dy).tobytes() == dx.tobytes()
    assert set(layer.gradients.values()) == {None}
    layer.trainable = True
    layer.backward(dy)
    assert {name: values.tobytes() for name, values in layer.gradients.items()} == {
        name: values.tobytes() for name, values in gradients.items()}


def test_a_generator_learns_from_a_frozen_discriminator():
    """The gradient of the images, and both networks' training, are those of one that is not."""
    x, z, ones = images(8, 1, 8, 8), images(8, 6), np.ones((8, 1), np.float32)

    def train(frozen):
        generator, discriminator = nn.Model([nn.Dense(6, 64, rng=0), nn.Reshape((1, 8, 8))]), nn.Model(
            [nn.Conv2d(1, 3, 4, 2, 1, rng=1), nn.BatchNorm(3), nn.ReLU(), nn.Flatten(), nn.Dense(48, 1, rng=2),
             nn.Sigmoid()])
        generator.set(optimizer=nn.Adam(0.01))
        discriminator.set(optimizer=nn.Adam(0.01), loss=nn.BinaryCrossentropy())
        for model in (generator, discriminator):
            model.finalize()
        for _ in range(5):
            made = generator.forward(z)
            discriminator.train_step(x, ones)
            discriminator.train_step(made, 0 * ones)
            guess = discriminator.forward(made)
            discriminator.trainable = not frozen
            generator.step_from(discriminator.backward(guess, ones))
            assert (discriminator.layers[0].dweights is None) is frozen
            discriminator.trainable = True
        assert discriminator.why_not_recorded is None and generator.why_not_recorded is None
        return state(generator), state(discriminator)

    assert train(True) == train(False)

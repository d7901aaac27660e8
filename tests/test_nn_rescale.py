"""Rescale, and the warning for images that nothing scales."""

import copy
import pickle
import warnings

import numpy as np
import pytest

from nnjit import nn

rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (40, 1, 8, 8), np.uint8)
LABELS = rng.integers(0, 3, 40)
LEVELS = "^X has whole numbers from 0 to 255, as images do, from which Dense.* learns badly: put Rescale"


def network(*first, dtype=np.float32):
    model = nn.Model([*first, nn.Flatten(), nn.Dense(64, 3, rng=0, dtype=dtype), nn.Softmax()])
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.01), accuracy=nn.Accuracy())
    model.finalize(input_shape=(1, 8, 8))
    return model


def bits(model):
    return [values.tobytes() for each in model.get_parameters() for values in each]


@pytest.mark.parametrize("scale, offset", ((1 / 255, 0), (1 / 127.5, -1), (-3, 0.1), (0, 2)))
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("shape", ((), (0, 3), (5,), (3, 1, 7, 2)))
def test_each_element_is_rounded_twice(twin, shape, dtype, scale, offset):
    layer = nn.Rescale(scale, offset, dtype=dtype)
    x = rng.standard_normal(shape).astype(dtype)
    np.testing.assert_array_equal(layer.forward(x), (x * dtype(scale) + dtype(offset)), strict=True)
    np.testing.assert_array_equal(layer.backward(x), x * dtype(scale), strict=True)
    whole = np.full(shape, 200, np.uint8)
    np.testing.assert_array_equal(layer.forward(whole), np.full(shape, dtype(200) * dtype(scale) + dtype(offset)))
    with pytest.raises(RuntimeError, match="call forward before backward"):
        nn.Rescale().backward(x)


def test_gradients_of_another_shape():
    layer = nn.Rescale()
    layer.forward(np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"^dvalues must have shape \(3, 2\) to match output, got \(2, 3\)$"):
        layer.backward(np.ones((2, 3)))


@pytest.mark.parametrize("offset", (0, -1))
def test_images_as_bytes_train_as_scaled_ones(twin, offset):
    scaled = IMAGES.astype(np.float32) * np.float32(1 / 255) + np.float32(offset)
    model, other = network(nn.Rescale(1 / 255, offset)), network()
    for each, X in ((model, IMAGES), (other, scaled)):
        each.train(X, LABELS, epochs=3, batch_size=16, validation_data=(X, LABELS))
    assert bits(model) == bits(other) and model.history == other.history
    assert model.predict(IMAGES).tobytes() == other.predict(scaled).tobytes()
    if twin == "numba":
        assert model.why_not_recorded is model.why_evaluation_not_recorded is None
        model.predict(IMAGES)
        model.predict(IMAGES)
        assert model.why_prediction_not_recorded is None


def test_a_changed_scale_is_seen_by_recorded_steps(tmp_path):
    model, other = network(nn.Rescale()), network()
    for scale in (1 / 255, 1 / 100, 1 / 100):
        model.layers[0].scale = scale
        model.train(IMAGES, LABELS, epochs=3, batch_size=8)
        other.train(IMAGES * np.float32(scale), LABELS, epochs=3, batch_size=8)
        assert bits(model) == bits(other)
    assert model.layers[0].scale == 1 / 100 and model.why_not_recorded is None
    model.layers[0].offset = -1
    wish = model.predict(IMAGES).tobytes()
    model.save(tmp_path / "a.npz")
    for same in (nn.Model.load(tmp_path / "a.npz"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert same.predict(IMAGES).tobytes() == wish and repr(same.layers[0]) == "Rescale(0.01, -1)"
        same.train(IMAGES, LABELS, epochs=2)
        assert same.why_not_recorded is None


def test_gradients_behind_and_before(torch):
    layers = nn.Sequential(nn.Dense(4, 3, rng=0), nn.Rescale(0.5, 2), nn.Tanh())
    x = rng.standard_normal((5, 4)).astype(np.float32)
    layers.forward(x)
    dx = layers.backward(np.ones((5, 3)))
    t = torch.tensor(x, requires_grad=True)
    (torch.tanh((t @ torch.tensor(layers.layers[0].weights)) * 0.5 + 2)).sum().backward()
    np.testing.assert_allclose(dx, t.grad, atol=1e-6)
    assert nn.check_gradients(network(nn.Rescale(1 / 255, -1)), IMAGES, LABELS, verbose=False)


@pytest.mark.parametrize("X", (IMAGES, IMAGES.astype(np.float32), IMAGES.astype(int), IMAGES.tolist()))
def test_images_that_nothing_scales_give_a_warning(X):
    with pytest.warns(UserWarning, match=LEVELS) as seen:
        network().train(X, LABELS)
    assert seen[0].filename == __file__ and len(seen) == 1
    with pytest.warns(UserWarning, match=LEVELS) as seen:
        network().train([(X, LABELS), (X, LABELS)], epochs=2)
    assert seen[0].filename == __file__ and len(seen) == 1


@pytest.mark.parametrize("X", (IMAGES / 255, IMAGES % 10, IMAGES * 2.0, IMAGES - 255.0, IMAGES + 0.5, IMAGES > 100))
def test_other_numbers_give_none(X):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network().train(X, LABELS)
        network(nn.Rescale()).train(IMAGES, LABELS)
        ages = nn.Model([nn.Dense(2, 3, rng=0)])
        ages.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.SGD(1e-4))
        ages.finalize()
        ages.train(np.full((40, 2), 90), LABELS)  # few columns are no image

"""Images in a grid, feature maps, wrong predictions and the norms of gradients."""

import numpy as np
import pytest
from optional import needs

from nnjit import nn

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((9, 2, 6, 5)).astype(np.float32), np.arange(9) % 3


def network():
    model = nn.Model([nn.Conv2d(2, 4, 3, padding=1, rng=0), nn.Residual(nn.BatchNorm(4), nn.ReLU()), nn.MaxPool2d(2),
                      nn.Flatten(), nn.Dense(24, 3, rng=1), nn.Softmax()])
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(0.1))
    model.finalize(input_shape=(2, 6, 5))
    model.train(X, Y, epochs=2)
    return model


def test_feature_maps_are_the_outputs_of_a_prediction(twin):
    model = network()
    before = [each.tobytes() for arrays in model.get_parameters() for each in arrays]
    expected = X
    for number in range(3):
        expected = model.layers[number].forward(expected, training=False)
        found = nn.inspect.feature_maps(model, X, number)
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(nn.inspect.feature_maps(model, X), model.layers[0].forward(X, training=False))
    assert nn.inspect.feature_maps(model, X, "1.body.1").min() == 0
    assert [each.tobytes() for arrays in model.get_parameters() for each in arrays] == before
    with pytest.raises(ValueError, match="layer must be a number or name in the model's summary, got 9"):
        nn.inspect.feature_maps(model, X, 9)


def test_a_grid_has_the_images_row_by_row():
    images = np.arange(5 * 2 * 3).reshape(5, 2, 3) + 1
    found = nn.inspect.grid(images, 3)
    assert found.shape == (2 * 3 - 1, 3 * 4 - 1)
    for number, image in enumerate(images):
        top, left = number // 3 * 3, number % 3 * 4
        np.testing.assert_array_equal(found[top:top + 2, left:left + 3], image)
    assert found[2].tolist() == 11 * [1] and found[:, 3].tolist() == 5 * [1]
    assert nn.inspect.grid(images).shape == found.shape
    np.testing.assert_array_equal(nn.inspect.grid(images[:, None], 3), found)
    assert nn.inspect.grid(np.zeros((2, 3, 4, 5)), 1).shape == (9, 5, 3)
    for wrong in (np.zeros((0, 2, 2)), np.zeros((2, 2)), np.zeros((2, 3, 3, 3, 3))):
        with pytest.raises(ValueError, match="images must have shape"):
            nn.inspect.grid(wrong)


def test_a_grid_is_drawn(tmp_path):
    needs("matplotlib")
    for options in ({}, {"titles": list("abcde"), "columns": 2}):
        nn.inspect.save_grid(tmp_path / "a.png", np.arange(40.0).reshape(5, 1, 4, 2), **options)
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="titles must be as many as images, 5, got 1"):
        nn.inspect.save_grid(tmp_path / "a.png", np.zeros((5, 4, 4)), titles=["a"])


def test_an_image_with_nan_is_drawn_beside_others(tmp_path):
    images = np.arange(24.0).reshape(2, 3, 4)
    images[0, 0, 0], images[1, 1, 1], images[1, 2, 2] = np.nan, np.inf, -np.inf
    margins = nn.inspect.grid(images, 2)[:, 4]
    assert margins.tolist() == 3 * [-np.inf]
    assert np.isfinite(nn.inspect.grid(images[:1].repeat(2, 0), 2)[:, 4]).all()
    scaled = nn.inspect.images._scaled(images)
    assert scaled[0, 0].tolist() == [0, 0, 1 / 22, 2 / 22] and scaled[1, 1, 1] == scaled.max() == 1
    assert scaled[1, 2, 2] == scaled.min() == 0
    needs("matplotlib")
    for some in (images, images * np.nan, images[:, None].repeat(3, 1), np.float32(3e38) * (images - 12)):
        nn.inspect.save_grid(tmp_path / "a.png", some)


@pytest.mark.parametrize("images, titles, text", (
    (np.zeros((2, 3, 3), complex), None, "images must contain real numbers, got dtype complex128"),
    (np.zeros((2, 3, 3), object), None, "images must contain real numbers, got dtype object"),
    (np.ma.masked_array(np.zeros((2, 3, 3))), None, "images must be a plain array, got a masked one"),
    (np.zeros((2, 3, 3)), "ab", "titles must be a list of a text for each image, got 'ab'"),
    (np.zeros((2, 3, 3)), 2, "titles must be a list of a text for each image, got 2")))
def test_what_cannot_be_drawn_is_named(tmp_path, images, titles, text):
    with pytest.raises(TypeError, match=f"^{text}"):
        nn.inspect.save_grid(tmp_path / "a.png", images, titles=titles)
    assert not [*tmp_path.iterdir()]


class Fixed:
    """A layer whose outputs are given."""

    def __init__(self, outputs):
        self.outputs = np.array(outputs)

    def forward(self, inputs, training=True):
        return self.outputs

    def backward(self, dvalues):
        return dvalues


def fixed(outputs):
    model = nn.Model([Fixed(outputs)])
    model.finalize()
    return model


SURE = [[0.6, 0.4], [0.1, 0.9], [0.2, 0.8], [0.7, 0.3], [0.45, 0.55]]


def test_wrong_predictions_are_the_surest_first():
    labels = np.array([0, 0, 1, 1, 0])
    for y in (labels, labels.tolist(), labels[:, None], labels.astype(np.float32), np.eye(2)[labels]):
        for count, wish in ((9, [1, 3, 4]), (2, [1, 3])):
            indices, chosen = nn.inspect.wrong_predictions(fixed(SURE), np.zeros((5, 1)), y, count)
            assert indices.tolist() == wish and chosen.tolist() == [1, 0, 1][:count]


def test_outputs_of_nan_are_no_predictions():
    with pytest.raises(ValueError, match="^predictions must be numbers, got nan in row 1$"):
        nn.inspect.wrong_predictions(fixed([[0.6, 0.4], [np.nan, 0.1]]), np.zeros((2, 1)), [0, 1])


@pytest.mark.parametrize("look", ("feature_maps", "wrong_predictions", "gradient_norms"))
def test_what_is_no_model_is_named(look):
    for wrong in (nn.Dense(2, 3), None):
        with pytest.raises(TypeError, match="^model must be an nn.Model, got "):
            getattr(nn.inspect, look)(wrong, X, Y)


def test_wrong_predictions_take_the_labels_of_a_training():
    model, images = nn.models.lenet5(3, size=12, rng=0), np.random.default_rng(0).normal(size=(5, 1, 12, 12))
    y = np.array([0, 1, 2, 1, 0])
    indices, chosen = nn.inspect.wrong_predictions(model, images, y)
    assert len(indices) and (chosen != y[indices]).all()
    for same in (y.tolist(), y[:, None], nn.preparation.one_hot(y)):
        np.testing.assert_array_equal(nn.inspect.wrong_predictions(model, images, same)[0], indices)
    for wrong, kind, text in (
            (list("abcab"), TypeError, "labels must be class numbers, got text such as 'a'"),
            ([0, 1, 2, 1, 3], ValueError, r"y must lie in 0\.\.2, got 3 at index 4"),
            ([0, 1], ValueError, "X and y must have the same length, got 5 and 2")):
        with pytest.raises(kind, match=text):
            nn.inspect.wrong_predictions(model, images, wrong)
    single = nn.Model([nn.Dense(2, 1, rng=0), nn.Sigmoid()])
    single.finalize()
    with pytest.raises(ValueError, match=r"must have an output for each class, got outputs of shape \(5, 1\): compare"):
        nn.inspect.wrong_predictions(single, np.zeros((5, 2)), y)


def test_norms_are_those_of_the_weights_gradients(twin):
    model = network()
    before = [each.tobytes() for arrays in model.get_parameters() for each in arrays]
    found = nn.inspect.gradient_norms(model, X, Y)
    assert list(found) == ["0", "1.body.0", "4"]
    assert [each.tobytes() for arrays in model.get_parameters() for each in arrays] == before
    model.trainable = False
    assert nn.inspect.gradient_norms(model, X, Y) == found
    model.trainable = True
    model.backward(model.forward(X), Y)
    for name, gradient in (("0", model.layers[0].dweights), ("1.body.0", model.layers[1].body.layers[0].dgamma),
                           ("4", model.layers[4].dweights)):
        assert found[name] == pytest.approx(np.linalg.norm(gradient.astype(float)), rel=1e-6)

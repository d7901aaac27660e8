import math

import numpy as np
import pytest

from nnjit import nn

LOSSES = [nn.CategoricalCrossentropy, nn.SoftmaxCategoricalCrossentropy]
P = np.array([[.7, .1, .2], [.1, .5, .4], [.02, .9, .08]])
Y = np.array([0, 1, 1])


pytestmark = pytest.mark.usefixtures("twin")


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def probabilities(rng, shape):
    p = rng.random(shape) + 0.05
    return p / p.sum(axis=1, keepdims=True)


def one_hot(labels, classes):
    return (np.asarray(labels)[:, None] == np.arange(classes)).astype(float)


def test_the_books_three_samples():
    loss = nn.CategoricalCrossentropy()
    np.testing.assert_allclose(loss.forward(P, Y), [-math.log(.7), -math.log(.5), -math.log(.9)], rtol=1e-14)
    assert loss.calculate(P, Y) == pytest.approx(0.38506088005216804, rel=1e-14)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("sparse", [True, False])
def test_gradient_of_the_mean_is_the_central_difference(kind, sparse, rng):
    x = probabilities(rng, (5, 4))
    y = rng.integers(0, 4, 5)
    y = y if sparse else one_hot(y, 4)
    loss = kind()
    loss.forward(x, y)
    gradient = loss.backward(loss.output, y)
    assert gradient is loss.dinputs
    h = 1e-6
    for at in np.ndindex(x.shape):
        values = []
        for step in (h, -h):
            moved = x.copy()
            moved[at] += step
            values.append(kind().calculate(moved, y))
        assert gradient[at] == pytest.approx((values[0] - values[1]) / (2 * h), abs=1e-8)


def test_soft_labels(rng):
    p, t = probabilities(rng, (6, 3)), probabilities(rng, (6, 3))
    np.testing.assert_allclose(nn.CategoricalCrossentropy().forward(p, t), -(t * np.log(p)).sum(axis=1), rtol=1e-13)
    np.testing.assert_allclose(nn.SoftmaxCategoricalCrossentropy().forward(np.log(p), t), -(t * np.log(p)).sum(axis=1),
                               rtol=1e-13)


def test_fused_is_softmax_then_cross_entropy(rng):
    x, y = 3 * rng.standard_normal((20, 10)), rng.integers(0, 10, 20)
    softmax, loss, fused = nn.Softmax(), nn.CategoricalCrossentropy(), nn.SoftmaxCategoricalCrossentropy()
    p = softmax.forward(x)
    np.testing.assert_allclose(fused.forward(x, y), loss.forward(p, y), rtol=1e-12)
    np.testing.assert_allclose(fused.output, p, rtol=1e-13)
    np.testing.assert_allclose(fused.backward(fused.output, y), softmax.backward(loss.backward(p, y)), atol=1e-15)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("dtype", "b B h H i I l L q Q ? >i4 list".split())
def test_labels_of_every_whole_kind(kind, dtype):
    labels = Y.tolist() if dtype == "list" else Y.astype(dtype)
    loss = kind()
    for values in (P, P.astype(np.float32), P.tolist()):
        expected = kind().forward(values, Y)
        assert loss.forward(values, labels).tobytes() == expected.tobytes()
        expected = loss.backward(loss.output, Y)
        assert loss.backward(loss.output, labels).tobytes() == expected.tobytes()


@pytest.mark.parametrize("kind", LOSSES)
def test_more_classes_than_a_byte_counts(kind):
    x, labels = np.full((3, 300), 0.001), np.array([255, 128, 299], np.int16)
    x[[0, 1, 2], labels] = [0.5, 0.25, 0.75]
    np.testing.assert_allclose(kind().forward(x, labels), kind().forward(x, one_hot(labels, 300)), rtol=1e-12)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, bool])
def test_one_hot_labels_of_every_kind(kind, dtype):
    hot = one_hot(Y, 3).astype(dtype)
    for values in (P, P.astype(np.float32)):
        loss = kind()
        found = loss.forward(values, hot)
        assert found.dtype == values.dtype
        np.testing.assert_allclose(found, kind().forward(values, Y), rtol=1e-6)
        np.testing.assert_allclose(loss.backward(loss.output, hot), kind().backward(loss.output, Y), atol=1e-7)


def test_a_confident_mistake_costs_a_finite_price():
    loss = nn.CategoricalCrossentropy()
    assert loss.calculate([[0., 1.]], [0]) == pytest.approx(-math.log(1e-7), rel=1e-6)
    np.testing.assert_allclose(loss.backward(np.array([[0., 1.]]), [0]), [[-1e7, 0]])


@pytest.mark.parametrize("kind", LOSSES)
def test_accumulation(kind, rng):
    x, y = probabilities(rng, (10, 3)), rng.integers(0, 3, 10)
    loss, whole = kind(), kind().calculate(x, y)
    for rows in (slice(0, 4), slice(4, 8), slice(8, 10)):  # unequal batches weigh by their samples
        loss.calculate(x[rows], y[rows])
    assert loss.calculate_accumulated() == pytest.approx(whole, rel=1e-13)
    assert type(loss.accumulated_sum) is float and loss.accumulated_count == 10
    loss.new_pass()
    with pytest.raises(RuntimeError, match="new_pass"):
        loss.calculate_accumulated()
    loss.calculate(x[:4], y[:4])
    assert loss.calculate_accumulated() == pytest.approx(kind().calculate(x[:4], y[:4]), rel=1e-13)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("labels, error, text", [
    ([0.0, 1.0, 1.0], TypeError, "labels must be whole numbers, got dtype float64"),
    (["a", "b", "c"], TypeError, "labels must be whole numbers"),
    (np.zeros((3, 3, 1)), ValueError, r"labels must have shape \(N,\) or \(N, C\), got \(3, 3, 1\)"),
    (1, ValueError, r"labels must have shape"),
    (np.zeros((3, 3), complex), TypeError, "labels must hold real numbers"),
])
def test_labels_that_are_none(kind, labels, error, text):
    for method in ("forward", "backward", "calculate"):
        with pytest.raises(error, match=text):
            getattr(kind(), method)(P, labels)


def test_accuracy():
    accuracy = nn.Accuracy()
    assert accuracy.calculate(P, [0, 1, 0]) == pytest.approx(2 / 3)
    assert accuracy.calculate(P.astype(np.float32), one_hot([0, 1, 1], 3)) == 1
    assert accuracy.calculate(P.argmax(axis=1), np.array([2, 0], np.uint8).repeat([1, 2])) == 0
    assert accuracy.calculate([0, 1, 1], one_hot([0, 1, 2], 3)) == pytest.approx(2 / 3)
    assert accuracy.calculate_accumulated() == pytest.approx(7 / 12)
    assert (accuracy.accumulated_sum, accuracy.accumulated_count) == (7, 12)
    accuracy.new_pass()
    with pytest.raises(RuntimeError, match="new_pass"):
        accuracy.calculate_accumulated()


def test_of_equal_scores_the_first_counts():
    assert nn.Accuracy().calculate([[1, 1, 0], [0, 2, 2]], [0, 1]) == 1
    assert nn.Accuracy().calculate([[1, 1, 0], [0, 2, 2]], [1, 2]) == 0


def test_accuracy_of_nothing_or_of_other_lengths():
    with pytest.raises(ValueError, match="empty"):
        nn.Accuracy().calculate(np.empty((0, 3)), np.empty(0, int))
    with pytest.raises(ValueError, match="one length, got 2 and 3"):
        nn.Accuracy().calculate([0, 1], [0, 1, 2])

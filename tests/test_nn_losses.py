import math
import pickle
import re

import numpy as np
import pytest
from optional import needs

from nnjit import nn
from nnjit.nn import nnfs

LOSSES = [nn.CategoricalCrossentropy, nn.SoftmaxCategoricalCrossentropy, nn.NegativeLogLikelihood]
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


@pytest.mark.parametrize("kind", (nn.BinaryCrossentropy, nn.MeanSquaredError, nn.MeanAbsoluteError, nn.Huber))
@pytest.mark.parametrize("dtype", (np.int64, np.uint8, np.float32, np.float64, bool))
def test_targets_are_read_at_each_call(kind, dtype, rng):
    """Though a loss keeps those that it converted."""
    p, loss = rng.uniform(0.1, 0.9, (6, 1)).astype(np.float32), kind()
    y = (np.arange(6) % 2).astype(dtype)
    for given in (y, y[:, None], y, y.tolist(), 1 - y[:, None].astype(int), y[:, None]):
        wish = kind().forward(p, np.array(given).reshape(6, 1).astype(np.float32))
        np.testing.assert_array_equal(loss.forward(p, given), wish)
        np.testing.assert_array_equal(loss.backward(loss.output, given), kind().backward(
            p, np.array(given).reshape(6, 1).astype(np.float32)))
    y[2] = 1  # in place
    np.testing.assert_array_equal(loss.forward(p, y[:, None]), kind().forward(p, y[:, None].astype(np.float32)))
    other = pickle.loads(pickle.dumps(p))  # whose dtype is another object
    wish, same = kind().forward(p, p), other.copy()
    loss.forward(p, other)
    other[:] = 0.5
    np.testing.assert_array_equal(loss.forward(p, same), wish)
    twice = np.concatenate([p, p], axis=1)
    with pytest.raises(ValueError, match="y must have shape"):
        loss.forward(twice, y[:, None])
    assert loss.forward(p.astype(np.float64), y[:, None]).dtype == np.float64
    assert not vars(pickle.loads(pickle.dumps(loss))).keys() - vars(kind()).keys()


def test_wrong_targets_after_right_ones_are_refused():
    loss, y = nn.BinaryCrossentropy(), np.array([[0], [1]])
    loss.forward(np.array([[0.25], [0.5]]), y)
    y[1] = 2
    for _ in range(2):
        with pytest.raises(ValueError, match="y must lie in 0..1, got 2.0 in row 1"):
            loss.backward(np.array([[0.25], [0.5]]), y)


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_targets_at_the_ends_of_0_to_1_stay_as_they_are(dtype):
    y = np.array([[0], [-0.0], [1], [np.nextafter(dtype(1), dtype(0))], [np.finfo(dtype).smallest_subnormal]], dtype)
    assert nn.BinaryCrossentropy().targets(y, 5, 1, y.dtype) is y
    beyond = np.array([[np.nextafter(dtype(1), dtype(2))]], dtype)
    assert nn.BinaryCrossentropy().targets(beyond, 1, 1, y.dtype) == 1


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
    for kind in (nn.SoftmaxCategoricalCrossentropy, nn.NegativeLogLikelihood):
        np.testing.assert_allclose(kind().forward(np.log(p), t), -(t * np.log(p)).sum(axis=1), rtol=1e-13)


def test_fused_is_softmax_then_cross_entropy(rng):
    x, y = 3 * rng.standard_normal((20, 10)), rng.integers(0, 10, 20)
    softmax, loss, fused = nn.Softmax(), nn.CategoricalCrossentropy(), nn.SoftmaxCategoricalCrossentropy()
    p = softmax.forward(x)
    np.testing.assert_allclose(fused.forward(x, y), loss.forward(p, y), rtol=1e-12)
    np.testing.assert_allclose(fused.output, p, rtol=1e-13)
    np.testing.assert_allclose(fused.backward(fused.output, y), softmax.backward(loss.backward(p, y)), atol=1e-15)


def test_fused_is_sigmoid_then_binary_cross_entropy(rng):
    x, t = 3 * rng.standard_normal((20, 3)), rng.random((20, 3))
    sigmoid, loss, fused = nn.Sigmoid(), nn.BinaryCrossentropy(), nn.SigmoidBinaryCrossentropy()
    p = sigmoid.forward(x)
    np.testing.assert_allclose(fused.forward(x, t), loss.forward(p, t), rtol=1e-12)
    np.testing.assert_allclose(fused.output, p, rtol=1e-13)
    np.testing.assert_allclose(fused.backward(fused.output, t), sigmoid.backward(loss.backward(p, t)), atol=1e-15)
    assert fused.forward([[20.0], [-20.0], [800.0]], [0, 1, 0]) == pytest.approx([20, 20, 800])
    assert fused.backward(fused.output, [0, 1, 0]).ravel() * 3 == pytest.approx([1, -1, 1])


def test_log_softmax_then_likelihood_is_fused_softmax(rng):
    x, y = 3 * rng.standard_normal((20, 10)), rng.integers(0, 10, 20)
    softmax, loss, fused = nn.LogSoftmax(), nn.NegativeLogLikelihood(), nn.SoftmaxCategoricalCrossentropy()
    logarithms = softmax.forward(x)
    np.testing.assert_allclose(loss.forward(logarithms, y), fused.forward(x, y), rtol=1e-12)
    assert loss.output is logarithms
    dx = softmax.backward(loss.backward(logarithms, y))
    np.testing.assert_allclose(dx, fused.backward(fused.output, y), atol=1e-15)
    sure = np.array([[0, -np.inf]])  # a share of 0 of an impossible class costs nothing
    for labels in ([0], [[1, 0]]):
        assert loss.forward(sure, labels) == 0


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
    ([0.0, 1.5, 1.0], ValueError, "labels must be whole numbers, got 1.5 at index 1"),
    (["a", "b", "c"], TypeError, "labels must be class numbers, got text such as 'a': encode it with nn.prep"),
    (np.zeros((3, 3, 1)), ValueError, r"labels must have shape \(N,\) or \(N, C\), got \(3, 3, 1\)"),
    (1, ValueError, r"labels must have shape"),
    (np.array([0, 2**64 - 1, 1], "u8"), ValueError, r"labels must be in -2\^63..2\^63-1, got 18446744073709551615 at"),
    (np.zeros((3, 3), complex), TypeError, "labels must contain real numbers"),
])
def test_labels_that_are_none(kind, labels, error, text):
    for method in ("forward", "backward", "calculate"):
        with pytest.raises(error, match=text):
            getattr(kind(), method)(P, labels)


@pytest.mark.parametrize("kind", LOSSES)
def test_a_column_is_of_class_numbers_unless_there_is_one_output(kind):
    loss, column = kind(), np.array([[2.0], [0.0], [1.0]])
    for values in (P, P.astype(np.float32)):
        assert loss.forward(values, column).tolist() == loss.forward(values, [2, 0, 1]).tolist()
        assert loss.backward(loss.output, column).tolist() == loss.backward(loss.output, [2, 0, 1]).tolist()
    one = P[:, :1]
    wish = {nn.CategoricalCrossentropy: -np.log(one), nn.NegativeLogLikelihood: -one}.get(kind, 0 * one)
    np.testing.assert_allclose(loss.forward(one, np.ones((3, 1))), wish[:, 0], rtol=1e-6, atol=1e-15)
    with pytest.raises(ValueError, match="must add up to 1 in each row, got 0 in row 1"):
        loss.forward(one, [[1.0], [0.0], [1.0]])


@pytest.mark.parametrize("kind", LOSSES)
def test_class_numbers_that_count_from_1(kind):
    with pytest.raises(ValueError, match="labels must lie in 0..2, got 3 at index 1: class numbers count from 0$"):
        kind(label_smoothing=0.1).forward(P, [1, 3, 2])
    with pytest.raises(ValueError, match="labels must lie in 0..2, got 3 at index 1$"):
        kind(label_smoothing=0.1).forward(P, [0, 3, 2])


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
    with pytest.raises(ValueError, match="the same length, got 2 and 3"):
        nn.Accuracy().calculate([0, 1], [0, 1, 2])


def torch_loss(torch, kind, scores, y, smoothing=0.0):
    """The losses (N,) of PyTorch, in float64, of a leaf with what this kind of loss takes."""
    leaf = torch.tensor(scores, requires_grad=True)
    logarithms = (leaf.log() if kind is nn.CategoricalCrossentropy else
                  leaf + 0 if kind is nn.NegativeLogLikelihood else torch.log_softmax(leaf, 1))
    shares = torch.full(scores.shape, smoothing / scores.shape[1], dtype=torch.float64)
    shares[range(len(y)), y] += 1 - smoothing
    return leaf, -(shares * logarithms).sum(1)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("sparse", (True, False))
@pytest.mark.parametrize("smoothing", (0.0, 0.2))
def test_weights_and_smoothing_against_torch(torch, kind, sparse, smoothing, rng):
    x, y = probabilities(rng, (30, 5)), rng.integers(0, 5, 30)
    classes, samples = rng.random(5), rng.random(30)
    labels = y if sparse else one_hot(y, 5)
    for class_weights, sample_weight in ((None, None), (classes, None), (None, samples), (classes, samples)):
        leaf, losses = torch_loss(torch, kind, x, y, smoothing)
        if smoothing and kind is nn.SoftmaxCategoricalCrossentropy:  # PyTorch's own
            own = torch.nn.functional.cross_entropy(leaf, torch.tensor(y), label_smoothing=smoothing, reduction="none")
            assert torch.allclose(own, losses, rtol=1e-13)
        if class_weights is not None:
            losses = losses * torch.tensor(class_weights)[y]
        if sample_weight is not None:
            losses = losses * torch.tensor(sample_weight)
        losses.mean().backward()
        loss = kind(label_smoothing=smoothing, class_weights=class_weights)
        np.testing.assert_allclose(loss.forward(x, labels, sample_weight), losses.detach().numpy(), rtol=1e-12)
        found = loss.backward(loss.output, labels, sample_weight)
        assert found is loss.dinputs
        np.testing.assert_allclose(found, leaf.grad.numpy(), rtol=1e-9, atol=1e-13)
        assert loss.calculate(x, labels) == pytest.approx(
            np.mean(losses.detach().numpy() / (1 if sample_weight is None else sample_weight)), rel=1e-12)


@pytest.mark.parametrize("kind", (nn.BinaryCrossentropy, nn.SigmoidBinaryCrossentropy, nn.MeanSquaredError,
                                  nn.MeanAbsoluteError, nn.Huber))
@pytest.mark.parametrize("columns", (1, 3))
def test_sample_weights_of_outputs(kind, columns, rng):
    outputs, targets, weights = rng.random((20, columns)), rng.random((20, columns)), rng.random(20)
    loss, plain = kind(), kind()
    np.testing.assert_allclose(loss.forward(outputs, targets, weights), plain.forward(outputs, targets) * weights,
                               rtol=1e-15)
    np.testing.assert_allclose(loss.backward(outputs, targets, weights),
                               plain.backward(outputs, targets) * weights[:, None], rtol=1e-15)


@pytest.mark.parametrize("kind", (nn.BinaryCrossentropy, nn.SigmoidBinaryCrossentropy))
def test_class_weights_of_a_binary_loss_against_torch(torch, kind, rng):
    p, y = rng.random((40, 1)), rng.integers(0, 2, 40)
    leaf, t = torch.tensor(p, requires_grad=True), torch.tensor(y[:, None], dtype=torch.float64)
    likely = leaf if kind is nn.BinaryCrossentropy else torch.sigmoid(leaf)
    losses = -(3.0 * t * likely.log() + 0.5 * (1 - t) * (1 - likely).log())
    losses.mean().backward()
    loss = kind(class_weights=(0.5, 3))
    for targets in (y, y[:, None].astype(float)):
        np.testing.assert_allclose(loss.forward(p, targets), losses.detach().numpy()[:, 0], rtol=1e-12)
        np.testing.assert_allclose(loss.backward(loss.output, targets), leaf.grad.numpy(), rtol=1e-12)
    assert repr(loss) == f"{kind.__name__}(class_weights=[0.5, 3.0])"
    with pytest.raises(ValueError, match="class_weights are for a single output, got 2"):
        loss.forward(p.reshape(20, 2), y.reshape(20, 2))


def test_weights_of_shares_are_those_of_the_largest():
    p, t = P[:2].copy(), np.array([[.5, .2, .3], [.1, .3, .6]])
    found = nn.CategoricalCrossentropy(class_weights=[2, 3, 4]).forward(p, t)
    np.testing.assert_allclose(found, nn.CategoricalCrossentropy().forward(p, t) * [2, 4], rtol=1e-15)


@pytest.mark.parametrize("make, text", (
    (lambda: nn.CategoricalCrossentropy(class_weights=[]), r"class_weights must have one number for each class"),
    (lambda: nn.CategoricalCrossentropy(class_weights=2.0), r"class_weights must have one number for each class"),
    (lambda: nn.CategoricalCrossentropy(class_weights=[1, -2]), "class_weights must be finite and at least 0, got -2"),
    (lambda: nn.SoftmaxCategoricalCrossentropy(class_weights=[1, np.nan]), "class_weights must be .* nan at index 1"),
    (lambda: nn.CategoricalCrossentropy(label_smoothing=1), "label_smoothing must be at least 0 and below 1, got 1"),
    (lambda: nn.CategoricalCrossentropy(label_smoothing=-0.1), "label_smoothing must be at least 0 and below 1"),
    (lambda: nn.BinaryCrossentropy(class_weights=[1, 2, 3]), "must have 2 numbers, one for each class, got 3"),
    (lambda: nn.CategoricalCrossentropy(class_weights=[1, 2]).forward(P, [0, 2, 1]),
     "class_weights must have 3 numbers, one for each class, got 2"),
    (lambda: nn.CategoricalCrossentropy(class_weights=[1, 2, 3, 4]).forward(P, Y), "must have 3 numbers, .* got 4"),
    (lambda: nn.SoftmaxCategoricalCrossentropy(class_weights=[1, 2]).backward(P, np.eye(3)), "must have 3 .* got 2"),
    (lambda: nn.CategoricalCrossentropy(class_weights={3: 2.0}).forward(P, Y), "must name classes in 0..2, got 3"),
    (lambda: nn.BinaryCrossentropy(class_weights={2: 2.0}), "class_weights must name classes in 0..1, got 2"),
    (lambda: nn.CategoricalCrossentropy(class_weights=[1, 1e300, 1]).forward(P.astype("f4"), Y),
     "class_weights must contain numbers that float32 can represent, got 1e[+]300 at index 1"),
    (lambda: nn.CategoricalCrossentropy(class_weights=[1e30, 1e30, 1e30]).forward(
        P.astype("f4"), Y, np.full(len(Y), 1e30)), "class_weights times sample_weight must be finite and .* got inf"),
    (lambda: nn.CategoricalCrossentropy(class_weights={1: -2.0}), r"class_weights\[1\] must be finite and at least 0"),
    (lambda: nn.CategoricalCrossentropy(class_weights={-1: 2.0}), "a class in class_weights must be at least 0"),
    (lambda: nn.CategoricalCrossentropy(class_weights={}), "class_weights must name at least one class"),
    (lambda: nn.CategoricalCrossentropy(class_weights="balance"), "numbers, a dict or 'balanced', got 'balance'"),
    (lambda: nn.CategoricalCrossentropy(class_weights=[1, 2, 3]).forward(P, [0, -1, 1]),
     "labels must lie in 0..2, got -1 at index 1"),
    (lambda: nn.MeanSquaredError().forward(P, P, [1, 2]), r"sample_weight must have shape \(3,\), got \(2,\)"),
    (lambda: nn.MeanSquaredError().forward(P, P, [[1], [2], [3]]), r"sample_weight must have shape .* got \(3, 1\)"),
    (lambda: nn.Huber().backward(P, P, [1, 2, -np.inf]), "sample_weight must be finite and at least 0, got -inf at"),
))
def test_mistakes_in_weights(make, text):
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize("softmax", (True, False))
@pytest.mark.parametrize("options", ({}, {"label_smoothing": 0.1}, {"class_weights": [1, 0.25, 3]}))
def test_a_model_takes_losses_as_they_are_given(softmax, options, rng):
    """Loss and gradients of a model, its softmax joined with the loss or not, are those of its parts one by one."""
    x, y, weights = rng.standard_normal((12, 2)), rng.integers(0, 3, 12), rng.random(12)
    dense = nn.Dense(2, 3, rng=0, dtype=np.float64)
    loss = nn.CategoricalCrossentropy(**options) if softmax else nn.SoftmaxCategoricalCrossentropy(**options)
    model, activation = nn.Model(), nn.Softmax()
    model.add(dense)
    if softmax:
        model.add(activation)
    model.set(loss=loss, optimizer=nn.SGD(0.0))
    model.finalize()
    scores = dense.forward(x)
    for given in (None, weights):
        outputs = activation.forward(scores) if softmax else scores
        wish = loss.calculate(outputs, y) if given is None else loss.forward(outputs, y, given).mean()
        gradient = loss.backward(loss.output, y, given)
        dense.backward(activation.backward(gradient) if softmax else gradient)
        dweights = dense.dweights.copy()
        assert model.evaluate(x, y, sample_weight=given)[0] == pytest.approx(wish, rel=1e-12)
        assert model.train_step(x, y, given)[0] == pytest.approx(wish, rel=1e-12)
        np.testing.assert_allclose(dense.dweights, dweights, rtol=1e-9, atol=1e-14)
        history = model.train(x, y, sample_weight=given, validation_data=(x, y) if given is None else (x, y, given))
        assert history["loss"][-1] == pytest.approx(wish, rel=1e-12)
        assert history["val_loss"][-1] == pytest.approx(wish, rel=1e-12)
        np.testing.assert_allclose(dense.dweights, dweights, rtol=1e-9, atol=1e-14)
    outputs = model.forward(x)
    model.backward(outputs, y)
    dense.backward(activation.backward(loss.backward(outputs, y)) if softmax else
                   loss.backward(nn.Softmax().forward(outputs), y))
    whole = dense.dweights.copy()
    model.forward(x)
    model.backward(outputs, y)
    np.testing.assert_allclose(dense.dweights, whole, rtol=1e-9, atol=1e-14)


def test_smoothing_needs_the_number_of_classes():
    class Own:
        def forward(self, x, training=True):
            return x

        def backward(self, dy):
            return dy

    model = nn.Model()
    for layer in (nn.Dense(2, 3), Own()):
        model.add(layer)
    model.set(loss=nn.SoftmaxCategoricalCrossentropy(label_smoothing=0.1), optimizer=nn.SGD())
    model.finalize()
    x, y = np.zeros((3, 2)), np.array([0, 1, 2])
    with pytest.raises(ValueError, match="label_smoothing needs to know the number of classes"):
        model.train(x, y)
    model.train(x, one_hot(y, 3))


class Powered(nn.CategoricalCrossentropy):
    def __init__(self, power, **options):
        super().__init__(**options)
        self.power = power

    def _losses(self, p, y):
        return super()._losses(p, y) ** self.power


def test_a_loss_made_from_one_of_ours_keeps_its_attributes():
    model = nn.Model()
    for part in (nn.Dense(4, 3, rng=0), nn.Softmax()):
        model.add(part)
    x = np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32)
    labels, weights = np.arange(6) % 3, np.array([1.0, 2, 0.5])
    model.set(loss=Powered(2, label_smoothing=0.3, class_weights=weights))
    model.finalize()
    targets = 0.7 * np.eye(3)[labels] + 0.1
    expected = (weights[labels] * (-(targets * np.log(model.predict(x))).sum(axis=1))**2).mean()
    assert model.evaluate(x, labels)[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("name", "value", "text"), (
    ("class_weights", [1, -2, 3], "class_weights must be finite and at least 0, got -2.0 at index 1"),
    ("class_weights", [1, float("nan"), 3], "class_weights must be finite and at least 0, got nan at index 1"),
    ("class_weights", {1: math.inf}, r"class_weights\[1\] must be finite and at least 0, got inf"),
    ("class_weights", [1, 2], "class_weights must have 3 numbers, one for each class, got 2"),
    ("label_smoothing", 1.5, "label_smoothing must be at least 0 and below 1, got 1.5"),
    ("label_smoothing", float("nan"), "label_smoothing must be at least 0 and below 1, got nan")))
def test_what_was_set_as_an_attribute_is_checked_too(name, value, text):
    for labels in (np.arange(6) % 3, np.eye(3)[np.arange(6) % 3]):
        loss = nn.CategoricalCrossentropy()
        with pytest.raises(ValueError, match=text):
            setattr(loss, name, value)
            loss.forward(np.full((6, 3), 1 / 3), labels)


@pytest.mark.parametrize("kind", (nn.CategoricalCrossentropy, nn.BinaryCrossentropy))
def test_class_weights_become_numbers_of_python_when_they_are_assigned(kind, tmp_path):
    outputs = 1 if kind is nn.BinaryCrossentropy else 2
    last = nn.Sigmoid() if outputs == 1 else nn.Softmax()
    x, y = P[:, :2], [0, 1, 1]
    for given, plain in ((np.array([1, 2.5], np.float32), [1.0, 2.5]), ((1, 3), [1.0, 3.0]),
                         ({np.int64(1): np.float32(2)}, {1: 2.0}), ({1: 4}, {1: 4.0}), (None, None),
                         ("balanced", "balanced")):
        model = small(kind(), outputs, last)
        model.loss.class_weights = given
        found = model.loss.class_weights
        assert repr(found) == repr(plain)  # no NumPy numbers
        assert repr(model.loss) == f"{kind.__name__}({'' if plain is None else f'class_weights={plain!r}'})"
        model.train(x, y)
        model.save(tmp_path / "a.npz")
        loaded = nn.Model.load(tmp_path / "a.npz")
        assert loaded.loss.class_weights == plain and loaded.evaluate(x, y) == model.evaluate(x, y)
    loss = kind(class_weights=[1, 2])
    for bad, error in (([1, -1], ValueError), ("balance", ValueError), ([], ValueError), ({"1": 2}, TypeError),
                       ({1.5: 2}, TypeError), (["a", 1], TypeError), ({True: 2}, TypeError)):
        with pytest.raises(error, match="class_weights"):
            loss.class_weights = bad
    assert loss.class_weights == [1.0, 2.0]
    if kind is nn.BinaryCrossentropy:
        for bad in ([1, 2, 3], {2: 1}):
            with pytest.raises(ValueError, match="must have 2 numbers|must name classes in 0..1"):
                loss.class_weights = bad


@pytest.mark.parametrize("make", (*LOSSES, nnfs.Activation_Softmax_Loss_CategoricalCrossentropy))
def test_label_smoothing_is_checked_when_it_is_assigned(make):
    loss = make()
    assert loss.label_smoothing == 0
    loss.label_smoothing = np.float32(0.25)
    for value, error in ((1, ValueError), (-0.1, ValueError), (np.nan, ValueError), ("0.1", TypeError),
                         (True, TypeError), (None, TypeError), ([0.1], TypeError)):
        with pytest.raises(error, match="label_smoothing must be"):
            loss.label_smoothing = value
        assert type(loss.label_smoothing) is float and loss.label_smoothing == 0.25
    if make in LOSSES:
        assert loss.calculate(P, Y) == make(label_smoothing=0.25).calculate(P, Y) != make().calculate(P, Y)
        assert pickle.loads(pickle.dumps(loss)).label_smoothing == 0.25


def test_a_loss_of_a_users_own_without_our_constructor_has_no_weights():
    class Own(nn.CategoricalCrossentropy):
        def __init__(self):
            self.mine = 1

    assert Own().class_weights is None and Own().label_smoothing == 0 and repr(Own()) == "Own()"
    assert Own().forward(P, Y).tobytes() == nn.CategoricalCrossentropy().forward(P, Y).tobytes()


def test_weights_beyond_float32_are_refused_there():
    single, double = P.astype(np.float32), P
    for weights in ([1, 1e39, 1], {1: 1e39}):
        loss = nn.CategoricalCrossentropy(class_weights=weights)
        with pytest.raises(ValueError, match="class_weights must contain numbers that float32 can represent, got 1e"):
            loss.forward(single, Y)
        np.testing.assert_allclose(loss.forward(double, Y)[1:], -1e39 * np.log([.5, .9]), rtol=1e-13)
    with pytest.raises(ValueError, match=r"sample_weight must contain numbers that float32 can represent, got 1e\+39"):
        nn.MeanSquaredError().forward(single, single, [1, 1e39, 1])
    loss = nn.CategoricalCrossentropy(class_weights=[1, 1e30, 1])
    with pytest.raises(ValueError, match=r"class_weights times sample_weight must be finite .*, got inf at index 2"):
        loss.forward(single, Y, [1, 1, 1e30])
    np.testing.assert_allclose(loss.forward(double, Y, [1, 1, 1e30])[2], -1e60 * np.log(.9), rtol=1e-13)


def test_weights_go_with_their_batches_in_an_evaluation():
    random = np.random.default_rng(4)
    x, labels, weights = random.standard_normal((25, 4)).astype(np.float32), np.arange(25) % 3, random.random(25)
    model = nn.Model()
    for part in (nn.Dense(4, 3, rng=0), nn.Softmax()):
        model.add(part)
    model.set(loss=nn.CategoricalCrossentropy(class_weights=[1, 4, 0.5]), optimizer=nn.SGD(0.0))
    model.finalize()
    picked = model.predict(x).astype(float)[np.arange(25), labels]
    expected = -(np.log(picked) * weights * np.array([1, 4, 0.5])[labels]).mean()
    for size in (None, 7, 1):
        assert model.evaluate(x, labels, batch_size=size, sample_weight=weights)[0] == pytest.approx(expected, rel=1e-5)
        model.train(x, labels, batch_size=size, validation_data=(x, labels, weights))
        assert model.history["val_loss"][-1] == pytest.approx(expected, rel=1e-5)


def test_a_target_of_one_half_is_of_the_first_class():
    p, targets = np.full((3, 1), 0.25), np.array([0.5, np.nextafter(0.5, 1), 0.25])
    expected = -(targets * np.log(0.25) + (1 - targets) * np.log(0.75)) * [2, 5, 2]
    np.testing.assert_allclose(nn.BinaryCrossentropy(class_weights=[2, 5]).forward(p, targets), expected, rtol=1e-12)


LAST = {nn.CategoricalCrossentropy: [nn.Softmax()], nn.NegativeLogLikelihood: [nn.LogSoftmax()],
        nn.SoftmaxCategoricalCrossentropy: []}


def small(loss, outputs, *more):
    model = nn.Model()
    for part in (nn.Dense(2, outputs, rng=0), *more):
        model.add(part)
    model.set(loss=loss, optimizer=nn.SGD(0.5))
    model.finalize()
    return model


@pytest.mark.parametrize("y, value, row", (
    ([1, 2, 2, 1], "2.0", 1), ([1, -1, 1, 1], "-1.0", 1), ([0, 0, 255, 0], "255.0", 2), ([0, 1, 1, np.nan], "nan", 3),
    ([0, 1, 1, 1.0001], r"1.00\d*", 3)))
def test_targets_of_a_binary_loss_lie_between_0_and_1(y, value, row, rng):
    x, y = rng.standard_normal((4, 2)).astype(np.float32), np.array(y)
    text = rf"y must lie in 0\.\.1, got {value} in row {row}: write 0 and 1 for two classes"
    model = small(nn.BinaryCrossentropy(), 1, nn.Sigmoid())
    before = model.get_parameters()[0][0]
    with pytest.raises(ValueError, match=text):
        model.train(x, y)
    with pytest.raises(ValueError, match=text):
        model.train(x, np.zeros(4), validation_data=(x, y[:, None]))
    for call in (lambda: model.evaluate(x, y), lambda: model.train_step(x, y),
                 lambda: nn.BinaryCrossentropy().forward(np.full((4, 1), 0.5), y),
                 lambda: nn.BinaryCrossentropy().backward(np.full((4, 1), 0.5), y)):
        with pytest.raises(ValueError, match=text):
            call()
    assert (model.get_parameters()[0][0] == before).all()
    with pytest.raises(ValueError, match="y must lie in 0..1, got 7.0 in row 1, column 2: "):
        nn.BinaryCrossentropy().forward(P, [[0, 0, 1], [1, 0, 7], [1, 1, 1]])


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("rows, text", (
    (2 * np.eye(3) - 1, "one-hot labels must lie in 0..1, got -1.0 in row 0, column 1: write 1 for the class"),
    (255 * np.eye(3, dtype=np.uint8), "one-hot labels must lie in 0..1, got 255.0 in row 0, column 0"),
    ([[0, 1, 0], [1, 0, 1], [0, 0, 1]], r"add up to 1 in each row, got 2 in row 1: .*, use Sigmoid\(\) with Binary"),
    ([[0, 1, 0], [1, 0, 0], [0, 0, 0]], "must add up to 1 in each row, got 0 in row 2"),
    ([[0, 1, 0], [0.5, np.nan, 0.5], [0, 0, 1]], "must lie in 0..1, got nan in row 1, column 1")))
def test_rows_of_labels_are_shares(kind, rows, text):
    model = small(kind(), 3, *LAST[kind])
    for call in (lambda: kind().forward(P, rows), lambda: kind().backward(P, rows), lambda: model.train(P[:, :2], rows),
                 lambda: kind(label_smoothing=0.1).forward(P, rows)):
        with pytest.raises(ValueError, match=text):
            call()
    assert np.isfinite(kind().forward(P, np.full((3, 3), 0.333))).all()  # rounded shares are meant to be all


@pytest.mark.parametrize("kind", (nn.BinaryCrossentropy, nn.SigmoidBinaryCrossentropy))
def test_labels_of_classes_for_a_binary_loss_are_told_what_to_do(kind):
    shape, instead = "y must have shape", "SoftmaxCategoricalCrossentropy()"
    if kind is nn.BinaryCrossentropy:
        instead = "Softmax() with CategoricalCrossentropy()"
    last = [nn.Sigmoid()] if kind is nn.BinaryCrossentropy else []
    one, two, x = small(kind(), 1, *last), small(kind(), 2, *last), P[:, :2]
    for model, y, text in (
            (two, [0, 1, 1], f"{shape} (3, 2), got (3,): write Dense(n, 1) for two classes, or use {instead}"),
            (two, [[0], [1], [1]], f"{shape} (3, 2), got (3, 1): write Dense(n, 1) for two classes, or use {instead}"),
            (two, np.eye(3), f"{shape} (3, 2), got (3, 3): give the last layer 3 outputs; for one class per sample use "
                             + instead),
            (one, [0, 1, 2], "y must lie in 0..1, got 2.0 in row 2: write 0 and 1 for two classes, or for more give "
                             f"the last layer an output for each and use {instead}"),
            (one, np.eye(3)[:, :2], f"{shape} (3, 1) or (3,), got (3, 2): give the last layer 2 outputs; for one class "
                                    f"per sample use {instead}")):
        outputs = model.predict(x)
        for call in (lambda: model.train(x, y), lambda: model.evaluate(x, y), lambda: model.train_step(x, y),
                     lambda: kind().forward(outputs, y), lambda: kind().backward(outputs, y)):
            with pytest.raises(ValueError, match=re.escape(text) + "$"):
                call()
    with pytest.raises(ValueError, match=r"y must have shape \(3, 3\), got \(3,\)$"):
        nn.MeanSquaredError().forward(P, [0, 1, 2])


def test_targets_beyond_0_and_1_by_rounding_count_as_0_and_1(rng):
    for dtype in (np.float32, np.float64):
        eps = np.finfo(dtype).eps
        high, low = dtype(1 + eps), dtype(1 + 4 * np.finfo(np.float32).eps)
        t = np.array([[high], [-1e-17], [low], [-4e-7], [0.5], [1 - eps]], dtype)
        exact = np.array([[1], [0], [1], [0], [0.5], [1 - eps]], dtype)
        x = np.array([[5], [-np.inf], [np.inf], [-80], [0.25], [3]], dtype)
        p = np.array([[1], [0], [1], [1e-30], [0.25], [0.875]], dtype)
        for kind, given in ((nn.BinaryCrossentropy, p), (nn.SigmoidBinaryCrossentropy, x)):
            loss, plain = kind(), kind()
            found = loss.forward(given, t)
            assert np.isfinite(found).all() and found.tobytes() == plain.forward(given, exact).tobytes()
            assert loss.backward(loss.output, t).tobytes() == plain.backward(plain.output, exact).tobytes()
            assert kind(class_weights=[1, 2]).forward(given, t[:, 0]).tobytes() == kind(class_weights=[1, 2]).forward(
                given, exact).tobytes()
            data = rng.standard_normal((6, 2)).astype(dtype)
            one, other = (small(kind(), 1, *[nn.Sigmoid()] * (kind is nn.BinaryCrossentropy)) for _ in range(2))
            for model, y in ((one, t), (other, exact)):
                model.train(data, y, epochs=2, validation_data=(data, y))
                model.train_step(data, y)
            assert one.history == other.history
            np.testing.assert_array_equal(one.get_parameters()[0][0], other.get_parameters()[0][0])


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("options", ({}, {"label_smoothing": 0.1}, {"class_weights": [1, 2, 3]}))
def test_rows_beyond_0_and_1_by_rounding_count_as_0_and_1(kind, options):
    for dtype in (np.float32, np.float64):
        rows, exact = np.eye(3, dtype=dtype), np.eye(3, dtype=dtype)
        rows[0, 0], rows[1, 0], rows[2, 1] = 1 + 1.2e-7, -1e-17, -4e-7
        x = np.array([[0, -np.inf, -2], [-np.inf, -1, -1], [-1, -np.inf, -1]], dtype)
        given = np.exp(x) if kind is nn.CategoricalCrossentropy else x
        loss, plain = kind(**options), kind(**options)
        found = loss.forward(given, rows)
        assert np.isfinite(found).all() or "label_smoothing" in options
        assert found.tobytes() == plain.forward(given, exact).tobytes()
        assert loss.backward(loss.output, rows).tobytes() == plain.backward(plain.output, exact).tobytes()
    for value in (1 + 6e-7, -6e-7):
        with pytest.raises(ValueError, match="one-hot labels must lie in 0..1"):
            kind(**options).forward(P, value * np.eye(3))


def soft(classes, share, count=None):
    """A row of shares, `count` of them alike and the others 0."""
    row = np.zeros((1, classes))
    row[0, :classes if count is None else count] = share
    return row


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("kind", LOSSES)
def test_shares_rounded_to_three_digits_are_shares(kind, dtype, rng):
    for classes in (3, 20, 100, 1000):
        rows = np.round(rng.dirichlet(np.full(classes, 0.5), 20), 3).astype(dtype)
        assert classes < 1000 or abs(rows.sum(axis=1) - 1).max() > 0.02
        given = np.full(rows.shape, 1 / classes, dtype)
        loss = kind()
        assert np.isfinite(loss.forward(given, rows)).all() and np.isfinite(loss.backward(loss.output, rows)).all()
    for row, accepted in (
            (soft(3, 0.33), True), (soft(3, 0.3), False), (soft(10, 0.0985), False),
            (soft(100, 0.0104), True), (soft(100, 0.0106), False),
            (soft(100, 0.0096), True), (soft(100, 0.0094), False),
            (soft(1000, 0.00052), True), (soft(1000, 0.00048), False), (soft(1000, 0.0014), True),
            (soft(4000, 0.0), False), (soft(4000, 1.0, 2), False), (soft(4000, 0.52, 1), True),
            (soft(4000, 0.48, 1), False),
            (soft(4000, 0.002, 600), True), (soft(4000, 0.002, 700), False)):
        given = np.full(row.shape, 0.1, dtype)
        if accepted:
            kind().forward(given, row.astype(dtype))
            continue
        with pytest.raises(ValueError, match="must add up to 1 in each row, got"):
            kind().forward(given, row.astype(dtype))


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("sparse", (True, False))
def test_a_dict_of_class_weights_leaves_the_others_at_1(kind, sparse, rng):
    x, y = probabilities(rng, (30, 4)), rng.integers(0, 4, 30)
    labels = y if sparse else one_hot(y, 4)
    loss, plain = kind(class_weights={np.int64(2): np.float32(3), 0: 0}), kind(class_weights=[0, 1, 3, 1])
    assert loss.forward(x, labels).tobytes() == plain.forward(x, labels).tobytes()
    assert loss.backward(loss.output, labels).tobytes() == plain.backward(plain.output, labels).tobytes()
    assert repr(loss) == f"{kind.__name__}(class_weights={{2: 3.0, 0: 0.0}})"
    p, t = rng.random((30, 1)), y % 2
    np.testing.assert_array_equal(nn.BinaryCrossentropy(class_weights={1: 5}).forward(p, t),
                                  nn.BinaryCrossentropy(class_weights=[1, 5]).forward(p, t))


@pytest.mark.parametrize("binary", (True, False))
def test_balanced_class_weights_are_those_of_scikit_learn(binary, rng, tmp_path):
    weight = needs("sklearn.utils.class_weight")
    x = rng.standard_normal((60, 2)).astype(np.float32)
    y = np.r_[[0] * 40, [1] * 20] if binary else np.r_[[0] * 30, [1] * 10, [2] * 20]
    classes = y.max() + 1
    wish = weight.compute_class_weight("balanced", classes=np.arange(classes), y=y).tolist()

    def model(class_weights):
        if binary:
            return small(nn.BinaryCrossentropy(class_weights=class_weights), 1, nn.Sigmoid())
        return small(nn.CategoricalCrossentropy(class_weights=class_weights), 3, nn.Softmax())

    found, expected = model("balanced"), model(wish)
    for one in (found, expected):
        one.train(x, y, epochs=3, batch_size=7, validation_data=(x[:30], y[:30]))
    assert found.history == expected.history
    found.save(tmp_path / "a.npz")
    loaded = nn.Model.load(tmp_path / "a.npz")
    assert loaded.loss.class_weights == "balanced"
    wish = expected.evaluate(x[:30], y[:30])
    assert found.evaluate(x[:30], y[:30]) == wish == loaded.evaluate(x[:30], y[:30])
    assert loaded.train_step(x, y) == expected.train_step(x, y)


def test_balanced_class_weights_come_from_a_training():
    x, y = np.zeros((6, 2)), [0, 0, 2, 0, 0, 1]
    loss = nn.CategoricalCrossentropy(class_weights="balanced", label_smoothing=0.1)
    model = small(loss, 3, nn.Softmax())
    for call in (lambda: model.evaluate(x, y), lambda: model.train_step(x, y), lambda: loss.forward(P, Y)):
        with pytest.raises(RuntimeError, match=r"computed from all labels of a training: call train with arrays or "):
            call()
    model.train(x, y)
    assert loss.balanced == [0.5, 2.0, 2.0]
    loss.prepare([0, 1, 1])
    assert loss.balanced == [1.5, 0.75]
    loss.prepare(np.eye(2)[[0, 1, 1]])
    assert loss.balanced == [1.5, 0.75]


def test_balanced_class_weights_need_labels_of_each_class():
    several = small(nn.CategoricalCrossentropy(class_weights="balanced"), 3, nn.Softmax())
    binary = small(nn.SigmoidBinaryCrossentropy(class_weights="balanced"), 1)
    x = P[:, :2]
    for model, y, classes, lacking in (
            (several, [0, 1, 1], 3, "2"), (several, np.eye(3)[[0, 2, 2]], 3, "1"), (several, [1, 1, 1], 3, "0, 2"),
            (binary, [1, 1, 1], 2, "0"), (binary, np.zeros((3, 1)), 2, "1")):
        text = (f"balanced class weights need labels of each of the {classes} classes, got none of {lacking}: give "
                "class_weights as a dict, in which classes that are left out weigh 1")
        before = model.get_parameters()[0][0]
        for call in (lambda: model.train(x, y), lambda: model.loss.prepare(y, 3 if model is several else 1)):
            with pytest.raises(ValueError, match=text):
                call()
        assert model.loss.balanced is None and (model.get_parameters()[0][0] == before).all()
    with pytest.raises(ValueError, match="each of the 100 classes, got none of 1, 2, 3, 4, 5, ...: give"):
        nn.CategoricalCrossentropy(class_weights="balanced").prepare([0, 7, 99])


def test_a_dict_of_class_weights_is_saved(tmp_path):
    model = small(nn.CategoricalCrossentropy(class_weights={2: 4.0}), 3, nn.Softmax())
    model.save(tmp_path / "a.npz")
    loaded = nn.Model.load(tmp_path / "a.npz")
    assert loaded.loss.class_weights == {2: 4.0}
    assert loaded.evaluate(P[:, :2], Y) == model.evaluate(P[:, :2], Y)


def test_pickles_name_losses_by_the_module_that_they_were_in(rng):
    x, y = probabilities(rng, (4, 3)), np.eye(3)[[0, 1, 2, 1]]
    for loss in (nn.CategoricalCrossentropy(label_smoothing=0.1, class_weights=[1, 2, 3]), nn.Huber(0.25)):
        found = pickle.dumps(loss, 0).replace(type(loss).__module__.encode(), b"nnjit.nn.losses")
        found = pickle.loads(found)
        assert repr(found) == repr(loss) and found.calculate(x, y) == loss.calculate(x, y)

"""Scores against loops written by hand, fractions and, where it is installed, scikit-learn."""

import math
from fractions import Fraction

import numpy as np
import pytest
from optional import needs

from nnjit import nn
from nnjit.nn.inspect.scores import confusion_matrix, precision_recall_f1, r2_score, root_mean_squared_error

OUTPUTS = np.array([[.7, .2, .1], [.1, .5, .4], [.4, .4, .2], [.1, .2, .7], [.2, .5, .3], [.1, .6, .3]])
Y = np.array([0, 1, 1, 2, 2, 1])


def labels(classes=6, samples=200, seed=0):
    """Predicted and true classes of which one is never true, one never predicted, and the last neither."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes - 1, samples)
    found = np.where(rng.random(samples) < 0.6, y, rng.integers(0, classes - 1, samples))
    return np.where(found == 1, 0, found), np.where(y == 3, 2, y)


def counted(found, y, classes):
    matrix = [[0] * classes for _ in range(classes)]
    for i, j in zip(y.tolist(), found.tolist()):
        matrix[i][j] += 1
    return matrix


# ---- classes


def test_rows_are_true_and_columns_predicted():
    matrix = confusion_matrix(OUTPUTS, Y)
    assert matrix.dtype == np.int64
    assert matrix.tolist() == [[1, 0, 0], [1, 2, 0], [0, 1, 1]]  # of the equal .4 the first


@pytest.mark.parametrize("predictions", (OUTPUTS, OUTPUTS.astype(np.float32), OUTPUTS.tolist(), OUTPUTS * 100 - 50,
                                         OUTPUTS.argmax(axis=1), OUTPUTS.argmax(axis=1).astype(np.uint8).tolist()))
@pytest.mark.parametrize("y", (Y, Y.tolist(), Y.astype(np.int8), np.eye(3)[Y], np.eye(3, dtype=bool)[Y]))
def test_every_form_of_predictions_and_labels(predictions, y):
    assert confusion_matrix(predictions, y).tolist() == [[1, 0, 0], [1, 2, 0], [0, 1, 1]]


def test_a_matrix_is_counted(rng=np.random.default_rng(1)):
    found, y = labels()
    assert confusion_matrix(found, y).tolist() == counted(found, y, 5)
    matrix = confusion_matrix(found, y, 6)
    assert matrix.tolist() == counted(found, y, 6) and matrix.sum() == len(y)
    assert confusion_matrix([0, 2], [0, 1]).tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert confusion_matrix([0, 1], [0, 2]).tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    outputs = rng.standard_normal((50, 7))
    y = rng.integers(0, 3, 50)
    matrix = confusion_matrix(outputs, y)
    assert matrix.shape == (7, 7)  # told by the columns
    assert matrix.trace() / 50 == nn.Accuracy().calculate(outputs, y)


def test_a_sigmoid_in_one_column():
    p = np.array([[.1], [.5], [.51], [.9], [.3]], np.float32)
    for y in ([0, 1, 1, 0, 1], [[0], [1], [1], [0], [1]], [[0.], [1.], [1.], [0.], [1.]]):
        assert confusion_matrix(p, y).tolist() == [[1, 1], [2, 1]]
        assert confusion_matrix(p, y, threshold=0.3).tolist() == [[1, 1], [1, 2]]  # float32's .3 is not above .3
        assert confusion_matrix(p - 1, y, threshold=-0.7).tolist() == [[1, 1], [1, 2]]  # of scores
        assert confusion_matrix(p, y, 2, threshold=0.05).tolist() == [[0, 2], [0, 3]]
    assert confusion_matrix(nn.Sigmoid().predictions(p), [0, 1, 1, 0, 1]).tolist() == [[1, 1], [2, 1]]
    assert confusion_matrix([[.1], [.2]], [0, 0]).tolist() == [[2, 0], [0, 0]]
    matrix = confusion_matrix(p, [[0], [1], [1], [0], [1]], threshold=0.3)
    assert matrix.trace() / 5 == nn.BinaryAccuracy(0.3).calculate(p, [[0], [1], [1], [0], [1]])


def test_precision_recall_f1_by_hand():
    found = precision_recall_f1(OUTPUTS, Y)
    assert found.precision.tolist() == [1 / 2, 2 / 3, 1] and found.recall.tolist() == [1, 2 / 3, 1 / 2]
    assert found.f1.tolist() == [2 / 3, 2 / 3, 2 / 3] and found.support.tolist() == [1, 3, 2]
    assert found.macro == pytest.approx((13 / 18, 13 / 18, 2 / 3), rel=1e-15)
    assert found.micro == (4 / 6, 4 / 6, 4 / 6)
    assert found.macro.f1 == found.macro[2] and found.micro.precision == found.micro.recall
    assert [found.precision.dtype, found.recall.dtype, found.f1.dtype, found.support.dtype] == [float] * 3 + [np.int64]


@pytest.mark.parametrize("seed", range(3))
def test_precision_recall_f1_of_classes_that_are_missing(seed):
    found, y = labels(seed=seed)
    scores = precision_recall_f1(found, y, 6)
    for c in range(6):
        right, predicted, true = sum((found == c) & (y == c)), sum(found == c), sum(y == c)
        precision = Fraction(int(right), int(predicted)) if predicted else 0
        recall = Fraction(int(right), int(true)) if true else 0
        f1 = 2 * precision * recall / (precision + recall) if right else 0
        # a quotient of whole numbers is rounded once
        assert (scores.precision[c], scores.recall[c], scores.f1[c], scores.support[c]) == (
            float(precision), float(recall), float(f1), true)
    assert scores.precision[1] == scores.recall[3] == scores.f1[5] == scores.support[5] == 0
    for values, mean in zip(scores, scores.macro):
        assert mean == float(sum(map(Fraction, values.tolist()))) / 6
    assert set(scores.micro) == {np.mean(found == y)}


@pytest.mark.parametrize("seed", range(3))
def test_classes_as_scikit_learn_scores_them(seed):
    metrics = needs("sklearn.metrics")
    found, y = labels(seed=seed)
    for classes in (5, 6):
        more = {"labels": range(classes)}
        np.testing.assert_array_equal(confusion_matrix(found, y, classes), metrics.confusion_matrix(y, found, **more))
        scores = precision_recall_f1(found, y, classes)
        more["zero_division"] = 0
        wish = metrics.precision_recall_fscore_support(y, found, **more)
        for values, expected in zip(scores, wish):
            np.testing.assert_allclose(values, expected, rtol=1e-15)
        for name in ("macro", "micro"):
            wish = metrics.precision_recall_fscore_support(y, found, average=name, **more)[:3]
            np.testing.assert_allclose(getattr(scores, name), wish, rtol=1e-14)
    p, y = np.random.default_rng(seed).random((99, 1)), y[:99] % 2
    wish = metrics.precision_recall_fscore_support(y, p[:, 0] > 0.4, average="binary")[:3]
    scores = precision_recall_f1(p, y, threshold=0.4)
    np.testing.assert_allclose([scores.precision[1], scores.recall[1], scores.f1[1]], wish, rtol=1e-15)


@pytest.mark.parametrize("predictions, y, more, error, text", [
    (OUTPUTS, Y[:5], {}, ValueError, "predictions and y must have the same length, got 6 and 5"),
    (np.empty((0, 3)), np.empty(0, int), {}, ValueError, "scores need at least one sample"),
    (OUTPUTS, [0, 1, 2, 3, 0, 0], {}, ValueError, "y must lie in 0..2, got 3 at index 3"),
    (OUTPUTS, [0, 1, -1, 2, 0, 0], {}, ValueError, "y must lie in 0..2, got -1 at index 2"),
    ([0, -2], [0, 1], {}, ValueError, "predictions must lie in 0..1, got -2 at index 1"),
    ([0, 2], [0, 1], {"classes": 2}, ValueError, "predictions must lie in 0..1, got 2 at index 1"),
    ([-1], [-1], {}, ValueError, "y must be class numbers of at least 0, got -1 at index 0"),
    (OUTPUTS, np.eye(4)[Y], {}, ValueError, "predictions, y and classes must agree in .* classes, got 3 and 4"),
    (OUTPUTS, Y, {"classes": 4}, ValueError, "predictions, y and classes must agree in .* classes, got 3 and 4"),
    (OUTPUTS[:, :1], np.eye(3)[Y], {}, ValueError, "got 2 and 3"),
    (OUTPUTS[:, 0], Y, {}, ValueError, r"predictions \(N,\) must be whole numbers.* got 0.* at"),
    (OUTPUTS, Y + 0.5, {}, ValueError, "labels must be whole numbers, got 0.5 at index 0"),
    (OUTPUTS[:2, 1:], [[0], [2]], {}, ValueError, "y must lie in 0..1, got 2 at index 1"),
    (OUTPUTS[None], Y, {}, ValueError, r"predictions must have shape \(N,\) or \(N, C\), got \(1, 6, 3\)"),
    (OUTPUTS[:, :0], Y, {}, ValueError, r"predictions must have shape \(N,\) or \(N, C\), got \(6, 0\)"),
    (OUTPUTS, Y[None, :, None], {}, ValueError, r"labels must have shape \(N,\) or \(N, C\), got \(1, 6, 1\)"),
    (np.where(OUTPUTS == .5, np.nan, OUTPUTS), Y, {}, ValueError, "predictions must be numbers, got nan in row 1"),
    (OUTPUTS, np.eye(3)[Y] * 0.9, {}, ValueError, "y .* must be one-hot.* got another row 0"),
    (OUTPUTS, np.eye(3)[Y] + np.eye(3)[[0, 2, 0, 0, 0, 0]], {}, ValueError, "y .* must be one-hot.* got another row 0"),
    (OUTPUTS, np.eye(3)[Y] + np.eye(3)[[1, 2, 0, 0, 0, 0]] / 2, {}, ValueError, "y .* must be one-hot.* another row 0"),
    (OUTPUTS, np.eye(3)[Y] + np.eye(6, 3, -1), {}, ValueError, "y .* must be one-hot.* got another row 1"),
    (OUTPUTS[:2, :1], [[0], [2]], {}, ValueError, "y must lie in 0..1, got 2 at index 1"),
    (OUTPUTS, Y, {"classes": 3.0}, TypeError, "classes must be a whole number, got 3.0"),
    (OUTPUTS, Y, {"classes": True}, TypeError, "classes must be a whole number, got True"),
    (Y, Y, {"classes": 0}, ValueError, "classes must be at least 1, got 0"),
    (OUTPUTS, Y, {"threshold": "a"}, TypeError, "threshold must be a number, got 'a'"),
    (OUTPUTS, Y, {"threshold": math.nan}, ValueError, "threshold must be finite"),
    (["a"] * 6, Y, {}, TypeError, "predictions must be class numbers, got text such as 'a'"),
    (np.ma.masked_array(Y), Y, {}, TypeError, "predictions must be a plain array, got a masked one"),
])
def test_mistakes_with_classes_are_named(predictions, y, more, error, text):
    for score in (confusion_matrix, precision_recall_f1):
        with pytest.raises(error, match=text):
            score(predictions, y, **more)


def test_class_numbers_in_a_column_or_as_floats():
    """Of a single column of probabilities only those above the threshold count, of integers each is a class."""
    found, y = labels(seed=1)
    wish = confusion_matrix(found, y)
    for kind in (int, np.uint8, np.float32, float):
        assert (confusion_matrix(found.astype(kind), y.astype(kind)) == wish).all()
        assert (confusion_matrix(found, y[:, None].astype(kind).tolist()) == wish).all()
    assert (confusion_matrix(found[:, None], y[:, None]) == wish).all()
    assert precision_recall_f1(np.eye(6)[found], y[:, None] * 1.0).recall.tolist() == precision_recall_f1(
        found, y, 6).recall.tolist()
    for predictions, y in (([[0], [0]], [0, 0]), ([0, 0], [[0], [0]]), ([[0.2], [0.4]], [0, 0])):
        assert confusion_matrix(predictions, y).tolist() == [[2, 0], [0, 0]]  # a column is of two classes at least
    assert confusion_matrix([0, 0], [0, 0]).tolist() == [[2]]


# ---- numbers


def exact(outputs, y):
    """R^2 and root mean squared error of each column in fractions, rounded at the end."""
    scores = []
    for a, b in zip(outputs.T.tolist(), y.T.tolist()):
        a, b = list(map(Fraction, a)), list(map(Fraction, b))
        mean = sum(b) / len(b)
        error, spread = sum((p - t)**2 for p, t in zip(a, b)), sum((t - mean)**2 for t in b)
        scores.append((float(1 - error / spread), math.sqrt(error / len(b))))
    return np.mean(scores, axis=0)


def numbers(columns, offset):
    rng = np.random.default_rng(columns)
    y = rng.standard_normal((30, columns)) * [1, 10, 100][:columns] + offset
    return y + rng.standard_normal(y.shape), y


@pytest.mark.parametrize("columns", (1, 3))
@pytest.mark.parametrize("offset", (0, 1e6))
def test_regression_scores_are_those_of_fractions(columns, offset):
    outputs, y = numbers(columns, offset)
    wish = exact(outputs, y)
    # squares of differences: no cancellation, but of the mean, whose rounding is a 1e-10th of the spread
    assert r2_score(outputs, y) == pytest.approx(wish[0], rel=1e-9 if offset else 1e-14)
    assert root_mean_squared_error(outputs, y) == pytest.approx(wish[1], rel=1e-14)


def test_numbers_as_scikit_learn_scores_them():
    metrics = needs("sklearn.metrics")
    for columns in (1, 3):
        outputs, y = numbers(columns, 5)
        assert r2_score(outputs, y) == pytest.approx(metrics.r2_score(y, outputs), rel=1e-12)
        wish = metrics.root_mean_squared_error(y, outputs)
        assert root_mean_squared_error(outputs, y) == pytest.approx(wish, rel=1e-13)
    y = np.array([[7.0, 1.0], [7.0, 2.0]])  # a constant column, met and missed; its mean is exact here
    for outputs in (y + [0, 1], y + [1, 0]):
        assert r2_score(outputs, y) == metrics.r2_score(y, outputs)


def test_regression_scores_by_hand():
    assert r2_score([1, 2, 4], [1, 2, 3]) == 0.5 and r2_score([1, 2, 3], [1, 2, 3]) == 1
    assert r2_score([2, 2, 2], [1, 2, 3]) == 0 and r2_score([3, 2, 1], [1, 2, 3]) == -3
    assert r2_score([[1, 2], [2, 2], [4, 2]], [[1, 1], [2, 2], [3, 3]]) == 0.25
    assert root_mean_squared_error([3, 4], [0, 0]) == math.sqrt(12.5)
    assert root_mean_squared_error([[3, 1], [3, 1]], [[0, 0], [0, 0]]) == 2  # not sqrt(5), that of all numbers at once
    assert type(r2_score([1, 2], [2, 1])) is type(root_mean_squared_error([1], [2])) is float


def test_the_order_of_the_samples_changes_no_bit():
    rng = np.random.default_rng(5)
    y = (rng.standard_normal(1000) * 10.0**rng.integers(-5, 5, 1000)).astype(np.float32)
    outputs = y + rng.standard_normal(1000).astype(np.float32)
    orders = [np.arange(1000), *(rng.permutation(1000) for _ in range(5))]
    for score in (r2_score, root_mean_squared_error):
        assert len({score(outputs[order], y[order]) for order in orders}) == 1


@pytest.mark.parametrize("constant", (0.0, 0.1, 1 / 3, 1e-200, 7e10))
def test_constant_targets_score_1_or_0(constant):
    for count in (2, 3, 10, 47):
        y = [constant] * count
        assert r2_score(y, y) == 1.0
        assert r2_score([constant + 1, *y[1:]], y) == 0.0
        assert r2_score(np.stack([y, np.arange(count)], 1), np.stack([y, np.arange(count)], 1)) == 1.0


@pytest.mark.parametrize("score", (r2_score, root_mean_squared_error))
def test_one_column_in_either_form(score):
    outputs, y = np.array([1.5, 2, 3], np.float32), np.array([1, 2, 4])
    assert score(outputs, y) == score(outputs[:, None], y) == score(outputs, y[:, None]) == score([[1.5], [2], [3]], y)


@pytest.mark.parametrize("outputs, y, error, text", [
    (np.ones((3, 2)), np.ones((3, 1)), ValueError, r"the same shape, \(N, C\) or \(N,\), got \(3, 2\) and \(3, 1\)"),
    (np.ones((3, 3)), np.ones(3), ValueError, r"the same shape.* got \(3, 3\) and \(3,\)"),
    (np.ones(3), np.ones(2), ValueError, r"the same shape.* got \(3,\) and \(2,\)"),
    (np.ones((3, 1, 1)), np.ones((3, 1, 1)), ValueError, r"the same shape.* got \(3, 1, 1\)"),
    (1.0, 1.0, ValueError, r"the same shape.* got \(\) and \(\)"),
    ([], [], ValueError, "scores need at least one sample"),
    ([1, math.nan], [1, 2], ValueError, "outputs must be finite, got nan in row 1"),
    ([1, 2], [math.inf, 2], ValueError, "y must be finite, got inf in row 0"),
    (["a"], [1], TypeError, "outputs must contain real numbers"),
    ([1], [1j], TypeError, "y must contain real numbers"),
])
def test_mistakes_with_numbers_are_named(outputs, y, error, text):
    for score in (r2_score, root_mean_squared_error):
        with pytest.raises(error, match=text):
            score(outputs, y)


def test_one_sample_has_no_spread():
    with pytest.raises(ValueError, match=r"R\^2 needs at least 2 samples, got 1"):
        r2_score([1], [2])


def test_scores_of_numbers_whose_squares_overflow_or_vanish():
    outputs, y = np.array([5.0, 0, 2, 1]), np.array([1.0, 2, 4, 3])
    for scale in (2.0**-1070, 2.0**-600, 1.0, 2.0**600, 2.0**1020):
        assert r2_score(outputs * scale, y * scale) == r2_score(outputs, y)
        assert root_mean_squared_error(outputs * scale, y * scale) == root_mean_squared_error(outputs, y) * scale
    most = np.finfo(float).max
    assert root_mean_squared_error([most, most], [0, 0]) == most
    assert root_mean_squared_error([[most, most]], [[0, 0]]) == most
    assert root_mean_squared_error([most], [-most]) == math.inf
    assert r2_score([most, -most], [-most, most]) == -3
    assert r2_score([1.0, 1.0], [1e-200, 2e-200]) == -math.inf


def test_a_threshold_beyond_float32_is_above_all_outputs():
    outputs = np.array([[0.9], [3e38]], np.float32)
    assert confusion_matrix(outputs, [0, 1], threshold=1e300).tolist() == [[1, 0], [1, 0]]

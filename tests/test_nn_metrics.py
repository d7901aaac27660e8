"""TopKAccuracy against a sorted list, scikit-learn and PyTorch; the other metrics are tested with the losses."""

import copy
import math

import numpy as np
import pytest
from optional import needs

from nnjit import nn
from nnjit.nn import nnfs

K = (1, 2, 3, 5, 9)


def hits(outputs, labels, k):
    """One row after another: is the label among the first k columns, sorted stably with NaN before the largest?"""
    count = 0
    for row, label in zip(outputs.tolist(), labels.tolist()):
        ranked = sorted(range(len(row)), key=lambda j: (not math.isnan(row[j]), 0 if math.isnan(row[j]) else -row[j]))
        count += label in ranked[:k]
    return count


def tied(dtype, samples=400, classes=7):
    """Outputs of few different numbers, among them NaN, infinities and both zeros, and labels."""
    rng = np.random.default_rng(3)
    outputs = rng.choice([-np.inf, -1, -0.0, 0.0, 0.5, 1, np.inf, np.nan], (samples, classes)).astype(dtype)
    return outputs, rng.integers(0, classes, samples)


@pytest.mark.parametrize("k", K)
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_ranks_are_those_of_a_stable_sort(twin, dtype, k):
    outputs, labels = tied(dtype)
    wish = hits(outputs, labels, k)
    assert wish == len(labels) if k == 9 else 40 < wish < 360
    accuracy = nn.TopKAccuracy(k)
    with np.errstate(all="raise"):
        for y in (labels, np.eye(7)[labels], labels.astype(np.uint8), labels.tolist()):
            assert accuracy.calculate(outputs, y) == wish / len(labels)
    assert (accuracy.accumulated_sum, accuracy.accumulated_count) == (4 * wish, 4 * len(labels))
    assert accuracy.calculate_accumulated() == wish / len(labels)
    if k == 1:
        assert nn.Accuracy().calculate(outputs, labels) == wish / len(labels)


def untied():
    rng = np.random.default_rng(4)
    return rng.standard_normal((300, 10)), rng.integers(0, 10, 300)


def test_pytorch_counts_the_same(torch):
    outputs, labels = untied()
    for k in K:
        top = torch.topk(torch.from_numpy(outputs), k).indices.numpy()
        assert nn.TopKAccuracy(k).calculate(outputs, labels) == np.mean((top == labels[:, None]).any(axis=1))


@pytest.mark.parametrize("metric", (nn.BinaryAccuracy, nn.RegressionAccuracy))
def test_class_numbers_are_no_targets_of_each_output(metric, twin):
    model, x, y = nn.Model(), np.ones((6, 2), np.float32), np.arange(6) % 3
    for part in (nn.Dense(2, 3, rng=0), nn.Softmax()):
        model.add(part)
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(), accuracy=metric())
    model.finalize()
    for call in (model.train, model.evaluate, model.train_step):
        with pytest.raises(ValueError, match=f"{metric.__name__} compares each output .* class numbers: use Accuracy"):
            call(x, y)
    model.train(x, np.eye(3)[y])


def test_scikit_learn_counts_the_same():
    metrics = needs("sklearn.metrics")
    outputs, labels = untied()
    for k in K:
        assert nn.TopKAccuracy(k).calculate(outputs, labels) == metrics.top_k_accuracy_score(labels, outputs, k=k)


def train(accuracy, **more):
    X, y = nn.datasets.spiral(40, 5, seed=0)
    model = nn.Model()
    for layer in (nn.Dense(2, 16, activation="relu", rng=0), nn.Dense(16, 5, rng=1), nn.Softmax()):
        model.add(layer)
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(0.5), accuracy=accuracy)
    model.finalize()
    model.train(X, y, **more)
    return model, X, y


def test_a_training_with_it(twin):
    model, X, y = train(nn.TopKAccuracy(2), epochs=4, batch_size=64)
    recorded, _, _ = train(nn.Accuracy(), epochs=4, batch_size=64)
    for found, wish in zip(model.get_parameters(), recorded.get_parameters()):
        assert [a.tobytes() for a in found] == [b.tobytes() for b in wish]
    assert len(model.history["accuracy"]) == 4 and recorded.history["loss"] == model.history["loss"]
    outputs = model.predict(X)
    assert model.evaluate(X, y, batch_size=30)[1] == hits(outputs, y, 2) / len(y)
    before, _, _ = train(nn.TopKAccuracy(2), epochs=3)
    again, _, _ = train(nn.TopKAccuracy(2), epochs=4)  # of a full batch, before its update
    assert again.history["accuracy"][-1] == hits(before.predict(X), y, 2) / len(y) > recorded.history["accuracy"][-1]


def test_it_is_saved_with_the_model(tmp_path):
    model, X, y = train(nn.TopKAccuracy(3))
    model.save(tmp_path / "a.npz")
    loaded = nn.Model.load(tmp_path / "a.npz")
    assert type(loaded.accuracy) is nn.TopKAccuracy and loaded.accuracy.k == 3
    assert loaded.evaluate(X, y) == model.evaluate(X, y)


@pytest.mark.parametrize("k, error, text", [
    (0, ValueError, "k must be at least 1, got 0"), (2.0, TypeError, "k must be a whole number, got 2.0"),
    (True, TypeError, "k must be a whole number, got True"), ("5", TypeError, "k must be a whole number, got '5'"),
])
def test_k_is_a_number_of_classes(k, error, text):
    with pytest.raises(error, match=text):
        nn.TopKAccuracy(k)
    assert nn.TopKAccuracy().k == 5 and nn.TopKAccuracy(np.int32(2)).k == 2
    metric = nn.TopKAccuracy(3)
    with pytest.raises(error, match=text):
        metric.k = k
    assert metric.k == 3
    metric.k = np.int64(1)
    assert type(metric.k) is int and metric.calculate(np.eye(4), [0, 1, 2, 0]) == 0.75


@pytest.mark.parametrize("outputs, y, error, text", [
    (np.empty((0, 3)), np.empty(0, int), ValueError, "the accuracy of an empty batch is undefined"),
    ([0, 1], [0, 1], ValueError, r"outputs must have shape \(N, C\) or \(N, ..., C\), got \(2,\)"),
    (np.eye(3), [0, 1], ValueError, r"labels must have shape \(3,\) or \(3, 3\), got \(2,\)"),
    (np.eye(3), np.eye(3, 4), ValueError, r"labels must have shape \(3,\) or \(3, 3\), got \(3, 4\)"),
    (np.eye(3), [0, 1, 3], ValueError, "labels must lie in 0..2, got 3 at index 2"),
    (np.eye(3), [0, -1, 2], ValueError, "labels must lie in 0..2, got -1 at index 1"),
    (np.eye(3), [0.0, 1.0, np.nan], ValueError, "labels must be whole numbers, got nan at index 2"),
    (np.eye(3) * 1j, [0, 1, 2], TypeError, "outputs must contain real numbers"),
])
def test_mistakes_are_named_and_count_nothing(outputs, y, error, text):
    accuracy = nn.TopKAccuracy(2)
    with pytest.raises(error, match=text):
        accuracy.calculate(outputs, y)
    assert accuracy.accumulated_count == 0


ENDINGS = {  # layers with n outputs, and a loss
    "softmax": (lambda n: [nn.Dense(4, n, rng=1), nn.Softmax()], nn.CategoricalCrossentropy),
    "scores of classes": (lambda n: [nn.Dense(4, n, rng=1)], nn.SoftmaxCategoricalCrossentropy),
    "log-probabilities": (lambda n: [nn.Dense(4, n, rng=1), nn.LogSoftmax()], nn.NegativeLogLikelihood),
    "softmax of labels": (lambda n: [nn.Dense(4, n, rng=1), nn.Softmax()], nn.BinaryCrossentropy),
    "sigmoid": (lambda n: [nn.Dense(4, n, rng=1), nn.Sigmoid()], nn.BinaryCrossentropy),
    "sigmoid in Dense": (lambda n: [nn.Dense(4, n, activation="sigmoid", rng=1)], nn.BinaryCrossentropy),
    "scores of labels": (lambda n: [nn.Dense(4, n, rng=1)], nn.SigmoidBinaryCrossentropy),
    "numbers": (lambda n: [nn.Dense(4, n, rng=1), nn.Linear()], nn.MeanSquaredError),
    "absolute": (lambda n: [nn.Dense(4, n, activation="tanh", rng=1)], nn.MeanAbsoluteError),
    "sigmoid to a number": (lambda n: [nn.Dense(4, n, rng=1), nn.Sigmoid()], nn.Huber)}
SEVERAL = "softmax", "scores of classes", "log-probabilities", "softmax of labels"  # outputs, by nature
METRICS = (nn.Accuracy, lambda: nn.TopKAccuracy(2), nn.BinaryAccuracy, lambda: nn.BinaryAccuracy(0.3),
           lambda: nn.BinaryAccuracy(threshold=0), lambda: nn.BinaryAccuracy(-0.5), lambda: nn.RegressionAccuracy(0.1))


def ending(name, outputs, metric):
    layers, loss = ENDINGS[name]
    model = nn.Model()
    for layer in layers(outputs):
        model.add(layer)
    model.set(loss=loss(), optimizer=nn.SGD(0.1), accuracy=metric)
    model.finalize()
    return model


def share(metric, outputs, targets, middle):
    """Of hits, in NumPy."""
    if isinstance(metric, nn.Accuracy):
        return np.mean(outputs.argmax(axis=1) == targets.argmax(axis=1))
    if isinstance(metric, nn.TopKAccuracy):
        return hits(outputs, targets.argmax(axis=1), metric.k) / len(outputs)
    if isinstance(metric, nn.RegressionAccuracy):
        return np.mean(abs(outputs - targets) < metric.precision)
    return np.mean((outputs > (middle if metric.threshold is None else metric.threshold)) == (targets > 0.5))


@pytest.mark.parametrize("outputs", (1, 5))
@pytest.mark.parametrize("make", METRICS)
@pytest.mark.parametrize("name", ENDINGS)
def test_a_metric_in_a_model_is_that_of_what_it_predicts(twin, name, make, outputs):
    if outputs == 1 and name in SEVERAL:
        return
    random = np.random.default_rng(8)
    x = (400 * random.standard_normal((60, 4))).astype(np.float32)  # small probabilities are 0, and as many equal
    labels = random.integers(0, outputs, 60)
    targets = np.eye(outputs)[labels] if outputs > 1 else random.integers(0, 2, (60, 1)).astype(float)
    metric = make()
    classes, binary = isinstance(metric, (nn.Accuracy, nn.TopKAccuracy)), isinstance(metric, nn.BinaryAccuracy)
    if classes and outputs == 1 or binary and metric.threshold is None and name in SEVERAL[1:3]:
        with pytest.raises(ValueError, match="compares the outputs of several classes, got a single" if classes
                           else r"BinaryAccuracy\(\) needs a threshold .*: use Accuracy\(\)"):
            ending(name, outputs, metric)
        return
    y = labels if classes and "categorical" in ENDINGS[name][1].__name__.lower() else targets
    model = ending(name, outputs, metric)
    predicted = model.predict(x)
    wish = share(metric, predicted, targets, 0 if name == "scores of labels" else 0.5)
    assert metric.calculate(predicted, targets) == wish
    for size in (None, 7):
        assert model.evaluate(x, y, batch_size=size)[1] == pytest.approx(wish, rel=1e-12)
    model.train(x, y)  # all samples at once, before the update
    assert model.history["accuracy"] == [wish]


def test_a_metric_of_two_models_is_that_of_the_one_that_runs():
    metric = nn.BinaryAccuracy()
    models = [ending(name, 1, metric) for name in ("sigmoid", "scores of labels")]
    x, y = np.random.default_rng(8).standard_normal((60, 4)), np.arange(60) % 2
    for model in models * 2:
        found = model.evaluate(x, y)[1]
        assert found == share(nn.BinaryAccuracy(), model.predict(x), y[:, None], 0 if model is models[1] else 0.5)
        assert found == models[0].evaluate(x, y)[1]  # of the same weights


def test_a_threshold_may_be_that_of_scores():
    outputs, y = np.array([[-2.0], [-0.5], [0.2], [0.6]]), [0, 1, 1, 0]
    assert nn.BinaryAccuracy(-1).calculate(outputs, y) == 0.75 == nn.BinaryAccuracy(threshold=0.0).calculate(
        outputs, [0, 1, 1, 1])
    metric = nn.BinaryAccuracy()
    assert metric.threshold is None and metric.calculate(outputs, y) == 0.25
    metric.threshold = np.float32(0.25)
    assert type(metric.threshold) is float
    for value, error in ((np.nan, ValueError), (-np.inf, ValueError), ("0", TypeError), (True, TypeError)):
        with pytest.raises(error, match="threshold must be finite|threshold must be a number"):
            metric.threshold = value
        with pytest.raises(error, match="threshold must be"):
            nn.BinaryAccuracy(value)


@pytest.mark.parametrize("make", (nn.Accuracy, lambda: nn.TopKAccuracy(1)))
def test_accuracy_of_classes_refuses_a_single_output(make):
    for outputs in (np.ones((3, 1)), np.ones((3, 1), np.float32)):
        with pytest.raises(ValueError, match="Accuracy compares the outputs of several classes, got a single"):
            make().calculate(outputs, np.zeros(3, int))


@pytest.mark.parametrize("make", (nn.RegressionAccuracy, nnfs.Accuracy_Regression))
def test_a_precision_is_checked_when_it_is_assigned(make):
    metric = make(0.5)
    for value, error in ((-1, ValueError), (np.inf, ValueError), (np.nan, ValueError), ("1", TypeError),
                         (True, TypeError), ([0.5], TypeError)):
        with pytest.raises(error, match="precision must be"):
            metric.precision = value
        assert metric.precision == 0.5
    metric.precision = np.float32(2)
    assert type(metric.precision) is float and metric.calculate(np.zeros((2, 1)), np.array([[1.0], [3.0]])) == 0.5
    metric.precision = None
    metric.prepare([[0], [500]])
    assert metric.precision == 1


def test_an_assigned_precision_is_kept_by_a_training(tmp_path):
    X, y = np.random.default_rng(0).standard_normal((50, 3)), np.arange(50.0)
    model = nn.Model()
    model.add(nn.Dense(3, 1, rng=0))
    model.set(loss=nn.MeanSquaredError(), optimizer=nn.SGD(0.0), accuracy=nn.RegressionAccuracy())
    model.finalize()
    model.train(X, y)
    computed = model.accuracy.precision
    assert computed == pytest.approx(np.std(y) / 250, rel=1e-12)
    model.train(X, 2 * y)
    assert model.accuracy.precision == 2 * computed
    model.accuracy.precision = 20
    for each in (model, copy.deepcopy(model)):
        each.train(X, y)
        assert each.accuracy.precision == 20
        assert each.history["accuracy"][-1] == np.mean(abs(each.predict(X)[:, 0] - y) < 20) > 0
    model.save(tmp_path / "a.npz")
    loaded = nn.Model.load(tmp_path / "a.npz")
    loaded.train(X, 3 * y)
    assert loaded.accuracy.precision == 20
    loaded.accuracy.precision = None
    loaded.train(X, y)
    assert loaded.accuracy.precision == computed


@pytest.mark.parametrize("y", ([1, np.nan], [np.inf, 0], [np.inf, -np.inf], [1e308, 1e308], [1e200, -1e200]))
def test_targets_that_give_no_precision_are_named(y):
    with pytest.raises(ValueError, match="y must be finite, .*give a precision"):
        nn.RegressionAccuracy().prepare(np.array(y))


@pytest.mark.parametrize("make", (nn.RegressionAccuracy, nnfs.Accuracy_Regression))
@pytest.mark.parametrize("values, magnitude", [
    ([3.0] * 7, 3), ([-0.1] * 7, 0.1), ([0.0] * 7, 1), ([-0.0, 0.0], 1), ([7], 7), ([1e-200] * 3, 1e-200),
    ([0.1 + 0.2, 0.3], 0.3),  # the same number but for rounding
    ([2e-200, -1e-200], 2e-200),  # the squares of the deviations are 0
])
def test_a_constant_target_can_be_met(twin, make, values, magnitude):
    accuracy = make()
    accuracy.prepare(np.array(values))
    assert accuracy.precision == pytest.approx(magnitude / 250, rel=1e-12, abs=0)
    y = np.array(values)[:, None]
    assert accuracy.calculate(y + 0.9 * magnitude / 250, y) == 1
    assert accuracy.calculate(y - 1.1 * magnitude / 250, y) == 0


@pytest.mark.parametrize("constant", (0.0, -40.0, 0.3))
@pytest.mark.parametrize("make, model", ((nn.RegressionAccuracy, nn.Model), (nnfs.Accuracy_Regression, nnfs.Model)))
def test_a_fitted_constant_counts_as_right(make, model, constant):
    X, y = np.random.default_rng(0).standard_normal((50, 3)), np.full((50, 1), constant)
    model = model()
    model.add(nn.Dense(3, 1, rng=0))
    model.set(loss=nn.MeanSquaredError(), optimizer=nn.SGD(0.1), accuracy=make())
    model.finalize()
    history = model.train(X, y, epochs=400, progress=False)
    assert history["loss"][-1] < 1e-10 and history["accuracy"][-1] == 1 > history["accuracy"][0]
    assert model.evaluate(X, y)[1] == 1


def test_a_deviation_is_still_what_decides():
    for y in ([1.0, 1 + 1e-12], [5e-3, -5e-3], [1e9, 1e9 + 1]):
        accuracy = nn.RegressionAccuracy()
        accuracy.prepare(np.array(y))
        assert accuracy.precision == pytest.approx(np.std(y) / 250, rel=1e-12)


@pytest.mark.parametrize("make", (nn.RegressionAccuracy, nnfs.Accuracy_Regression))
def test_no_targets_give_no_precision(make):
    with pytest.raises(ValueError, match="y must contain at least one number"):
        make().prepare(np.empty((0, 1)))

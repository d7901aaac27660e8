"""Losses and metrics of outputs (N, ..., C), which have a label or target for each position before the last axis."""

import re
import types

import numpy as np
import pytest

from nnjit import nn
from nnjit.nn import nnfs
from nnjit.nn.losses import Loss
from nnjit.nn.losses.base import weigh

CATEGORICAL = (nn.CategoricalCrossentropy, nn.SoftmaxCategoricalCrossentropy, nn.NegativeLogLikelihood)
ELEMENTWISE = (nn.BinaryCrossentropy, nn.SigmoidBinaryCrossentropy, nn.MeanSquaredError, nn.MeanAbsoluteError,
               lambda: nn.Huber(0.4))
SHAPES = ((4, 5, 3), (2, 3, 2, 4), (3, 1, 2), (1, 2, 20))

pytestmark = pytest.mark.usefixtures("twin")


def case(make, shape, seed=0):
    """A loss, its outputs, and all kinds of labels of them."""
    rng, loss = np.random.default_rng(seed), make()
    outputs = rng.random(shape) + 0.1
    if not isinstance(loss, CATEGORICAL):
        return loss, outputs / 1.2, [rng.random(shape)]
    outputs /= outputs.sum(axis=-1, keepdims=True)
    shares = rng.random(shape)
    labels = rng.integers(0, shape[-1], shape[:-1])
    return loss, np.log(outputs) if type(loss) is nn.NegativeLogLikelihood else outputs, [
        labels, labels[..., None].astype(float), np.eye(shape[-1])[labels], shares / shares.sum(axis=-1, keepdims=True)]


def of_torch(torch, loss, x, y):
    """PyTorch's loss of each position, (N, ...)."""
    functional, classes = torch.nn.functional, x.movedim(-1, 1).contiguous()
    if isinstance(loss, CATEGORICAL):
        shares = y.dtype.is_floating_point
        if type(loss) is nn.SoftmaxCategoricalCrossentropy:
            return functional.cross_entropy(classes, y.movedim(-1, 1) if shares else y, reduction="none",
                                            label_smoothing=loss.label_smoothing)
        logarithms = classes if type(loss) is nn.NegativeLogLikelihood else classes.log()
        return (-(y.movedim(-1, 1) * logarithms).sum(1) if shares else
                functional.nll_loss(logarithms, y, reduction="none"))
    if isinstance(loss, nn.Huber):
        return functional.huber_loss(x, y, reduction="none", delta=loss.delta).mean(-1)
    name = {nn.BinaryCrossentropy: "binary_cross_entropy", nn.MeanSquaredError: "mse_loss",
            nn.SigmoidBinaryCrossentropy: "binary_cross_entropy_with_logits", nn.MeanAbsoluteError: "l1_loss"}
    return getattr(functional, name[type(loss)])(x, y, reduction="none").mean(-1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("make", (*CATEGORICAL, *ELEMENTWISE,
                                  lambda: nn.SoftmaxCategoricalCrossentropy(label_smoothing=0.2)))
def test_losses_and_gradients_are_those_of_pytorch(torch, make, shape):
    loss, outputs, kinds = case(make, shape)
    for y in kinds:
        x = torch.tensor(outputs, requires_grad=True)
        column = y.shape == (*shape[:-1], 1)  # of class numbers, which PyTorch does not take
        wish = of_torch(torch, loss, x, torch.tensor(y[..., 0].astype(int) if column else y))
        wish.mean().backward()
        found = loss.forward(outputs, y)
        assert found.shape == shape[:-1] and loss.output.shape == shape
        np.testing.assert_allclose(found, wish.detach().numpy(), rtol=1e-12)
        gradient = loss.backward(loss.output, y)
        assert gradient is loss.dinputs and gradient.shape == shape
        np.testing.assert_allclose(gradient, x.grad.numpy(), rtol=1e-9, atol=1e-15)
        assert loss.calculate(outputs, y) == pytest.approx(wish.mean().item(), rel=1e-12)
    assert loss.accumulated_count == len(kinds) * shape[0]


@pytest.mark.parametrize("make", (*CATEGORICAL, *ELEMENTWISE))
def test_gradient_of_the_mean_is_the_central_difference(make):
    loss, outputs, kinds = case(make, (2, 3, 2), seed=2)
    for y in kinds:
        loss.forward(outputs, y)
        gradient, h = loss.backward(loss.output, y), 1e-6
        for at in np.ndindex(outputs.shape):
            values = []
            for step in (h, -h):
                moved = outputs.copy()
                moved[at] += step
                values.append(make().calculate(moved, y))
            assert gradient[at] == pytest.approx((values[0] - values[1]) / (2 * h), abs=1e-8)


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("make", (
    *CATEGORICAL, *ELEMENTWISE, lambda: nn.CategoricalCrossentropy(label_smoothing=0.1),
    lambda: nn.NegativeLogLikelihood(class_weights={0: 3.0}),
    lambda: nn.SoftmaxCategoricalCrossentropy(class_weights={1: 0.2}, label_smoothing=0.3)))
def test_bits_are_those_of_the_positions_as_rows(twin, make, shape, dtype):
    loss, outputs, kinds = case(make, shape)
    rows, plain, rng = outputs.astype(dtype).reshape(-1, shape[-1]), make(), np.random.default_rng(1)
    outputs, of_samples, of_positions = rows.reshape(shape), rng.random(len(outputs)), rng.random(shape[:-1])
    for y in kinds:
        flat = y.reshape(-1, *y.shape[len(shape) - 1:])
        for weights in (None, of_samples, of_positions):
            each = None if weights is None else np.broadcast_to(
                weights.reshape(*weights.shape, *[1] * (len(shape) - 1 - weights.ndim)), shape[:-1]).ravel()
            found = loss.forward(outputs, y, weights)
            assert found.dtype == dtype and found.tobytes() == plain.forward(rows, flat, each).tobytes()
            assert loss.output.tobytes() == plain.output.tobytes()
            found = loss.backward(loss.output, y, weights)
            assert found.tobytes() == plain.backward(plain.output, flat, each).tobytes()
        assert loss.calculate(outputs, y) == plain.calculate(rows, flat)
    if twin == "numba":  # NumPy's exp of other strides has other bits
        moved = np.asfortranarray(outputs)
        assert loss.forward(moved, kinds[0]).tobytes() == loss.forward(outputs, kinds[0]).tobytes()


@pytest.mark.parametrize("make", ELEMENTWISE)
def test_targets_of_a_single_output_may_lack_its_axis(make):
    loss, outputs, (targets,) = case(make, (4, 5, 1))
    assert loss.forward(outputs, targets[..., 0]).tobytes() == loss.forward(outputs, targets).tobytes()
    assert loss.backward(loss.output, targets[..., 0]).tobytes() == loss.backward(loss.output, targets).tobytes()


@pytest.mark.parametrize("kind", (nn.BinaryCrossentropy, nn.SigmoidBinaryCrossentropy))
def test_class_weights_of_a_binary_loss_are_those_of_each_position(kind):
    _, outputs, (targets,) = case(kind, (4, 5, 1))
    found = kind(class_weights=[0.5, 3]).forward(outputs, targets)
    np.testing.assert_allclose(found, kind().forward(outputs, targets)
                               * np.where(targets[..., 0] > 0.5, 3, 0.5), rtol=1e-15)


def test_balanced_class_weights_count_positions():
    labels = np.array([[0, 0, 2], [0, 0, 1]])
    for y in (labels, np.eye(3)[labels]):
        loss = nn.CategoricalCrossentropy(class_weights="balanced")
        loss.prepare(y, (3, 3))
        assert loss.balanced == [0.5, 2.0, 2.0]
        loss.balanced = None
        loss.prepare(y)
        assert loss.balanced == [0.5, 2.0, 2.0]
    loss = nn.BinaryCrossentropy(class_weights="balanced")
    loss.prepare([[0, 1], [1, 1]], (2, 1))
    assert loss.balanced == [2.0, pytest.approx(2 / 3)]


P = np.full((2, 3, 4), 0.25)
LABELS = np.array([[0, 1, 2], [3, 0, 1]])


@pytest.mark.parametrize("make, text", (
    (lambda: nn.CategoricalCrossentropy().forward(P, LABELS.T),
     "labels must have shape (2, 3) or (2, 3, 4), got (3, 2)"),
    (lambda: nn.NegativeLogLikelihood().forward(P, [0, 1]), "labels must have shape (N, 3) or (N, 3, C), got (2,)"),
    (lambda: nn.CategoricalCrossentropy().forward(P, np.full((2, 3, 3), 1 / 3)),
     "y must have shape (2, 3) or (2, 3, 4), got (2, 3, 3)"),
    (lambda: nn.CategoricalCrossentropy(label_smoothing=0.1).backward(P, LABELS + 1),
     "labels must lie in 0..3, got 4 at index (1, 0): class numbers count from 0"),
    (lambda: nn.CategoricalCrossentropy().forward(P, LABELS + 0.5),
     "labels must be whole numbers, got 0.5 at index (0, 0)"),
    (lambda: nn.CategoricalCrossentropy().forward(P, P / 2), "must add up to 1 in each row, got 0.5 in row (0, 0): "),
    (lambda: nn.CategoricalCrossentropy().forward(P, 8 * P),
     "one-hot labels must lie in 0..1, got 2.0 at index (0, 0, 0)"),
    (lambda: nn.MeanSquaredError().forward(P, P[:, 0]), "y must have shape (2, 3, 4), got (2, 4)"),
    (lambda: nn.Huber().forward(P[..., :1], P[0, :, :1]), "X and y must have the same length, got 2 and 3"),
    (lambda: nn.Huber().forward(P[..., :1], P[:, :2, 0]), "y must have shape (2, 3, 1) or (2, 3), got (2, 2)"),
    (lambda: nn.BinaryCrossentropy().forward(P, LABELS), "y must have shape (2, 3, 4), got (2, 3): write Dense(n, 1)"),
    (lambda: nn.BinaryCrossentropy().forward(P, P[..., :2]), "y must have shape (2, 3, 4), got (2, 3, 2): give the"),
    (lambda: nn.BinaryCrossentropy().forward(P, 8 * P), "y must lie in 0..1, got 2.0 at index (0, 0, 0): "),
    (lambda: nn.BinaryCrossentropy(class_weights=[1, 2]).forward(P, P), "are for a single output, got 4"),
    (lambda: nn.MeanSquaredError().forward(P, P, np.ones((2, 1))),
     "sample_weight must have shape (2,) or (2, 3), got (2, 1)"),
    (lambda: nn.MeanSquaredError().forward(P, P, [[1, 2, 3], [1, -2, 3]]),
     "sample_weight must be finite and at least 0, got -2.0 at index (1, 1)"),
    (lambda: nn.MeanSquaredError().forward(P[0, 0], P[0, 0]), "y_pred must have shape (N, C) or (N, ..., C), got (4,)"),
    (lambda: nn.Accuracy().calculate(P, LABELS.T), "labels must have shape (2, 3) or (2, 3, 4), got (3, 2)"),
    (lambda: nn.TopKAccuracy(2).calculate(P, [0, 1]), "labels must have shape (N, 3) or (N, 3, C), got (2,)"),
    (lambda: nn.Accuracy().calculate(LABELS, LABELS), "of class numbers give outputs.ravel() and y.ravel()"),
    (lambda: nn.BinaryAccuracy().calculate(P, P[0]), "y must have shape (2, 3, 4) to match outputs, got (3, 4)"),
    (lambda: nn.scores.confusion_matrix(P, LABELS),
     "predictions must have shape (N,) or (N, C), got (2, 3, 4): reshape both, outputs to (-1, 4)"),
    (lambda: nn.scores.r2_score(P, P), "got (2, 3, 4) and (2, 3, 4): reshape both, outputs to (-1, 4)")))
def test_mistakes_are_named(make, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        make()


def test_a_loss_of_a_users_own_gets_a_number_or_a_shape():
    class Own(nn.MeanSquaredError):
        def targets(self, y, samples, outputs, dtype):
            seen.append(outputs)
            return super().targets(y, samples, outputs, dtype)

    seen, loss = [], Own()
    loss.forward(P[0], P[0])
    loss.forward(P, P)
    assert seen == [4, (3, 4)]
    for kind, y in ((nn.MeanSquaredError, P[0]), (nn.CategoricalCrossentropy, P[0]),
                    (nn.NegativeLogLikelihood, [0, 1, 3])):
        targets = [kind().targets(y, 3, outputs, np.dtype(np.float32)) for outputs in (4, (4,), None)]
        assert targets[0].tobytes() == targets[1].tobytes() == targets[2].tobytes()
    weights = Loss().weights(np.zeros((2, 3)), [1, 2], np.dtype(np.float64))
    np.testing.assert_array_equal(weigh(P, weights), P * [[[1]], [[2]]])


METRICS = (nn.Accuracy, lambda: nn.TopKAccuracy(2), nn.BinaryAccuracy, lambda: nn.RegressionAccuracy(0.3))


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("make", METRICS)
def test_metrics_count_positions(make, shape, dtype):
    rng, metric = np.random.default_rng(3), make()
    outputs, labels = rng.random(shape).astype(dtype), rng.integers(0, shape[-1], shape[:-1])
    targets, columns = np.eye(shape[-1])[labels], np.arange(shape[-1])
    classes = isinstance(metric, (nn.Accuracy, nn.TopKAccuracy))
    if classes:
        k = getattr(metric, "k", 1)
        hits = (np.argsort(-outputs, axis=-1)[..., :k] == labels[..., None]).any(axis=-1)
    elif isinstance(metric, nn.BinaryAccuracy):
        hits = (outputs > 0.5) == (labels[..., None] == columns)
    else:
        hits = abs(outputs - targets) < 0.3
    for y in (labels, labels[..., None], targets) if classes else (targets,):
        assert metric.calculate(outputs, y) == hits.mean()
        assert metric.hits(outputs, y if y.dtype.kind == "i" else y.astype(dtype)) == hits.sum()
    assert metric.accumulated_count % hits.size == 0
    assert metric.numbers(shape[1:]) * shape[0] == hits.size and metric.numbers(7) == (1 if classes else 7)


def test_metrics_of_a_single_output():
    outputs, y = np.array([[[0.2], [0.7]], [[0.9], [0.4]]]), np.array([[0, 1], [0, 0]])
    assert nn.BinaryAccuracy().calculate(outputs, y) == 0.75 == nn.BinaryAccuracy().calculate(outputs, y[..., None])
    assert nn.RegressionAccuracy(0.35).calculate(outputs, y) == 0.5


def test_accuracy_of_the_book_takes_any_shape():
    accuracy, labels = nnfs.Accuracy_Categorical(), np.arange(6).reshape(2, 3) % 4
    for y in (labels, np.eye(4)[labels]):
        assert accuracy.calculate((labels + (labels == 1)), y) == 4 / 6
    scores = np.random.default_rng(0).random((2, 3, 4))
    for layer in (nn.Softmax(), nn.LogSoftmax()):
        np.testing.assert_array_equal(layer.predictions(scores), scores.argmax(axis=2))


class Repeated:
    """A user's own last layer: each sample's outputs (T, C) from a row of T C numbers."""

    def __init__(self, *shape):
        self.shape = shape

    def forward(self, inputs, training=True):
        return inputs.reshape(-1, *self.shape)

    def backward(self, dvalues):
        return np.reshape(dvalues, (len(dvalues), -1))


def repeated(loss, *shape):
    model = nn.Model()
    for layer in (nn.Dense(2, int(np.prod(shape)), rng=0, dtype=np.float64), Repeated(*shape)):
        model.add(layer)
    model.set(loss=loss, optimizer=nn.SGD(0.1))
    model.finalize()
    return model


@pytest.mark.parametrize("make", (nn.SoftmaxCategoricalCrossentropy, nn.MeanSquaredError, nn.SigmoidBinaryCrossentropy))
def test_a_model_whose_shape_is_not_known_learns_each_position(make):
    shape = (3, 4)
    _, _, kinds = case(make, (6, *shape))
    x = np.random.default_rng(1).standard_normal((6, 2))
    for y in kinds:
        model = repeated(make(), *shape)
        wish = make().calculate(model.predict(x), y)
        history = model.train(x, y, epochs=20)
        assert history["loss"][0] == pytest.approx(wish, rel=1e-12) and history["loss"][-1] < wish
        assert model.evaluate(x, y)[0] == pytest.approx(make().calculate(model.predict(x), y), rel=1e-12)
        rows = nn.check_gradients(model, x, y, verbose=False).rows
        assert len(rows) > 2 and all(row.passed for row in rows), rows


def test_labels_of_unknown_outputs_are_class_numbers_unless_they_are_rows():
    kind, dtype = nn.SoftmaxCategoricalCrossentropy(), np.dtype(np.float32)
    for y, wish in ((LABELS, LABELS), (LABELS.astype(float), LABELS), (LABELS[..., None], LABELS),
                    (np.eye(4, dtype=int)[LABELS], np.eye(4)[LABELS]), (np.eye(4)[[2, 1]], np.eye(4)[[2, 1]]), (P, P),
                    ([[0], [3]], [0, 3])):
        found = kind.targets(y, 2, None, dtype)
        np.testing.assert_array_equal(found, wish)
        assert found.dtype == (np.int64 if np.ndim(wish) < 3 and np.shape(wish) != (2, 4) else np.float32)
    x, y = np.random.default_rng(1).standard_normal((2, 2)), np.array([[1, 0], [0, 1]])  # rows as well
    model = repeated(kind, 2, 4)
    assert model.evaluate(x, y)[0] == pytest.approx(kind.calculate(model.predict(x), y), rel=1e-12)


class Folded(nn.Flatten):
    """Rows (N, T * C) become (N, T, C)."""

    def __init__(self, *shape):
        self.shape = shape

    def forward(self, inputs, training=True):
        self.inputs, self.output = inputs, inputs.reshape(len(inputs), *self.shape)
        return self.output

    def backward(self, dvalues):
        self.dinputs = dvalues.reshape(len(dvalues), -1)
        return self.dinputs

    def output_shape(self, shape):
        return self.shape


def folded(loss, accuracy):
    model = nn.Model([nn.Dense(4, 8, activation="relu", rng=0), nn.Dense(8, 15, rng=1), Folded(5, 3)])
    model.set(loss=loss(), optimizer=nn.Adam(0.01), accuracy=accuracy())
    model.finalize()
    return model


@pytest.mark.parametrize("weights", (None, (20,), (20, 5)))
@pytest.mark.parametrize("loss, labels, accuracy", (
    (nn.SoftmaxCategoricalCrossentropy, "classes", nn.Accuracy),
    (nn.SoftmaxCategoricalCrossentropy, "one-hot", lambda: nn.TopKAccuracy(2)),
    (lambda: nn.SoftmaxCategoricalCrossentropy(class_weights="balanced", label_smoothing=0.1), "classes", nn.Accuracy),
    (nn.MeanSquaredError, "targets", lambda: nn.RegressionAccuracy(0.3)),
    (nn.SigmoidBinaryCrossentropy, "targets", nn.BinaryAccuracy)))
def test_a_model_of_positions(monkeypatch, twin, loss, labels, accuracy, weights):
    """Recorded and layer by layer the same bits, and what the loss and the accuracy give for the predictions."""
    random = np.random.default_rng(0)
    x, classes = random.standard_normal((20, 4)).astype(np.float32), random.integers(0, 3, (20, 5))
    y = {"classes": classes, "one-hot": np.eye(3)[classes], "targets": random.random((20, 5, 3))}[labels]
    w = None if weights is None else random.random(weights)
    models = []
    for module in (nn.Flatten.__module__, __name__):  # as a layer of the package, which is recorded, and a user's
        monkeypatch.setattr(Folded, "__module__", module)
        for name in ("forward", "backward"):
            method = getattr(Folded, name)
            monkeypatch.setattr(Folded, name, types.FunctionType(
                method.__code__, {**method.__globals__, "__name__": module}, name, method.__defaults__))
        model = folded(loss, accuracy)
        model.train(x, y, epochs=9, batch_size=6, sample_weight=w)
        model.train(x, y, epochs=9, sample_weight=w)
        recordable = twin == "numba" and not isinstance(model.accuracy, nn.TopKAccuracy)
        assert (model.why_not_recorded is None) == (recordable and module != __name__)
        models.append(model)
    mine, other = models
    assert mine.history == other.history and mine.predict(x).tobytes() == other.predict(x).tobytes()
    outputs = mine.predict(x)
    assert outputs.shape == (20, 5, 3)
    losses = mine.loss.forward(outputs, y) if w is None else mine.loss.forward(outputs, y, w)
    found, share = mine.evaluate(x, y, sample_weight=w)
    assert found == pytest.approx(losses.mean(dtype=float), rel=1e-6)
    if labels == "classes":
        assert share == pytest.approx((outputs.argmax(axis=-1) == classes).mean())


@pytest.mark.parametrize("activation", (None, "relu", "tanh"))
def test_dense_takes_the_last_axis(activation):
    """As if each position were a sample."""
    rng = np.random.default_rng(0)
    layer, rows = (nn.Dense(5, 4, activation=activation, rng=1) for _ in range(2))
    for shape in ((3, 7), (2, 3, 2), (0, 3)):
        x, d = (rng.standard_normal((*shape, size)).astype(np.float32) for size in (5, 4))
        y, wish = layer.forward(x), rows.forward(x.reshape(-1, 5))
        assert y.shape == (*shape, 4) and y.tobytes() == wish.tobytes()
        dx, wish = layer.backward(d), rows.backward(d.reshape(-1, 4))
        assert dx.shape == x.shape and dx.tobytes() == wish.tobytes()
        assert [a.tobytes() for a in layer.gradients.values()] == [a.tobytes() for a in rows.gradients.values()]
        assert layer.backward(d, input_gradient=False) is None
    assert layer.output_shape((3, 7, 5)) == (3, 7, 4)
    with pytest.raises(ValueError, match=r"dvalues must have shape \(0, 3, 4\) to match inputs, got"):
        layer.backward(np.ones((3, 0, 4)))
    with pytest.raises(ValueError, match=r"inputs must have shape \(N, ..., 5\), got \(2, 3, 4\)"):
        layer.forward(np.ones((2, 3, 4)))


@pytest.mark.parametrize("told", (True, False), ids=("input_shape", "Input"))
def test_a_model_of_sequences(told):
    """A model says that it takes sequences by its input shape; without one, images without Flatten are a mistake."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((24, 6, 5)).astype(np.float32), rng.integers(0, 3, (24, 6))

    def layers():
        return [nn.Dense(5, 8, activation="tanh", rng=0), nn.Dense(8, 3, rng=1)]

    model, rows = nn.Model([*[nn.Input((6, 5))] * (not told), *layers()]), nn.Model(layers())
    for each in (model, rows):
        each.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.SGD(0.5), accuracy=nn.Accuracy())
    model.finalize(*[(6, 5)] * told)
    rows.finalize()
    for each, shape in ((model, 24), (rows, 24 * 6)):
        each.train(X.reshape(shape, *[6] * (shape == 24), 5), y.reshape(shape, *[6] * (shape == 24)), epochs=9)
    assert model.history == rows.history and model.predict(X).tobytes() == rows.predict(X.reshape(-1, 5)).tobytes()
    assert nn.backend.name == "numpy" or model.why_not_recorded is None
    with pytest.raises(ValueError, match=r"X must have shape \(samples, 5\)"):
        rows.train(X, y)

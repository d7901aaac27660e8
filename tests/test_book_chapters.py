"""The chapters of "Neural Networks from Scratch in Python" as programs of nn/nnfs.py, in tests/chapters: they run, they
print the book's lines, and their numbers are those of the same network written in plain NumPy."""

import contextlib
import functools
import io
import re
import runpy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from optional import needs

from nnjit import nn
from nnjit.nn import nnfs as ours

nnfs = needs("nnfs")
from nnfs.datasets import sine_data, spiral_data, vertical_data  # noqa: E402

FOLDER = Path(__file__).parent / "chapters"
PATCHED = ((np, "dot"), (np, "zeros"), (np, "eye"), (np.random, "randn"))  # by nnfs.init

STEP = r"acc: (\d\.\d{3}), loss: (\d+\.\d{3}) \(data_loss: (\d+\.\d{3}), reg_loss: (\d+\.\d{3})\), lr: (\d\S*)"
VALIDATION = r"validation, acc: (\d\.\d{3}), loss: (\d+\.\d{3})"
BY_HAND = (r"epoch: (\d+), acc: (\d\.\d{3}), loss: (\d+\.\d{6})"
           r"(?: \(data_loss: \d+\.\d{6}, reg_loss: (\d+\.\d{6})\))?, lr: ")


@contextlib.contextmanager
def restored():
    """What nnfs.init replaces in NumPy, and the generator's state, come back at the end."""
    kept = [(owner, name, getattr(owner, name)) for owner, name in PATCHED]
    state = np.random.get_state()
    try:
        yield
    finally:
        for owner, name, function in kept:
            setattr(owner, name, function)
        np.random.set_state(state)


def run(name, folder=".", dtype="float32"):
    """The variables of a chapter's program after it ran in a folder, and what it printed.

    With float64 the program's nnfs.init() leaves NumPy's floats alone.
    """
    printed, init = io.StringIO(), nnfs.init
    if dtype == "float64":
        nnfs.init = functools.partial(init, default_dtype=dtype, dot_precision_workaround=False)
    try:
        with restored(), contextlib.chdir(folder), contextlib.redirect_stdout(printed):
            variables = runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    finally:
        nnfs.init = init
    return variables, printed.getvalue()


@pytest.fixture(autouse=True)
def _seeded():
    # as nnfs.init does
    with restored():
        np.random.seed(0)
        yield


# ---- the network in plain NumPy and float64: dense layers with ReLU between them

def draw(*shapes, dtype="float32", scale=0.01):
    """Weights and biases as the book draws them under nnfs.init."""
    return [values for shape in shapes
            for values in ((scale * np.random.randn(*shape).astype(dtype)).astype(float), np.zeros((1, shape[1])))]


def at_the_end(kind, z, y):
    """Mean loss, its gradient with respect to the last layer's outputs z, and the accuracy."""
    if kind == "softmax":
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        hot = np.arange(z.shape[1]) == y[:, None]
        return -np.log(p[hot]).mean(), (p - hot) / len(z), (p.argmax(axis=1) == y).mean()
    if kind == "sigmoid":
        p = 1 / (1 + np.exp(-z))
        return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(), (p - y) / z.size, ((p > 0.5) == y).mean()
    near = (np.abs(z - y) < SPREAD / 250).mean()
    if kind == "squares":
        return ((z - y)**2).mean(), 2 * (z - y) / z.size, near
    return np.abs(z - y).mean(), np.sign(z - y) / z.size, near


# of 300 gradients by class, 100 add up to 0.22 before the others take that back, each time rounded by up to 2^-27
SUMS = 300**0.5 * 2**-27
SPREAD = np.std(sine_data()[1])


def gradients(parameters, X, y, kind, l1=(0,) * 6, l2=(0,) * 6, mask=None):
    """Data loss, penalties, accuracy and the gradients; `mask` is that of a dropout behind the first ReLU."""
    taken, x = [], X
    for w, b in zip(parameters[::2], parameters[1::2]):
        if taken:
            x = np.maximum(x, 0) * (mask if mask is not None and len(taken) == 1 else 1)
        taken.append(x)
        x = x @ w + b
    loss, dz, accuracy = at_the_end(kind, x, y)
    found = []
    for number in reversed(range(len(taken))):
        found += [dz.sum(axis=0, keepdims=True), taken[number].T @ dz]
        dz = dz @ parameters[2 * number].T * (taken[number] > 0)
        if mask is not None and number == 1:
            dz = dz * mask
    found = [g + one * np.where(p < 0, -1, 1) + 2 * two * p
             for g, p, one, two in zip(reversed(found), parameters, l1, l2)]
    penalty = sum(one * np.abs(p).sum() + two * (p * p).sum() for p, one, two in zip(parameters, l1, l2))
    return loss, penalty, accuracy, found


class SGD:
    def __init__(self, learning_rate=1.0, decay=0.0, momentum=0.0):
        self.learning_rate, self.decay, self.momentum, self.t, self.state = learning_rate, decay, momentum, 0, {}

    def update(self, parameters, found):
        rate = self.learning_rate / (1 + self.decay * self.t)
        self.t += 1
        for number, (p, g) in enumerate(zip(parameters, found)):
            state = self.state.setdefault(number, [np.zeros_like(p), np.zeros_like(p)])
            p += self.change(state, g, rate)
        return rate

    def change(self, state, g, rate):
        state[0] = self.momentum * state[0] - rate * g
        return state[0]


class Adagrad(SGD):
    def change(self, state, g, rate):
        state[0] = state[0] + g * g
        return -rate * g / (np.sqrt(state[0]) + 1e-7)


class RMSprop(SGD):
    def change(self, state, g, rate, rho=0.999):
        state[0] = rho * state[0] + (1 - rho) * g * g
        return -rate * g / (np.sqrt(state[0]) + 1e-7)


class Adam(SGD):
    def change(self, state, g, rate):
        state[0], state[1] = 0.9 * state[0] + 0.1 * g, 0.999 * state[1] + 0.001 * g * g
        return -rate * state[0] / (1 - 0.9**self.t) / (np.sqrt(state[1] / (1 - 0.999**self.t)) + 1e-7)


def trained(parameters, optimizer, X, y, kind, epochs, batch=None, masks=None, **more):
    """Train in place; (loss, penalty, accuracy, learning rate) of each step, before its update."""
    figures = []
    for _ in range(epochs):
        for at in range(0, len(X), batch or len(X)):
            rows = slice(at, at + (batch or len(X)))
            mask = None if masks is None else masks(len(X[rows]))
            *found, changes = gradients(parameters, X[rows], y[rows], kind, mask=mask, **more)
            figures.append((*found, optimizer.update(parameters, changes)))
    return figures


def masks_of(layer, columns):
    """The masks that a trained dropout layer took, from its first on: numbers of the kernel, with its own tests."""
    again = ours.Layer_Dropout(layer.dropped, seed=layer.seed)
    return lambda samples: again.forward(np.ones((samples, columns)), True)


def parameters_of(*layers):
    return [values for layer in layers for values in (layer.weights, layer.biases)]


class Precision(NamedTuple):
    """How near a program comes to the twin, which computes in float64."""
    dtype: str
    loss: float
    accuracy: float
    weights: float


# in float32 a point on a border goes to the other side of it, and the paths part: a little after 20 epochs
BOTH = pytest.mark.parametrize("precise", [Precision("float32", 1e-4, 0.017, 1e-2),
                                           Precision("float64", 1e-9, 1e-9, 1e-9)], ids=lambda p: p.dtype)


def assert_near(found, wish, within):
    """The arrays are equal but for so much, or of numbers above 1 for that share of the largest."""
    for number, (one, other) in enumerate(zip(found, wish, strict=True)):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= within * max(1, np.abs(other).max()), number


def assert_lines_by_hand(lines, figures, precise):
    """The printed lines of a loop written by hand are those of these steps, up to the last digit printed."""
    assert lines
    for line in lines:
        found = re.match(BY_HAND, line)
        assert found, line
        epoch = int(found[1])
        loss, penalty, accuracy, _ = figures[epoch]
        rate = figures[max(epoch - 1, 0)][3]  # as in the book printed before the next update
        assert float(found[2]) == pytest.approx(accuracy, abs=precise.accuracy + 0.00051), line
        assert float(found[3]) == pytest.approx(loss + penalty, abs=precise.loss + 0.51e-6), line
        assert found[4] is None or float(found[4]) == pytest.approx(penalty, abs=precise.loss + 0.51e-6), line
        assert float(line.rsplit(" ", 1)[1]) == pytest.approx(rate, rel=1e-14)


# ---- the chapters

def test_chapter_3_layers():
    found, printed = run("chapter_03")
    np.testing.assert_allclose(found["outer"].output, [[2.2, 3.35], [0.5, 1.6]], rtol=1e-6)
    draw((3, 4), (4, 2))
    X, _ = spiral_data(samples=100, classes=3)
    w, b = draw((2, 3))
    np.testing.assert_allclose(found["dense1"].output, X @ w + b, rtol=0, atol=1e-8)
    assert printed.count("[") == 1 + 2 + 1 + 5


def test_chapter_4_activations():
    found, printed = run("chapter_04")
    X, y = spiral_data(samples=100, classes=3)
    w1, b1, w2, b2 = draw((2, 3), (3, 3))
    scores = np.exp(np.maximum(X @ w1 + b1, 0) @ w2 + b2)
    np.testing.assert_allclose(found["activation2"].output, scores / scores.sum(axis=1, keepdims=True), rtol=1e-6)
    assert "[[0.89528266 0.02470831 0.08000903]]" in printed
    np.testing.assert_allclose(found["softmax"].output, [[1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)), 0]], rtol=1e-6)


def test_chapter_5_loss():
    found, printed = run("chapter_05")
    X, y = spiral_data(samples=100, classes=3)
    loss, _, accuracy, _ = gradients(draw((2, 3), (3, 3)), X, y, "softmax")
    assert found["loss"] == pytest.approx(loss, rel=1e-6)
    assert f"acc: {accuracy}" in printed and "one-hot: True" in printed
    np.testing.assert_allclose(found["certain"], -np.log([1e-7, 1 - 1e-7]), rtol=1e-6)


def test_chapter_6_random_search():
    found, printed = run("chapter_06")
    X, y = vertical_data(samples=100, classes=3)
    parameters, lowest, best, wins = draw((2, 3), (3, 3)), np.inf, [], []
    for iteration in range(2000):
        for p in parameters:
            p += 0.05 * np.random.randn(*p.shape)
        loss = gradients(parameters, X, y, "softmax")[0]
        if loss < lowest:
            wins.append(iteration)
            lowest, best = loss, [p.copy() for p in parameters]
        else:
            parameters = [p.copy() for p in best]
    assert [int(number) for number in re.findall(r"iteration: (\d+)", printed)] == wins
    assert found["lowest_loss"] == pytest.approx(lowest, rel=1e-5) and lowest < 0.2
    assert_near([values for pair in found["best"].values() for values in pair], best, 1e-5)


def test_chapter_9_backpropagation():
    found, printed = run("chapter_09")
    X, y = spiral_data(samples=100, classes=3)
    loss, _, accuracy, wish = gradients(draw((2, 3), (3, 3)), X, y, "softmax")
    assert found["loss"] == pytest.approx(loss, rel=1e-6) and found["accuracy"] == accuracy
    dense1, dense2 = found["dense1"], found["dense2"]
    assert_near([dense1.dweights, dense1.dbiases, dense2.dweights, dense2.dbiases], wish, SUMS)
    assert "combined and separate agree: True" in printed


@BOTH
def test_chapter_10_optimizers(precise):
    found, printed = run("chapter_10", dtype=precise.dtype)
    X, y = spiral_data(samples=100, classes=3)
    lines = printed.splitlines()
    for optimizer, layers in found["trained"].items():
        np.random.seed(1)
        parameters = draw((2, 64), (64, 3), dtype=precise.dtype)
        options = {"momentum": optimizer.momentum} if hasattr(optimizer, "momentum") else {}
        twin = globals()[type(optimizer).__name__.removeprefix("Optimizer_")](
            optimizer.learning_rate, optimizer.decay, **options)
        figures = trained(parameters, twin, X, y, "softmax", 21)
        of_this, lines = lines[:5], lines[5:]
        assert_lines_by_hand(of_this, figures, precise)
        assert_near(parameters_of(*layers), parameters, precise.weights)
        assert figures[-1][0] != pytest.approx(figures[0][0], abs=1e-4)
        shown = {"SGD": ("momentums",) if options.get("momentum") else (), "Adam": ("momentums", "cache")}
        for place, name in enumerate(shown.get(type(twin).__name__, ("cache",))):
            assert_near([getattr(layers[0], f"weight_{name}"), getattr(layers[0], f"bias_{name}")],
                        [twin.state[0][place], twin.state[1][place]], precise.weights)
    assert len(found["trained"]) == 5 and not lines


@BOTH
def test_chapter_14_regularization(precise):
    found, printed = run("chapter_14", dtype=precise.dtype)
    X, y = spiral_data(samples=100, classes=3)
    parameters = draw((2, 64), (64, 3), dtype=precise.dtype)
    l1, l2 = (1e-4, 0, 0, 1e-3), (5e-4, 5e-4, 0, 0)
    figures = trained(parameters, Adam(0.02, 5e-7), X, y, "softmax", 21, l1=l1, l2=l2)
    assert_lines_by_hand(printed.splitlines(), figures, precise)
    dense1, dense2 = found["dense1"], found["dense2"]
    assert_near(parameters_of(dense1, dense2), parameters, precise.weights)
    wish = [1e-4 * np.abs(dense1.weights).sum() + 5e-4 * (dense1.weights**2).sum() + 5e-4 * (dense1.biases**2).sum(),
            1e-3 * np.abs(dense2.biases).sum()]
    assert found["by_layer"] == pytest.approx(wish, rel=1e-6) and min(wish) > 1e-5
    assert found["at_once"] == found["the_same"] == pytest.approx(sum(wish), rel=1e-6)


@BOTH
def test_chapter_15_dropout(precise):
    found, printed = run("chapter_15", dtype=precise.dtype)
    X, y = spiral_data(samples=100, classes=3)
    parameters = draw((2, 64), (64, 3), dtype=precise.dtype)
    dropout = found["dropout1"]
    assert dropout.rate == 0.9 and 0.05 < (dropout.binary_mask == 0).mean() < 0.15
    figures = trained(parameters, Adam(0.05, 5e-5), X, y, "softmax", 21, masks=masks_of(dropout, 64),
                      l2=(5e-4, 5e-4, 0, 0))
    *lines, validation = printed.splitlines()
    assert_lines_by_hand(lines, figures, precise)
    loss, _, accuracy, _ = gradients(parameters, found["X_test"], found["y_test"], "softmax")
    assert re.fullmatch(r"validation, acc: \d\.\d{3}, loss: \d\.\d{6}", validation)
    assert (found["accuracy"], found["loss"]) == (pytest.approx(accuracy, abs=precise.accuracy),
                                                  pytest.approx(loss, abs=precise.loss))


@BOTH
def test_chapter_16_binary_logistic_regression(precise):
    found, printed = run("chapter_16", dtype=precise.dtype)
    X, y = spiral_data(samples=100, classes=2)
    parameters = draw((2, 64), (64, 1), dtype=precise.dtype)
    figures = trained(parameters, Adam(0.001, 5e-7), X, y[:, None], "sigmoid", 101, l2=(5e-4, 5e-4, 0, 0))
    assert_lines_by_hand(printed.splitlines(), figures, precise)
    assert_near(parameters_of(found["dense1"], found["dense2"]), parameters, precise.weights)
    assert printed.splitlines()[-1].startswith("epoch: 100, acc: 0.630, loss: 0.674")  # as the book has it


@BOTH
def test_chapter_17_regression(precise):
    found, printed = run("chapter_17", dtype=precise.dtype)
    X, y = sine_data()
    lines = printed.splitlines()
    for (loss, layers), kind in zip(found["trained"].items(), ("squares", "absolute")):
        np.random.seed(2)
        parameters = draw((1, 32), (32, 32), (32, 1), dtype=precise.dtype, scale=0.1)
        figures = trained(parameters, Adam(0.005, 1e-3), X, y, kind, 21)
        of_this, lines = lines[:5], lines[5:]
        assert_lines_by_hand(of_this, figures, precise)
        assert_near(parameters_of(*layers), parameters, precise.weights)
        assert figures[-1][0] < 0.9 * figures[0][0]  # the mean absolute error falls too
    assert not lines


def assert_line(line, pattern, precise, loss, penalty, accuracy, rate):
    found = re.fullmatch(pattern, line)
    assert found, line
    digits = 0.00051  # half of the last one printed
    assert float(found[1]) == pytest.approx(accuracy, abs=precise.accuracy + digits), line
    for text, value in zip(found.groups()[1:4], (loss + penalty, loss, penalty)):
        assert float(text) == pytest.approx(value, abs=precise.loss + digits), line
    assert float(found[5]) == pytest.approx(rate, rel=1e-12), line


def assert_lines_of_a_model(lines, figures, precise, samples, batch, print_every, validated):
    """The lines of Model.train, in the book's order, are those of these steps. The losses of the validations."""
    lines, steps = iter(lines), -(-samples // batch)
    sizes = [min(batch, samples - at) for at in range(0, samples, batch)]
    validations = []
    for epoch in range(len(figures) // steps):
        if steps == 1:  # chapter 18's print_every counts epochs
            if (epoch + 1) % print_every == 0:
                assert_line(next(lines), f"epoch: {epoch + 1}, {STEP}", precise, *figures[epoch])
            continue
        assert next(lines) == f"epoch: {epoch + 1}"
        of_epoch = figures[epoch * steps:][:steps]
        for step, each in enumerate(of_epoch):
            if step % print_every == 0 or step == steps - 1:
                assert_line(next(lines), f"step: {step}, {STEP}", precise, *each)
        means = np.average([each[:3] for each in of_epoch], axis=0, weights=sizes)
        assert_line(next(lines), f"training, {STEP}", precise, *means, of_epoch[-1][3])
        if validated:
            found = re.fullmatch(VALIDATION, next(lines))
            validations.append(float(found[2]))
    if steps == 1 and validated:
        validations.append(float(re.fullmatch(VALIDATION, next(lines))[2]))
    assert next(lines, None) is None
    return validations


@BOTH
def test_chapter_18_model(precise):
    found, printed = run("chapter_18", dtype=precise.dtype)
    lines = printed.splitlines()
    X, y = sine_data()
    parameters = draw((1, 64), (64, 64), (64, 1), dtype=precise.dtype, scale=0.1)
    figures = trained(parameters, Adam(0.005, 1e-3), X, y, "squares", 20)
    of_this, lines = lines[:4], lines[4:]
    assert_lines_of_a_model(of_this, figures, precise, 1000, 1000, 5, False)
    model = found["regression"]
    assert_near(parameters_of(*model.trainable_layers), parameters, precise.weights)
    assert model.accuracy.precision == pytest.approx(SPREAD / 250, rel=1e-12)

    X, y = spiral_data(samples=100, classes=2)
    X_test, y_test = spiral_data(samples=100, classes=2)
    parameters, l2 = draw((2, 64), (64, 1), dtype=precise.dtype), (5e-4, 5e-4, 0, 0)
    figures = trained(parameters, Adam(0.001, 5e-7), X, y[:, None], "sigmoid", 20, l2=l2)
    of_this, lines = lines[:5], lines[5:]
    validations = assert_lines_of_a_model(of_this, figures, precise, 200, 200, 5, True)
    assert validations[-1] == pytest.approx(gradients(parameters, X_test, y_test[:, None], "sigmoid")[0], abs=6e-4)
    assert_near(parameters_of(*found["binary"].trainable_layers), parameters, precise.weights)

    X, y = spiral_data(samples=100, classes=3)
    X_test, y_test = spiral_data(samples=100, classes=3)
    keys = np.arange(300)
    np.random.shuffle(keys)
    X, y = X[keys], y[keys]
    parameters, model = draw((2, 64), (64, 3), dtype=precise.dtype), found["categorical"]
    figures = trained(parameters, Adam(0.05, 5e-5), X, y, "softmax", 20, batch=128, l2=l2,
                      masks=masks_of(model.layers[2], 64))
    if precise.dtype == "float32":
        precise = precise._replace(loss=0.02, accuracy=0.05, weights=np.inf)  # after 60 steps of Adam
    validations = assert_lines_of_a_model(lines, figures, precise, 300, 128, 2, True)
    loss, _, accuracy, _ = gradients(parameters, X_test, y_test, "softmax")
    assert validations[-1] == pytest.approx(loss, abs=precise.loss + 0.00051)
    assert_near(parameters_of(*model.trainable_layers), parameters, precise.weights)
    assert found["data_loss"] == pytest.approx(loss, abs=precise.loss)
    assert np.mean(found["predictions"] == y_test) == pytest.approx(accuracy, abs=precise.accuracy)
    assert found["regularization_loss"] == pytest.approx(
        5e-4 * sum((p.astype(float)**2).sum() for p in parameters_of(model.trainable_layers[0])), rel=1e-5)


def test_what_chapter_18_leaves_on_its_objects():
    found, _ = run("chapter_18")
    model, X, y, output = (found[name] for name in ("categorical", "X_test", "y_test", "output"))
    hot = np.arange(3) == y[:, None]
    joined = model.softmax_classifier_output
    np.testing.assert_allclose(joined.dinputs, (output - hot) / 300, rtol=0, atol=1e-9)
    assert model.layers[-1].dinputs is joined.dinputs
    assert model.input_layer.output is X and model.layers[0].prev is model.input_layer
    assert [layer.next for layer in model.layers] == [*model.layers[1:], model.loss]
    assert [layer.prev for layer in model.layers[1:]] == model.layers[:-1]
    assert model.output_layer_activation is model.layers[-1]
    assert found["binary"].softmax_classifier_output is None
    # the chain by hand, as the book's forward and backward go along it
    model.input_layer.forward(X, training=False)
    for layer in model.layers:
        layer.forward(layer.prev.output, training=False)
    assert layer.output.tobytes() == output.tobytes()
    gradient = model.layers[0].dinputs.copy()
    for layer in reversed(model.layers[:-1]):
        layer.backward(layer.next.dinputs)
    assert model.layers[0].dinputs.tobytes() == gradient.tobytes()
    for layer, shape in zip(model.trainable_layers, ((2, 64), (64, 3))):
        for name in ("weights", "dweights", "weight_momentums", "weight_cache"):
            assert getattr(layer, name).shape == shape
        for name in ("biases", "dbiases", "bias_momentums", "bias_cache"):
            assert getattr(layer, name).shape == (1, shape[1])
    inputs = found["regression"].input_layer.output
    np.testing.assert_array_equal(inputs, sine_data()[0].astype(np.float32))


# ---- chapters 19 to 22: one after the other, in a folder of images

@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """A folder as the book has it: squares of ten patterns in grey, by class, and a large dark picture on white."""
    images = needs("PIL.Image")
    folder, random = tmp_path_factory.mktemp("gallery"), np.random.default_rng(4)
    patterns = random.integers(0, 2, (10, 7, 7)).repeat(4, axis=1).repeat(4, axis=2) * 100
    for part, count in (("train", 29), ("test", 5)):
        for label, pattern in enumerate(patterns):
            place = folder / "fashion_mnist_images" / part / str(label)
            place.mkdir(parents=True)
            for number in range(count):
                pixels = pattern + random.integers(0, 156, (28, 28))
                images.fromarray(pixels.astype(np.uint8)).save(place / f"{number:04d}.png")
    large = 255 - 2 * patterns[7].repeat(2, axis=0).repeat(2, axis=1)
    images.fromarray(large.astype(np.uint8)).convert("RGB").save(folder / "photograph.png")
    return folder


def last_validation(printed, number=-1):
    return [line for line in printed.splitlines() if line.startswith("validation")][number]


@pytest.fixture(scope="module")
def told(gallery):
    """Variables and printed lines of chapters 19 to 22."""
    return {number: run(f"chapter_{number}", gallery) for number in (19, 20, 21, 22)}


@BOTH
def test_chapter_19_images(precise, gallery):
    found, printed = run("chapter_19", gallery, precise.dtype)
    X, y, model = found["X"], found["y"], found["model"]
    assert X.shape == (290, 784) and X.min() == -1 and X.max() == pytest.approx(1) and len(set(y[:20])) > 5
    np.random.shuffle(np.arange(290))
    parameters = draw((784, 32), (32, 32), (32, 10), dtype=precise.dtype)
    figures = trained(parameters, Adam(0.001, 1e-3), X, y, "softmax", 5, batch=16)
    validations = assert_lines_of_a_model(printed.splitlines(), figures, precise, 290, 16, 10, True)
    loss, _, accuracy, _ = gradients(parameters, found["X_test"], found["y_test"], "softmax")
    assert validations[-1] == pytest.approx(loss, abs=6e-4) and validations[-1] < validations[0] / 2
    assert_near(parameters_of(*model.trainable_layers), parameters, precise.weights)


def test_chapter_20_evaluation(told):
    found, printed = told[20]
    lines = printed.splitlines()
    assert all(re.fullmatch(VALIDATION, line) for line in lines[-4:])
    of_test, of_all, untrained, given = lines[-4:]
    assert of_test == given != untrained and of_all != of_test
    pairs = found["model"].get_parameters()
    parameters = [values.astype(float) for pair in pairs for values in pair]
    for line, (X, y) in ((of_test, (found["X_test"], found["y_test"])), (of_all, (found["X"], found["y"]))):
        loss, _, accuracy, _ = gradients(parameters, X, y, "softmax")
        match = re.fullmatch(VALIDATION, line)
        assert float(match[1]) == pytest.approx(accuracy, abs=0.00051)
        assert float(match[2]) == pytest.approx(loss, abs=0.00051)


def test_chapter_21_files(told, gallery):
    found, printed = told[21]
    loaded, trained_on, from_file = [line for line in printed.splitlines() if line.startswith("validation")]
    assert loaded == last_validation(told[20][1]) != trained_on == from_file
    for one, other in zip(found["model"].get_parameters(), found["loaded"].get_parameters(), strict=True):
        assert [values.tobytes() for values in one] == [values.tobytes() for values in other]
    for name in ("fashion_mnist.parms", "fashion_mnist.model"):
        with np.load(gallery / name, allow_pickle=False) as file:
            assert "layer0.weights" in file


def test_chapter_22_prediction(told):
    found, printed = told[22]
    assert printed == "Sneaker\n"
    assert found["confidences"].shape == (1, 10) and found["confidences"].max() > 0.5


# ---- a reader's own classes

@BOTH
def test_a_readers_own_classes(precise):
    found, printed = run("exercises", dtype=precise.dtype)
    lines = [line for line in printed.splitlines() if "data_loss" in line or line.startswith("validation")]
    assert all(re.search(STEP, line) or re.fullmatch(VALIDATION, line) for line in lines)

    # the same by this package's layers, loss and optimizer
    X, y = sine_data()
    model = nn.Model()
    weights = [0.5 * np.random.randn(*shape).astype(precise.dtype) for shape in ((1, 16), (16, 1))]
    for w, activation, l2 in zip(weights, ("tanh", None), (1e-3, 0)):
        model.add(nn.Dense(*w.shape, activation=activation, weight_regularizer_l2=l2, dtype=precise.dtype,
                           initializer=lambda *sizes, w=w: w))
    model.set(loss=nn.Huber(), optimizer=nn.Adam(0.02), accuracy=nn.RegressionAccuracy(np.std(y) / 10))
    model.finalize()
    model.train(X, y, epochs=40, batch_size=300, shuffle=False, validation_data=(X, y))
    own = found["regression"]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        within = precise.loss if "loss" in name else precise.accuracy
        np.testing.assert_allclose(own.history[name], model.history[name], rtol=0, atol=within, err_msg=name)
    assert_near(parameters_of(*own.layers[::2]), parameters_of(*model.layers), precise.weights)
    assert own.history["loss"][-1] < own.history["loss"][0] / 2

    model = found["mixed"]
    assert model.history["loss"][-1] < model.history["loss"][0] - 0.01 and len(model.history["loss"]) == 30
    X, y = found["X"], found["y"]
    p = model.predict(X)
    right = p[range(150), y]
    close = 1 - np.abs(p.argmax(axis=1) - y.astype(int)) / 2
    loss = -((1 - right)**2 * np.log(right)).mean()
    assert last_validation(printed) == f"validation, acc: {close.mean():.3f}, loss: {loss:.3f}"
    assert model.optimizer.current_learning_rate == 0.99**29

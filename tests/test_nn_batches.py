"""Iterables of batches in place of arrays: the same trainings, and what is said of iterables that are none."""

import copy
import re
from types import SimpleNamespace

import numpy as np
import pytest
from optional import needs

from nnjit import nn
from nnjit.nn import nnfs

rng = np.random.default_rng(0)
X = rng.standard_normal((50, 6)).astype(np.float32)
Y = rng.integers(0, 3, 50)
WEIGHTS = rng.random(50)
SIZE = 16


def network(kind=nn.Model, dropout=0.2):
    model = kind([nn.Dense(6, 8, activation="relu", rng=1, weight_regularizer_l2=1e-3), nn.Dropout(dropout, seed=3),
                  nn.Dense(8, 3, rng=2), nn.Softmax()])
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.05, decay=1e-3), accuracy=nn.Accuracy())
    model.finalize()
    return model


def cut(*arrays, size=SIZE):
    return [tuple(each[at:at + size] for each in arrays) for at in range(0, len(arrays[0]), size)]


class Loader:
    """Batches of a list in one array that is written again, as some loaders give them."""

    def __init__(self, batches):
        self.batches, self.passes = batches, 0

    def __iter__(self):
        self.passes += 1
        room = np.empty_like(self.batches[0][0])
        for x, *more in self.batches:
            room[:len(x)] = x
            yield room[:len(x)], *more
            room[...] = np.nan


def found(model):
    return [values.tobytes() for each in model.get_parameters() for values in each], dict(model.history)


@pytest.mark.parametrize("make", (list, tuple, Loader, lambda batches: map(tuple, batches),
                                  lambda batches: SimpleNamespace(batches=batches)))
def test_batches_train_as_arrays_do(twin, make):
    batches = make(cut(X, Y))
    if isinstance(batches, SimpleNamespace):  # the older protocol: len and []
        batches = type("Old", (), {"__len__": lambda self: 4, "__getitem__": lambda self, at: cut(X, Y)[at]})()
    epochs = 1 if isinstance(batches, map) else 3
    model, other = network(), network()
    model.train(batches, epochs=epochs)
    other.train(X, Y, epochs=epochs, batch_size=SIZE, shuffle=False)
    assert found(model) == found(other)
    assert (model.why_not_recorded is None) == (twin == "numba")


def test_batches_are_taken_by_recorded_steps():
    model = network()
    model.train(Loader(cut(X, Y)), epochs=3)
    assert model.why_not_recorded is None
    assert {size: plan.proved for size, plan in model._steps.plans.items()} == {16: True, 2: True}
    read_only = cut(X, Y)
    for x, _ in read_only:
        x.flags.writeable = False
    model = network()
    model.train(read_only, epochs=2)
    assert model.why_not_recorded is None


def test_batches_of_any_sizes_dtypes_and_labels():
    model, other = network(), network()
    one_hot = np.eye(3)[Y]
    batches = [(X[:5], Y[:5]), (X[5:25].astype(float), one_hot[5:25], WEIGHTS[5:25]), (X[25:].tolist(), Y[25:])]
    model.train(batches, epochs=4)
    for _ in range(4):
        for batch in batches:
            other.train_step(*batch)
    assert found(model)[0] == found(other)[0]


@pytest.mark.parametrize("validation", (lambda: cut(X[:20], Y[:20]), lambda: Loader(cut(X[:20], Y[:20])),
                                        lambda: (X[:20], Y[:20])))
@pytest.mark.parametrize("fed", (True, False))
def test_validations_of_batches(twin, fed, validation):
    model, other = network(), network()
    given = (cut(X, Y),) if fed else (X, Y)
    model.train(*given, epochs=3, validation_data=validation(), **({} if fed else {"batch_size": SIZE,
                                                                                   "shuffle": False}))
    other.train(X, Y, epochs=3, batch_size=SIZE, shuffle=False, validation_data=(X[:20], Y[:20]))
    assert found(model) == found(other) and len(model.history["val_loss"]) == 3
    assert (model.why_evaluation_not_recorded is None) == (twin == "numba")


def test_validations_of_batches_beside_epochs_of_one_step():
    model, other = network(dropout=0), network(dropout=0)
    model.train(X, Y, epochs=6, validation_data=cut(X, Y))
    other.train(X, Y, epochs=6, validation_data=(X, Y))
    np.testing.assert_allclose(model.history["val_loss"], other.history["val_loss"], rtol=1e-6)
    assert model.history["loss"] == other.history["loss"]


def test_weights_of_batches(twin):
    model, other = network(), network()
    model.train(cut(X, Y, WEIGHTS), epochs=2, validation_data=cut(X, Y, WEIGHTS))
    other.train(X, Y, sample_weight=WEIGHTS, epochs=2, batch_size=SIZE, shuffle=False, validation_data=(X, Y, WEIGHTS))
    assert found(model) == found(other)
    assert model.evaluate(cut(X, Y, WEIGHTS)) == other.evaluate(X, Y, sample_weight=WEIGHTS, batch_size=SIZE)


@pytest.mark.parametrize("make", (list, Loader, lambda batches: iter(batches)))
def test_evaluations_and_predictions_of_batches(twin, make):
    model = network()
    assert model.evaluate(make(cut(X, Y))) == model.evaluate(X, Y, batch_size=SIZE)
    expected = model.predict(X, batch_size=SIZE)
    if make is not list:  # which is an array
        assert model.predict(make(cut(X, Y))).tobytes() == expected.tobytes()
        assert model.predict(make(cut(X))).tobytes() == expected.tobytes()
    assert model.predict(x for x, in cut(X)).tobytes() == expected.tobytes()
    assert model.predict([x.tolist() for x in X[:5]]).tobytes() == model.predict(X[:5]).tobytes()


def test_models_of_the_book_take_batches(capsys):
    model, other = network(nnfs.Model), network(nnfs.Model)
    model.train(cut(X, Y), epochs=2, print_every=2, validation_data=cut(X, Y))
    said = capsys.readouterr().out
    other.train(X, Y, epochs=2, batch_size=SIZE, print_every=2, validation_data=(X, Y))
    assert capsys.readouterr().out == said and found(model) == found(other)
    assert [line for line in said.splitlines() if line.startswith("step")][:3] == [
        line for line in said.splitlines() if re.match("step: [023],", line)][:3]
    assert model.evaluate(cut(X, Y)) == other.evaluate(X, Y, batch_size=SIZE)


def test_loaders_of_pytorch(torch):
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    loader = torch.utils.data.DataLoader(data, batch_size=SIZE)
    model, other = network(), network()
    model.train(loader, epochs=2, validation_data=loader)
    other.train(X, Y, epochs=2, batch_size=SIZE, shuffle=False, validation_data=(X, Y))
    assert found(model) == found(other)
    assert model.predict(loader).tobytes() == other.predict(X, batch_size=SIZE).tobytes()
    assert model.evaluate(loader) == other.evaluate(X, Y, batch_size=SIZE)


def test_own_layers_train_on_batches():
    class Doubled(nn.ReLU):
        def forward(self, inputs, training=True):
            return super().forward(2 * np.asarray(inputs), training)

    models = [network() for _ in range(2)]
    for model in models:
        model.layers.insert(1, Doubled())
        model.finalize()
    models[0].train(cut(X, Y), epochs=2)
    models[1].train(X, Y, epochs=2, batch_size=SIZE, shuffle=False)
    assert found(models[0]) == found(models[1])
    assert "Doubled" in models[0].why_not_recorded


def test_callbacks_between_epochs_of_batches(tmp_path):
    model, other = network(), network()
    for each, given in ((model, (cut(X, Y),)), (other, (X, Y))):
        more = {} if each is model else {"batch_size": SIZE, "shuffle": False}

        def freeze(epoch, each=each):
            each.layers[0].trainable = epoch < 2
            each.clip_norm = 0.1 * epoch
            if epoch == 4:
                raise nn.StopTraining

        each.train(*given, epochs=6, callback=[freeze, nn.callbacks.CSVLog(each, tmp_path / "log")], **more)
    assert found(model) == found(other) and len(model.history["loss"]) == 4


def test_a_precision_is_that_of_the_first_batch():
    targets = X[:, :2].astype(float)
    model = nn.Model([nn.Dense(6, 2, rng=0)])
    model.set(loss=nn.MeanSquaredError(), optimizer=nn.SGD(0.1), accuracy=nn.RegressionAccuracy())
    model.finalize()
    model.train(cut(X, targets))
    assert model.accuracy.precision == pytest.approx(targets[:SIZE].std() / 250)


# ---- the last batch


@pytest.mark.parametrize("shuffle", (False, True))
@pytest.mark.parametrize("size", (16, 30, 50))
def test_drop_last_of_arrays(twin, size, shuffle):
    used = 50 - 50 % size
    model, other = network(), network()
    model.train(X, Y, epochs=3, batch_size=size, drop_last=True, shuffle=shuffle, sample_weight=WEIGHTS)
    for epoch in range(3):
        rows = (np.random.default_rng([0, epoch]).permutation(50) if shuffle else np.arange(50))[:used]
        other.train(X[rows], Y[rows], batch_size=size, shuffle=False, sample_weight=WEIGHTS[rows])
    assert found(model) == found(other)


@pytest.mark.parametrize("make", (list, Loader))
def test_drop_last_of_batches(make):
    batches = cut(X, Y)
    batches = [*batches[:2], batches[3], batches[2], (X[:10], Y[:10])]  # a small one that is not the last
    model, other = network(), network()
    model.train(make(batches), epochs=2, drop_last=True)
    other.train(make(batches[:-1]), epochs=2)
    assert found(model) == found(other)
    model.train(batches[:2], drop_last=True)
    other.train(batches[:2])
    assert found(model) == found(other)


def test_no_batch_is_left_without_the_last():
    with pytest.raises(ValueError, match="^drop_last=True leaves no batch: X has 50 samples, and batch_size is 51$"):
        network().train(X, Y, batch_size=51, drop_last=True)

    class Shrinking:
        size = 20

        def __iter__(self):
            self.size -= 1
            yield X[:self.size], Y[:self.size]

    with pytest.raises(ValueError, match="^drop_last=True leaves no batch: X has a single one"):
        network().train(Shrinking(), epochs=2, drop_last=True)


# ---- what cannot be


def spent():
    batches = (batch for batch in cut(X, Y))
    list(batches)
    return batches


AGAIN = "give a list of batches, or an object whose __iter__ begins anew each time"


@pytest.mark.parametrize("arguments, error, text", (
    ({"X": (batch for batch in cut(X, Y)), "epochs": 2}, ValueError,
     f"X is a generator, which gives its batches once, but 2 epochs need them again: {AGAIN}"),
    ({"X": iter(cut(X, Y)), "epochs": 3}, ValueError, "X is a list_iterator, which gives its batches once, but 3"),
    ({"X": cut(X, Y), "epochs": 2, "validation_data": map(tuple, cut(X, Y))}, ValueError,
     "validation_data is a map, which gives its batches once, but 2 epochs need them again"),
    ({"X": type("Once", (), {"__iter__": lambda self, rest=iter(cut(X, Y)): rest})(), "epochs": 2}, ValueError,
     f"X has no batches in epoch 2, as it gave them all before: {AGAIN}"),
    ({"X": spent()}, ValueError, "X has no batches"),
    ({"X": []}, ValueError, "X has no batches"),
    ({"X": cut(X, Y), "validation_data": iter(())}, ValueError, "validation_data has no batches"),
    ({"X": X}, TypeError, "y must be given for an array X, got None: only an iterable X has batches (X, y)"),
    ({"X": (X, Y)}, TypeError, "batch 0 of X: a batch must be (X, y) or (X, y, sample_weight), got array("),
    ({"X": 3}, TypeError, "X must be an iterable of batches (X, y) or (X, y, sample_weight), got 3"),
    ({"X": "ab"}, TypeError, "X must be an iterable of batches (X, y) or (X, y, sample_weight), got 'ab'"),
    ({"X": {"X": X}}, TypeError, "X must be an iterable of batches"),
    ({"X": [(X, Y), (X,)]}, TypeError, "batch 1 of X: a batch must be (X, y) or (X, y, sample_weight), got 1 of them"),
    ({"X": [(X, Y), (X[:, :5], Y)]}, ValueError, "batch 1 of X: X must have shape (samples, 6)"),
    ({"X": [(X, Y), (X, Y + 1)]}, ValueError, "batch 1 of X: labels must lie in 0..2, got 3"),
    ({"X": [(X, Y), (X[:0], Y[:0])]}, ValueError, "batch 1 of X: the training data is empty"),
    ({"X": [(X, Y)], "validation_data": [(X, Y), (X, Y[1:])]}, ValueError,
     "batch 1 of validation_data: X and y must have the same length, got 50 and 49"),
    ({"X": cut(X, Y), "shuffle": True}, ValueError, "shuffle=True needs arrays X and y"),
    ({"X": cut(X, Y), "batch_size": 3}, ValueError, "batch_size must be None for an iterable X"),
    ({"X": cut(X, Y), "sample_weight": WEIGHTS}, ValueError, "sample_weight must come with each batch"),
    ({"X": cut(X, Y), "drop_last": 1}, TypeError, "drop_last must be True or False, got 1")))
def test_errors_of_batches_in_a_training(arguments, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}"):
        network().train(**copy.copy(arguments))


@pytest.mark.parametrize("X, error, text", (
    (iter(()), ValueError, "X has no batches"),
    (iter([X, X[:, :5]]), ValueError, "batch 1 of X: X must have shape (samples, 6) for Dense(6, 8"),
    (iter([(X, Y, Y, Y)]), TypeError, "batch 0 of X: a batch must be (X, y) or (X, y, sample_weight), got 4 of them"),
    ({1.0, 2.0}, ValueError, "batch 0 of X: X must have shape (samples, 6) for Dense(6, 8")))
def test_errors_of_batches_in_a_prediction(X, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}"):
        network().predict(X)
    with pytest.raises(ValueError, match="^batch_size must be None for an iterable X"):
        network().predict(iter([X]), batch_size=3)


def test_outputs_of_different_shapes_are_no_array():
    model = nn.Model([nn.ReLU()])
    model.finalize()
    with pytest.raises(ValueError, match=r"^batch 1 of X gives outputs of shape \(2,\) a sample, but the first \(6,\)"):
        model.predict(each for each in (X, X[:, :2]))


def test_balanced_weights_need_all_labels():
    model = network()
    model.set(loss=nn.CategoricalCrossentropy(class_weights="balanced"))
    model.finalize()
    with pytest.raises(RuntimeError, match="computed from all labels of a training: call train with arrays or loss"):
        model.train(cut(X, Y))
    model.loss.prepare(Y)
    model.train(cut(X, Y))
    other = network()
    other.set(loss=nn.CategoricalCrossentropy(class_weights="balanced"))
    other.finalize()
    other.train(X, Y, batch_size=SIZE, shuffle=False)
    assert found(model) == found(other)


def test_an_error_of_the_iterable_is_its_own():
    def broken():
        yield X, Y
        raise KeyError("gone")

    model = network()
    for call in (model.train, model.evaluate, lambda batches: model.predict(batches)):
        with pytest.raises(KeyError, match="gone"):
            call(broken())
    model.train(cut(X, Y), epochs=2)


def test_data_frames_are_no_batches():
    pandas = needs("pandas")
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    assert network().predict(frame).tobytes() == network().predict(X).tobytes()
    with pytest.raises(TypeError, match="^y must be given for an array X, got None"):
        network().train(frame)


@pytest.mark.parametrize("call", (
    lambda model, loss: model.evaluate(X, Y), lambda model, loss: model.evaluate(cut(X, Y)),
    lambda model, loss: model.predict(X), lambda model, loss: loss.calculate(model.predict(X), Y),
    lambda model, loss: sharing(loss).train(X, Y)), ids=("evaluate", "batches", "predict", "loss", "other model"))
@pytest.mark.parametrize("way", ("batches", "augment", "validation", "evaluation"))
@pytest.mark.parametrize("steps", ("recorded", "layers"))
def test_what_is_computed_while_batches_are_made_does_not_count(call, way, steps):
    """Evaluations, and other uses of the same loss and accuracy, in the middle of an epoch."""
    model, other = network(), network()
    if steps == "layers":
        model.layers[0].forward, other.layers[0].forward = model.layers[0].forward, other.layers[0].forward

    def between(*arrays):
        for batch in cut(*arrays):
            yield batch
            call(model, model.loss)

    def augment(x, *_):
        call(model, model.loss)
        return x

    class Often:
        def __iter__(self):
            return between(X, Y)
    if way == "evaluation":
        assert model.evaluate(between(X, Y)) == other.evaluate(X, Y, batch_size=SIZE)
        return
    validation = {"validation_data": Often() if way == "validation" else (X, Y)}
    if way == "batches":
        model.train(Often(), epochs=3, validation_data=(X, Y))
        other.train(cut(X, Y), epochs=3, validation_data=(X, Y))
    else:
        more = {"augment": augment} if way == "augment" else {}
        model.train(X, Y, epochs=3, batch_size=SIZE, **validation, **more)
        other.train(X, Y, epochs=3, batch_size=SIZE, validation_data=cut(X, Y) if way == "validation" else (X, Y))
    assert found(model) == found(other)


def sharing(loss):
    model = network()
    model.set(loss=loss)
    model.finalize()
    return model

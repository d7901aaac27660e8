"""nn/training/callbacks.py: early stopping, checkpoints, the log, and how a training calls several."""

import csv

import numpy as np
import pytest

from nnjit import nn
from nnjit.nn.training.callbacks import Checkpoint, CSVLog, EarlyStopping, TerminateOnNaN

rng = np.random.default_rng(2)
X = rng.standard_normal((40, 5)).astype(np.float32)
Y = rng.integers(0, 3, 40)


def network():
    model = nn.Model()
    model.add(nn.Dense(5, 3, rng=1))
    model.add(nn.Softmax())
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(0.1), accuracy=nn.Accuracy())
    model.finalize()
    return model


class Script:
    """Give the model these losses, whatever it learned, and remember its weights."""

    def __init__(self, model, values, name="val_loss"):
        self.model, self.values, self.name, self.weights = model, values, name, []

    def __call__(self, epoch):
        self.weights.append(self.model.layers[0].weights.copy())
        self.model.history.setdefault(self.name, []).append(self.values[epoch - 1])


@pytest.mark.parametrize(("values", "options", "stops", "best"), (
    ([5, 4, 3, 3.5, 3.2, 1, 1], {"patience": 2}, 5, 3),
    ([5, 4, 3, 3.5, 2.9, 3, 3], {"patience": 2}, 7, 5),
    ([5, 4, 3.9, 3.8, 3.7], {"patience": 2, "least": 0.5}, 4, 2),
    ([5, 4, 3, 2, 1], {"patience": 1}, 5, 5),
    ([1, 2, 3, 2, 1], {"patience": 2, "minimize": False}, 5, 3),
    ([5, 4, 9, 9, 9], {"patience": 10}, 5, 2),
))
def test_early_stopping(values, options, stops, best):
    model = network()
    script = Script(model, values)
    stop = EarlyStopping(model, **options)
    model.train(X, Y, epochs=len(values), callback=[script, stop])
    assert len(model.history["loss"]) == stops == len(script.weights)
    assert stop.best_epoch == best and stop.best == values[best - 1]
    assert (model.layers[0].weights == script.weights[best - 1]).all()


@pytest.mark.parametrize("restore", (True, False))
def test_ctrl_c_restores_the_best_weights_too(restore):
    def interrupt(epoch):
        if epoch == 4:
            raise KeyboardInterrupt

    model = network()
    script = Script(model, [3, 1, 2, 2])
    with pytest.raises(KeyboardInterrupt):
        model.train(X, Y, epochs=9, callback=[script, EarlyStopping(model, restore=restore), interrupt])
    assert (model.layers[0].weights == script.weights[1 if restore else 3]).all()
    model.train(X, Y)
    assert len(model.history["loss"]) == 5


def test_early_stopping_may_keep_the_last_weights():
    model = network()
    script = Script(model, [1, 2, 3])
    model.train(X, Y, epochs=3, callback=(script, EarlyStopping(model, patience=1, restore=False)))
    assert len(script.weights) == 2 and (model.layers[0].weights == script.weights[-1]).all()


def test_accuracy_is_better_when_larger():
    model = network()
    script = Script(model, [0.5, 0.7, 0.6], "val_accuracy")
    stop = EarlyStopping(model, watch="val_accuracy", patience=1)
    model.train(X, Y, epochs=3, callback=[script, stop])
    assert stop.best_epoch == 2


def test_what_is_not_there_is_named():
    model = network()
    with pytest.raises(ValueError, match="no 'val_loss' to watch, only loss, .*rate: give train validation_data"):
        model.train(X, Y, epochs=2, callback=EarlyStopping(model))
    with pytest.raises(TypeError, match="callback must be a callable or a list of callables"):
        model.train(X, Y, callback=[3])
    with pytest.raises(ValueError, match="patience must be at least 1"):
        EarlyStopping(model, patience=0)


def test_checkpoints(tmp_path):
    model = network()
    script = Script(model, [3, 2, 4, 5])
    model.train(X, Y, epochs=4, callback=[script, Checkpoint(model, tmp_path / "best.npz", watch="val_loss"),
                                          Checkpoint(model, tmp_path / "last.npz")])
    for name, epoch in (("best.npz", 2), ("last.npz", 4)):
        assert (nn.Model.load(tmp_path / name).layers[0].weights == script.weights[epoch - 1]).all()


def test_csv_log(tmp_path):
    path, model = tmp_path / "log.csv", network()
    path.write_text("old")
    log = CSVLog(model, path)
    model.train(X, Y, epochs=3, validation_data=(X, Y), callback=log)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row.pop("epoch") for row in rows] == ["1", "2", "3"]
    assert rows[0].keys() == {"loss", "regularization_loss", "accuracy", "val_loss", "val_accuracy",
                              "learning_rate"}
    for name in rows[0]:
        assert [float(row[name]) for row in rows] == model.history[name]


def test_a_callback_can_end_the_training():
    def end(epoch):
        if epoch == 2:
            raise nn.StopTraining

    model = network()
    assert len(model.train(X, Y, epochs=9, callback=end)["loss"]) == 2
    model.train(X, Y, epochs=1)
    assert len(model.history["loss"]) == 3


def test_a_log_goes_on_behind_an_earlier_one(tmp_path):
    path = tmp_path / "a.csv"
    for append in (True, True, False):
        model = network()
        model.train(X, Y, epochs=2, callback=CSVLog(model, path, append=append))
        with open(path, newline="") as file:
            lines = list(csv.reader(file))
        assert [line[0] for line in lines].count("epoch") == 1 and lines[0][0] == "epoch"
        assert lines[-1] == ["2", *[repr(model.history[name][-1]) for name in lines[0][1:]]]
    assert len(lines) == 3
    model.train(X, Y, callback=CSVLog(model, path, append=True))
    assert len(path.read_text().splitlines()) == 4


@pytest.mark.parametrize("kind", (EarlyStopping, TerminateOnNaN, lambda model: Checkpoint(model, "a.npz"),
                                  lambda model: CSVLog(model, "a.csv")))
def test_a_callback_of_another_model_is_refused(kind):
    model, other = network(), network()
    with pytest.raises(ValueError, match="was made for another model than the one that is trained"):
        model.train(X, Y, validation_data=(X, Y), callback=[print, kind(other)])
    assert model.history["loss"] == []


def test_early_stopping_begins_anew_with_each_training():
    model = network()
    stop = EarlyStopping(model, patience=2)
    for values in ([1, 2, 0.5, 1, 1, 1], [9, 8, 8, 8, 8, 8]):
        script = Script(model, values)
        model.train(X, Y, epochs=6, callback=[script, stop])
        assert stop.best == min(values) and len(script.weights) == stop.best_epoch + 2
        assert (model.layers[0].weights == script.weights[stop.best_epoch - 1]).all()


def test_nan_is_never_the_best(tmp_path):
    for values, best in (([np.nan, 3, 2, 4], 3), ([np.nan] * 4, 0)):
        path, model = tmp_path / f"{best}.npz", network()
        script, stop = Script(model, values), EarlyStopping(model, patience=4)
        model.train(X, Y, epochs=4, callback=[script, stop, Checkpoint(model, path, watch="val_loss")])
        assert stop.best_epoch == best and stop.best == (values[best - 1] if best else None)
        assert (model.layers[0].weights == script.weights[best - 1]).all()  # without a best the last stay
        assert path.exists() == bool(best)
    assert (nn.Model.load(tmp_path / "3.npz").layers[0].weights != script.weights[0]).any()


def test_figures_of_an_earlier_training_are_not_watched():
    model = network()
    model.train(X, Y, epochs=2, validation_data=(X, Y))
    with pytest.raises(ValueError, match="no 'val_loss' to watch, only loss, regularization_loss, accuracy, "):
        model.train(X, Y, epochs=2, callback=EarlyStopping(model))
    model.history.clear()
    model.train(X, Y)
    stop = EarlyStopping(model, watch="loss")
    model.train(X, Y, epochs=3, callback=[stop, lambda epoch: model.history["loss"].clear()])
    assert stop.best_epoch == 3


def test_a_log_of_trainings_with_other_figures(tmp_path):
    path, model = tmp_path / "a.csv", network()
    log = CSVLog(model, path)
    model.train(X, Y, validation_data=(X, Y), callback=log)
    model.train(X, Y, callback=log)
    model.train(X, Y, callback=CSVLog(model, path, append=True))
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["val_loss"] for row in rows] == [repr(model.history["val_loss"][0]), "", ""]
    assert [float(row["learning_rate"]) for row in rows] == model.history["learning_rate"]
    other = tmp_path / "b.csv"
    log = CSVLog(model, other)
    model.train(X, Y, callback=log)
    before = other.read_bytes()
    for each in (log, CSVLog(model, other, append=True)):
        with pytest.raises(ValueError, match="b.csv has no column 'val_loss', only loss, regularization_loss, accura"):
            model.train(X, Y, validation_data=(X, Y), callback=each)
    assert other.read_bytes() == before
    other.write_text("my notes\n")
    with pytest.raises(ValueError, match="b.csv is not the log of a training: its first line must begin with 'epoch'"):
        model.train(X, Y, callback=CSVLog(model, other, append=True))
    assert other.read_text() == "my notes\n"


def test_a_path_that_is_none_is_refused_before_the_training():
    with pytest.raises(TypeError, match="PathLike"):
        Checkpoint(network(), 3)

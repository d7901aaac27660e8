"""A model's history: a dict as before, which draws itself."""

import copy
import json
import math
import os
import pickle
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from optional import needs

from nnjit import nn
from nnjit.nn.inspect import plot

FIGURES = {"loss": [1.0, 0.5, 0.25], "accuracy": [0.5, 0.75, 0.875], "val_loss": [1.5, 1.25, 1.125],
           "val_accuracy": [0.25, 0.5, 0.5], "learning_rate": [0.1, 0.05, 0.025], "regularization_loss": []}


@pytest.fixture
def history():
    needs("matplotlib")
    return nn.History({name: list(values) for name, values in FIGURES.items()})


def panels(figure):
    """By title: the curves (label, x, y) of each panel."""
    return {axes.get_title(loc="left"): [(line.get_label(), list(line.get_xdata()), list(line.get_ydata()))
                                         for line in axes.lines] for axes in figure.axes}


def trained(**more):
    X, y = nn.datasets.spiral(20, 3, seed=0)
    model = nn.Model()
    model.add(nn.Dense(2, 3, rng=0))
    model.add(nn.Softmax())
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(0.1, **more), accuracy=nn.Accuracy())
    model.finalize()
    with nn.use("numpy"):
        model.train(X, y, epochs=3, validation_data=(X, y))
    return model


# ---- a dict


def test_it_is_the_dict_it_was(tmp_path):
    history = nn.History(FIGURES)
    assert isinstance(history, dict) and history == FIGURES and repr(history) == repr(FIGURES)
    assert json.dumps(history) == json.dumps(FIGURES) and {**history} == FIGURES
    for again in (pickle.loads(pickle.dumps(history)), copy.deepcopy(history), copy.copy(history)):
        assert type(again) is nn.History and again == FIGURES


def test_a_model_keeps_it(tmp_path):
    model = trained()
    assert type(model.history) is nn.History and len(model.history["loss"]) == 3
    model.save(tmp_path / "a.npz")
    for again in (nn.Model.load(tmp_path / "a.npz"), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert type(again.history) is nn.History and again.history == model.history


class Loss(nn.CategoricalCrossentropy):
    """Of a user who computes with NumPy; `kind` is that of its numbers."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def accumulate(self, losses):
        return self.kind(super().accumulate(losses))

    def regularization_loss(self, layer=None):
        return self.kind(0.1)

    def calculate_accumulated(self, **more):
        return self.kind(super().calculate_accumulated(**more))


class Accuracy:
    def __init__(self, kind):
        self.kind = kind

    def new_pass(self):
        pass

    def calculate(self, outputs, y):
        return self.kind(0.3)

    def calculate_accumulated(self):
        return self.kind(0.3)


class Optimizer:
    def __init__(self, kind):
        self.kind = kind

    def pre_update_params(self):
        self.current_learning_rate = self.kind(0.1)

    def update_params(self, layer):
        layer.weights = layer.weights - np.float32(self.current_learning_rate) * layer.dweights

    def post_update_params(self):
        pass


def of_a_user(kind):
    X, y = nn.datasets.spiral(20, 3, seed=0)
    model = nn.Model()
    model.add(nn.Dense(2, 3, rng=0, weight_regularizer_l2=0.1))
    model.add(nn.Softmax())
    model.set(loss=Loss(kind), optimizer=Optimizer(kind), accuracy=Accuracy(kind))
    model.finalize()
    model.train(X, y, epochs=2, batch_size=25, validation_data=(X, y))
    return model.history


@pytest.mark.parametrize("kind", (np.float32, np.float64, lambda value: np.array(value, np.float32), Fraction))
def test_it_holds_floats_whatever_a_users_classes_return(kind):
    history = of_a_user(kind)
    assert {type(value) for values in history.values() for value in values} == {float}
    assert all(len(values) == 2 for values in history.values())
    assert json.loads(json.dumps(history)) == history == of_a_user(lambda value: float(kind(value)))


# ---- what is drawn


def test_a_panel_for_each_kind_of_figure(history):
    epochs = [1, 2, 3]
    assert panels(history.plot()) == {
        "loss": [("training 0.25", epochs, FIGURES["loss"]), ("validation 1.125", epochs, FIGURES["val_loss"])],
        "accuracy": [("training 0.875", epochs, FIGURES["accuracy"]),
                     ("validation 0.5", epochs, FIGURES["val_accuracy"])],
        "learning rate": [("0.025", epochs, FIGURES["learning_rate"])]}


def test_what_is_missing_is_left_out(history):
    history["learning_rate"] = [0.1, 0.1, 0.1]
    assert list(panels(history.plot())) == ["loss", "accuracy"]
    del history["learning_rate"], history["val_accuracy"]
    history["val_loss"], history["accuracy"] = [2.0], []
    assert panels(history.plot()) == {"loss": [("training 0.25", [1, 2, 3], FIGURES["loss"]),
                                               ("validation 2", [1], [2.0])]}


def test_of_a_training(history):
    figure = trained(decay=0.5).history.plot()
    assert {title: len(curves) for title, curves in panels(figure).items()} == {
        "loss": 2, "accuracy": 2, "learning rate": 1}
    assert list(panels(trained().history.plot())) == ["loss", "accuracy"]


def shown(figure, axes):
    """The labels of the ticks that lie in the panel."""
    figure.draw_without_rendering()
    low, high = axes.get_xlim()
    return [label.get_text() for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]


@pytest.mark.parametrize("epochs, ticks", [(1, ["1"]), (2, ["1", "2"]), (3, ["1", "2", "3"]),
                                           (60, ["20", "40", "60"]), (10**5, ["20000", "40000", "60000", "80000",
                                                                              "100000"])])
def test_epochs_are_whole_numbers_and_their_labels_do_not_overlap(history, epochs, ticks):
    figure = nn.History(loss=[1.0] * epochs, accuracy=[0.5] * epochs).plot()
    for axes in figure.axes:
        assert shown(figure, axes) == ticks
        boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert all(a.x1 < b.x0 for a, b in zip(boxes, boxes[1:]))


@pytest.mark.parametrize("values", ([0.25], [1.0, 0.5, 0.0], [-1.0, 2.0], [0.0, 0.0], [1e-9, 1e9], [1e38, 2e38],
                                    [1.0, math.nan, math.inf, 3.0], [math.nan] * 3, [1.0] * 40))
def test_curves_lie_in_their_panels_and_legends_between_these_and_the_titles(history, values):
    figure = nn.History(loss=values, val_loss=values, accuracy=values, learning_rate=[1, *values]).plot()
    figure.draw_without_rendering()
    for axes in figure.axes:
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        for _, x, y in panels(figure)[axes.get_title(loc="left")]:
            assert left < min(x) and max(x) < right
            assert all(low <= value <= high for value in y if math.isfinite(value))
            assert 0 in y or all(low < value < high for value in y if math.isfinite(value))
        box, legend = axes.get_window_extent(), axes.get_legend().get_window_extent()
        title = axes._left_title.get_window_extent()
        assert box.y1 <= legend.y0 and legend.y1 <= title.y0 and title.y1 <= figure.bbox.y1
        assert not axes.yaxis.get_offset_text().get_text()
        assert 0 <= title.x0 and legend.x1 <= box.x1 + 20


def test_the_axis_of_a_loss_begins_at_0_or_is_logarithmic(history):
    loss = nn.History(loss=[500.0, 0.5]).plot().axes[0]
    assert loss.get_yscale() == "linear" and loss.get_ylim()[0] == 0
    assert nn.History(loss=[501.0, 0.5]).plot().axes[0].get_yscale() == "log"
    assert nn.History(loss=[501.0], val_loss=[0.5]).plot().axes[0].get_yscale() == "log"
    assert nn.History(loss=[501.0, 0.5, 0.0]).plot().axes[0].get_yscale() == "linear"
    accuracy = nn.History(accuracy=[0.0001, 0.9]).plot().axes[0]
    assert accuracy.get_yscale() == "linear" and 1 < accuracy.get_ylim()[1] < 1.1


# ---- where it goes


@pytest.mark.parametrize("suffix, magic", [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_the_suffix_is_the_format(history, tmp_path, suffix, magic):
    path = tmp_path / f"a.{suffix}"
    figure = history.plot(path)
    assert path.read_bytes().startswith(magic) and len(figure.axes) == 3
    history.plot(str(path))


def test_nothing_is_written_without_a_path(history, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert type(history.plot()).__name__ == "Figure" and not list(tmp_path.iterdir())


def test_a_notebook_gets_the_picture(history):
    picture = history._repr_png_()
    assert picture.startswith(b"\x89PNG") and len(picture) > 5000
    assert nn.Model().history._repr_png_() is None


def test_an_empty_history_is_named(history):
    for empty in (nn.Model().history, nn.History(), nn.History(learning_rate=[0.1])):
        with pytest.raises(ValueError, match="the history is empty: train the model first"):
            empty.plot()


def test_mistakes_with_the_path(history, tmp_path):
    with pytest.raises(ValueError, match="'xyz' is not supported"):
        history.plot(tmp_path / "a.xyz")
    with pytest.raises(FileNotFoundError):
        history.plot(tmp_path / "none" / "a.png")


def test_without_matplotlib(monkeypatch):
    history = nn.History(FIGURES)
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"^plotting needs matplotlib: \.venv/bin/pip install '\.\[plot\]'$"):
        history.plot()
    assert history._repr_png_() is None


def test_a_plot_replaces_the_old_one_whole(history, tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    history.plot(path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda number: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match=r"No space left on device: '.*a.png'"):
        nn.History(loss=[2.0, 0.1]).plot(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_figures_of_a_training_that_diverged_are_drawn(history):
    nn.History(loss=[1e308, 1e-308, np.nan, np.inf])._repr_png_()


def test_there_is_no_pyplot():
    needs("matplotlib")
    code = ("import sys; from nnjit import nn; assert 'matplotlib' not in sys.modules; "
            "nn.History(loss=[1.0]).plot(); print('matplotlib.pyplot' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


# ---- the command line's picture


@pytest.mark.parametrize("changing", (True, False))
def test_the_command_line_draws_the_same_and_the_decisions(history, tmp_path, monkeypatch, changing):
    model = trained(decay=0.5 * changing)
    drawn = []
    real = plot.draw
    monkeypatch.setattr(plot, "draw", lambda *args, **more: drawn.append(real(*args, **more)) or drawn[-1])
    with nn.use("numpy"):
        plot.plot(tmp_path / "a.png", model, *nn.datasets.spiral(20, 3, seed=0), title="spiral")
    (figure, [decisions]), = drawn
    assert figure.get_suptitle() == "spiral" and (tmp_path / "a.png").stat().st_size > 5000
    found = panels(figure)
    assert found.pop("decisions") == [] and found == panels(model.history.plot())
    assert decisions is figure.axes[-1] and len(decisions.collections) == 3
    rows = {axes.get_subplotspec().rowspan.start for axes in figure.axes}
    assert rows == ({0, 1} if changing else {0})

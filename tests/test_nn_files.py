"""Files of models: those that earlier versions wrote give the same bits, and what is wrong with any other is named."""

import json
import re
from pathlib import Path

import faults
import numpy as np
import old_files
import pytest

from nnjit import nn
from nnjit.nn.formats import native

FILES = Path(__file__).parent / "files"


@pytest.mark.parametrize("name", old_files.BUILD)
def test_a_file_of_an_earlier_version_gives_the_same_bits(tmp_path, name):
    """Predicted, evaluated, trained on, and once more after it was saved by this version."""
    path, wish = FILES / f"{name}.npz", json.loads((FILES / f"{name}.json").read_text())
    for again in (tmp_path / "a.npz", tmp_path / "b.npz"):
        if name == "parameters":
            model = old_files.build(name)
            model.load_parameters(path)
            model.save_parameters(again)
        else:
            model = nn.Model.load(path)
            model.save(again)
        assert old_files.results(model, name) == wish
        path = again


def test_every_kept_file_is_read():
    assert sorted(path.stem for path in FILES.glob("*.npz")) == sorted(old_files.BUILD)
    assert [layer.trainable for layer in nn.Model.load(FILES / "frozen.npz").layers] == [True, False, True, True]


def branched():
    """A model whose description has a value of each kind."""
    model = nn.Model()
    for layer in (nn.Input((2, 2)), nn.Flatten(),
                  nn.Residual(nn.Dense(4, 4, rng=0), nn.LeakyReLU(0.25), shortcut=nn.Dense(4, 4, rng=1),
                              activation=nn.ELU(0.5)),
                  nn.Parallel(nn.Sequential(nn.Dense(4, 3, rng=2), nn.Dropout(0.25, seed=3)), nn.Identity()),
                  nn.Dense(7, 3, rng=4, weight_regularizer_l2=0.5), nn.Softmax()):
        model.add(layer)
    model.set(loss=nn.CategoricalCrossentropy(class_weights={0: 2.0, 2: 0.5}), accuracy=nn.TopKAccuracy(2), clip_norm=2,
              optimizer=nn.Adam(nn.schedules.WarmUp(3, nn.schedules.Cosine(0.1, steps=30))))
    model.finalize()
    model.train(np.ones((4, 2, 2)), [0, 1, 2, 0], epochs=2)
    return model


def measured():
    """One with a precision, balanced weights and a history that are numbers in the description."""
    model = nn.Model()
    model.add(nn.Dense(2, 1, rng=0, activation="sigmoid"))
    model.set(loss=nn.BinaryCrossentropy(class_weights="balanced"), accuracy=nn.RegressionAccuracy(),
              optimizer=nn.SGD(0.5, momentum=0.5))
    model.finalize()
    model.train(np.ones((4, 2)), [0, 1, 1, 0], epochs=2)
    return model


WRONG = (None, True, 7, -1, 0.5, 10**400, float("nan"), "", "x", [], ["x"], [None, 1], {}, {"x": 1}, {"class": 7},
         {"class": []}, {"class": "Dense"}, {"class": "Huber"}, {"class": "Cosine", "rate": 1},
         json.loads("[" * 100 + "]" * 100), faults.LEFT_OUT)
UNFIT = re.compile(r"one for each layer|must have \d+ inputs|the file lacks|gives other")  # said of another place


@pytest.mark.parametrize("build", (branched, measured))
def test_each_fault_of_a_description_is_named_with_its_place(tmp_path, build):
    build().save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        arrays = dict(file)
    loaded = refused = 0
    for way, found in faults.each(json.loads(arrays["model.json"].tobytes()), WRONG, turns=3):
        arrays["model.json"] = np.frombuffer(json.dumps(found).encode(), np.uint8)
        try:
            native._restore(dict(arrays))
            loaded += 1
        except (TypeError, ValueError) as error:
            refused += 1
            place = " ".join(["layer", *map(str, way[1:2])]) if way[0] == "layers" else way[0]
            assert place in str(error) or UNFIT.search(str(error)), way
            assert not faults.PYTHON.search(str(error)), way
    assert refused > 5 * loaded > 0

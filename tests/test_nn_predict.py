"""`nnjit predict`: what it reads, what it prints and writes, and what it refuses."""

import io
import itertools
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import zipfile

import children
import numpy as np
import pytest
from optional import needs

from nnjit import nn
from nnjit import cli
from nnjit.nn import files, nnfs
from nnjit.nn.commands import predict

pytestmark = pytest.mark.usefixtures("compiling_quietly")

rng = np.random.default_rng(4)
POINTS = rng.standard_normal((6, 2)).astype(np.float32)


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def build(*layers, accuracy=None):
    model = nn.Model()
    for layer in layers:
        model.add(layer)
    model.set(accuracy=accuracy)
    model.finalize()
    return model


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory with models: classes (2 -> 3), yes (2 -> 1), line (2 -> 2)."""
    monkeypatch.chdir(tmp_path)
    build(nn.Dense(2, 3, rng=0), nn.Softmax()).save("classes.npz")
    build(nn.Dense(2, 1, rng=1), nn.Sigmoid()).save("yes.npz")
    build(nn.Dense(2, 2, rng=2)).save("line.npz")
    return tmp_path


def scores(name, X=POINTS):
    """By hand, in float64."""
    weights, biases = nn.Model.load(name).get_parameters()[0]
    return X.astype(np.float64) @ weights.astype(np.float64) + biases


def run(capsys, *arguments, said=""):
    assert cli.main(["predict", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == said
    return [line.split() for line in out.splitlines()]


def points_csv(path, X=POINTS, header=""):
    path.write_text(header + "".join(",".join(map(str, row)) + "\n" for row in X))


# ---- what is printed


def test_a_softmax_gives_class_and_probability(folder, capsys):
    np.save("a.npy", POINTS)
    p = softmax(scores("classes.npz"))
    found = run(capsys, "classes.npz", "a.npy")
    assert [int(k) for k, _ in found] == p.argmax(axis=1).tolist() and len(set(p.argmax(axis=1))) > 1
    np.testing.assert_allclose([float(share) for _, share in found], p.max(axis=1), atol=6e-5)


def test_a_sigmoid_gives_probability_and_decision(folder, capsys):
    np.save("a.npy", POINTS)
    p = 1 / (1 + np.exp(-scores("yes.npz")[:, 0]))
    found = run(capsys, "yes.npz", "a.npy")
    np.testing.assert_allclose([float(share) for share, _ in found], p, atol=6e-5)
    assert [int(k) for _, k in found] == (p > 0.5).tolist() and 0 < (p > 0.5).sum() < 6
    # the threshold of the accuracy that the model was trained with; sigmoid in the layer itself; several outputs
    threshold = float(np.sort(p)[-1] + np.sort(p)[-2]) / 2
    model = build(nn.Dense(2, 2, activation="sigmoid"), accuracy=nn.BinaryAccuracy(threshold))
    model.layers[0].weights = np.repeat(nn.Model.load("yes.npz").layers[0].weights, 2, axis=1) * [1, -1]
    model.save("two.npz")
    found = run(capsys, "two.npz", "a.npy")
    np.testing.assert_allclose([list(map(float, line[:2])) for line in found], np.stack([p, 1 - p], 1), atol=6e-5)
    assert [line[2:] for line in found] == [[str(int(a > threshold)), str(int(1 - a > threshold))] for a in p]


def test_scores_are_said_as_what_the_loss_makes_of_them(folder, capsys):
    np.save("a.npy", POINTS)
    dense = nn.Model.load("classes.npz").layers[0], nn.Model.load("yes.npz").layers[0]
    for layers, loss, other in (((dense[0],), nn.SoftmaxCategoricalCrossentropy(), "classes.npz"),
                                ((dense[0], nn.LogSoftmax()), None, "classes.npz"),
                                ((dense[0], nn.LogSoftmax()), nn.NegativeLogLikelihood(), "classes.npz"),
                                ((dense[0], nn.Softmax(), nn.Flatten()), None, "classes.npz"),
                                ((dense[1],), nn.SigmoidBinaryCrossentropy(), "yes.npz"),
                                ((dense[1], nn.Sigmoid(), nn.Linear()), None, "yes.npz")):
        model = nn.Model()
        for layer in layers:
            model.add(layer)
        model.set(loss=loss)
        model.finalize()
        model.save("b.npz")
        assert run(capsys, "b.npz", "a.npy", "--output", "o.npy") == run(capsys, other, "a.npy")
        np.testing.assert_array_equal(np.load("o.npy"), model.predict(POINTS))  # as they are


def test_a_decision_is_that_of_the_accuracy(folder, capsys):
    np.save("a.npy", POINTS)
    dense, shares = nn.Model.load("yes.npz").layers[0], run(capsys, "yes.npz", "a.npy")
    x = scores("yes.npz")[:, 0]
    lowest = float(np.sort(x)[:2].mean())
    assert 0 < (x > 0).sum() < 6 and lowest < 0
    for accuracy, threshold in ((None, 0), (nn.BinaryAccuracy(), 0), (nnfs.Accuracy_Categorical(binary=True), 0),
                                (nn.RegressionAccuracy(), 0), (nn.BinaryAccuracy(0), 0), (nn.BinaryAccuracy(0.5), 0.5),
                                (nn.BinaryAccuracy(lowest), lowest)):
        model = nn.Model()
        model.add(dense)
        model.set(loss=nn.SigmoidBinaryCrossentropy(), accuracy=accuracy)
        model.finalize()
        model.save("b.npz")
        assert run(capsys, "b.npz", "a.npy") == [[share, str(int(score > threshold))]
                                                 for (share, _), score in zip(shares, x)]


def test_else_the_outputs_without_loss(folder, capsys):
    np.save("a.npy", POINTS)
    found = np.array(run(capsys, "line.npz", "a.npy")).astype(np.float32)
    np.testing.assert_array_equal(found, nn.Model.load("line.npz").predict(POINTS))
    np.testing.assert_allclose(found, scores("line.npz"), rtol=1e-5, atol=1e-6)


def test_the_books_models_and_float64(folder, capsys):
    model = nnfs.Model()
    model.add(nnfs.Layer_Dense(2, 3))
    model.layers[0].weights = rng.standard_normal((2, 3))
    assert model.layers[0].weights.dtype == np.float64
    model.add(nnfs.Activation_Softmax())
    model.set(loss=nnfs.Loss_CategoricalCrossentropy(), optimizer=nnfs.Optimizer_Adam(),
              accuracy=nnfs.Accuracy_Categorical())
    model.finalize()
    model.save("book.npz")
    X = rng.standard_normal((4, 2))
    np.save("a.npy", X)
    run(capsys, "book.npz", "a.npy", "--output", "o.npy")
    p = softmax(scores("book.npz", X))
    assert np.load("o.npy").dtype == np.float64
    np.testing.assert_allclose(np.load("o.npy"), p, rtol=1e-12)


# ---- what is read


@pytest.mark.parametrize("header", ["", "x,y\n", "\ufeff", "\n"])
def test_csv(folder, capsys, header, monkeypatch):
    np.save("a.npy", POINTS)
    wish = run(capsys, "line.npz", "a.npy")
    points_csv(folder / "A.CSV", header=header)
    said = "nnjit: note: {}, line 1: x,y is taken as column names, not as a sample\n" if "x" in header else ""
    assert run(capsys, "line.npz", "A.CSV", said=said.format("A.CSV")) == wish
    if header != "\ufeff":
        monkeypatch.setattr("sys.stdin", io.StringIO((folder / "A.CSV").read_text()))
        assert run(capsys, "line.npz", "-", said=said.format("stdin")) == wish
    (folder / "b.csv").write_text("".join(f'"{x}", {y}\r\n\r\n' for x, y in POINTS))
    assert run(capsys, "line.npz", "b.csv") == wish


def test_npy_and_npz(folder, capsys):
    np.save("a.npy", POINTS)
    wish = run(capsys, "line.npz", "a.npy")
    np.savez("one.npz", anything=POINTS.astype(">f8"))
    np.savez_compressed("more.npz", y=np.arange(3), X=np.asfortranarray(POINTS))
    np.save("deep.npy", POINTS.reshape(6, 1, 2))
    for name in ("one.npz", "more.npz", "deep.npy"):
        assert run(capsys, "line.npz", name) == wish
    np.save("whole.npy", np.array([[1, 0], [0, 1]], np.uint8))
    np.save("bool.npy", np.eye(2, dtype=bool))
    assert run(capsys, "line.npz", "whole.npy") == run(capsys, "line.npz", "bool.npy")


def test_images_are_scaled_as_in_training(folder, capsys):
    Image = needs("PIL.Image")
    build(nn.Dense(256, 2, rng=0)).save("pixels.npz")
    levels = np.arange(256, dtype=np.uint8)
    Image.fromarray(levels.reshape(8, 32)).save("10.png")
    (folder / "clothes" / "shirt").mkdir(parents=True)
    Image.fromarray(levels[::-1].reshape(8, 32)).save("clothes/9.png")
    Image.fromarray(levels.reshape(8, 32)).save("clothes/10.png")
    Image.fromarray(np.repeat(levels.reshape(8, 32, 1), 3, 2)).save("clothes/shirt/1.png")  # grey in colours
    (folder / "clothes" / ".DS_Store").touch()
    X = levels[None].astype(np.float32)
    X -= 127.5  # as datasets.fashion_mnist does
    X /= 127.5
    wish = [str(value) for value in nn.Model.load("pixels.npz").predict(X)[0]]
    back = [str(value) for value in nn.Model.load("pixels.npz").predict(X[:, ::-1])[0]]
    assert run(capsys, "pixels.npz", "10.png") == [wish]
    names = ["clothes/9.png", "clothes/10.png", "clothes/shirt/1.png"]
    assert run(capsys, "pixels.npz", "clothes") == [[*back, names[0]], [*wish, names[1]], [*wish, names[2]]]
    np.save("levels.npy", levels[None])
    assert run(capsys, "pixels.npz", "levels.npy", "--scale", "-1", "1") == [wish]
    # other scales, by the usual formulas in float32
    for scale, X in (((0, 1), levels.astype(np.float32) / np.float32(255)), ((0, 255), levels.astype(np.float32)),
                     ((1, -1), X[0, ::-1])):
        found = predict.read("10.png", scale)[0].astype(np.float32)
        np.testing.assert_array_equal(found.ravel(), X)


def test_a_transparent_drawing_is_white_where_nothing_is_drawn(folder, capsys):
    Image = needs("PIL.Image")
    build(nn.Dense(4, 4)).save("pixels.npz")
    model = nn.Model.load("pixels.npz")
    model.set_parameters([(np.eye(4, dtype=np.float32), np.zeros((1, 4), np.float32))])
    model.save("pixels.npz")
    alpha = np.array([[0, 255], [255, 0]], np.uint8)
    for name, ink in (("black", 0), ("white", 255)):
        (folder / name).mkdir()
        Image.fromarray(np.dstack([np.full((2, 2, 3), ink, np.uint8), alpha])).save(f"{name}/1.png")
    for arguments, wish in ((["black"], [1, -1, -1, 1]), (["black", "--scale", "1", "-1"], [-1, 1, 1, -1]),
                            (["white", "--background", "0"], [-1, 1, 1, -1])):
        for data in (arguments[0], f"{arguments[0]}/1.png"):
            found = run(capsys, "pixels.npz", data, *arguments[1:])
            assert [float(number) for number in found[0][:4]] == wish


def test_a_flatten_in_front_changes_nothing(folder, capsys):
    np.save("a.npy", POINTS)
    model = build(nn.Flatten(), nn.Dense(2, 2))
    model.set_parameters(nn.Model.load("line.npz").get_parameters())
    model.save("flat.npz")
    assert run(capsys, "flat.npz", "a.npy") == run(capsys, "line.npz", "a.npy")


# ---- --output


def test_samples_take_the_shape_of_an_input(folder, capsys):
    build(nn.Input((2, 3)), nn.Flatten(), nn.Dense(6, 3, rng=0), nn.Softmax()).save("input.npz")
    X = rng.standard_normal((4, 6)).astype(np.float32)
    np.save("flat.npy", X)
    np.save("shaped.npy", X.reshape(4, 2, 3))
    found = run(capsys, "input.npz", "flat.npy")
    assert found == run(capsys, "input.npz", "shaped.npy")
    assert [int(line[0]) for line in found] == scores("input.npz", X).argmax(axis=1).tolist()
    np.save("wrong.npy", np.ones((4, 3, 3)))
    assert cli.main(["predict", "input.npz", "wrong.npy"]) == 2
    assert capsys.readouterr().err == ("nnjit: error: wrong.npy has samples of 3 x 3 numbers, the model takes 2 x 3 "
                                       "numbers per sample\n")


def test_images_go_into_a_convolution(folder, capsys):
    Image = needs("PIL.Image")
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save("a.png")
    X = predict.read("a.png")[0]
    np.save("a.npy", X[:, None])
    for front in ([nn.Conv2d(1, 4, 3, rng=0)], [nn.MaxPool2d(2), nn.Residual(nn.Conv2d(1, 1, 3, padding=1, rng=0)),
                                                nn.Conv2d(1, 4, 3, rng=0)]):
        build(*front, nn.GlobalAvgPool2d(), nn.Dense(4, 3, rng=1), nn.Softmax()).save("grey.npz")
        outputs = nn.Model.load("grey.npz").predict(X[:, None])[0]
        assert run(capsys, "grey.npz", "a.png") == run(capsys, "grey.npz", "a.npy") == [
            [str(outputs.argmax()), f"{outputs.max():.4f}"]]
    nn.models.lenet5(channels=3, size=12).save("known.npz")
    build(nn.Conv2d(3, 4, 3), nn.GlobalAvgPool2d(), nn.Dense(4, 3)).save("colour.npz")
    build(nn.Conv2d(1, 4, 9), nn.GlobalAvgPool2d(), nn.Dense(4, 3)).save("wide.npz")
    grey = ": images are read as grey levels, use Model.predict for colours"
    for arguments, said in (
            (["known.npz", "a.png"], f"a.png has samples of 6 x 8 numbers, the model takes 3 x 12 x 12 numbers per "
                                     f"sample{grey}"),
            (["colour.npz", "a.png"], f"a.png does not fit the model: layer 0, Conv2d(3, 4, 3), must have 1 channels, "
                                      f"not 3{grey}"),
            (["colour.npz", "a.npy"], "a.npy does not fit the model: layer 0, Conv2d(3, 4, 3), must have 1 channels, "
                                      "not 3"),
            (["wide.npz", "a.png"], "a.png does not fit the model: layer 0, Conv2d(1, 4, 9), has a window of 9 "
                                    "elements, larger than the padded image of 6")):
        assert cli.main(["predict", *arguments]) == 2
        assert capsys.readouterr().err == f"nnjit: error: {said}\n"


def predicted(capsys, text, columns, *more):
    """What the command makes of a file: its code, the outputs, and stderr."""
    build(nn.Dense(columns, 1, rng=0)).save("any.npz")
    with open("a.csv", "w", encoding="utf-8", newline="") as file:
        file.write(text)
    code = cli.main(["predict", "any.npz", "a.csv", *more])
    out, err = capsys.readouterr()
    return code, out.split(), err


def outputs(X):
    return [str(value) for value in nn.Model.load("any.npz").predict(np.array(X, np.float32))[:, 0]]


@pytest.mark.parametrize("text, shown", [
    ("0,1\n5,6\n7,8\n", "0,1"), ("\ufeff0,1,2\n5,6,7\n", "0,1,2"), ('"0"," 1", 2 \r\n5,6,7\r\n', "0,1,2"),
    ("\n0,1,2,3\n5,6,7,8\n", "0,1,2,3"), ("0,1,2,3,4\n5,6,7,8,9\n", "0,1,2,...,4"),
    (f"{','.join(map(str, range(1, 11)))}\n{','.join('9' * 10)}\n", "1,2,3,...,10")])
def test_columns_that_are_numbered_are_names(folder, capsys, text, shown):
    """As pandas writes them that have no names, also where the first was taken out."""
    rows = [line.split(",") for line in text.split()[1:] if line[0] in "579"]
    X = np.array(rows, float)
    code, found, err = predicted(capsys, text, X.shape[1])
    assert (code, found) == (0, outputs(X))
    line = 2 if text[0] == "\n" else 1
    assert err == (f"nnjit: note: a.csv, line {line}: {shown} is taken as column names, not as a sample: if it is one, "
                   f"write {shown.split(',')[0]}.0 for its first number\n")


@pytest.mark.parametrize("text", ["0.0,1\n5,6\n", "0,2\n5,6\n", "00,1\n5,6\n", "5,6\n0,1\n", "2,3\n4,5\n", "1\n2\n"])
def test_other_numbers_are_samples(folder, capsys, text):
    X = [[float(field) for field in line.split(",")] for line in text.split()]
    assert predicted(capsys, text, len(X[0])) == (0, outputs(X), "")


def test_names_of_which_one_is_no_number(folder, capsys):
    """The label's, say: the line is no sample, and the count of columns tells what is wrong."""
    code, found, err = predicted(capsys, "0,1,label\n5,6,2\n7,8,2\n", 2)
    assert (code, found) == (2, [])
    assert err.splitlines() == [
        "nnjit: note: a.csv, line 1: 0,1,label is taken as column names, not as a sample",
        "nnjit: error: a.csv has 3 columns, the model takes 2 numbers per sample: leave out a column of labels or of "
        "row numbers (pandas: to_csv(..., index=False))"]


FILL_IN = "a model needs all numbers of a sample: fill it in, or leave out the line"
TOO_MANY = "a.csv has 3 columns, the model takes 2 numbers per sample: "
TWO = "a.csv has 2 columns, the model takes 1 number per sample: "
DECIMAL = "if the commas are decimal ones, write 1.5 for 1,5"
PANDAS = "(pandas: to_csv(..., index=False))"


@pytest.mark.parametrize("text, columns, wish", [
    ("0,1\n", 2, "a.csv contains no samples, only the column names 0,1: if they are a sample, write 0.0 for its first "
     "number"),
    (",0,1\n0,5,6\n", 2, "a.csv, line 1, column 1: must be a number, got '': if pandas has numbered the rows there, "
     "write to_csv(..., index=False)"),
    ("0,5.5,6\n1,7,8\n", 2, f"{TOO_MANY}the first column numbers the rows, leave it out {PANDAS}"),
    ("1,5,6\n2,7,8\n", 2, f"{TOO_MANY}the first column numbers the rows, leave it out {PANDAS}"),
    ("1.5,5,0\n1.5,7,0\n", 2, f"{TOO_MANY}leave out a column of labels or of row numbers {PANDAS}"),
    ("0.5\n", 3, "a.csv has 1 column, the model takes 3 numbers per sample"),
    ("1,5\n3,25\n", 1, f"{TWO}{DECIMAL}: else leave out a column of labels or of row numbers {PANDAS}"),
    ("1,5\n2,7\n", 1, f"{TWO}{DECIMAL}: else the first column numbers the rows, leave it out {PANDAS}"),
    ("1,5\n3,-2\n", 1, f"{TWO}leave out a column of labels or of row numbers {PANDAS}"),
    ("1.5,5\n3,2\n", 1, f"{TWO}leave out a column of labels or of row numbers {PANDAS}"),
    ("1,5,-2,5\n3,25,0,5\n", 2, f"a.csv has 4 columns, the model takes 2 numbers per sample: {DECIMAL}"),
    ("1,5\n3\n", 1, f"a.csv, line 2: 1 column, but 2 before: {DECIMAL}"),
    ("3\n1,5\n", 1, f"a.csv, line 2: 2 columns, but 1 before: {DECIMAL}"),
    ("3\n1.5,5\n", 1, "a.csv, line 2: 2 columns, but 1 before"),
    (",\n1,2\n", 2, f"a.csv, line 1, column 1: must be a number, got '': {FILL_IN}"),
    ("5, ,6\n", 3, f"a.csv, line 1, column 2: must be a number, got ' ': {FILL_IN}"),
    ("0,1,NA\n1,2,3\n", 3, f"a.csv, line 1, column 3: must be a number, got 'NA': {FILL_IN}"),
    ("0,1,2O\n1,2,3\n", 3, "a.csv, line 1, column 3: must be a number, got '2O'")])
def test_what_is_no_sample_is_said_with_its_way_out(folder, capsys, text, columns, wish):
    assert predicted(capsys, text, columns) == (2, [], f"nnjit: error: {wish}\n")


def test_an_array_with_a_column_of_row_numbers(folder, capsys):
    build(nn.Dense(2, 1, rng=0)).save("any.npz")
    np.save("a.npy", [[0, 5, 6], [1, 7, 8]])
    assert cli.main(["predict", "any.npz", "a.npy"]) == 2
    assert "a.npy has 3 columns, the model takes 2 numbers per sample: the first column num" in capsys.readouterr().err


@pytest.mark.parametrize("text, line, wish", [
    ("0.1;0.2\n", 1, "';'"), ("0.1\t0.2\n", 1, "tabs"), ("1|2|3\n", 1, "'|'"), ("  0.1   0.2 \n", 1, "spaces"),
    ("\ufeff1;2\n", 1, "';'"), ("0;1\n5;6\n", 1, "';'"), ("x;y\n1;2\n", 2, "';'"), ("x,y\n1,2\n3;4\n", 3, "';'"),
    ("1;2;\n", 1, "';'"), ("1; 2\n", 1, "';'"), ("1,5;2,0\n", 1, "';', and write 1.5 for 1,5"),
    ('"1,5";"2,0"\n', 1, "';', and write 1.5 for 1,5"), ("x;y\n3;-2,25\n", 2, "';', and write -2.25 for -2,25"),
    ("1,5\t2\n", 1, "tabs, and write 1.5 for 1,5")])
def test_other_separators_are_named(folder, capsys, text, line, wish, monkeypatch):
    wish = f"line {line}: separate the numbers by commas, not by {wish}\n"
    assert predicted(capsys, text, 2) == (2, [], f"nnjit: error: a.csv, {wish}")
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert cli.main(["predict", "any.npz", "-"]) == 2
    assert capsys.readouterr().err == f"nnjit: error: stdin, {wish}"


@pytest.mark.parametrize("text", ["a\tb\n", "x;y\n"])
def test_a_header_alone(folder, capsys, text):
    assert predicted(capsys, text, 2) == (2, [], "nnjit: error: a.csv contains no samples, only a header: numbers must "
                                          "be separated by commas\n")


def test_output_has_all_bits(folder, capsys):
    np.save("a.npy", POINTS)
    printed = run(capsys, "classes.npz", "a.npy")
    expected = nn.Model.load("classes.npz").predict(POINTS)
    for name in ("o.npy", "o.csv"):
        (folder / name).write_text("old")
        assert run(capsys, "classes.npz", "a.npy", "--output", name) == printed
    found = np.load("o.npy")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.loadtxt("o.csv", delimiter=",", dtype=np.float32), expected)


def test_outputs_of_more_dimensions(folder, capsys):
    """A line a sample all the same; a csv file cannot hold their shape."""
    X = rng.standard_normal((4, 2, 3)).astype(np.float32)
    np.save("x.npy", X)
    logistic = 1 / (1 + np.exp(-X.reshape(4, 6).astype(np.float64)))
    for layer, wish in ((nn.Linear(), X.reshape(4, 6)), (nn.Sigmoid(), np.hstack([logistic, logistic > 0.5]))):
        build(nn.Input((2, 3)), layer).save("deep.npz")
        found = run(capsys, "deep.npz", "x.npy", "--output", "o.npy")
        np.testing.assert_allclose(np.array(found, float), wish, atol=6e-5)
        assert np.load("o.npy").shape == X.shape
        assert cli.main(["predict", "deep.npz", "x.npy", "--output", "o.csv"]) == 2
        assert capsys.readouterr() == ("", "nnjit: error: --output o.csv has one line per sample, and the outputs have "
                                       "shape (4, 2, 3): write to a .npy file\n")
        assert not (folder / "o.csv").exists()
    build(nn.Input((2, 3)), nn.Softmax()).save("deep.npz")
    assert cli.main(["predict", "deep.npz", "x.npy"]) == 2
    assert capsys.readouterr() == ("", "nnjit: error: deep.npz: inputs must have 2 dimensions, got shape (4, 2, 3)\n")


def test_samples_that_are_a_single_number(folder, capsys):
    build(nn.Input(()), nn.ReLU()).save("one.npz")
    (folder / "a.csv").write_text("1.5\n-2.5\n")
    assert run(capsys, "one.npz", "a.csv", "--output", "o.csv") == [["1.5"], ["0.0"]]
    assert (folder / "o.csv").read_text() == "1.5\n0.0\n"
    (folder / "a.csv").write_text("1.5,2\n")
    assert cli.main(["predict", "one.npz", "a.csv"]) == 2
    assert capsys.readouterr().err.startswith(f"nnjit: error: {TWO}")


def test_output_is_written_whole_or_not_at_all(folder, capsys, monkeypatch):
    np.save("a.npy", POINTS)
    (folder / "o.npy").write_text("old")

    def full(file, outputs):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    before = sorted(os.listdir())
    assert cli.main(["predict", "line.npz", "a.npy", "--output", "o.npy"]) == 2
    assert capsys.readouterr() == ("", "nnjit: error: [Errno 28] No space left on device: 'o.npy'\n")
    assert (folder / "o.npy").read_text() == "old" and sorted(os.listdir()) == before


# ---- mistakes


def test_nan_and_infinity_are_warned_of(folder, capsys):
    (folder / "a.csv").write_text("3,2\nnan,1\n3,4\n1,1e39\n")
    for name in ("classes.npz", "yes.npz", "line.npz"):
        assert cli.main(["predict", name, "a.csv"]) == 0
        out, err = capsys.readouterr()
        assert err == ("nnjit: warning: 2 of 4 samples contain nan or infinity, the first is number 2: "
                       "their predictions are meaningless\n")
        lines = out.splitlines()
        assert lines[1] == "nan nan" and "nan" not in lines[0] + lines[2]


def test_predictions_that_are_not_finite_are_warned_of(folder, capsys):
    """Of samples that are: the model's training diverged, or its outputs are too large for their dtype."""
    for name, scale in (("line.npz", np.nan), ("classes.npz", np.nan), ("line.npz", 3e38)):
        model = nn.Model.load(name)
        layer = next(layer for layer in model.layers if hasattr(layer, "weights"))
        layer.weights = np.full_like(layer.weights, scale)
        model.save("odd.npz")
        (folder / "a.csv").write_text("nan,5\n0,0\n7,7\n")
        assert cli.main(["predict", "odd.npz", "a.csv"]) == 0
        count = 1 if np.isfinite(scale) else 2
        assert capsys.readouterr().err.splitlines()[1:] == [
            f"nnjit: warning: {count} of 3 predictions are nan or infinity, but their samples are finite: the model's "
            "training may have diverged"]


FILES = {  # name: what it holds
    "empty.csv": b"", "header.csv": b"x,y\n", "text.csv": b"x,y\n1,2\n3,four\n", "part.csv": b"1,y\n1,2\n",
    "twice.csv": b"x,y\nx,y\n1,2\n", "gap.csv": b"1,2\n3,\n", "ragged.csv": b"1.5,2\n\n1,2,3\n", "wide.csv": b"7,2,3\n",
    "semicolon.csv": b"1,2\n3;4\n", "latin.csv": b"1,\xff\n",
    "wide16.csv": "5,6\n".encode("utf-16"), "long.csv": b"1,2\n" + b"x" * 200_000,
    "text.npy": b"hello", "text.npz": b"hello", "pixels.txt": b"1,2\n",
    "huge.npy": b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999, 2)}"
                .ljust(117) + b"\n"}
ARRAYS = {"object.npy": np.array([{}], object), "flat.npy": np.ones(2), "zero.npy": np.float32(1),
          "rows.npy": np.ones((0, 2)), "words.npy": np.array([["a", "b"]]), "complex.npy": np.ones((2, 2), complex),
          "deep.npy": np.ones((2, 3, 4)), "levels.npy": np.array([[0, 300]]),
          "gaps.npy": np.array([[-7, np.nan], [5, 0]])}


@pytest.mark.parametrize("arguments, text", [
    (["none.npz", "flat.npy"], r"\[Errno 2\] No such file or directory: 'none.npz'"),
    (["line.npz", "none.csv"], r"\[Errno 2\] No such file or directory: 'none.csv'"),
    (["line.npz", "none.npy"], r"\[Errno 2\] No such file or directory: 'none.npy'"),
    (["line.npz", "none"], "none must end in .csv, .npy, .npz or .bmp, .*, or be a folder or -"),
    (["line.npz", "pixels.txt"], "pixels.txt must end in .csv"),
    (["text.csv", "line.npz"], "text.csv contains no model: it is damaged, or not an npz file"),
    (["weights.npz", "flat.npy"], "weights.npz contains no model: it has no model.json, but layer0.weights"),
    ([".", "flat.npy"], r"\[Errno 21\] Is a directory: '.'"),
    (["line.npz"], "the following arguments are required: DATA"),
    (["line.npz", "empty.csv"], "empty.csv contains no samples"),
    (["line.npz", "header.csv"], "header.csv contains no samples"),
    (["line.npz", "text.csv"], "text.csv, line 3, column 2: must be a number, got 'four'"),
    (["line.npz", "part.csv"], "part.csv, line 1, column 2: must be a number, got 'y'"),
    (["line.npz", "twice.csv"], "twice.csv, line 2, column 1: must be a number, got 'x'"),
    (["line.npz", "gap.csv"], "gap.csv, line 2, column 2: must be a number, got ''"),
    (["line.npz", "ragged.csv"], "ragged.csv, line 3: 3 columns, but 2 before\n"),
    (["line.npz", "wide.csv"], "wide.csv has 3 columns, the model takes 2 numbers per sample"),
    (["line.npz", "semicolon.csv"], "semicolon.csv, line 2: separate the numbers by commas, not by ';'"),
    (["line.npz", "latin.csv"], "latin.csv is not text with commas in UTF-8: 'utf-8' codec"),
    (["line.npz", "wide16.csv"], "wide16.csv is not text with commas in UTF-8: 'utf-8' codec"),
    (["line.npz", "long.csv"], "long.csv is not text with commas in UTF-8: field larger than"),
    (["line.npz", "text.npy"], "text.npy contains no samples: "),
    (["line.npz", "text.npz"], "text.npz contains no samples: it is damaged, or not an npz file"),
    (["line.npz", "cut.npz"], "cut.npz contains no samples: "),
    (["line.npz", "huge.npy"], "huge.npy contains no samples: "),
    (["line.npz", "object.npy"], "object.npy contains no samples: it contains Python objects, not numbers"),
    (["line.npz", "object.npz"], "object.npz contains no samples: it contains Python objects, not numbers"),
    (["line.npz", "two.npz"], "two.npz contains no samples: it must contain an array X, or a single array, got a, b"),
    (["line.npz", "flat.npy"], r"flat.npy must have shape \(samples, numbers\), got \(2,\)"),
    (["line.npz", "zero.npy"], r"zero.npy must have shape \(samples, numbers\), got \(\)"),
    (["line.npz", "rows.npy"], "rows.npy contains no samples"),
    (["line.npz", "words.npy"], "words.npy must contain real numbers, got dtype <U1"),
    (["line.npz", "complex.npy"], "complex.npy must contain real numbers, got dtype complex128"),
    (["line.npz", "deep.npy"], "deep.npy has samples of 3 x 4 numbers, the model takes 2 numbers per sample"),
    (["line.npz", "levels.npy", "--scale", "0", "1"], "--scale takes numbers in 0..255, levels.npy holds 0 to 300"),
    (["line.npz", "gaps.npy", "--scale", "0", "1"], "--scale takes numbers in 0..255, gaps.npy holds -7 to 5"),
    (["line.npz", "levels.npy", "--scale", "0"], "argument --scale: expected 2 arguments"),
    (["line.npz", "levels.npy", "--scale", "0", "x"], "argument --scale: must be a number, got 'x'"),
    (["line.npz", "levels.npy", "--scale", "0", "inf"], r"argument --scale: must be in -1e\+30..1e\+30, got inf"),
    (["line.npz", "levels.npy", "--background", "0"], "--background goes with images, got levels.npy"),
    (["line.npz", "bare", "--background", "256"], "argument --background: must be in 0..255, got 256"),
    (["line.npz", "levels.npy", "--output", "a.txt"], "argument --output: must end in .npy or .csv, got 'a.txt'"),
    (["line.npz", "levels.npy", "--output", "no/a.npy"], "argument --output: there is no folder no"),
    (["line.npz", "bare"], "no images in bare"),
    (["line.npz", "damaged.png"], "damaged.png: it is damaged, or not a PNG image"),
    (["line.npz", "none.png"], r"\[Errno 2\] No such file or directory: '(.*/)?none.png'"),
])
def test_mistakes_are_one_line(folder, arguments, text, capsys):
    if arguments[1:] and arguments[1] in ("damaged.png", "none.png"):
        needs("PIL")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    for name, array in ARRAYS.items():
        np.save(name, array)
    np.savez("object.npz", X=ARRAYS["object.npy"])
    np.savez("two.npz", a=np.ones(2), b=np.ones(2))
    nn.Model.load("line.npz").save_parameters("weights.npz")
    (folder / "cut.npz").write_bytes((folder / "two.npz").read_bytes()[:-30])
    (folder / "damaged.png").write_bytes(b"hello")
    (folder / "bare").mkdir()
    before = sorted(os.listdir())
    assert cli.main(["predict", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and re.match(f"nnjit: error: {text}", err) and err.count("\n") == 1 and err.endswith("\n")
    assert sorted(os.listdir()) == before


def test_numbers_that_are_read_by_half_are_noticed(folder, capsys):
    for name in ("a.npy", "a.npz"):
        (np.save if name == "a.npy" else np.savez)(name, np.ones((3000, 2), np.float32))
        content = bytearray((folder / name).read_bytes())
        content[content.index(b"'<f4'") + 3] = ord("2")
        (folder / name).write_bytes(content)
        assert cli.main(["predict", "line.npz", name]) == 2
        assert re.match(f"nnjit: error: {name} contains no samples: (there is more data than|it is damaged)",
                        capsys.readouterr().err)


def test_without_pillow_one_line(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    (folder / "a.png").touch()
    assert cli.main(["predict", "line.npz", "a.png"]) == 2
    assert capsys.readouterr().err == "nnjit: error: images need Pillow: .venv/bin/pip install '.[images]'\n"


def test_a_pickle_is_not_run(folder, capsys):
    class Harm:
        def __reduce__(self):
            return os.mkdir, ("harm",)

    np.save("a.npy", np.array([Harm()], object))
    assert cli.main(["predict", "line.npz", "a.npy"]) == 2
    assert not (folder / "harm").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(folder, capsys):
    (folder / "a.csv").write_text("1,2\n")
    (folder / "a.csv").chmod(stat.S_IWUSR)
    assert cli.main(["predict", "line.npz", "a.csv"]) == 2
    assert "Permission denied: 'a.csv'" in capsys.readouterr().err


def test_stdin_with_a_mark_of_byte_order_or_closed(folder, capsys, monkeypatch):
    for text in ("\ufeff7,2\n3,4\n", "\ufeff\n7,2\n3,4\n", '\ufeff"7",2\n3,4'):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        assert predict.read("-")[0].tolist() == [[7, 2], [3, 4]]
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert predict.read("-")[0].size == 0
    monkeypatch.setattr("sys.stdin", None)
    assert cli.main(["predict", "line.npz", "-"]) == 2
    assert capsys.readouterr().err == "nnjit: error: stdin is closed\n"


def test_samples_that_hold_nan_are_counted_not_their_rows(tmp_path, capsys):
    build(nn.Input((2, 2)), nn.Flatten(), nn.Dense(4, 3, rng=0), nn.Softmax()).save(tmp_path / "a.npz")
    X = np.zeros((2, 4))
    X[1, :3] = np.nan
    np.save(tmp_path / "x.npy", X)
    assert cli.main(["predict", str(tmp_path / "a.npz"), str(tmp_path / "x.npy")]) == 0
    assert "warning: 1 of 2 samples contain nan or infinity, the first is number 2:" in capsys.readouterr().err


# ---- what has no end


DEVICE = "is a device, must be a regular file or a pipe"
TOO_MUCH = "the pipe gives more than 1048576 bytes: write them to a file"


DEVICES = """
import io, json, os, resource, sys
from nnjit import nn
from nnjit import cli
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (600 << 20), resource.RLIM_INFINITY))
found = {}
model = nn.Model.load("line.npz")
for device in sys.argv[1:]:
    sys.stderr = io.StringIO()
    for suffix in ("csv", "npy", "npz"):
        os.symlink(device, "device." + suffix)
        assert cli.main(["predict", "line.npz", "device." + suffix]) == 2
        os.unlink("device." + suffix)
    with open(device) as sys.stdin:
        assert cli.main(["predict", "line.npz", "-"]) == 2
    assert cli.main(["predict", device, "device.csv"]) == 2
    for load in (model.load_parameters, nn.datasets.load_idx):
        try:
            load(device)
        except ValueError as error:
            print(error, file=sys.stderr)
    found[device] = sys.stderr.getvalue().splitlines()
print(json.dumps(found))
"""


def test_devices_are_refused(folder):
    devices = [each for each in ("/dev/zero", "/dev/urandom", "/dev/full", "/dev/null") if os.path.exists(each)]
    found = children.finish(children.start("-c", DEVICES, *devices))
    for device in devices:
        assert found[device] == [
            f"nnjit: error: device.csv: it {DEVICE}", f"nnjit: error: device.npy contains no samples: it {DEVICE}",
            f"nnjit: error: device.npz contains no samples: it {DEVICE}", f"nnjit: error: stdin: it {DEVICE}",
            f"nnjit: error: {device} contains no model: it {DEVICE}",
            f"{device} contains no parameters of this model: it {DEVICE}", f"{device}: it {DEVICE}"]


def test_sockets_are_refused(folder, capsys):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a.csv")
        assert cli.main(["predict", "line.npz", "a.csv"]) == 2
    assert capsys.readouterr().err == "nnjit: error: a.csv: it is a socket, must be a regular file or a pipe\n"


def test_a_socket_as_stdin(folder, capsys, monkeypatch):
    """As Node.js gives it to its children."""
    points_csv(folder / "a.csv")
    wish = run(capsys, "line.npz", "a.csv")
    ours, theirs = socket.socketpair()
    with ours, theirs, theirs.makefile() as file:
        ours.sendall((folder / "a.csv").read_bytes())
        ours.shutdown(socket.SHUT_WR)
        monkeypatch.setattr("sys.stdin", file)
        assert run(capsys, "line.npz", "-") == wish


def pour(path, content):
    """Write into a pipe from another thread, until its reader has gone."""
    def write():
        try:
            with open(path, "wb", buffering=0) as file:
                for block in content:
                    file.write(block)
        except BrokenPipeError:
            pass

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def endless(block):
    """Far more than a pipe may give; a test must end."""
    return itertools.repeat(block, (16 << 20) // len(block))


@pytest.fixture
def small_pipes(monkeypatch):
    monkeypatch.setattr(files, "PIPE", 1 << 20)


@pytest.mark.parametrize("name, start", [("a.csv", b"1,2\n"), ("a.npy", b"\x93NUMPY"), ("a.npz", b"PK\3\4")])
def test_endless_pipes_end(folder, capsys, small_pipes, name, start):
    os.mkfifo(name)
    writer = pour(name, endless(start * 1000))
    assert cli.main(["predict", "line.npz", name]) == 2
    assert re.fullmatch(f"nnjit: error: {name}.*: {TOO_MUCH}\n", capsys.readouterr().err)
    writer.join(60)
    writer = pour(name, endless(start * 1000))
    with pytest.raises(ValueError, match=f"{name}.*: {TOO_MUCH}"):
        (nn.datasets.load_idx if name == "a.npy" else nn.Model.load)(name)
    writer.join(60)


def test_pipes_of_known_end_are_read(folder, capsys, small_pipes):
    np.save("a.npy", POINTS)
    np.savez_compressed("a.npz", POINTS)
    points_csv(folder / "a.csv")
    wish = run(capsys, "line.npz", "a.npy")
    for suffix in ("csv", "npy", "npz"):
        os.mkfifo(f"pipe.{suffix}")
        writer = pour(f"pipe.{suffix}", [(folder / f"a.{suffix}").read_bytes()])
        assert run(capsys, "line.npz", f"pipe.{suffix}") == wish
        writer.join(60)
        writer = pour(f"pipe.{suffix}", [(folder / "line.npz").read_bytes()])
        assert run(capsys, f"pipe.{suffix}", "a.npy") == wish
        writer.join(60)
    model = nn.Model.load("line.npz")
    model.save_parameters("weights.npz")
    writer = pour("pipe.npz", [(folder / "weights.npz").read_bytes()])
    model.load_parameters("pipe.npz")
    writer.join(60)


def test_images_must_be_regular_files(folder):
    needs("PIL")
    os.mkfifo("pipe.png")
    os.symlink("/dev/zero", "device.png")
    for name, kind in (("pipe.png", "a pipe"), ("device.png", "a device")):  # which are read twice
        done = subprocess.run([sys.executable, "-m", "nnjit.nn", "predict", "line.npz", name], capture_output=True,
                              text=True, timeout=120)
        assert (done.returncode, done.stderr) == (2, f"nnjit: error: {name}: it is {kind}, must be a regular file\n")


SHELL = """
nnjit="$PYTHON -m nnjit.nn"
$nnjit predict /dev/stdin a.csv < line.npz
cat line.npz | $nnjit predict /dev/stdin a.csv
$nnjit predict <(cat line.npz) - < a.csv
cat a.csv | $nnjit predict line.npz -
"""


def test_what_a_shell_hands_over(folder, capsys):
    points_csv(folder / "a.csv")
    wish = run(capsys, "line.npz", "a.csv")
    done = subprocess.run(["bash", "-c", SHELL], capture_output=True, text=True, timeout=300,
                          env={**os.environ, "PYTHON": sys.executable})
    assert (done.stderr, [line.split() for line in done.stdout.splitlines()]) == ("", wish * 4)


@pytest.mark.parametrize("block, text", [
    ("1,2\n" * 1000, TOO_MUCH), ("\n" * 1000, TOO_MUCH),
    ("1," * 1000, "it has a line of more than 65536 characters")])
def test_endless_stdin_ends(folder, capsys, monkeypatch, small_pipes, block, text):
    monkeypatch.setattr(files, "LINE", 1 << 16)
    os.mkfifo("a")
    writer = pour("a", endless(block.encode()))
    with open("a") as file:
        monkeypatch.setattr("sys.stdin", file)
        assert cli.main(["predict", "line.npz", "-"]) == 2
    assert capsys.readouterr().err == f"nnjit: error: stdin: {text}\n"
    writer.join(60)


def test_a_line_without_end_in_a_file(folder, capsys):
    with open("a.csv", "wb") as file:
        file.truncate(1 << 40)  # takes no room
    assert cli.main(["predict", "line.npz", "a.csv"]) == 2
    assert capsys.readouterr().err == f"nnjit: error: a.csv: it has a line of more than {files.LINE} characters\n"


def test_a_terminal_may_be_typed_at(folder, monkeypatch, capsys):
    points_csv(folder / "a.csv")
    wish = run(capsys, "line.npz", "a.csv")
    ours, theirs = os.openpty()
    os.write(ours, (folder / "a.csv").read_bytes() + b"\4")  # Ctrl-D
    with open(theirs) as file:
        monkeypatch.setattr("sys.stdin", file)
        assert run(capsys, "line.npz", "-") == wish
    os.close(ours)


def test_a_bomb_of_an_npz_is_refused(folder, capsys, monkeypatch):
    monkeypatch.setattr(files, "LARGEST", 1 << 20)
    np.savez_compressed("zeros.npz", np.zeros((1 << 18, 2)))
    assert cli.main(["predict", "line.npz", "zeros.npz"]) == 2
    assert capsys.readouterr().err == ("nnjit: error: zeros.npz contains no samples: it would expand to 4194432 bytes, "
                                       "more than 100 times its size: save it by numpy.savez\n")
    np.savez("zeros.npz", np.zeros((1 << 18, 2)))
    assert len(predict.read("zeros.npz")[0]) == 1 << 18
    numbers = np.random.default_rng(0).integers(0, 256, (1 << 18, 2))  # an eighth of the bytes: no bomb
    np.savez_compressed("numbers.npz", numbers)
    np.testing.assert_array_equal(predict.read("numbers.npz")[0], numbers)


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_npz_compressed_in_other_ways_is_refused(folder, capsys, kind):
    """Python expands a part of these at once, however large it becomes: 4 kB of bzip2 to 4 GB."""
    np.save("a.npy", POINTS)
    with zipfile.ZipFile("a.npz", "w", kind) as file:
        file.write("a.npy")
    assert cli.main(["predict", "line.npz", "a.npz"]) == 2
    assert capsys.readouterr().err == ("nnjit: error: a.npz contains no samples: it is compressed in another way than "
                                       "by numpy.savez_compressed\n")

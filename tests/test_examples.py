"""Each script of docs/examples in a child process: what it prints is what docs/examples.md quotes, and makes sense."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from optional import needs

from nnjit.nn.data.mnist import FASHION

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "examples.md").read_text()
NAMES = sorted(path.stem for path in (DOCS / "examples").glob("*.py"))
CLOTHES = {"fashion_mnist", "lenet", "dcgan", "autoencoder", "overfitting"}  # which need Fashion-MNIST
LARGEST = 60_000  # bytes of an image
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A function: what an example prints, which also draws its image. Each runs once."""
    needs("matplotlib")
    folder, printed = tmp_path_factory.mktemp("images"), {}

    def once(name):
        if name in CLOTHES and not FASHION.system.is_dir():
            pytest.skip(f"no data in {FASHION.system}")
        if name not in printed:
            image = folder / f"{name}.png"
            done = subprocess.run([sys.executable, "-W", "error", DOCS / "examples" / f"{name}.py", image],
                                  capture_output=True, text=True, env={**os.environ, "MPLBACKEND": "Agg"})
            assert done.returncode == 0, done.stderr
            assert done.stderr == "" and image.read_bytes().startswith(PNG)
            printed[name] = done.stdout
        return printed[name]
    return once


def section(name):
    """The part of the page on an example: its code and the output it quotes."""
    [found] = [part for part in PAGE.split("\n## ") if f"examples/{name}.py)" in part]
    code, output = (re.search(rf"^```{kind}\n(.*?)^```$", found, re.DOTALL | re.MULTILINE).group(1)
                    for kind in ("python", "text"))
    return found, code, output


def figures(printed, title):
    found = re.search(rf"^{title}: +loss (\d\.\d+), accuracy (\d\.\d+)$", printed, re.MULTILINE)
    return float(found[1]), float(found[2])


@pytest.mark.parametrize("name", NAMES)
def test_the_page_shows_the_script_and_its_image(name):
    found, code, _ = section(name)
    script = (DOCS / "examples" / f"{name}.py").read_text()
    assert code in script and code.strip() and len(script.splitlines()) <= 50
    image = DOCS / "images" / f"{name}.png"
    assert f"(images/{name}.png)" in found
    assert image.read_bytes().startswith(PNG) and image.stat().st_size < LARGEST


def test_the_page_and_the_folders_hold_the_same():
    assert sorted(set(re.findall(r"\(examples/(\w+)\.py\)", PAGE))) == NAMES
    assert sorted(path.stem for path in (DOCS / "images").iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_page_quotes_what_the_script_prints(name, run):
    def lines(text):
        # the errors of gradients that are right are rounding in NumPy's sums, which differ by CPU
        return re.sub(r"\d\.\de-1[0-3]  ok", "small  ok", text).splitlines()
    assert lines(section(name)[2]) == lines(run(name))


def test_spiral(run):
    loss, accuracy = figures(run("spiral"), "training")
    assert 0.1 < loss < 0.3 and accuracy > 0.88
    assert figures(run("spiral"), "test")[1] > 0.75


def test_logistic_regression_is_what_the_likelihood_says(run):
    printed = run("logistic_regression")
    # the means lie 2 / 1 and 2 / 1.5 deviations apart: the best rule is right for Phi(sqrt(4 + 16 / 9) / 2) = 88.5 %
    assert abs(figures(printed, "training")[1] - 0.885) < 0.05 and abs(figures(printed, "test")[1] - 0.885) < 0.07
    # Newton's method on the same data
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 200)
    X = rng.standard_normal((400, 2)) * [1, 1.5] + np.where(y, 1, -1)[:, None]
    order = np.random.default_rng(0).permutation(400)[:-100]
    X, y = X[order], y[order]
    X = np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(300)])
    best = np.zeros(3)
    for _ in range(20):
        p = 1 / (1 + np.exp(-X @ best))
        best += np.linalg.solve(X.T @ (X * (p * (1 - p))[:, None]), X.T @ (y - p))
    found = re.search(r"sigmoid\((\S+) x1 \+ (\S+) x2 (\S+)\)", printed).groups()
    assert list(map(float, found)) == pytest.approx(best, abs=0.02)


def test_sine(run):
    found = re.findall(r"^epoch +(\d+): loss (\S+), accuracy (\S+)$", run("sine"), re.MULTILINE)
    assert [epoch for epoch, *_ in found] == ["10", "100", "2000"]
    losses, accuracies = ([float(row[column]) for row in found] for column in (1, 2))
    assert losses[0] > losses[1] > 100 * losses[2] and losses[2] < 1e-4 and accuracies[2] > 0.6


def test_fashion_mnist(run):
    printed = run("fashion_mnist")
    assert figures(printed, "test")[1] >= 0.865 and figures(printed, "training")[1] >= 0.89
    assert "first five of the test: ankle boot, pullover, trouser, trouser, shirt" in printed  # as they are labelled


def test_iris(run):
    printed = run("iris")
    with open(DOCS / "examples" / "iris.csv", newline="") as file:
        species = {tuple(map(float, row[:4])): row[4] for row in list(csv.reader(file))[1:]}
    matrix = np.array([line.strip("[] ").split() for line in printed.splitlines() if line.strip().startswith("[")], int)
    assert matrix.shape == (3, 3) and matrix.sum() == 45
    assert figures(printed, "test")[1] == pytest.approx(matrix.trace() / 45, abs=5e-4) and matrix.trace() >= 42
    flowers = re.findall(r"^(\S+) (\S+) (\S+) (\S+) (\w+) \d+%$", printed, re.MULTILINE)
    assert len(flowers) == 3 and all(species[tuple(map(float, row[:4]))] == row[4] for row in flowers)


def test_the_perceptron_separates_all_points(run):
    *epochs, last = run("perceptron").splitlines()
    mistakes = [int(re.match(r"epoch \d+: +(\d+) mistakes", line)[1]) for line in epochs]
    assert mistakes[-1] == 0 and all(mistakes[:-1]) and mistakes[0] > 0
    right, points = re.fullmatch(r"(\d+) of (\d+) points are on the right side", last).groups()
    assert right == points and int(points) > 100
    w1, w2 = map(float, re.search(r"step\((\S+) x1 (\S+) x2", epochs[-1]).groups())
    assert w1 / -w2 == pytest.approx(2, rel=0.25)  # the line that made the classes


def test_the_gradient_check_names_the_mistake(run):
    printed = run("gradient_check")
    failed = [line for line in printed.splitlines() if "FAIL: " in line]
    assert len(failed) == 1 and failed[0].startswith("1 Square ") and " 5.0e-01 " in failed[0]
    assert printed.endswith("to 1e-06\nready to train\n") and printed.count("ready to train") == 1

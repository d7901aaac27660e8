"""bench/book_rows.py: the book's trainings give its figures, within what chance allows, and ours to the bit."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from optional import needs

from nnjit import nn
from nnjit.bench import book
from nnjit.bench.book_rows import BAND, BY_NAME, FIRST, MEDIANS, ROWS, Figures, outside, trained

needs("nnfs")

ROOT = Path(__file__).parent.parent
EXACT = json.loads((ROOT / book.FIGURES).read_text())
SLOW = {"dropout", "dropout-model"}  # 10 and 75 s
# At first the gradients of the last biases cancel up to the rounding of their sums, 9.44e-5 on the one path and 9.41e-5
# on the other where 3000 samples are added; Adagrad, RMSprop and Adam make steps of full length of them. In float64 all
# rows agree.
ROUNDING = {"adagrad", "rmsprop", "dropout", "dropout-model"}

needs_fashion = pytest.mark.skipif(not nn.datasets.DEBIAN_FOLDER.is_dir(),
                                   reason="needs Debian's package dataset-fashion-mnist")


def rows(*, slow):
    marks = {"fashion-mnist": needs_fashion}
    return [pytest.param(row, id=row.name, marks=marks.get(row.name, ())) for row in ROWS
            if slow is None or (row.name in SLOW) == slow]


def available():
    return [row for row in ROWS if row.name != "fashion-mnist" or nn.datasets.DEBIAN_FOLDER.is_dir()]


# ---- the first prints that test_nn_nnfs.py does not have


def test_the_books_softmax():
    layer = nn.Softmax()
    for dtype in (np.float32, np.float64):
        found = layer.forward(np.array([[4.8, 1.21, 2.385]], dtype))
        assert np.allclose(found, [[.89528266, .02470831, .08000903]], rtol=1e-6, atol=0)


# ---- the first epochs


def plain(kind="sgd", rate=1.0, decay=0.0, momentum=0.0, rho=0.9, l2=0.0, epochs=FIRST, change=None):
    """The book's formulas on three arms and 2-64-3, in float64: the figures of each epoch, and of validation data.

    But for the clip of probabilities at 1e-7, which softmax joined with its loss does not need.
    """
    from nnfs.datasets import spiral_data
    state = np.random.get_state()
    np.random.seed(0)
    X, y = spiral_data(samples=100, classes=3)
    weights = [0.01 * np.random.randn(2, 64), 0.01 * np.random.randn(64, 3)]
    test = spiral_data(samples=100, classes=3)
    np.random.set_state(state)
    if change is not None:
        rng = np.random.default_rng(change)
        weights = [w * (1 + 1e-7 * rng.choice((-1, 1), w.shape)) for w in weights]
    p = [weights[0], np.zeros(64), weights[1], np.zeros(3)]
    first, second = ([np.zeros_like(x) for x in p] for _ in range(2))

    def forward(X, y):
        h = X @ p[0] + p[1]
        scores = np.maximum(h, 0) @ p[2] + p[3]
        scores -= scores.max(axis=1, keepdims=True)
        sums = np.exp(scores).sum(axis=1, keepdims=True)
        loss = (np.log(sums[:, 0]) - scores[np.arange(len(y)), y]).mean()
        return h, np.exp(scores) / sums, ((scores.argmax(axis=1) == y).mean(), loss)

    found = []
    for step in range(epochs):
        h, q, (accuracy, loss) = forward(X, y)
        found.append((accuracy, loss + l2 * ((p[0]**2).sum() + (p[1]**2).sum())))
        q[np.arange(len(y)), y] -= 1
        q /= len(y)
        dh = q @ p[2].T * (h > 0)
        gradients = [X.T @ dh + 2 * l2 * p[0], dh.sum(axis=0) + 2 * l2 * p[1], np.maximum(h, 0).T @ q, q.sum(axis=0)]
        now = rate / (1 + decay * step)
        for x, g, m, v in zip(p, gradients, first, second):
            if kind == "sgd":
                m[...] = momentum * m - now * g
                x += m
            elif kind == "adam":
                m[...] = 0.9 * m + 0.1 * g
                v[...] = 0.999 * v + 0.001 * g**2
                x -= now * m / (1 - 0.9**(step + 1)) / (np.sqrt(v / (1 - 0.999**(step + 1))) + 1e-7)
            else:
                v[...] = v + g**2 if kind == "adagrad" else rho * v + (1 - rho) * g**2
                x -= now * g / (np.sqrt(v) + 1e-7)
    return found, forward(*test)[2]


PLAIN = {
    "sgd": {}, "sgd-decay": {"decay": 1e-3}, "sgd-momentum-0.5": {"decay": 1e-3, "momentum": 0.5},
    "sgd-momentum-0.9": {"decay": 1e-3, "momentum": 0.9}, "adagrad": {"kind": "adagrad", "decay": 1e-4},
    "rmsprop": {"kind": "rmsprop", "rate": 0.02, "decay": 1e-5, "rho": 0.999},
    "adam": {"kind": "adam", "rate": 0.02, "decay": 1e-5}, "adam-model": {"kind": "adam", "rate": 0.02, "decay": 1e-5},
    "adam-validated": {"kind": "adam", "rate": 0.05, "decay": 5e-7},
    "adam-l2": {"kind": "adam", "rate": 0.05, "decay": 5e-7, "l2": 5e-4}}


def asked(request, *more):
    """The rows that tests of this run want of a fixture, and `more`: no others are trained."""
    wanted = [item.callspec.params for item in request.session.items
              if request.fixturename in item.fixturenames and hasattr(item, "callspec")]
    names = {*more, *(each["row"].name if "row" in each else each["name"] for each in wanted)}
    return [row for row in available() if row.name in names]


def first_epochs(rows, dtype):
    # of Fashion-MNIST one epoch: 469 steps
    requests = [{"row": row.name, "twin": twin, "epochs": FIRST if row.batch_size is None else 1}
                for row in rows for twin in book.PATHS]
    found = iter(trained(requests, 1, dtype))
    return {row.name: (next(found), next(found)) for row in rows}


@pytest.fixture(scope="module")
def first_in_float64(request):
    return first_epochs(asked(request), "float64")


@pytest.fixture(scope="module")
def first_in_float32(request):
    return first_epochs(asked(request), "float32")


def apart(one, other):
    assert len(one) == len(other)
    return np.abs(np.array(one) - np.array(other)).max()


@pytest.mark.parametrize("row", rows(slow=None))
def test_the_first_epochs_of_the_two_paths_in_float64(row, first_in_float64):
    numpy, kernels = first_in_float64[row.name]
    assert numpy["start"] == kernels["start"]
    assert len(kernels["first"]) == (FIRST if row.batch_size is None else 1)
    assert apart(numpy["first"], kernels["first"]) <= 1e-9
    if row.published_validation:
        assert apart(numpy["validation"], kernels["validation"]) <= 1e-9


@pytest.mark.parametrize("name", PLAIN)
def test_the_first_epochs_are_those_of_a_program_written_apart(name, first_in_float64):
    found, validation = plain(**PLAIN[name])
    kernels = first_in_float64[name][1]
    assert apart(found, kernels["first"]) <= 1e-9
    if BY_NAME[name].published_validation:
        assert apart(validation, kernels["validation"]) <= 1e-9


@pytest.mark.parametrize("row", [each for each in rows(slow=None) if each.values[0].name not in ROUNDING])
def test_the_first_losses_of_the_two_paths_in_float32(row, first_in_float32):
    numpy, kernels = first_in_float32[row.name]
    assert numpy["start"] == kernels["start"] == EXACT[row.name]["start"]
    assert apart([loss for _, loss in numpy["first"]], [loss for _, loss in kernels["first"]]) <= 1e-4


# ---- the start


LAST_BITS = """
import sys
import numpy as np
scale = 1 + float(sys.argv[1])
sin, cos, randn = np.sin, np.cos, np.random.randn
np.sin, np.cos = lambda x: sin(x) * scale, lambda x: cos(x) * scale
np.random.randn = lambda *shape: randn(*shape) * scale
import nnfs
from nnjit.bench.book_rows import ROWS
nnfs.init()
for row in ROWS:
    if row.name != "fashion-mnist":
        np.random.seed(0)
        print(row.name, row.build().start())
"""


def starts(change):
    done = subprocess.run([sys.executable, "-c", LAST_BITS, str(change)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(line.split() for line in done.stdout.splitlines())


def test_the_start_does_not_depend_on_the_last_bits_of_sin_cos_and_log():
    # NumPy's differ by a unit or two between processors, but all is rounded to float32, and nothing lies near a middle:
    # what is the same for the highest and the lowest is so for all between
    wish = {name: entry["start"] for name, entry in EXACT.items() if name != "fashion-mnist"}
    assert starts(4 * 2.0**-52) == starts(-4 * 2.0**-52) == wish
    assert not set(starts(1e-8).items()) & set(wish.items())


# ---- the last epoch


def last(names):
    return dict(zip(names, trained([{"row": name, "twin": "numba"} for name in names], 1)))


@pytest.fixture(scope="module")
def quick(request):
    return last([row.name for row in asked(request, "adam", "adam-model", "fashion-mnist")])


def check_exact(row, found):
    entry = EXACT[row.name]
    assert found["start"] == entry["start"]
    assert [value.hex() for value in found["last"]] == [entry["accuracy"], entry["loss"]]
    if found["validation"]:
        wish = entry["validation"]
        assert [value.hex() for value in found["validation"]] == [wish["accuracy"], wish["loss"]]


def check_band(row, found):
    for which in ("last", "validation") if row.published_validation else ("last",):
        median = MEDIANS.get((row.name, which == "validation"))
        if median:
            assert not outside(found[which], [median], BAND)
        else:
            assert not row.misses(found[which], validation=which == "validation")


@pytest.mark.parametrize("row", rows(slow=False))
def test_our_last_figures_to_the_bit(row, quick):
    check_exact(row, quick[row.name])


@pytest.mark.parametrize("row", rows(slow=False))
def test_last_figures_are_the_books(row, quick):
    check_band(row, quick[row.name])


@needs_fashion
def test_fashion_mnist(quick):
    assert quick["fashion-mnist"]["validation"][0] >= 0.865


def test_the_model_gives_what_the_calls_by_hand_give(quick):
    # but for the rounding of a mean over the epoch's one batch
    hand, model = (Figures(*quick[name]["last"]) for name in ("adam", "adam-model"))
    assert hand.accuracy == model.accuracy and math.isclose(hand.loss, model.loss, rel_tol=1e-15)


@pytest.mark.parametrize("name, validation", [key for key in MEDIANS if key[0] not in SLOW])
def test_where_chance_is_wider_than_the_band_the_medians_agree(name, validation):
    found = trained([{"row": name, "twin": "numba", "change": seed} for seed in range(11)], 1)
    median = np.median([each["validation" if validation else "last"] for each in found], axis=0)
    assert not outside(median, [MEDIANS[name, validation]], BAND)


@pytest.mark.slow
@pytest.mark.parametrize("row", rows(slow=True))
def test_the_slow_ones_too(row):
    found = last([row.name])[row.name]
    check_exact(row, found)
    check_band(row, found)


@pytest.mark.slow
def test_the_sine_on_numpy():
    row = BY_NAME["sine"]
    assert not row.misses(trained([{"row": row.name, "twin": "numpy"}], 1)[0]["last"])


# ---- the page


def test_the_page_tells_the_committed_figures():
    tables = (ROOT / book.PAGE).read_text().split("## Seconds")[0].split("On validation data")
    for row in ROWS:
        for table, entry in zip(tables, (EXACT[row.name], EXACT[row.name].get("validation"))):
            if entry and (table is tables[0] or row.published_validation):
                [line] = [line for line in table.splitlines() if line.startswith(f"| {row.title} |")]
                assert f"{float.fromhex(entry['accuracy']):.3f} / {float.fromhex(entry['loss']):.3f}" in line


def test_the_page_judges_band_and_times():
    results = {row.name: {"numba": {"last": row.published or row.numpy_run, "validation": row.published_validation},
                          "seconds": {(path, 1): (1.0 + (path == "numpy"), True) for path in book.PATHS}, "changed": []}
               for row in ROWS}
    machine = {"processor": "P", "threads": 1, "versions": {"numpy": "2"}}
    found = book.page(results, machine)
    assert "Outside the band" not in found
    assert "a quarter of the NumPy path's time: not reached, 0.50 of it with 1 thread" in found
    assert "half of the NumPy path's time: reached, 0.50 of it" in found
    results["sgd"]["numba"] = {"last": (0.647, 0.925), "validation": None}
    assert "- `SGD()`, last epoch: 0.647 / 0.925\n" in book.page(results, machine)
    results["sgd"]["numba"] = {"last": (0.616, 0.87), "validation": None}
    assert "- `SGD()`, last epoch: 0.616 / 0.870\n" in book.page(results, machine)


def test_outside_of_a_clone_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert book.main([]) == 2
    assert capsys.readouterr().err == "nnjit: error: there is no folder docs\n"

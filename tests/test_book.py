"""bench/book_rows.py: the book's trainings give its figures, within what chance allows, and ours to the bit.

The independent program is that of the book's classes in plain NumPy, bench/book_classes.py.
"""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from optional import needs

from nnjit import nn
from nnjit.bench import book, book_classes, book_runs
from nnjit.bench.book_programs import Figures
from nnjit.bench.book_rows import BAND, BY_NAME, FIRST, MEDIANS, ROWS, outside
from nnjit.bench.book_runs import trained
from nnjit.nn import nnfs

needs("nnfs")

ROOT = Path(__file__).parent.parent
EXACT = json.loads((ROOT / book.FIGURES).read_text())
SLOW = {"dropout", "dropout-model"}  # 10 and 75 s
# At first the gradients of the last biases cancel up to the rounding of their sums, 9.44e-5 on the one path and 9.41e-5
# on the other where 3000 samples are added; Adagrad, RMSprop and Adam make steps of full length of them. In float64 all
# rows agree.
ROUNDING = {"adagrad", "rmsprop", "dropout", "dropout-model"}

needs_fashion = pytest.mark.skipif(not nn.data.mnist.FASHION.system.is_dir(),
                                   reason="needs Debian's package dataset-fashion-mnist")


def rows(*, slow):
    marks = {"fashion-mnist": needs_fashion}
    return [pytest.param(row, id=row.name, marks=marks.get(row.name, ())) for row in ROWS
            if slow is None or (row.name in SLOW) == slow]


def available():
    return [row for row in ROWS if row.name != "fashion-mnist" or nn.data.mnist.FASHION.system.is_dir()]


# ---- the first prints that test_nn_nnfs.py does not have


def test_the_books_softmax():
    layer = nn.Softmax()
    for dtype in (np.float32, np.float64):
        found = layer.forward(np.array([[4.8, 1.21, 2.385]], dtype))
        assert np.allclose(found, [[.89528266, .02470831, .08000903]], rtol=1e-6, atol=0)


# ---- the first epochs


def asked(request, *more):
    """The rows that tests of this run want of a fixture, and `more`: no others are trained."""
    wanted = [item.callspec.params for item in request.session.items
              if request.fixturename in item.fixturenames and hasattr(item, "callspec")]
    names = {*more, *(each["row"].name if "row" in each else each["name"] for each in wanted)}
    return [row for row in available() if row.name in names]


def first_epochs(rows, dtype):
    # of Fashion-MNIST one epoch: 469 steps
    requests = [{"row": row.name, "by": path, "epochs": FIRST if row.batch_size is None else 1}
                for row in rows for path in ("book", *book.PATHS) if path != "book" or not row.model]
    found: dict = {row.name: {} for row in rows}
    for request, each in zip(requests, trained(requests, 1, dtype), strict=True):
        found[request["row"]][request["by"]] = each
    return found


@pytest.fixture(scope="module")
def first_in_float64(request):
    return first_epochs(asked(request, "adam", "adam-model"), "float64")


@pytest.fixture(scope="module")
def first_in_float32(request):
    return first_epochs(asked(request), "float32")


def apart(one, other):
    assert len(one) == len(other)
    return np.abs(np.array(one) - np.array(other)).max()


def check_same(row, one, other):
    assert one["start"] == other["start"]
    assert len(one["first"]) == (FIRST if row.batch_size is None else 1)
    assert apart(one["first"], other["first"]) <= 1e-9
    if row.published_validation:
        assert apart(one["validation"], other["validation"]) <= 1e-9


@pytest.mark.parametrize("row", rows(slow=None))
def test_the_first_epochs_of_the_two_paths_in_float64(row, first_in_float64):
    check_same(row, *(first_in_float64[row.name][path] for path in book.PATHS))


# after large first steps some probabilities are below 1e-7: the book limits their loss, not their gradient
CLIPPED = {"adagrad": [1, 2, 3, 4, 5], "rmsprop": [2, 3]}
# dropout's masks are not those of NumPy's generator
BY_HAND = [row for row in ROWS if not row.model and row.name != "dropout"]


@pytest.mark.parametrize("row", BY_HAND, ids=lambda row: row.name)
def test_the_first_epochs_are_those_of_the_books_classes(row, first_in_float64):
    hand, kernels = (first_in_float64[row.name][by] for by in ("book", "numba"))
    clipped = [epoch for epoch, (one, other) in enumerate(zip(hand["first"], kernels["first"]))
               if one[1] < other[1] - 1e-9]
    assert clipped == CLIPPED.get(row.name, [])
    losses = [each[1] for each in kernels["first"]]
    first = [(one[0], losses[epoch] if epoch in clipped else one[1]) for epoch, one in enumerate(hand["first"])]
    check_same(row, hand | {"first": first}, kernels)


def test_the_model_s_first_epochs_are_those_of_the_books_classes_by_hand(first_in_float64):
    model, hand = first_in_float64["adam-model"]["numba"], first_in_float64["adam"]["book"]
    check_same(BY_NAME["adam-model"], model, hand)


def test_what_the_books_classes_compute_where_no_training_goes():
    rng = np.random.default_rng(0)
    one_hot = np.eye(4)[rng.integers(0, 4, 20)]
    x, dvalues, w, b = (rng.standard_normal(shape) for shape in ((20, 5), (20, 4), (5, 4), (1, 4)))
    found = []
    for of in (book_classes, nnfs):
        layer, joined = of.Layer_Dense(5, 4, 0.3, 0.2, 0.4, 0.1), of.Activation_Softmax_Loss_CategoricalCrossentropy()
        layer.weights, layer.biases = w.copy(), b.copy()
        layer.forward(x)
        layer.backward(dvalues)
        loss = joined.forward(layer.output, one_hot)
        joined.backward(joined.output, one_hot)
        found.append([layer.dweights, layer.dbiases, joined.loss.regularization_loss(layer), loss, joined.dinputs])
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_the_books_dropout():
    layer, x = book_classes.Layer_Dropout(0.1), np.ones((300, 64))
    layer.forward(x)
    layer.backward(2 * x)
    assert set(np.unique(layer.output)) == {0, 1 / 0.9} and (layer.dinputs == 2 * layer.output).all()
    # Hoeffding's bound: but for a probability of 1e-9
    assert abs((layer.output == 0).mean() - 0.1) < np.sqrt(np.log(2e9) / (2 * x.size))


@pytest.mark.parametrize("row", [each for each in rows(slow=None) if each.values[0].name not in ROUNDING])
def test_the_first_losses_of_the_two_paths_in_float32(row, first_in_float32):
    numpy, kernels = (first_in_float32[row.name][path] for path in book.PATHS)
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
from nnjit.bench import book_classes
from nnjit.bench.book_rows import ROWS
nnfs.init()
for row in ROWS:
    if row.name != "fashion-mnist":
        np.random.seed(0)
        print(row.name, row.build(book_classes).start())
assert "numba" not in sys.modules, "a process of the book's classes imports Numba"
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
    return dict(zip(names, trained([{"row": name, "by": "numba"} for name in names], 1)))


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


@pytest.mark.sample(1)
@pytest.mark.parametrize("name, validation", [key for key in MEDIANS if key[0] not in SLOW])
def test_where_chance_is_wider_than_the_band_the_medians_agree(name, validation):
    found = trained([{"row": name, "by": "numba", "change": seed} for seed in range(11)], 1)
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
    assert not row.misses(trained([{"row": row.name, "by": "numpy"}], 1)[0]["last"])


# ---- the page


def test_the_page_tells_the_committed_figures():
    tables = (ROOT / book.PAGE).read_text().split("## Seconds")[0].split("On validation data")
    for row in ROWS:
        for table, entry in zip(tables, (EXACT[row.name], EXACT[row.name].get("validation"))):
            if entry and (table is tables[0] or row.published_validation):
                [line] = [line for line in table.splitlines() if line.startswith(f"| {row.title} |")]
                assert f"{float.fromhex(entry['accuracy']):.3f} / {float.fromhex(entry['loss']):.3f}" in line


def made_up(book_alone, book_whole):
    """Results in which our trainings take a second alone and two with start-up, on one thread."""
    turns = {"book": {"alone": [book_alone] * 3, "whole": [book_whole] * 3},
             "numba": {"alone": [1.0] * 3, "whole": [2.0] * 3}}
    return {row.name: {"numba": {"last": row.published or row.numpy_run, "validation": row.published_validation},
                       "seconds": {(path, 1): (1.0 + (path == "numpy"), True) for path in book.PATHS}, "changed": [],
                       **({} if row.model else {"in turns": turns})} for row in ROWS}


MACHINE = {"processor": "P", "threads": 1, "versions": {"numpy": "2"}}


def test_the_page_judges_band_and_times():
    results = made_up(4.0, 6.0)
    found = book.page(results, MACHINE)
    assert "Outside the band" not in found
    assert "a quarter of the NumPy path's time: not reached, 0.50 of it with 1 thread" in found
    assert "half of the NumPy path's time: reached, 0.50 of it" in found
    results["sgd"]["numba"] = {"last": (0.647, 0.925), "validation": None}
    assert "- `SGD()`, last epoch: 0.647 / 0.925\n" in book.page(results, MACHINE)
    results["sgd"]["numba"] = {"last": (0.616, 0.87), "validation": None}
    assert "- `SGD()`, last epoch: 0.616 / 0.870\n" in book.page(results, MACHINE)


def test_the_page_has_the_books_classes_beside_the_kernels():
    results = made_up(4.0, 6.0)
    found = book.page(results, MACHINE).split("## Seconds")[1]
    assert "| `SGD()` | 10 | 4.0 | 1.0 | 4.00 | 6.0 | 2.0 | 3.00 |" in found
    assert "1000 points a class | 15 | ~4.0 | ~1.0 | 4.00 | - | - | - |" in found
    beside = found.split("The same on the two paths")[0]
    assert [line for line in beside.splitlines() if "by `Model` |" in line] == []
    goals = [line for line in found.splitlines() if "book's classes, with" in line and line.startswith("- Goal")]
    assert len(goals) == 2 and all(": reached" in line for line in goals)
    results["sine"]["in turns"] = made_up(3.9, 6.0)["sgd"]["in turns"]
    results["adam-validated"]["in turns"] = made_up(1.0, 1.0)["sgd"]["in turns"]  # of chapter 11
    alone, whole = [line for line in book.page(results, MACHINE).splitlines() if "book's classes, with" in line][-2:]
    assert alone.endswith("without start-up: not reached, 3.90 (sine, 1-64-1, `Adam()`) to 4.00 times (`SGD()`)")
    assert "at least 3 times" in whole and ": reached" in whole


def test_a_gain_is_the_median_of_the_turns():
    # a machine that is slow in different turns; the quotients are 3, 2 and 4
    found = {"book": {"alone": [3.0, 8.0, 4.0]}, "numba": {"alone": [1.0, 4.0, 1.0]}}
    assert book_runs.gain(found, "alone") == 3


def test_the_books_classes_and_the_kernels_take_turns(monkeypatch):
    made = []

    def trained(requests, threads):
        [request] = requests
        made.append((request["by"], request["epochs"], threads))
        return [{"seconds": len(made)}]

    monkeypatch.setattr(book_runs, "trained", trained)
    found = book_runs.in_turns(BY_NAME["sgd"])
    assert made == [("book", None, 1), ("numba", None, 1)] * 3
    assert [found[by]["alone"] for by in ("book", "numba")] == [[1, 3, 5], [2, 4, 6]]
    assert all(0 <= seconds < 60 for by in found for seconds in found[by]["whole"])
    made.clear()
    scale = BY_NAME["dropout"].epochs / 500
    assert book_runs.in_turns(BY_NAME["dropout"])["book"]["alone"] == [scale, 3 * scale, 5 * scale]
    assert {epochs for _, epochs, _ in made} == {500}


def test_outside_of_a_clone_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert book.main([]) == 2
    assert capsys.readouterr().err == "nnjit: error: there is no folder docs\n"

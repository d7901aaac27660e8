"""kernels/core/blocks.py: calls that are made block by block give the bits of whole calls."""

from functools import reduce

import numpy as np
import pytest
from numba import prange
from operations import OPERATIONS, call, cases, each_dtype, same_as

from nnjit import kernels, nn
from nnjit.bench import contract
from nnjit.kernels.core import blocks, threads
from nnjit.kernels.core.blocks import SUM_ROWS, Blocks
from nnjit.kernels.core.compile import loops, nest_of, pick
from nnjit.kernels.core.replay import Replay

ROWS = 2 * SUM_ROWS + 88
SHAPES = {1: [(ROWS,)], 2: [(ROWS, 1), (ROWS, 3), (ROWS, 37)],
          3: [(ROWS, 1, 64), (ROWS, 5, 3), (ROWS, 64, 10), (ROWS, 40, 33), (ROWS, 300, 70)],
          4: [(ROWS, 1, 2, 3), (ROWS, 3, 6, 5), (ROWS, 2, 4, 33)]}
MADE_WHOLE = {"adagrad", "adam", "batch_norm", "binary_accuracy", "categorical_accuracy", "clip_norm", "conv2d",
              "conv_transpose2d", "layer_norm", "mean", "normal", "penalty", "regression_accuracy", "rmsprop", "sgd",
              "upsample"}


@pytest.fixture(params=(1, 2, 3))
def in_blocks(request, monkeypatch):
    """Has calls made for SUM_ROWS rows at a time where possible, by so many tasks; a list of the Blocks found."""
    found = []

    class Always(Blocks):
        def __init__(self, calls, batch):
            super().__init__(calls, batch)
            self.block = SUM_ROWS
            found.append(self)

        pay = property(lambda self: len(self.by_row + self.sums) > 0)

    monkeypatch.setattr(blocks, "Blocks", Always)
    monkeypatch.setattr(threads, "team", lambda: request.param)
    return found


def written(calls):
    """All arrays that calls write."""
    return [args[place] for variant, args in calls for place in Replay.written(variant)]


def compare(calls, batch, where):
    """Make the calls whole, then in blocks."""
    Replay(calls).run()
    expected = [x.copy() for x in written(calls)]
    again = Replay(calls, [batch])
    for x in written(calls):
        if not any(np.may_share_memory(x, each) for each in batch):
            x[...] = -1
    again.run()
    same_as(written(calls), expected, where)


@each_dtype
@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name not in MADE_WHOLE])
def test_an_operation(operation, dtype, in_blocks):
    taken = 0
    for shape in SHAPES[contract.dimensions(operation)]:
        for function, args, options, where in cases(operation, shape, dtype):
            batch = [x for x in args.values() if isinstance(x, np.ndarray) and len(x) == ROWS]
            with kernels.capture() as calls:
                call(operation, function, args, options, parallel=False)
            compare(calls, batch, where)
            members = in_blocks[-1].by_row + in_blocks[-1].sums
            if all(x.flags.c_contiguous for x in args.values()):
                assert sorted(members) == [number for number, (variant, values) in enumerate(calls)
                                           if nest_of(variant).rows and 0 not in map(np.size, values)], where
            taken += len(members)
    assert taken


MODELS = {
    "activations": lambda: [nn.Dense(5, 33, activation="tanh", rng=0), nn.Dense(33, 16, activation="relu", rng=1)],
    "dropout": lambda: [nn.Dense(5, 20, activation="sigmoid", rng=0), nn.Dropout(0.25, seed=3), nn.Dense(20, 4, rng=1)],
    "regularizers": lambda: [nn.Dense(5, 20, weight_regularizer_l2=1e-2, bias_regularizer_l1=1e-2, rng=0), nn.ReLU()],
    "branches": lambda: [
        nn.Parallel(nn.Dense(5, 4, rng=0), nn.Sequential(nn.Dense(5, 6, rng=1), nn.Tanh()), join="concatenate"),
        nn.Residual(nn.Dense(10, 10, activation="tanh", rng=2), activation=nn.ReLU())],
    "one input": lambda: [nn.Dense(5, 1, rng=0), nn.Dense(1, 64, activation="relu", rng=1)],
}


def trained(layers, labels, **options):
    """All that a training gives, recorded from the second epoch on, and predictions."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((ROWS, 5)).astype(np.float32), rng.integers(0, 3, ROWS)
    width, = reduce(lambda shape, layer: layer.output_shape(shape), layers, (5,))
    layers = [*layers, nn.Dense(width, 3, rng=9)]
    loss, targets = (nn.SoftmaxCategoricalCrossentropy(), y) if labels else (nn.MeanSquaredError(), X[:, :3].copy())
    model = nn.Model(layers)
    model.set(loss=loss, optimizer=nn.Adam(0.01), accuracy=nn.Accuracy(), **options)
    model.finalize()
    history = model.train(X, targets, epochs=5, sample_weight=rng.random(ROWS), validation_data=(X[::-1], targets))
    figures = [np.array(values) for name, values in sorted(history.items()) if values]
    outputs = [model.predict(X) for _ in range(4)]
    assert model.why_not_recorded is None
    return [array for layer in model.layers if hasattr(layer, "weights") for array in (layer.weights, layer.biases)
            ] + figures + outputs


@pytest.mark.parametrize("labels", (False, True))
@pytest.mark.parametrize("name", MODELS)
def test_a_training(name, labels, in_blocks, request):
    found = trained(MODELS[name](), labels)
    assert any(each.sums for each in in_blocks)
    request.getfixturevalue("monkeypatch").undo()
    same_as(found, trained(MODELS[name](), labels), name)


@loops(writes=("y",), rows=True)
def _twice(x, y):
    for i in prange(x.size):
        y[i] = 2 * x[i] + 1


@loops(writes=("y",), rows=lambda flags: ("x", "y"))
def _times(x, w, y, flags):
    for i in prange(x.size):
        y[i] = x[i] * w[i % w.size]


@loops(writes=("total",), rows=lambda flags: ("x",))
def _sum(x, total, flags, first):
    for j in prange(total.size):
        if first == 0:
            total[j] = 0
        for i in range(x.size):
            total[j] += x[i]


@loops(writes=("y",))
def _backwards(x, y):
    for i in prange(x.size):
        y[i] = x[x.size - 1 - i]


def arrays(*sizes):
    return [np.arange(1.0, size + 1) for size in sizes]


def a_call_that_sees_all_rows():
    x, y, z = arrays(*[ROWS] * 3)
    return x, [(_twice, x, y), (_backwards, y, z), (_twice, z, y), (_twice, x, z)]


def overwritten_after_all_rows_were_seen():
    x, y, z = arrays(*[ROWS] * 3)
    return x, [(_twice, x, y), (_backwards, y, z), (_twice, y, y)]


def overwritten_after_it_was_added_up():
    x, y, total = arrays(ROWS, ROWS, 3)
    return x, [(_twice, x, y), (_sum, y, total, 0, 0), (_twice, y, y), (_twice, x, x)]


def a_sum_that_is_read():
    x, y, z, total = arrays(ROWS, ROWS, ROWS, 8)
    return x, [(_twice, x, y), (_sum, y, total, 0, 0), (_times, x, total, z, 0)]


def a_sum_that_is_written_again():
    x, y, total = arrays(ROWS, ROWS, 1)
    return x, [(_twice, x, y), (_sum, y, total, 0, 0), (_twice, total, total), (_sum, x, total, 0, 0)]


def rows_moved():
    x, y = arrays(ROWS, ROWS + 1)
    return x, [(_twice, x, y[:-1]), (_twice, y[1:], y[:-1]), (_twice, x, y[1:])]


def rows_moved_by_one():
    x, y = arrays(ROWS, ROWS + 1)
    return x, [(_twice, x, y[:-1]), (_twice, x, y[1:])]


def rows_read_whole():
    x, y, z, u = arrays(*[ROWS] * 4)
    return x, [(_twice, x, y), (_times, x, y, z, 0), (_times, x, y[5:7], u, 0), (_twice, z, y)]


def rows_over_what_was_read_whole():
    x, y, z = arrays(*[ROWS] * 3)
    return x, [(_times, x, z[:8], y, 0), (_twice, x, z)]


def what_is_read_whole_overwritten():
    x, y, w = arrays(ROWS, ROWS, 8)
    return x, [(_times, x, w, y, 0), (_twice, w, w), (_times, y, w, y, 0)]


def more_rows_than_the_batch():
    x, y, z = arrays(ROWS, 2 * ROWS, 3 * ROWS)
    return x, [(_twice, x, y[ROWS:]), (_twice, y, z[:2 * ROWS]), (_twice, x, z[:ROWS])]


@pytest.mark.parametrize("setup", (
    a_call_that_sees_all_rows, overwritten_after_all_rows_were_seen, overwritten_after_it_was_added_up,
    a_sum_that_is_read, a_sum_that_is_written_again, rows_moved, rows_moved_by_one, rows_read_whole,
    rows_over_what_was_read_whole, what_is_read_whole_overwritten, more_rows_than_the_batch),
    ids=lambda setup: setup.__name__)
def test_calls_that_depend_on_others(setup, in_blocks):
    """Whatever takes part, the results are those of the calls in their order."""
    results = []
    for batches in (lambda x: [], lambda x: [(x,)]):
        x, listed = setup()
        before = {id(each): each.copy() for _, *args in listed for each in args if isinstance(each, np.ndarray)}
        with kernels.capture() as calls:
            for nest, *args in listed:
                pick(nest, False, False)(*args)
        again = Replay(calls, batches(x))
        for _, *args in listed:
            for each in args:
                if isinstance(each, np.ndarray):
                    each[...] = before[id(each)]
        again.run()
        results.append([each for _, *args in listed for each in args if isinstance(each, np.ndarray)])
    assert in_blocks[-1].by_row
    same_as(results[1], results[0], setup.__name__)


def test_a_square_of_rows_is_not_taken_for_its_transpose(in_blocks):
    """Where both factors are transposed, the rows of the second are columns of the product."""
    x = np.random.default_rng(0).standard_normal((ROWS, ROWS)).astype(np.float32)
    with kernels.capture() as calls:
        kernels.relu.forward(x, parallel=False)
        kernels.matmul.forward(x.T, x.T, parallel=False)
    compare(calls, (x,), "transposed")

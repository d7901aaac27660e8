"""nn/arrays.py: what is no array, or holds no numbers, is named with what to hand in instead, wherever arrays go."""

import datetime
import re
from fractions import Fraction

import numpy as np
import pytest
from optional import needs

from nnjit import nn
from nnjit.nn import nnfs

GRID = np.array([[0, 1], [2, 0], [1, 1.0]])
CLASSES = np.array([0, 1, 1])


def network(kind=nn, loss=nn.CategoricalCrossentropy, last=nn.Softmax):
    model = kind.Model()
    for layer in (nn.Dense(2, 2), last()):
        model.add(layer)
    model.set(loss=loss(), optimizer=nn.SGD(), accuracy=nn.Accuracy() if last is nn.Softmax else None)
    model.finalize()
    return model


def backward(layer):
    def entry(bad):
        layer.forward(GRID)
        layer.backward(bad)
    return entry


predict = network().predict  # takes iterables of batches
LABELLED = (lambda bad: network().train(GRID, bad), lambda bad: network().evaluate(GRID, bad),  # None: X has batches
            lambda bad: network(loss=nn.BinaryCrossentropy).train(GRID, bad))
ENTRIES = {  # by the argument's name in the error
    "inputs": (nn.Dense(2, 2).forward, nn.ReLU().forward, nn.Dropout(0.5).forward, nn.Flatten().forward,
               nn.Input(2).forward, nn.Sequential(nn.Dense(2, 2)).forward, nn.Sequential().forward,
               nnfs.Layer_Input().forward, network(nnfs).forward),
    "dvalues": tuple(map(backward, (nn.Dense(2, 2), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Input(2)))),
    "outputs": (nn.Softmax().predictions, nn.LogSoftmax().predictions, nn.Sigmoid().predictions, nn.Step().predictions,
                nn.Linear().predictions, nn.Sequential().predictions,
                *(lambda bad, kind=kind: kind().calculate(bad, GRID) for kind in (
                    nn.Accuracy, nn.TopKAccuracy, nn.BinaryAccuracy, nn.RegressionAccuracy)),
                lambda bad: nn.scores.r2_score(bad, GRID)),
    "X": (lambda bad: network().train(bad, CLASSES), lambda bad: network().evaluate(bad, CLASSES),
          lambda bad: network().train_step(bad, CLASSES), predict, network().forward,
          lambda bad: nn.check_gradients(network(), bad, CLASSES), lambda bad: network(nnfs).train(bad, CLASSES),
          nn.preparation.StandardScaler().fit, nn.preparation.MinMaxScaler().fit(GRID).transform),
    "validation_data: X": (lambda bad: network().train(GRID, CLASSES, validation_data=(bad, CLASSES)),),
    "validation_data: labels": (lambda bad: network().train(GRID, CLASSES, validation_data=(GRID, bad)),),
    "labels": (*LABELLED[:2],
               lambda bad: network().backward(GRID, bad),
               lambda bad: nn.Accuracy().calculate(GRID, bad), lambda bad: nn.TopKAccuracy().calculate(GRID, bad),
               lambda bad: nn.CategoricalCrossentropy().forward(GRID, bad),
               lambda bad: nn.SoftmaxCategoricalCrossentropy().backward(GRID, bad),
               lambda bad: nn.scores.confusion_matrix(CLASSES, bad),
               nn.preparation.one_hot, nn.preparation.balanced_class_weights),
    "y": (lambda bad: nn.MeanSquaredError().forward(GRID, bad), lambda bad: nn.BinaryAccuracy().calculate(GRID, bad),
          nn.RegressionAccuracy().prepare, LABELLED[2],
          lambda bad: nn.scores.r2_score(GRID, bad)),
    "predictions": (lambda bad: nn.scores.confusion_matrix(bad, CLASSES),
                    lambda bad: nnfs.Accuracy_Regression(1).calculate(bad, GRID),
                    lambda bad: nnfs.Accuracy_Categorical().calculate(bad, CLASSES)),
    "sample_weight": (lambda bad: nn.CategoricalCrossentropy().forward(GRID, CLASSES, bad),
                      lambda bad: network().train(GRID, CLASSES, sample_weight=bad)),
    "weights": (lambda bad: setattr(nn.Dense(2, 2), "weights", bad),
                lambda bad: nn.Dense(2, 2, initializer=lambda *sizes: bad)),
    "weights of layer 0": (lambda bad: network().set_parameters([(bad, [0, 0])]),),
    "rows": (nn.preparation.from_one_hot,),
    "y_pred": (lambda bad: nn.Huber().forward(bad, GRID),),
    "losses": (nn.MeanSquaredError().accumulate,),
}
SPLITS = {"X": (lambda bad: nn.preparation.train_test_split(bad, CLASSES),
                lambda bad: nn.preparation.batches(bad, CLASSES, 2)),
          "y": (lambda bad: nn.preparation.train_test_split(GRID, bad),)}


def refused(entries, make, text, but=()):
    for name, calls in entries.items():
        for place, call in enumerate(each for each in calls if each not in but):
            with pytest.raises(TypeError) as caught:
                call(make())
            assert re.fullmatch(f"{name} {text}", str(caught.value)), f"{place}: {caught.value}"


@pytest.mark.parametrize("make, text", (
    (lambda: (row for row in GRID), "must be an array, got generator: make it a list"),
    (lambda: map(float, [1, 0, 1]), "must be an array, got map: make it a list"),
    (lambda: {1.0, 0.0}, "must be an array, got set: make it a list"),
    (lambda: {0: 1.0, 1: 2.0}.values(), "must be an array, got dict_values: make it a list"),
    (lambda: {0: 1.0, 1: 2.0}, "must be an array, got dict: use one of its values, or make a list of them"),
    (lambda: "data.csv", "must be an array, got 'data.csv'"),
    (lambda: len, "must be an array, got builtin_function_or_method")))
def test_what_is_no_array(make, text):
    refused(ENTRIES, make, text, [predict] if "make it a list" in text else [])
    refused(SPLITS, make, text)


def test_none_is_no_array():
    refused({name: calls for name, calls in ENTRIES.items() if name != "sample_weight"},
            lambda: None, "must be an array, got None", LABELLED)
    refused({"y": LABELLED}, lambda: None, "must be given for an array X, got None: .*")


@pytest.mark.parametrize("kind", ("csr_matrix", "csr_array", "coo_matrix", "csc_array"))
def test_sparse_matrices(kind):
    sparse = needs("scipy.sparse")
    for entries in (ENTRIES, SPLITS):
        refused(entries, lambda: getattr(sparse, kind)(GRID), rf"must be a dense array, got {kind}: use \.toarray\(\)")
    with pytest.raises(TypeError, match="X must contain real numbers, got csr_array at index 0"):
        network().predict([sparse.csr_array(GRID)] * 2)


NUMBERS = {name: calls[:1] for name, calls in ENTRIES.items() if name not in ("outputs", "predictions")}


@pytest.mark.parametrize("make, text", (
    (lambda: GRID.astype(object), r"dtype object: use \.astype\(float\)"),
    (lambda: GRID.astype(str), r"dtype <U\d+: use \.astype\(float\)"),
    (lambda: [[Fraction(1, 2), 2**70], [1, 2], [True, np.float32(3)]], r"dtype object: use np\.array\(\.\.\., float\)"),
    (lambda: [[1, 2], [None, 3], [1, 1]], r"None at index \(1, 0\)"),
    (lambda: [[1, datetime.date(2020, 1, 1)]] * 3, r"date at index \(0, 1\)"),
    (lambda: [[0.5, 1j]] * 3, "dtype complex128"),
    (lambda: np.array([[1, {}]] * 3), r"dict at index \(0, 1\)"),
    (lambda: np.array([np.zeros(2), np.zeros(3), None], object), "ndarray at index 0: use np.stack for rows of the "
     "same length"),
    (lambda: np.full((3, 2), np.datetime64("2020-01-01")), r"dtype datetime64\[D\]"),
))
def test_arrays_that_hold_no_numbers(make, text):
    refused(NUMBERS, make, f"must contain real numbers, got {text}")


def test_text_among_numbers():
    entries = {name: calls for name, calls in NUMBERS.items() if name != "labels"}
    refused(entries, lambda: [["1", "cat"]] * 3, r"must contain real numbers, got 'cat' at index \(0, 1\)")
    refused(entries, lambda: np.array([[1, "x" * 99]] * 3, object), rf"must contain real numbers, got '{'x' * 40}' .*")


def test_what_the_remedies_say_works():
    model = network()
    wish = model.predict(GRID)
    for bad in (GRID.astype(object), GRID.astype(str)):
        with pytest.raises(TypeError, match=r"use \.astype\(float\)"):
            model.predict(bad)
        np.testing.assert_array_equal(model.predict(bad.astype(float)), wish)
    fractions = [list(map(Fraction, row)) for row in GRID.tolist()]
    with pytest.raises(TypeError, match=r"use np\.array\(\.\.\., float\)"):
        model.predict(fractions)
    np.testing.assert_array_equal(model.predict(np.array(fractions, float)), wish)


def test_tables_of_pandas():
    pandas = needs("pandas")
    table = pandas.DataFrame({"a": [1.0, 2, 3], "b": ["x", "y", "z"], 7: [4, 5, None], "d": [True, False, True]})
    for call in (network().predict, nn.preparation.StandardScaler().fit):
        with pytest.raises(TypeError, match="X must contain real numbers, got 'x' in column 'b': encode or leave"):
            call(table)
        with pytest.raises(TypeError, match=r"got date in column 8: encode or leave out 8, 'b', 0, 1, 2, \.\.\.$"):
            call(table.assign(**{"8": datetime.date(2020, 1, 1)}).rename(columns={"8": 8})[["a", 8, "b"]].join(
                pandas.DataFrame([["u"] * 4] * 3)))
    with pytest.raises(TypeError, match=r"X must contain real numbers, got dtype object: use \.astype\(float\)"):
        network().predict(table[["a", "d"]])
    model = network()
    np.testing.assert_array_equal(model.predict(table[["a", 7]][:2]), model.predict([[1, 4], [2, 5]]))
    with pytest.raises(TypeError, match="sample_weight must contain real numbers, got NAType at index 1"):
        network().train(GRID, CLASSES, sample_weight=pandas.array([True, None, False], dtype="boolean"))
    whole = pandas.DataFrame({"a": pandas.array([1, None, 3], dtype="Int64")})
    assert np.isnan(nn.preparation.StandardScaler().fit_transform(whole.astype(float))[1, 0])


def test_tensors_of_torch(torch):
    tensor = torch.tensor(GRID, requires_grad=True)
    for bad in (tensor, [tensor, tensor]):
        refused(NUMBERS, lambda: bad, f"must be an array, got {type(bad).__name__} that NumPy cannot read: Can't call "
                r"numpy\(\) on Tensor that requires grad. Use tensor.detach\(\).numpy\(\) instead.")
    refused(ENTRIES, lambda: tensor.detach().bfloat16(), "must be an array, got Tensor that NumPy cannot read: Got "
            "unsupported ScalarType BFloat16. Convert it to float32 first")
    refused({"X": ENTRIES["X"]}, lambda: tensor.to("meta"), "must be an array, .* that NumPy cannot read: .*Use .*")
    model = network()
    np.testing.assert_array_equal(model.predict(tensor.detach()), model.predict(GRID))


def test_what_can_be_split_need_not_be_numbers():
    for X in ([["a", 1, None]] * 3, np.array([["x"], ["y"], ["z"]], object), np.arange(3).astype("M8[D]")):
        rows = nn.preparation.train_test_split(X, ["cat", "dog", None], shuffle=False)
        assert rows[0].tolist() == np.asarray(X)[:2].tolist() and rows[2].tolist() == ["cat", "dog"]


@pytest.mark.parametrize("huge", (1e300, -1e300, np.longdouble("1e300"), 2.0**128))
def test_data_beyond_float32_is_named(huge):
    """NumPy would make infinity of it, with a warning that names nothing."""
    table = GRID.astype(np.longdouble if isinstance(huge, np.longdouble) else float)
    table[2, 1] = huge
    weights = np.array([1, abs(huge), 1])
    square = table[1:]
    for name, call, place, value in (
            ("X", lambda: network().train(table, CLASSES), "(2, 1)", table),
            ("X", lambda: network(nnfs).train(table.tolist(), CLASSES), "(2, 1)", table),
            ("X", lambda: network().predict(table), "(2, 1)", table),
            ("X", lambda: network().evaluate(table, CLASSES), "(2, 1)", table),
            ("validation_data: X", lambda: network().train(GRID, CLASSES, validation_data=(table, CLASSES)), "(2, 1)",
             table),
            ("y", lambda: network(loss=nn.MeanSquaredError, last=nn.Linear).train(GRID, table), "(2, 1)", table),
            ("y", lambda: nn.BinaryAccuracy().calculate(GRID.astype("f4"), table), "(2, 1)", table),
            ("sample_weight", lambda: network().train(GRID, CLASSES, sample_weight=weights), "1", weights),
            ("weights", lambda: setattr(nn.Dense(2, 2), "weights", square), "(1, 1)", square),
            ("weights", lambda: nn.Dense(2, 2, initializer=lambda *sizes: square), "(1, 1)", square),
            ("weights of layer 0", lambda: network().set_parameters([(square, [0, 0])]), "(1, 1)", square),
            ("outputs", lambda: nn.RegressionAccuracy(1).calculate(table.tolist(), GRID), "(2, 1)", table),
            ("inputs", lambda: nn.ReLU().forward(table.tolist()), "(2, 1)", table)):
        with pytest.raises(ValueError) as caught:
            call()
        shown = huge if name != "sample_weight" else abs(huge)
        assert str(caught.value) == (f"{name} must contain numbers that float32 can represent, got {float(shown):g} at "
                                     f"index {place}: scale them first"), name


def test_what_layers_hand_on_becomes_infinity_beyond_float32():
    """As in a training that diverges, whose loss is then named."""
    layer, wish = nn.Dense(2, 2, rng=0), np.array([[1, np.inf]], "f4")
    layer.forward(np.array([[1, 1e300]]))
    assert (layer.inputs == wish).all()
    assert (nn.Linear().forward(np.array([[1, 1e300]])) == [[1, 1e300]]).all()
    linear = nn.Linear()
    linear.forward(wish)
    assert (linear.backward(np.array([[1, 1e300]])) == wish).all()


def test_numbers_too_small_for_float32_are_no_error():
    with np.errstate(all="raise"):
        assert nn.ReLU().forward([[1e-300, 1e-40]]).tolist() == [[0, np.float32(1e-40)]]


def test_infinity_is_no_number_beyond_float32():
    assert np.isinf(nn.ReLU().forward([[np.inf, 1.0]])[0, 0])
    assert np.isnan(network().predict(np.array([[np.inf, 1.0], [np.nan, 1]]))).all()


def test_ranges_and_buffers_are_arrays():
    assert nn.ReLU().forward(range(3)).tolist() == [0, 1, 2]
    assert nn.ReLU().forward(memoryview(np.arange(3.0))).tolist() == [0, 1, 2]

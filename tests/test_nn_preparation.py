"""nn/data/preparation.py: scalers and the encoder against their definitions, one-hot labels, splits and batches."""

import copy
import json
import pickle
import tracemalloc

import numpy as np
import pytest
from optional import needs

from nnjit import nn
from nnjit.nn.data.preparation import (LabelEncoder, MinMaxScaler, StandardScaler, balanced_class_weights, batches,
                                       from_one_hot, one_hot, train_test_split)

rng = np.random.default_rng(3)
TABLE = rng.standard_normal((50, 4)) * [1, 10, 100, 0.01] + [0, 5, -7, 100]
IMAGES = rng.integers(0, 256, (6, 3, 5, 4))


@pytest.mark.parametrize(("data", "axes"), ((TABLE, 0), (IMAGES, (0, 2, 3)), (IMAGES[:, 0], 0)))
def test_scalers_do_what_they_say(data, axes):
    scaled = MinMaxScaler(-1, 3).fit_transform(data.astype(np.float64))
    assert np.allclose(scaled.min(axes), -1, atol=1e-12) and np.allclose(scaled.max(axes), 3, atol=1e-12)
    scaled = StandardScaler().fit_transform(data.astype(np.float64))
    limit = (4 * np.finfo(float).eps * abs(data).max(axes) / data.std(axes)).max()  # of the mean, before the division
    assert np.allclose(scaled.mean(axes), 0, atol=limit) and np.allclose(scaled.std(axes), 1, atol=limit)


@pytest.mark.parametrize("scaler", (MinMaxScaler(), MinMaxScaler(-1, 1), StandardScaler()))
def test_scalers_learn_from_one_set_and_apply_to_another(scaler):
    assert scaler.fit(TABLE[:30]) is scaler
    whole, rest = scaler.transform(TABLE), scaler.transform(TABLE[30:])
    assert (whole[30:] == rest).all()
    np.testing.assert_allclose(scaler.inverse_transform(rest), TABLE[30:], rtol=1e-12)
    single = scaler.transform(TABLE.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, whole, rtol=0, atol=2e-3)  # 100 of deviation 0.01, in float32


def test_images_keep_their_size_free():
    scaler = StandardScaler().fit(IMAGES)
    assert scaler.transform(IMAGES[:1, :, :2]).shape == (1, 3, 2, 4)
    with pytest.raises(ValueError, match=r"X of shape \(6, 2, 5, 4\) does not fit .* \(N, 3, any, any\)"):
        scaler.transform(IMAGES[:, :2])


def test_what_never_changes_stays_finite():
    data = np.full((5, 2), 7.0)
    assert (StandardScaler().fit_transform(data) == 0).all()
    scaler = MinMaxScaler(-1, 1)
    assert (scaler.fit_transform(data) == -1).all()
    assert (scaler.inverse_transform(scaler.transform(data)) == 7).all()


def test_mistakes_with_scalers_are_named():
    with pytest.raises(RuntimeError, match="call fit first"):
        StandardScaler().transform(TABLE)
    with pytest.raises(ValueError, match=r"X must have shape \(N, features\) or \(N, C, H, W\), .* got \(0, 4\)"):
        StandardScaler().fit(TABLE[:0])
    with pytest.raises(ValueError, match="low must be less than high"):
        MinMaxScaler(1, 1)
    with pytest.raises(ValueError, match=r"X of shape \(50, 3\) does not fit .* \(N, 4\)"):
        MinMaxScaler().fit(TABLE).transform(TABLE[:, :3])
    with pytest.raises(TypeError, match="X must contain real numbers"):
        MinMaxScaler().fit([["a", "b"]])


def test_one_hot_and_back():
    labels = [2, 0, 1, 2]
    rows = one_hot(labels, 4)
    assert rows.dtype == np.float32 and rows.tolist() == np.eye(4)[labels].tolist()
    assert from_one_hot(rows).tolist() == labels and from_one_hot(rows).dtype == np.int64
    assert one_hot(labels, dtype=np.float64).shape == (4, 3)
    assert one_hot(np.array([], int), 3).shape == (0, 3)
    assert from_one_hot([[0.2, 0.4, 0.4]]).tolist() == [1]


def test_mistakes_with_labels_are_named():
    with pytest.raises(ValueError, match="labels must lie in 0..2, got 3 at index 1"):
        one_hot([0, 3], 3)
    with pytest.raises(ValueError, match="labels must lie in 0..2, got -1 at index 0"):
        one_hot([-1], 3)
    with pytest.raises(ValueError, match="labels must be whole numbers, got 0.5 at index 0"):
        one_hot([0.5])
    with pytest.raises(ValueError, match=r"labels must have shape \(N,\)"):
        one_hot([[0, 1]])
    with pytest.raises(ValueError, match=r"rows must have shape \(N, C\), got \(3,\)"):
        from_one_hot([0, 1, 2])


def test_a_split_takes_each_sample_once():
    X, y = np.arange(10) * 10, np.arange(10)
    for test, size in ((0.25, 3), (4, 4), (0.999, 10), (1, 1)):
        if size == 10:
            with pytest.raises(ValueError, match="10 samples cannot be split into a test of 10"):
                train_test_split(X, y, test=test)
            continue
        X_train, X_test, y_train, y_test = train_test_split(X, y, test=test, seed=1)
        assert len(X_test) == len(y_test) == size and sorted([*y_train, *y_test]) == list(range(10))
        assert (X_train == y_train * 10).all() and (X_test == y_test * 10).all()
    first, second, third = (train_test_split(X, y, seed=seed)[1].tolist() for seed in (5, 5, 6))
    assert first == second != third
    assert train_test_split(X, y, test=3, shuffle=False)[1].tolist() == [70, 80, 90]


@pytest.mark.parametrize("test", (0.0, 1.0, True, "a", -1, 0, pytest.param(-10**5000, id="long")))
def test_mistakes_with_a_split_are_named(test):
    wish = TypeError if test is True or test == "a" else ValueError
    with pytest.raises(wish, match="test must be a share|cannot be split"):
        train_test_split(np.arange(4), np.arange(4), test=test)
    with pytest.raises(ValueError, match=r"X and y must have the same length, got shapes \(4,\) and \(3,\)"):
        train_test_split(np.arange(4), np.arange(3))


def test_batches_take_all_samples():
    X, y = np.arange(20).reshape(10, 2), np.arange(10)
    found = list(batches(X, y, 4))
    assert [part.tolist() for _, part in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert all((part == X[labels]).all() for part, labels in found)
    shuffled = list(batches(X, y, 4, shuffle=True, seed=0))
    assert sorted(np.concatenate([labels for _, labels in shuffled])) == list(range(10))
    assert all((part == X[labels]).all() for part, labels in shuffled)
    assert [labels.tolist() for _, labels in shuffled] != [labels.tolist() for _, labels in found]
    for wrong in (0, True, 2.5, None):
        with pytest.raises(ValueError if wrong == 0 else TypeError, match="batch_size must be (at least|a whole)"):
            batches(X, y, wrong)


def test_they_are_in_nn():
    assert nn.preparation.StandardScaler is StandardScaler


def test_balanced_class_weights():
    labels = np.array([0, 0, 0, 1, 1, 2])
    np.testing.assert_allclose(balanced_class_weights(labels), [6 / (3 * 3), 6 / (3 * 2), 6 / 3], rtol=1e-15)
    weights = balanced_class_weights(labels[labels != 2].astype(np.uint8), 2)
    assert weights.dtype == np.float64 and np.array_equal(weights, [5 / 6, 5 / 4])
    for wrong, text in (([0, 0, 2], "need labels of each of the 3 classes, got none of 1: give class_weights"),
                        (np.empty(0, int), "labels must not be empty"), ([0, 5], "labels must lie in 0..2, got 5 at"),
                        (np.eye(3, dtype=int), r"labels must have shape \(N,\), got \(3, 3\)")):
        with pytest.raises(ValueError, match=text):
            balanced_class_weights(wrong, 3)


@pytest.mark.parametrize("value", (0.1, 1 / 3, -0.7, 123.456))
def test_a_column_that_never_changes_becomes_0(value):
    for count in (3, 5, 6, 7, 100, 1000):  # of these many equal numbers the mean is another one
        column = np.full((count, 1), value)
        assert not StandardScaler().fit_transform(column).any()
        assert (StandardScaler().fit(column).inverse_transform(np.zeros((2, 1))) == value).all()


def test_scalers_do_not_overflow_nor_round_in_float32():
    wide = np.array([[-3e38], [3e38], [0]], np.float32)
    scaler = MinMaxScaler().fit(wide)
    assert scaler.transform(wide).ravel().tolist() == [0, 1, 0.5]
    assert (scaler.inverse_transform(scaler.transform(wide)) == wide).all()
    seconds = np.array([[1700000000], [1700000060], [1700000120]])
    for values in (seconds, seconds.tolist()):
        scaled = MinMaxScaler().fit_transform(values)
        assert scaled.dtype == np.float32 and scaled.ravel().tolist() == [0, 0.5, 1]
    narrow = StandardScaler().fit(np.array([[1e-50], [3e-50]]))
    assert narrow.transform(np.zeros((1, 1), np.float32)).tolist() == [[-2]]
    far = rng.normal(1e6, 1, (1000, 1)).astype(np.float32)
    assert abs(StandardScaler().fit_transform(far).mean(dtype=float)) < 1e-6


def test_a_mask_is_not_dropped_in_silence():
    masked = np.ma.array([[1.0], [2.0], [3.0]], mask=[[1], [0], [0]])
    for split in (train_test_split, lambda X, y: batches(X, y, 2)):
        with pytest.raises(TypeError, match="X must be a plain array, got a masked one: fill it first"):
            split(masked, [0, 1, 2])
        with pytest.raises(TypeError, match="y must be a plain array, got a masked one"):
            split([0, 1, 2], masked)


HOLES = np.where(rng.random(TABLE.shape) < 0.2, np.nan, TABLE)


@pytest.mark.parametrize("kind", (MinMaxScaler, StandardScaler))
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_nan_is_left_out_of_what_scikit_learn_learns_too(kind, dtype):
    other = getattr(needs("sklearn.preprocessing"), kind.__name__)()
    data = np.column_stack([HOLES, np.where(np.arange(50) % 3, 7, np.nan), np.r_[5, np.full(49, np.nan)]]).astype(dtype)
    scaler, limit = kind().fit(data), 1e-12 if dtype == np.float64 else 1e-6
    other.fit(data.astype(float))
    for rows in (data, TABLE[:, [0, 1, 2, 3, 0, 0]].astype(dtype)):
        found, wish = scaler.transform(rows), other.transform(rows.astype(float))
        assert found.dtype == dtype and (np.isnan(found) == np.isnan(rows)).all()
        np.testing.assert_allclose(found, wish, rtol=limit, atol=limit * np.nanmax(abs(wish)))
        np.testing.assert_allclose(scaler.inverse_transform(found), rows, rtol=10 * limit, atol=10 * limit)


@pytest.mark.parametrize("kind", (MinMaxScaler, StandardScaler))
def test_a_feature_of_nan_alone_stays_nan(kind):
    data = np.array([[np.nan, 1], [np.nan, 3]])
    scaler = kind().fit(data)
    assert np.isnan(scaler.transform([[np.nan, 1], [2, 1]])[:, 0]).all()  # as in scikit-learn
    assert np.isfinite(scaler.transform(data)[:, 1]).all()
    assert np.isnan(scaler.inverse_transform(data)[:, 0]).all()


def test_a_constant_beside_nan_becomes_0_or_low():
    for count in (4, 8, 101):
        column = np.full((count, 1), 0.1)
        column[::3] = np.nan
        assert set(StandardScaler().fit_transform(column)[~np.isnan(column)]) == {0}
        assert set(MinMaxScaler(-2, 1).fit_transform(column)[~np.isnan(column)]) == {-2}


@pytest.mark.parametrize("kind", (MinMaxScaler, StandardScaler))
@pytest.mark.parametrize("data", (IMAGES, IMAGES[:, 0]))
def test_nan_in_images_and_sequences(kind, data):
    data = np.where(rng.random(data.shape) < 0.3, np.nan, data)
    found = kind().fit_transform(data)
    rows = found.swapaxes(0, 1).reshape(3, -1).T if data.ndim == 4 else found.reshape(len(found), -1)
    table = data.swapaxes(0, 1).reshape(3, -1).T if data.ndim == 4 else data.reshape(len(data), -1)
    np.testing.assert_allclose(rows, kind().fit_transform(table), rtol=1e-12, atol=1e-14)
    least, most = np.nanmin(table, axis=0), np.nanmax(table, axis=0)
    offset, divisor = (least, most - least) if kind is MinMaxScaler else (np.nanmean(table, 0), np.nanstd(table, 0))
    np.testing.assert_allclose(rows, (table - offset) / np.where(most > least, divisor, 1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", (MinMaxScaler, StandardScaler))
@pytest.mark.parametrize("method", ("fit", "fit_transform", "transform", "inverse_transform"))
@pytest.mark.parametrize("data, place, text", (
    (TABLE, (3, 2), "row 3, column 2"), (IMAGES, (4, 1, 2, 3), "sample 4, channel 1"),
    (IMAGES[0], (2, 4, 1), "sample 2, feature [(]4, 1[)]")))
def test_infinity_is_named(kind, method, data, place, text):
    scaler = kind().fit(data)
    before = scaler.offset.copy(), scaler.divisor.copy()
    for value, dtype in ((np.inf, np.float32), (-np.inf, np.float64)):
        wrong = data.astype(dtype)
        wrong[0, 0], wrong[place] = np.nan, value
        with pytest.raises(ValueError, match=f"^X must not contain infinity, got {value} at {text}$"):
            getattr(scaler, method)(wrong)
    assert (scaler.offset == before[0]).all() and (scaler.divisor == before[1]).all()


@pytest.mark.parametrize("kind", (MinMaxScaler, StandardScaler))
def test_numbers_too_large_to_scale_are_named(kind):
    with pytest.raises(ValueError, match="X contains numbers too large to scale, such as -1.7e[+]308 at row 1"):
        kind().fit([[0, np.nan], [1, -1.7e308], [2, 1.6e308]])


def test_what_does_not_fit_once_scaled_is_named():
    with pytest.raises(ValueError, match="low and high must be nearer to each other, got -1e[+]308 and 1e[+]308"):
        MinMaxScaler(-1e308, 1e308)
    for scaler, X, dtype, text in (
            (MinMaxScaler(0, 1e300).fit([[0.0], [1]]), [[0], [0.5]], np.float32, "0.5 at row 1, column 0"),
            (StandardScaler().fit([[0.0], [1e-100]]), [[0], [3]], np.float32, "3 at row 1, column 0"),
            (MinMaxScaler().fit([[-8e307], [8e307]]), [[0], [-1.7e308]], np.float64, None),
            (StandardScaler().fit([[1.5e308], [1.5e308]]), [[0], [-1.5e308]], np.float64, "-1.5e[+]308 at row 1")):
        X = np.array(X, dtype)
        if text is None:
            assert np.isfinite(scaler.transform(X)).all()
            continue
        text = f"^X contains numbers too large for {dtype.__name__} once scaled, such as {text}"
        with pytest.raises(ValueError, match=text):
            scaler.transform(X)
    with pytest.raises(ValueError, match="^X contains numbers too large for float32 once scaled, such as 2 at row 1"):
        MinMaxScaler().fit([[0.0], [1e300]]).inverse_transform(np.array([[0], [2]], np.float32))


def test_nan_among_one_hot_rows_is_no_class():
    with pytest.raises(ValueError, match="rows must not contain NaN, got it at row 1, column 2"):
        from_one_hot([[0, 1, 0], [0.5, 0.5, np.nan]])
    with pytest.raises(ValueError, match=r"rows must have a column for each class, got \(2, 1\): .* \(rows > 0.5\)"):
        from_one_hot([[0.1], [0.9]])


@pytest.mark.parametrize("labels", (
    ["dog", "cat", "cat", "ärger", "Dog", ""], np.array(["b", "a", "b"]), np.array(["b", "aa"], object), [b"x", b"a"],
    [3, -1, 7, 3], [0.5, -0.0, 2.0, 0.0], [True, False, True], [2**53, 2**53 + 1], np.array([3, 1], np.uint8),
    [["b"], ["a"]], np.array([[7], [5]]), (np.str_("b"), "a"), [np.float32(0.5), 2], np.array([1, 2.5], object)))
def test_label_encoder_as_scikit_learn(labels):
    other = needs("sklearn.preprocessing").LabelEncoder()
    flat = np.asarray(labels).ravel()
    encoder = LabelEncoder()
    assert encoder.fit(labels) is encoder
    found = encoder.transform(labels)
    assert found.dtype == np.int64 and found.tolist() == other.fit_transform(flat).tolist()
    assert encoder.classes.tolist() == other.classes_.tolist() and encoder.classes.dtype != object
    assert encoder.inverse_transform(found).tolist() == flat.tolist()
    assert LabelEncoder().fit_transform(labels).tolist() == found.tolist()
    assert encoder.transform(flat[:0]).shape == (0,) == encoder.inverse_transform([]).shape


def test_label_encoder_and_a_model():
    text = np.array(["red", "green", "blue"])[rng.integers(0, 3, 60)]
    X = rng.standard_normal((60, 2)) + (text == "red")[:, None] * 5 - (text == "blue")[:, None] * 5
    encoder = LabelEncoder()
    model = nn.Model()
    for layer in (nn.Dense(2, 3, rng=0), nn.Softmax()):
        model.add(layer)
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.1), accuracy=nn.Accuracy())
    model.finalize()
    with pytest.raises(TypeError, match="labels must be class numbers, got text such as '(red|green|blue)': encode it "
                                        "with nn.preparation.LabelEncoder"):
        model.train(X, text)
    y = encoder.fit_transform(text)
    model.train(X, y, epochs=100)
    found = encoder.inverse_transform(from_one_hot(model.predict(X)))
    assert np.mean(found == text) == model.evaluate(X, y)[1] > 0.9


def test_label_encoder_is_kept(tmp_path):
    encoder = LabelEncoder().fit(["b", "a", "ccc"])
    np.save(tmp_path / "classes.npy", encoder.classes, allow_pickle=False)
    for other in (LabelEncoder().fit(np.load(tmp_path / "classes.npy")), pickle.loads(pickle.dumps(encoder)),
                  copy.deepcopy(encoder), LabelEncoder().fit(json.loads(json.dumps(encoder.classes.tolist())))):
        assert other.classes.tolist() == encoder.classes.tolist() == ["a", "b", "ccc"]
        assert other.transform(["ccc", "a"]).tolist() == [2, 0]


def test_label_encoder_of_pandas():
    pandas = needs("pandas")
    for series in (pandas.Series(["b", "a"]), pandas.Series(["b", "a"], dtype="category"),
                   pandas.Categorical(["b", "a"]), pandas.DataFrame({"y": ["b", "a"]}),
                   pandas.Series(["b", "a"], dtype=object)):
        encoder = LabelEncoder()
        assert encoder.fit_transform(series).tolist() == [1, 0] and encoder.classes.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="labels must not be missing, got nan at index 1"):
        LabelEncoder().fit(pandas.Series(["b", None, "a"]))


@pytest.mark.parametrize("labels, error, text", (
    ([], ValueError, "labels must not be empty"),
    (["a", None], ValueError, "labels must not be missing, got None at index 1"),
    ([1.5, np.nan, 2], ValueError, "labels must not be missing, got nan at index 1"),
    (np.array(["a", np.nan], object), ValueError, "labels must not be missing, got nan at index 1"),
    (["a", 1], TypeError, "labels must be of one kind, got text at index 0 and a number at index 1"),
    ([2, 3.5, "1"], TypeError, "labels must be of one kind, got a number at index 0 and text at index 2"),
    ([True, 2], TypeError, "labels must be of one kind, got a bool at index 0 and a number at index 1"),
    ([b"a", "a"], TypeError, "labels must be of one kind, got bytes at index 0 and text at index 1"),
    ([1, 1j], TypeError, "labels must be text, numbers or bools, got complex at index 1"),
    ([[1], {}], (TypeError, ValueError), "labels must be .*"),
    (np.array(["2020-01-01"], "M8[D]"), TypeError, "labels must be text, numbers or bools, got date at index 0"),
    ([2**70], TypeError, "labels must be numbers of 64 bits"),
    (["a", ["b"]], ValueError, "labels must be an array, or lists of the same length"),
    ([["a", "b"]], ValueError, r"labels must have shape \(N,\) or \(N, 1\), got \(1, 2\)"),
    ("cat", TypeError, "labels must be an array, got 'cat'"),
    (map(str, "ab"), TypeError, "labels must be an array, got map: make it a list"),
    (np.ma.array([1, 2]), TypeError, "labels must be a plain array, got a masked one"),
))
def test_mistakes_with_a_label_encoder_are_named(labels, error, text):
    encoder = LabelEncoder()
    with pytest.raises(error, match=f"^{text}"):
        encoder.fit(labels)
    assert encoder.classes is None
    for method in (encoder.transform, encoder.inverse_transform):
        with pytest.raises(RuntimeError, match="the encoder is not fitted: call fit first"):
            method([0])


@pytest.mark.parametrize("labels, place", ((["a", "b\0"], 1), ([b"a\0", b"a"], 0), (np.array(["\0", "a"], object), 0)))
def test_a_nul_at_the_end_of_a_label_is_refused(labels, place):
    """NumPy takes "a" and "a\0" for the same text."""
    for call in (LabelEncoder().fit, LabelEncoder().fit(["a", "b"]).transform):
        with pytest.raises(ValueError, match=f"^labels must not end in a NUL character, got .* at index {place}: "):
            call(labels)
    assert LabelEncoder().fit_transform(["a\0b", "a"]).tolist() == [1, 0]


@pytest.mark.parametrize("labels", (
    [2**53, 2**53 + 1], [2.0**53, 2**53 + 2], [2**63, 2**63 + 1], [-2**63, 1.5], [0.1, np.float32(0.1)]))
def test_numbers_stay_apart(labels):
    encoder = LabelEncoder().fit(labels)
    assert encoder.classes.tolist() == sorted(labels)
    for given in (labels, np.array(labels), encoder.classes):
        assert sorted(encoder.transform(given)) == [0, 1]


@pytest.mark.parametrize("labels", (
    [2**53, 2**53 + 1, 0.5], [2**63 + 1, -1], [2**63 + 1, 2.0], [np.uint64(2**63 + 1), -1]))
def test_numbers_that_no_dtype_keeps_apart_are_refused(labels):
    with pytest.raises(ValueError, match="^labels must be numbers that a single dtype can represent, got .* text"):
        LabelEncoder().fit(labels)


def test_numbers_of_another_kind_are_compared_exactly():
    encoder = LabelEncoder().fit([2**53 + 1, 2**53 + 3, 7])
    for unseen in (2.0**53, 2.0**53 + 4, 1e300, -np.inf):
        with pytest.raises(ValueError, match="labels must be among the classes that fit has seen, got .* at index 1"):
            encoder.transform([7.0, unseen])
    assert encoder.transform([7.0]).tolist() == [0]
    with pytest.raises(ValueError, match="labels must be among the classes"):
        LabelEncoder().fit([2.0**53]).transform([2**53 + 1])


def test_odd_labels_and_rows_are_named():
    for labels, place in (([-1], 0), ([0, -3, -1], 1)):
        for call in (one_hot, balanced_class_weights):
            with pytest.raises(ValueError, match=f"must be class numbers of at least 0, got -. at index {place}$"):
                call(labels)
    for call in (one_hot, balanced_class_weights):
        with pytest.raises(ValueError, match="^labels must not be empty"):
            call([])
        with pytest.raises(ValueError, match="^classes must be at least 1, got 0$"):
            call([0], 0)
    for rows, text in ((3, r"\(\)"), ([], r"\(0,\)"), ([[]], r"\(1, 0\)"), (np.zeros((2, 2, 2)), r"\(2, 2, 2\)")):
        with pytest.raises(ValueError, match=f"^rows must have shape \\(N, C\\), got {text}$"):
            from_one_hot(rows)
    close = [[0.3, 0.3 + 1e-12], [1e-300, 0.0], [1e300, 2e300]]  # float32 would make them equal
    assert from_one_hot(close).tolist() == [1, 0, 1]


def test_labels_that_the_encoder_has_not_seen():
    for seen, unseen, text in ((["b", "d"], ["d", "c", "z"], "'c' at index 1"), ([1, 3], [3, 1, 2], "2 at index 2"),
                               ([1, 3], [4], "4 at index 0"), ([1, 3], [1.0, 1.5], "1.5 at index 1"),
                               (["b"], ["bb"], "'bb' at index 0"), (["b"], [""], "'' at index 0")):
        with pytest.raises(ValueError, match=f"labels must be among the classes that fit has seen, got {text}"):
            LabelEncoder().fit(seen).transform(unseen)
    assert LabelEncoder().fit([1, 3]).transform([3.0, 1.0]).tolist() == [1, 0]
    with pytest.raises(TypeError, match="labels must be of the kind that fit has seen, text, got a number"):
        LabelEncoder().fit(["1", "2"]).transform([1, 2])
    encoder = LabelEncoder().fit(["b", "d"])
    with pytest.raises(ValueError, match="numbers must lie in 0..1, got 2 at index 1"):
        encoder.inverse_transform([0, 2])
    with pytest.raises(ValueError, match=r"numbers must have shape \(N,\), got \(1, 2\): use from_one_hot first"):
        encoder.inverse_transform([[0.2, 0.8]])
    with pytest.raises(ValueError, match="numbers must be whole numbers, got 0.5 at index 0"):
        encoder.inverse_transform([0.5])


# ---- axes of images


@pytest.mark.parametrize("dtype", (np.uint8, np.float32, ">f8", bool))
def test_axes_of_images(dtype):
    images = np.random.default_rng(0).integers(0, 2, (5, 4, 3, 2)).astype(dtype)
    for given in (images, images.tolist(), np.asfortranarray(images)):
        found = nn.preparation.to_nchw(given)
        assert found.shape == (5, 2, 4, 3) and found.flags.c_contiguous and found.flags.owndata
        for channel in range(2):
            np.testing.assert_array_equal(found[:, channel], images[..., channel])
        np.testing.assert_array_equal(nn.preparation.to_nhwc(found), images)
    assert nn.preparation.to_nchw(images).dtype == nn.preparation.to_nhwc(images).dtype == np.dtype(dtype)
    grey = nn.preparation.to_nchw(images[..., 0])
    np.testing.assert_array_equal(grey, images[..., 0][:, None], strict=True)
    assert not np.shares_memory(grey, images) and nn.preparation.to_nchw(images[:0]).shape == (0, 2, 4, 3)


# ---- images as bytes


@pytest.mark.parametrize("scaler", (StandardScaler(), MinMaxScaler(-1, 1)))
@pytest.mark.parametrize("shape", ((300, 3, 17, 31), (1, 2, 1, 1), (50, 4), (5, 2, 3)))
def test_bytes_are_scaled_as_floats_are(scaler, shape):
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    images[:, 0] = 7  # a constant channel
    axes = (0, 2, 3) if len(shape) == 4 else (0,)
    scaled = scaler.fit_transform(images)
    bounds = [each.copy() for each in (scaler.offset, scaler.divisor)]
    wish = scaler.fit(images.astype(np.float64))
    for found, other in zip(bounds, (wish.offset, wish.divisor)):
        np.testing.assert_allclose(found, other, rtol=1e-14)
    assert scaled.dtype == np.float32
    if type(scaler) is StandardScaler:
        np.testing.assert_allclose(bounds[0], images.mean(axes, np.float64, keepdims=True), rtol=1e-14)
        spread = images.std(axes, np.float64, keepdims=True)
        np.testing.assert_allclose(bounds[1], np.where(spread == 0, 1, spread), rtol=1e-14)
    np.testing.assert_array_equal(scaled, ((images - bounds[0]) / bounds[1]).astype(np.float32))
    np.testing.assert_allclose(scaler.inverse_transform(scaled), images, atol=1e-4)
    for same in (np.asfortranarray(images), images[::-1][::-1], images.tolist()):
        np.testing.assert_allclose(scaler.fit_transform(same), scaled, atol=1e-6)


def test_bytes_are_not_copied_as_floats():
    images = np.random.default_rng(0).integers(0, 256, (2000, 3, 32, 32), np.uint8)
    scaler = StandardScaler()
    tracemalloc.start()
    scaler.fit(images)
    assert tracemalloc.get_traced_memory()[1] < images.nbytes
    tracemalloc.reset_peak()
    scaled = scaler.transform(images)
    assert tracemalloc.get_traced_memory()[1] < scaled.nbytes + 1.5 * images.nbytes
    tracemalloc.stop()
    np.testing.assert_allclose([scaled.mean((0, 2, 3)), scaled.std((0, 2, 3))], [[0] * 3, [1] * 3], atol=1e-4)

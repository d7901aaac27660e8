"""What a model takes: samples of the shape that `finalize` was told, in the kind that the first layer wants."""

import copy
import json
import pickle

import numpy as np
import pytest

from nnjit import nn
from nnjit.nn import nnfs

rng = np.random.default_rng(0)
IMAGES = rng.standard_normal((12, 4, 4)).astype(np.float32)
LABELS = np.arange(12) % 3


def network(*layers, kind=nn.Model, input_shape=None):
    model = kind()
    for layer in layers:
        model.add(layer)
    model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.Adam(0.05), accuracy=nn.Accuracy())
    model.finalize(input_shape=input_shape)
    return model


def dense(n_inputs, n_neurons=3, seed=0, **more):
    return nn.Dense(n_inputs, n_neurons, rng=seed, **more)


def bits(model):
    return [values.tobytes() for each in model.get_parameters() for values in each]


# ---- the shape of a sample


@pytest.mark.parametrize("given, shape", (
    (16, (16,)), (np.int8(16), (16,)), (np.array(16), (16,)), ((16,), (16,)), ([4, 4], (4, 4)),
    ((np.int64(4), np.uint8(4)), (4, 4)), ((2, 2, 2, 2), (2, 2, 2, 2)), ([1] * 62 + [16], (*[1] * 62, 16))))
def test_shapes_are_numbers_or_several(given, shape):
    model = network(nn.Flatten(), dense(16), input_shape=given)
    assert nn.summary(model).rows[0].shape == (16,)
    X = IMAGES.reshape(12, *shape)
    model.train(X, LABELS, epochs=2)
    plain = network(nn.Flatten(), dense(16))
    plain.train(X, LABELS, epochs=2)
    assert bits(model) == bits(plain) and model.why_not_recorded is None


@pytest.mark.parametrize("given", ((), []))
def test_a_sample_may_be_a_single_number(given):
    model = network(nn.Flatten(), dense(1), input_shape=given)
    assert model.predict(np.ones(5)).shape == (5, 3)
    with pytest.raises(ValueError, match=r"^X must have shape \(samples\), got \(5, 1\)$"):
        model.predict(np.ones((5, 1)))
    for layers in ([nn.ReLU()], [nn.Input(()), nn.Softmax()]):
        nn.Model(layers).finalize(given)


@pytest.mark.parametrize("wrong, error, text", (
    *[(wrong, TypeError, "must be a whole number or a tuple")
      for wrong in (True, 2.5, "a", (2, "a"), (2, None), {}, {2}, np.array([4, 4]), (2, True), [[4, 4]], 1j)],
    *[(wrong, ValueError, "must have sizes of at least 1") for wrong in (0, -1, (4, 0), [-4])],
    *[(wrong, ValueError, "must have at most 63 sizes with a product below 2")
      for wrong in ((1,) * 64, 2**63, (2**32, 2**31), (10**5000,))]))
@pytest.mark.parametrize("kind", (nn.Model, nnfs.Model))
def test_what_is_no_shape_is_named(kind, wrong, error, text):
    model = network(nn.Flatten(), dense(16), kind=kind, input_shape=(4, 4))
    with pytest.raises(error, match=f"^input_shape {text}.*, got"):
        model.finalize(wrong)
    assert model.predict(IMAGES).shape == (12, 3)  # it stays as it was
    with pytest.raises(ValueError, match=r"X must have shape \(samples, 4, 4\)"):
        model.predict(IMAGES[:, :2])


@pytest.mark.parametrize("layers, shape, text", (
    ([dense(16)], 5, r"layer 0, Dense\(16, 3\), must have 5 inputs, not 16"),
    ([dense(16)], (4, 4), r"layer 0, Dense\(16, 3\), must accept samples of shape \(4, 4\), not 16 inputs: add"),
    ([nn.Input((4, 4)), nn.Flatten(), dense(16)], 16, r"layer 0, Input.*, must accept samples of shape \(16,\), not "),
    ([nn.Flatten(), dense(16)], (4, 5), r"layer 1, Dense\(16, 3\), must have 20 inputs, not 16"),
    ([nn.Residual(dense(16, 16)), dense(16)], 5, r"layer 0, Residual.*, layer 0, Dense.*, must have 5 inputs, not 16"),
    ([nn.Residual(dense(16, 16), shortcut=nn.Dropout(0.1))], (2, 5), r"layer 0, Residual.*, layer 0, Dense"),
    ([nn.Parallel(dense(16, 2), nn.Identity()), dense(18)], 5, r"layer 0, Parallel.*must have 5 inputs, not 16"),
    ([nn.Softmax()], 1, r"layer 0, Softmax\(\), of a single output is always 1")))
def test_a_shape_that_layers_do_not_take_is_named_with_the_layer(layers, shape, text):
    model = nn.Model(layers)
    with pytest.raises(ValueError, match=rf"^input_shape \({shape if isinstance(shape, int) else shape[0]},.*"
                                         f" does not fit: {text}"):
        model.finalize(shape)
    model.finalize()  # nothing is remembered of it


def test_layers_that_do_not_fit_each_other_do_not_blame_the_shape():
    for shape in (16, 5, (4, 4), None):
        with pytest.raises(ValueError, match=r"^layer 1, Dense\(4, 3\), must have 5 inputs, not 4$"):
            nn.Model([dense(16, 5), dense(4)]).finalize(shape)


@pytest.mark.parametrize("kind", (nn.Model, nnfs.Model))
@pytest.mark.parametrize("first", (lambda: [], lambda: [nn.Input((4, 4))],
                                   lambda: [nn.Residual(nn.Tanh())], lambda: [nn.Dropout(0.1, seed=0)]))
def test_data_of_another_shape_is_named(twin, kind, first):
    model = network(*first(), nn.Flatten(), dense(16), kind=kind, input_shape=(4, 4))
    model.train(IMAGES, LABELS, validation_data=(IMAGES, LABELS))
    before = bits(model)
    for wrong in (IMAGES.reshape(12, 16), IMAGES.reshape(12, 2, 8), IMAGES[..., None], IMAGES[:0].reshape(0, 16)):
        text = rf"X must have shape \(samples, 4, 4\), got \({', '.join(map(str, wrong.shape))}\)"
        for call in (lambda: model.train(wrong, LABELS), lambda: model.evaluate(wrong, LABELS),
                     lambda: model.predict(wrong), lambda: model.predict(wrong, batch_size=2),
                     lambda: model.forward(wrong), lambda: model.train_step(wrong, LABELS),
                     lambda: nn.check_gradients(model, wrong, LABELS, verbose=False)):
            with pytest.raises(ValueError, match=f"^{text}"):
                call()
        with pytest.raises(ValueError, match=f"^validation_data: {text}"):
            model.train(IMAGES, LABELS, validation_data=(wrong, LABELS))
    assert bits(model) == before


def test_a_shape_stays_until_another_is_given():
    model = network(nn.Flatten(), dense(16, 5), input_shape=(4, 4))
    model.add(nn.ReLU()).add(dense(5))
    model.finalize()
    with pytest.raises(ValueError, match=r"X must have shape \(samples, 4, 4\)"):
        model.predict(IMAGES.reshape(12, 16))
    model.finalize((2, 8))
    assert model.predict(IMAGES.reshape(12, 2, 8)).shape == (12, 3)
    with pytest.raises(ValueError, match=r"X must have shape \(samples, 2, 8\)"):
        model.forward(IMAGES)


@pytest.mark.parametrize("finalize", (lambda model: model.finalize(5), lambda model: model.finalize((4, 5))))
def test_a_finalize_that_fails_leaves_the_model_as_it_was(finalize):
    model = network(nn.Flatten(), dense(16), input_shape=(4, 4))
    model.train(IMAGES, LABELS)
    wish = model.predict(IMAGES)
    with pytest.raises(ValueError):
        finalize(model)
    assert np.array_equal(model.predict(IMAGES), wish)
    model.train(IMAGES, LABELS)
    assert model.why_not_recorded is None


def test_a_loss_that_does_not_take_the_outputs_leaves_the_shape():
    model = nn.Model([nn.Flatten(), nn.Tanh()])
    model.set(loss=nn.SoftmaxCategoricalCrossentropy(), accuracy=nn.Accuracy())
    model.finalize((4, 4))
    with pytest.raises(ValueError, match="needs an output for each class"):
        model.finalize(1)
    assert model.evaluate(IMAGES, LABELS)[0] > 0


COPIES = {"pickle": lambda model, path: pickle.loads(pickle.dumps(model)),
          "deepcopy": lambda model, path: copy.deepcopy(model), "copy": lambda model, path: copy.copy(model)}


def saved(model, path):
    model.save(path)
    return type(model).load(path)


@pytest.mark.parametrize("kind", (nn.Model, nnfs.Model))
@pytest.mark.parametrize("how", (*COPIES, "saved"))
@pytest.mark.parametrize("shape", ((4, 4), None))
def test_copies_and_files_keep_the_shape(kind, how, shape, tmp_path):
    model = network(nn.Flatten(), dense(16), kind=kind, input_shape=shape)
    other = (COPIES | {"saved": saved})[how](model, tmp_path / "m.npz")
    assert str(nn.summary(other)) == str(nn.summary(model)) and type(other) is kind
    assert np.array_equal(other.predict(IMAGES), model.predict(IMAGES))
    if shape is None:
        assert other.predict(IMAGES.reshape(12, 16)).shape == (12, 3)
    else:
        with pytest.raises(ValueError, match=r"X must have shape \(samples, 4, 4\)"):
            other.predict(IMAGES.reshape(12, 16))


def rewritten(path, change):
    with np.load(path) as file:
        arrays = dict(file)
    description = json.loads(arrays["model.json"].tobytes())
    change(description)
    np.savez(path, **{**arrays, "model.json": np.frombuffer(json.dumps(description).encode(), np.uint8)})
    return path


def test_a_file_without_a_shape_is_read(tmp_path):
    network(nn.Flatten(), dense(16), input_shape=(4, 4)).save(tmp_path / "m.npz")
    model = nn.Model.load(rewritten(tmp_path / "m.npz", lambda description: description.pop("input_shape")))
    assert model.predict(IMAGES.reshape(12, 16)).shape == (12, 3)


@pytest.mark.parametrize("wrong, text", (
    (True, "input_shape must be a whole number or a tuple of them, got True"), ("a", "input_shape must be"),
    ([4, 2.5], "input_shape must be a whole number"), ([4, -4], "input_shape must have sizes of at least 1"),
    ({"class": "Dense"}, "input_shape must be"), ([10**400], "input_shape must have at most"),
    ([1] * 10**5, "at most 63"),
    ([5, 4], r"input_shape \(5, 4\) does not fit: layer 1, Dense\(16, 3\)")))
def test_a_wrong_shape_in_a_file_is_named(tmp_path, wrong, text):
    network(nn.Flatten(), dense(16), input_shape=(4, 4)).save(tmp_path / "m.npz")
    rewritten(tmp_path / "m.npz", lambda description: description.update(input_shape=wrong))
    with pytest.raises(ValueError, match=f"m.npz contains no model: .*{text}"):
        nn.Model.load(tmp_path / "m.npz")


# ---- the layers


def layers():
    return [dense(16, 8, activation="relu"), nn.Sequential(dense(8, 8, seed=1), nn.Sequential(nn.Tanh())),
            nn.Residual(dense(8, 8, seed=2)), dense(8, seed=3)]


def finished(model):
    model.set(loss=nn.SoftmaxCategoricalCrossentropy(), optimizer=nn.Adam(0.05))
    model.finalize()
    model.train(IMAGES.reshape(12, 16), LABELS, epochs=5)
    return bits(model)


@pytest.mark.parametrize("kind", (nn.Model, nnfs.Model))
def test_layers_at_once_and_one_by_one_are_the_same(twin, kind, capsys):
    by_add = kind()
    for layer in layers():
        by_add.add(layer)
    first, *rest = layers()
    chained = kind([first])
    for layer in rest:
        assert chained.add(layer) is chained
    models = [kind(layers()), kind(tuple(layers())), kind(layers=layers()), chained, kind([nn.Sequential(*layers())]),
              kind().add(nn.Sequential(*layers()))]
    wish = finished(by_add)
    for model in models:
        assert repr(model.layers) == repr(by_add.layers) and finished(model) == wish


def test_the_list_stays_the_callers():
    given = layers()
    model = nn.Model(given)
    given.clear()
    assert len(model.layers) == 5
    for empty in ([], (), [nn.Sequential()]):
        model = nn.Model(empty)
        assert model.layers == [] and repr(model) == "Model()"
        with pytest.raises(ValueError, match="the model has no layers: add some before finalize"):
            model.finalize()


@pytest.mark.parametrize("kind", (nn.Model, nnfs.Model))
@pytest.mark.parametrize("wrong", (
    dense(2), nn.Sequential(dense(2)), (each for each in layers()), nn.Dense, "Dense", b"Dense", {"a": dense(2)}, {1},
    None, 3, np.array([1]), np.array(layers(), object), nn.Model()))
def test_what_is_no_list_of_layers_is_named(kind, wrong):
    with pytest.raises(TypeError, match=r"^layers must be a list of layers, such as \[Dense\(2, 64\)\], got "):
        kind(wrong)


@pytest.mark.parametrize("wrong, text", (
    (3, "got 3"), (None, "got None"), ("Dense", "got 'Dense'"),
    ([dense(2)], r"got \[Dense\(2, 3\)\]: pass the layers one by one"),
    (nn.ReLU, r"got the class ReLU: write ReLU\(...\)"), (nn.Adam(), r"got Adam.*: write model.set\(optimizer=...\)"),
    (nn.Huber(), r"got Huber.*: write model.set\(loss=...\)"),
    (nn.Accuracy(), r"got .*Accuracy.*: write model.set\(accuracy=...\)")))
def test_what_is_no_layer_in_the_list_is_named(wrong, text):
    for given in ([dense(2), wrong], (dense(2), wrong)):
        with pytest.raises(TypeError, match=rf"^layers\[1\] must be a layer, such as Dense\(2, 64\), {text}"):
            nn.Model(given)


# ---- whole numbers


class Table:
    """A reader's own layer: rows of a table by their numbers, added up for each sample."""

    def __init__(self, count=10, size=5, seed=0):
        self.table = np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)
        self.dtable = None

    @property
    def parameters(self):
        return {"table": self.table}

    @property
    def gradients(self):
        return {"table": self.dtable}

    def prepare(self, inputs, name="inputs"):
        found = np.asarray(inputs)
        if found.dtype.kind not in "iu":
            raise TypeError(f"{name} must contain whole numbers, got dtype {found.dtype}")
        if found.size and not 0 <= found.min() <= found.max() < len(self.table):
            raise ValueError(f"{name} must lie in 0..{len(self.table) - 1}, got {found.max()}")
        return found.astype(np.int64)

    def output_shape(self, shape):
        return self.table.shape[1:]

    def forward(self, inputs, training=True):
        assert inputs.dtype == np.int64, "no whole numbers"
        self.inputs = inputs
        return self.table[inputs.reshape(len(inputs), -1)].sum(axis=1)

    def backward(self, dvalues):
        rows = self.inputs.reshape(len(self.inputs), -1)
        self.dtable = np.zeros_like(self.table)
        np.add.at(self.dtable, rows, dvalues[:, None])


NUMBERS = np.arange(36).reshape(12, 3) % 10
FIRST = {
    "alone": lambda: [Table()], "Input": lambda: [nn.Input(3), Table()], "Flatten": lambda: [nn.Flatten(), Table()],
    "Identity": lambda: [nn.Identity(), Table()],
    "Sequential": lambda: [nn.Sequential(nn.Input(3), nn.Flatten(), Table())],
    "Residual": lambda: [nn.Residual(Table(), shortcut=Table(seed=1))],
    "Residual, Input": lambda: [nn.Flatten(), nn.Residual(nn.Input(3), Table(), nn.Tanh(), shortcut=Table(seed=1))],
    "Parallel": lambda: [nn.Parallel(Table(10, 2), nn.Sequential(nn.Flatten(), Table(10, 3, seed=1)))],
    "nested": lambda: [nn.Parallel(nn.Residual(Table(), shortcut=Table(seed=1)), Table(seed=2), join="add")],
}
each = pytest.mark.parametrize("first", FIRST)


@each
@pytest.mark.parametrize("kind", (nn.Model, nnfs.Model))
def test_a_layer_of_whole_numbers_is_trained(twin, first, kind, capsys):
    model = network(*FIRST[first](), dense(5), kind=kind)
    before = bits(model)
    model.train(NUMBERS.astype(np.uint8), LABELS, epochs=30, batch_size=5, validation_data=(NUMBERS.tolist(), LABELS))
    assert all(mine != other for mine, other in zip(bits(model), before))
    assert model.history["loss"][-1] < model.history["loss"][0]
    assert twin == "numpy" or model.why_not_recorded.startswith("Table is of a class of your own, or has a method")
    by_hand = network(*FIRST[first](), dense(5), kind=kind)
    for _ in range(30):
        for at in range(0, 12, 5):
            by_hand.train_step(NUMBERS[at:at + 5], LABELS[at:at + 5])
    if kind is nnfs.Model:  # in their order
        assert bits(by_hand) == bits(model)
    outputs = model.predict(NUMBERS)
    assert np.array_equal(outputs, model.forward(NUMBERS.tolist(), training=False))
    assert np.array_equal(outputs, model.predict(NUMBERS, batch_size=5))
    assert model.evaluate(NUMBERS, LABELS)[1] == (outputs.argmax(axis=1) == LABELS).mean()


@each
def test_gradients_of_a_layer_of_whole_numbers(first):
    model = network(*FIRST[first](), dense(5))
    found = nn.check_gradients(model, NUMBERS, LABELS, verbose=False)
    assert found
    names = {row.name.rpartition(".")[2] for row in found.rows}
    assert names == {"table", "inputs", "weights", "biases"}
    assert {row.layer for row in found.rows if row.name == "inputs"} == {
        f"{len(model.layers) - 1} Dense(5, 3)", "SoftmaxCategoricalCrossentropy"}
    for layer in model.layers[:-1]:
        if isinstance(layer, (nn.Sequential, nn.Residual, nn.Parallel)):
            layer.trainable = False
    assert nn.check_gradients(model, NUMBERS, LABELS, verbose=False)
    assert model.backward(model.forward(NUMBERS), LABELS) is None  # whole numbers have no gradient


@each
def test_a_wrong_gradient_of_such_a_layer_is_found(first, monkeypatch):
    right = Table.backward

    def wrong(self, dvalues):
        right(self, dvalues)
        self.dtable *= 1.01

    monkeypatch.setattr(Table, "backward", wrong)
    rows = nn.check_gradients(network(*FIRST[first](), dense(5)), NUMBERS, LABELS, verbose=False).rows
    assert all(row.passed != row.name.endswith("table") for row in rows)


@each
def test_wrong_numbers_are_named(first):
    model = network(*FIRST[first](), dense(5))
    for wrong, error, text in ((NUMBERS + 1, ValueError, "X must lie in 0..9, got 10"),
                               (NUMBERS * 1.0, TypeError, "X must contain whole numbers, got dtype float64")):
        for call in (lambda: model.train(wrong, LABELS), lambda: model.evaluate(wrong, LABELS),
                     lambda: model.predict(wrong), lambda: model.forward(wrong),
                     lambda: nn.check_gradients(model, wrong, LABELS, verbose=False)):
            with pytest.raises(error, match=f"^{text}"):
                call()
        with pytest.raises(error, match=f"^validation_data: {text}"):
            model.train(NUMBERS, LABELS, validation_data=(wrong, LABELS))


def test_large_numbers_pass_on_exactly():
    large = np.array([[2**53 + 1, 2**24 + 1]])
    for layer in (nn.Input(2), nn.Flatten(), nn.Identity(), nn.Sequential(nn.Input(2), nn.Identity(), nn.Flatten())):
        assert np.array_equal(layer.forward(large), large) and layer.forward(large).dtype == np.int64
        assert layer.backward(np.ones((1, 2), np.float32)).dtype == np.float32
    assert nn.Model([nn.Input(2), nn.Flatten()]).layers[0].forward([[1, 2]]).dtype == np.float32


def test_a_prepare_that_returns_no_array_is_named(monkeypatch):
    model = network(Table(), dense(5))
    for wrong in (None, [[1, 2, 3]]):
        monkeypatch.setattr(Table, "prepare", lambda self, inputs, name="inputs": wrong)
        with pytest.raises(TypeError, match="^prepare of Table must return an array, got"):
            model.predict(NUMBERS)


class Codes(nn.Sequential):
    """A class made from a container that says itself what it takes."""

    def prepare(self, inputs, name="inputs"):
        return np.asarray(inputs, np.int64)


def test_a_container_of_ones_own_prepares_for_its_layers():
    model = network(Codes(Table()), dense(5))
    assert model.predict(NUMBERS * 1.0).shape == (12, 3)


def test_a_layer_behind_others_may_not_leave_out_its_gradient():
    class Lost:
        def forward(self, x, training=True):
            return x

        def backward(self, dy):
            pass

        def prepare(self, inputs, name="inputs"):
            return np.asarray(inputs)

    model = network(dense(16, 8), Lost(), dense(8))
    with pytest.raises(TypeError, match="^backward of Lost must return its result, or set self.dinputs"):
        model.train_step(IMAGES.reshape(12, 16), LABELS)

import copy
import json
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest

from nnjit import nn
from nnjit.kernels import reference

FUNCTIONS = {None: lambda z: z, "relu": lambda z: z * (z > 0), "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
             "tanh": np.tanh}
LAYERS = {nn.ReLU: FUNCTIONS["relu"], nn.Sigmoid: FUNCTIONS["sigmoid"], nn.Tanh: np.tanh,
          nn.Softmax: lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)}


pytestmark = pytest.mark.usefixtures("twin")


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def difference(f, array, h=1e-6):
    """Central differences of f() by each element of `array`, which f reads."""
    gradient = np.empty_like(array)
    for at in np.ndindex(array.shape):
        kept = array[at]
        array[at] = kept + h
        above = f()
        array[at] = kept - h
        gradient[at] = (above - f()) / (2 * h)
        array[at] = kept
    return gradient


# ---- numbers


@pytest.mark.parametrize("activation", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dense_forward_is_its_formula(activation, dtype, rng):
    layer = nn.Dense(5, 7, activation=activation, rng=1, dtype=dtype)
    layer.biases = rng.standard_normal((1, 7))
    x = rng.standard_normal((11, 5)).astype(dtype)
    y = layer.forward(x)
    expected = FUNCTIONS[activation](x.astype(np.float64) @ layer.weights.astype(np.float64) + layer.biases)
    np.testing.assert_allclose(y, expected, rtol=0, atol=20 * np.finfo(dtype).eps)
    assert y.dtype == dtype and layer.output is y and layer.inputs is x


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_dense_gradients_are_central_differences(activation, rng):
    layer = nn.Dense(4, 3, activation=activation, rng=2, dtype=np.float64)
    layer.biases = rng.standard_normal(3)
    x, dy = rng.standard_normal((6, 4)), rng.standard_normal((6, 3))
    layer.forward(x)
    dx = layer.backward(dy)
    assert dx is layer.dinputs and layer.dbiases.shape == (1, 3)
    found = copy.deepcopy((layer.dinputs, layer.dweights, layer.dbiases))

    def total():
        return float((layer.forward(x) * dy).sum())
    for gradient, array in zip(found, (x, layer.weights, layer.biases)):
        np.testing.assert_allclose(gradient, difference(total, array), atol=1e-7)


@pytest.mark.parametrize("kind", LAYERS)
def test_activation_and_its_gradient(kind, rng):
    layer, f = kind(), LAYERS[kind]
    x, dy = rng.standard_normal((5, 4)), rng.standard_normal((5, 4))
    np.testing.assert_allclose(layer.forward(x), f(x), atol=1e-14)
    assert layer.inputs is x
    dx = layer.backward(dy)
    assert dx is layer.dinputs
    np.testing.assert_allclose(dx, difference(lambda: float((f(x) * dy).sum()), x), atol=1e-8)


def test_softmax_as_in_the_book():
    y = nn.Softmax().forward([[4.8, 1.21, 2.385]])
    np.testing.assert_allclose(y, [[.89528266, .02470831, .08000903]], rtol=1e-6)


def test_large_scores_do_not_overflow():
    x = [[1000, 0], [-1000, 0]]
    np.testing.assert_array_equal(nn.Softmax().forward(x), [[1, 0], [0, 1]])
    np.testing.assert_array_equal(nn.Sigmoid().forward(x), [[1, .5], [0, .5]])
    np.testing.assert_array_equal(nn.Tanh().forward(x), [[1, 0], [-1, 0]])


FIRST_PRINTS = """
import json, sys, nnfs, numpy as np
from nnfs.datasets import spiral_data
nnfs.init()
from nnjit import nn
nn.use(sys.argv[1])
X, y = spiral_data(100, 3)
first, second, relu, loss = nn.Dense(2, 3), nn.Dense(3, 3), nn.ReLU(), nn.SoftmaxCategoricalCrossentropy()
first.weights, second.weights = 0.01 * np.random.randn(2, 3), 0.01 * np.random.randn(3, 3)
value = loss.calculate(second.forward(relu.forward(first.forward(X))), y)
first.backward(relu.backward(second.backward(loss.backward(loss.output, y))))
print(json.dumps([X[:5].tolist(), value, second.dweights.tolist(), second.dbiases.tolist(), first.dbiases.tolist()]))
"""


def test_first_prints_of_the_book_under_nnfs_init(twin):
    done = subprocess.run([sys.executable, "-c", FIRST_PRINTS, twin], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    points, loss, dweights, dbiases, first_dbiases = json.loads(done.stdout)
    np.testing.assert_allclose(points, [[0, 0], [.00299556, .00964661], [.01288097, .01556285], [.02997479, .0044481],
                                        [.03931246, .00932828]], atol=5.1e-9)  # as printed
    assert loss == pytest.approx(1.0986104, rel=1e-6)
    # The terms of these sums are up to 1/450 and nearly cancel. NumPy's order of additions is the book's; ours is
    # another, and float32 then leaves 300 roundings of 1e-10.
    slack = 2e-10 if twin == "numpy" else 5e-8
    np.testing.assert_allclose(dweights, [[5.44109462e-05, 1.07411419e-04, -1.61822361e-04],
                                          [-4.07913431e-05, -7.16780924e-05, 1.12469446e-04],
                                          [-5.30112993e-05, 8.58172934e-05, -3.28059905e-05]], rtol=1e-6, atol=2e-10)
    np.testing.assert_allclose(dbiases, [[-1.0729185e-05, -9.4610732e-06, 2.0027859e-05]], rtol=1e-6, atol=slack)
    np.testing.assert_allclose(first_dbiases, [[-3.60553473e-04, 9.66117223e-05, -1.03671395e-04]],
                               rtol=1e-6, atol=2e-10)


# ---- dropout


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_takes_a_fresh_mask_at_each_call_in_training(dtype, rng):
    layer, masks = nn.Dropout(0.25, seed=2**64 - 5), []
    for call in range(4):
        x, dy = (rng.standard_normal((20, 30)).astype(dtype) for _ in range(2))
        assert layer.calls == call
        y = layer.forward(x)
        assert layer.inputs is x and layer.output is y and y.dtype == dtype
        expected = reference.dropout.forward(x, rate=0.25, seed=2**64 - 5, stream=call)  # either twin's bits
        for found, right in zip((y, layer.binary_mask), expected, strict=True):
            assert found.tobytes() == right.tobytes()
        dx = layer.backward(dy)
        assert dx is layer.dinputs and dx.tobytes() == (dy * layer.binary_mask).tobytes()
        masks.append(layer.binary_mask.tobytes())
        layer.forward(x, training=False)  # does not count
    assert len(set(masks)) == 4


def test_dropout_drops_nothing_but_in_training(rng):
    layer, x, dy = nn.Dropout(0.9, seed=1), rng.standard_normal((5, 4)), rng.standard_normal((5, 4))
    layer.forward(x)
    y = layer.forward(x, training=False)
    assert layer.inputs is x and layer.output is y and layer.binary_mask is None and layer.calls == 1
    dx = layer.backward(dy)
    assert dx is layer.dinputs
    for found, given in ((y, x), (dx, dy)):
        np.testing.assert_array_equal(found, given)
        assert not np.shares_memory(found, given)


def test_dropout_under_its_seed():
    x = np.ones((30, 30), np.float32)
    one, same, other = (nn.Dropout(0.5, seed=seed) for seed in (3, np.uint64(3), 4))
    assert one.forward(x).tobytes() == same.forward(x).tobytes() != other.forward(x).tobytes()
    for clone in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert (clone.rate, clone.seed, clone.calls) == (0.5, 3, 1)
    first, second = nn.Dropout(0.5), nn.Dropout(0.5)
    assert first.seed != second.seed and all(0 <= layer.seed < 2**64 for layer in (first, second))
    seed = first.seed
    first.forward(x)
    assert first.seed == seed
    assert repr(nn.Dropout(0, seed=7)) == "Dropout(0.0, seed=7)"


@pytest.mark.parametrize("rate, seed, error, text", [
    (1, 0, ValueError, "rate, the share that is dropped, must be at least 0 and below 1, got 1.0"),
    (-0.1, 0, ValueError, "rate, the share that is dropped, must be at least 0 and below 1, got -0.1"),
    (math.nan, 0, ValueError, "rate, the share that is dropped, must be at least 0 and below 1, got nan"),
    ("0.1", 0, TypeError, "rate must be a number, got '0.1'"), (True, 0, TypeError, "rate must be a number, got True"),
    (0.5, -1, ValueError, "seed must be in 0..18446744073709551615, got -1"),
    (0.5, 2**64, ValueError, "seed must be in 0..18446744073709551615, got 18446744073709551616"),
    (0.5, 1.0, TypeError, "seed must be a whole number, got 1.0"),
    (0.5, True, TypeError, "seed must be a whole number, got True"),
])
def test_mistakes_in_dropout(rate, seed, error, text):
    with pytest.raises(error) as caught:
        nn.Dropout(rate, seed=seed)
    assert str(caught.value) == text


# ---- first weights


def test_first_weights_are_glorot_uniform_from_plain_arithmetic():
    layer = nn.Dense(3, 5, rng=11)
    random, limit = np.random.default_rng(11), math.sqrt(6 / 8)
    expected = [[np.float32(random.random() * (2 * limit) - limit) for _ in range(5)] for _ in range(3)]
    assert layer.weights.tolist() == np.array(expected).tolist()
    assert layer.weights.dtype == np.float32 and layer.biases.tolist() == [[0] * 5]
    wide = nn.Dense(400, 600, rng=0).weights
    assert abs(wide).max() <= math.sqrt(6 / 1000) and abs(wide).max() > 0.99 * math.sqrt(6 / 1000)
    assert wide.var() == pytest.approx(2 / 1000, rel=0.01) and abs(wide.mean()) < 1e-3


def test_seeds_and_generators():
    assert np.array_equal(nn.Dense(4, 4, rng=1).weights, nn.Dense(4, 4, rng=1).weights)
    assert not np.array_equal(nn.Dense(4, 4, rng=1).weights, nn.Dense(4, 4, rng=2).weights)
    assert not np.array_equal(nn.Dense(4, 4).weights, nn.Dense(4, 4).weights)
    shared = np.random.default_rng(1)
    assert not np.array_equal(nn.Dense(4, 4, rng=shared).weights, nn.Dense(4, 4, rng=shared).weights)


# ---- dtypes, assignment, errors


@pytest.mark.parametrize("x", [[[1, 2]], np.array([[1, 2]]), np.array([[1, 2]], np.uint8), np.array([[1., 2.]]),
                               np.array([[1, 2]], np.float16), np.array([[1, 2]], ">f4"), [[True, 2]]])
def test_dense_computes_in_the_dtype_of_its_weights(x):
    for dtype in (np.float32, np.float64):
        layer = nn.Dense(2, 2, dtype=dtype, rng=0)
        y = layer.forward(x)
        assert y.dtype == layer.inputs.dtype == dtype
        np.testing.assert_array_equal(y, layer.forward(np.asarray(x).astype(dtype)))
        assert layer.backward([[1, 0]]).dtype == layer.dweights.dtype == layer.dbiases.dtype == dtype


@pytest.mark.parametrize("kind", LAYERS)
def test_activations_keep_floats_and_make_float32_of_the_rest(kind):
    layer = kind()
    unpickled = pickle.loads(pickle.dumps(np.ones((1, 2))))  # its dtype equals float64, but is another object
    for values, dtype in (([[1, 2]], np.float32), ([[1.5, 2]], np.float32), (unpickled, np.float64),
                          (np.array([[1, 2]]), np.float32), (np.ones((1, 2)), np.float64),
                          (np.ones((1, 2), np.float32), np.float32), (np.ones((1, 2), np.float16), np.float32)):
        assert layer.forward(values).dtype == dtype
        assert layer.backward([[1, 2]]).dtype == dtype


@pytest.mark.parametrize("values", [np.ones((1, 2), complex), [["a", "b"]], [[None, 1]],
                                    np.ma.masked_array(np.ones((1, 2)), [[0, 1]])])
def test_what_is_no_real_number_is_refused(values):
    for layer in (nn.Dense(2, 2), nn.Dropout(0.5), *(kind() for kind in LAYERS)):
        with pytest.raises(TypeError, match="inputs must "):
            layer.forward(values)
    with pytest.raises(TypeError, match="weights must "):
        nn.Dense(2, 1).weights = values


def test_assigned_parameters_are_copies_in_the_layers_dtype():
    layer, weights = nn.Dense(2, 3), np.arange(6.).reshape(3, 2).T
    layer.weights, layer.biases = weights, [1, 2, 3]
    assert layer.weights.dtype == np.float32 and layer.weights.flags.c_contiguous
    weights[:] = 9
    np.testing.assert_array_equal(layer.weights, [[0, 2, 4], [1, 3, 5]])
    np.testing.assert_array_equal(layer.forward([[1, 10]]), [[11, 34, 57]])
    same = np.zeros((2, 3), np.float32)
    layer.weights = same
    layer.weights += 1
    assert not same.any() and layer.weights.all()


def test_changes_in_place_take_effect():
    layer = nn.Dense(2, 3)
    layer.weights[:] = 0
    layer.biases[0, 1] = 5
    layer.biases += 1
    np.testing.assert_array_equal(layer.forward([[1, 1]]), [[1, 6, 1]])


def test_a_copied_layer_is_whole_and_apart():
    layer = nn.Dense(2, 3, rng=0)
    twin = copy.deepcopy(layer)
    assert twin.dtype is twin.weights.dtype is layer.dtype  # or every call would take the slow path
    twin.forward([[1, 2]])
    twin.backward([[1, 1, 1]])
    nn.SGD(1).update_params(twin)
    np.testing.assert_array_equal(twin.forward([[0, 0]]), [[-1, -1, -1]])
    np.testing.assert_array_equal(layer.forward([[0, 0]]), [[0, 0, 0]])


@pytest.mark.parametrize("name, values", [("weights", np.ones((3, 2))), ("weights", np.ones(6)), ("weights", 1.0),
                                          ("biases", np.ones((3, 1))), ("biases", np.ones(2)), ("biases", 1.0)])
def test_parameters_of_another_shape_are_refused(name, values):
    layer = nn.Dense(2, 3)
    with pytest.raises(ValueError, match=rf"{name} must have shape \({'2' if name == 'weights' else '1'}, 3\), got "):
        setattr(layer, name, values)


def test_every_call_returns_fresh_arrays(rng):
    for layer in (nn.Dense(3, 3, rng=0), nn.Dropout(0.5), *(kind() for kind in LAYERS)):
        x = rng.standard_normal((4, 3)).astype(np.float32)
        dy = rng.standard_normal((4, 3)).astype(np.float32)
        x_before, dy_before = x.copy(), dy.copy()
        y, dx = layer.forward(x), layer.backward(dy)
        kept = y.copy(), dx.copy()
        layer.forward(x + 1)
        layer.backward(dy + 1)
        for now, before in zip((x, dy, y, dx), (x_before, dy_before, *kept)):
            np.testing.assert_array_equal(now, before)


def test_without_the_input_gradient_the_others_are_the_same(rng):
    layer = nn.Dense(3, 2, activation="tanh", rng=0)
    layer.forward(rng.standard_normal((4, 3)))
    dy = rng.standard_normal((4, 2))
    layer.backward(dy)
    dweights, dbiases = layer.dweights, layer.dbiases
    assert layer.backward(dy, input_gradient=False) is None and layer.dinputs is None
    assert layer.dweights.tobytes() == dweights.tobytes() and layer.dbiases.tobytes() == dbiases.tobytes()


def test_backward_first_is_an_error():
    for layer in (nn.Dense(2, 2), nn.Dropout(0.5), *(kind() for kind in LAYERS)):
        with pytest.raises(RuntimeError, match="forward before"):
            layer.backward([[1, 2]])


@pytest.mark.parametrize("arguments, more, error, text", [
    ((0, 2), {}, ValueError, "n_inputs must be at least 1, got 0"),
    ((2, -1), {}, ValueError, "n_neurons must be at least 1, got -1"),
    ((2.5, 2), {}, TypeError, "n_inputs must be a whole number, got 2.5"),
    ((2, True), {}, TypeError, "n_neurons must be a whole number, got True"),
    ((2, 2), {"activation": "gelu"}, ValueError, "activation must be None, 'relu', 'sigmoid' or 'tanh', got 'gelu'"),
    ((2, 2), {"dtype": np.float16}, TypeError, "dtype must be float32 or float64, got float16"),
    ((2, 2), {"dtype": int}, TypeError, "dtype must be float32 or float64, got int64"),
])
def test_mistakes_in_the_constructor(arguments, more, error, text):
    with pytest.raises(error, match=text):
        nn.Dense(*arguments, **more)


def test_repr():
    assert repr(nn.Dense(2, 3, activation="relu")) == "Dense(2, 3, activation='relu')"
    assert repr(nn.Dense(2, 3)) == "Dense(2, 3)" and repr(nn.Softmax()) == "Softmax()"


def test_input_passes_on_what_fits():
    for layer, x in ((nn.Input(3), np.ones((2, 3), np.float32)), (nn.Input((4, 5)), np.ones((2, 4, 5))),
                     (nn.Input([2]), np.ones((0, 2)))):
        assert layer.forward(x) is x is layer.inputs is layer.output
        assert layer.backward(x) is x is layer.dinputs
    assert nn.Input(2).forward([[1, 2]]).dtype == np.float32
    assert repr(nn.Input(3)) == "Input(3)" and repr(nn.Input([4, 5])) == "Input((4, 5))"


@pytest.mark.parametrize("make, error, text", (
    (lambda: nn.Input(0), ValueError, "shape must have sizes of at least 1, got 0"),
    (lambda: nn.Input((3, -1)), ValueError, r"shape must have sizes of at least 1, got \(3, -1\)"),
    (lambda: nn.Input([1] * 64), ValueError, "shape must have at most 63 sizes with a product below 2.63, got .1"),
    (lambda: nn.Input((2**32, 2**31)), ValueError, "shape must have at most 63 sizes with a product below 2.63"),
    (lambda: nn.Input(2.5), TypeError, "shape must be a whole number or a tuple of them, got 2.5"),
    (lambda: nn.Input((3, True)), TypeError, r"shape must be a whole number or a tuple of them, got \(3, True\)"),
    (lambda: nn.Input((4, 5)).forward(np.ones((3, 20))), ValueError,
     r"inputs must have shape \(samples, 4, 5\), got \(3, 20\)"),
    (lambda: nn.Input(3).forward(1.0), ValueError, r"inputs must have shape \(samples, 3\), got \(\)"),
))
def test_input_refuses_the_rest(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_the_width_behind_input_is_known():
    for first in (nn.Input(12), nn.Input((3, 4))):
        model = nn.Model()
        for layer in (first, *([nn.Flatten()] if len(first.shape) == 2 else []), nn.Dense(11, 2)):
            model.add(layer)
        with pytest.raises(ValueError, match=r"Dense\(11, 2\), must have 12 inputs, not 11"):
            model.finalize()


def test_sequential_is_its_layers_one_by_one(rng):
    layers = [nn.Dense(4, 5, activation="tanh", rng=0, dtype=np.float64), nn.Dropout(0.5, seed=3),
              nn.Dense(5, 3, rng=1, dtype=np.float64), nn.Softmax()]
    block = nn.Sequential(nn.Sequential(*layers[:2]), *layers[2:])
    assert block.layers == layers and block.trainable_layers == [layers[0], layers[2]]
    assert repr(block) == f"Sequential({', '.join(map(repr, layers))})"
    x, dy = rng.standard_normal((6, 4)), rng.standard_normal((6, 3))
    expected = x
    for layer in layers:
        expected = layer.forward(expected, False)
    assert np.array_equal(block.forward(x, False), expected)
    assert np.array_equal(block.predictions(expected), expected.argmax(axis=1))
    block.forward(x)  # another mask each time: the differences go by that of this one
    mask = layers[1].binary_mask

    def weighted():
        hidden = layers[0].forward(x) * mask
        return np.sum(dy * layers[3].forward(layers[2].forward(hidden)))

    gradient = block.backward(dy)
    np.testing.assert_allclose(gradient, difference(weighted, x), atol=1e-8)
    model = nn.Model()
    model.add(nn.Input(4))
    model.add(block)
    assert model.layers[1:] == layers
    model.finalize()
    assert np.array_equal(model.predict(x), expected)


def test_an_empty_sequential_and_one_of_no_layers():
    block, x = nn.Sequential(), np.ones((2, 3))
    assert block.forward(x) is x is block.backward(x) is block.predictions(x)
    for wrong in (nn.Dense, 3, "relu"):
        with pytest.raises(TypeError, match=r"Sequential takes a layer, such as Dense\(2, 64\), got "):
            nn.Sequential(wrong)


@pytest.mark.parametrize("make", (lambda: nn.Dense(2, 3), nn.ReLU, nn.Flatten, lambda: nn.Input(2),
                                  lambda: nn.Dropout(0.5), lambda: nn.Sequential(nn.Dense(2, 3))))
def test_trainable_is_a_flag(make):
    layer = make()
    assert layer.trainable is True
    layer.trainable = np.False_
    assert layer.trainable is False
    for other in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other.trainable is False
    for value in ("False", 0, None, [layer]):
        with pytest.raises(TypeError, match="trainable must be True or False, got "):
            layer.trainable = value
        assert layer.trainable is False


def test_a_flag_of_a_users_layer_is_checked():
    class Own(nn.Dense):
        trainable = "False"

    model = nn.Model()
    model.add(Own(2, 3))
    with pytest.raises(TypeError, match=r"trainable of Dense\(2, 3\) must be True or False, got 'False'"):
        model.finalize()


def test_the_rate_of_dropout_can_be_changed():
    layer, x = nn.Dropout(0.5, seed=1), np.ones((100, 10))
    layer.rate = 0.9
    assert layer.rate == 0.9 and (layer.forward(x) == 0).mean() == pytest.approx(0.9, abs=0.05)
    with pytest.raises(ValueError, match="rate, the share that is dropped, must be at least 0 and below 1, got 1.0"):
        layer.rate = 1

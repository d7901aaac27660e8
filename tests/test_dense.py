import itertools

import numpy as np
import pytest
from scalar import assert_same_bits, block_sum, gamma, product

from nnjit.kernels import dense, matmul, reference, relu, sigmoid, tanh

ACTIVATIONS = {None: None, "relu": relu, "sigmoid": sigmoid, "tanh": tanh}
DTYPES = (np.float32, np.float64)


def bound(function, u, expected, *args, activation=None):
    """Chains as in matmul with one rounding more for the bias; the slope of f passes the error on, f adds its own."""
    if function == "forward":
        x, w, b = args
        chain = gamma(w.shape[0] + 1, u) * (np.matmul(np.abs(x), np.abs(w)) + np.abs(b))
        slope, own = {None: (1, 0), "relu": (1, 0), "sigmoid": (0.25, 2 * u), "tanh": (1, 2.1 * u)}[activation]
        return [slope * chain + own * np.abs(expected[0])]
    dy, x, w, y = args
    roundings = {None: 0, "relu": 0, "sigmoid": 3, "tanh": 4}[activation]
    factor = {None: 1, "relu": ~(y <= 0), "sigmoid": y * (1 - y), "tanh": (1 - y) * (1 + y)}[activation]
    dz = np.abs(dy * factor)
    adds = min(len(dz), 256) + -(-len(dz) // 256)
    return [gamma(w.shape[1] + roundings, u) * np.matmul(dz, np.abs(w.T)),
            gamma(len(x) + roundings, u) * np.matmul(np.abs(x.T), dz),
            gamma(adds + roundings, u) * np.sum(dz, axis=0)]


def arguments(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    n, k, c = shape
    return [rng.standard_normal(size).astype(dtype) for size in ((n, k), (k, c), (c,), (n, c))]


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", reference.dense.SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_bias_and_activation_come_after_the_chain(dtype, shape, activation, parallel):
    x, w, b, _ = arguments(shape, dtype)
    z = product(x, w) + b
    y = z if activation is None else ACTIVATIONS[activation].forward(z)
    assert_same_bits(dense.forward(x, w, b, activation=activation, parallel=parallel), y)
    assert_same_bits(dense.forward(x, np.asfortranarray(w), b, activation=activation, parallel=parallel), y)


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", reference.dense.SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_are_products_and_a_sum_of_blocks(dtype, shape, activation, parallel):
    x, w, b, dy = arguments(shape, dtype)
    y = dense.forward(x, w, b, activation=activation)
    dx, dw, db = dense.backward(dy, x, w, y, activation=activation, parallel=parallel)
    dz = dy if activation is None else ACTIVATIONS[activation].backward(dy, y)
    assert_same_bits(dx, product(dz, w.T), "dx")
    assert_same_bits(dw, product(x.T, dz), "dw")
    assert_same_bits(db, block_sum(dz, 256), "db")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_without_the_input_gradient(activation):
    x, w, b, dy = arguments((9, 5, 4), np.float32)
    y = dense.forward(x, w, b, activation=activation)
    dx, dw, db = dense.backward(dy, x, w, y, activation=activation)
    nothing, dw_too, db_too = dense.backward(dy, x, w, y, activation=activation, input_gradient=False)
    assert nothing is None
    assert_same_bits(dw_too, dw)
    assert_same_bits(db_too, db)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_without_the_weight_gradient(activation):
    x, w, b, dy = arguments((9, 5, 4), np.float32)
    y = dense.forward(x, w, b, activation=activation)
    dx, *nothing = dense.backward(dy, x, w, y, activation=activation, weight_gradient=False)
    assert nothing == [None, None]
    assert_same_bits(dx, dense.backward(dy, x, w, y, activation=activation)[0])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_sizes_of_zero(activation):
    f = (lambda z: z) if activation is None else ACTIVATIONS[activation].forward
    b = np.array([-1.0, 0.0, 2.0], np.float32)
    y = dense.forward(np.empty((4, 0), np.float32), np.empty((0, 3), np.float32), b, activation=activation)
    assert_same_bits(y, np.repeat(f(b)[None], 4, axis=0))
    x, w = np.empty((0, 5), np.float32), np.ones((5, 3), np.float32)
    y = dense.forward(x, w, b, activation=activation)
    dx, dw, db = dense.backward(y, x, w, y, activation=activation)
    assert y.shape == (0, 3) and dx.shape == (0, 5)
    assert_same_bits(dw, np.zeros((5, 3), np.float32))
    assert_same_bits(db, np.zeros(3, np.float32))


def test_mistakes_are_named():
    x, w, b, dy = arguments((3, 5, 2), np.float32)
    with pytest.raises(ValueError, match=r"w must have shape \(5, n\) to match x \(3, 5\), got \(4, 2\)"):
        dense.forward(x, w[:4], b)
    with pytest.raises(ValueError, match=r"b must have shape \(2,\) to match w, got \(1,\)"):
        dense.forward(x, w, b[:1])
    with pytest.raises(TypeError, match="b must be float32 as x is, got float64"):
        dense.forward(x, w, b.astype(float))
    with pytest.raises(ValueError, match="activation must be one of None, 'relu', 'sigmoid', 'tanh', got 'gelu'"):
        dense.forward(x, w, b, activation="gelu")
    with pytest.raises(ValueError, match="y, the output of forward, is needed for activation 'relu'"):
        dense.backward(dy, x, w, activation="relu")
    with pytest.raises(ValueError, match=r"dy must have shape \(3, 2\) to match x and w, got \(2, 2\)"):
        dense.backward(dy[:2], x, w)
    y = dense.forward(x, w, b, activation="tanh")
    with pytest.raises(ValueError, match=r"out\[2\] must not share memory with an input"):
        dense.backward(dy, x, w, y, activation="tanh", out=(None, None, y[0]))
    with pytest.raises(TypeError, match="out must be None or a tuple of 3 arrays"):
        dense.backward(dy, x, w, out=np.empty_like(x))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_torch_agrees(torch, activation):
    x, w, b, dy = arguments((33, 70, 19), np.float64)
    w /= 10
    leaves = [torch.tensor(v, requires_grad=True) for v in (x, w, b)]
    z = leaves[0] @ leaves[1] + leaves[2]
    z = z if activation is None else getattr(torch, activation)(z)
    z.backward(torch.tensor(dy))
    y = dense.forward(x, w, b, activation=activation)
    np.testing.assert_allclose(y, z.detach().numpy(), rtol=0, atol=1e-14)
    for found, leaf in zip(dense.backward(dy, x, w, y, activation=activation), leaves):
        np.testing.assert_allclose(found, leaf.grad.numpy(), rtol=0, atol=1e-13)


# rows and neurons: a single row, few, low tiles, rows in lanes, panels in place, copied panels, copied blocks of w of
# which the last panel is no panel of its own
WAYS = ((1, 300), (2, 37), (5, 40), (40, 3), (14, 45), (100, 170), (300, 70), (20, 500))
LAYOUTS = (np.ascontiguousarray, np.asfortranarray)
DEPTHS = (3, *(matmul.PANEL_DEPTH + near for near in (-1, 0, 1)), 2 * matmul.PANEL_DEPTH + 1)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("size", WAYS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_bias_of_each_way_through_the_product(dtype, size, depth):
    x, w, b, _ = arguments((size[0], depth, size[1]), dtype)
    z = product(x, w) + b
    for activation, f in ACTIVATIONS.items():
        y = z if activation is None else f.forward(z)
        for x_layout, w_layout, parallel in itertools.product(LAYOUTS, LAYOUTS, (False, True)):
            found = dense.forward(x_layout(x), w_layout(w), b, activation=activation, parallel=parallel)
            assert_same_bits(found, y, f"{activation}, {x_layout.__name__}, {w_layout.__name__}, parallel {parallel}")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_without_neurons_the_gradient_of_the_inputs_is_zero(activation):
    x, w = np.ones((30, 20), np.float32), np.empty((20, 0), np.float32)
    y = dense.forward(x, w, np.empty(0, np.float32), activation=activation)
    assert y.shape == (30, 0)
    out = tuple(np.full(shape, np.nan, np.float32) for shape in ((30, 20), (20, 0), (0,)))
    dx, dw, db = dense.backward(y, x, w, y, activation=activation, out=out)
    assert_same_bits(dx, np.zeros((30, 20), np.float32))
    assert dw.shape == (20, 0) and db.shape == (0,)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("rows", (1, 40))
def test_without_inputs_the_output_is_that_of_the_bias(rows, activation):
    for neurons in (3, 10, 200):
        b = np.linspace(-1, 1, neurons, dtype=np.float32)
        y = dense.forward(np.empty((rows, 0), np.float32), np.empty((0, neurons), np.float32), b, activation=activation)
        f = b if activation is None else ACTIVATIONS[activation].forward(b)
        assert_same_bits(y, np.repeat(f[None], rows, axis=0))


@pytest.mark.parametrize("shape", ((40, 5, 3), (1, 5, 300), (30, 5, 33), (100, 300, 260)), ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_nan_stays_in_its_row_on_every_way(dtype, shape):
    x, w, b, _ = arguments(shape, dtype)
    for activation in ACTIVATIONS:
        clean = dense.forward(x, w, b, activation=activation)
        spoiled = x.copy()
        spoiled[-1, 2] = np.nan
        y = dense.forward(spoiled, w, b, activation=activation)
        assert np.isnan(y[-1]).all(), activation
        assert_same_bits(y[:-1], clean[:-1], activation)

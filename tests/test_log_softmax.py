import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scalar import LANES, assert_same_bits, depth, exp, gamma, lane_sum, log

from nnjit.kernels import log_softmax, reference, softmax_cross_entropy

DTYPES = (np.float32, np.float64)


def bound(function, u, expected, *args):
    """forward: the relative error of the sum s goes into its logarithm as it is: that of x - m and 1 ulp of exp, and
    the additions; log adds 1 ulp, x - m and the last difference are rounded.

    backward: the sum's additions, 1 ulp of exp, a product, a difference.
    """
    deep = gamma(depth(args[0].shape[1], u), u)
    if function == "forward":
        x, = args
        y, = expected
        shifted = np.abs(x - np.max(x, axis=1, keepdims=True))
        log_s = np.log(np.sum(np.exp(-shifted), axis=1, keepdims=True))
        s_error = np.sum(np.exp(y) * (shifted * u + 2 * u), axis=1, keepdims=True) + deep
        return [s_error + 2 * u * log_s + u * shifted + u * np.abs(y)]
    dy, y = args
    sizes, s = np.sum(np.abs(dy), axis=1, keepdims=True), np.abs(np.sum(dy, axis=1, keepdims=True))
    return [np.exp(y) * (deep * sizes + gamma(3, u) * s) + u * np.abs(expected[0])]


def scores(shape, dtype, seed=0):
    return (2 * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def row_sums(x):
    return np.array([[lane_sum(row)] for row in x]).reshape(-1, 1).astype(x.dtype)


def forward(x):
    """log_softmax with the sums of the contract."""
    shifted = x - np.max(x, axis=1, keepdims=True)
    return shifted - log(row_sums(exp(shifted)))


def backward(dy, y):
    return dy - exp(y) * row_sums(dy)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=50)
@given(rows=st.integers(0, 70), columns=st.integers(1, 50), parallel=st.booleans())
def test_sums_are_lanes_folded_by_halves(dtype, rows, columns, parallel):
    x, dy = scores((rows, columns), dtype), scores((rows, columns), dtype, 1)
    y = log_softmax.forward(x, parallel=parallel)
    assert_same_bits(y, forward(x), f"{(rows, columns)}")
    assert_same_bits(log_softmax.backward(dy, y, parallel=parallel), backward(dy, y), f"backward {(rows, columns)}")


@pytest.mark.parametrize("shape", reference.log_softmax.SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_long_rows_and_many_rows(dtype, shape):
    x, dy = scores(shape, dtype), scores(shape, dtype, 1)
    y = forward(x)
    dx = backward(dy, y)
    for parallel in (False, True):
        assert_same_bits(log_softmax.forward(x, parallel=parallel), y)
        assert_same_bits(log_softmax.backward(dy, y, parallel=parallel), dx)


@pytest.mark.parametrize("columns", (1, 3, 16, 17, 100))
@pytest.mark.parametrize("dtype", DTYPES)
def test_it_is_the_loss_of_softmax_cross_entropy(dtype, columns):
    x, labels = scores((40, columns), dtype), np.random.default_rng(2).integers(0, columns, 40)
    losses, _ = softmax_cross_entropy.forward(x, labels)
    assert np.array_equal(-log_softmax.forward(x)[np.arange(40), labels], losses)


@pytest.mark.parametrize("columns", (1, 3, 16, 17, 100))
@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_overflows_and_a_nan_stays_in_its_row(dtype, columns):
    x = scores((6, columns), dtype)
    x[0] = np.finfo(dtype).max
    x[1] = np.finfo(dtype).min
    x[2, -1] = np.nan
    x[3, 0] = np.inf
    x[4] = -np.inf
    y = log_softmax.forward(x)
    np.testing.assert_allclose(y[:2], -np.log(columns), rtol=1e-6)
    assert np.isnan(y[2:5]).all()
    assert_same_bits(y[5:], log_softmax.forward(x[5:]))
    dy = scores((6, columns), dtype, 1)
    dx = log_softmax.backward(dy, y)
    assert np.isnan(dx[2:5]).all()
    assert_same_bits(dx[5:], log_softmax.backward(dy[5:], y[5:]))


@pytest.mark.parametrize("columns", (3, 16, 17, 100, 300))
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_impossible_stays_so_and_gets_its_own_gradient(dtype, columns):
    x, dy = scores((5, columns), dtype), scores((5, columns), dtype, 1)
    x[:, 1] = -np.inf
    y = log_softmax.forward(x)
    assert (y[:, 1] == -np.inf).all() and np.isfinite(np.delete(y, 1, axis=1)).all()
    assert_same_bits(y, forward(x))
    assert_same_bits(log_softmax.backward(dy, y)[:, 1], dy[:, 1])


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than float64 here")
@pytest.mark.parametrize("columns", (2, 10, 100, 1000, 5000))
@pytest.mark.parametrize("dtype, drift", ((np.float32, -16.62), (np.float64, -36.735)))
def test_the_error_is_at_most_what_the_docstring_says(dtype, drift, columns):
    # in each lane of the second row, every addition after the first is rounded the same way
    w, u = LANES[np.dtype(dtype)], np.finfo(dtype).eps / 2
    x = np.random.default_rng(0).standard_normal((2, columns)).astype(dtype)
    x[1], x[1, :w] = drift, 0
    shifted = (x - x.max(axis=1, keepdims=True)).astype(np.longdouble)
    exact = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    error = np.abs(log_softmax.forward(x) - exact)
    rest = error / u - np.spacing(np.abs(exact.astype(dtype))) / u / 2
    assert rest.max() <= columns / w + (6 if w == 16 else 5) + 2 * np.log(columns)
    if columns == 1000:
        assert (error / u).max() > columns / w / 2  # and not much less


def test_rows_must_have_columns():
    with pytest.raises(ValueError, match="x must have at least one column"):
        log_softmax.forward(np.empty((3, 0)))
    assert log_softmax.forward(np.empty((0, 3))).shape == (0, 3)


def test_torch_agrees(torch):
    x, dy = scores((20, 37), np.float64), scores((20, 37), np.float64, 1)
    leaf = torch.tensor(x, requires_grad=True)
    y = torch.log_softmax(leaf, dim=1)
    y.backward(torch.tensor(dy))
    u, y, dx = 2.0**-53, y.detach().numpy(), leaf.grad.numpy()
    # PyTorch's exp and log take 1 ulp, too, and its sums are no deeper
    found = log_softmax.forward(x)
    limit = bound("forward", u, [y], x)[0]
    assert (np.abs(found - y) <= 2 * limit).all()
    # each backward has its own y: its error goes into exp(y)
    limit = bound("backward", u, [dx], dy, y)[0] + np.exp(y) * np.abs(dy.sum(axis=1, keepdims=True)) * limit
    assert (np.abs(log_softmax.backward(dy, found) - dx) <= 2 * limit).all()

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scalar import LANES, assert_same_bits, depth, exp, gamma, lane_sum

from nnjit.kernels import reference, softmax

DTYPES = (np.float32, np.float64)


def forward_error(x, y, u):
    """The relative error of y: x - m is rounded before exp, exp takes 1.05 ulp, then the sum, 1 / s and a product."""
    one = np.abs(x - np.max(x, axis=1, keepdims=True)) * u + 2.1 * u
    return one + np.sum(y * one, axis=1, keepdims=True) + gamma(depth(x.shape[1], u) + 2, u)


def bound(function, u, expected, *args):
    if function == "forward":
        return [forward_error(*args, expected[0], u) * expected[0]]
    dy, y = args
    s_error = gamma(depth(y.shape[1], u) + 1, u) * np.sum(np.abs(dy * y), axis=1, keepdims=True)
    return [np.abs(y) * s_error + gamma(2, u) * np.abs(expected[0])]


def scores(shape, dtype, seed=0):
    return (2 * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def forward(x):
    """Softmax with the sums of the contract. Also the maximum and the sum of each row."""
    m = np.max(x, axis=1, keepdims=True)
    e = exp(x - m)
    s = np.array([[lane_sum(row)] for row in e]).reshape(-1, 1).astype(x.dtype)
    return e * (x.dtype.type(1) / s), m, s


def backward(dy, y):
    s = np.array([[lane_sum(row)] for row in dy * y]).reshape(-1, 1).astype(y.dtype)
    return y * (dy - s)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=50)
@given(rows=st.integers(0, 70), columns=st.integers(1, 50), parallel=st.booleans())
def test_sums_are_lanes_folded_by_halves(dtype, rows, columns, parallel):
    x, dy = scores((rows, columns), dtype), scores((rows, columns), dtype, 1)
    y = softmax.forward(x, parallel=parallel)
    assert_same_bits(y, forward(x)[0], f"{(rows, columns)}")
    assert_same_bits(softmax.backward(dy, y, parallel=parallel), backward(dy, y), f"backward {(rows, columns)}")


@pytest.mark.parametrize("shape", reference.softmax.SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_long_rows_and_many_rows(dtype, shape):
    x, dy = scores(shape, dtype), scores(shape, dtype, 1)
    y = forward(x)[0]
    dx = backward(dy, y)
    for parallel in (False, True):
        assert_same_bits(softmax.forward(x, parallel=parallel), y)
        assert_same_bits(softmax.backward(dy, y, parallel=parallel), dx)


@pytest.mark.parametrize("columns", (1, 3, 16, 17, 100))
@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_overflows_and_a_nan_stays_in_its_row(dtype, columns):
    x = scores((5, columns), dtype)
    x[0] = np.finfo(dtype).max
    x[1] = np.finfo(dtype).min
    x[2, -1] = np.nan
    x[3, 0] = np.inf
    y = softmax.forward(x)
    np.testing.assert_allclose(y[:2], 1 / columns, rtol=1e-6)
    assert np.isnan(y[2:4]).all()
    assert_same_bits(y[4:], softmax.forward(x[4:]))


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than float64 here")
@pytest.mark.parametrize("columns", (10, 100, 1000, 5000))
@pytest.mark.parametrize("dtype, drift", ((np.float32, -16.62), (np.float64, -36.735)))
def test_the_error_is_at_most_what_the_docstring_says(dtype, drift, columns):
    # in each lane of the second row, every addition after the first is rounded the same way
    w = LANES[np.dtype(dtype)]
    x = np.random.default_rng(0).standard_normal((2, columns)).astype(dtype)
    x[1], x[1, :w] = drift, 0
    exact = np.exp((x - x.max(axis=1, keepdims=True)).astype(np.longdouble))
    exact /= exact.sum(axis=1, keepdims=True)
    error = np.abs(softmax.forward(x) - exact) / np.spacing(exact.astype(dtype))
    assert error.max() <= columns / w + 9
    if columns == 1000:
        assert error.max() > columns / w / 2  # and not much less


def test_rows_must_have_columns():
    with pytest.raises(ValueError, match="x must have at least one column"):
        softmax.forward(np.empty((3, 0)))
    assert softmax.forward(np.empty((0, 3))).shape == (0, 3)


def test_torch_agrees(torch):
    x, dy = scores((20, 37), np.float64), scores((20, 37), np.float64, 1)
    leaf = torch.tensor(x, requires_grad=True)
    y = torch.softmax(leaf, dim=1)
    y.backward(torch.tensor(dy))
    np.testing.assert_allclose(softmax.forward(x), y.detach().numpy(), rtol=1e-14, atol=0)
    np.testing.assert_allclose(softmax.backward(dy, softmax.forward(x)), leaf.grad.numpy(), rtol=0, atol=1e-15)

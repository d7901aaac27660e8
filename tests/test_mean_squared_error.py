import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scalar import assert_same_bits, depth, gamma, lane_sum

from nnjit.kernels import mean_squared_error, reference

DTYPES = (np.float32, np.float64)


def bound(function, u, expected, *args):
    """A square has three roundings, the sum `depth`, C and the division two; the gradient four, one in C N."""
    if function == "forward":
        return [gamma(depth(args[0].shape[1], u) + 5, u) * expected[0]]
    return [gamma(4, u) * np.abs(expected[0])]


def arguments(shape, dtype):
    rng = np.random.default_rng(shape)
    return [rng.standard_normal(shape).astype(dtype) for _ in range(2)]


def forward(y, targets):
    """The loss with the sums of the contract."""
    terms = (targets - y) * (targets - y)
    return np.array([lane_sum(row) for row in terms], y.dtype) / y.dtype.type(y.shape[1])


def backward(y, targets):
    return (y - targets) * (y.dtype.type(2) / y.dtype.type(y.size))


def assert_spelled(shape, dtype, parallel):
    y, targets = arguments(shape, dtype)
    assert_same_bits(mean_squared_error.forward(y, targets, parallel=parallel), forward(y, targets), f"{shape}")
    dy = mean_squared_error.backward(y, targets, parallel=parallel)
    assert_same_bits(dy, backward(y, targets), f"backward {shape}")


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=50)
@given(rows=st.integers(1, 70), columns=st.integers(1, 50), parallel=st.booleans())
def test_sums_are_lanes_folded_by_halves(dtype, rows, columns, parallel):
    assert_spelled((rows, columns), dtype, parallel)


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("shape", reference.mean_squared_error.SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_several_tasks(dtype, shape, parallel):
    assert_spelled(shape, dtype, parallel)


@pytest.mark.parametrize("columns", (1, 3, 16, 40))
@pytest.mark.parametrize("dtype", DTYPES)
def test_edges(dtype, columns):
    most, least = np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal
    y, targets = arguments((20, columns), dtype)
    clean = mean_squared_error.forward(y, targets), mean_squared_error.backward(y, targets)
    last = columns - 1
    y[3, last], targets[5, 0] = np.nan, np.nan
    y[7, last], targets[9, 0] = np.inf, -np.inf
    y[11, last], targets[11, last] = np.inf, np.inf
    y[13], targets[13] = most, -most
    y[15], targets[15] = 0.0, -0.0
    y[17], targets[17] = least, 0
    losses, dy = mean_squared_error.forward(y, targets), mean_squared_error.backward(y, targets)
    special = np.array([np.nan, np.nan, np.inf, np.inf, np.nan, np.inf, 0, 0], dtype)
    assert_same_bits(losses[3:19:2], special)
    rest = np.r_[0:3, 4, 6, 8, 10, 12, 14, 16, 18, 19]
    assert_same_bits(losses[rest], clean[0][rest])
    assert_same_bits(dy[rest], clean[1][rest])
    assert np.isnan(dy[3, last]) and np.isnan(dy[5, 0]) and np.isnan(dy[11, last])
    assert dy[7, last] == np.inf and dy[9, 0] == np.inf and (dy[13] == np.inf).all()
    assert_same_bits(dy[15], np.zeros(columns, dtype))
    assert np.isnan(dy).sum() == 3


@pytest.mark.parametrize("shape", ((20, 1), (20, 37)), ids=str)
def test_torch_agrees(torch, shape):
    y, targets = arguments(shape, np.float64)
    leaf = torch.tensor(y, requires_grad=True)
    losses = torch.nn.functional.mse_loss(leaf, torch.tensor(targets), reduction="none").mean(1)
    losses.mean().backward()
    found = mean_squared_error.forward(y, targets)
    np.testing.assert_allclose(found, losses.detach().numpy(), rtol=1e-14, atol=0)
    np.testing.assert_allclose(mean_squared_error.backward(y, targets), leaf.grad.numpy(), rtol=1e-14, atol=0)

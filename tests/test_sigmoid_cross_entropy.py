import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scalar import assert_same_bits, depth, fma, gamma, lane_sum

from nnjit.kernels import reference, sigmoid, sigmoid_cross_entropy, softplus

DTYPES = (np.float32, np.float64)


def bound(function, u, expected, *args):
    """softplus and sigmoid take 1 ulp; 1 - t and an fma are rounded, then come the sum, C and the division. All terms
    are positive. In the gradient a difference, C N, 1 / (C N) and a product."""
    if function == "backward":
        return [gamma(4, u) * np.abs(expected[0])]
    x, targets = args
    share = np.where(x > 0, 1 - targets, targets)
    terms = np.multiply(np.abs(share), np.abs(x), out=np.zeros_like(x), where=share != 0) + np.log1p(np.exp(-np.abs(x)))
    return [gamma(depth(x.shape[1], u) + 6, u) * np.sum(terms, axis=1) / x.shape[1], 2 * u * expected[1]]


def arguments(shape, dtype):
    """Scores, and targets of which many lie at the ends of 0..1."""
    rng = np.random.default_rng(shape)
    x = (5 * rng.standard_normal(shape)).astype(dtype)
    return x, np.clip(1.5 * rng.random(shape) - 0.25, 0, 1).astype(dtype)


def spelled(x, t):
    """The losses with the sums of the contract."""
    share = np.where(x > 0, x.dtype.type(1) - t, t)
    terms = fma(share, np.abs(x), softplus.forward(-np.abs(x)))
    return np.array([lane_sum(row) for row in terms], x.dtype) / x.dtype.type(x.shape[1])


def assert_spelled(shape, dtype, parallel):
    x, targets = arguments(shape, dtype)
    losses, y = sigmoid_cross_entropy.forward(x, targets, parallel=parallel)
    assert_same_bits(losses, spelled(x, targets), f"{shape}")
    assert_same_bits(y, sigmoid.forward(x), f"sigmoid {shape}")
    dx = sigmoid_cross_entropy.backward(y, targets, parallel=parallel)
    assert_same_bits(dx, (y - targets) * (dtype(1) / dtype(x.size)), f"backward {shape}")


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=50)
@given(rows=st.integers(1, 70), columns=st.integers(1, 50), parallel=st.booleans())
def test_sums_are_lanes_folded_by_halves(dtype, rows, columns, parallel):
    assert_spelled((rows, columns), dtype, parallel)


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("shape", reference.sigmoid_cross_entropy.SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_several_tasks(dtype, shape, parallel):
    assert_spelled(shape, dtype, parallel)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_overflows_nothing_cancels_and_nothing_is_clipped(dtype):
    largest = np.finfo(dtype).max
    x = np.array([[20], [-20], [20], [-20], [100], [-100], [1e4], [largest], [-largest]], dtype)
    t = np.array([[0], [1], [1], [0], [0], [1], [0.25], [1], [1]], dtype)
    losses, y = sigmoid_cross_entropy.forward(x, t)
    small = np.log1p(np.exp(-20.0))
    np.testing.assert_allclose(losses, [20, 20, small, small, 100, 100, 7500, 0, largest], rtol=1e-6)
    pull = len(x) * sigmoid_cross_entropy.backward(y, t)[:, 0]
    np.testing.assert_allclose(pull, [1, -1, 0, 0, 1, -1, 0.75, 0, -1], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("columns", (1, 3, 40))
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinity_stay_in_their_rows(dtype, columns):
    x, targets = arguments((20, columns), dtype)
    clean = sigmoid_cross_entropy.forward(x, targets)
    last = columns - 1
    x[3, last], targets[5, 0] = np.nan, np.nan
    x[7, last], targets[7, last] = np.inf, 0
    x[9, 0], targets[9, 0] = -np.inf, 1
    losses, y = sigmoid_cross_entropy.forward(x, targets)
    assert np.isnan(losses[[3, 5]]).all() and (losses[[7, 9]] == np.inf).all()
    assert np.isnan(y).sum() == 1 and y[7, last] == 1 and y[9, 0] == 0
    rest = np.r_[0:3, 4, 6, 8, 10:20]
    assert_same_bits(losses[rest], clean[0][rest])
    assert np.isnan(sigmoid_cross_entropy.backward(y, targets)).sum() == 2
    right = np.array([[np.inf], [-np.inf]], dtype)  # on the right side infinity costs nothing
    assert_same_bits(sigmoid_cross_entropy.forward(right, np.array([[1], [0]], dtype))[0], np.zeros(2, dtype))


@pytest.mark.parametrize("shape", ((20, 1), (20, 37)), ids=str)
def test_torch_agrees(torch, shape):
    x, targets = arguments(shape, np.float64)
    leaf = torch.tensor(x, requires_grad=True)
    losses = torch.nn.functional.binary_cross_entropy_with_logits(leaf, torch.tensor(targets), reduction="none").mean(1)
    losses.mean().backward()
    found, y = sigmoid_cross_entropy.forward(x, targets)
    np.testing.assert_allclose(found, losses.detach().numpy(), rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(sigmoid_cross_entropy.backward(y, targets), leaf.grad.numpy(), rtol=1e-14, atol=1e-17)

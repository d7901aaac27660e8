import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scalar import assert_same_bits, depth, gamma, lane_sum

from nnjit.kernels import huber, mean_absolute_error, mean_squared_error, reference

DTYPES = (np.float32, np.float64)
DELTAS = (1.0, 0.3, 2, 1e-3, 100.0)


def bound(function, u, expected, *args, delta=1.0):
    """The rounding of r counts at most twice, in r^2 or in |r| - delta / 2 >= |r| / 2; that of delta once.

    Then a difference, a product, the sum, C and the division; in the gradient C N, a division and a product.
    """
    if function == "forward":
        return [gamma(depth(args[0].shape[1], u) + 7, u) * expected[0]]
    return [gamma(5, u) * np.abs(expected[0])]


def arguments(shape, dtype):
    rng = np.random.default_rng(shape)
    y, targets = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    y.flat[::7] = targets.flat[::7] + dtype(1)
    return y, targets


def forward(y, targets, delta):
    """The loss with the sums of the contract."""
    dtype = y.dtype.type
    a = np.abs(targets - y)
    terms = np.where(a <= dtype(delta), a * (dtype(0.5) * a), dtype(delta) * (a - dtype(0.5) * dtype(delta)))
    return np.array([lane_sum(row) for row in terms], dtype) / dtype(y.shape[1])


def backward(y, targets, delta):
    dtype = y.dtype.type
    return np.clip(y - targets, -dtype(delta), dtype(delta)) * (dtype(1) / dtype(y.size))


def assert_spelled(shape, dtype, delta, parallel):
    y, targets = arguments(shape, dtype)
    losses = huber.forward(y, targets, delta=delta, parallel=parallel)
    assert_same_bits(losses, forward(y, targets, delta), f"{shape}, {delta}")
    dy = huber.backward(y, targets, delta=delta, parallel=parallel)
    assert_same_bits(dy, backward(y, targets, delta), f"backward {shape}, {delta}")


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=50)
@given(rows=st.integers(1, 70), columns=st.integers(1, 50), delta=st.sampled_from(DELTAS), parallel=st.booleans())
def test_sums_are_lanes_folded_by_halves(dtype, rows, columns, delta, parallel):
    assert_spelled((rows, columns), dtype, delta, parallel)


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("shape", reference.huber.SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_several_tasks(dtype, shape, parallel):
    assert_spelled(shape, dtype, 0.7, parallel)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_delta_beyond_all_differences_halves_the_squares_and_a_tiny_one_scales_distances(dtype):
    y, targets = arguments((40, 5), dtype)
    u = np.finfo(dtype).eps / 2
    for delta in (1e9, 1e300):  # the latter is infinite in float32
        np.testing.assert_allclose(2 * huber.forward(y, targets, delta=delta), mean_squared_error.forward(y, targets),
                                   rtol=gamma(12, u), atol=0)
        np.testing.assert_allclose(2 * huber.backward(y, targets, delta=delta), mean_squared_error.backward(y, targets),
                                   rtol=gamma(8, u), atol=0)
    tiny = 2.0**-60  # its half is nothing beside a row's |r|
    assert np.abs(targets - y).min() > tiny
    np.testing.assert_allclose(huber.forward(y, targets, delta=tiny) / dtype(tiny),
                               mean_absolute_error.forward(y, targets), rtol=gamma(12, u), atol=0)
    np.testing.assert_allclose(huber.backward(y, targets, delta=tiny) / dtype(tiny),
                               mean_absolute_error.backward(y, targets), rtol=gamma(8, u), atol=0)


@pytest.mark.parametrize("columns", (1, 3, 16, 40))
@pytest.mark.parametrize("dtype", DTYPES)
def test_edges(dtype, columns):
    most, least = np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal
    y, targets = arguments((20, columns), dtype)
    clean = huber.forward(y, targets), huber.backward(y, targets)
    last, share = columns - 1, dtype(1) / dtype(20 * columns)
    y[3, last], targets[5, 0] = np.nan, np.nan
    y[7, last], targets[9, 0] = np.inf, np.inf
    y[11, last], targets[11, last] = np.inf, np.inf
    y[13], targets[13] = most, -most
    y[15], targets[15] = 1, 0  # |r| = delta
    y[17], targets[17] = least, 0
    losses, dy = huber.forward(y, targets), huber.backward(y, targets)
    special = np.array([np.nan, np.nan, np.inf, np.inf, np.nan, np.inf, 0.5, 0], dtype)
    assert_same_bits(losses[3:19:2], special)
    rest = np.r_[0:3, 4, 6, 8, 10, 12, 14, 16, 18, 19]
    assert_same_bits(losses[rest], clean[0][rest])
    assert_same_bits(dy[rest], clean[1][rest])
    assert np.isnan(dy[3, last]) and np.isnan(dy[5, 0]) and np.isnan(dy[11, last])
    assert dy[7, last] == share and dy[9, 0] == -share and (dy[13] == share).all() and (dy[15] == share).all()
    assert np.isnan(dy).sum() == 3


def test_mistakes_are_named():
    y = np.ones((4, 1), np.float32)
    for function in (huber.forward, huber.backward):
        for delta in (0, -1.0, -0.0):
            with pytest.raises(ValueError, match=f"delta must be greater than 0, got {float(delta)}"):
                function(y, y.copy(), delta=delta)


@pytest.mark.parametrize("delta", DELTAS)
@pytest.mark.parametrize("shape", ((20, 1), (20, 37)), ids=str)
def test_torch_agrees(torch, shape, delta):
    y, targets = arguments(shape, np.float64)
    leaf = torch.tensor(y, requires_grad=True)
    losses = torch.nn.functional.huber_loss(leaf, torch.tensor(targets), reduction="none", delta=delta).mean(1)
    losses.mean().backward()
    found, dy = huber.forward(y, targets, delta=delta), huber.backward(y, targets, delta=delta)
    np.testing.assert_allclose(found, losses.detach().numpy(), rtol=1e-14, atol=0)
    np.testing.assert_allclose(dy, leaf.grad.numpy(), rtol=1e-14, atol=0)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scalar import assert_same_bits, depth, fma, gamma, lane_sum, log

from nnjit.kernels import binary_cross_entropy, reference

DTYPES = (np.float32, np.float64)
LOW, HIGH = 1e-7, 1 - 1e-7


def bound(function, u, expected, *args):
    """log takes 1 ulp, an end of the clip and 1 - p are rounded: u, relative there and absolute in the logarithm.

    Of a term 1 - t, a product and an fma are rounded, then come the sum, C and the division. In the gradient the
    factors 1 - p (clipped: an end), p (an end), C N, two products, the difference and the division; where p is clipped,
    the difference also is off by what its own terms are rounded. The formula's two quotients cancel where p is near t:
    what it was computed in has its own error there.
    """
    p, t = args
    q, columns = 1 - p, p.shape[1]
    clipped_p, clipped_q = np.clip(p, LOW, HIGH), np.clip(q, LOW, HIGH)
    if function == "forward":
        one, other = np.abs(t * np.log(clipped_p)), np.abs((1 - t) * np.log(clipped_q))
        each = gamma(depth(columns, u) + 7, u) * (one + other) + u * (np.abs(t) * (clipped_p != p) + np.abs(1 - t))
        return [np.sum(each, axis=1) / columns]
    ends = np.where(q < LOW, np.abs(1 - t) + clipped_q, np.where(p < LOW, clipped_p, 0))
    own = 2 * np.finfo(expected[0].dtype).eps * (np.abs(t) / clipped_p + np.abs(1 - t) / clipped_q)
    return [gamma(7, u) * np.abs(expected[0]) + (u * ends / (clipped_p * clipped_q) + own) / p.size]


def arguments(shape, dtype):
    """Probabilities and targets of which many lie at the ends of 0..1."""
    rng = np.random.default_rng(shape)
    p, targets = (np.clip(1.5 * rng.random(shape) - 0.25, 0, 1).astype(dtype) for _ in range(2))
    p.flat[::7] = targets.flat[::7]
    return p, targets


def clip(p):
    low, high = p.dtype.type(LOW), p.dtype.type(HIGH)
    return np.where(p < low, low, np.where(p > high, high, p))


def forward(p, t):
    """The loss with the sums of the contract."""
    one = p.dtype.type(1)
    terms = fma(t, log(clip(p)), (one - t) * log(clip(one - p)))
    return np.array([lane_sum(row) for row in terms], p.dtype) / p.dtype.type(-p.shape[1])


def backward(p, t):
    one = p.dtype.type(1)
    q, v = clip(one - p), clip(p)
    difference = np.where(one - p < p.dtype.type(LOW), (one - t) - q, v - t)
    return difference / (v * q * p.dtype.type(p.size))


def assert_spelled(shape, dtype, parallel):
    p, targets = arguments(shape, dtype)
    losses = binary_cross_entropy.forward(p, targets, parallel=parallel)
    assert_same_bits(losses, forward(p, targets), f"{shape}")
    dp = binary_cross_entropy.backward(p, targets, parallel=parallel)
    assert_same_bits(dp, backward(p, targets), f"backward {shape}")


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=50)
@given(rows=st.integers(1, 70), columns=st.integers(1, 50), parallel=st.booleans())
def test_sums_are_lanes_folded_by_halves(dtype, rows, columns, parallel):
    assert_spelled((rows, columns), dtype, parallel)


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("shape", reference.binary_cross_entropy.SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_several_tasks(dtype, shape, parallel):
    assert_spelled(shape, dtype, parallel)


@pytest.mark.parametrize("dtype", DTYPES)
def test_both_ends_cost_the_same(dtype):
    """1 - 1e-7 is no float32, and yet a confident 1 costs as much as a confident 0, and pulls as hard."""
    u = np.finfo(dtype).eps / 2
    p = np.array([[0], [1], [0], [1], [-1], [2], [-np.inf], [np.inf]], dtype)
    targets = np.array([[1], [0], [0], [1], [1], [0], [1], [0]], dtype)
    losses = binary_cross_entropy.forward(p, targets).astype(float)
    np.testing.assert_allclose(losses[[0, 1, 4, 5, 6, 7]], -np.log(LOW), rtol=4 * u, atol=0)
    np.testing.assert_allclose(losses[2:4], -np.log1p(-LOW), rtol=0, atol=2 * u)
    slopes = 8 * binary_cross_entropy.backward(p, targets).astype(float).ravel()
    wish = np.array([-1 / LOW, 1 / LOW, 1 / HIGH, -1 / HIGH, -1 / LOW, 1 / LOW, -1 / LOW, 1 / LOW])
    np.testing.assert_allclose(slopes, wish, rtol=8 * u, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_just_beside_the_ends_of_the_clip(dtype):
    """Both neighbours of each end, and what lies between 1 - 1e-7 and 1; against the formula in float64."""
    u = np.finfo(dtype).eps / 2
    p = np.array([LOW, HIGH], dtype)
    p = np.r_[p, np.nextafter(p, dtype(0)), np.nextafter(p, dtype(1)), np.nextafter(dtype(1), dtype(0))]
    p = np.repeat(p, 3).reshape(-1, 1)
    t = np.tile(np.array([0, 0.5, 1], dtype), len(p) // 3).reshape(-1, 1)
    one, other = (np.clip(x, LOW, HIGH) for x in (p.astype(float), 1 - p.astype(float)))
    wish = -(t * np.log(one) + (1 - t) * np.log(other))
    np.testing.assert_allclose(binary_cross_entropy.forward(p, t), wish[:, 0], rtol=8 * u, atol=2 * u)
    slope = ((1 - t) / other - t / one) / p.size
    np.testing.assert_allclose(binary_cross_entropy.backward(p, t), slope, rtol=9 * u, atol=0)


@pytest.mark.parametrize("columns", (1, 3, 16, 40))
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinity_stay_in_their_rows(dtype, columns):
    p, targets = arguments((20, columns), dtype)
    clean = binary_cross_entropy.forward(p, targets), binary_cross_entropy.backward(p, targets)
    last = columns - 1
    p[3, last], targets[5, 0], targets[7, last], targets[9, 0] = np.nan, np.nan, np.inf, -np.inf
    losses, dp = binary_cross_entropy.forward(p, targets), binary_cross_entropy.backward(p, targets)
    assert np.isnan(losses[3:11:2]).all()
    rest = np.r_[0:3, 4, 6, 8, 10:20]
    assert_same_bits(losses[rest], clean[0][rest])
    assert_same_bits(dp[rest], clean[1][rest])
    assert np.isnan(dp[3, last]) and np.isnan(dp[5, 0]) and dp[7, last] == -np.inf and dp[9, 0] == np.inf
    assert np.isnan(dp).sum() == 2


@pytest.mark.parametrize("shape", ((20, 1), (20, 37)), ids=str)
def test_torch_agrees(torch, shape):
    p, targets = arguments(shape, np.float64)
    p = 0.9 * p + 0.05  # PyTorch clips its logarithms instead
    leaf = torch.tensor(p, requires_grad=True)
    losses = torch.nn.functional.binary_cross_entropy(leaf, torch.tensor(targets), reduction="none").mean(1)
    losses.mean().backward()
    found = binary_cross_entropy.forward(p, targets)
    np.testing.assert_allclose(found, losses.detach().numpy(), rtol=1e-14, atol=0)
    np.testing.assert_allclose(binary_cross_entropy.backward(p, targets), leaf.grad.numpy(), rtol=1e-14, atol=1e-17)

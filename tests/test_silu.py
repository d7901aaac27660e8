import numpy as np
import pytest
from scalar import assert_same_bits, gamma

from nnjit.kernels import reference, sigmoid, silu
from nnjit.kernels.reference import silu as twin
from nnjit.kernels.reference.sigmoid import forward as logistic

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.silu.SHAPES]


def bound(function, u, expected, *args):
    """The sigmoid s is off by 1 ulp, at most 2 u of it or the smallest number there is, each operation by u.

    backward: products and the sum with 1 take 2 u + 3 u of the result. x * (1 - s) is off by 2 u s from s and twice
    by u (1 - s), |x| times: at most 2 u |x| in all, times |dy| s.
    """
    x = np.abs(args[-1])
    tiny = 2.0**-149 if u > 2**-30 else 2.0**-1074
    if function == "forward":
        return [gamma(3, u) * np.abs(expected[0]) + tiny * x]
    dy = np.abs(args[0])
    return [gamma(5, u) * np.abs(expected[0]) + 2 * u * dy * x * logistic(args[-1]) + tiny * dy * (1 + x)]


def numbers(size, dtype, seed=0):
    return (3 * np.random.default_rng(seed).standard_normal(size)).astype(dtype)


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_operation_is_rounded(dtype, size, parallel):
    x, dy, one = numbers(size, dtype), numbers(size, dtype, 1), dtype(1)
    s = sigmoid.forward(x)
    assert_same_bits(silu.forward(x, parallel=parallel), np.array([v * t for v, t in zip(x, s)]))
    expected = np.array([d * (t * (one + v * (one - t))) for d, v, t in zip(dy, x, s)])
    assert_same_bits(silu.backward(dy, x, parallel=parallel), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_edges(dtype):
    largest, nan, inf = np.finfo(dtype).max, np.nan, np.inf
    x = np.array([0.0, -0.0, 1000, -1000, largest, -largest, inf, -inf, nan], dtype)
    assert_same_bits(silu.forward(x), np.array([0.0, -0.0, 1000, -0.0, largest, -0.0, inf, nan, nan], dtype))
    dx = np.array([0.5, 0.5, 1, -0.0, 1, -0.0, nan, nan, nan], dtype)
    assert_same_bits(silu.backward(np.ones_like(x), x), dx)
    with np.errstate(invalid="ignore"):
        assert_same_bits(twin.forward(x), silu.forward(x))
        assert_same_bits(twin.backward(np.ones_like(x), x), dx)


@pytest.mark.parametrize("dtype, low", ((np.float32, -87), (np.float64, -708)))
def test_the_error_is_at_most_what_the_docstring_says(dtype, low):
    if dtype == np.float64 and np.finfo(np.longdouble).nmant < 63:
        pytest.skip("long double is no wider than float64 here")
    # the sigmoid's error, 0.98 ulp, may be twice as many of the product, which adds half of one
    rng, tiny = np.random.default_rng(0), np.finfo(dtype).smallest_subnormal
    x = np.concatenate([rng.uniform(1.2 * low, -low, 200_000), rng.uniform(-20, 20, 200_000),
                        rng.standard_normal(1000) * 10.0**rng.uniform(-45, 30, 1000)]).astype(dtype)
    exact = twin.forward(x.astype(np.longdouble))
    error, ulp = np.abs(silu.forward(x) - exact), np.spacing(np.abs(exact.astype(dtype)))
    assert (error <= np.where(x < low, np.maximum(np.abs(x) * tiny, 2.5 * ulp), 2.5 * ulp)).all()
    # and more than half of that
    assert (error / ulp)[x >= low].max() > 1.25 and (error / tiny)[x < low].max() > -low / 4


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than float64 here")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradient_s_error_is_at_most_what_the_docstring_says(dtype):
    rng, eps = np.random.default_rng(0), np.finfo(dtype).eps
    x, dy = rng.uniform(-50, 50, 400_000).astype(dtype), rng.standard_normal(400_000).astype(dtype)
    wide = x.astype(np.longdouble)
    exact, lost = twin.backward(dy.astype(np.longdouble), wide), eps * np.abs(dy * wide) * logistic(wide)
    error = np.abs(silu.backward(dy, x) - exact)
    assert (error <= 5 * np.spacing(np.abs(exact.astype(dtype))) + lost).all()
    assert (error / np.abs(dy)).max() > 3 * eps  # more than the 5 roundings


def test_torch_agrees(torch):
    x, dy = numbers(1000, np.float64), numbers(1000, np.float64, 1)
    leaf = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.silu(leaf)
    y.backward(torch.tensor(dy))
    # 3 roundings here, and x / (1 + exp(-x)) there takes 4
    u = 2.0**-53
    np.testing.assert_allclose(silu.forward(x), y.detach().numpy(), rtol=gamma(7, u), atol=0)
    dx = leaf.grad.numpy()
    # their sigmoid, one rounding worse, in the same formula
    assert (np.abs(silu.backward(dy, x) - dx) <= 3 * bound("backward", u, [dx], dy, x)[0]).all()

import math

import numpy as np
import pytest
from scalar import assert_same_bits, expm1, gamma

from nnjit.kernels import elu, reference

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.elu.SHAPES]


def bound(function, u, expected, *args, alpha=1.0):
    """Exact where x > 0. Else forward: 1 ulp of exp(x) - 1, at most 2 u, alpha and its product rounded; backward: alpha
    rounded, a sum and a product."""
    size = np.abs(expected[0])
    error = gamma(4, u) * size if function == "forward" else gamma(2, u) * size + u * alpha * np.abs(args[0])
    return [np.where(args[-1] > 0, 0, error)]


def numbers(size, dtype, seed=0):
    return (2 * np.random.default_rng(seed).standard_normal(size)).astype(dtype)


@pytest.mark.parametrize("alpha", (1, 0.3))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_number_alone(dtype, size, alpha):
    x, dy, a = numbers(size, dtype), numbers(size, dtype, 1), dtype(alpha)
    y = np.array([v if v > 0 else e * a for v, e in zip(x, expm1(x))])
    dx = np.array([d if v > 0 else d * (v + a) for v, d in zip(y, dy)])
    for parallel in (False, True):
        assert_same_bits(elu.forward(x, alpha=alpha, parallel=parallel), y)
        assert_same_bits(elu.backward(dy, y, alpha=alpha, parallel=parallel), dx)


@pytest.mark.parametrize("dtype", DTYPES)
def test_edges(dtype):
    tiny, large = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    x = np.array([0.0, -0.0, tiny, -tiny, np.inf, -np.inf, np.nan, large, -large, -1000], dtype)
    y = np.array([0.0, -0.0, tiny, -tiny, np.inf, -1, np.nan, large, -1, -1], dtype)
    assert_same_bits(elu.forward(x), y)
    assert_same_bits(elu.forward(x, alpha=0.5)[5:], np.array([-0.5, np.nan, large, -0.5, -0.5], dtype))
    dy = np.arange(2, 12).astype(dtype)
    assert_same_bits(elu.backward(dy, y), np.array([2, 3, 4, 5, 6, 0, np.nan, 9, 0, 0], dtype))
    assert_same_bits(elu.backward(np.full(3, np.nan, dtype), np.array([1, -0.5, -1], dtype)), np.full(3, np.nan, dtype))


def test_alpha_stands_alone_at_zero():
    # the slope jumps from alpha to 1: where y is 0, x was not > 0
    assert elu.backward(np.ones(2), np.array([0.0, 5e-324]), alpha=0.25).tolist() == [0.25, 1]


@pytest.mark.parametrize("wrong, error, message", [
    (0, ValueError, "alpha must be greater than 0, got 0.0"),
    (-0.5, ValueError, "alpha must be greater than 0, got -0.5"),
    (math.nan, ValueError, "alpha must be finite, got nan"),
    (math.inf, ValueError, "alpha must be finite, got inf"),
    ("1", TypeError, "alpha must be a number, got str"),
    (None, TypeError, "alpha must be a number, got NoneType"),
])
def test_mistakes_are_named(wrong, error, message):
    x = np.ones(3)
    with pytest.raises(error, match=f"^{message}$"):
        elu.forward(x, alpha=wrong)
    with pytest.raises(error, match=f"^{message}$"):
        elu.backward(x, x, alpha=wrong)


@pytest.mark.parametrize("alpha", (1.0, 0.3))
def test_torch_agrees(torch, alpha):
    x, dy = numbers(1000, np.float64), numbers(1000, np.float64, 1)
    leaf = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.elu(leaf, alpha)
    y.backward(torch.tensor(dy))
    # two ulp of exp(x) - 1 here and there, and the product's
    np.testing.assert_allclose(elu.forward(x, alpha=alpha), y.detach().numpy(), rtol=1e-15, atol=0)
    # the slope is exp(x) or y + alpha, at most 1: 2 ulp of 1.1e-16 for each, times |dy| < 8
    np.testing.assert_allclose(elu.backward(dy, elu.forward(x, alpha=alpha), alpha=alpha), leaf.grad.numpy(),
                               rtol=0, atol=3.6e-15)

import math

import numpy as np
import pytest
from scalar import assert_same_bits

from nnjit.kernels import gelu, reference

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.gelu.SHAPES]


def bound(function, u, expected, *args):
    """forward: 1.45 ulp, at most 2.9 u of the result. backward: 2.25 ulp, at most 4.5 u of Phi(x) + |x| phi(x), and a
    product.

    The twin's x / sqrt 2 has two roundings of a float64, of which erfc makes x^2 + 1 times as much, and erfc itself
    5 ulp (the manual of glibc)."""
    x = np.clip(args[-1], -40, 40)
    of_twin = 2.0**-53 * (2 * x * x + 12)
    if function == "forward":
        return [(2.9 * u + of_twin) * np.abs(expected[0])]
    phi = np.array([math.erfc(v) / 2 for v in (x * -math.sqrt(0.5)).ravel().tolist()]).reshape(x.shape)
    size = phi + np.abs(x) * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return [(4.5 * u + of_twin) * np.abs(args[0]) * size + u * np.abs(expected[0])]


def numbers(size, dtype, seed=0):
    return (2 * np.random.default_rng(seed).standard_normal(size)).astype(dtype)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_backward_is_one_product(dtype, size):
    x, dy = numbers(size, dtype), numbers(size, dtype, 1)
    places = range(0, size, 1 + size // 50)
    slope = np.array([gelu.backward(np.ones(1, dtype), x[i:i + 1])[0] for i in places])
    for parallel in (False, True):
        assert_same_bits(gelu.backward(dy, x, parallel=parallel)[::1 + size // 50], dy[::1 + size // 50] * slope)


@pytest.mark.parametrize("dtype", DTYPES)
def test_edges(dtype):
    large = np.finfo(dtype).max
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1000, -1000, large, -large], dtype)
    assert_same_bits(gelu.forward(x), np.array([0.0, -0.0, np.inf, -0.0, np.nan, 1000, -0.0, large, -0.0], dtype))
    dy = np.arange(2, 11).astype(dtype)
    assert_same_bits(np.abs(gelu.backward(dy, x)), np.array([1, 1.5, 4, 0, np.nan, 7, 0, 9, 0], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_slopes_of_x_and_minus_x_add_up_to_1(dtype):
    x = np.abs(numbers(1000, dtype))
    one = np.ones_like(x)
    assert_same_bits(gelu.backward(one, x), 1 - gelu.backward(one, -x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_far_below_zero_it_keeps_its_precision(dtype):
    # Phi(x) is between phi(x) / (a + 1 / a) and phi(x) / a, with a = -x
    x = np.linspace(-8, -12, 100).astype(dtype)
    a = -x.astype(np.longdouble)
    high = np.exp(-a * a / 2) / np.sqrt(2 * np.longdouble(math.pi))
    low = high / (1 + 1 / a**2)
    y = -gelu.forward(x).astype(np.longdouble)
    u = np.finfo(dtype).eps
    assert (low * (1 - 3 * u) <= y).all() and (y <= high * (1 + 3 * u)).all()


def test_torch_agrees(torch):
    x, dy = numbers(1000, np.float64), numbers(1000, np.float64, 1)
    leaf = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.gelu(leaf)
    y.backward(torch.tensor(dy))
    # x / 2 (1 + erf(x / sqrt 2)) rounds its terms, of which the largest is |x| < 8: two ulp of that
    np.testing.assert_allclose(gelu.forward(x), y.detach().numpy(), rtol=0, atol=2e-15)
    # four or five ulp of a slope of at most 1.2, times |dy| < 8
    np.testing.assert_allclose(gelu.backward(dy, x), leaf.grad.numpy(), rtol=0, atol=4e-15)

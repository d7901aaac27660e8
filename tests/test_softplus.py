import math

import numpy as np
import pytest
from scalar import assert_same_bits, gamma

from nnjit.kernels import reference, sigmoid, softplus

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.softplus.SHAPES]


def bound(function, u, expected, *args):
    """forward: 1 ulp, at most 2 u of the result; backward: a sigmoid of 1 ulp and a product."""
    return [(2 * u if function == "forward" else gamma(3, u)) * np.abs(expected[0])]


def numbers(size, dtype, seed=0):
    return (3 * np.random.default_rng(seed).standard_normal(size)).astype(dtype)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_backward_is_one_product(dtype, size):
    x, dy = numbers(size, dtype), numbers(size, dtype, 1)
    for parallel in (False, True):
        assert_same_bits(softplus.backward(dy, x, parallel=parallel), dy * sigmoid.forward(x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_edges(dtype):
    large = np.finfo(dtype).max
    log_2 = np.log(np.longdouble(2)).astype(dtype)
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1000, -1000, large, -large], dtype)
    assert_same_bits(softplus.forward(x), np.array([log_2, log_2, np.inf, 0, np.nan, 1000, 0, large, 0], dtype))
    dy = np.arange(2, 11).astype(dtype)
    assert_same_bits(softplus.backward(dy, x), np.array([1, 1.5, 4, 0, np.nan, 7, 0, 9, 0], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_far_below_zero_it_is_the_exponential(dtype):
    # to the last denormal number, with half an ulp for exp(x)^2 / 2 and its own roundings
    info = np.finfo(dtype)
    x = np.linspace(math.log(info.smallest_subnormal), math.log(info.eps), 1000).astype(dtype)
    exact = np.exp(x.astype(np.longdouble))
    assert (np.abs(softplus.forward(x) - exact) <= 1.5 * np.spacing(exact.astype(dtype))).all()
    assert softplus.forward(x)[0] == info.smallest_subnormal


def test_torch_agrees(torch):
    x, dy = numbers(1000, np.float64), numbers(1000, np.float64, 1)
    leaf = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.softplus(leaf)
    y.backward(torch.tensor(dy))
    # its log1p(exp(x)) carries one ulp of exp(x), and rounds once more
    np.testing.assert_allclose(softplus.forward(x), y.detach().numpy(), rtol=1e-15, atol=0)
    # two or three ulp of a slope of at most 1, times |dy| < 12
    np.testing.assert_allclose(softplus.backward(dy, x), leaf.grad.numpy(), rtol=0, atol=4e-15)

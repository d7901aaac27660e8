import math

import numpy as np
import pytest
from scalar import assert_same_bits, gamma

from nnjit.kernels import tanh

DTYPES = (np.float32, np.float64)


def bound(function, u, expected, *args):
    """forward: 1 ulp, at most 2 u of the result; backward: 4 operations, each rounded."""
    size = np.abs(expected[0])
    return [2 * u * size if function == "forward" else gamma(4, u) * size]


def numbers(size, dtype, seed=0):
    return (3 * np.random.default_rng(seed).standard_normal(size)).astype(dtype)


@pytest.mark.parametrize("size", (1, 7, 8, 9, 15, 16, 17, 100, 4095, 4096, 4097, 10_001))
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_number_does_not_depend_on_its_place(dtype, size):
    x = numbers(size, dtype)
    alone = np.array([tanh.forward(x[i:i + 1])[0] for i in range(0, size, 1 + size // 50)])
    for parallel in (False, True):
        assert_same_bits(tanh.forward(x, parallel=parallel)[::1 + size // 50], alone)


@pytest.mark.parametrize("size", (1, 17, 100, 4097, 10_001))
@pytest.mark.parametrize("dtype", DTYPES)
def test_backward_rounds_each_operation(dtype, size):
    dy, one = numbers(size, dtype, 1), dtype(1)
    y = tanh.forward(numbers(size, dtype))
    expected = np.array([d * ((one - v) * (one + v)) for d, v in zip(dy, y)])
    for parallel in (False, True):
        assert_same_bits(tanh.backward(dy, y, parallel=parallel), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_edges(dtype):
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1000, -1000], dtype)
    assert_same_bits(tanh.forward(x), np.array([0.0, -0.0, 1, -1, np.nan, 1, -1], dtype))


def test_any_number_of_dimensions():
    x = numbers(24, np.float32)
    y = tanh.forward(x)
    for shape in ((), (24,), (2, 3, 4), (0, 3), (4, 1, 6)):
        count = math.prod(shape)
        assert_same_bits(tanh.forward(x[:count].reshape(shape)), y[:count].reshape(shape))


def test_in_place():
    x, dy = numbers(5000, np.float32), numbers(5000, np.float32, 1)
    y = tanh.forward(x)
    dx = tanh.backward(dy, y)
    assert tanh.forward(x, out=x) is x
    assert_same_bits(x, y)
    assert tanh.backward(dy, y, out=dy) is dy
    assert_same_bits(dy, dx)


def test_torch_agrees(torch):
    x, dy = numbers(1000, np.float64), numbers(1000, np.float64, 1)
    leaf = torch.tensor(x, requires_grad=True)
    y = torch.tanh(leaf)
    y.backward(torch.tensor(dy))
    np.testing.assert_allclose(tanh.forward(x), y.detach().numpy(), rtol=1e-15, atol=0)
    # one ulp of y, 1.1e-16, on either side, times |dy| < 12 and the slope of the formula in y, at most 2
    np.testing.assert_allclose(tanh.backward(dy, tanh.forward(x)), leaf.grad.numpy(), rtol=0, atol=5.4e-15)

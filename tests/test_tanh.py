import numpy as np
import pytest
from scalar import assert_same_bits, gamma

from nnjit.kernels import reference, tanh

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.tanh.SHAPES]


def bound(function, u, expected, *args):
    """forward: 1 ulp, at most 2 u of the result; backward: 4 operations, each rounded."""
    size = np.abs(expected[0])
    return [2 * u * size if function == "forward" else gamma(4, u) * size]


def numbers(size, dtype, seed=0):
    return (3 * np.random.default_rng(seed).standard_normal(size)).astype(dtype)


@pytest.mark.parametrize("size", SIZES)
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


def test_torch_agrees(torch):
    x, dy = numbers(1000, np.float64), numbers(1000, np.float64, 1)
    leaf = torch.tensor(x, requires_grad=True)
    y = torch.tanh(leaf)
    y.backward(torch.tensor(dy))
    np.testing.assert_allclose(tanh.forward(x), y.detach().numpy(), rtol=1e-15, atol=0)
    # one ulp of y, 1.1e-16, on either side, times |dy| < 12 and the slope of the formula in y, at most 2
    np.testing.assert_allclose(tanh.backward(dy, tanh.forward(x)), leaf.grad.numpy(), rtol=0, atol=5.4e-15)

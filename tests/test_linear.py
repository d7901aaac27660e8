import numpy as np
import pytest
from scalar import assert_same_bits

from nnjit.kernels import linear, reference

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.linear.SHAPES]


def bound(function, u, expected, *args):
    """Exact."""
    return [np.zeros_like(expected[0])]


def numbers(size, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(size).astype(dtype)


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_copies(dtype, size, parallel):
    x, dy = numbers(size, dtype), numbers(size, dtype, 1)
    y = linear.forward(x, parallel=parallel)
    assert_same_bits(y, x)
    dx = linear.backward(dy, y, parallel=parallel)
    assert_same_bits(dx, dy)
    assert not np.may_share_memory(x, y) and not np.may_share_memory(dy, dx)


@pytest.mark.parametrize("dtype", DTYPES)
def test_edges(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([0.0, -0.0, tiny, -tiny, np.inf, -np.inf, np.nan, np.finfo(dtype).max], dtype)
    assert_same_bits(linear.forward(x), x)
    assert_same_bits(linear.backward(x, np.full_like(x, np.nan)), x)


def test_torch_agrees(torch):
    x, dy = numbers(1000, np.float64), numbers(1000, np.float64, 1)
    leaf = torch.tensor(x, requires_grad=True)
    y = torch.nn.Identity()(leaf)
    y.backward(torch.tensor(dy))
    assert np.array_equal(linear.forward(x), y.detach().numpy())
    assert np.array_equal(linear.backward(dy, x), leaf.grad.numpy())

import numpy as np
import pytest
from scalar import assert_same_bits

from nnjit.kernels import reference, relu6

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.relu6.SHAPES]


def bound(function, u, expected, *args):
    """Exact."""
    return [np.zeros_like(expected[0])]


def numbers(size, dtype, seed=0):
    x = np.random.default_rng(seed).standard_normal(size).astype(dtype)
    x[::5], x[1::5] = 0, 6
    return 3 * x


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_number_alone(dtype, size, parallel):
    x, dy = numbers(size, dtype), numbers(size, dtype, 1)
    zero, six = dtype(0), dtype(6)
    y = relu6.forward(x, parallel=parallel)
    assert_same_bits(y, np.array([zero if v <= 0 else six if v >= 6 else v for v in x]))
    dx = relu6.backward(dy, y, parallel=parallel)
    assert_same_bits(dx, np.array([zero if v <= 0 or v >= 6 else d for v, d in zip(y, dy)]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_edges(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    below = np.nextafter(dtype(6), dtype(0))
    x = np.array([0.0, -0.0, tiny, -tiny, below, 6, np.inf, -np.inf, np.nan], dtype)
    assert_same_bits(relu6.forward(x), np.array([0, 0, tiny, 0, below, 6, 6, 0, np.nan], dtype))
    dy = np.array([1, 2, 3, -0.0, 4, 5, 6, np.nan, 7], dtype)
    assert_same_bits(relu6.backward(dy, x), np.array([0, 0, 3, 0, 4, 0, 0, 0, 7], dtype))


def test_torch_agrees(torch):
    x, dy = numbers(1000, np.float32), numbers(1000, np.float32, 1)
    leaf = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.relu6(leaf)
    y.backward(torch.tensor(dy))
    assert np.array_equal(relu6.forward(x), y.detach().numpy())
    assert np.array_equal(relu6.backward(dy, relu6.forward(x)), leaf.grad.numpy())

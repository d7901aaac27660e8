import numpy as np
import pytest
from scalar import assert_same_bits

from nnjit.kernels import step

DTYPES = (np.float32, np.float64)
SIZES = (1, 7, 8, 9, 15, 16, 17, 40, 4095, 4096, 4097, 70_001)


def bound(function, u, expected, *args):
    """Exact."""
    return [np.zeros_like(expected[0])]


def numbers(size, dtype, seed=0):
    x = np.random.default_rng(seed).standard_normal(size).astype(dtype)
    x[::5] = 0
    return x


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_number_alone(dtype, size, parallel):
    x, dy = numbers(size, dtype), numbers(size, dtype, 1)
    zero, one = dtype(0), dtype(1)
    y = step.forward(x, parallel=parallel)
    assert_same_bits(y, np.array([one if v > 0 else zero for v in x]))
    assert_same_bits(step.backward(dy, y, parallel=parallel), np.array([d * zero for d in dy]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_edges(dtype):
    info, nan = np.finfo(dtype), np.nan
    x = np.array([0.0, -0.0, info.smallest_subnormal, -info.smallest_subnormal, info.max, info.min,
                  np.inf, -np.inf, nan], dtype)
    assert_same_bits(step.forward(x), np.array([0, 0, 1, 0, 1, 0, 1, 0, nan], dtype))
    assert_same_bits(step.backward(x, x), np.array([0.0, -0.0, 0.0, -0.0, 0.0, -0.0, nan, nan, nan], dtype))


def test_any_number_of_dimensions():
    x = numbers(24, np.float32)
    for shape in ((), (24,), (2, 3, 4), (0, 3), (4, 1, 6)):
        part = x[:np.prod(shape, dtype=int)].reshape(shape)
        assert_same_bits(step.forward(part), np.where(part > 0, np.float32(1), np.float32(0)))


def test_in_place():
    x, dy = numbers(5000, np.float32), numbers(5000, np.float32, 1)
    y = step.forward(x)
    dx = step.backward(dy, y)
    assert step.forward(x, out=x) is x
    assert_same_bits(x, y)
    assert step.backward(dy, y, out=dy) is dy
    assert_same_bits(dy, dx)


def test_torch_agrees(torch):
    x = numbers(1000, np.float64)
    y = torch.heaviside(torch.tensor(x), torch.tensor(0.0, dtype=torch.float64))
    assert np.array_equal(step.forward(x), y.numpy())

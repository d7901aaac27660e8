import numpy as np
import pytest
from scalar import assert_same_bits

from nnjit.kernels import reference, step

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.step.SHAPES]


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


def test_torch_agrees(torch):
    x = numbers(1000, np.float64)
    y = torch.heaviside(torch.tensor(x), torch.tensor(0.0, dtype=torch.float64))
    assert np.array_equal(step.forward(x), y.numpy())

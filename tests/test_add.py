import numpy as np
import pytest
from scalar import assert_same_bits

from nnjit.kernels import add, reference

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.add.SHAPES]


def bound(function, u, expected, a, b):
    """One sum, rounded once."""
    return [u * np.abs(expected[0])]


def numbers(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_element_alone(dtype, size, parallel):
    a, b = numbers(size, dtype), numbers(size, dtype, 1)
    assert_same_bits(add.forward(a, b, parallel=parallel), np.array([v + w for v, w in zip(a, b)]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_edges(dtype):
    info, nan, inf = np.finfo(dtype), np.nan, np.inf
    tiny = info.smallest_subnormal
    a = np.array([0.0, -0.0, -0.0, info.max, inf, inf, nan, 1, tiny, tiny], dtype)
    b = np.array([0.0, 0.0, -0.0, info.max, -inf, inf, 1, nan, tiny, -tiny], dtype)
    assert_same_bits(add.forward(a, b), np.array([0.0, 0.0, -0.0, inf, nan, inf, nan, nan, 2 * tiny, 0.0], dtype))


def test_an_array_may_be_added_to_itself():
    a = numbers(100, np.float32)
    assert_same_bits(add.forward(a, a), 2 * a)


def test_torch_agrees(torch):
    a, b = numbers(1000, np.float32), numbers(1000, np.float32, 1)
    assert_same_bits(add.forward(a, b), torch.add(torch.tensor(a), torch.tensor(b)).numpy())

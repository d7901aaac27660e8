import numpy as np
import pytest
from scalar import assert_same_bits

from nnjit.kernels import multiply, reference

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.multiply.SHAPES]


def bound(function, u, expected, *args):
    """One product each, rounded once."""
    return [u * np.abs(r) for r in expected]


def numbers(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_element_alone(dtype, size, parallel):
    a, b, dy = (numbers(size, dtype, seed) for seed in range(3))
    assert_same_bits(multiply.forward(a, b, parallel=parallel), np.array([v * w for v, w in zip(a, b)]))
    da, db = multiply.backward(dy, a, b, parallel=parallel)
    assert_same_bits(da, np.array([d * w for d, w in zip(dy, b)]))
    assert_same_bits(db, np.array([d * v for d, v in zip(dy, a)]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_edges(dtype):
    info, nan, inf = np.finfo(dtype), np.nan, np.inf
    a = np.array([0.0, -0.0, inf, inf, info.max, nan, info.smallest_subnormal], dtype)
    b = np.array([1.0, 1.0, 0.0, -1.0, 2.0, 0.0, 0.5], dtype)
    assert_same_bits(multiply.forward(a, b), np.array([0.0, -0.0, nan, -inf, inf, nan, 0.0], dtype))


def test_torch_agrees(torch):
    a, b, dy = (numbers(1000, np.float64, seed) for seed in range(3))
    leaves = [torch.tensor(x, requires_grad=True) for x in (a, b)]
    y = leaves[0] * leaves[1]
    y.backward(torch.tensor(dy))
    assert_same_bits(multiply.forward(a, b), y.detach().numpy())
    for found, leaf in zip(multiply.backward(dy, a, b), leaves):
        assert_same_bits(found, leaf.grad.numpy())

import numpy as np
import pytest
from scalar import assert_same_bits

from nnjit.kernels import concatenate, reference, split

DTYPES = (np.float32, np.float64)


def bound(function, u, expected, *args):
    """Exact."""
    return [np.zeros_like(expected[0])]


def numbers(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("n, c, k", reference.concatenate.SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_row_alone(dtype, n, c, k, parallel):
    a, b = numbers((n, c), dtype), numbers((n, k), dtype, 1)
    y = np.full((n, c + k), np.nan, dtype)
    assert concatenate.forward(a, b, out=y, parallel=parallel) is y
    for i in range(n):
        assert_same_bits(y[i], np.array([*a[i], *b[i]], dtype))
    for part, whole in zip(split.forward(y, columns=c, parallel=parallel), (a, b), strict=True):
        assert_same_bits(part, whole)


def test_special_numbers_and_any_strides():
    a = np.array([[np.nan, np.inf], [-0.0, 1e-45]], np.float32)
    b = numbers((4, 2), np.float32).T[:, ::-2]
    assert_same_bits(concatenate.forward(a, b), np.concatenate([a, b], 1))


def test_an_array_may_stand_beside_itself():
    a = numbers((70, 5), np.float32)
    assert_same_bits(concatenate.forward(a, a), np.tile(a, 2))


def test_torch_agrees(torch):
    a, b, dy = (numbers((30, columns), np.float64, columns) for columns in (7, 5, 12))
    leaves = [torch.tensor(x, requires_grad=True) for x in (a, b)]
    y = torch.cat(leaves, 1)
    y.backward(torch.tensor(dy))
    assert_same_bits(concatenate.forward(a, b), y.detach().numpy())
    for found, leaf in zip(split.forward(dy, columns=7), leaves, strict=True):
        assert_same_bits(found, leaf.grad.numpy())

import numpy as np
import pytest
from scalar import assert_same_bits

from nnjit.kernels import concatenate, reference, split

DTYPES = (np.float32, np.float64)


def bound(function, u, expected, *args, **options):
    """Exact."""
    return [np.zeros_like(r) for r in expected]


def numbers(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("columns", (0, 1, 16, 17, 70))
@pytest.mark.parametrize("n, c", reference.split.SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_element_alone(dtype, n, c, columns, parallel):
    x, cut = numbers((n, c), dtype), min(columns, c)
    parts = np.full((n, cut), np.nan, dtype), np.full((n, c - cut), np.nan, dtype)
    found = split.forward(x, columns=columns, out=parts, parallel=parallel)
    assert all(part is place for part, place in zip(found, parts, strict=True))
    for i in range(n):
        for j in range(c):
            assert parts[j >= cut][i, j - cut * (j >= cut)] == x[i, j]


def test_a_large_number_of_columns_is_all_of_them():
    x = numbers((3, 4), np.float32)
    for columns in (4, 5, 2**63 - 1, 2**63, 2**64 - 1, np.uint8(200)):
        first, second = split.forward(x, columns=columns)
        assert_same_bits(first, x)
        assert second.shape == (3, 0)


def test_special_numbers_and_any_strides():
    x = np.array([[np.nan, np.inf, -0.0, 1e-45, 2]], np.float32)[:, ::-1]
    for part, wish in zip(split.forward(x, columns=2), (x[:, :2], x[:, 2:]), strict=True):
        assert_same_bits(part, np.ascontiguousarray(wish))


def test_parts_must_not_share_memory():
    x, room = numbers((4, 6), np.float32), np.zeros((4, 3), np.float32)
    with pytest.raises(ValueError, match=r"out\[1\] must not share memory with an input"):
        split.forward(x, columns=3, out=(room, room))


def test_torch_agrees(torch):
    x = numbers((30, 12), np.float64)
    leaf = torch.tensor(x, requires_grad=True)
    parts, gradients = torch.split(leaf, [7, 5], 1), [numbers((30, c), np.float64, c) for c in (7, 5)]
    torch.autograd.backward(parts, [torch.tensor(gradient) for gradient in gradients])
    for found, part in zip(split.forward(x, columns=7), parts, strict=True):
        assert_same_bits(found, part.detach().numpy())
    assert_same_bits(concatenate.forward(*gradients), leaf.grad.numpy())

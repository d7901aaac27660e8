import numpy as np
import pytest
from scalar import assert_same_bits

from nnjit.kernels import reference, scale_rows

DTYPES = (np.float32, np.float64)


def bound(function, u, expected, x, weights):
    """One product, rounded once."""
    return [u * np.abs(expected[0])]


def numbers(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("shape", [*reference.scale_rows.SHAPES, (0,), (1,), (65,), (1000,)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_number_alone(dtype, shape, parallel):
    x, weights = numbers(shape, dtype), numbers(shape[:1], dtype, 1)
    expected = np.empty_like(x)
    for i in range(shape[0]):
        expected[i] = x[i] * weights[i]
    for function in (scale_rows.forward, scale_rows.backward):
        y = np.full_like(x, np.nan)
        assert function(x, weights, out=y, parallel=parallel) is y
        assert_same_bits(y, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_numbers_and_in_place(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([[1, -0.0, np.inf, np.nan, tiny]] * 4, dtype)
    weights = np.array([0, -1, 0.5, np.nan], dtype)
    with np.errstate(invalid="ignore"):
        expected = np.array([[a * b for a in row] for row, b in zip(x, weights)], dtype)
    assert scale_rows.forward(x, weights, out=x) is x
    assert_same_bits(x, expected)


def test_any_strides():
    x, weights = numbers((40, 6), np.float32), numbers(80, np.float32, 1)
    for part, some in ((x.T[:, ::2], weights[6::-1][:6]), (x[::-2], weights[:40:2]), (x[:, 3], weights[::2])):
        expected = part * (some if part.ndim == 1 else some[:, None])
        assert_same_bits(scale_rows.forward(part, some), np.ascontiguousarray(expected))


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"x must have shape \(N,\) or \(N, C\), got \(2, 2, 3\)"):
        scale_rows.forward(np.ones((2, 2, 3)), np.ones(2))


def test_torch_agrees(torch):
    x, weights = numbers((300, 17), np.float64), numbers(300, np.float64, 1)
    leaf = torch.tensor(x, requires_grad=True)
    y = leaf * torch.tensor(weights)[:, None]
    y.backward(torch.tensor(x))
    assert np.array_equal(scale_rows.forward(x, weights), y.detach().numpy())
    assert np.array_equal(scale_rows.backward(x, weights), leaf.grad.numpy())

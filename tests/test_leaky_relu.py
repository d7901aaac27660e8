import numpy as np
import pytest
from scalar import assert_same_bits, gamma

from nnjit.kernels import leaky_relu, reference, relu

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.leaky_relu.SHAPES]
SLOPES = (0, 0.01, 0.3, 1, 2.5)


def bound(function, u, expected, *args):
    """Exact on the positive side; on the other the slope is rounded, and its product."""
    return [np.where(args[-1] > 0, 0, gamma(2, u) * np.abs(expected[0]))]


def numbers(size, dtype, seed=0):
    x = np.random.default_rng(seed).standard_normal(size).astype(dtype)
    x[::5] = 0
    return x


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_number_alone(dtype, size, parallel):
    x, dy = numbers(size, dtype), numbers(size, dtype, 1)
    slope = dtype(0.01)
    y = leaky_relu.forward(x, parallel=parallel)
    assert_same_bits(y, np.array([v if v > 0 else slope * v for v in x]))
    dx = leaky_relu.backward(dy, y, parallel=parallel)
    assert_same_bits(dx, np.array([d if v > 0 else slope * d for v, d in zip(y, dy)]))


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_slope(dtype, slope):
    x, dy = numbers(100, dtype), numbers(100, dtype, 1)
    y = leaky_relu.forward(x, negative_slope=slope)
    assert_same_bits(y, np.array([v if v > 0 else dtype(slope) * v for v in x]))
    dx = leaky_relu.backward(dy, y, negative_slope=slope)
    assert_same_bits(dx, np.array([d if v > 0 else dtype(slope) * d for v, d in zip(y, dy)]))


def test_without_a_slope_it_is_relu():
    x, dy = numbers(100, np.float32), numbers(100, np.float32, 1)
    y = leaky_relu.forward(x, negative_slope=0)
    assert np.array_equal(y, relu.forward(x))  # 0.0 and -0.0 are equal
    assert np.array_equal(leaky_relu.backward(dy, y, negative_slope=0), relu.backward(dy, relu.forward(x)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_edges(dtype):
    tiny, nan = np.finfo(dtype).smallest_subnormal, np.nan
    x = np.array([0.0, -0.0, tiny, -tiny, -4 * tiny, np.inf, -np.inf, nan], dtype)
    assert_same_bits(leaky_relu.forward(x), np.array([0.0, -0.0, tiny, -0.0, -0.0, np.inf, -np.inf, nan], dtype))
    y = leaky_relu.forward(x, negative_slope=0.5)
    assert_same_bits(y, np.array([0.0, -0.0, tiny, -0.0, -2 * tiny, np.inf, -np.inf, nan], dtype))
    y = leaky_relu.forward(x, negative_slope=0)
    assert_same_bits(y, np.array([0.0, -0.0, tiny, -0.0, -0.0, np.inf, nan, nan], dtype))
    dy = np.array([1, 2, 3, -0.0, np.inf, nan, -np.inf, 8], dtype)
    dx = leaky_relu.backward(dy, x, negative_slope=0.5)
    assert_same_bits(dx, np.array([0.5, 1, 3, -0.0, np.inf, nan, -np.inf, 4], dtype))


def test_mistakes_are_named():
    x = numbers(10, np.float32)
    for run in (leaky_relu.forward, lambda x, **options: leaky_relu.backward(x, x, **options)):
        with pytest.raises(ValueError, match="negative_slope must not be negative, got -0.5"):
            run(x, negative_slope=-0.5)
        for slope in (np.nan, np.inf, -np.inf):
            with pytest.raises(ValueError, match="negative_slope must be finite, got"):
                run(x, negative_slope=slope)
        with pytest.raises(TypeError, match="negative_slope must be a number, got str"):
            run(x, negative_slope="0.1")


@pytest.mark.parametrize("slope", SLOPES)
def test_torch_agrees(torch, slope):
    x, dy = numbers(1000, np.float64), numbers(1000, np.float64, 1)
    leaf = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.leaky_relu(leaf, slope)
    y.backward(torch.tensor(dy))
    found = leaky_relu.forward(x, negative_slope=slope)
    assert np.array_equal(found, y.detach().numpy())
    assert np.array_equal(leaky_relu.backward(dy, found, negative_slope=slope), leaf.grad.numpy())


def test_the_default_is_torch_s(torch):
    x = numbers(1000, np.float64)
    assert np.array_equal(leaky_relu.forward(x), torch.nn.functional.leaky_relu(torch.tensor(x)).numpy())

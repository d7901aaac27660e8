import numpy as np
import pytest
from scalar import assert_same_bits, fma, gamma

from nnjit.kernels import adagrad, reference

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.adagrad.SHAPES]


def bound(function, u, expected, w, dw, cache, *, learning_rate, epsilon=1e-7):
    """cache is rounded once. In the quotient the rate, the product, epsilon, the root, the sum and the quotient are,
    and half of cache's relative error goes through the root; at last the difference. A product that underflows is off
    by half a denormal number, which a small divisor magnifies."""
    smallest = np.finfo(np.float32 if u > 1e-10 else np.float64).smallest_subnormal
    root = np.sqrt(expected[2]) + epsilon
    with np.errstate(invalid="ignore", divide="ignore"):
        move = gamma(7, u) * np.abs(learning_rate * dw) / root + smallest / root
    return [move + u * np.abs(expected[0]), 0 * dw, u * np.abs(expected[2])]


def arrays(size, dtype):
    rng = np.random.default_rng(size)
    w, dw, root = (rng.standard_normal(size).astype(dtype) for _ in range(3))
    return w, dw, root * root


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_order_of_operations(dtype, size, parallel):
    w, dw, cache = arrays(size, dtype)
    total = fma(dw, dw, cache)
    moved = w - dw * dtype(0.05) / (np.sqrt(total) + dtype(1e-7))
    assert adagrad.step(w, dw, cache, learning_rate=0.05, parallel=parallel) is None
    assert_same_bits(cache, total, "cache")
    assert_same_bits(w, moved, "w")


def test_all_options_count():
    w, dw, cache = (np.full(3, x) for x in (4.0, 2.0, 12.0))
    adagrad.step(w, dw, cache, learning_rate=0.5, epsilon=0.25)
    assert_same_bits(cache, np.full(3, 16.0))
    assert_same_bits(w, np.full(3, 4 - 1 / 4.25))


@pytest.mark.parametrize("dtype", DTYPES)
def test_edges(dtype):
    inf, nan, large = np.inf, np.nan, np.finfo(dtype).max
    dw = np.array([0, -0.0, 0, inf, -inf, nan, 1, 1, 1, large], dtype)
    cache = np.array([0, 0, 4, 0, 0, 0, inf, nan, -4, 0], dtype)
    w = np.ones_like(dw)
    adagrad.step(w, dw, cache, learning_rate=0.5)
    # a gradient whose square overflows stops its weight
    assert_same_bits(w, np.array([1, 1, 1, nan, nan, nan, 1, nan, nan, 1], dtype))
    assert_same_bits(cache, np.array([0, 0, 4, inf, inf, nan, inf, nan, -3, inf], dtype))
    w, dw, cache = np.ones(2, dtype), np.array([0, -2], dtype), np.zeros(2, dtype)
    adagrad.step(w, dw, cache, learning_rate=0.5, epsilon=0)
    assert_same_bits(w, np.array([nan, 1.5], dtype))


@pytest.mark.parametrize("epsilon", (1e-7, 0.1))
def test_torch_agrees_over_steps(torch, epsilon):
    rng = np.random.default_rng(0)
    w = rng.standard_normal(50)
    cache = np.zeros_like(w)
    leaf = torch.tensor(w, requires_grad=True)
    optimizer = torch.optim.Adagrad([leaf], lr=0.05, eps=epsilon)
    for _ in range(10):
        dw = rng.standard_normal(50)
        leaf.grad = torch.tensor(dw)
        optimizer.step()
        adagrad.step(w, dw, cache, learning_rate=0.05, epsilon=epsilon)
        # ten moves of at most 0.05, each with eight roundings, and ten roundings of |w| < 4
        np.testing.assert_allclose(w, leaf.detach().numpy(), rtol=0, atol=1e-14)

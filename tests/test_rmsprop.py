import numpy as np
import pytest
from scalar import assert_same_bits, fma, gamma

from nnjit.kernels import reference, rmsprop

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.rmsprop.SHAPES]
TINY = {np.float32: 2.0**-122, np.float64: 2.0**-1018}


def bound(function, u, expected, w, dw, cache, *, learning_rate, rho=0.9, epsilon=1e-7):
    """cache: rho and 1 - rho are rounded, so are both products and the sum; and it is ended below `tiny`. Of that error
    half goes through the root, or its root where the cache itself is hardly larger. The quotient has six roundings
    more. A product that underflows is off by half a denormal number, which a small divisor magnifies."""
    dtype = np.float32 if u > 1e-10 else np.float64
    tiny, smallest = TINY[dtype], np.finfo(dtype).smallest_subnormal
    error = u * np.abs(rho * cache) + 3 * u * (1 - rho) * dw**2 + u * np.abs(expected[2]) + tiny
    root = np.sqrt(expected[2])
    with np.errstate(invalid="ignore", divide="ignore"):
        through_root = np.where(root > 0, np.minimum(error / root, np.sqrt(error)), np.sqrt(error)) / (root + epsilon)
        move = np.abs(learning_rate * dw) / (root + epsilon) * (through_root + gamma(6, u))
        move = move + smallest / (root + epsilon)
    return [move + u * np.abs(expected[0]), 0 * dw, error]


def arrays(size, dtype):
    rng = np.random.default_rng(size)
    w, dw, root = (rng.standard_normal(size).astype(dtype) for _ in range(3))
    return w, dw, root * root


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_order_of_operations(dtype, size, parallel):
    w, dw, cache = arrays(size, dtype)
    mean = fma(cache, dtype(0.9), dw * dw * dtype(1 - 0.9))
    moved = w - dw * dtype(0.05) / (np.sqrt(mean) + dtype(1e-7))
    assert rmsprop.step(w, dw, cache, learning_rate=0.05, parallel=parallel) is None
    assert_same_bits(cache, mean, "cache")
    assert_same_bits(w, moved, "w")


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_cache_ends_before_denormal_numbers(dtype):
    tiny = dtype(TINY[dtype])
    below, nan = np.nextafter(tiny, dtype(0)), dtype("nan")
    cache = np.array([tiny, below, -below, 0, -0.0, nan, 1], dtype)
    w = np.ones(7, dtype)
    rmsprop.step(w, np.zeros_like(w), cache, learning_rate=0.5, rho=1, epsilon=0)
    assert_same_bits(cache, np.array([tiny, tiny, tiny, tiny, tiny, nan, 1], dtype))
    assert_same_bits(w, np.array([1, 1, 1, 1, 1, nan, 1], dtype))


def test_an_unused_weights_cache_fades():
    w, cache = np.ones(1, np.float32), np.full(1, 1e-30, np.float32)
    for _ in range(1000):  # 0.9^t would be at rest among denormal numbers
        rmsprop.step(w, np.zeros_like(w), cache, learning_rate=1e-3)
    assert (w[0], cache[0]) == (1, TINY[np.float32])


def test_all_knobs_count():
    w, dw, cache = (np.full(3, x) for x in (4.0, 2.0, 20.0))
    rmsprop.step(w, dw, cache, learning_rate=0.5, rho=0.75, epsilon=0.25)
    assert_same_bits(cache, np.full(3, 16.0))
    assert_same_bits(w, np.full(3, 4 - 1 / 4.25))


@pytest.mark.parametrize("dtype", DTYPES)
def test_edges(dtype):
    inf, nan, large = np.inf, np.nan, np.finfo(dtype).max
    dw = np.array([0, inf, -inf, nan, 1, 1, 1, large], dtype)
    cache = np.array([4, 0, 0, 0, inf, nan, -4, 0], dtype)
    w = np.ones_like(dw)
    rmsprop.step(w, dw, cache, learning_rate=0.5, rho=0.5)
    # a gradient whose square overflows stops its weight
    assert_same_bits(w, np.array([1, nan, nan, nan, 1, nan, nan, 1], dtype))
    assert_same_bits(cache, np.array([2, inf, inf, nan, inf, nan, -1.5, inf], dtype))


@pytest.mark.parametrize("options", ({}, {"rho": 0.99, "epsilon": 0.1}))
def test_torch_agrees_over_steps(torch, options):
    rng = np.random.default_rng(0)
    w = rng.standard_normal(50)
    cache = np.zeros_like(w)
    leaf = torch.tensor(w, requires_grad=True)
    optimizer = torch.optim.RMSprop([leaf], lr=0.01, alpha=options.get("rho", 0.9), eps=options.get("epsilon", 1e-7))
    for _ in range(10):
        dw = rng.standard_normal(50)
        leaf.grad = torch.tensor(dw)
        optimizer.step()
        rmsprop.step(w, dw, cache, learning_rate=0.01, **options)
        # ten moves of at most 0.04, each with a dozen roundings, and ten roundings of |w| < 4
        np.testing.assert_allclose(w, leaf.detach().numpy(), rtol=0, atol=1e-14)

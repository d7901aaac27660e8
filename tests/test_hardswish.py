import numpy as np
import pytest
from scalar import assert_same_bits, gamma

from nnjit.kernels import hardswish, reference
from nnjit.kernels.reference import hardswish as twin

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.hardswish.SHAPES]


def bound(function, u, expected, *args):
    """A sum and two products are rounded, and 1 / 6 and 1 / 3 are off by u / 2. Exact from 3 on and up to -3."""
    return [np.where(np.abs(args[-1]) >= 3, 0, gamma(3.5, u) * np.abs(expected[0]))]


def numbers(size, dtype, seed=0):
    x = (3 * np.random.default_rng(seed).standard_normal(size)).astype(dtype)
    x[::5], x[1::7] = 3, -3
    return x


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_operation_is_rounded(dtype, size, parallel):
    x, dy = numbers(size, dtype), numbers(size, dtype, 1)
    zero, one, half_of_three, three, third, sixth = map(dtype, (0, 1, 1.5, 3, 1 / 3, 1 / 6))
    y = np.array([v * min(max((v + three) * sixth, zero), one) for v in x])
    assert_same_bits(hardswish.forward(x, parallel=parallel), y)
    dx = np.array([zero if v <= -3 else d if v >= 3 else d * ((v + half_of_three) * third) for d, v in zip(dy, x)])
    assert_same_bits(hardswish.backward(dy, x, parallel=parallel), dx)


@pytest.mark.parametrize("dtype", DTYPES)
def test_edges(dtype):
    largest, tiny, nan, inf = np.finfo(dtype).max, np.finfo(dtype).smallest_normal, np.nan, np.inf
    above, below = np.nextafter(dtype(3), dtype(4)), np.nextafter(dtype(-3), dtype(-4))
    x = np.array([0.0, -0.0, tiny, 3, above, -3, below, -1.5, largest, -largest, inf, -inf, nan], dtype)
    y = np.array([0.0, -0.0, tiny / 2, 3, above, -0.0, -0.0, -0.375, largest, -0.0, inf, nan, nan], dtype)
    assert_same_bits(hardswish.forward(x), y)
    dx = np.array([0.5, 0.5, 0.5, 1, 1, 0, 0, 0, 1, 0, 1, 0, nan], dtype)
    assert_same_bits(hardswish.backward(np.ones_like(x), x), dx)
    with np.errstate(invalid="ignore"):
        assert_same_bits(twin.forward(x), y)
        assert_same_bits(twin.backward(np.ones_like(x), x), dx)
    dx = hardswish.backward(np.full_like(x, nan), x)
    assert_same_bits(dx, np.where(x <= -3, 0, np.full_like(x, nan)))


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than float64 here")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_error_is_at_most_what_the_docstring_says(dtype):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-3, 3, 400_000), -3 + 10.0**rng.uniform(-6, 0, 1000),
                        -1.5 + rng.uniform(-1e-3, 1e-3, 1000),
                        rng.standard_normal(1000) * 10.0**rng.uniform(-30, 0, 1000)]).astype(dtype)
    dy = rng.standard_normal(x.size).astype(dtype)
    wide = x.astype(np.longdouble)
    for found, exact in ((hardswish.forward(x), twin.forward(wide)),
                         (hardswish.backward(dy, x), twin.backward(dy.astype(np.longdouble), wide))):
        error = np.abs(found - exact) / np.spacing(np.abs(exact.astype(dtype)))
        assert 1.5 < error.max() <= 3


def test_torch_agrees(torch):
    x, dy = numbers(1000, np.float64), numbers(1000, np.float64, 1)
    leaf = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.hardswish(leaf)
    y.backward(torch.tensor(dy))
    u = 2.0**-53
    # 3 roundings there
    np.testing.assert_allclose(hardswish.forward(x), y.detach().numpy(), rtol=gamma(6.5, u), atol=0)
    dx = leaf.grad.numpy()
    # there x / 3 + 1 / 2, each rounded: few digits are left near -1.5
    off = bound("backward", u, [dx], dy, x)[0] + gamma(2, u) * np.abs(dx) + u * np.abs(dy) * np.abs(x / 3)
    assert (np.abs(hardswish.backward(dy, x) - dx) <= np.where(np.abs(x) >= 3, 0, off)).all()
    assert np.array_equal(dx[x == 3], dy[x == 3]) and not dx[x == -3].any()

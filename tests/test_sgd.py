import numpy as np
import pytest
from scalar import assert_same_bits, fma

from nnjit.kernels import reference, sgd

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.sgd.SHAPES]


def bound(function, u, expected, *args, learning_rate, momentum=0.0, nesterov=False):
    """The options are rounded to the dtype, v * momentum is, and each result."""
    dw = args[1]
    if len(args) == 2:
        return [u * np.abs(learning_rate * dw) + u * np.abs(expected[0]), 0 * dw]
    v = u * np.abs(learning_rate * dw) + 2 * u * np.abs(momentum * args[2]) + u * np.abs(expected[2])
    if nesterov:  # the same once more, with the new v
        ahead = np.abs(momentum * expected[2] - learning_rate * dw)
        move = u * np.abs(learning_rate * dw) + 2 * u * np.abs(momentum * expected[2]) + momentum * v + u * ahead
        return [move + u * np.abs(expected[0]), 0 * dw, v]
    return [v + u * np.abs(expected[0]), 0 * dw, v]


def arrays(size, dtype, count):
    rng = np.random.default_rng(size)
    return [rng.standard_normal(size).astype(dtype) for _ in range(count)]


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_order_of_operations(dtype, size, parallel):
    w, dw, v = arrays(size, dtype, 3)
    rate, momentum = dtype(0.1), dtype(0.9)
    plain = fma(dw, -rate, w)
    velocity = fma(dw, -rate, v * momentum)
    moved = w + velocity
    ahead = w + fma(dw, -rate, velocity * momentum)

    place = w.copy()
    assert sgd.step(place, dw, learning_rate=0.1, parallel=parallel) is None
    assert_same_bits(place, plain, "plain")
    place, velocity_place = w.copy(), v.copy()
    sgd.step(place, dw, velocity_place, learning_rate=0.1, momentum=0.9, nesterov=True, parallel=parallel)
    assert_same_bits(velocity_place, velocity, "v, nesterov")
    assert_same_bits(place, ahead, "w, nesterov")
    sgd.step(w, dw, v, learning_rate=0.1, momentum=0.9, parallel=parallel)
    assert_same_bits(v, velocity, "v")
    assert_same_bits(w, moved, "w")


@pytest.mark.parametrize("nesterov", (False, True))
@pytest.mark.parametrize(("dtype", "tiny"), ((np.float32, 2.0**-122), (np.float64, 2.0**-1018)))
def test_a_velocity_ends_before_denormal_numbers(dtype, tiny, nesterov):
    tiny = dtype(tiny)
    below, nan = np.nextafter(tiny, dtype(0)), dtype("nan")
    v = np.array([tiny, below, -tiny, -below, 0, nan, 1], dtype)
    w = np.zeros(7, dtype)
    sgd.step(w, np.zeros_like(w), v, learning_rate=0.5, momentum=1, nesterov=nesterov)
    wish = np.array([tiny, 0, -tiny, 0, 0, nan, 1], dtype)
    assert_same_bits(v, wish, "v")
    assert_same_bits(w, wish, "w")


def test_mistakes_are_named():
    w, dw, v = arrays(10, np.float32, 3)
    with pytest.raises(ValueError, match="v, the velocity, is needed for momentum"):
        sgd.step(w, dw, learning_rate=0.1, momentum=0.9)
    with pytest.raises(ValueError, match="v, the velocity, is needed for nesterov"):
        sgd.step(w, dw, learning_rate=0.1, nesterov=True)


@pytest.mark.parametrize(("momentum", "nesterov"), ((0.0, False), (0.9, False), (0.9, True)))
def test_torch_agrees_over_steps(torch, momentum, nesterov):
    w, *gradients = arrays(50, np.float64, 11)
    leaf = torch.tensor(w, requires_grad=True)
    optimizer = torch.optim.SGD([leaf], lr=0.1, momentum=momentum, nesterov=nesterov)
    v = np.zeros_like(w) if momentum else None
    for dw in gradients:
        leaf.grad = torch.tensor(dw)
        optimizer.step()
        sgd.step(w, dw, v, learning_rate=0.1, momentum=momentum, nesterov=nesterov)
        np.testing.assert_allclose(w, leaf.detach().numpy(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_velocity_is_kept_without_momentum_too(dtype):
    w, dw, v = arrays(40, dtype, 3)
    velocity = fma(dw, -dtype(0.1), v * dtype(0))
    moved = w + velocity
    sgd.step(w, dw, v, learning_rate=0.1)
    assert_same_bits(v, velocity, "v")
    assert_same_bits(w, moved, "w")


@pytest.mark.parametrize("dtype", DTYPES)
def test_nesterov_of_special_numbers(dtype):
    inf, nan = np.inf, np.nan
    w = np.ones(6, dtype)
    dw = np.array([inf, -inf, nan, 0, inf, 0], dtype)
    v = np.array([0, 0, 0, -inf, inf, nan], dtype)
    sgd.step(w, dw, v, learning_rate=0.5, momentum=0.5, nesterov=True)
    assert_same_bits(v, np.array([-inf, inf, nan, -inf, nan, nan], dtype))
    assert_same_bits(w, v)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nesterov_without_momentum_is_plain(dtype):
    w, dw, v = arrays(40, dtype, 3)
    plain = w + dw * -dtype(0.1)
    sgd.step(w, dw, v, learning_rate=0.1, nesterov=True)
    assert_same_bits(v, dw * -dtype(0.1), "v")
    assert_same_bits(w, plain, "w")

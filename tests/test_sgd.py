import numpy as np
import pytest
from scalar import assert_same_bits, fma

from nnjit.kernels import sgd

DTYPES = (np.float32, np.float64)
SIZES = (0, 1, 7, 8, 9, 15, 16, 17, 100, 4095, 4097, 10_001)


def bound(function, u, expected, *args, learning_rate, momentum=0.0):
    """The knobs are rounded to the dtype, v * momentum is, and each result."""
    dw = args[1]
    if len(args) == 2:
        return [u * np.abs(learning_rate * dw) + u * np.abs(expected[0]), 0 * dw]
    v = u * np.abs(learning_rate * dw) + 2 * u * np.abs(momentum * args[2]) + u * np.abs(expected[2])
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

    place = w.copy()
    assert sgd.step(place, dw, learning_rate=0.1, parallel=parallel) is None
    assert_same_bits(place, plain, "plain")
    sgd.step(w, dw, v, learning_rate=0.1, momentum=0.9, parallel=parallel)
    assert_same_bits(v, velocity, "v")
    assert_same_bits(w, moved, "w")


@pytest.mark.parametrize(("dtype", "tiny"), ((np.float32, 2.0**-122), (np.float64, 2.0**-1018)))
def test_a_velocity_ends_before_denormal_numbers(dtype, tiny):
    tiny = dtype(tiny)
    below, nan = np.nextafter(tiny, dtype(0)), dtype("nan")
    v = np.array([tiny, below, -tiny, -below, 0, nan, 1], dtype)
    w = np.zeros(7, dtype)
    sgd.step(w, np.zeros_like(w), v, learning_rate=0.5, momentum=1)
    wish = np.array([tiny, 0, -tiny, 0, 0, nan, 1], dtype)
    assert_same_bits(v, wish, "v")
    assert_same_bits(w, wish, "w")


def test_any_number_of_dimensions():
    w, dw = arrays(24, np.float32, 2)
    wish = fma(dw, -np.float32(0.5), w)
    for shape in ((24,), (2, 12), (2, 3, 4)):
        place = w.reshape(shape).copy()
        sgd.step(place, dw.reshape(shape), learning_rate=0.5)
        assert_same_bits(place, wish.reshape(shape))


def test_mistakes_are_named():
    w, dw, v = arrays(10, np.float32, 3)
    with pytest.raises(ValueError, match="v, the velocity, is needed for momentum"):
        sgd.step(w, dw, learning_rate=0.1, momentum=0.9)
    with pytest.raises(ValueError, match="learning_rate must be finite, got nan"):
        sgd.step(w, dw, learning_rate=float("nan"))
    with pytest.raises(TypeError, match="momentum must be a number, got str"):
        sgd.step(w, dw, v, learning_rate=0.1, momentum="0.9")
    with pytest.raises(ValueError, match="dw must not share memory with w"):
        sgd.step(w, w, learning_rate=0.1)
    with pytest.raises(ValueError, match="v must not share memory with w"):
        sgd.step(w[:8], dw[:8], w[2:], learning_rate=0.1, momentum=0.9)
    with pytest.raises(ValueError, match="w must be writeable, aligned and C-contiguous"):
        sgd.step(w[::2], dw[::2], learning_rate=0.1)
    with pytest.raises(ValueError, match=r"dw must have shape \(10,\) to match w, got \(9,\)"):
        sgd.step(w, dw[:9], learning_rate=0.1)
    with pytest.raises(TypeError, match="dw must be float32 as w is, got float64"):
        sgd.step(w, dw.astype(float), learning_rate=0.1)


@pytest.mark.parametrize("momentum", (0.0, 0.9))
def test_torch_agrees_over_steps(torch, momentum):
    w, *gradients = arrays(50, np.float64, 9)
    leaf = torch.tensor(w, requires_grad=True)
    optimizer = torch.optim.SGD([leaf], lr=0.1, momentum=momentum)
    v = np.zeros_like(w) if momentum else None
    for dw in gradients:
        leaf.grad = torch.tensor(dw)
        optimizer.step()
        sgd.step(w, dw, v, learning_rate=0.1, momentum=momentum)
        np.testing.assert_allclose(w, leaf.detach().numpy(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_velocity_is_kept_without_momentum_too(dtype):
    w, dw, v = arrays(40, dtype, 3)
    velocity = fma(dw, -dtype(0.1), v * dtype(0))
    moved = w + velocity
    sgd.step(w, dw, v, learning_rate=0.1)
    assert_same_bits(v, velocity, "v")
    assert_same_bits(w, moved, "w")

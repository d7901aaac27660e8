import numpy as np
import pytest
from scalar import assert_same_bits, fma, gamma

from nnjit.kernels import adam, reference

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.adam.SHAPES]
TINY = {np.float32: 2.0**-122, np.float64: 2.0**-1018}
OPTIONS = {"learning_rate": 0.05, "correction_1": 1 - 0.9**3, "correction_2": 1 - 0.999**3}


def bound(function, u, expected, w, dw, m, v, *, learning_rate, correction_1, correction_2, beta_1=0.9, beta_2=0.999,
          epsilon=1e-7, weight_decay=0.0):
    """Every option is rounded to the dtype; the moments as sums of two products, and ended below `tiny`; then nine
    roundings in the quotient. What weight decay leaves of w has two."""
    tiny = TINY[np.float32 if u > 1e-10 else np.float64]
    m_error = u * np.abs(beta_1 * m) + 2 * u * np.abs((1 - beta_1) * dw) + u * np.abs(expected[2]) + tiny
    v_error = u * np.abs(beta_2 * v) + 3 * u * (1 - beta_2) * dw**2 + u * np.abs(expected[3]) + tiny
    root = np.sqrt(expected[3] / correction_2)
    quotient = learning_rate / correction_1 / (root + epsilon)
    move = np.abs(expected[2]) * quotient
    # half of v's relative error goes through the root; where v underflows its error is absolute and the root is large
    with np.errstate(invalid="ignore", divide="ignore"):
        through_root = np.where(root > 0, v_error / np.abs(expected[3]) / 2, 0)
    error = m_error * quotient + move * (through_root + gamma(9, u))
    kept = 2 * u * np.abs((1 - learning_rate * weight_decay) * w) if weight_decay else 0
    return [error + kept + u * np.abs(expected[0]), 0 * dw, m_error, v_error]


def arrays(size, dtype):
    rng = np.random.default_rng(size)
    w, dw, m, v = (rng.standard_normal(size).astype(dtype) for _ in range(4))
    return w, dw, m, v * v


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_order_of_operations(dtype, size, parallel):
    w, dw, m, v = arrays(size, dtype)
    a = fma(m, dtype(0.9), dw * dtype(1 - 0.9))
    b = fma(v, dtype(0.999), dw * dw * dtype(1 - 0.999))
    rate, scale = dtype(OPTIONS["learning_rate"] / OPTIONS["correction_1"]), dtype(1 / OPTIONS["correction_2"])
    moved = w - a * rate / (np.sqrt(b * scale) + dtype(1e-7))
    assert adam.step(w, dw, m, v, **OPTIONS, parallel=parallel) is None
    assert_same_bits(m, a, "m")
    assert_same_bits(v, b, "v")
    assert_same_bits(w, moved, "w")


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_weight_decay_comes_first(dtype, size, parallel):
    w, dw, m, v = arrays(size, dtype)
    plain = np.zeros(size, dtype), dw, m.copy(), v.copy()
    adam.step(*plain, **OPTIONS)
    kept = w * dtype(1 - OPTIONS["learning_rate"] * 0.3)
    adam.step(w, dw, m, v, **OPTIONS, weight_decay=0.3, parallel=parallel)
    assert_same_bits(w, kept + plain[0], "w")
    assert_same_bits(m, plain[2], "m")
    assert_same_bits(v, plain[3], "v")


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_weight_decay_leaves_special_weights(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    w = np.array([np.inf, -np.inf, np.nan, -0.0, tiny, np.finfo(dtype).max], dtype)
    found = w.copy()
    adam.step(found, *(np.zeros_like(w) for _ in range(3)), **OPTIONS)
    assert_same_bits(found, w)


@pytest.mark.parametrize("dtype", DTYPES)
def test_moments_end_before_denormal_numbers(dtype):
    tiny = dtype(TINY[dtype])
    below = np.nextafter(tiny, dtype(0))
    options = {"learning_rate": 0.5, "correction_1": 1, "correction_2": 1, "beta_1": 1, "beta_2": 1, "epsilon": 0}
    nan = dtype("nan")
    w = np.ones(7, dtype)
    m = np.array([tiny, below, -tiny, -below, 0, nan, 1], dtype)
    v = np.array([1, 1, 1, 1, 0, 1, nan], dtype)
    adam.step(w, np.zeros_like(w), m, v, **options)
    assert_same_bits(m, np.array([tiny, 0, -tiny, 0, 0, nan, 1], dtype))
    assert_same_bits(v, np.array([1, 1, 1, 1, tiny, 1, nan], dtype))
    assert_same_bits(w, np.array([1, 1, 1, 1, 1, nan, nan], dtype))
    v = np.array([tiny, below, -below], dtype)
    adam.step(np.ones(3, dtype), np.zeros(3, dtype), np.zeros(3, dtype), v, **options)
    assert_same_bits(v, np.full(3, tiny))


def test_an_unused_weights_moments_fade():
    w, m, v = np.ones(1, np.float32), np.full(1, 0.5, np.float32), np.full(1, 1e-30, np.float32)
    for _ in range(20_000):  # 0.9^t and 0.999^t would both be at rest among denormal numbers
        adam.step(w, np.zeros_like(w), m, v, learning_rate=1e-3, correction_1=1, correction_2=1)
    assert (m[0], v[0]) == (0, TINY[np.float32])


def test_all_options_count():
    options = {"learning_rate": 0.5, "correction_1": 0.25, "correction_2": 0.75, "beta_1": 0.5, "beta_2": 0.25,
               "epsilon": 0.125, "weight_decay": 0.5}
    w, dw, m, v = (np.full(3, x) for x in (4.0, 2.0, 1.0, 3.0))
    adam.step(w, dw, m, v, **options)
    assert_same_bits(m, np.full(3, 1.5))
    assert_same_bits(v, np.full(3, 3.75))
    assert_same_bits(w, np.full(3, 4 * 0.75 - 1.5 * 2.0 / (np.sqrt(3.75 * (1 / 0.75)) + 0.125)))


def test_mistakes_are_named():
    w, dw, m, v = arrays(10, np.float32)
    with pytest.raises(ValueError, match="correction_1 must not be 0"):
        adam.step(w, dw, m, v, **{**OPTIONS, "correction_1": 0})


@pytest.mark.parametrize("weight_decay", (0.0, 0.3))
def test_torch_agrees_over_steps(torch, weight_decay):
    rng = np.random.default_rng(0)
    w = rng.standard_normal(50)
    m, v = np.zeros_like(w), np.zeros_like(w)
    leaf = torch.tensor(w, requires_grad=True)
    if weight_decay:
        optimizer = torch.optim.AdamW([leaf], lr=0.05, eps=1e-7, weight_decay=weight_decay)
    else:
        optimizer = torch.optim.Adam([leaf], lr=0.05, eps=1e-7)
    for t in range(1, 11):
        dw = rng.standard_normal(50)
        leaf.grad = torch.tensor(dw)
        optimizer.step()
        adam.step(w, dw, m, v, learning_rate=0.05, correction_1=1 - 0.9**t, correction_2=1 - 0.999**t,
                  weight_decay=weight_decay)
        np.testing.assert_allclose(w, leaf.detach().numpy(), rtol=0, atol=1e-14)

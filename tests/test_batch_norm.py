import math

import numpy as np
import pytest
from scalar import assert_same_bits, block_sum, depth, fma, gamma, lane_sum
from windows import each_dtype

from nnjit.kernels import batch_norm, reference

BLOCK = 256
each_training = pytest.mark.parametrize("training", (True, False), ids=("training", "inference"))
SHAPES = ((2, 1), (7, 3), (16, 17), (300, 5), (3, 40), (2, 3, 1, 1), (1, 2, 1, 2), (4, 3, 5, 7), (2, 17, 4, 4),
          (5, 2, 8, 9), (260, 3, 2, 2), (1, 1, 40, 33))


def planes(x):
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))


def row_sums(x):
    return np.array([[lane_sum(row) for row in image] for image in planes(x)], x.dtype)


def beside(x, channel):
    return channel.reshape(-1, *[1] * (x.ndim - 2))


def statistics(x):
    """m and v of each channel."""
    n = x.dtype.type(planes(x).shape[2])
    count = x.dtype.type(x.shape[0] * planes(x).shape[2])
    t = row_sums(x)
    q = row_sums((planes(x) - (t / n)[..., None]) ** 2)
    m = block_sum(t, BLOCK) / count
    d = t / n - m
    return m, block_sum(q + n * (d * d), BLOCK) / count


def forward(x, gamma, beta, mean, variance, training):
    """y, m, r, and the running statistics after."""
    one, count = x.dtype.type(1), x.dtype.type(x.size // x.shape[1])
    m, v = statistics(x) if training else (mean, variance)
    r = one / np.sqrt(v + x.dtype.type(1e-5))
    if training:
        mean = mean * x.dtype.type(1 - 0.1) + m * x.dtype.type(0.1)
        variance = variance * x.dtype.type(1 - 0.1) + v * count / (count - one) * x.dtype.type(0.1)
    return fma(x - beside(x, m), beside(x, gamma * r), beside(x, beta)), m, r, mean, variance


def backward(dy, x, gamma, m, r, training):
    u, count = (x - beside(x, m)) * beside(x, r), x.dtype.type(x.size // x.shape[1])
    dbeta, dgamma = block_sum(row_sums(dy), BLOCK), block_sum(row_sums(dy * u), BLOCK)
    scale = beside(x, gamma * r)
    if not training:
        return dy * scale, dgamma, dbeta
    return scale * ((dy - beside(x, dbeta / count)) - u * beside(x, dgamma / count)), dgamma, dbeta


def arguments(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    x, dy = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    gamma_, beta, mean = (rng.standard_normal(shape[1]).astype(dtype) for _ in range(3))
    return x + dtype(3), dy, gamma_, beta, mean, (rng.random(shape[1]) + 0.5).astype(dtype)


def bound(function, u, expected, *args, training, **options):
    x, count = args[function == "backward"], args[0].size // max(args[0].shape[1], 1)
    over = (0, *range(2, x.ndim))
    roundings = depth(planes(x).shape[2], u) + x.shape[0] + 8
    if function == "forward":
        _, weights, beta, mean, variance = args
        y, m, r = expected
        m_error = gamma(roundings, u) * np.mean(np.abs(x), axis=over) if training else np.zeros_like(m)
        v_error = gamma(2 * roundings, u) / r ** 2 + 2 * m_error ** 2 if training else u * np.abs(variance)
        r_error = r * (gamma(4, u) + v_error * r ** 2)
        scale = beside(x, np.abs(weights) * r)
        y_error = scale * (beside(x, m_error) + np.abs(x - beside(x, m)) * (
            beside(x, r_error / r) + gamma(4, u))) + u * np.abs(beside(x, beta)) + u * np.abs(y)
        return [y_error, m_error, r_error]
    dy, _, weights, m, r = args
    unit = np.abs(x - beside(x, m)) * beside(x, r)
    dbeta = gamma(roundings, u) * np.sum(np.abs(dy), axis=over)
    dgamma = gamma(roundings + 3, u) * np.sum(np.abs(dy) * unit, axis=over)
    scale = np.abs(beside(x, weights * r))
    if not training:
        return [gamma(3, u) * np.abs(expected[0]), dgamma, dbeta]
    parts = np.abs(dy) + beside(x, np.abs(expected[2]) / count) + unit * beside(x, np.abs(expected[1]) / count)
    return [scale * (gamma(8, u) * parts + beside(x, dbeta / count) + unit * beside(x, dgamma / count)), dgamma, dbeta]


@each_training
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@each_dtype
def test_sums_are_rows_and_blocks_of_images(dtype, shape, training):
    x, dy, weights, beta, mean, variance = arguments(shape, dtype)
    y, m, r, new_mean, new_variance = forward(x, weights, beta, mean, variance, training)
    gradients = backward(dy, x, weights, m, r, training)
    for parallel in (False, True):
        running = mean.copy(), variance.copy()
        found = batch_norm.forward(x, weights, beta, *running, training=training, parallel=parallel)
        for a, b in zip((*found, *running), (y, m, r, new_mean, new_variance), strict=True):
            assert_same_bits(a, b, f"{shape}")
        found = batch_norm.backward(dy, x, weights, m, r, training=training, parallel=parallel)
        for a, b in zip(found, gradients, strict=True):
            assert_same_bits(a, b, f"backward {shape}")


@each_training
@pytest.mark.parametrize("shape", ((6, 17), (2, 3, 4, 5)), ids=str)
@each_dtype
def test_sums_of_negative_zeros_are_negative(dtype, shape, training):
    x, _, weights, beta, mean, variance = arguments(shape, dtype)
    _, m, r, *_ = forward(x, weights, beta, mean, variance, training)
    for name, dy in (("dgamma", np.copysign(dtype(0), beside(x, m) - x)), ("dbeta", np.full_like(x, -0.0))):
        expected = backward(dy, x, weights, m, r, training)
        assert np.signbit(expected[("dx", "dgamma", "dbeta").index(name)]).all()
        for a, b in zip(batch_norm.backward(dy, x, weights, m, r, training=training), expected, strict=True):
            assert_same_bits(a, b, name)


@each_training
@pytest.mark.parametrize("shape", ((6, 5), (4, 3, 5, 7)), ids=str)
def test_torch_agrees(torch, shape, training):
    x, dy, weights, beta, mean, variance = arguments(shape, np.float64)
    leaves = [torch.tensor(each, requires_grad=True) for each in (x, weights, beta)]
    running = [torch.tensor(each) for each in (mean, variance)]
    y = torch.nn.functional.batch_norm(leaves[0], *running, *leaves[1:], training=training, momentum=0.3, eps=1e-3)
    y.backward(torch.tensor(dy))
    found, m, r = batch_norm.forward(x, weights, beta, mean, variance, training=training, momentum=0.3, eps=1e-3)
    for a, b in zip((found, mean, variance), (y.detach(), *running)):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-12, atol=1e-12)
    for a, b in zip(batch_norm.backward(dy, x, weights, m, r, training=training), leaves, strict=True):
        np.testing.assert_allclose(a, b.grad.numpy(), rtol=1e-11, atol=1e-12)


def test_a_large_mean_leaves_the_variance_right():
    # a variance as the mean of squares less the mean squared would be all rounding here
    x = (np.random.default_rng(0).standard_normal((32, 4, 16, 16)) + 1000).astype(np.float32)
    one, zero = np.ones(4, np.float32), np.zeros(4, np.float32)
    _, m, r = batch_norm.forward(x, one, zero, zero.copy(), one.copy(), training=True)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(m, wide.mean((0, 2, 3)), rtol=2e-7)
    np.testing.assert_allclose(r, 1 / np.sqrt(wide.var((0, 2, 3)) + 1e-5), rtol=2e-6)


@each_dtype
def test_in_inference_a_sample_has_the_same_bits_alone_and_in_any_batch(dtype):
    for shape in ((37, 5), (9, 3, 5, 7)):
        x, dy, *rest = arguments(shape, dtype)
        y, m, r = batch_norm.forward(x, *rest, training=False)
        dx = batch_norm.backward(dy, x, rest[0], m, r, training=False)[0]
        for some in (slice(3, 4), slice(1, 8), [4, 0]):
            assert_same_bits(batch_norm.forward(x[some], *rest, training=False)[0], y[some])
            assert_same_bits(batch_norm.backward(dy[some], x[some], rest[0], m, r, training=False)[0], dx[some])


@each_training
def test_a_nan_stays_in_its_channel(training):
    x, dy, *rest = arguments((3, 4, 5, 5), np.float64)
    x[1, 2, 3, 3] = np.nan
    y, m, r = batch_norm.forward(x, *rest, training=training)
    assert np.isnan(y).any(axis=(0, 2, 3)).tolist() == [False, False, True, False]
    assert np.isnan(rest[2]).tolist() == np.isnan(rest[3]).tolist() == [False, False, training, False]
    assert np.isnan(batch_norm.backward(dy, x, rest[0], m, r, training=training)[1]).tolist() == [
        False, False, True, False]


@pytest.mark.parametrize("shape", ((1, 3), (1, 3, 1, 1), (0, 3)), ids=str)
def test_one_number_a_channel_has_no_variance(shape):
    x, _, *rest = arguments(shape, np.float32)
    before = [each.copy() for each in rest]
    with pytest.raises(ValueError, match="a last batch of one sample is the usual cause"):
        batch_norm.forward(x, *rest, training=True)
    for a, b in zip(rest, before):
        assert_same_bits(a, b)
    y, m, r = batch_norm.forward(x, *rest, training=False)
    assert y.shape == shape
    dx, dgamma, dbeta = batch_norm.backward(x, x, rest[0], m, r, training=False)
    assert dx.shape == shape and dgamma.shape == dbeta.shape == (3,) and (shape[0] or not dbeta.any())


def test_running_statistics_must_be_apart():
    x, _, weights, beta, mean, variance = arguments((4, 6), np.float64)
    for name, other in (("variance", mean), ("x", x[0]), ("gamma", weights), ("beta", beta)):
        args = {"x": x, "gamma": weights, "beta": beta, "mean": mean, "variance": variance}
        args["mean"], args[name] = other, args[name] if name == "x" else other
        with pytest.raises(ValueError, match=f"^mean must not share memory with {name}$"):
            batch_norm.forward(**args, training=True)
    assert reference.batch_norm.UPDATED == ("mean", "variance")

import numpy as np
import pytest
from scalar import assert_same_bits, block_sum, depth, fma, gamma, lane_sum
from windows import each_dtype

from nnjit.kernels import layer_norm

BLOCK = 256
SHAPES = ((1, 1), (3, 5), (9, 8), (4, 16), (7, 17), (5, 100), (300, 3), (513, 20), (3, 700), (33,), (4, 3, 19),
          (2, 130, 2, 4))


def row_sums(x):
    return np.array([lane_sum(row) for row in x], x.dtype)[:, None]


def forward(x, weights, beta):
    n = x.dtype.type(x.shape[1])
    m = row_sums(x) / n
    v = row_sums((x - m) ** 2) / n
    r = x.dtype.type(1) / np.sqrt(v + x.dtype.type(1e-5))
    return fma((x - m) * r, weights, beta), m, r


def backward(dy, x, weights, m, r):
    n, u, g = x.dtype.type(x.shape[1]), (x - m) * r, dy * weights
    dx = r * ((g - row_sums(g) / n) - u * (row_sums(g * u) / n))
    return dx, block_sum(dy * u, BLOCK), block_sum(dy, BLOCK)


def arguments(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    x, dy = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    weights, beta = (rng.standard_normal(shape[-1]).astype(dtype) for _ in range(2))
    return x + dtype(3), dy, weights, beta


def bound(function, u, expected, *args, **options):
    x = args[function == "backward"]
    roundings = depth(x.shape[-1], u) + 8
    if function == "forward":
        _, weights, beta = args
        y, m, r = expected
        m_error = gamma(roundings, u) * np.mean(np.abs(x), axis=-1)
        r_error = r * (gamma(4, u) + (gamma(2 * roundings, u) / r ** 2 + 2 * m_error ** 2) * r ** 2)
        unit = np.abs(x - m[..., None]) * r[..., None]
        y_error = np.abs(weights) * (r * m_error + 0 * r)[..., None] + np.abs(weights) * unit * (
            (r_error / r)[..., None] + gamma(4, u)) + u * (np.abs(beta) + np.abs(y))
        return [y_error, m_error, r_error]
    dy, _, weights, m, r = args
    unit, g, rows = np.abs(x - m[..., None]) * r[..., None], np.abs(dy * weights), x.size // max(x.shape[-1], 1)
    parts = g + np.mean(g, axis=-1, keepdims=True) + unit * np.mean(g * unit, axis=-1, keepdims=True)
    before = tuple(range(x.ndim - 1))
    dgamma, dbeta = np.sum(np.abs(dy) * unit, axis=before), np.sum(np.abs(dy), axis=before)
    return [gamma(roundings + 10, u) * r[..., None] * parts, gamma(rows + 4, u) * dgamma, gamma(rows, u) * dbeta]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@each_dtype
def test_sums_are_lanes_along_rows_and_blocks_of_rows(dtype, shape):
    x, dy, weights, beta = arguments(shape, dtype)
    rows = x.reshape(-1, shape[-1])
    y, m, r = forward(rows, weights, beta)
    dx, dgamma, dbeta = backward(dy.reshape(rows.shape), rows, weights, m, r)
    m, r = m.reshape(shape[:-1]), r.reshape(shape[:-1])
    for parallel in (False, True):
        found = layer_norm.forward(x, weights, beta, parallel=parallel)
        for a, b in zip(found, (y.reshape(shape), m, r), strict=True):
            assert_same_bits(a, b, f"{shape}")
        found = layer_norm.backward(dy, x, weights, m, r, parallel=parallel)
        for a, b in zip(found, (dx.reshape(shape), dgamma, dbeta), strict=True):
            assert_same_bits(a, b, f"backward {shape}")


@pytest.mark.parametrize("shape", ((3, 5), (4, 19)), ids=str)
@each_dtype
def test_sums_of_negative_zeros_are_negative(dtype, shape):
    x, _, weights, beta = arguments(shape, dtype)
    _, m, r = forward(x, weights, beta)
    for dy in (np.copysign(dtype(0), -weights * np.ones_like(x)), np.copysign(dtype(0), (m - x) * weights)):
        expected = backward(dy, x, weights, m, r)
        for a, b in zip(layer_norm.backward(dy, x, weights, m[:, 0], r[:, 0]), expected, strict=True):
            assert_same_bits(a, b)


@pytest.mark.parametrize("shape", ((6, 5), (2, 3, 40)), ids=str)
def test_torch_agrees(torch, shape):
    x, dy, *rest = arguments(shape, np.float64)
    leaves = [torch.tensor(each, requires_grad=True) for each in (x, *rest)]
    y = torch.nn.functional.layer_norm(leaves[0], shape[-1:], *leaves[1:], eps=1e-3)
    y.backward(torch.tensor(dy))
    found, m, r = layer_norm.forward(x, *rest, eps=1e-3)
    np.testing.assert_allclose(found, y.detach().numpy(), rtol=1e-12, atol=1e-12)
    for a, b in zip(layer_norm.backward(dy, x, rest[0], m, r), leaves, strict=True):
        np.testing.assert_allclose(a, b.grad.numpy(), rtol=1e-11, atol=1e-12)


@each_dtype
def test_a_sample_has_the_same_bits_alone_and_in_any_batch(dtype):
    x, dy, *rest = arguments((37, 3, 19), dtype)
    y, m, r = layer_norm.forward(x, *rest)
    dx = layer_norm.backward(dy, x, rest[0], m, r)[0]
    for some in (slice(3, 4), slice(1, 36), [4, 0]):
        assert_same_bits(layer_norm.forward(x[some], *rest)[0], y[some])
        assert_same_bits(layer_norm.backward(dy[some], x[some], rest[0], m[some], r[some])[0], dx[some])


def test_a_nan_stays_in_its_row_and_a_row_must_have_columns():
    x, _, *rest = arguments((5, 20), np.float64)
    x[3, 7] = np.nan
    assert np.isnan(layer_norm.forward(x, *rest)[0]).any(axis=1).tolist() == [False, False, False, True, False]
    for shape in ((), (3, 0)):
        with pytest.raises(ValueError, match=r"^x must have shape \(\.\.\., C\) with at least one column, got shape"):
            layer_norm.forward(np.ones(shape), *rest)

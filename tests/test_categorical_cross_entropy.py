import numpy as np
import pytest
from scalar import assert_same_bits, depth, gamma, lane_sum, log

from nnjit.kernels import categorical_cross_entropy, reference

DTYPES = (np.float32, np.float64)
LOW, HIGH = 1e-7, 1 - 1e-7


def bound(function, u, expected, *args):
    """log takes 1 ulp; the ends of the clip are rounded, an error of u (relative in p, absolute in the logarithm)."""
    p, labels = args
    clipped = (p < LOW) | (p > HIGH)
    if function == "backward":
        return [gamma(4, u) * np.abs(expected[0])]
    if labels.ndim == 1:
        return [2 * u * np.abs(expected[0]) + u * clipped[np.arange(len(p)), labels]]
    terms = np.abs(labels * np.log(np.clip(p, LOW, HIGH)))
    return [gamma(depth(p.shape[1], u) + 3, u) * np.sum(terms, axis=1) + u * np.sum(labels * clipped, axis=1)]


def arguments(shape, dtype):
    rng = np.random.default_rng(0)
    p = rng.random(shape).astype(dtype)
    p.reshape(-1)[::5] = 0
    p.reshape(-1)[1::7] = 1
    labels = rng.integers(0, shape[1], shape[0])
    one_hot = (labels[:, None] == np.arange(shape[1])).astype(dtype)
    return p, labels, one_hot, rng.random(shape).astype(dtype)


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("shape", reference.categorical_cross_entropy.SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_scalar_spelling(dtype, shape, parallel):
    p, labels, one_hot, soft = arguments(shape, dtype)
    picked = (np.arange(len(p)), labels)
    clipped = np.where(p < dtype(LOW), dtype(LOW), np.where(p > dtype(HIGH), dtype(HIGH), p))

    losses = categorical_cross_entropy.forward(p, labels, parallel=parallel)
    assert_same_bits(losses, dtype(0) - log(clipped[picked]), "labels")
    dp = np.zeros_like(p)
    dp[picked] = dtype(-1) / clipped[picked] / dtype(len(p))
    assert_same_bits(categorical_cross_entropy.backward(p, labels, parallel=parallel), dp, "labels")
    for targets in (one_hot, soft):
        losses = categorical_cross_entropy.forward(p, targets, parallel=parallel)
        assert_same_bits(losses, np.array([-lane_sum(row) for row in targets * log(clipped)]), "one-hot")
        dp = targets / (clipped * dtype(-len(p)))
        assert_same_bits(categorical_cross_entropy.backward(p, targets, parallel=parallel), dp, "one-hot")


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_confident_mistake_costs_16(dtype):
    p = np.array([[0, 1], [1, 0], [np.nan, 0.5]], dtype)
    losses = categorical_cross_entropy.forward(p, np.array([0, 0, 0]))
    np.testing.assert_allclose(losses[:2], [-np.log(LOW), -np.log(HIGH)], rtol=0.2)
    assert np.isnan(losses[2])
    assert not np.isnan(categorical_cross_entropy.forward(p, np.array([0, 0, 1]))[2])
    dp = categorical_cross_entropy.backward(p, np.array([0, 0, 0]))
    assert np.isfinite(dp[:2]).all() and np.isnan(dp[2, 0]) and dp[2, 1] == 0


def test_torch_agrees(torch):
    p, labels, _, _ = arguments((20, 37), np.float64)
    p = p * 0.9 + 0.05
    leaf = torch.tensor(p, requires_grad=True)
    losses = torch.nn.functional.nll_loss(torch.log(leaf), torch.tensor(labels), reduction="none")
    losses.mean().backward()
    found = categorical_cross_entropy.forward(p, labels)
    np.testing.assert_allclose(found, losses.detach().numpy(), rtol=1e-15, atol=0)
    np.testing.assert_allclose(categorical_cross_entropy.backward(p, labels), leaf.grad.numpy(), rtol=1e-15, atol=0)

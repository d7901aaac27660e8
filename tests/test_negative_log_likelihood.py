import numpy as np
import pytest
from scalar import assert_same_bits, depth, gamma, lane_sum

from nnjit.kernels import log_softmax, negative_log_likelihood, reference

DTYPES = (np.float32, np.float64)


def bound(function, u, expected, *args):
    """What a label picks is exact. Of rows, products and sum are rounded; of the gradient, 1 / N and a product."""
    x, labels = args
    if function == "backward":
        return [gamma(2, u) * np.abs(expected[0])]
    if labels.ndim == 1:
        return [0 * expected[0]]
    terms = np.abs(np.multiply(labels, x, out=np.zeros_like(x), where=labels != 0))
    return [gamma(depth(x.shape[1], u) + 1, u) * np.sum(terms, axis=1)]


def arguments(shape, dtype):
    rng = np.random.default_rng(0)
    x = log_softmax.forward((2 * rng.standard_normal(shape)).astype(dtype))
    labels = rng.integers(0, shape[1], shape[0])
    one_hot = (labels[:, None] == np.arange(shape[1])).astype(dtype)
    return x, labels, one_hot, rng.random(shape).astype(dtype)


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("shape", reference.negative_log_likelihood.SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_scalar_spelling(dtype, shape, parallel):
    x, labels, one_hot, soft = arguments(shape, dtype)
    picked = (np.arange(len(x)), labels)
    share = dtype(-1) / dtype(len(x))

    assert_same_bits(negative_log_likelihood.forward(x, labels, parallel=parallel), dtype(0) - x[picked])
    dx = np.zeros_like(x)
    dx[picked] = share
    assert_same_bits(negative_log_likelihood.backward(x, labels, parallel=parallel), dx)
    for targets in (one_hot, soft):
        losses = negative_log_likelihood.forward(x, targets, parallel=parallel)
        terms = np.where(targets == 0, targets, targets * x)
        assert_same_bits(losses, np.array([dtype(0) - lane_sum(row) for row in terms]), "rows")
        assert_same_bits(negative_log_likelihood.backward(x, targets, parallel=parallel), targets * share, "rows")


@pytest.mark.parametrize("columns", (3, 40))
def test_nan_and_infinity_count_where_a_label_is(columns):
    x = np.full((4, columns), -1, np.float32)
    x[0, 1], x[1, 1], x[2, 0], x[3, 0] = -np.inf, np.nan, -np.inf, np.nan
    labels = np.zeros(4, int)
    one_hot = np.eye(columns, dtype=np.float32)[labels]
    assert_same_bits(negative_log_likelihood.forward(x, labels), np.array([1, 1, np.inf, np.nan], np.float32))
    assert_same_bits(negative_log_likelihood.forward(x, one_hot), np.array([1, 1, np.inf, np.nan], np.float32))
    for targets in (labels, one_hot):
        dx = negative_log_likelihood.backward(x, targets)
        assert_same_bits(dx + 0, one_hot * np.float32(-0.25) + 0)


def test_a_certain_class_costs_zero_and_not_minus_zero():
    x = np.array([[0, -np.inf]], np.float32)
    for labels in (np.array([0]), np.array([[1, 0]], np.float32)):
        assert_same_bits(negative_log_likelihood.forward(x, labels), np.zeros(1, np.float32))


def test_torch_agrees(torch):
    x, labels, _, _ = arguments((20, 37), np.float64)
    leaf = torch.tensor(x, requires_grad=True)
    losses = torch.nn.functional.nll_loss(leaf, torch.tensor(labels), reduction="none")
    losses.mean().backward()
    np.testing.assert_array_equal(negative_log_likelihood.forward(x, labels), losses.detach().numpy())
    np.testing.assert_allclose(negative_log_likelihood.backward(x, labels), leaf.grad.numpy(), rtol=1e-15, atol=0)

import numpy as np
import pytest
from scalar import assert_same_bits, depth, gamma, lane_sum, log
from test_softmax import forward as softmax_forward
from test_softmax import forward_error, scores

from nnjit.kernels import reference, softmax, softmax_cross_entropy

DTYPES = (np.float32, np.float64)


def bound(function, u, expected, *args):
    """The error of s goes into the logarithm as it is, log adds 1 ulp, the differences one rounding each."""
    if function == "backward":
        return [gamma(3, u) * np.abs(expected[0])]
    x, labels = args
    losses, y = expected
    shifted = x - np.max(x, axis=1, keepdims=True)
    log_s = np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    one = np.abs(shifted) * u + 2.1 * u
    s_error = np.sum(y * one, axis=1, keepdims=True) + gamma(depth(x.shape[1], u), u)
    each = s_error + 2 * u * log_s + u * np.abs(shifted) + u * np.abs(log_s - shifted)
    if labels.ndim == 1:
        error = each[np.arange(len(x)), labels]
    else:
        error = (np.sum(labels * each, axis=1)
                 + gamma(depth(x.shape[1], u) + 1, u) * np.sum(np.abs(labels * (log_s - shifted)), axis=1))
    return [error, forward_error(x, y, u) * y]


def labels_for(shape, dtype):
    labels = np.random.default_rng(2).integers(0, shape[1], shape[0])
    return labels, (labels[:, None] == np.arange(shape[1])).astype(dtype)


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("shape", reference.softmax_cross_entropy.SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_scalar_spelling(dtype, shape, parallel):
    x = scores(shape, dtype)
    labels, one_hot = labels_for(shape, dtype)
    soft = np.random.default_rng(3).random(shape).astype(dtype)  # any distribution
    y, m, s = softmax_forward(x)
    picked = (np.arange(len(x)), labels)

    losses, found = softmax_cross_entropy.forward(x, labels, parallel=parallel)
    assert_same_bits(found, y)
    assert_same_bits(losses, log(s[:, 0]) - (x - m)[picked], "labels")
    for targets in (one_hot, soft):
        losses, found = softmax_cross_entropy.forward(x, targets, parallel=parallel)
        assert_same_bits(found, y)
        rows = targets * (log(s) - (x - m))
        assert_same_bits(losses, np.array([lane_sum(row) for row in rows]), "one-hot")

    r = dtype(1) / dtype(len(x))
    dx = y * r
    dx[picked] = (y[picked] - dtype(1)) * r
    assert_same_bits(softmax_cross_entropy.backward(y, labels, parallel=parallel), dx)
    for targets in (one_hot, soft):
        assert_same_bits(softmax_cross_entropy.backward(y, targets, parallel=parallel), (y - targets) * r)


def test_the_softmax_is_that_of_softmax():
    for shape in reference.softmax_cross_entropy.SHAPES:
        x = scores(shape, np.float32)
        y = softmax_cross_entropy.forward(x, labels_for(shape, np.float32)[0])[1]
        assert_same_bits(y, softmax.forward(x), str(shape))


@pytest.mark.parametrize("columns", (2, 16, 17))
@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_overflows_and_nothing_is_clipped(dtype, columns):
    x = np.zeros((3, columns), dtype)
    x[0, 0], x[1, 1], x[2, 1] = 1e4, 1e4, -1e4
    losses, y = softmax_cross_entropy.forward(x, np.array([0, 0, 1]))
    np.testing.assert_allclose(losses, [0, 1e4, 1e4 + np.log(columns - 1)], rtol=1e-6)
    assert_same_bits(y[:2, :2], np.eye(2, dtype=dtype))


@pytest.mark.parametrize("columns", (3, 40))
def test_a_nan_stays_in_its_row(columns):
    x = scores((5, columns), np.float32)
    labels = np.zeros(5, int)
    clean = softmax_cross_entropy.forward(x, labels)
    x[2, 1] = np.nan
    losses, y = softmax_cross_entropy.forward(x, labels)
    assert np.isnan(losses[2]) and np.isnan(y[2]).all()
    rest = [0, 1, 3, 4]
    assert_same_bits(losses[rest], clean[0][rest])
    assert_same_bits(y[rest], clean[1][rest])


def test_torch_agrees(torch):
    x = scores((20, 37), np.float64)
    labels = labels_for(x.shape, float)[0]
    leaf = torch.tensor(x, requires_grad=True)
    losses = torch.nn.functional.cross_entropy(leaf, torch.tensor(labels), reduction="none")
    losses.mean().backward()
    found, y = softmax_cross_entropy.forward(x, labels)
    np.testing.assert_allclose(found, losses.detach().numpy(), rtol=1e-14, atol=0)
    np.testing.assert_allclose(softmax_cross_entropy.backward(y, labels), leaf.grad.numpy(), rtol=0, atol=1e-16)

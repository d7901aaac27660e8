import numpy as np
import pytest
from scalar import assert_same_bits, lane_sum

from nnjit.kernels import reference, scale_channels

DTYPES = (np.float32, np.float64)


def bound(function, u, expected, *args):
    """One product, rounded once; for the sums a rounding of each product, and of each addition of lane and fold."""
    if function == "forward":
        return [u * np.abs(expected[0])]
    dy, x, _ = args
    terms = np.abs(dy * x).sum(axis=(2, 3))
    return [u * np.abs(expected[0]), (x[0, 0].size / 8 + 7) * u * terms if terms.size else terms]


def numbers(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("shape", [*reference.scale_channels.SHAPES, (1, 1, 1, 1)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_element_alone(dtype, shape, parallel):
    x, dy, scale = numbers(shape, dtype), numbers(shape, dtype, 1), numbers(shape[:2], dtype, 2)
    wide = np.broadcast_to(scale[:, :, None, None], shape)
    assert_same_bits(scale_channels.forward(x, scale, parallel=parallel), x * wide)
    dx, dscale = scale_channels.backward(dy, x, scale, parallel=parallel)
    assert_same_bits(dx, dy * wide)
    sums = [lane_sum(row) if row.size else dtype(0) for row in (dy * x).reshape(scale.size, dy[0, 0].size)]
    assert_same_bits(dscale, np.array(sums, dtype).reshape(scale.shape))


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_of_negative_zeros_are_negative(dtype):
    for columns in (5, 16, 19):
        x, dy = np.ones((2, 3, 1, columns), dtype), np.full((2, 3, 1, columns), -0.0, dtype)
        dscale = scale_channels.backward(dy, x, x[:, :, 0, 0].copy())[1]
        assert_same_bits(dscale, np.full((2, 3), lane_sum(dy[0, 0, 0])), f"{columns} columns")


def test_an_image_has_the_same_bits_alone():
    x, dy = (numbers((6, 5, 3, 3), np.float32, seed) for seed in (0, 1))
    scale = numbers((6, 5), np.float32, 2)
    whole = scale_channels.backward(dy, x, scale)
    for n in range(len(x)):
        alone = scale_channels.backward(dy[n:n + 1], x[n:n + 1], scale[n:n + 1])
        for part, every in zip(alone, whole):
            assert_same_bits(part, every[n:n + 1])


def test_mistakes_are_named():
    x = np.ones((2, 3, 4, 1))
    with pytest.raises(ValueError, match=r"scale must have shape \(2, 3\) to match x \(2, 3, 4, 1\), got \(3,\)"):
        scale_channels.forward(x, np.ones(3))


def test_torch_agrees(torch):
    x, scale, dy = numbers((4, 6, 5, 7), np.float64), numbers((4, 6), np.float64, 1), numbers((4, 6, 5, 7), float, 2)
    leaves = [torch.tensor(each, requires_grad=True) for each in (x, scale)]
    y = leaves[0] * leaves[1][:, :, None, None]
    y.backward(torch.tensor(dy))
    assert np.array_equal(scale_channels.forward(x, scale), y.detach().numpy())
    dx, dscale = scale_channels.backward(dy, x, scale)
    assert np.array_equal(dx, leaves[0].grad.numpy())
    np.testing.assert_allclose(dscale, leaves[1].grad.numpy(), rtol=1e-13)

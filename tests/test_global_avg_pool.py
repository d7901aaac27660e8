import numpy as np
import pytest
from scalar import assert_same_bits, depth, gamma, lane_sum
from windows import each_dtype

from nnjit.kernels import global_avg_pool, reference


def bound(function, u, expected, *args):
    if function == "backward":
        return [gamma(2, u) * np.abs(expected[0])]
    x, = args
    return [gamma(depth(x.shape[2] * x.shape[3], u) + 2, u) * np.mean(np.abs(x), axis=(2, 3))]


def numbers(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4, shape)).astype(dtype)


SHAPES = (*reference.global_avg_pool.SHAPES, (3, 6, 4, 4), (2, 8, 3, 5), (1, 3, 1, 16), (4, 9, 1, 17), (5, 7, 7, 7),
          (2, 17, 14, 14), (0, 3, 2, 2), (2, 0, 5, 5))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@each_dtype
def test_sums_are_those_of_rows(dtype, shape):
    x, dy = numbers(shape, dtype), numbers(shape[:2], dtype, 1)
    x[:1] = -0.0
    count = dtype(shape[2] * shape[3])
    y = np.array([lane_sum(plane.ravel()) / count for image in x for plane in image], dtype).reshape(shape[:2])
    dx = np.broadcast_to((dy / count)[..., None, None], shape)
    for parallel in (False, True):
        assert_same_bits(global_avg_pool.forward(x, parallel=parallel), y)
        assert_same_bits(global_avg_pool.backward(dy, x, parallel=parallel), dx)


def test_torch_agrees(torch):
    x, dy = numbers((5, 7, 6, 9), np.float64), numbers((5, 7), np.float64, 1)
    leaf = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.adaptive_avg_pool2d(leaf, 1)[..., 0, 0]
    y.backward(torch.tensor(dy))
    np.testing.assert_allclose(global_avg_pool.forward(x), y.detach().numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(global_avg_pool.backward(dy, x), leaf.grad.numpy(), rtol=1e-15)


@each_dtype
def test_a_sample_has_the_same_bits_alone_and_in_any_batch(dtype):
    x = numbers((37, 3, 5, 9), dtype)
    y = global_avg_pool.forward(x)
    for some in (slice(3, 4), slice(1, 36), [4, 0]):
        assert_same_bits(global_avg_pool.forward(x[some]), y[some])


def test_a_nan_stays_in_its_image():
    x = np.ones((3, 3, 4, 4))
    x[1, 2, 3, 3] = np.nan
    assert np.argwhere(np.isnan(global_avg_pool.forward(x))).tolist() == [[1, 2]]
    with pytest.raises(ValueError, match="^x must have at least one row and one column, got shape"):
        global_avg_pool.forward(np.ones((3, 3, 4, 0)))

import numpy as np
import pytest
from scalar import assert_same_bits, gamma
from windows import each_ceil, each_dtype, each_window, gradients, images, pair, windows

from nnjit.kernels import avg_pool2d, reference

each_count = pytest.mark.parametrize("count_include_pad", (True, False))


def bound(function, u, expected, *args, **options):
    x = args[-1]
    rows, columns = pair(options["size"])
    if function == "forward":
        return [gamma(rows * columns + 1, u) * reference.avg_pool2d.forward(np.abs(x), **options)]
    return [gamma(rows * columns + 1, u) * reference.avg_pool2d.backward(np.abs(args[0]), x, **options)]


def spelled(x, dy, size, stride, padding, count_include_pad):
    """y and dx, number by number."""
    y, dx = np.empty_like(dy), np.zeros_like(x)
    rows, columns = pair(size)
    for n, c in np.ndindex(x.shape[:2]):
        for i, j, inside, padded in windows(x.shape[2:], size, stride, padding):
            count = x.dtype.type(rows * columns if count_include_pad else len(inside))
            total = x[n, c][inside[0]]
            for place in inside[1:]:
                total = total + x[n, c][place]
            y[n, c, i, j] = (total + x.dtype.type(0) if padded else total) / count
            for place in inside:
                dx[n, c][place] += dy[n, c, i, j] / count
    return y, dx


@each_count
@each_window
@each_dtype
def test_numbers_are_added_in_the_order_of_rows(dtype, shape, size, stride, padding, count_include_pad):
    x = images((2, 3, *shape), dtype, specials=False)
    x[0] *= gradients(x[:1, :1], 1, 1, 0, dtype)[0, 0]
    x[1, 2] = -0.0  # whose mean is 0 in a window that is padded
    dy = gradients(x, size, stride, padding, dtype)
    y, dx = spelled(x, dy, size, stride, padding, count_include_pad)
    options = {"size": size, "stride": stride, "padding": padding, "count_include_pad": count_include_pad}
    for parallel in (False, True):
        assert_same_bits(avg_pool2d.forward(x, **options, parallel=parallel), y, f"forward {options}")
        assert_same_bits(avg_pool2d.backward(dy, x, **options, parallel=parallel), dx, f"backward {options}")


@each_count
@each_window
@each_dtype
def test_torch_agrees(torch, dtype, shape, size, stride, padding, count_include_pad):
    x = np.random.default_rng(0).standard_normal((2, 3, *shape)).astype(dtype)
    dy = gradients(x, size, stride, padding, dtype)
    leaf = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.avg_pool2d(leaf, size, stride, padding, count_include_pad=count_include_pad)
    y.backward(torch.tensor(dy))
    options = {"size": size, "stride": stride, "padding": padding, "count_include_pad": count_include_pad}
    u = np.finfo(dtype).eps
    np.testing.assert_allclose(avg_pool2d.forward(x, **options), y.detach().numpy(), rtol=8 * u, atol=16 * u)
    np.testing.assert_allclose(avg_pool2d.backward(dy, x, **options), leaf.grad.numpy(), rtol=8 * u,
                               atol=64 * u * np.abs(dy).max())


@pytest.mark.parametrize("options", ({"size": 2}, {"size": 3, "stride": 2, "padding": 1}), ids=str)
@each_dtype
def test_a_sample_has_the_same_bits_alone_and_in_any_batch(dtype, options):
    x = np.random.default_rng(0).standard_normal((5, 3, 10, 10)).astype(dtype)
    y = avg_pool2d.forward(x, **options)
    dx = avg_pool2d.backward(y, x, **options)
    for some in (slice(3, 4), slice(1, 5), [4, 0]):
        assert_same_bits(avg_pool2d.forward(x[some], **options), y[some])
        assert_same_bits(avg_pool2d.backward(y[some], x[some], **options), dx[some])


def test_only_the_windows_of_a_nan_are_nan():
    x = np.zeros((1, 1, 6, 40))
    x[0, 0, 2, 17] = np.nan
    y = avg_pool2d.forward(x, size=3, stride=2, padding=1)
    assert np.argwhere(np.isnan(y[0, 0])).tolist() == [[1, 8], [1, 9]]


@each_count
@each_ceil
@each_dtype
def test_windows_beyond_the_padding(torch, dtype, shape, size, stride, padding, count_include_pad):
    x = images((2, 3, *shape), dtype, specials=False)
    dy = gradients(x, size, stride, padding, dtype, ceil_mode=True)
    leaf = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.avg_pool2d(leaf, size, stride, padding, True, count_include_pad)
    y.backward(torch.tensor(dy))
    options = {"size": size, "stride": stride, "padding": padding, "count_include_pad": count_include_pad}
    near = {"rtol": 8 * np.finfo(dtype).eps, "atol": 64 * np.finfo(dtype).eps * np.abs(dy).max()}
    for run in (avg_pool2d, reference.avg_pool2d):
        np.testing.assert_allclose(run.forward(x, **options, ceil_mode=True), y.detach().numpy(), **near)
        np.testing.assert_allclose(run.backward(dy, x, **options, ceil_mode=True), leaf.grad.numpy(), **near)

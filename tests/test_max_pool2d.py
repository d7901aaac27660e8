import numpy as np
import pytest
from scalar import assert_same_bits, gamma
from windows import each_ceil, each_dtype, each_window, gradients, images, windows

from nnjit.kernels import max_pool2d, reference


def bound(function, u, expected, dy=None, x=None, y=None, *, size=2, **options):
    if function == "forward":
        return [np.zeros_like(expected[0])]
    rows, columns = size if isinstance(size, tuple) else (size, size)
    return [gamma(rows * columns, u) * np.abs(dy).max(initial=0) * rows * columns * np.ones_like(expected[0])]


def winner(plane, places):
    """The place of the largest: the first of equal numbers, the first NaN."""
    best = places[0]
    for place in places[1:]:
        if plane[place] > plane[best] or np.isnan(plane[place]) and not np.isnan(plane[best]):
            best = place
    return best


def forward(x, *options):
    return np.array([[[plane[winner(plane, inside)] for _, _, inside, _ in windows(plane.shape, *options)]
                      for plane in image] for image in x], x.dtype)


def backward(dy, x, *options):
    dx = np.zeros_like(x)
    for n, c in np.ndindex(x.shape[:2]):
        for i, j, inside, _ in windows(x.shape[2:], *options):
            dx[n, c][winner(x[n, c], inside)] += dy[n, c, i, j]
    return dx


@each_window
@each_dtype
def test_the_first_of_equal_numbers_and_the_first_nan_win(dtype, shape, size, stride, padding):
    for specials in (False, True):
        x = images((2, 3, *shape), dtype, specials=specials)
        dy = gradients(x, size, stride, padding, dtype)
        options = {"size": size, "stride": stride, "padding": padding}
        y = forward(x, size, stride, padding).reshape(dy.shape)
        dx = backward(dy, x, size, stride, padding)
        for parallel in (False, True):
            assert_same_bits(max_pool2d.forward(x, **options, parallel=parallel), y, f"forward {options}")
            assert_same_bits(max_pool2d.backward(dy, x, y, **options, parallel=parallel), dx, f"backward {options}")


@each_window
@each_dtype
def test_torch_agrees(torch, dtype, shape, size, stride, padding):
    x = np.random.default_rng(0).standard_normal((2, 3, *shape)).astype(dtype)
    dy = gradients(x, size, stride, padding, dtype)
    leaf = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.max_pool2d(leaf, size, stride, padding)
    y.backward(torch.tensor(dy))
    options = {"size": size, "stride": stride, "padding": padding}
    assert_same_bits(max_pool2d.forward(x, **options), y.detach().numpy())
    np.testing.assert_allclose(max_pool2d.backward(dy, x, y.detach().numpy(), **options), leaf.grad.numpy(),
                               rtol=8 * np.finfo(dtype).eps, atol=64 * np.finfo(dtype).eps * np.abs(dy).max())


@pytest.mark.parametrize("options", ({"size": 2}, {"size": 3, "stride": 2, "padding": 1}), ids=str)
@each_dtype
def test_a_sample_has_the_same_bits_alone_and_in_any_batch(dtype, options):
    x = images((5, 3, 10, 10), dtype)
    y = max_pool2d.forward(x, **options)
    dy = images(y.shape, dtype, 1, specials=False)
    dx = max_pool2d.backward(dy, x, y, **options)
    for some in (slice(3, 4), slice(1, 5), [4, 0]):
        assert_same_bits(max_pool2d.forward(x[some], **options), y[some])
        assert_same_bits(max_pool2d.backward(dy[some], x[some], y[some], **options), dx[some])


@pytest.mark.parametrize("options, pattern", (
    ({"size": 3, "padding": 2}, r"^padding must be at most half of size \(3, 3\), got \(2, 2\)$"),
    ({"size": (1, 5)}, r"^x must have images at least as large as the windows, \(1, 5\) with padding \(0, 0\), got"),
    ({"size": (5, 1)}, r"^x must have images at least as large as the windows"),
    ({"size": 0}, "^size must be at least 1 and below 2\\^31, got 0$"),
    ({"size": 2**16}, "^size must have less than 2\\^31 elements, got 65536$"),
    ({"size": 2, "stride": (1, 0)}, "^stride must be at least 1"),
    ({"size": 2, "padding": -1}, "^padding must be at least 0")), ids=str)
def test_windows_that_fit_no_image(options, pattern):
    with pytest.raises(ValueError, match=pattern):
        max_pool2d.forward(np.zeros((1, 1, 4, 4)), **options)


def test_windows_far_larger_than_the_image():
    x = images((1, 2, 3, 4), np.float32, specials=False)
    y = max_pool2d.forward(x, size=(2**10, 2**20), padding=(2**9, 2**19))
    assert_same_bits(y, np.broadcast_to(x.max(axis=(2, 3), keepdims=True), y.shape) + np.float32(0))
    dx = max_pool2d.backward(np.ones_like(y), x, y, size=(2**10, 2**20), padding=(2**9, 2**19))
    assert (dx.sum(axis=(2, 3)) == y[0, 0].size).all() and np.count_nonzero(dx) == 2


@each_ceil
@each_dtype
def test_windows_beyond_the_padding(torch, dtype, shape, size, stride, padding):
    x = images((2, 3, *shape), dtype)
    dy = gradients(x, size, stride, padding, dtype, ceil_mode=True)
    y = forward(x, size, stride, padding, True).reshape(dy.shape)
    dx = backward(dy, x, size, stride, padding, True)
    options = {"size": size, "stride": stride, "padding": padding, "ceil_mode": True}
    for parallel in (False, True):
        assert_same_bits(max_pool2d.forward(x, **options, parallel=parallel), y, f"forward {options}")
        assert_same_bits(max_pool2d.backward(dy, x, y, **options, parallel=parallel), dx, f"backward {options}")
    x = np.random.default_rng(0).standard_normal(x.shape).astype(dtype)
    y = torch.nn.functional.max_pool2d(torch.tensor(x), size, stride, padding, ceil_mode=True).numpy()
    assert_same_bits(max_pool2d.forward(x, **options), y)
    assert_same_bits(reference.max_pool2d.forward(x, **options), y)
    np.testing.assert_allclose(reference.max_pool2d.backward(dy, x, y, **options), backward(
        dy, x, size, stride, padding, True), rtol=8 * np.finfo(dtype).eps, atol=64 * np.finfo(dtype).eps)

import numpy as np
import pytest
from scalar import assert_same_bits

from nnjit.kernels import reference, upsample

DTYPES = (np.float32, np.float64)
SIZES = (1, 2, 3, (2, 5), (3, 1))


def bound(function, u, expected, *args, size):
    """Exact; or at most as many roundings as the largest block of the twin's cases has additions."""
    return [u * 8 * np.abs(expected[0]) if function == "forward" else u * 64 * np.ones_like(expected[0])]


def numbers(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_element_alone(dtype, size, parallel):
    rows, columns = size if isinstance(size, tuple) else (size, size)
    for n, c, h, w in ((1, 1, 1, 1), (3, 2, 7, 5), (2, 9, 4, 17)):
        x = numbers((n, c, h, w), dtype)
        y = upsample.forward(x, size=size, parallel=parallel)
        assert_same_bits(y, x[:, :, np.arange(h * rows) // rows][..., np.arange(w * columns) // columns])
        dy = numbers(y.shape, dtype, 1)
        expected = np.empty_like(x)
        for index in np.ndindex(x.shape):
            block = dy[index[0], index[1], index[2] * rows:(index[2] + 1) * rows,
                       index[3] * columns:(index[3] + 1) * columns].reshape(-1)
            total = block[0]
            for value in block[1:]:
                total = total + value
            expected[index] = total
        assert_same_bits(upsample.backward(dy, size=size, parallel=parallel), expected)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"dy must have multiples of 2 rows and of 3 columns, got shape"):
        upsample.backward(np.ones((1, 1, 4, 5)), size=(2, 3))
    for size in (0, (2, -1), (1, 2, 3), 1.5, True, None, "2"):
        with pytest.raises((TypeError, ValueError), match="^size must be"):
            upsample.forward(np.ones((1, 1, 4, 4)), size=size)


def test_torch_agrees(torch):
    for shape, size in zip(reference.upsample.SHAPES, (2, (3, 1), (1, 4))):
        x = numbers(shape, np.float64)
        leaf = torch.tensor(x, requires_grad=True)
        y = torch.nn.functional.interpolate(leaf, scale_factor=size, mode="nearest")
        assert np.array_equal(upsample.forward(x, size=size), y.detach().numpy())
        dy = numbers(y.shape, np.float64, 1)
        y.backward(torch.tensor(dy))
        np.testing.assert_allclose(upsample.backward(dy, size=size), leaf.grad.numpy(), rtol=1e-12, atol=1e-14)

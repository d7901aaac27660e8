import numpy as np
import pytest

from nnjit import kernels
from nnjit.kernels import reference, regression_accuracy

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.regression_accuracy.SHAPES]


def bound(function, u, expected, *args, precision):
    """As many as have a difference so near to the precision that one rounding may take it to the other side."""
    assert precision == np.float32(precision)  # is not rounded itself
    difference = np.abs(args[0] - args[1])
    known = difference[np.isfinite(difference)]
    return [np.asarray(np.count_nonzero(np.abs(known - precision) <= 1.01 * u * known))]


def hits(y, targets, precision):
    """One number after another; differences in the dtype of y."""
    precision = y.dtype.type(precision)
    with np.errstate(invalid="ignore", over="ignore"):
        return sum(bool(abs(x - t) < precision) for x, t in zip(y.ravel(), targets.ravel()))


def numbers(shape, dtype):
    """Outputs and targets, of which a third differ by 0, 1/4 or -1/4 exactly; a few of them NaN or infinite."""
    rng = np.random.default_rng(0)
    y, targets = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    flat, wanted = y.reshape(-1), targets.reshape(-1)
    flat[::3] = rng.integers(-8, 9, flat[::3].size) / 8
    wanted[::3] = flat[::3] + rng.integers(-1, 2, flat[::3].size) / 4
    for start, value in ((1, np.nan), (2, np.inf), (4, -np.inf)):
        flat[start::31] = value
        wanted[start::53] = value
    return y, targets


@pytest.mark.parametrize("parallel", (False, True, None))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_number_alone(dtype, size, parallel):
    y, targets = numbers(size, dtype)
    for precision in (0.25, 0.3):
        found = regression_accuracy.forward(y, targets, precision=precision, parallel=parallel)
        assert type(found) is int and found == hits(y, targets, precision)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", (1, 16, 17, 40, 4100))
def test_every_place_counts(dtype, size):
    y = np.arange(size, dtype=dtype)
    targets = y + 1
    for at in range(size):
        targets[at] = at
        assert regression_accuracy.forward(y, targets, precision=0.5) == 1, at
        targets[at] = at + 1
    assert regression_accuracy.forward(y, targets, precision=0.5) == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_differences_around_the_precision(dtype):
    huge, tiny = np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal
    below, above = np.nextafter(dtype(0.25), dtype(0)), np.nextafter(dtype(0.25), dtype(1))
    for x, t, precision, expected in (
            (0, 0, 0.25, True), (0, -0.0, 0.25, True), (0, below, 0.25, True), (0, 0.25, 0.25, False),
            (0, above, 0.25, False), (7, 6.75, 0.25, False), (7, 6.75, 0.26, True), (0, 0, 0, False),
            (0, 0, -0.0, False), (0, 0, tiny, True),
            (3 * tiny, tiny, 2 * tiny, False), (3 * tiny, 2 * tiny, 2 * tiny, True),
            (huge, huge, 1, True), (huge, 0, huge, False), (huge, tiny, huge, False), (huge, -huge, huge, False),
            (np.inf, np.inf, huge, False), (-np.inf, -np.inf, huge, False), (np.inf, -np.inf, huge, False),
            (np.inf, 0, huge, False), (np.nan, 0, huge, False), (np.nan, np.nan, huge, False)):
        for one, other in ((x, t), (t, x), (-x, -t)):
            # 17: a whole vector and a part of one
            y, targets = np.full(17, one, dtype), np.full(17, other, dtype)
            found = regression_accuracy.forward(y, targets, precision=precision)
            assert found == 17 * expected, f"{one}, {other} with {precision}"


def test_the_difference_and_the_precision_are_rounded_as_numpy_does():
    y, targets = np.array([1.0], np.float32), np.array([-2.0**-25], np.float32)  # the difference becomes 1
    for dtype, expected in ((np.float32, 0), (np.float64, 1)):
        y, targets = y.astype(dtype), targets.astype(dtype)
        precision = 1 + 2.0**-25 + 2.0**-30  # and so does that
        assert np.count_nonzero(np.abs(y - targets) < precision) == expected
        assert regression_accuracy.forward(y, targets, precision=precision) == expected
    y = np.zeros(5, np.float32)
    assert regression_accuracy.forward(y, y, precision=1e-50) == np.count_nonzero(y < 1e-50) == 0
    assert regression_accuracy.forward(y, y + np.float32(3e38), precision=1e300) == 5  # infinity in float32


def test_the_precision_of_the_book():
    x = np.linspace(0, 1, 1000).reshape(-1, 1)
    targets = np.sin(2 * np.pi * x)
    precision = np.std(targets) / 250  # np.float64
    y = targets + np.where(x < 0.3, 0.9, 1.1) * precision
    assert regression_accuracy.forward(y, targets, precision=precision) == np.count_nonzero(x < 0.3)


@pytest.mark.parametrize("parallel", (False, True))
def test_a_count_beyond_the_whole_numbers_of_float32(parallel):
    zeros = np.zeros(2**24 + 3, np.float32)
    assert regression_accuracy.forward(zeros, zeros, precision=1, parallel=parallel) == zeros.size


@pytest.mark.parametrize("parallel", (False, True))
def test_a_captured_call_counts_again(parallel):
    y, targets = numbers(100, np.float32)
    with kernels.capture() as calls:
        before = regression_accuracy.forward(y, targets, precision=0.3, parallel=parallel)
    again = kernels.Replay(calls)
    y[...] = targets
    again.run()
    assert type(again.result(0)) is int and again.result(0) == hits(y, targets, 0.3) != before


def test_mistakes_are_named():
    y = np.zeros((4, 1), np.float32)
    for wrong in (-1, -5e-324):
        with pytest.raises(ValueError, match=f"precision must not be negative, got {float(wrong)}"):
            regression_accuracy.forward(y, y, precision=wrong)
    with pytest.raises(TypeError, match="precision"):
        regression_accuracy.forward(y, y)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_twin_counts_the_same(dtype):
    y, targets = numbers((100, 7), dtype)
    for precision in (0.0, 0.25, 0.3):
        with np.errstate(invalid="ignore"):
            found = reference.regression_accuracy.forward(y, targets, precision=precision)
        assert found == hits(y, targets, precision)


def test_torch_agrees(torch):
    y, targets = numbers((1000, 3), np.float64)
    for precision in (0.25, 0.3):
        expected = ((torch.tensor(y) - torch.tensor(targets)).abs() < precision).sum().item()
        assert regression_accuracy.forward(y, targets, precision=precision) == expected

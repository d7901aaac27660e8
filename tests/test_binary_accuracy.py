import math

import numpy as np
import pytest

from nnjit import kernels
from nnjit.kernels import binary_accuracy, reference

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.binary_accuracy.SHAPES]


def bound(function, u, expected, *args, threshold=0.5):
    """Exact: comparisons with a threshold that both dtypes have."""
    assert threshold == np.float32(threshold)
    return [np.zeros_like(expected[0])]


def hits(p, targets, threshold=0.5):
    """One number after another."""
    count, threshold = 0, float(p.dtype.type(threshold))
    for x, t in zip(p.ravel().tolist(), targets.ravel().tolist()):
        if not math.isnan(x) and not math.isnan(t):
            count += (x > threshold) == (t > 0.5)
    return count


def numbers(shape, dtype):
    """Outputs and targets, a few of them NaN, and outputs and targets of 0.5."""
    rng = np.random.default_rng(0)
    p, targets = rng.random(shape).astype(dtype), rng.integers(0, 2, shape).astype(dtype)
    for start, value in ((0, 0.5), (1, np.nan)):
        p.reshape(-1)[start::7] = value
        targets.reshape(-1)[start::11] = value
    return p, targets


@pytest.mark.parametrize("parallel", (False, True, None))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_number_alone(dtype, size, parallel):
    p, targets = numbers(size, dtype)
    found = binary_accuracy.forward(p, targets, parallel=parallel)
    assert type(found) is int and found == hits(p, targets)
    found = binary_accuracy.forward(p, targets, threshold=0.3, parallel=parallel)
    assert found == hits(p, targets, 0.3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", (1, 16, 17, 40, 4100))
def test_every_place_counts(dtype, size):
    for right in (0, 1):
        p, targets = np.full(size, 1 - right, dtype), np.full(size, right, dtype)
        for at in range(size):
            p[at] = right
            assert binary_accuracy.forward(p, targets) == 1, f"{right} at {at}"
            p[at] = 1 - right
        assert binary_accuracy.forward(p, targets) == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_sides_of_the_threshold(dtype):
    half, tiny = dtype(0.5), np.finfo(dtype).smallest_subnormal
    ones = [np.nextafter(half, dtype(1)), dtype(1), np.finfo(dtype).max, dtype(np.inf)]
    zeros = [half, np.nextafter(half, dtype(0)), tiny, dtype(0), dtype(-0.0), -tiny, dtype(-1), dtype(-np.inf)]
    for xs, ts, expected in ((ones, ones, 1), (zeros, zeros, 1), (ones, zeros, 0), (zeros, ones, 0),
                             ([np.nan], [*ones, *zeros, np.nan], 0), ([*ones, *zeros], [np.nan], 0)):
        for x in xs:
            for t in ts:
                # 17: a whole vector and a part of one
                found = binary_accuracy.forward(np.full(17, x, dtype), np.full(17, t, dtype))
                assert found == 17 * expected, f"{x} for {t}"


def test_the_threshold_moves_outputs_only():
    scores, targets = np.array([-3.0, -0.5, 0.0, 0.3, 7.0]), np.array([0.0, 1.0, 0.4, 1.0, 1.0])
    for threshold, expected in ((-4, 3), (-1, 4), (0, 4), (-0.0, 4), (0.3, 3), (1, 3), (7, 2), (1e300, 2), (-1e300, 3)):
        assert binary_accuracy.forward(scores, targets, threshold=threshold) == expected, threshold


def test_the_threshold_is_rounded_as_numpy_does():
    x, one = np.array([0.1], np.float32), np.ones(1, np.float32)
    assert binary_accuracy.forward(x, one, threshold=0.1) == np.count_nonzero(x > 0.1) == 0
    x, one = x.astype(np.float64), one.astype(np.float64)
    assert binary_accuracy.forward(x, one, threshold=0.1) == np.count_nonzero(x > 0.1) == 1
    x, one = np.float32([np.inf, 3e38]), np.ones(2, np.float32)
    assert binary_accuracy.forward(x, one, threshold=1e300) == 0  # infinity in float32


@pytest.mark.parametrize("parallel", (False, True))
def test_a_count_beyond_the_whole_numbers_of_float32(parallel):
    zeros = np.zeros(2**24 + 3, np.float32)
    assert binary_accuracy.forward(zeros, zeros, parallel=parallel) == zeros.size


@pytest.mark.parametrize("parallel", (False, True))
def test_a_captured_call_counts_again(parallel):
    p, targets = numbers(100, np.float32)
    with kernels.capture() as calls:
        before = binary_accuracy.forward(p, targets, parallel=parallel)
    again = kernels.Replay(calls)
    p[...] = targets
    again.run()
    assert type(again.result(0)) is int and again.result(0) == hits(p, targets) != before


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_twin_counts_the_same(dtype):
    p, targets = numbers((100, 7), dtype)
    for threshold in (0.3, 0.5):
        assert reference.binary_accuracy.forward(p, targets, threshold=threshold) == hits(p, targets, threshold)


def test_torch_agrees(torch):
    rng = np.random.default_rng(0)
    p, targets = rng.random((1000, 3)), rng.integers(0, 2, (1000, 3)).astype(float)
    p[::9] = 0.5
    for threshold in (0.3, 0.5):
        expected = ((torch.tensor(p) > threshold) == (torch.tensor(targets) > 0.5)).sum().item()
        assert binary_accuracy.forward(p, targets, threshold=threshold) == expected

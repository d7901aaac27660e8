import numpy as np
import pytest
from scalar import assert_same_bits

from nnjit.kernels import categorical_accuracy, reference


def bound(function, u, expected, *args):
    """Exact."""
    return [np.zeros_like(expected[0])]


def first_largest(row):
    best = 0
    for j in range(1, len(row)):
        if row[j] > row[best] or np.isnan(row[j]) and not np.isnan(row[best]):
            best = j
    return best


@pytest.mark.parametrize("parallel", (False, True, None))
@pytest.mark.parametrize("shape", reference.categorical_accuracy.SHAPES, ids=str)
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_counts_the_first_largest(dtype, shape, parallel):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, shape).astype(dtype)  # many equal scores
    labels = np.array([first_largest(row) for row in y], int)
    labels[::3] = rng.integers(0, shape[1], labels[::3].size)
    targets = rng.random(shape).astype(dtype)
    hits = sum(first_largest(row) == label for row, label in zip(y, labels))
    found = categorical_accuracy.forward(y, labels, parallel=parallel)
    assert type(found) is int and found == hits
    hits = sum(first_largest(row) == first_largest(target) for row, target in zip(y, targets))
    assert categorical_accuracy.forward(y, targets, parallel=parallel) == hits


def test_every_place_counts():
    for columns in (1, 2, 16, 17, 33):
        y = np.eye(columns, dtype=np.float32)
        for shift in range(columns):
            labels = (np.arange(columns) + shift) % columns
            assert categorical_accuracy.forward(y, labels) == (columns if shift == 0 else 0)


def test_a_nan_is_the_largest():
    y = np.array([[1, np.nan, 3], [np.nan, 9, np.nan], [1, np.inf, np.nan]])
    assert categorical_accuracy.forward(y, np.array([1, 0, 2])) == 3
    assert_same_bits(np.argmax(y, axis=1), np.array([1, 0, 2]))


@pytest.mark.parametrize("columns", (10, 17, 70, 200))
def test_the_first_nan_of_a_row_of_any_width(columns):
    y = np.random.default_rng(0).standard_normal((2 * columns, columns)).astype(np.float32)
    for i in range(2 * columns):
        y[i, i // 2] = np.nan
        y[i, i // 2 + 1 + i % 2:] = np.inf if i % 2 else np.nan
    assert categorical_accuracy.forward(y, np.arange(2 * columns) // 2) == 2 * columns


@pytest.mark.parametrize("columns", (10, 17, 64, 70, 200))
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_rows_of_minus_infinity(columns, dtype):
    """Where a row ends, vectors are filled with the same number."""
    y = np.full((columns + 1, columns), -np.inf, dtype)
    y[np.arange(columns), np.arange(columns)] = np.finfo(dtype).min
    labels = np.append(np.arange(columns), 0)
    assert categorical_accuracy.forward(y, labels) == columns + 1


def test_the_twin_counts_the_first_largest():
    rng = np.random.default_rng(0)
    y, targets = (rng.integers(0, 4, (100, 6)).astype(np.float32) for _ in range(2))
    labels = np.array([first_largest(row) for row in y])
    labels[::3] = rng.integers(0, 6, labels[::3].size)
    for twin in (categorical_accuracy, reference.categorical_accuracy):
        assert twin.forward(y, labels) == sum(first_largest(row) == label for row, label in zip(y, labels))
        assert twin.forward(y, targets) == sum(first_largest(row) == first_largest(t) for row, t in zip(y, targets))

"""Scaling data.

A scaler learns from the training data with `fit` and scales any data with `transform`; `inverse_transform` reverses it.
NaN stands for missing values: `fit` ignores it, and `transform` keeps it. A network cannot learn from NaN, so replace
it first, for example by `np.nan_to_num` after a StandardScaler, which puts the mean of the feature there.
The sums here are NumPy's, in float64, so their last bit may differ on another CPU, and with it the training. Sums of
images as uint8 are those of whole numbers, and exact. Such images are read in blocks: the only copy of all of them is
the result of `transform`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FLOAT64, INT64, Array, as_floats, as_plain, kept_dtype
from ..checks import real

Self = TypeVar("Self", bound="_Scaler")
BLOCK = 1 << 17  # elements that are converted at a time


class _Scaler:
    """transform: (x - offset) / divisor, for each feature, or for each channel of images (N, C, H, W)."""

    offset: Array | None = None
    divisor: Array | None = None

    def _learn(self, X: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
        raise NotImplementedError

    def fit(self: Self, X: ArrayLike) -> Self:
        """Learn from X (N, features), (N, C, H, W) or of other shapes (N, ...), and return the scaler.

        A feature of only NaN stays NaN, as in scikit-learn. Raises ValueError for empty data, for data without a
        dimension of features, for infinity, and for a feature whose range overflows float64.
        """
        X = _numbers(X)
        if X.ndim < 2 or not X.size:
            raise ValueError(f"X must have shape (N, features) or (N, C, H, W), none of them 0, got {X.shape}")
        _not_infinite(X)
        with np.errstate(all="ignore"):  # 0 / 0 is the mean of NaN alone
            offset, divisor = self._learn(X, (0, 2, 3) if X.ndim == 4 else (0,))
        possible = np.isfinite(offset) & np.isfinite(divisor)
        if not possible.all() and (wrong := ~np.isnan(X) & ~possible).any():
            place = np.unravel_index(np.where(wrong, abs(X), -1).argmax(), X.shape)
            raise ValueError(f"X contains numbers too large to scale, such as {X[place]:g} at {_at(place)}")
        self.offset, self.divisor = offset, divisor
        return self

    def _fitting(self, X: ArrayLike) -> tuple[Array, Array, Array, Array]:
        # X, offset and divisor in float64, in which float32's range does not overflow, and room for the result
        if self.offset is None or self.divisor is None:
            raise RuntimeError("the scaler is not fitted: call fit first")
        dtype = kept_dtype(X)
        X = _numbers(X)
        learned = self.offset.shape[1:]
        if X.ndim != len(learned) + 1 or any(a not in (b, 1) for a, b in zip(learned, X.shape[1:])):
            raise ValueError(f"X of shape {X.shape} does not fit what the scaler learned from: (N, "
                             f"{', '.join('any' if X.ndim == 4 and size == 1 else str(size) for size in learned)})")
        _not_infinite(X)
        return X, self.offset, self.divisor, np.empty(X.shape, dtype)

    def transform(self, X: ArrayLike) -> Array:
        """X scaled, in its own dtype if that is float32 or float64, else float32.

        Raises RuntimeError before `fit`, ValueError for another shape than that of `fit`, for infinity, and for what
        would become infinity.
        """
        X, offset, divisor, found = self._fitting(X)
        with np.errstate(over="ignore"):
            for rows, block in _blocks(X):
                scaled = block - offset
                scaled /= divisor
                found[rows] = scaled
        return _held(found, X)

    def fit_transform(self, X: ArrayLike) -> Array:
        """`fit`, then `transform` of the same data."""
        return self.fit(X).transform(X)

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Scaled X in the original units. Errors are those of `transform`."""
        X, offset, divisor, found = self._fitting(X)
        with np.errstate(over="ignore"):
            for rows, block in _blocks(X):
                scaled = block * divisor
                scaled += offset
                found[rows] = scaled
        return _held(found, X)


class MinMaxScaler(_Scaler):
    """Scales each feature so that its minimum becomes `low`, its maximum `high`; a constant feature becomes `low`."""

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        self.low, self.high = real("low", low), real("high", high)
        if not -np.inf < self.low < self.high < np.inf:
            raise ValueError(f"low must be less than high, and both finite, got {self.low} and {self.high}")
        if self.high - self.low == np.inf:
            raise ValueError(f"low and high must be nearer to each other, got {self.low} and {self.high}")

    def _learn(self, X: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
        least, largest = _range(X, axes)
        divisor = _not_0((largest - least) / (self.high - self.low))
        return least - self.low * divisor, divisor


class StandardScaler(_Scaler):
    """Scales each feature to mean 0 and standard deviation 1; a constant feature becomes 0."""

    def _learn(self, X: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
        least, largest = _range(X, axes)
        if X.dtype == np.uint8:
            mean, deviation = _moments(X, axes)
            return mean, _not_0(deviation)
        constant = least == largest  # the mean of equal numbers can differ from them in the last bit
        known = ~np.isnan(X)
        where: Any = True if known.all() else known  # sums with a mask are added in another order
        count = known.sum(axes, keepdims=True)
        mean = X.sum(axes, keepdims=True, where=where) / count
        deviation = np.sqrt(np.square(X - mean).sum(axes, keepdims=True, where=where) / count)
        return np.where(constant, least, mean), np.where(constant, 1.0, _not_0(deviation))


def _numbers(X: ArrayLike) -> Array:
    # as float64, but bytes as they are
    if isinstance(X, np.ndarray) and X.dtype == np.uint8:
        return as_plain(X, "X")
    return as_floats(X, FLOAT64, "X")


def _blocks(X: Array, dtype: np.dtype[Any] = FLOAT64) -> Iterator[tuple[slice, Array]]:
    # of samples
    rows = max(1, BLOCK // max(1, math.prod(X.shape[1:])))
    for start in range(0, len(X), rows):
        part = slice(start, start + rows)
        yield part, X[part].astype(dtype, copy=False)


def _moments(X: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    # mean and deviation of bytes, from sums of whole numbers, each rounded once or twice
    count = math.prod(X.shape[axis] for axis in axes)
    total = X.sum(axes, dtype=INT64, keepdims=True)
    squares = np.zeros_like(total)
    for _, block in _blocks(X, INT64):
        squares += np.square(block).sum(axes, keepdims=True)
    spread = [math.sqrt((count * square - each * each) / (count * count)) for each, square in zip(
        total.ravel().tolist(), squares.ravel().tolist())]
    return total / count, np.array(spread).reshape(total.shape)


def _range(X: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    # NaN only where there is nothing else. Of 0 and -0 NumPy's minimum and fmin may take either
    some = X.dtype != np.uint8 and np.isnan(X).any()
    least, largest = (np.fmin, np.fmax) if some else (np.minimum, np.maximum)
    found = [each.reduce(X, axes, keepdims=True).astype(FLOAT64, copy=False) for each in (least, largest)]
    return found[0], found[1]


def _not_0(divisor: Array) -> Array:
    return np.where(divisor == 0, 1.0, divisor)


def _held(scaled: Array, X: Array) -> Array:
    wrong = np.isinf(scaled)
    if wrong.any():
        place = np.unravel_index(wrong.argmax(), X.shape)
        raise ValueError(f"X contains numbers too large for {scaled.dtype} once scaled, such as {X[place]:g} at "
                         f"{_at(place)}")
    return scaled


def _not_infinite(X: Array) -> None:
    if X.dtype == np.uint8:
        return
    wrong = np.isinf(X)
    if wrong.any():
        place = np.unravel_index(wrong.argmax(), X.shape)
        raise ValueError(f"X must not contain infinity, got {X[place]} at {_at(place)}")


def _at(place: tuple[Any, ...]) -> str:
    row, *rest = map(int, place)
    if len(rest) == 1:
        return f"row {row}, column {rest[0]}"
    return f"sample {row}, " + (f"channel {rest[0]}" if len(rest) == 3 else f"feature {tuple(rest)}")

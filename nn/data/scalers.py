"""Scaling data.

A scaler learns from the training data with `fit` and scales any data with `transform`; `inverse_transform` reverses it.
NaN stands for missing values: `fit` ignores it, and `transform` keeps it. A network cannot learn from NaN, so replace
it first, for example by `np.nan_to_num` after a StandardScaler, which puts the mean of the feature there.
The sums here are NumPy's, in float64, so the last bit may differ on another CPU; the training then depends on it.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FLOAT64, Array, as_floats, kept_dtype
from ..checks import real

Self = TypeVar("Self", bound="_Scaler")


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
        X = as_floats(X, FLOAT64, "X")
        if X.ndim < 2 or not X.size:
            raise ValueError(f"X must have shape (N, features) or (N, C, H, W), none of them 0, got {X.shape}")
        _not_infinite(X)
        with np.errstate(all="ignore"):  # 0 / 0 is the mean of NaN alone
            offset, divisor = self._learn(X, (0, 2, 3) if X.ndim == 4 else (0,))
        wrong = ~np.isnan(X) & ~(np.isfinite(offset) & np.isfinite(divisor))
        if wrong.any():
            place = np.unravel_index(np.where(wrong, abs(X), -1).argmax(), X.shape)
            raise ValueError(f"X contains numbers too large to scale, such as {X[place]:g} at {_at(place)}")
        self.offset, self.divisor = offset, divisor
        return self

    def _fitting(self, X: ArrayLike) -> tuple[Array, Array, Array, np.dtype[Any]]:
        # X, offset and divisor in float64, in which float32's range does not overflow, and the dtype of the result
        if self.offset is None or self.divisor is None:
            raise RuntimeError("the scaler is not fitted: call fit first")
        dtype = kept_dtype(X)
        X = as_floats(X, FLOAT64, "X")
        learned = self.offset.shape[1:]
        if X.ndim != len(learned) + 1 or any(a not in (b, 1) for a, b in zip(learned, X.shape[1:])):
            raise ValueError(f"X of shape {X.shape} does not fit what the scaler learned from: (N, "
                             f"{', '.join('any' if X.ndim == 4 and size == 1 else str(size) for size in learned)})")
        _not_infinite(X)
        return X, self.offset, self.divisor, dtype

    def transform(self, X: ArrayLike) -> Array:
        """X scaled, in its own dtype if that is float32 or float64, else float32.

        Raises RuntimeError before `fit`, ValueError for another shape than that of `fit`, for infinity, and for what
        would become infinity.
        """
        X, offset, divisor, dtype = self._fitting(X)
        with np.errstate(over="ignore"):
            scaled = X - offset
            scaled /= divisor
            return _held(scaled.astype(dtype, copy=False), X)

    def fit_transform(self, X: ArrayLike) -> Array:
        """`fit`, then `transform` of the same data."""
        return self.fit(X).transform(X)

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Scaled X in the original units. Errors are those of `transform`."""
        X, offset, divisor, dtype = self._fitting(X)
        with np.errstate(over="ignore"):
            found = X * divisor
            found += offset
            return _held(found.astype(dtype, copy=False), X)


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
        constant = least == largest  # the mean of equal numbers can differ from them in the last bit
        known = ~np.isnan(X)
        where: Any = True if known.all() else known  # sums with a mask are added in another order
        count = known.sum(axes, keepdims=True)
        mean = X.sum(axes, keepdims=True, where=where) / count
        deviation = np.sqrt(np.square(X - mean).sum(axes, keepdims=True, where=where) / count)
        return np.where(constant, least, mean), np.where(constant, 1.0, _not_0(deviation))


def _range(X: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    # NaN only where there is nothing else. Of 0 and -0 NumPy's minimum and fmin may take either
    least, largest = (np.fmin, np.fmax) if np.isnan(X).any() else (np.minimum, np.maximum)
    return least.reduce(X, axes, keepdims=True), largest.reduce(X, axes, keepdims=True)


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
    wrong = np.isinf(X)
    if wrong.any():
        place = np.unravel_index(wrong.argmax(), X.shape)
        raise ValueError(f"X must not contain infinity, got {X[place]} at {_at(place)}")


def _at(place: tuple[Any, ...]) -> str:
    row, *rest = map(int, place)
    if len(rest) == 1:
        return f"row {row}, column {rest[0]}"
    return f"sample {row}, " + (f"channel {rest[0]}" if len(rest) == 3 else f"feature {tuple(rest)}")

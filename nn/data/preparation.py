"""Preparing data: scaling, text labels, one-hot labels, splits, mini-batches, the axes of images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array, as_plain
from ..checks import Seed, flag, generator, is_whole, scalar, shown, whole
from .labels import LabelEncoder, balanced_class_weights, from_one_hot, one_hot
from .scalers import MinMaxScaler, StandardScaler

__all__ = ["LabelEncoder", "MinMaxScaler", "StandardScaler", "balanced_class_weights", "batches", "from_one_hot",
           "one_hot", "to_nchw", "to_nhwc", "train_test_split"]


def train_test_split(X: ArrayLike, y: ArrayLike, *, test: float | int = 0.25, shuffle: bool = True,
                     seed: Seed = None) -> tuple[Array, Array, Array, Array]:
    """Split X and y into X_train, X_test, y_train, y_test.

    test: the number of test samples, or their share of all samples, rounded up.
    shuffle: draw the test samples at random; False takes the last ones.
    seed: a number or a NumPy Generator, for the random order; None gives another order in each run.

    Raises ValueError if either part would be empty, or if X and y differ in length, TypeError for a `test` that is no
    number.
    """
    X, y = as_plain(X, "X"), as_plain(y, "y")
    count = _same_length(X, y)
    test = scalar(test)
    share = isinstance(test, (float, np.floating))
    if not share and not is_whole(test) or share and not 0 < test < 1:
        raise (ValueError if share else TypeError)(
            f"test must be a share between 0 and 1 or a number of samples, got {shown(test)}")
    size = int(np.ceil(test * count)) if share else int(test)
    if not 0 < size < count:
        raise ValueError(f"{count} samples cannot be split into a test of {shown(size)} and a rest")
    random = generator("seed", seed)
    order = random.permutation(count) if flag("shuffle", shuffle) else np.arange(count)
    train, rest = order[:-size], order[-size:]
    return X[train], X[rest], y[train], y[rest]


def batches(X: ArrayLike, y: ArrayLike, batch_size: int, *, shuffle: bool = False,
            seed: Seed = None) -> Iterator[tuple[Array, Array]]:
    """Iterate over pairs of `batch_size` samples and their labels; the last batch may be smaller.

    shuffle: take the samples in random order.
    seed: a number or a NumPy Generator, for that order; None gives another order in each run.

    Raises ValueError for a batch_size below 1 or for X and y of different lengths, when called, not at the first pair.
    """
    X, y = as_plain(X, "X"), as_plain(y, "y")
    count = _same_length(X, y)
    batch_size = whole("batch_size", batch_size)
    random = generator("seed", seed)
    order: Any = random.permutation(count) if flag("shuffle", shuffle) else None
    parts = [slice(start, start + batch_size) for start in range(0, count, batch_size)]
    return ((X[part], y[part]) if order is None else (X[order[part]], y[order[part]]) for part in parts)


def to_nchw(images: ArrayLike) -> Array:
    """Images (N, H, W, C), as Pillow and TensorFlow have them, or grey ones (N, H, W), as (N, C, H, W) with C = 1 for
    grey: a new array of the same dtype.

    Raises TypeError for anything but numbers, ValueError for another number of dimensions.
    """
    found = _numbers(images)
    if found.ndim not in (3, 4):
        raise ValueError(f"images must have shape (N, H, W, C) or (N, H, W), got {found.shape}")
    return np.array(found[:, None] if found.ndim == 3 else found.transpose(0, 3, 1, 2), order="C")


def to_nhwc(images: ArrayLike) -> Array:
    """Images (N, C, H, W) as (N, H, W, C), as Pillow, TensorFlow and Matplotlib take them: a new array of the same
    dtype.

    Raises TypeError for anything but numbers, ValueError for another number of dimensions.
    """
    found = _numbers(images)
    if found.ndim != 4:
        raise ValueError(f"images must have shape (N, C, H, W), got {found.shape}")
    return np.array(found.transpose(0, 2, 3, 1), order="C")


def _numbers(images: ArrayLike) -> Array:
    found = as_plain(images, "images")
    if found.dtype.kind not in "fiub":
        raise TypeError(f"images must contain real numbers, got dtype {found.dtype}")
    return found


def _same_length(X: Array, y: Array) -> int:
    if not X.ndim or not y.ndim or len(X) != len(y):
        raise ValueError(f"X and y must have the same length, got shapes {X.shape} and {y.shape}")
    return len(X)

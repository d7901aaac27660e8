"""The check of labels, which reads them."""

import numpy as np

from . import capture, check
from .compile import loops


@loops
def _outside(labels, classes):
    """The index of the first label outside 0..classes-1, or -1."""
    for i in range(labels.size):
        if labels[i] < 0 or labels[i] >= classes:
            return i
    return -1


@loops(writes=("indices",))
def _as_indices(labels, indices, classes):
    """The same for labels of other dtypes, which are written as int64: from 2^63 on they are negative there."""
    for i in range(labels.size):
        indices[i] = labels[i]
        if indices[i] < 0 or indices[i] >= classes:
            return i
    return -1


def check_labels(y, like_name, like):
    """Labels of the rows of `like` (N, C): int64 indices (N,), or one-hot rows (N, C) in the dtype of `like`."""
    if type(y) is not np.ndarray:
        y = check.view("labels", y)
    rows, classes = like.shape
    if y.ndim == 2:
        if y.dtype.kind not in "fiub":
            raise TypeError(f"one-hot labels must be numbers, got {y.dtype}")
        if y.shape != like.shape:
            raise ValueError(f"one-hot labels must have shape {like.shape} to match {like_name}, got {y.shape}")
        if y.dtype is like.dtype and y.flags.carray:
            return y
        with np.errstate(all="ignore"):  # a float64 beyond float32 is infinity there
            return np.array(y, like.dtype, order="C")
    if y.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers (N,) or one-hot rows (N, {classes}), got {y.dtype} {y.shape}")
    if y.shape != (rows,):
        raise ValueError(f"labels must have shape ({rows},) or {like.shape} to match {like_name}, got {y.shape}")
    if not y.flags.carray or not y.dtype.isnative:
        y = np.array(y, y.dtype.newbyteorder("="), order="C")
    if y.dtype == check.I64:
        indices, bad = y, capture.noting(_outside.serial, check=True)(y, classes)
    else:
        indices = np.empty(y.shape, np.int64)
        bad = capture.noting(_as_indices.serial, check=True)(y, indices, classes)
    if bad >= 0:
        raise ValueError(f"labels must lie in 0..{classes - 1}, got {y[bad]} at index {bad}")
    return indices

"""Scores of the predictions of a trained model on data with known labels.

    outputs = model.predict(X)
    print(nn.scores.confusion_matrix(outputs, y))
    print(nn.scores.precision_recall_f1(outputs, y).f1)

Counts and exact sums (`math.fsum`) in float64 give the same bits on every machine. Outputs are the first argument, as
in a metric's `calculate`; in scikit-learn y is.

Predictions of classes are class numbers (N,), or outputs (N, C), of which the largest in each row counts, the first of
equals. In a single column (N, 1) of probabilities, those above `threshold` are class 1, the others class 0. Labels y
are class numbers (N,), or one-hot rows (N, C). Both may be a column (N, 1) of class numbers; predictions then must be
integers. The number of `classes` is the number of columns of outputs or rows. Without columns and without `classes` it
is one more than the largest class number, and at least 2 for a column (N, 1).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FLOAT64, INT64, Array, as_floats, as_labels, as_plain, within
from ..checks import shown, whole
from ..targets import as_threshold, not_one_hot

MOST = 1 << 15  # classes, whose matrix takes 8 GiB: a wrong label should not fill the memory


def confusion_matrix(predictions: ArrayLike, y: ArrayLike, classes: int | None = None, *,
                     threshold: float = 0.5) -> Array:
    """How many samples of each true class (row) were predicted to be of each class (column): (classes, classes) int64.

    predictions, y, classes, threshold: see above.

    Raises TypeError for labels that are not numbers, ValueError for class numbers that are not whole, no samples, NaN,
    rows of y that are not one-hot, a class outside 0..classes-1, or shapes that do not fit.
    """
    found, columns = _predicted(predictions, as_threshold("threshold", threshold))
    labels, label_columns = _true_classes(y)
    if len(found) != len(labels):
        raise ValueError(f"predictions and y must have the same length, got {len(found)} and {len(labels)}")
    if not len(found):
        raise ValueError("scores need at least one sample")
    if classes is not None:
        classes = whole("classes", classes)
    told = [number for number in (columns, label_columns, classes) if number is not None]
    if len(set(told)) > 1:
        raise ValueError("predictions, y and classes must agree in the number of classes, got "
                         + " and ".join(map(shown, told)))
    count = int(told[0]) if told else int(max(found.max(), labels.max())) + 1
    if not told and (1,) in (np.shape(predictions)[1:], np.shape(y)[1:]):
        count = max(count, 2)
    if count > MOST:
        raise ValueError(f"y and predictions must be class numbers of at most {MOST} classes, got {shown(count)}")
    cells = within("y", labels, count) * count + within("predictions", found, count)
    return np.bincount(cells, minlength=count * count).reshape(count, count).astype(INT64, copy=False)


class Averages(NamedTuple):
    """Precision, recall and F1, averaged over the classes."""

    precision: float
    recall: float
    f1: float


class ClassScores(NamedTuple):
    """What `precision_recall_f1` returns: arrays (classes,) with a number for each class, and their averages."""

    precision: Array
    recall: Array
    f1: Array
    support: Array
    macro: Averages
    micro: Averages


def precision_recall_f1(predictions: ArrayLike, y: ArrayLike, classes: int | None = None, *,
                        threshold: float = 0.5) -> ClassScores:
    """Precision, recall and F1 of each class, with TP samples of the class that were predicted to be of it:

    precision: TP / all predicted to be of the class, float64.
    recall: TP / all samples of the class, float64.
    f1: 2 TP / the sum of both denominators, float64.
    support: the number of samples of the class, int64.
    macro: the mean over all classes, including those that do not occur.
    micro: computed from the sums over all classes; all three are then the share of correct predictions.

    A quotient by 0 is 0: scikit-learn with zero_division=0 and labels=range(classes). Of two classes, the scores of
    class 1 are those that scikit-learn calls binary. Arguments and errors are those of `confusion_matrix`.
    """
    matrix = confusion_matrix(predictions, y, classes, threshold=threshold)
    right, predicted, support = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)
    precision, recall, f1 = zip(*map(_quotients, right.tolist(), predicted.tolist(), support.tolist()))
    macro = Averages(*(math.fsum(values) / len(values) for values in (precision, recall, f1)))
    micro = Averages(*_quotients(int(right.sum()), int(predicted.sum()), int(support.sum())))
    return ClassScores(np.array(precision), np.array(recall), np.array(f1), support, macro, micro)


def _quotients(right: int, predicted: int, support: int) -> list[float]:
    return [top / bottom if bottom else 0.0
            for top, bottom in ((right, predicted), (right, support), (2 * right, predicted + support))]


def r2_score(outputs: ArrayLike, y: ArrayLike) -> float:
    """The coefficient of determination R^2, 1 - sum((y - outputs)^2) / sum((y - mean(y))^2), averaged over the columns.

    outputs, y: real numbers (N, C), or (N,) for a single column, N at least 2.

    1 is perfect, 0 is as good as the mean of y, and worse is negative. A constant column of y scores 1 if the outputs
    equal it exactly, else 0, as in scikit-learn.

    Raises TypeError for anything but real numbers, ValueError for fewer than 2 samples, shapes that do not fit, NaN or
    infinity.
    """
    scores = []
    for found, wish in _columns(outputs, y):
        if len(wish) < 2:
            raise ValueError(f"R^2 needs at least 2 samples, got {len(wish)}")
        error, scale = _squares(found, wish)
        # the mean of equal numbers can differ from them in the last bit
        if min(wish) == max(wish):
            scores.append(float(error == 0))
            continue
        spread, other = _squares(wish, [_mean(wish)] * len(wish))
        scores.append(1 - _times(error / spread, 2 * (scale - other)))
    return _mean(scores)


def root_mean_squared_error(outputs: ArrayLike, y: ArrayLike) -> float:
    """sqrt(mean((y - outputs)^2)) in the units of y, averaged over the columns.

    outputs, y: real numbers (N, C), or (N,) for a single column.

    Raises TypeError for anything but real numbers, ValueError for no samples, shapes that do not fit, NaN or infinity.
    """
    errors = []
    for found, wish in _columns(outputs, y):
        error, scale = _squares(found, wish)
        errors.append(_times(math.sqrt(error / len(wish)), scale))
    return _mean(errors)


def _squares(a: list[float], b: list[float]) -> tuple[float, int]:
    """A sum and n: the squares of the differences add up to sum * 4^n, which could overflow or vanish."""
    halves = [x / 2 - y / 2 for x, y in zip(a, b)]
    scale = math.frexp(max(map(abs, halves)))[1]
    halves = [math.ldexp(half, -scale) for half in halves]
    return math.fsum([half * half for half in halves]), scale + 1


def _mean(values: list[float]) -> float:
    scale = math.frexp(max(map(abs, values)))[1]  # the sum could overflow
    return _times(math.fsum([math.ldexp(value, -scale) for value in values]) / len(values), scale)


def _times(value: float, scale: int) -> float:
    """value * 2^scale."""
    try:
        return math.ldexp(value, scale)
    except OverflowError:
        return math.copysign(math.inf, value)


def _columns(outputs: ArrayLike, y: ArrayLike) -> list[tuple[list[float], list[float]]]:
    found, wish = as_floats(outputs, FLOAT64, "outputs"), as_floats(y, FLOAT64, "y")
    shapes = found.shape, wish.shape
    if found.ndim == 1:
        found = found[:, None]
    if wish.ndim == 1:
        wish = wish[:, None]
    if found.ndim != 2 or found.shape != wish.shape:
        raise ValueError(f"outputs and y must have the same shape, (N, C) or (N,), got {shapes[0]} and {shapes[1]}"
                         + _remedy(found))
    if not found.size:
        raise ValueError("scores need at least one sample")
    for name, values in (("outputs", found), ("y", wish)):
        _without(name, values, ~np.isfinite(values), "finite")
    return list(zip(found.T.tolist(), wish.T.tolist()))


def _predicted(predictions: ArrayLike, threshold: float) -> tuple[Array, int | None]:
    # class numbers, and how many classes the columns tell
    found = as_plain(predictions, "predictions")
    if found.ndim == 1 or found.shape[1:] == (1,) and found.dtype.kind in "iu":
        if found.dtype.kind == "f" and (wrong := np.flatnonzero(found != np.rint(found))).size:
            raise ValueError("predictions (N,) must be whole numbers, those of classes; outputs have shape (N, C), "
                             f"here perhaps (N, 1); got {found[wrong[0]]} at index {wrong[0]}")
        return as_labels(predictions, FLOAT64, name="predictions"), None
    outputs = as_floats(predictions, name="predictions")
    if outputs.ndim != 2 or not outputs.shape[1]:
        raise ValueError(f"predictions must have shape (N,) or (N, C), got {outputs.shape}{_remedy(outputs)}")
    _without("predictions", outputs, np.isnan(outputs), "numbers")
    if outputs.shape[1] == 1:
        with np.errstate(over="ignore"):  # of a threshold beyond float32
            return (outputs[:, 0] > threshold).astype(INT64), 2
    return outputs.argmax(axis=1).astype(INT64, copy=False), outputs.shape[1]


def _remedy(outputs: Array) -> str:
    # scikit-learn takes no more than two dimensions either
    return f": reshape both, outputs to (-1, {outputs.shape[-1]})" if outputs.ndim > 2 and outputs.shape[-1] else ""


def _true_classes(y: ArrayLike) -> tuple[Array, int | None]:
    # class numbers, and how many classes the columns of one-hot rows tell
    labels = as_labels(y, FLOAT64)
    if labels.ndim == 1:
        return labels, None
    wrong = np.flatnonzero(not_one_hot(labels))
    if len(wrong):
        raise ValueError(f"y (N, C) must be one-hot: a single 1 in each row, else 0, got another row {wrong[0]}")
    return labels.argmax(axis=1).astype(INT64, copy=False), labels.shape[1]


def _without(name: str, values: Array, wrong: Array, wish: str) -> None:
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        raise ValueError(f"{name} must be {wish}, got {values[row, column]} in row {row}")

"""Metrics: what a training reports beside its loss."""

import numpy as np
from numpy.typing import ArrayLike

from . import backend
from .arrays import FLOAT32, as_floats, as_labels


class Accuracy:
    """The share of samples whose largest output is at the labelled class, the first of equals counting."""

    accumulated_sum: int = 0
    accumulated_count: int = 0

    def new_pass(self) -> None:
        """Forget the accumulated batches."""
        self.accumulated_sum = 0
        self.accumulated_count = 0

    def calculate(self, outputs: ArrayLike, y: ArrayLike) -> float:
        """The accuracy of outputs (N, C), or of predicted class numbers (N,), against labels (N,) or one-hot (N, C).

        The batch then counts in `calculate_accumulated`. Raises ValueError for an empty batch or unequal lengths.
        """
        scores = outputs if isinstance(outputs, np.ndarray) else np.asarray(outputs)
        count = len(scores)
        if not count:
            raise ValueError("accuracy of an empty batch")
        if scores.ndim == 1:
            labels = as_labels(y, FLOAT32)
            if labels.ndim == 2:
                labels = labels.argmax(axis=1)
            if len(labels) != count:
                raise ValueError(f"predictions and labels must have one length, got {count} and {len(labels)}")
            correct = int(np.count_nonzero(as_labels(scores, FLOAT32) == labels))
        else:
            scores = as_floats(scores, name="outputs")
            correct = backend.ops.categorical_accuracy.forward(scores, as_labels(y, scores.dtype))
        return self.count(correct, count)

    def count(self, correct: int, samples: int) -> float:
        """The accuracy of a batch, which then counts in `calculate_accumulated`."""
        self.accumulated_sum += correct
        self.accumulated_count += samples
        return correct / samples

    def calculate_accumulated(self) -> float:
        """The accuracy over all samples since `new_pass`. Raises RuntimeError when there are none."""
        if not self.accumulated_count:
            raise RuntimeError("no samples since new_pass: call calculate first")
        return self.accumulated_sum / self.accumulated_count

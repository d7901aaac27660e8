"""Losses: a value for each sample, the mean over a batch, and the gradient of that mean.

Class labels are integers or floats with integer values, of shape (N,), or (N, 1) if there is more than one output; or
rows (N, C) with a share for each class, such as one-hot. `preparation.LabelEncoder` turns text labels into class
numbers. Targets of the other losses have the shape of the outputs (N, C), or (N,) for a single output.

Outputs (N, ..., C), such as (N, T, C) of sequences, have a label or target for each position: (N, ...), (N, ..., 1) or
(N, ..., C). A loss is then a value for each position, (N, ...), and its mean is that over all positions.

The weight of a sample multiplies its loss. It is the product of its `sample_weight`, (N,) for samples or (N, ...) for
positions, and the `class_weights` of its class; for rows of labels, of the class with the largest share.
`class_weights` can be

- a list with a number of at least 0 for each class,
- a dict such as {1: 5.0}, in which missing classes have the weight 1,
- "balanced": labels / (classes * count of the class), computed from the labels that `Model.train` gets, among which
  each class must occur; in a hand-written loop, call `loss.prepare(y)` first.

The mean divides by the number of losses, not by the sum of weights, as in Keras and scikit-learn. (PyTorch's class
weights divide by the sum of weights of each batch.)
"""

from .base import Loss
from .categorical import (CategoricalCrossentropy, NegativeLogLikelihood, SoftmaxCategoricalCrossentropy,
                          _Categorical)
from .elementwise import BinaryCrossentropy, Huber, MeanAbsoluteError, MeanSquaredError, SigmoidBinaryCrossentropy

__all__ = ["BinaryCrossentropy", "CategoricalCrossentropy", "Huber", "Loss", "MeanAbsoluteError", "MeanSquaredError",
           "NegativeLogLikelihood", "SigmoidBinaryCrossentropy", "SoftmaxCategoricalCrossentropy", "_Categorical"]

"""Layers, losses, optimizers and models on nnjit's kernels, after "Neural Networks from Scratch in Python".

    import numpy as np
    from nnjit import nn

    X, y = nn.datasets.spiral(samples=100, classes=3, seed=0)
    rng = np.random.default_rng(0)
    model = nn.Model()
    model.add(nn.Dense(2, 64, activation="relu", rng=rng))
    model.add(nn.Dense(64, 3, rng=rng))
    model.add(nn.Softmax())
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.05, decay=5e-7), accuracy=nn.Accuracy())
    model.finalize()
    model.train(X, y, epochs=1000)
    print(model.evaluate(X, y))

`nn.use("numpy")` runs the same on plain NumPy, `nn.use("numba")` on the compiled kernels, which is the default.
"""

from . import callbacks, datasets, initializers, preparation, schedules, scores
from .backend import use
from .gradients import check_gradients
from .history import History
from .layers import (ELU, GELU, Dense, Dropout, Flatten, Input, LeakyReLU, Linear, LogSoftmax, ReLU, Sequential, SiLU,
                     Sigmoid, Softmax, Softplus, Step, Tanh)
from .losses import (BinaryCrossentropy, CategoricalCrossentropy, Huber, MeanAbsoluteError, MeanSquaredError,
                     NegativeLogLikelihood, SigmoidBinaryCrossentropy, SoftmaxCategoricalCrossentropy)
from .metrics import Accuracy, BinaryAccuracy, RegressionAccuracy, TopKAccuracy
from .model import Model, StopTraining
from .optimizers import SGD, Adagrad, Adam, AdamW, RMSprop, clip_gradients

__all__ = ["ELU", "GELU", "SGD", "Accuracy", "Adagrad", "Adam", "AdamW", "BinaryAccuracy", "BinaryCrossentropy",
           "CategoricalCrossentropy", "Dense", "Dropout", "Flatten", "History", "Huber", "Input", "LeakyReLU", "Linear",
           "LogSoftmax", "MeanAbsoluteError", "MeanSquaredError", "Model", "NegativeLogLikelihood", "RMSprop", "ReLU",
           "RegressionAccuracy", "Sequential", "SiLU", "Sigmoid", "SigmoidBinaryCrossentropy", "Softmax",
           "SoftmaxCategoricalCrossentropy", "Softplus", "Step", "StopTraining", "Tanh", "TopKAccuracy", "callbacks",
           "check_gradients", "clip_gradients", "datasets", "initializers", "preparation", "schedules", "scores", "use"]

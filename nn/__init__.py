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

from . import callbacks, datasets, initializers, preparation, schedules
from .backend import use
from .gradients import check_gradients
from .layers import (ELU, GELU, Dense, Dropout, Flatten, LeakyReLU, Linear, LogSoftmax, ReLU, Sigmoid, SiLU, Softmax,
                     Softplus, Step, Tanh)
from .losses import (BinaryCrossentropy, CategoricalCrossentropy, Huber, MeanAbsoluteError, MeanSquaredError,
                     SoftmaxCategoricalCrossentropy)
from .metrics import Accuracy, BinaryAccuracy, RegressionAccuracy
from .model import Model, StopTraining
from .optimizers import SGD, Adagrad, Adam, AdamW, RMSprop

__all__ = ["ELU", "GELU", "SGD", "Accuracy", "Adagrad", "Adam", "AdamW", "BinaryAccuracy", "BinaryCrossentropy",
           "CategoricalCrossentropy", "Dense", "Dropout", "Flatten", "Huber", "LeakyReLU", "Linear", "LogSoftmax",
           "MeanAbsoluteError", "MeanSquaredError", "Model", "RMSprop", "ReLU", "RegressionAccuracy", "SiLU", "Sigmoid",
           "Softmax", "SoftmaxCategoricalCrossentropy", "Softplus", "Step", "StopTraining", "Tanh", "callbacks",
           "check_gradients", "datasets", "initializers", "preparation", "schedules", "use"]

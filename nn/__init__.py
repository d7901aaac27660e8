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

from . import datasets
from .backend import use
from .layers import Dense, ReLU, Sigmoid, Softmax, Tanh
from .losses import CategoricalCrossentropy, SoftmaxCategoricalCrossentropy
from .metrics import Accuracy
from .model import Model
from .optimizers import SGD, Adam

__all__ = ["SGD", "Accuracy", "Adam", "CategoricalCrossentropy", "Dense", "Model", "ReLU", "Sigmoid", "Softmax",
           "SoftmaxCategoricalCrossentropy", "Tanh", "datasets", "use"]

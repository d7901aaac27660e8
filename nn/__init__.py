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

import sys
from typing import TYPE_CHECKING, Any

from . import data, initializers, nnfs, schedules
from .backend import use
from .data import datasets, preparation
from .inspect import scores
from .layers import (ELU, GELU, AvgPool2d, BatchNorm, Conv2d, ConvTranspose2d, Dense, Dropout, Dropout2d, Flatten,
                     GlobalAvgPool2d, Hardswish, Identity, Input, LayerNorm, LeakyReLU, Linear, LogSoftmax, MaxPool2d,
                     Parallel, ReLU, ReLU6, Rescale, Reshape, Residual, Sequential, SiLU, Sigmoid, Softmax, Softplus,
                     Step, Tanh, Upsample)
from .losses import (BinaryCrossentropy, CategoricalCrossentropy, Huber, MeanAbsoluteError, MeanSquaredError,
                     NegativeLogLikelihood, SigmoidBinaryCrossentropy, SoftmaxCategoricalCrossentropy)
from .metrics import Accuracy, BinaryAccuracy, RegressionAccuracy, TopKAccuracy
from .optimizers import SGD, Adagrad, Adam, AdamW, RMSprop, clip_gradients
from .training import callbacks
from .training.history import History
from .training.model import Model, StopTraining

if TYPE_CHECKING:
    from . import models
    from .inspect.gradients import check_gradients
    from .inspect.summary import summary

for _module in (callbacks, datasets, preparation, scores):  # `import nnjit.nn.datasets`, wherever it stands
    sys.modules[f"{__name__}.{_module.__name__.rpartition('.')[2]}"] = _module

__all__ = ["ELU", "GELU", "SGD", "Accuracy", "Adagrad", "Adam", "AdamW", "AvgPool2d", "BatchNorm", "BinaryAccuracy",
           "BinaryCrossentropy", "CategoricalCrossentropy", "Conv2d", "ConvTranspose2d", "Dense", "Dropout",
           "Dropout2d", "Flatten", "GlobalAvgPool2d", "Hardswish", "History", "Huber", "Identity", "Input", "LayerNorm",
           "LeakyReLU", "Linear", "LogSoftmax", "MaxPool2d", "MeanAbsoluteError", "MeanSquaredError", "Model",
           "NegativeLogLikelihood", "Parallel", "RMSprop", "ReLU", "ReLU6", "RegressionAccuracy", "Rescale", "Reshape",
           "Residual", "Sequential", "SiLU", "Sigmoid", "SigmoidBinaryCrossentropy", "Softmax",
           "SoftmaxCategoricalCrossentropy", "Softplus", "Step", "StopTraining", "Tanh", "TopKAccuracy", "Upsample",
           "callbacks", "check_gradients", "clip_gradients", "data", "datasets", "initializers", "models", "nnfs",
           "preparation", "schedules", "scores", "summary", "use"]


def __getattr__(name: str) -> Any:
    # imported when they are first asked for: they take 4 ms, which few programs need
    if name == "check_gradients":
        from .inspect.gradients import check_gradients
        return check_gradients
    if name == "summary":
        from .inspect.summary import summary
        return summary
    if name == "models":
        from .models import lenet5  # noqa: F401: `from . import models` would ask this function
        return sys.modules[f"{__name__}.models"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

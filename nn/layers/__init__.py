"""Layers: parameters, and a kernel for forward and one for backward.

`y = layer.forward(x)` and `dx = layer.backward(dy)`. The arrays of the last call are kept in `inputs`, `output` and
`dinputs`, for layers with parameters also in `dweights` and `dbiases`; copies and pickles leave them out. Every call
returns new arrays.
"""

from .activations import (ELU, GELU, Hardswish, LeakyReLU, Linear, LogSoftmax, ReLU, ReLU6, SiLU, Sigmoid, Softmax,
                          Softplus, Step, Tanh)
from .base import (LOGARITHMS, NUMBERS, PASSED, PROBABILITIES, SHARES, Layer, Shape, _Layer, add_penalty_gradients,
                   penalties_of, prepares, result)
from .containers import (Identity, Residual, Sequential, _Container, backward, check_use, entering, forward,
                         is_trainable, shape_of, shape_through, trained, unfolded, with_parameters)
from .conv import Conv2d, ConvTranspose2d
from .copies import stand_in
from .dense import Dense
from .dropout import Dropout, Dropout2d
from .normalization import BatchNorm, LayerNorm
from .parallel import Parallel
from .pooling import AvgPool2d, GlobalAvgPool2d, MaxPool2d, Upsample
from .rescale import Rescale
from .shape import Flatten, Input, Reshape, as_shape
from .weighted import _Weighted

__all__ = ["AvgPool2d", "BatchNorm", "Conv2d", "ConvTranspose2d", "Dense", "Dropout", "Dropout2d", "ELU", "Flatten",
           "GELU", "GlobalAvgPool2d", "Hardswish", "Identity", "Input", "LOGARITHMS", "Layer", "LayerNorm", "LeakyReLU",
           "Linear", "LogSoftmax", "MaxPool2d", "NUMBERS", "PASSED", "PROBABILITIES", "Parallel", "ReLU", "ReLU6",
           "Rescale", "Reshape", "Residual", "SHARES", "Sequential", "Shape", "SiLU", "Sigmoid", "Softmax", "Softplus",
           "Step", "Tanh", "Upsample", "_Container", "_Layer", "_Weighted", "add_penalty_gradients", "as_shape",
           "backward", "check_use", "entering", "forward", "is_trainable", "penalties_of", "prepares", "result",
           "shape_of", "shape_through", "stand_in", "trained", "unfolded", "with_parameters"]

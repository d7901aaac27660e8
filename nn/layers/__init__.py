"""Layers: parameters, and one kernel call each way.

`y = layer.forward(x)` and `dx = layer.backward(dy)`. The arrays of the last call are kept in `inputs`, `output` and
`dinputs`, for layers with parameters also in `dweights` and `dbiases`; copies and pickles leave them out. Every call
returns new arrays.
"""

from .activations import (ELU, GELU, Hardswish, LeakyReLU, Linear, LogSoftmax, ReLU, SiLU, Sigmoid, Softmax, Softplus,
                          Step, Tanh)
from .base import (LOGARITHMS, NUMBERS, PASSED, PROBABILITIES, SHARES, Layer, Shape, _Layer, add_penalty_gradients,
                   penalties_of, prepares, result)
from .containers import (Identity, Residual, Sequential, _Container, backward, check_use, entering, forward,
                         is_trainable, shape_of, shape_through, trained, unfolded, with_parameters)
from .copies import stand_in
from .dense import Dense
from .dropout import Dropout
from .parallel import Parallel
from .shape import Flatten, Input, as_shape

__all__ = ["Dense", "Dropout", "ELU", "Flatten", "GELU", "Hardswish", "Identity", "Input", "LOGARITHMS", "Layer",
           "LeakyReLU", "Linear", "LogSoftmax", "NUMBERS", "PASSED", "PROBABILITIES", "Parallel", "ReLU", "Residual",
           "SHARES", "Sequential", "Shape", "SiLU", "Sigmoid", "Softmax", "Softplus", "Step", "Tanh", "_Container",
           "_Layer", "add_penalty_gradients", "as_shape", "backward", "check_use", "entering", "forward",
           "is_trainable", "penalties_of", "prepares", "result", "shape_of", "shape_through", "stand_in", "trained",
           "unfolded", "with_parameters"]

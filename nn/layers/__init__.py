"""Layers: parameters, and one kernel call each way.

`y = layer.forward(x)` and `dx = layer.backward(dy)`. The arrays of the last call are kept in `inputs`, `output` and
`dinputs`, for layers with parameters also in `dweights` and `dbiases`; copies and pickles leave them out. Every call
returns new arrays.
"""

from .activations import ELU, GELU, LeakyReLU, Linear, LogSoftmax, ReLU, SiLU, Sigmoid, Softmax, Softplus, Step, Tanh
from .base import LOGARITHMS, Layer, NUMBERS, PASSED, PROBABILITIES, SHARES, penalty
from .containers import Sequential, check_use, trained, unfolded, with_weights
from .dense import Dense
from .dropout import Dropout
from .shape import Flatten, Input

__all__ = ["Dense", "Dropout", "ELU", "Flatten", "GELU", "Input", "LOGARITHMS", "Layer", "LeakyReLU", "Linear",
           "LogSoftmax", "NUMBERS", "PASSED", "PROBABILITIES", "ReLU", "SHARES", "Sequential", "SiLU", "Sigmoid",
           "Softmax", "Softplus", "Step", "Tanh", "check_use", "penalty", "trained", "unfolded", "with_weights"]

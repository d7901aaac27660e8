"""Compiled kernels: each module is an operation, its functions the verbs `forward`, `backward` and `step`.

Every kernel keeps these promises:

- A result depends on the inputs alone, to the bit: not on the number of threads, the run, the CPU's vectors or how
  the work is split. Products are one chain of fused multiply-adds over ascending k; sums along a row use 16 lanes
  (float32) or 8 (float64) folded by halves; sums over a batch add fixed blocks in order; exp, log, tanh, sigmoid
  and similar functions are our own, and so are random numbers: each depends only on a seed, a stream and its
  index; nothing is compiled with fast-math.
- float32 stays float32, float64 stays float64; inputs are never modified; NaN and infinities propagate.
- Arguments are checked: TypeError for a wrong kind, ValueError for a wrong value, naming the argument.
- `out=` gives the arrays to write (a tuple if several are returned, None for those to allocate). `parallel=None`
  decides by size, True and False override.

Letters of shapes: N rows (the batch), C features or channels or classes, K features summed over; M, K, N in a matrix
product a (M, K) b (K, N). x is an input, y an output, p probabilities, w weights, b bias, d<name> the gradient of the
loss with respect to <name>.
"""

from . import (adagrad, adam, add, binary_accuracy, binary_cross_entropy, categorical_accuracy,
               categorical_cross_entropy, clip_norm, concatenate, dense, dropout, elu, gelu, hardswish, huber,
               leaky_relu, linear, log_softmax, matmul, mean, mean_absolute_error, mean_squared_error, multiply,
               negative_log_likelihood, normal, penalty, regression_accuracy, relu, rmsprop, scale_rows, sgd, sigmoid,
               sigmoid_cross_entropy, silu, softmax, softmax_cross_entropy, softplus, split, step, tanh)
from .core.cache import before_compiling
from .core.capture import capture
from .core.compile import Checked
from .core.info import info
from .core.threads import get_num_threads, set_num_threads
from .core.replay import Replay

__all__ = ["adagrad", "adam", "add", "binary_accuracy", "binary_cross_entropy", "categorical_accuracy",
           "categorical_cross_entropy", "clip_norm", "concatenate", "dense", "dropout", "elu", "gelu", "hardswish",
           "huber", "leaky_relu", "linear", "log_softmax", "matmul", "mean", "mean_absolute_error",
           "mean_squared_error", "multiply", "negative_log_likelihood", "normal", "penalty", "regression_accuracy",
           "relu", "rmsprop", "scale_rows", "sgd", "sigmoid", "sigmoid_cross_entropy", "silu", "softmax",
           "softmax_cross_entropy", "softplus", "split", "step", "tanh", "Checked", "Replay", "before_compiling",
           "capture", "get_num_threads", "info", "set_num_threads"]

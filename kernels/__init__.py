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
product a (M, K) b (K, N). Of images (N, C, H, W) H and W are rows and columns, of outputs (N, O, P, Q) P and Q; O are
channels out, I those of a group, K and L rows and columns of a window of weights. x is an input, y an output, p
probabilities, w weights, b bias, d<name> the gradient of the loss with respect to <name>.
"""

from importlib import import_module
from types import ModuleType

from .core.cache import before_compiling
from .core.capture import capture
from .core.compile import Checked
from .core.invoke import address
from .core.replay import Replay
from .core.signals import alone
from .core.threads import get_num_threads, set_num_threads

OPERATIONS = (
    "adagrad", "adam", "add", "avg_pool2d", "batch_norm", "binary_accuracy", "binary_cross_entropy",
    "categorical_accuracy", "categorical_cross_entropy", "clip_norm", "concatenate", "conv2d", "conv_transpose2d",
    "dense", "dropout", "elu", "gelu", "global_avg_pool", "hardswish", "huber", "layer_norm", "leaky_relu", "linear",
    "log_softmax", "matmul", "max_pool2d", "mean", "mean_absolute_error", "mean_squared_error", "multiply",
    "negative_log_likelihood", "normal", "penalty", "regression_accuracy", "relu", "relu6", "rmsprop",
    "scale_channels", "scale_rows", "sgd", "sigmoid", "sigmoid_cross_entropy", "silu", "softmax",
    "softmax_cross_entropy", "softplus", "split", "step", "tanh", "upsample")

__all__ = [*OPERATIONS, "Checked", "Replay", "address", "before_compiling", "capture", "get_num_threads", "info",
           "set_num_threads"]


def info() -> dict[str, str]:
    """Versions, CPU, threads and cache, as text by name."""
    from .core.info import info
    return info()


def __getattr__(name: str) -> ModuleType:
    # an operation is imported when it is first asked for: all of them take 40 ms, and a training needs a few
    if name in OPERATIONS:
        return alone(import_module, f".{name}", __name__)  # whole, even if a signal arrives
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

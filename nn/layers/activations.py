"""Activations, each with a kernel for forward and one for backward."""

from __future__ import annotations

from numpy.typing import ArrayLike

from .. import backend
from ..arrays import Array, as_array, as_floats
from ..checks import finite, flag, positive, rename
from .base import LOGARITHMS, NUMBERS, PASSED, PROBABILITIES, SHARES, _Layer


class _Activation(_Layer):
    # a subclass names its operation, and says if its backward takes x instead of y
    operation = ""
    of_inputs = False
    _gives = NUMBERS

    def __init__(self) -> None:
        self._options: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self._options.items())})"

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The outputs for inputs (N, C). Other dtypes than float32 and float64 become float32."""
        flag("training", training)
        self.inputs = inputs = as_floats(inputs)
        try:
            self.output = y = getattr(backend.ops, self.operation).forward(inputs, **self._options)
        except (TypeError, ValueError) as error:
            rename(error, x="inputs")
            raise
        return y

    def backward(self, dvalues: ArrayLike) -> Array:
        """The gradient (N, C) of the loss with respect to the inputs, given that of the outputs."""
        seen = self.inputs if self.of_inputs else self.output
        if seen is None:
            raise RuntimeError("call forward before backward")
        dvalues = as_floats(dvalues, seen.dtype, "dvalues", infinite=True)
        try:
            self.dinputs = dx = getattr(backend.ops, self.operation).backward(dvalues, seen, **self._options)
        except (TypeError, ValueError) as error:
            rename(error, dy="dvalues", x="inputs", y="output")
            raise
        return dx

    def predictions(self, outputs: ArrayLike) -> Array:
        """Predictions from the last outputs: class numbers after softmax, 0 or 1 after sigmoid, else the outputs."""
        return as_array(outputs, "outputs")


class Linear(_Activation):
    """y = x."""

    operation = "linear"
    _gives = PASSED


class Step(_Activation):
    """y = 1 where x > 0, else 0, as in a perceptron. Its derivative is 0, so layers before it do not learn."""

    operation = "step"

    def predictions(self, outputs: ArrayLike) -> Array:
        return (as_array(outputs, "outputs") > 0.5) * 1


class ReLU(_Activation):
    """y = max(x, 0)."""

    operation = "relu"


class ReLU6(_Activation):
    """y = min(max(x, 0), 6), as in MobileNet (Howard et al. 2017)."""

    operation = "relu6"


class LeakyReLU(_Activation):
    """y = x where x > 0, else negative_slope * x (Maas et al. 2013)."""

    operation = "leaky_relu"

    def __init__(self, negative_slope: float = 0.01) -> None:
        self._options = {"negative_slope": finite("negative_slope", negative_slope)}

    @property
    def negative_slope(self) -> float:
        return self._options["negative_slope"]


class ELU(_Activation):
    """y = x where x > 0, else alpha * (exp(x) - 1), alpha > 0 (Clevert et al. 2016)."""

    operation = "elu"

    def __init__(self, alpha: float = 1.0) -> None:
        self._options = {"alpha": positive("alpha", alpha)}

    @property
    def alpha(self) -> float:
        return self._options["alpha"]


class GELU(_Activation):
    """y = x Phi(x), Phi the distribution function of the normal distribution (Hendrycks, Gimpel 2016)."""

    operation, of_inputs = "gelu", True


class SiLU(_Activation):
    """y = x sigmoid(x), also called swish (Elfwing et al. 2018)."""

    operation, of_inputs = "silu", True


class Hardswish(_Activation):
    """y = x clip(x + 3, 0, 6) / 6, SiLU approximated by straight lines (Howard et al. 2019)."""

    operation, of_inputs = "hardswish", True


class Softplus(_Activation):
    """y = log(1 + exp x)."""

    operation, of_inputs = "softplus", True


class Sigmoid(_Activation):
    """y = 1 / (1 + exp(-x)).

    A Model joins it with a following BinaryCrossentropy into one operation.
    """

    operation = "sigmoid"
    _gives = PROBABILITIES

    def predictions(self, outputs: ArrayLike) -> Array:
        return (as_array(outputs, "outputs") > 0.5) * 1


class Tanh(_Activation):
    """y = tanh x."""

    operation = "tanh"


class Softmax(_Activation):
    """y[i, j] = exp x[i, j] / sum over k of exp x[i, k]: each row becomes probabilities.

    A Model joins it with a following CategoricalCrossentropy into one operation.
    """

    operation = "softmax"
    _gives = SHARES

    def predictions(self, outputs: ArrayLike) -> Array:
        return as_array(outputs, "outputs").argmax(axis=-1)


class LogSoftmax(_Activation):
    """The logarithm of softmax: log-probabilities, for NegativeLogLikelihood."""

    operation = "log_softmax"
    _gives = LOGARITHMS

    def predictions(self, outputs: ArrayLike) -> Array:
        return as_array(outputs, "outputs").argmax(axis=-1)

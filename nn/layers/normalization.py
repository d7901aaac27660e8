"""Normalization: of channels over a batch, and of the last axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .. import backend
from ..arrays import Array, as_floats, float_dtype, room
from ..checks import checked, flag, positive, real, rename, whole
from .base import NUMBERS, Shape, _Layer


def _momentum(name: str, value: Any) -> float:
    found = real(name, value)
    if not 0 <= found <= 1:
        raise ValueError(f"{name} must be in 0..1, got {found}")
    return found


class _Normalization(_Layer):
    parameter_names = ("gamma", "beta")
    _gives = NUMBERS
    dgamma: Array | None = None
    dbeta: Array | None = None
    last_mean: Array | None = None  # of the last call, with 1 / sqrt(variance + eps)
    last_scale: Array | None = None
    eps: float = checked(positive)
    num_features: int
    dtype: np.dtype[Any]
    _kept: tuple[str, ...] = ("gamma", "beta")  # arrays of num_features, attributes with an underscore before

    def _begin(self, num_features: int, eps: float, dtype: DTypeLike) -> None:
        self.num_features, self.eps, self.dtype = whole("num_features", num_features), eps, float_dtype(dtype)
        with room("gamma (num_features,)", (self.num_features,)):
            for name in self._kept:
                fill = np.ones if name in ("gamma", "running_variance") else np.zeros
                vars(self)[f"_{name}"] = fill(self.num_features, dtype=self.dtype)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.dtype = float_dtype(self.dtype)  # see Dense
        for name in self._kept:
            self._set(name, state[f"_{name}"])

    def _set(self, name: str, values: ArrayLike) -> None:
        self._check_thread()
        found = as_floats(values, self.dtype, name)
        if found.shape != (self.num_features,):
            raise ValueError(f"{name} must have shape ({self.num_features},), got {found.shape}")
        vars(self)[f"_{name}"] = np.array(found, order="C", copy=True)[:]

    @property
    def gamma(self) -> Array:
        return vars(self)["_gamma"]

    @gamma.setter
    def gamma(self, values: ArrayLike) -> None:
        self._set("gamma", values)

    @property
    def beta(self) -> Array:
        return vars(self)["_beta"]

    @beta.setter
    def beta(self, values: ArrayLike) -> None:
        self._set("beta", values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_features})"

    def _gradients(self, dvalues: Array) -> tuple[Array, Array, Array]:
        # with respect to inputs, gamma and beta
        raise NotImplementedError

    def backward(self, dvalues: ArrayLike) -> Array:
        """The gradient with respect to the inputs, given that of the outputs. Sets `dgamma` and `dbeta`, to
        None while the layer is frozen."""
        if self.inputs is None:
            raise RuntimeError("call forward before backward")
        dvalues = as_floats(dvalues, self.dtype, "dvalues", infinite=True)
        try:
            self.dinputs, self.dgamma, self.dbeta = self._gradients(dvalues)
        except (TypeError, ValueError) as error:
            rename(error, dy="dvalues", x="inputs", m="last_mean", r="last_scale")
            raise
        if not self.trainable:
            self.dgamma = self.dbeta = None
        return self.dinputs


class BatchNorm(_Normalization):
    """Batch normalization of each channel of images (N, C, H, W), or each feature of (N, C) (Ioffe, Szegedy 2015):
    y = (x - mean) / sqrt(variance + eps) * gamma + beta.

    In training, mean and variance are those of the batch, and `running_mean` and `running_variance` follow them:
    running = (1 - momentum) * running + momentum * batch, with the unbiased variance; otherwise the running ones are
    used. They are buffers: not learned, but saved, copied and returned by `Model.get_parameters`. `gamma` starts at 1
    and `beta` at 0. Names, defaults and `momentum` are PyTorch's; Keras' momentum is 1 - momentum, its eps 1e-3.

    Raises TypeError or ValueError for arguments of another kind; `forward` in training also for a batch that has one
    element for each channel.
    """

    _kept = "gamma", "beta", "running_mean", "running_variance"
    momentum: float = checked(_momentum)
    normalized_by_batch = False

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, *,
                 dtype: DTypeLike = np.float32) -> None:
        self.momentum = momentum
        self._begin(num_features, eps, dtype)

    @property
    def running_mean(self) -> Array:
        return vars(self)["_running_mean"]

    @running_mean.setter
    def running_mean(self, values: ArrayLike) -> None:
        self._set("running_mean", values)

    @property
    def running_variance(self) -> Array:
        return vars(self)["_running_variance"]

    @running_variance.setter
    def running_variance(self, values: ArrayLike) -> None:
        self._set("running_variance", values)

    @property
    def buffers(self) -> dict[str, Array]:
        """The running statistics."""
        return {"running_mean": self.running_mean, "running_variance": self.running_variance}

    def output_shape(self, shape: Shape | None) -> Shape | None:
        """The same. Raises ValueError for samples without num_features channels."""
        if shape is not None and (len(shape) not in (1, 3) or shape[0] != self.num_features):
            raise ValueError(f"must accept samples of shape {shape}, not ({self.num_features}, H, W) or "
                             f"({self.num_features},)")
        return shape

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The outputs, in the shape of the inputs. In training the running statistics are updated."""
        training = flag("training", training)
        self.inputs = inputs = as_floats(inputs, self.dtype, infinite=True)
        if inputs.ndim not in (2, 4) or inputs.shape[1] != self.num_features:
            raise ValueError(f"inputs must have shape (N, {self.num_features}, H, W) or (N, {self.num_features}), got "
                             f"{inputs.shape}")
        if training and inputs.size == self.num_features:
            raise ValueError(f"{self} got one element for each channel in training, inputs of shape {inputs.shape}, "
                             "whose variance is not defined: a last batch of one sample is the usual cause, which "
                             "train(..., drop_last=True) leaves out")
        self.output, self.last_mean, self.last_scale = y, _, _ = backend.ops.batch_norm.forward(
            inputs, self.gamma, self.beta, self.running_mean, self.running_variance, training=training,
            momentum=self.momentum, eps=self.eps)
        self.normalized_by_batch = training
        return y

    def _gradients(self, dvalues: Array) -> tuple[Array, Array, Array]:
        found: tuple[Array, Array, Array] = backend.ops.batch_norm.backward(
            dvalues, self.inputs, self.gamma, self.last_mean, self.last_scale, training=self.normalized_by_batch)
        return found


class LayerNorm(_Normalization):
    """Normalization of each sample over its last axis (Ba et al. 2016): y = (x - m) / sqrt(v + eps) * gamma + beta,
    with the mean m and the biased variance v of the last axis of (..., num_features).

    `gamma` starts at 1 and `beta` at 0. The default of `eps` is PyTorch's; Keras' is 1e-3.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, *, dtype: DTypeLike = np.float32) -> None:
        self._begin(num_features, eps, dtype)

    def output_shape(self, shape: Shape | None) -> Shape | None:
        """The same. Raises ValueError for samples whose last axis does not have num_features elements."""
        if shape is not None and shape[-1:] != (self.num_features,):
            raise ValueError(f"must accept samples of shape {shape}, not (..., {self.num_features})")
        return shape

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The outputs, in the shape of the inputs (N, ..., num_features)."""
        flag("training", training)
        self.inputs = inputs = as_floats(inputs, self.dtype, infinite=True)
        if inputs.ndim < 2 or inputs.shape[-1] != self.num_features:
            raise ValueError(f"inputs must have shape (N, ..., {self.num_features}), got {inputs.shape}")
        self.output, self.last_mean, self.last_scale = y, _, _ = backend.ops.layer_norm.forward(
            inputs, self.gamma, self.beta, eps=self.eps)
        return y

    def _gradients(self, dvalues: Array) -> tuple[Array, Array, Array]:
        found: tuple[Array, Array, Array] = backend.ops.layer_norm.backward(
            dvalues, self.inputs, self.gamma, self.last_mean, self.last_scale)
        return found

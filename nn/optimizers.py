"""Optimizers: `pre_update_params()`, `update_params(layer)` for each layer, `post_update_params()`, once a step.

The learning rate, a number or a schedule (see schedules.py), decays as learning_rate / (1 + decay * iterations). An
optimizer keeps its state (momentum, moving means) itself, by layer and as long as the layer lives, so that layers can
change optimizers.
"""

import inspect
from collections.abc import Sequence
from functools import partial
from itertools import accumulate, repeat
from operator import mul
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from . import backend
from .arrays import Array, aligned, as_floats, checked, finite, whole
from .layers import Layer
from .plan import ALIGNMENT, Parameters
from .schedules import Schedule, foreseeable


def _rate(name: str, value: Any) -> Any:
    return value if callable(value) else finite(name, value)


_share = partial(finite, below=1)


class _Optimizer:
    buffers = 0  # arrays of state for each parameter array
    learning_rate: float | Schedule = checked(_rate)
    decay: float = checked(finite)
    current_learning_rate: float = checked(finite)
    iterations: int = checked(partial(whole, least=0))

    def __init__(self, learning_rate: float | Schedule, decay: float) -> None:
        self.learning_rate = learning_rate
        self.decay = decay
        self.current_learning_rate = self._rate(0)
        self.iterations = 0
        self._states: WeakKeyDictionary[Layer, tuple[Any, ...]] = WeakKeyDictionary()

    def __repr__(self) -> str:
        given = [f"{name}={getattr(self, name)!r}" for name, parameter in
                 inspect.signature(type(self).__init__).parameters.items()
                 if name != "self" and getattr(self, name, parameter.default) != parameter.default]
        return f"{type(self).__name__}({', '.join(given)})"

    def __getstate__(self) -> dict[str, Any]:
        # weak references can be neither copied nor pickled; pairs let a copied model keep its state
        return {**self.__dict__, "_states": list(self._states.items())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._states = WeakKeyDictionary({layer: tuple(map(as_floats, arrays)) for layer, arrays in state["_states"]})

    def pre_update_params(self) -> None:
        """Set `current_learning_rate`; call once before a step's updates."""
        vars(self)["current_learning_rate"] = self._rate(self.iterations)  # which is checked, or computed

    def _rate(self, iterations: int) -> float:
        rate = self.learning_rate
        if callable(rate):
            rate = finite(f"the rate that learning_rate returned for iteration {iterations}", rate(iterations))
        return rate / (1 + self.decay * iterations)

    def post_update_params(self) -> None:
        """Count the step; call once after its updates."""
        vars(self)["iterations"] += 1

    def update_params(self, layer: Layer) -> None:
        """Update `layer.weights` and `layer.biases` in place from `layer.dweights` and `layer.dbiases`."""
        weights, biases, n = layer.weights, layer.biases, self.buffers
        state = self._state(layer)
        if state is None:
            state = tuple(np.zeros_like(p) for p in (weights, biases) for _ in range(n))
            self._states[layer] = state
        numbers = self._numbers()
        self._step(weights, layer.dweights, *state[:n], **numbers)
        self._step(biases, layer.dbiases, *state[n:], **numbers)

    def _state(self, layer: Layer) -> tuple[Any, ...] | None:
        # what is kept for a layer, if it fits its parameters
        state, n = self._states.get(layer), self.buffers
        if (state is None or len(state) != 2 * n
                or n and (state[0].shape != layer.weights.shape or state[0].dtype != layer.weights.dtype)):
            return None
        return state

    def update_all(self, parameters: Parameters) -> None:
        """The same for all layers of `parameters`, in one pass, by the compiled kernels."""
        if not self.recorded(parameters):
            state = self._join(parameters)
            with backend.capture() as calls:
                self._step(parameters.values, parameters.gradients, *state, **self._numbers())
            # an earlier recording would take the state that was joined before
            parameters.updating = (None if calls.foreign else
                                   (self, self._kind, backend.Replay(calls), len(calls[0][1])))
        else:
            _, _, replay, count = parameters.updating
            numbers = self._numbers()  # a nest takes them in the order of step's keywords
            replay.floats(0, count - len(numbers), list(numbers.values()))
            replay.run()

    def recorded(self, parameters: Parameters) -> bool:
        """Whether `update_all` makes a recorded call."""
        return (parameters.updating is not None and parameters.updating[0] is self
                and parameters.updating[1] == self._kind and backend.name == "numba")

    @property
    def _kind(self) -> Any:
        # what chooses the loop nest: a change needs another recording
        return self.buffers

    def ahead(self, steps: int) -> Array | None:
        """The numbers of the next updates, a row for each, in the order of the kernel's keywords; None if they cannot
        be told before."""
        if not foreseeable(self.learning_rate):
            return None
        try:
            rates = self._rates(steps)
        except (TypeError, ValueError):
            return None  # `pre_update_params` says so when that step's turn comes
        numbers = self._numbers()
        table = np.empty((steps, len(numbers)))
        table[:] = list(numbers.values())
        table[:, 0] = rates
        return table

    def _rates(self, steps: int) -> Any:
        # of the next updates
        rate, first, last = self.learning_rate, self.iterations, self.iterations + steps
        if callable(rate):
            return [self._rate(iteration) for iteration in range(first, last)]
        with np.errstate(over="ignore"):
            return rate / (1 + self.decay * np.arange(first, last))

    def count(self, steps: int) -> None:
        """Count steps whose updates were taken from `ahead`."""
        self.iterations += steps - 1
        self.pre_update_params()
        self.post_update_params()

    def _join(self, parameters: Parameters) -> tuple[Any, ...]:
        # the layers keep their state, now as views of the whole: both kinds of update may follow each other
        whole = tuple(aligned(parameters.values.shape, parameters.values.dtype) for _ in range(self.buffers))
        views = [parameters.cut(buffer) for buffer in whole]
        for number, layer in enumerate(parameters.layers):
            state = tuple(pairs[number][k] for k in (0, 1) for pairs in views)
            for view, old in zip(state, self._state(layer) or ()):
                view[...] = old
            self._states[layer] = state
        return whole

    def _numbers(self) -> dict[str, float]:
        raise NotImplementedError

    def _step(self, values: Array, gradients: Any, *state: Array, **numbers: float) -> None:
        raise NotImplementedError


class SGD(_Optimizer):
    """w -= learning_rate * dw; with momentum v = momentum * v - learning_rate * dw; w += v; with nesterov too, from
    the new v, w += momentum * v - learning_rate * dw.

    Raises ValueError unless learning_rate and decay are finite and >= 0, and 0 <= momentum < 1, and for nesterov
    without momentum.
    """

    momentum: float = checked(_share)

    def __init__(self, learning_rate: float | Schedule = 1.0, decay: float = 0.0, momentum: float = 0.0,
                 nesterov: bool = False) -> None:
        super().__init__(learning_rate, decay)
        self.momentum = momentum
        if nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        self.nesterov = bool(nesterov)

    @property
    def buffers(self) -> int:  # type: ignore[override]
        return 1 if self.momentum else 0

    @property
    def _kind(self) -> Any:
        return self.buffers, self.nesterov

    def _numbers(self) -> dict[str, float]:
        if self.momentum:
            return {"learning_rate": self.current_learning_rate, "momentum": self.momentum}
        return {"learning_rate": self.current_learning_rate}

    def _step(self, values: Array, gradients: Any, *state: Array, **numbers: float) -> None:
        backend.ops.sgd.step(values, gradients, *state, **numbers, nesterov=self.nesterov and bool(state))


class Adagrad(_Optimizer):
    """w -= learning_rate * dw / (sqrt(cache) + epsilon); the cache is the sum of all dw^2 so far (Duchi et al. 2011).

    Raises ValueError unless learning_rate, decay and epsilon are finite and >= 0.
    """

    buffers = 1
    epsilon: float = checked(finite)

    def __init__(self, learning_rate: float | Schedule = 1.0, decay: float = 0.0, epsilon: float = 1e-7) -> None:
        super().__init__(learning_rate, decay)
        self.epsilon = epsilon

    def _numbers(self) -> dict[str, float]:
        return {"learning_rate": self.current_learning_rate, "epsilon": self.epsilon}

    def _step(self, values: Array, gradients: Any, *state: Array, **numbers: float) -> None:
        backend.ops.adagrad.step(values, gradients, *state, **numbers)


class RMSprop(_Optimizer):
    """w -= learning_rate * dw / (sqrt(cache) + epsilon); the cache is a moving mean of dw^2 (Tieleman, Hinton 2012).

    Raises ValueError unless learning_rate, decay and epsilon are finite and >= 0, and 0 <= rho < 1.
    """

    buffers = 1
    epsilon: float = checked(finite)
    rho: float = checked(_share)

    def __init__(self, learning_rate: float | Schedule = 0.001, decay: float = 0.0, epsilon: float = 1e-7,
                 rho: float = 0.9) -> None:
        super().__init__(learning_rate, decay)
        self.epsilon = epsilon
        self.rho = rho

    def _numbers(self) -> dict[str, float]:
        return {"learning_rate": self.current_learning_rate, "rho": self.rho, "epsilon": self.epsilon}

    def _step(self, values: Array, gradients: Any, *state: Array, **numbers: float) -> None:
        backend.ops.rmsprop.step(values, gradients, *state, **numbers)


class Adam(_Optimizer):
    """Moving means of the gradient and of its square, corrected for their start at 0 (Kingma, Ba 2015).

    With weight_decay all parameters are first multiplied by 1 - learning_rate * weight_decay, as `AdamW` does.
    Raises ValueError unless learning_rate, decay, epsilon and weight_decay are finite and >= 0, and both betas >= 0
    and < 1.
    """

    buffers = 2
    epsilon: float = checked(finite)
    beta_1: float = checked(_share)
    beta_2: float = checked(_share)
    weight_decay: float = checked(finite)

    def __init__(self, learning_rate: float | Schedule = 0.001, decay: float = 0.0, epsilon: float = 1e-7,
                 beta_1: float = 0.9, beta_2: float = 0.999, weight_decay: float = 0.0) -> None:
        super().__init__(learning_rate, decay)
        self.epsilon = epsilon
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.weight_decay = weight_decay
        self._power_1 = self._power_2 = 1.0
        self._powers_at = 0

    def _advance(self) -> None:
        # beta ** t as a running product: libm's pow differs between machines
        powers, at = (self._power_1, self._power_2), self._powers_at
        if at > self.iterations:
            powers, at = (1.0, 1.0), 0
        before = None
        while at <= self.iterations and powers != before:  # until they are so small that they stay for ever
            before, powers = powers, (powers[0] * self.beta_1, powers[1] * self.beta_2)
            at += 1
        # at once, since Ctrl-C may come between two lines
        self._power_1, self._power_2, self._powers_at = *powers, self.iterations + 1

    def _numbers(self) -> dict[str, float]:
        if self._powers_at != self.iterations + 1:
            self._advance()
        return {"learning_rate": self.current_learning_rate, "correction_1": 1 - self._power_1,
                "correction_2": 1 - self._power_2, "beta_1": self.beta_1, "beta_2": self.beta_2,
                "epsilon": self.epsilon, "weight_decay": self.weight_decay}

    def ahead(self, steps: int) -> Array | None:
        table = super().ahead(steps)
        if table is not None:
            powers_1 = list(accumulate(repeat(self.beta_1, steps - 1), mul, initial=self._power_1))
            powers_2 = list(accumulate(repeat(self.beta_2, steps - 1), mul, initial=self._power_2))
            table[:, 1], table[:, 2] = 1 - np.array(powers_1), 1 - np.array(powers_2)
            self._power_1, self._power_2, self._powers_at = powers_1[-1], powers_2[-1], self.iterations + steps
        return table

    def _step(self, values: Array, gradients: Any, *state: Array, **numbers: float) -> None:
        backend.ops.adam.step(values, gradients, *state, **numbers)


class AdamW(Adam):
    """Adam with weight decay (Loshchilov, Hutter 2019), by default as much as PyTorch's; biases decay too, as there."""

    def __init__(self, learning_rate: float | Schedule = 0.001, decay: float = 0.0, epsilon: float = 1e-7,
                 beta_1: float = 0.9, beta_2: float = 0.999, weight_decay: float = 0.01) -> None:
        super().__init__(learning_rate, decay, epsilon, beta_1, beta_2, weight_decay)


def clip_gradients(layers: Sequence[Layer], max_norm: float) -> float:
    """Scale the gradients of layers (`dweights`, `dbiases`), in place, so that the Euclidean norm of them all is at
    most max_norm, and return what it was (Pascanu et al. 2013). `Model.clip_norm` does so at each step.

    Raises TypeError or ValueError for a max_norm that is not a finite number of at least 0, RuntimeError for a layer
    without gradients, such as before its backward or without weights.
    """
    max_norm = finite("max_norm", max_norm)
    for layer in layers:
        if getattr(layer, "dweights", None) is None or getattr(layer, "dbiases", None) is None:
            raise RuntimeError(f"{layer} has no gradients to clip: give trainable_layers, after a backward")
    gradients = [gradient for layer in layers for gradient in (layer.dweights, layer.dbiases)]
    # summed up in the places they have in a model: see Parameters
    parts = [part for each in gradients for part in (each.ravel(), np.zeros(-each.size % ALIGNMENT, each.dtype))]
    norm: float = backend.ops.clip_norm.forward(np.concatenate(parts)) if parts else 0.0
    for gradient in gradients:
        backend.ops.clip_norm.step(gradient, norm=norm, max_norm=max_norm)
    return norm

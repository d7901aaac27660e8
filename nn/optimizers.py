"""Optimizers: `pre_update_params()`, `update_params(layer)` for each layer, `post_update_params()`, once a step.

The learning rate, a number or a schedule (see schedules.py), decays as learning_rate / (1 + decay * iterations);
`iterations` counts the steps of all trainings. An optimizer itself keeps the state (momentum, moving means) of each
layer, as long as the layer exists, so a layer can change optimizers. The state starts at zero at the first update of a
layer, and again when its parameters get another shape or dtype.

A second training with the same optimizer continues where the first one ended. `reset()` starts the optimizer over.
"""

import inspect
from collections.abc import Sequence
from functools import partial
from itertools import accumulate, repeat
from operator import is_, mul
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from . import backend
from .arrays import Array, aligned, as_floats
from .checks import checked, finite, flag, rename, shown, whole
from .layers import Layer
from .parameters import ALIGNMENT, Parameters, gradients_of, parameters_of
from .schedules import Schedule, _as_rate, _power, foreseeable

MOST = 10**7  # updates whose betas are multiplied one by one, which takes half a second


_share = partial(finite, below=1)


class _State:
    # of a layer: arrays for its weights, then for its biases, and the products of Adam's betas
    arrays: tuple[Array, ...] = ()
    powers: tuple[float, ...] = ()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.arrays, self.powers = tuple(map(as_floats, state["arrays"])), state["powers"]


class _Recorded(NamedTuple):
    optimizer: Any
    kind: Any
    replay: Any
    arguments: int  # of the call
    states: list[_State]
    arrays: list[tuple[Array, ...]]  # of these states


def _alike(states: list[_State]) -> bool:
    powers = states[0].powers
    return all(state.powers == powers for state in states)


def _count(states: list[_State], powers: tuple[float, ...]) -> None:
    # one call without Python code: after Ctrl-C all are still alike
    list(map(setattr, states, repeat("powers"), repeat(powers, len(states))))


class _Optimizer:
    buffers = 0  # arrays of state for each parameter array
    powers: tuple[float, ...] = ()  # the initial ones of a layer's state
    learning_rate: float | Schedule = checked(_as_rate)
    decay: float = checked(finite)
    current_learning_rate: float = checked(finite)
    iterations: int = checked(partial(whole, least=0, most=2**53 - 1))

    def __init__(self, learning_rate: float | Schedule, decay: float) -> None:
        self.learning_rate = learning_rate
        self.decay = decay
        self.current_learning_rate = self._rate(0)
        self.iterations = 0
        self._states: WeakKeyDictionary[Layer, _State] = WeakKeyDictionary()

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
        self._states = WeakKeyDictionary(dict(state["_states"]))

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

    def reset(self) -> None:
        """Set the state of all layers to zero, `iterations` to 0 and the rate to that of the first step.

        Without `reset`, a second training continues with the layers' state and the decayed rate of the first.
        """
        for state in self._states.values():
            for array in state.arrays:
                array[...] = 0
            state.powers = self.powers
        self.iterations = 0
        self.current_learning_rate = self._rate(0)

    def update_params(self, layer: Layer) -> None:
        """Update `layer.weights` and `layer.biases` in place from `layer.dweights` and `layer.dbiases`."""
        state, n = self._state(layer), self.buffers
        powers = self._next(state.powers)
        numbers = self._numbers(powers)
        gradients = gradients_of(layer)
        for place, (name, values) in enumerate(parameters_of(layer).items()):
            try:
                self._step(values, gradients[name], *state.arrays[n * place:n * (place + 1)], **numbers)
            except (TypeError, ValueError) as error:
                rename(error, w=name, dw=f"d{name}")
                raise
        state.powers = powers

    def _kept(self, layer: Layer) -> _State | None:
        # the state of a layer, if it fits the parameters
        state = self._states.get(layer)
        if state is not None and [(array.shape, array.dtype) for array in state.arrays] == [
                (values.shape, values.dtype) for values in self._like(layer)]:
            return state
        return None

    def _like(self, layer: Layer) -> list[Array]:
        # for each array of state, the parameters it belongs to
        return [values for values in parameters_of(layer).values() for _ in range(self.buffers)]

    def _state(self, layer: Layer) -> _State:
        state = self._kept(layer)
        if state is None:
            state = self._states.setdefault(layer, _State())
            state.powers = self.powers
            state.arrays = tuple(map(np.zeros_like, self._like(layer)))
        return state

    def update_all(self, parameters: Parameters) -> None:
        """The same for all layers of `parameters`, in one pass, by the compiled kernels.

        If the layers have had different numbers of updates, their corrections differ, and each is updated separately.
        """
        known: Any = parameters.updating if self.recorded(parameters) else None
        states = [self._state(layer) for layer in parameters.layers] if known is None else known.states
        if not _alike(states):
            for layer in parameters.layers:
                self.update_params(layer)
            return
        powers = self._next(states[0].powers)
        numbers = self._numbers(powers)  # in the order of step's keywords, as the kernel takes them
        if known is None:
            whole = self._join(parameters)  # an earlier recording uses the arrays that were joined before
            _count(states, powers)
            with backend.capture() as calls:
                self._step(parameters.values, parameters.gradients, *whole, **numbers)
            parameters.updating = None if calls.foreign else _Recorded(
                self, self._kind, backend.Replay(calls), len(calls[0][1]), states, [state.arrays for state in states])
        else:
            known.replay.floats(0, known.arguments - len(numbers), list(numbers.values()))
            _count(states, powers)  # before the call: Ctrl-C is raised as soon as it returns
            known.replay.run()

    def recorded(self, parameters: Parameters) -> bool:
        """Whether `update_all` makes a recorded call."""
        known = parameters.updating
        return (known is not None and known.optimizer is self and known.kind == self._kind and backend.name == "numba"
                and all(map(is_, [state.arrays for state in known.states], known.arrays)) and _alike(known.states))

    @property
    def _kind(self) -> Any:
        # what chooses the loop nest: a change needs another recording
        return self.buffers

    def ahead(self, parameters: Parameters, steps: int) -> Array | None:
        """The numbers of the next updates by a recorded call, a row for each, in the order of the kernel's keywords;
        these steps then count. None, and no step counts, if they are not known in advance."""
        if not foreseeable(self.learning_rate):
            return None
        try:
            rates = self._rates(steps)
        except (TypeError, ValueError):
            return None  # `pre_update_params` raises it at that step
        states = parameters.updating.states
        numbers = self._numbers(states[0].powers)
        table = np.empty((steps, len(numbers)))
        table[:] = list(numbers.values())
        table[:, 0] = rates
        _count(states, self._foresee(table, states[0].powers))
        vars(self).update(iterations=self.iterations + steps, current_learning_rate=table.item(-1, 0))
        return table

    def _rates(self, steps: int) -> Any:
        # of the next updates
        rate, first, last = self.learning_rate, self.iterations, self.iterations + steps
        if callable(rate):
            return [self._rate(iteration) for iteration in range(first, last)]
        with np.errstate(over="ignore"):
            return rate / (1 + self.decay * np.arange(first, last))

    def _join(self, parameters: Parameters) -> tuple[Any, ...]:
        # the layers' state becomes views of the whole, so both kinds of update can alternate
        whole = tuple(aligned(parameters.values.shape, parameters.values.dtype) for _ in range(self.buffers))
        views = [parameters.cut(buffer) for buffer in whole]
        for number, layer in enumerate(parameters.layers):
            state = self._state(layer)
            arrays = tuple(each[number][name] for name in layer.parameters for each in views)
            for view, old in zip(arrays, state.arrays):
                view[...] = old
            state.arrays = arrays
        return whole

    def _next(self, powers: tuple[float, ...]) -> tuple[float, ...]:
        # those of a layer's next update
        return powers

    def _after(self, updates: int) -> tuple[float, ...]:
        # so many updates with the numbers of now
        return self.powers

    def _foresee(self, table: Array, powers: tuple[float, ...]) -> tuple[float, ...]:
        # the numbers of the next updates that depend on powers, into their rows; returns the last update's powers
        return powers

    def _numbers(self, powers: tuple[float, ...]) -> dict[str, float]:
        raise NotImplementedError

    def _step(self, values: Array, gradients: Any, *state: Array, **numbers: float) -> None:
        raise NotImplementedError


class SGD(_Optimizer):
    """Stochastic gradient descent: w -= learning_rate * dw.

    With momentum: v = momentum * v - learning_rate * dw; w += v. With nesterov, from the new v:
    w += momentum * v - learning_rate * dw.

    A second training continues with the state and the decayed rate; see `reset`.
    Raises ValueError unless learning_rate and decay are finite and >= 0, and 0 <= momentum < 1, and for nesterov
    without momentum.
    """

    momentum: float = checked(_share)
    nesterov: bool = checked(flag)

    def __init__(self, learning_rate: float | Schedule = 1.0, decay: float = 0.0, momentum: float = 0.0,
                 nesterov: bool = False) -> None:
        super().__init__(learning_rate, decay)
        self.momentum = momentum
        self.nesterov = nesterov
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")

    @property
    def buffers(self) -> int:  # type: ignore[override]
        return 1 if self.momentum else 0

    @property
    def _kind(self) -> Any:
        return self.buffers, self.nesterov

    def _numbers(self, powers: tuple[float, ...]) -> dict[str, float]:
        if self.momentum:
            return {"learning_rate": self.current_learning_rate, "momentum": self.momentum}
        return {"learning_rate": self.current_learning_rate}

    def _step(self, values: Array, gradients: Any, *state: Array, **numbers: float) -> None:
        backend.ops.sgd.step(values, gradients, *state, **numbers, nesterov=self.nesterov and bool(state))


class Adagrad(_Optimizer):
    """w -= learning_rate * dw / (sqrt(cache) + epsilon); the cache is the sum of all dw^2 so far (Duchi et al. 2011).

    A second training continues with the state and the decayed rate; see `reset`.
    Raises ValueError unless learning_rate, decay and epsilon are finite and >= 0.
    """

    buffers = 1
    epsilon: float = checked(finite)

    def __init__(self, learning_rate: float | Schedule = 1.0, decay: float = 0.0, epsilon: float = 1e-7) -> None:
        super().__init__(learning_rate, decay)
        self.epsilon = epsilon

    def _numbers(self, powers: tuple[float, ...]) -> dict[str, float]:
        return {"learning_rate": self.current_learning_rate, "epsilon": self.epsilon}

    def _step(self, values: Array, gradients: Any, *state: Array, **numbers: float) -> None:
        backend.ops.adagrad.step(values, gradients, *state, **numbers)


class RMSprop(_Optimizer):
    """w -= learning_rate * dw / (sqrt(cache) + epsilon); the cache is a moving mean of dw^2 (Tieleman, Hinton 2012).

    A second training continues with the state and the decayed rate; see `reset`.
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

    def _numbers(self, powers: tuple[float, ...]) -> dict[str, float]:
        return {"learning_rate": self.current_learning_rate, "rho": self.rho, "epsilon": self.epsilon}

    def _step(self, values: Array, gradients: Any, *state: Array, **numbers: float) -> None:
        backend.ops.rmsprop.step(values, gradients, *state, **numbers)


def _product(beta: float, count: int) -> float:
    """beta ** count, up to MOST with the bits of `Adam._next`; beyond, faster, for files that claim more updates."""
    power = 1.0
    for _ in range(min(count, MOST)):
        before, power = power, power * beta
        if power == before:  # so small that it no longer changes
            return power
    return power * _power(beta, max(0, count - MOST))


class Adam(_Optimizer):
    """Moving means of the gradient and of its square, corrected for their start at 0 (Kingma, Ba 2015).

    The correction uses the number of updates of each layer, as in PyTorch, not `iterations`. With weight_decay, all
    parameters are first multiplied by 1 - learning_rate * weight_decay, as in `AdamW`.
    A second training continues with the state and the decayed rate; see `reset`.
    Raises ValueError unless learning_rate, decay, epsilon and weight_decay are finite and >= 0, and both betas >= 0
    and < 1.
    """

    buffers = 2
    powers = (1.0, 1.0)  # the products of the betas of all updates
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

    def _next(self, powers: tuple[float, ...]) -> tuple[float, ...]:
        # beta ** t as a running product: libm's pow differs between machines
        return powers[0] * self.beta_1, powers[1] * self.beta_2

    def _after(self, updates: int) -> tuple[float, ...]:
        return _product(self.beta_1, updates), _product(self.beta_2, updates)

    def _foresee(self, table: Array, powers: tuple[float, ...]) -> tuple[float, ...]:
        first, second = (list(accumulate(repeat(beta, len(table)), mul, initial=power))[1:]
                         for beta, power in zip((self.beta_1, self.beta_2), powers))
        table[:, 1], table[:, 2] = 1 - np.array(first), 1 - np.array(second)
        return first[-1], second[-1]

    def _numbers(self, powers: tuple[float, ...]) -> dict[str, float]:
        return {"learning_rate": self.current_learning_rate, "correction_1": 1 - powers[0],
                "correction_2": 1 - powers[1], "beta_1": self.beta_1, "beta_2": self.beta_2,
                "epsilon": self.epsilon, "weight_decay": self.weight_decay}

    def _step(self, values: Array, gradients: Any, *state: Array, **numbers: float) -> None:
        backend.ops.adam.step(values, gradients, *state, **numbers)


class AdamW(Adam):
    """Adam with weight decay (Loshchilov, Hutter 2019), by default 0.01 as in PyTorch; biases decay too, as there.

    A second training continues with the state and the decayed rate; see `reset`.
    """

    def __init__(self, learning_rate: float | Schedule = 0.001, decay: float = 0.0, epsilon: float = 1e-7,
                 beta_1: float = 0.9, beta_2: float = 0.999, weight_decay: float = 0.01) -> None:
        super().__init__(learning_rate, decay, epsilon, beta_1, beta_2, weight_decay)


def clip_gradients(layers: Sequence[Layer], max_norm: float) -> float:
    """Scale the gradients of layers (`dweights`, `dbiases`) in place, so that the Euclidean norm of all of them is at
    most max_norm, and return the norm before (Pascanu et al. 2013). `Model.clip_norm` does this at each step.

    Raises TypeError or ValueError for a max_norm that is not a finite number of at least 0, RuntimeError for a layer
    without gradients, such as before its backward or without weights.
    """
    max_norm = finite("max_norm", max_norm)
    names: list[str] = []
    gradients: list[Any] = []
    for layer in layers:
        found = gradients_of(layer)
        if not found or any(each is None for each in found.values()):
            raise RuntimeError(f"{shown(layer)} has no gradients to clip: give trainable_layers, after a backward")
        names += found.keys()
        gradients += found.values()
    # summed in the order that they have in a model: see Parameters
    parts = [part for each in gradients for part in (each.ravel(), np.zeros(-each.size % ALIGNMENT, each.dtype))]
    name = "dweights and dbiases"
    try:
        norm: float = backend.ops.clip_norm.forward(np.concatenate(parts)) if parts else 0.0
        for name, gradient in zip(names, gradients):
            name = f"d{name}"
            backend.ops.clip_norm.step(gradient, norm=norm, max_norm=max_norm)
    except (TypeError, ValueError) as error:
        rename(error, x=name)
        raise
    return norm

"""What all optimizers have: the rate, the state of each layer, and updates of one layer or of all at once."""

import inspect
from collections.abc import Mapping
from functools import partial
from itertools import repeat
from operator import is_
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from .. import backend
from ..arrays import Array, aligned, as_floats
from ..checks import checked, finite, rename, shown, whole
from ..layers import Layer
from ..parameters import Parameters, gradients_of, parameters_of
from ..schedules import Schedule, _as_rate, _known_in_advance


class _State:
    # of a layer: arrays for its weights, then for its biases, and the products of Adam's betas
    arrays: tuple[Array, ...] = ()
    powers: tuple[float, ...] = ()
    fitted: tuple[Array, ...] = ()  # the parameters that the arrays were last found to fit

    def __getstate__(self) -> dict[str, Any]:
        return {"arrays": self.arrays, "powers": self.powers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.arrays, self.powers = tuple(map(as_floats, state["arrays"])), state["powers"]


class _Recorded(NamedTuple):
    optimizer: Any
    variant: Any
    replay: Any
    arguments: int  # of the call
    states: list[_State]
    arrays: list[tuple[Array, ...]]  # of these states


def _same_powers(states: list[_State]) -> bool:
    powers = [state.powers for state in states]
    return powers.count(powers[0]) == len(powers)


def _set_powers(states: list[_State], powers: tuple[float, ...]) -> None:
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
        self.__dict__["current_learning_rate"] = self._rate(self.iterations)  # which is checked, or computed

    def _rate(self, iterations: int) -> float:
        rate = self.learning_rate
        if callable(rate):
            rate = finite(f"the rate that learning_rate returned for iteration {iterations}", rate(iterations))
        return rate / (1 + self.decay * iterations)

    def post_update_params(self) -> None:
        """Count the step; call once after its updates."""
        self.__dict__["iterations"] += 1

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
        self._update(layer)

    def _update(self, layer: Layer) -> _State:
        # returns the layer's state
        parameters, gradients = parameters_of(layer), gradients_of(layer)
        state = self._fitting_state(layer, parameters) or self._new_state(layer, parameters)
        arrays, start, n = state.arrays, 0, self.buffers
        powers = self._next_powers(state.powers)
        numbers = self._numbers(powers)
        for name, values in parameters.items():
            try:
                self._step(values, gradients[name], arrays[start:(start := start + n)], numbers)
            except (KeyError, TypeError, ValueError) as error:
                if gradients.get(name) is None:
                    remedy = "" if getattr(layer, "trainable", True) else "set trainable = True, and "
                    raise RuntimeError(f"{shown(layer)} has no gradient of {name}: {remedy}call its backward, which "
                                       "sets it, before update_params") from error
                rename(error, w=name, dw=f"d{name}")
                raise
        state.powers = powers
        return state

    def _fitting_state(self, layer: Layer, parameters: Mapping[str, Array]) -> _State | None:
        # the state of a layer, if it fits the parameters
        state, n, count = self._states.get(layer), self.buffers, len(parameters)
        if state is None or len(state.arrays) != n * count:
            return None
        if len(state.fitted) == count and all(map(is_, state.fitted, parameters.values())):
            return state
        for array, values in zip(state.arrays[::n or 1], parameters.values()):
            if array.shape != values.shape or array.dtype != values.dtype:
                return None
        state.fitted = tuple(parameters.values())
        return state

    def _new_state(self, layer: Layer, parameters: Mapping[str, Array]) -> _State:
        state = self._states.setdefault(layer, _State())
        state.powers = self.powers
        state.arrays = tuple(np.zeros_like(values) for values in parameters.values() for _ in range(self.buffers))
        return state

    def _state(self, layer: Layer) -> _State:
        parameters = layer.parameters
        return self._fitting_state(layer, parameters) or self._new_state(layer, parameters)

    def update_all(self, parameters: Parameters) -> None:
        """The same for all layers of `parameters`, in one pass, by the compiled kernels.

        If the layers have had different numbers of updates, their corrections differ, and each is updated separately.
        """
        known: Any = parameters.updating if self.recorded(parameters) else None
        states = known.states if known else [self._state(layer) for layer in parameters.layers]
        if not _same_powers(states):
            for layer in parameters.layers:
                self.update_params(layer)
            return
        powers = self._next_powers(states[0].powers)
        numbers = self._numbers(powers)
        if known is None:
            whole = self._join(parameters)  # an earlier recording uses the arrays that were joined before
            _set_powers(states, powers)
            with backend.capture() as calls:
                self._step(parameters.values, parameters.gradients, whole, numbers)
            parameters.updating = None if calls.foreign else _Recorded(
                self, self._variant, backend.Replay(calls), len(calls[0][1]), states,
                [state.arrays for state in states])
        else:
            known.replay.floats(0, known.arguments - len(numbers), [*numbers])
            _set_powers(states, powers)  # before the call: Ctrl-C is raised as soon as it returns
            known.replay.run()

    def recorded(self, parameters: Parameters) -> bool:
        """Whether `update_all` makes a recorded call."""
        known = parameters.updating
        return (known is not None and known.optimizer is self and known.variant == self._variant
                and backend.name == "numba" and _same_powers(known.states)
                and all(map(is_, [state.arrays for state in known.states], known.arrays)))

    @property
    def _variant(self) -> Any:
        # what chooses the loop nest: a change needs another recording
        return self.buffers

    def ahead(self, parameters: Parameters, steps: int) -> Array | None:
        """The numbers of the next updates by a recorded call, a row for each, in the order of the kernel's keywords;
        these steps then count. None, and no step counts, if they are not known in advance."""
        if not _known_in_advance(self.learning_rate):
            return None
        try:
            rates = self._rates(steps)
        except (TypeError, ValueError):
            return None  # `pre_update_params` raises it at that step
        states = parameters.updating.states
        numbers = self._numbers(states[0].powers)
        table = np.empty((steps, len(numbers)))
        table[:] = numbers
        table[:, 0] = rates
        _set_powers(states, self._fill_corrections(table, states[0].powers))
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

    def _next_powers(self, powers: tuple[float, ...]) -> tuple[float, ...]:
        # those of a layer's next update
        return powers

    def _powers_after(self, updates: int) -> tuple[float, ...]:
        # so many updates with the numbers of now
        return self.powers

    def _fill_corrections(self, table: Array, powers: tuple[float, ...]) -> tuple[float, ...]:
        # the numbers of the next updates that depend on powers, into their rows; returns the last update's powers
        return powers

    def _numbers(self, powers: tuple[float, ...]) -> tuple[float, ...]:
        # of a layer's next update, in the order that the loop nests take
        raise NotImplementedError

    def _step(self, values: Array, gradients: Any, state: tuple[Array, ...], numbers: tuple[float, ...]) -> None:
        # keywords are spelled out: `**numbers` takes 0.3 us more
        raise NotImplementedError

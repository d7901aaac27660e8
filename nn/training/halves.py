"""Steps from a given gradient of the outputs, such as those of a generator: the loss is computed elsewhere."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from .. import backend
from .. import layers as _layers
from ..arrays import Array
from ..parameters import Parameters
from .plans import Update
from .recording import buffers, copies
from .steps import Steps


class Half(NamedTuple):
    """A captured forward, whose way back is still to come."""

    calls: Any
    X: Array
    output: Array
    state: list[Array]  # copies of the layers' buffers before
    seen: list[Any]  # the layers' attributes after it

    def intact(self, layers: list[Any]) -> bool:
        """Whether no other code called a layer since."""
        return all(a is b for a, b in zip(self.seen, _seen(layers), strict=True))


OF_FORWARD = "inputs", "output", "binary_mask"  # attributes of layers


def _seen(layers: list[Any]) -> list[Any]:
    return [vars(layer).get(name) for layer in layers for name in OF_FORWARD]


class Halves(Update):
    """The kernel calls of a forward, and of the way back from a gradient of its outputs, repeated one after the other:
    the user's code computes the gradient in between."""

    def __init__(self, model: Any, parameters: Parameters, half: Half, back: Any, gradient: Array,
                 dx: Array | None) -> None:
        self._split = len(half.calls)
        layers, calls = model._walked, half.calls + back
        super().__init__(calls, layers, half.X, gradient)
        self._bits = half.X.tobytes(), gradient.tobytes()
        self.kind, self.input_gradient = half.X.shape, dx is not None
        self.X: Array | None = None  # of the forward whose way back is still to come
        self._check_result(half.output, "the outputs")
        self._check_result(dx, "the gradients of the inputs")
        if self.why is not None:
            return
        self._collect(model, parameters)
        kept = [half.X, gradient, parameters.values, parameters.gradients, *self._persistent]
        self._output, self._dx = self._prepare(layers, kept, half.output, dx)

    def _make_replay(self) -> Any:
        self._first, self._second = (backend.Replay(calls) for calls in (self._calls[:self._split],
                                                                         self._calls[self._split:]))
        return super()._make_replay()

    def prove_with(self, half: Half, back: Any, gradient: Array) -> None:
        """Compare with a step that was captured on another batch. The same one proves nothing."""
        same = half.X.tobytes() == self._bits[0] or gradient.tobytes() == self._bits[1]
        if not same:
            self._compare(half.calls + back, half.state, half.X, gradient)

    def forward(self, X: Array) -> Array:
        """The outputs for inputs X, as a new array."""
        self._first.arrays(X, [at for at in self._batches[0] if at[0] < self._split])
        for layer, call, place in self._streams:
            self._first.integer(call, place, layer._calls)
            layer._calls += 1
        self._first.run()
        self.X = X
        self._see(X)
        self.show()
        return self._output.copy()

    def release(self) -> None:
        super().release()
        self.X = None

    def backward(self, X: Array, gradient: Array) -> Array | None:
        """Set all gradients, given the inputs of the last forward and the gradient of its outputs. Returns that of the
        inputs as a new array, if it is wanted."""
        self._second.arrays(X, [(call - self._split, *more) for call, *more in self._batches[0] if call >= self._split])
        self._second.arrays(gradient, [(call - self._split, *more) for call, *more in self._batches[1]])
        self._second.run()
        self._see(gradient, 1)
        self.show()  # other code may have made a backward since `forward`
        return None if self._dx is None else self._dx.copy()

    def intact(self) -> bool:
        """Whether the layers still show the arrays of the last forward."""
        return all(vars(part).get(name) is array for part, arrays in self._parts for name, array in arrays.items()
                   if name in OF_FORWARD)


def forward(model: Any, steps: Steps, X: Any) -> Array | None:
    """The outputs of `Model.forward` in training, for a step from their gradient; None if no such step is recorded."""
    if not (type(X) is np.ndarray and X.dtype == model._dtype and X.flags.c_contiguous and X.ndim and X.size):
        return None
    steps.shown = None
    if not steps.check(X) or steps.unsteady():
        return None
    plan, again = steps.halves, steps.last_shape == X.shape
    steps.last_shape = X.shape
    if plan is not None and plan.kind != X.shape:
        if not again:  # a last, smaller batch
            return None
        plan = steps.halves = None
    if plan is None or plan.usable and not plan.proved:
        X = X.copy()  # apart from the parameters, which are other arguments of the calls
        state = copies(buffers(model._walked))
        with backend.capture() as calls:
            output: Array = _layers.forward(model.layers, X, True)
        steps.shown = Half(calls, X, output, state, _seen(model._walked))
        return output
    steps.why = plan.why
    if not plan.usable or steps.shares(X):
        return None
    steps.shown = plan
    return plan.forward(X)


def step(model: Any, steps: Steps, gradient: Array, input_gradient: bool) -> Array | None:
    """The way back from a gradient of the outputs, and the update; returns the gradient of the inputs, if wanted."""
    shown, steps.shown, steps.from_gradients = steps.shown, None, True
    X = shown.X if isinstance(shown, (Half, Halves)) else None
    # anything may have changed since the forward
    recorded = X is not None and steps.check(X) and not steps.unsteady()
    if recorded and shown is steps.halves and shown.input_gradient == input_gradient and shown.intact():
        dx: Array | None = shown.backward(X, gradient)
        steps.shown = shown
        steps.update()
        return dx
    if isinstance(shown, Half) and not shown.intact(model._walked):
        recorded, steps.why = False, "other code called a layer of the model between forward and step_from"
    with backend.capture() if isinstance(shown, Half) else nullcontext() as calls:
        dx = _layers.backward(model.layers, gradient, input_gradient)
    plan = steps.halves
    if recorded and isinstance(shown, Half):
        if plan is None:
            plan = steps.halves = Halves(model, steps.parameters, shown, calls, gradient, dx)  # type: ignore[arg-type]
            steps.memory = None
            steps.why = plan.why
            if plan.usable:  # the gradients are clipped, and in one array
                steps.update()
                return dx
        elif plan.input_gradient == input_gradient:
            plan.prove_with(shown, calls, gradient)
            steps.why = plan.why
    model._step.update(model._trained(), model.clip_norm)
    return dx

"""What is recorded: a step of a training, and the prediction of a few samples."""

import operator
import threading
from functools import reduce
from typing import Any

import numpy as np

from .. import backend
from ..arrays import Array, address, aligned
from ..parameters import Parameters
from .recording import UNSET, _of, _other, _Recording


class Update(_Recording):
    # the way back and what follows it, whose gradients lie in one array

    def _collect(self, model: Any, parameters: Parameters) -> None:
        calls = self._calls
        for layer, gradients in zip(parameters.layers, parameters.cut(parameters.gradients)):
            for name, gradient in gradients.items():
                gradient[...] = layer.gradients[name]
                for call, place, shape in self._places(layer.gradients[name]):
                    calls[call][1][place] = gradient.reshape(shape)
                    self._found.setdefault((address(gradient), gradient.size), []).append((call, place, shape))
                layer.adopt_gradient(name, gradient)
        self._length = len(calls)  # without clipping
        if model.clip_norm is not None:
            with backend.capture() as clipping:
                backend.ops.clip_norm.step(parameters.gradients, max_norm=model.clip_norm)
            calls += clipping
            if clipping.foreign:
                self.why = "other code called a kernel while the clipping of gradients was recorded"
        # the place of a dropout's stream: the last argument of the first call with its mask
        self._streams = []
        for layer in _counting(model):
            call = self._places(layer.binary_mask)[0][0]
            self._streams.append((layer, call, len(calls[call][1]) - 1))
            self._form[call][-1] = None  # it counts, and is no number of the batch

    def _compare(self, calls: Any, *batches: Array) -> None:
        # with calls that were captured on other batches, which these are repeated on, without clipping: it comes after,
        # and changes the gradients
        self._take(*batches)
        replay = self._replay if len(self._calls) == self._length else backend.Replay(self._calls[:self._length])
        for _, call, place in self._streams:
            if call < len(calls) and calls[call][0] is self._calls[call][0]:  # else `prove` says what differs
                replay.integer(call, place, calls[call][1][place])
                calls[call][1][place] = None
        replay.run()
        self.prove(calls)
        self.release()


def _counting(model: Any) -> list[Any]:
    # the layers with a stream of random numbers for each call
    return [layer for layer in model._walked if hasattr(layer, "calls")]


class Plan(Update):
    """The kernel calls of one step on batches like `data`, X (N, n_inputs), y and optionally weights (N,): forward,
    loss, accuracy, backward, clipping.

    `run` repeats them on other batches of that size. Outputs and gradients are then in the same arrays at each step,
    which the layers show as `output`, `dinputs`, `dweights` and so on.

    Nothing is checked again: labels must be less than the columns of the last output.
    """

    def __init__(self, model: Any, parameters: Parameters, *data: Array) -> None:
        layers, loss = model._walked, model._step.batch_loss
        self._dropouts = _counting(model)
        before = [(layer, layer.dinputs) for layer in layers if "dinputs" in vars(layer)]
        for layer, _ in before:
            layer.dinputs = UNSET
        try:
            calls = self._capture(model, data)
        finally:
            without = [layer for layer in layers if vars(layer).get("dinputs", UNSET) is None]  # a step sets it so
            for layer, array in before:
                if layer.dinputs is UNSET:
                    layer.dinputs = array
        super().__init__(calls, layers, *data)
        self._chain: tuple[Any, Any] | None = None  # an optimizer's recorded call, and all calls of a step with it
        self.pace = 1  # steps at once in the last training
        # a metric may have used a converted copy of labels that the loss used directly
        if self.why is None and self._hits is not None and self._hits not in [call for call, *_ in self._batches[1]]:
            self.why = f"{_of(model.accuracy)} takes other labels than the loss"
        if self.why is not None:
            return
        self._collect(model, parameters)
        self._prepare([*layers, loss], [*data, parameters.values, parameters.gradients, *self._persistent])
        for layer, arrays in self._parts:
            if layer in without:
                arrays["dinputs"] = None

    def _capture(self, model: Any, data: tuple[Array, ...]) -> Any:
        # the calls of a step layer by layer, which does not count, and in `figures` what `run` returns for it
        counts = [layer.calls for layer in self._dropouts]
        with backend.capture() as calls:
            losses, outputs = model._step.forward_loss(True, *data)
            self._mean = len(calls)
            loss = backend.ops.mean.forward(losses.reshape(-1))
            penalty = model._step.batch_loss.regularization_loss()
            self._penalties = range(self._mean + 1, len(calls))
            self._hits = len(calls) if model.accuracy else None
            hits = model.accuracy.hits(outputs, data[1]) if model.accuracy else None
            model._step.backward(*data)
        self.figures = loss, penalty, hits
        for layer, count in zip(self._dropouts, counts):
            layer.calls = count
        return calls

    def count_first(self) -> tuple[float, float, int | None]:
        """Let the step that was captured count: what `run` returns for it."""
        for layer in self._dropouts:
            layer._calls += 1
        return self.figures

    def prove_with(self, model: Any, X: Array, *more: Array) -> None:
        """Compare a step on another batch, made of this one, layer by layer, with these calls; neither counts."""
        data = _other(X), *(np.ascontiguousarray(each[::-1]) for each in more)
        calls = self._capture(model, data)
        if not calls.foreign:  # else next time
            self._compare(calls, *data)

    def run(self, *data: Array) -> tuple[float, float, int | None]:
        """The mean loss of a batch, the penalties, the number of hits (None without accuracy); sets all gradients."""
        self._take(*data)
        replay = self._replay
        for layer, call, place in self._streams:
            replay.integer(call, place, layer._calls)
            layer._calls += 1
        replay.run()
        penalty = 0.0
        for call in self._penalties:
            penalty += replay.result(call)
        return replay.result(self._mean), penalty, None if self._hits is None else replay.result(self._hits)

    def repeatable(self, update: Any) -> bool:
        """Whether `repeat` can be used: not for calls on threads, which Python starts."""
        return bool(self.why is None and self.proved and self._replay.compiled and update.compiled)

    def repeat(self, data: tuple[Array, ...], samples: int, update: Any,
               numbers: Array) -> tuple[list[float], list[float], list[int] | None]:
        """`run` and `update`, an optimizer's recorded call, for each row of its `numbers`: on successive batches of
        `samples` rows of `data`, or, if it has no more rows, on all of them each time. The results of `run`, as lists.
        """
        if self._chain is None or self._chain[0] is not update:
            self._take(*[batch[:samples] for batch in data])
            self._chain = update, backend.Replay(self._calls + update.calls)
        turns = np.arange(len(numbers))
        batches = []
        for batch, places in zip(data, self._batches):
            step = samples * batch.strides[0] if len(batch) > samples else 0
            batches.append((places, address(batch) + step * turns))
        streams = []
        for layer, call, place in self._streams:
            streams.append((call, place, layer._calls + turns))
            layer._calls += len(numbers)
        results = [self._mean, *self._penalties] + ([] if self._hits is None else [self._hits])
        place = len(update.calls[0][1]) - numbers.shape[1]
        losses, *found = self._chain[1].repeat(batches, streams, len(self._calls), place, numbers, results)
        self._take(*[batch[len(batch) - samples:] for batch in data])
        hits = None if self._hits is None else found.pop()
        # not `sum`, which from Python 3.12 on rounds differently than successive additions
        penalties = [reduce(operator.add, each, 0.0) for each in zip(*found)] if found else [0.0] * len(losses)
        return losses, penalties, hits


class Forward(_Recording):
    """The kernel calls for the outputs of batches like X (N, n_inputs), as long as the layers do not change."""

    def __init__(self, model: Any, X: Array) -> None:
        self._states = [vars(layer) for layer in model._walked]
        kinds: set[Any] = {*map(type, model._walked), type(model)}
        self._methods = [(kind, kind.forward) for kind in kinds]
        self._arrays = [(vars(layer), f"_{name}", array) for layer in model._walked
                        for name, array in layer.parameters.items()]
        self._kind = X.shape, X.dtype
        self._input = aligned(*self._kind)
        self._input[...] = X
        with backend.capture() as calls:
            output = model._outputs_for(self._input)
        super().__init__(calls, model._walked, self._input)
        self._busy = threading.Lock()
        if self.why is None:
            self._output, = self._prepare([], [self._input, *self._persistent], output)
            self._take(self._input)

    def fits(self, model: Any, X: Array) -> bool:
        """Whether the model's layers, of which none was replaced, would make the same calls for X."""
        if self.why is not None or (X.shape, X.dtype) != self._kind or "forward" in vars(model):
            return False
        for state, name, array in self._arrays:
            if state.get(name) is not array:
                return False
        for kind, method in self._methods:
            if kind.forward is not method:
                return False
        for state in self._states:
            if "forward" in state:  # of the object's own
                return False
        return True

    def run(self, model: Any, X: Array) -> Array | None:
        """The outputs for X in a new array; None while another thread runs this, and if the calls are not complete."""
        if not self._busy.acquire(blocking=False):
            return None
        try:
            if not self.proved:
                self._input[...] = _other(X)
                self._replay.run()
                with backend.capture() as calls:
                    model._outputs_for(self._input)
                self.prove(calls)
                if self.why is not None:
                    return None
            self._input[...] = X  # 1.5 us less than using X itself and releasing it after
            self._replay.run()
            return self._output.copy()
        finally:
            self._busy.release()

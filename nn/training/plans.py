"""What is recorded of a training: its steps, and its validations, which evaluations are, too."""

import operator
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from .. import backend
from ..arrays import Array, address, aligned
from ..parameters import Parameters
from .recording import COPIED, UNSET, _of, _other, _Recording, buffers, copies, restore
from .step import Data


def _counting(model: Any) -> list[Any]:
    # the layers with a stream of random numbers for each call
    return [layer for layer in model._walked if hasattr(layer, "calls")]


Found = tuple[float, float, int | None]  # mean loss, penalties and hits
Streams = Sequence[tuple[Any, int, int]]  # layers with random numbers: call and argument of each


class Score(_Recording):
    """The kernel calls for loss and accuracy of batches like `data`, X (N, n_inputs), y and optionally weights (N,):
    those of a validation.

    `run` repeats them on other batches of that size. Outputs are then in the same arrays each time, which the layers
    show as `output`.

    Nothing is checked again: labels must be less than the columns of the last output.
    """

    training = False
    _penalties = range(0)  # calls
    total = 0  # of what may be a hit
    _streams: Streams = ()
    _copies: Data = ()  # where `run_copied` puts batches, if they are small

    def __init__(self, model: Any, data: Data, *more: Any) -> None:
        self._dropouts = _counting(model)
        super().__init__(self._capture(model, data), model._walked, *data)
        # a metric may have used a converted copy of labels that the loss used directly
        if self.why is None and self._hits is not None and self._hits not in [call for call, *_ in self._batches[1]]:
            self.why = f"{_of(model.accuracy)} takes other labels than the loss"
        if self.why is None:
            self._bind(model, data, *more)

    def _capture(self, model: Any, data: Data) -> Any:
        # the calls of a pass layer by layer, which does not count, and in `figures` what `run` returns for it
        accuracy, hits = model.accuracy, None
        with backend.capture() as calls:
            losses, outputs = model._step.forward_loss(self.training, *data)
            self._mean = len(calls)
            loss = backend.ops.mean.forward(losses.reshape(-1))
            self._hits = None if accuracy is None else len(calls)
            if accuracy is not None:
                hits = accuracy.hits(outputs, data[1])
                self.total = len(outputs) * accuracy.numbers(outputs.shape[1:])
            self.figures = loss, self._finish(model, calls, data), hits
        return calls

    def _finish(self, model: Any, calls: Any, data: Data) -> float:
        # what a training adds to the calls; the penalties
        return 0.0

    def _bind(self, model: Any, data: Data, *more: Any) -> None:
        kept = [*data, *self._persistent]
        self._check_size(kept)
        if self.why is None:
            self._prepare([*model._walked, model._step.batch_loss], kept)
            if sum(batch.nbytes for batch in data) <= COPIED:
                self._copies = tuple([aligned(batch.shape, batch.dtype) for batch in data])
            for layer, arrays in self._parts:
                if layer in self._dropouts:
                    arrays["binary_mask"] = None

    def prove_with(self, model: Any, X: Array, *more: Array) -> None:
        """Compare a pass over another batch, made of this one, layer by layer, with these calls; neither counts."""
        data, before = (_other(X), *(np.ascontiguousarray(each[::-1]) for each in more)), copies(self._state)
        self._compare(self._capture(model, data), before, *data)
        restore(self._state, before)

    def run(self, *data: Array) -> Found:
        """The mean loss of a batch, the penalties, the number of hits (None without accuracy); when training, also sets
        all gradients."""
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

    def run_copied(self, *data: Array) -> Found:
        """`run` on a copy of a small batch, in the same arrays each time; the layers show the batch itself."""
        if not self._copies:
            return self.run(*data)
        for copy, batch in zip(self._copies, data):
            copy[...] = batch
        found = self.run(*self._copies)
        for number, batch in enumerate(data):
            self._see(batch, number)
        return found

    def release(self) -> None:
        if not self._copies or self._last is None or self._last[0] is not self._copies[0]:
            super().release()

    def _results(self, before: int = 0) -> list[int]:
        # the calls whose results `repeat` returns, after so many others
        return [before + call for call in (self._mean, *self._penalties, *[self._hits] * (self._hits is not None))]


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
        streams = []
        for layer in _counting(model):
            call = self._places(layer.binary_mask)[0][0]
            streams.append((layer, call, len(calls[call][1]) - 1))
            self._form[call][-1] = None  # it counts, and is no number of the batch
        self._streams: Streams = streams

    def _rerun(self, calls: Any) -> None:
        # without clipping: it comes after, and changes the gradients
        replay = self._replay if len(self._calls) == self._length else backend.Replay(self._calls[:self._length])
        for _, call, place in self._streams:
            if call < len(calls) and calls[call][0] is self._calls[call][0]:  # else `prove` says what differs
                replay.integer(call, place, calls[call][1][place])
                calls[call][1][place] = None
        replay.run()


class Plan(Update, Score):
    """A Score in training, and what follows: penalties, backward, clipping.

    Gradients, too, are then in the same arrays at each step, which the layers show as `dinputs`, `dweights` and so on.
    """

    training = True

    def __init__(self, model: Any, parameters: Parameters, *data: Array) -> None:
        self._chain: tuple[Any, ...] = (None, None)  # recorded calls that follow, and all calls of a step with them
        self.pace = 1  # steps at once in the last training
        layers = model._walked
        before = [(layer, layer.dinputs) for layer in layers if "dinputs" in vars(layer)]
        state = buffers(layers)
        values = copies(state)
        for layer, _ in before:
            layer.dinputs = UNSET
        try:
            super().__init__(model, data, parameters)
        finally:
            without = [layer for layer in layers if vars(layer).get("dinputs", UNSET) is None]  # a step sets it so
            for layer, array in before:
                if layer.dinputs is UNSET:
                    layer.dinputs = array
        if self.why is not None:
            restore(state, values)  # the step is made again, layer by layer
        else:
            for layer, arrays in self._parts:
                if layer in without:
                    arrays["dinputs"] = None

    def _capture(self, model: Any, data: Data) -> Any:
        counts = [layer.calls for layer in self._dropouts]
        try:
            return super()._capture(model, data)
        finally:
            for layer, count in zip(self._dropouts, counts):
                layer.calls = count

    def _finish(self, model: Any, calls: Any, data: Data) -> float:
        first = len(calls)
        penalty: float = model._step.batch_loss.regularization_loss()
        self._penalties = range(first, len(calls))
        model._step.backward(*data)
        return penalty

    def _bind(self, model: Any, data: Data, *more: Any) -> None:
        parameters, = more
        self._collect(model, parameters)
        self._prepare([*model._walked, model._step.batch_loss],
                      [*data, parameters.values, parameters.gradients, *self._persistent])

    def count_first(self) -> Found:
        """Let the step that was captured count: what `run` returns for it."""
        for layer in self._dropouts:
            layer._calls += 1
        return self.figures

    def repeatable(self, *others: Any) -> bool:
        """Whether `repeat` can be used: not for calls on threads, which Python starts."""
        return bool(self.why is None and self.proved and self._replay.compiled
                    and all(other.compiled for other in others))

    def repeat(self, data: Data, samples: int, update: Any, numbers: Array,
               score: Score | None = None, validation: Data = ()) -> tuple[list[Any], ...]:
        """`run` and `update`, an optimizer's recorded call, for each row of its `numbers`: on successive batches of
        `samples` rows of `data`, or, if it has no more rows, on all of them each time; then a `score` of `validation`,
        if there is one.

        Returns lists: losses, penalties and hits of the steps (no list without accuracy), then losses and hits of the
        validations.
        """
        after = len(self._calls) + len(update.calls)
        if self._chain[:2] != (update, score):
            self._take(*[batch[:samples] for batch in data])
            calls = self._calls + update.calls
            if score is not None:
                score._take(*validation)
                calls = calls + score._calls
            batches = [each._last for each in (self, score) if each is not None]
            self._chain = update, score, backend.Replay(calls, batches)
        turns = np.arange(len(numbers))
        moving = []
        for batch, places in zip(data, self._batches):
            step = samples * batch.strides[0] if len(batch) > samples else 0
            moving.append((places, address(batch) + step * turns))
        results = self._results()
        if score is not None:
            for batch, places in zip(validation, score._batches):
                later = [(after + call, arg, shape) for call, arg, shape in places]
                moving.append((later, address(batch) + 0 * turns))
            results += score._results(after)
        streams = []
        for layer, call, place in self._streams:
            streams.append((call, place, layer._calls + turns))
            layer._calls += len(numbers)
        place = len(update.calls[0][1]) - numbers.shape[1]
        losses, *found = self._chain[2].repeat(moving, streams, len(self._calls), place, numbers, results)
        self._take(*[batch[len(batch) - samples:] for batch in data])
        if score is not None:
            score._take(*validation)
        several, found = found[:len(self._penalties)], found[len(self._penalties):]
        # not `sum`, which from Python 3.12 on rounds differently than successive additions
        penalties = [reduce(operator.add, each, 0.0) for each in zip(*several)] if several else [0.0] * len(losses)
        return losses, penalties, *found

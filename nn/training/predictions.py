"""Predictions: recorded where the layers allow that, when a number of samples comes again."""

from __future__ import annotations

import threading
from typing import Any

from .. import backend
from ..arrays import Array, aligned
from .recording import COPIED, MOST, _other, _Recording
from .watching import Watch, reason, recordable

SHAPES = 40  # of inputs, that are remembered


class Forward(_Recording):
    """The kernel calls for the outputs of batches like X (N, n_inputs), as long as the layers do not change."""

    ready = False  # whether it is proved, and may run

    def __init__(self, model: Any, X: Array) -> None:
        self.dtype, self._input = X.dtype, None
        self._busy = threading.Lock()
        self.why = reason(model, model._walked, X.dtype)
        if self.why is not None:
            return
        if X.nbytes <= COPIED:
            self._input = aligned(X.shape, X.dtype)
            self._input[...] = X
            X = self._input
        with backend.capture() as calls:
            output = model._outputs_for(X)
        super().__init__(calls, model._walked, X)
        kept = [X, *self._persistent]
        self._check_result(output, "the outputs")
        self._check_size(kept)
        if self.why is None:
            self._output, = self._prepare([], kept, output)

    def prove_with(self, model: Any, X: Array) -> None:
        """Compare the outputs for another batch, made of this one, layer by layer, with these calls."""
        with self._busy:
            other = _other(X)
            with backend.capture() as calls:
                model._outputs_for(other)
            self._compare(calls, [], other)
            if self._input is not None:
                self._take(self._input)
            self.ready = self.proved and self.why is None

    def run(self, X: Array) -> Array | None:
        """The outputs for X, in any order of its elements, in a new array; None while another thread runs this."""
        if not self._busy.acquire(False):
            return None
        try:
            if self._input is not None:
                self._input[...] = X
                self._replay.run()
            else:
                try:
                    self._take(X if X.flags.carray else X.copy())
                    self._replay.run()
                finally:
                    self.release()
            found: Array = self._output.copy()
            return found
        finally:
            self._busy.release()


class Predictions:
    """What is recorded of a model's predictions, by the shapes of their inputs; it begins anew when the layers change.
    Several threads may use it at once."""

    def __init__(self) -> None:
        # None for a shape that came once: a recording takes as long as ten predictions
        self._state: tuple[Watch | None, dict[Any, Forward | None]] = None, {}
        self.why: str | None = None  # why the last one was not recorded

    def repeat(self, model: Any, X: Array) -> Array | None:
        """The outputs for an array X, as it is, if they are recorded and nothing has changed since; else None."""
        watch, known = self._state
        found = known.get(X.shape)
        if found is None or not found.ready or X.dtype is not found.dtype or not watch.same(model):  # type: ignore
            return None
        self.why = None
        return found.run(X)

    def outputs(self, model: Any, X: Array) -> Array | None:
        """The outputs for prepared inputs X, recorded from the second of their shape on; None if they are not."""
        found = self.repeat(model, X)
        if found is not None or not X.size:
            return found
        watch, known = self._state
        if watch is None or not watch.same(model):
            watch = Watch(model, model._walked, methods=("forward",)) if recordable(*model._walked) else None
            self._state = watch, known = watch, {}
        self.why = None if watch is not None else reason(model, model._walked, X.dtype)
        if watch is None:
            return None
        forward = known.get(X.shape)
        if X.shape not in known or forward is not None and forward.dtype is not X.dtype:
            self._keep(known, X, None)
            return None
        if not X.flags.carray:  # kernels would copy it
            X = X.copy()
        if forward is None:
            forward = Forward(model, X)
            self._keep(known, X, forward)
        if forward.why is None and not forward.ready:
            forward.prove_with(model, X)
        self.why = forward.why
        return forward.run(X) if forward.ready else None

    @staticmethod
    def _keep(known: dict[Any, Forward | None], X: Array, forward: Forward | None) -> None:
        known.pop(X.shape, None)
        known[X.shape] = forward
        while len(known) > SHAPES or sum(each.size for each in [*known.values()] if each is not None) > MOST:
            known.pop(next(iter(known)), None)

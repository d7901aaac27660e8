"""Validations and evaluations: recorded where the parts of a model allow that, else layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import backend
from .plans import Score
from .recording import MOST
from .step import Data
from .watching import Watch, reason, recordable

KINDS = 6  # of batches, whose recordings are kept


class Scores:
    """Evaluates data, which is checked, for the model of some `Steps`."""

    def __init__(self) -> None:
        # by shapes and dtypes of a batch; None for one that came once: a recording takes as long as several evaluations
        self._known: dict[Any, Score | None] = {}
        self._watch: Watch | None = None
        self._seen: Watch | None = None  # that of the steps, at the last look
        self.why: str | None = None  # why the last evaluation was not recorded

    def recorded(self) -> list[Score]:
        """All recordings."""
        return [score for score in self._known.values() if score is not None]

    def evaluate(self, steps: Any, model: Any, batches: Iterable[Data], soon: bool) -> tuple[float, float | None]:
        """Mean loss and accuracy of batches. They are recorded when they come again, or `soon`, as in a training: when
        they come first."""
        for number, data in enumerate(batches):
            if not number:
                soon = self._begin(steps, model, data[0].dtype, soon)
            self._score(steps, model, data, soon)
        if self._watch is not None and not any(self._known.values()) and not self._watch.same(model):
            self._watch = Watch(model, self._parts(model))  # the first pass has given the layers their attributes
        found: tuple[float, float | None] = model._step.means()
        return found

    def _begin(self, steps: Any, model: Any, dtype: Any, soon: bool) -> bool:
        # in a training nobody changes what its steps have seen to be unchanged, but a user's schedule may
        if (not soon or self._seen is None or self._seen is not steps.watch or backend.name != "numba"
                or callable(model.optimizer.learning_rate)):
            soon = self._look(model, dtype) and soon
            self._seen = steps.watch
        model._step.new_pass()
        return soon

    def ready(self, model: Any, data: Data, batch_size: int | None) -> Score | None:
        """The recording for all of the data at once, if that is how it is evaluated."""
        if batch_size is not None and batch_size < len(data[0]) or self._watch is None or not self._watch.same(model):
            return None
        score = self._known.get(_kind(data))
        return score if score is not None and score.why is None and score.proved else None

    def _look(self, model: Any, dtype: Any) -> bool:
        # forgets what was recorded if anything has changed; whether nothing has since the last time
        before, parts = self._watch, self._parts(model)
        if before is not None and before.same(model):
            return True
        self.why, self._known = reason(model, parts, dtype), {}
        if self.why is None and (model._output_shape is None or model._output_shape != model._shape()):
            self.why = "the shape of the outputs is not known, or changed since finalize"  # labels were checked for it
        self._watch = Watch(model, parts) if self.why is None and recordable(*parts) else None
        return before is None

    @staticmethod
    def _parts(model: Any) -> list[Any]:
        step = model._step
        return [*model._walked, step.batch_loss, step.loss, step.accuracy]

    def _score(self, steps: Any, model: Any, data: Data, soon: bool) -> None:
        # one batch, which then counts
        found = self._repeat(steps, model, data, soon) if self._watch is not None else None
        if found is None:
            steps.shown = None
            model._step.score(False, *data)
            return
        loss, hits, total = found
        model.loss.count(loss, len(data[0]))
        if hits is not None:
            model.accuracy.count(hits, total)

    def _repeat(self, steps: Any, model: Any, data: Data, soon: bool) -> tuple[float, int | None, int] | None:
        # what a recording gives for a batch; None if the batch goes layer by layer
        kind = _kind(data)
        score = self._known.get(kind)
        first, self.why = score is None, None
        if score is None:
            if not soon and kind not in self._known:
                self._keep(kind, None)
                return None
            score, steps.memory = Score(model, data), None
            self._keep(kind, score)
        elif score.why is None and not score.proved:
            score.prove_with(model, *data)
            steps.shown = None
        self.why = score.why
        if score.why is not None or not first and not score.proved:
            return None
        steps.show(score)
        loss, _, hits = score.figures if first else score.run(*data) if soon else score.run_copied(*data)
        return loss, hits, score.total

    def _keep(self, kind: Any, score: Score | None) -> None:
        known = self._known
        known.pop(kind, None)
        known[kind] = score  # the newest is the last
        while len(known) > KINDS or sum(each.size for each in self.recorded()) > MOST:
            del known[next(iter(known))]


def _kind(data: Data) -> Any:
    return tuple([(each.shape, each.dtype) for each in data])

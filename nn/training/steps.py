"""The steps of a model's training: recorded ones where its parts allow that, else layer by layer."""

import weakref
from itertools import repeat
from operator import add
from typing import Any

from .. import backend
from ..arrays import Array
from ..layers import Layer
from ..parameters import Parameters, buffers_of
from .batches import Batches, parts
from .plans import Plan, Score
from .recording import Spans
from .scores import Scores
from .step import Data
from .watching import Watch, arrays_of, reason, settings

Figures = tuple[float, float, float | None, float]  # of a step: loss, penalties, accuracy, learning rate

SIZES = 4  # batches' sizes of single steps that are remembered


class Steps:
    """Makes steps for `Model.train`, which has checked the data. `check` detects changes in between."""

    def __init__(self, model: Any) -> None:
        self._of = weakref.ref(model)  # no cycle: a model is freed as soon as nobody has it
        self.plans: dict[int, Plan] = {}  # by the number of samples
        self.parameters: Parameters | None = None
        self.scores = Scores()
        self.memory: Spans | None = None  # that parameters and recordings use; None after there is another one
        self.halves: Any = None  # the plan of a step from a gradient; see halves.py
        self.from_gradients = False  # whether there was such a step
        self.last_shape: tuple[int, ...] = ()  # of the inputs of the last one
        self.shown: Any = None  # the plan whose arrays the layers show as their attributes
        self.outputs: Any = None  # shape and dtype of those of the last `forward`
        self.why: str | None = None  # why the last training was not recorded
        self._recorded_for: tuple[Any, ...] | None = None
        self.changed = False  # whether the last `check` found another of these
        self._kinds: list[Any] = []  # of the data of `plans`
        self.watch: Watch | None = None  # whether anything has changed since the last `check`
        self._now: Any = None  # what else the last `check` saw, and the reason that it found
        self._found: str | None = None
        self._arrays: list[Array] = []  # that the layers keep
        self._plannable = False
        self._sizes: set[int] = set()  # of the batches that single steps had

    @property
    def _model(self) -> Any:
        return self._of()

    def begin(self, data: Data, *sizes: int) -> None:
        """Before the first step of a training, in batches of these sizes."""
        self.check(*data)
        self.plans = {size: plan for size, plan in self.plans.items() if size in sizes}

    def _parts(self) -> tuple[Any, ...]:
        step = self._model._step
        return step.batch_loss, step.loss, step.optimizer, step.accuracy

    def check(self, *data: Array) -> bool:
        """At the start, and after each callback: it may have changed anything. Whether steps are recorded."""
        model = self._model
        self.shown = None
        self.release()  # X may have moved
        now = model.clip_norm, [(each.dtype, each.shape[1:]) for each in data]
        if (self.watch is None or self._now != now or model._steps is not self or not self.watch.same(model)
                or not all([array.flags.carray for array in self._arrays])):
            model._check_ready("optimizer", *["loss"] * (len(data) > 1))
            self.watch = None
            self._look(model, data)
            self._now, self._found = now, self.why
        else:
            self.why, self.changed = self._found, False
        return self._plannable

    def _look(self, model: Any, data: Data) -> None:
        # at all that steps depend on; forgets what was recorded for something else
        step, trained = model._step, model._trained()
        self.why = self._reason(data, trained)
        self._plannable = plannable = self.why is None
        if plannable and (self.parameters is None or self.parameters.layers != trained
                          or not self.parameters.copy_assigned()):
            self.parameters, self.memory = Parameters(trained), None
            self.plans, self.halves = {}, None
        layers, accuracy = model._walked, model.accuracy
        self._arrays = [array for layer in layers for array in arrays_of(layer)] if plannable else []
        # the arrays that the plans use and keep alive, but for parameters that are trained, which `copy_assigned` finds
        kept = [id(array) for layer in layers if plannable
                for array in (buffers_of(layer).values() if layer in trained else arrays_of(layer))]
        recorded_for = (plannable, kept, data[0].dtype, backend.get_num_threads(), *self._parts(), model.clip_norm,
                        settings([*layers, step.batch_loss, accuracy]))
        kinds = [(each.dtype, each.shape[1:]) for each in data]
        if len(data) > 1 and kinds != self._kinds:
            self.plans, self._kinds = {}, kinds
        self.changed = self._recorded_for not in (None, recorded_for)
        if recorded_for != self._recorded_for:
            self.plans, self.halves = {}, None
            self._recorded_for = recorded_for
            if self.parameters is not None:
                self.parameters.updating = None
        if plannable:
            self.watch = Watch(model, [*layers, step.batch_loss, step.loss, accuracy], step.optimizer)

    def unsteady(self) -> bool:
        """Whether a single step is better made layer by layer: what changed may change at each step."""
        if self.changed and self._plannable:
            self.why = "the layers, or other parts of the model, were changed since the step before"
        return self.changed

    def _reason(self, data: Data, trained: list[Layer]) -> str | None:
        # why no step can be recorded, in one sentence
        model = self._model
        if backend.name == "numba":
            if model._steps is not self:  # y was checked for the outputs of then
                return "the model was finalized during the training"
            if not trained:
                return "no layer is trained"
        why = reason(model, [*model._walked, *self._parts()], data[0].dtype)
        loss = model._step.batch_loss
        if why is None and loss is not None and model._step.penalized != list(loss.trainable_layers):
            return "the loss penalizes other layers than the model has"
        if why is None and model._shape() != model._output_shape:  # as y was checked
            return "the shape of the outputs changed since finalize"
        return why

    def shares(self, x: Array) -> bool:
        """Whether an array may share memory with what a step reads or writes."""
        if x.base is None:  # what recordings write are views
            return False
        if self.memory is None:
            kept = [each for each in [self.parameters, *self._recorded(), *self.scores.recorded()] if each is not None]
            self.memory = Spans(set().union(*[each.spans for each in kept]))
        return self.memory.meet(x)

    def apart(self, data: Data) -> Data:
        """Data apart from the memory that a step writes: it would write what it reads."""
        return tuple([each.copy() if self.shares(each) else each for each in data])

    def evaluable(self, data: Any) -> Any:
        """Data as recorded evaluations take it: kernels would copy inputs that are read-only or not aligned."""
        if isinstance(data, Batches):
            return data.then(self.evaluable)
        X, *more = data  # these are copies
        return X if X.flags.carray and not self.shares(X) else X.copy(), *more

    def _recorded(self) -> list[Any]:
        return [*self.plans.values(), *[self.halves] * (self.halves is not None)]

    def pace(self, batch: int) -> int:
        """How many steps of that many samples the last training made at once."""
        return self.plans[batch].pace if batch in self.plans else 1

    def end(self, batch: int, pace: int) -> None:
        """After the last step: release the data, but remember the pace."""
        self.release()
        if batch in self.plans:
            self.plans[batch].pace = pace

    def release(self) -> None:
        """Let no recording keep a batch."""
        for each in [*self._recorded(), *self.scores.recorded()]:
            each.release()

    def single(self, *data: Array) -> Figures:
        """A step that belongs to no training: by a plan from the second of its size, and of the same layers, on."""
        X, *more = data  # these are copies
        data = X.copy() if self.shares(X) else X, *more
        samples = len(data[0])
        known = samples in self._sizes
        if known:
            self.begin(data, *self._sizes)
        else:
            self._sizes = {samples, *self._sizes} if len(self._sizes) < SIZES else {samples}
            self.why = None
        if not known or self.unsteady():
            return *self.by_layers(*data), self._model.optimizer.current_learning_rate
        try:
            return self.step(*data)
        finally:
            self.release()

    def step(self, *data: Array) -> Figures:
        """A step on a batch: by a plan for its size, if there can be one."""
        model = self._model
        samples = len(data[0])
        plannable = self._plannable and backend.name == "numba"  # any thread may switch at any time
        plan = self.plans.get(samples) if plannable else None
        first = plannable and plan is None
        if first:
            plan = self.plans[samples] = Plan(model, self.parameters, *data)  # type: ignore[arg-type]
            self.memory = None
        elif plan is not None and plan.why is None and not plan.proved:
            plan.prove_with(model, *data)
            self.shown = None
        if plan is None or plan.why is not None or not first and not plan.proved:
            if plan is not None:
                self.why = plan.why
            return *self.by_layers(*data), model.optimizer.current_learning_rate
        self.show(plan)
        loss, penalty, hits = plan.count_first() if first else plan.run(*data)
        self._count(loss, penalty, samples)
        self.update()
        share = None if hits is None else model.accuracy.count(hits, plan.total)
        return loss, penalty, share, model.optimizer.current_learning_rate

    def update(self) -> None:
        """Update the parameters of all layers at once."""
        optimizer = self._model.optimizer
        optimizer.pre_update_params()
        optimizer.update_all(self.parameters)
        optimizer.post_update_params()

    def by_layers(self, *data: Array) -> tuple[float, float, float | None]:
        """A step that is not recorded: mean loss, penalties and accuracy."""
        model = self._model
        self.shown = None
        found: tuple[float, float, float | None] = model._step.make(data, model._trained, model.clip_norm,
                                                                    model._own_backward())
        return found

    def batches(self, data: Data, batch: int) -> list[Figures]:
        """A step on each batch of `data` in turn."""
        samples = len(data[0])
        found = self._repeat(data, batch, samples // batch)
        if found is None:
            return [self.step(*[each[at:at + batch] for each in data]) for at in range(0, samples, batch)]
        losses, penalties, rates, *hits = found
        for loss, penalty in zip(losses, penalties):
            self._count(loss, penalty, batch)
        total = self.plans[batch].total
        shares = [self._model.accuracy.count(hit, total) for hit in hits[0]] if hits else repeat(None)
        return list(zip(losses, penalties, shares, rates))

    def epochs(self, data: Data, epochs: int, validation: Data | None = None, batch_size: int | None = None
               ) -> tuple[dict[str, list[float]], Figures] | None:
        """Run epochs of one step each on all data, and then a validation, if all of that is recorded. Returns figures
        as in a model's history, and those of the last step."""
        samples = len(data[0])
        score = None if validation is None else self.scores.ready(self._model, validation, batch_size)
        found = None if score is None is not validation else self._repeat(
            data, samples, epochs, *[] if score is None else [score, validation])
        if found is None:
            return None
        means, penalties, rates, *more = found
        losses = [mean * samples / samples for mean in means]  # rounded as in `Trainer._end`
        penalties = [penalty * samples / samples for penalty in penalties]
        history = {"loss": [*map(add, losses, penalties)], "regularization_loss": penalties, "learning_rate": rates}
        accuracy = self._passed(history, "accuracy", means, more, self.plans[samples], samples)
        last = losses[-1], penalties[-1], accuracy, rates[-1]
        if score is not None and validation is not None:
            means, count = more.pop(0), len(validation[0])
            history["val_loss"] = [mean * count / count for mean in means]
            self._passed(history, "val_accuracy", means, more, score, count)
        return history, last

    def _passed(self, history: dict[str, list[float]], name: str, means: list[float], more: list[Any], score: Score,
                samples: int) -> float | None:
        # the last of these passes counts; adds their accuracies to a history
        model = self._model
        model._step.new_pass()
        model.loss.count(means[-1], samples)
        if model.accuracy is None:
            return None
        hits = more.pop(0)
        history[name] = [hit / score.total for hit in hits]
        share: float = model.accuracy.count(hits[-1], score.total)
        return share

    def _repeat(self, data: Data, batch: int, steps: int, *validation: Any) -> tuple[list[Any], ...] | None:
        # recorded steps in one call: losses, penalties, learning rates, and what else `Plan.repeat` returns; None if
        # they must run one by one
        plan, parameters, optimizer = self.plans.get(batch), self.parameters, self._model.optimizer
        if (steps <= 1 or not self._plannable or backend.name != "numba" or plan is None or parameters is None
                or not optimizer.recorded(parameters)
                or not plan.repeatable(parameters.updating.replay, *[each._replay for each in validation[:1]])):
            return None
        numbers = optimizer.ahead(parameters, steps)
        if numbers is None:
            return None
        # the steps count before the call: Ctrl-C is raised as soon as it returns
        losses, penalties, *more = plan.repeat(data, batch, parameters.updating.replay, numbers, *validation)
        self.show(plan)
        if validation:
            self.show(validation[0])
        return losses, penalties, numbers[:, 0].tolist(), *more

    def validate(self, data: Data | Batches, batch_size: int | None) -> tuple[float, float | None]:
        """Mean loss and accuracy of data, after an epoch of a training."""
        return self.scores.evaluate(self, self._model, parts(data, batch_size), soon=True)

    def evaluate(self, data: Data | Batches, batch_size: int | None) -> tuple[float, float | None]:
        """Mean loss and accuracy of data."""
        try:
            return self.scores.evaluate(self, self._model, parts(self.evaluable(data), batch_size), soon=False)
        finally:
            self.release()

    def show(self, recording: Any) -> None:
        """Let the layers have the arrays of a recording as their attributes."""
        if recording is not self.shown:
            recording.show()
            self.shown = recording

    def _count(self, loss: float, penalty: float, samples: int) -> None:
        self._model.loss.count(loss, samples)
        self._model._step.penalty += penalty * samples

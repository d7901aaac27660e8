"""A training: its epochs, and what is printed, noted and called after each."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from ..arrays import Array
from ..checks import function, shown
from .history import note
from .pace import Pace
from .progress import bar, compiling, say
from .step import Data
from .steps import Figures, Steps


class StopTraining(Exception):
    """Raised by a callback to end the training after this epoch."""


class Order:
    """The order of the samples in each epoch, from a seed as `Model.train` takes it."""

    def __init__(self, seed: Any, before: int) -> None:
        self._seed, self._before = seed, before  # epochs of earlier trainings
        self._random = np.random.default_rng(seed)

    def of(self, epoch: int, samples: int) -> Array:
        """Of an epoch, from 1."""
        if isinstance(self._seed, int):
            self._random = np.random.default_rng([self._seed, self._before + epoch - 1])
        return self._random.permutation(samples)


class Trainer:
    """One training of a model on data that is prepared: `run` makes its epochs.

    A batch goes from here to `Steps`, and on to a recorded step or layer by layer.
    """

    def __init__(self, model: Any, steps: Steps, data: Data, batch: int, *, order: Order | None,
                 validation: Data | None, batch_size: int | None, print_every: int | None, callbacks: Sequence[Any],
                 progress: bool | None) -> None:
        self._model, self._steps = model, steps
        self._data, self._batch, self._order = data, batch, order
        self._validation, self._batch_size = validation, batch_size
        self._callbacks, self._progress = callbacks, progress
        self._count = -(-len(data[0]) // batch)  # steps of an epoch
        # an epoch of one step has a line; one of several has a line for its steps, and more
        self._by_step = print_every if self._count > 1 else None
        self._by_epoch = None if self._count > 1 else print_every
        self._at_once = self._count == 1 and order is None and not callbacks
        self._pace = Pace(steps.pace(batch))
        self._epoch = 0
        self._warned = False
        self._bar: Any = None
        self._validated: tuple[float, float | None] | None = None

    def run(self, epochs: int) -> None:
        """Make that many epochs, or as many as the callbacks let pass."""
        self._bar, hint = bar(epochs * self._count, self._progress), ExitStack()
        try:
            hint.enter_context(compiling(self._progress))
            while self._epoch < epochs:
                if not (self._at_once and self._epochs_at_once(epochs)):
                    self._epoch_by_steps()
        except StopTraining:
            pass
        except KeyboardInterrupt:
            finish(self._callbacks)
            raise
        finally:
            try:
                self._steps.end(self._batch, self._pace.steps)
            finally:  # of Ctrl-C in between, too
                hint.close()
                if self._bar is not None:
                    self._bar.close()
        if self._by_epoch and self._validated:
            say_validation(*self._validated, title=f"epoch: {self._epoch}, validation"
                           if self._epoch % self._by_epoch else "validation")
        finish(self._callbacks)

    def _epochs_at_once(self, epochs: int) -> bool:
        # epochs of one step each, up to the next line; False if they must be made one by one
        ahead, every = epochs - self._epoch, self._by_epoch
        if every is not None:
            ahead = min(ahead, every - self._epoch % every)
        found = self._steps.epochs(self._data, self._pace.next(ahead), self._validation, self._batch_size)
        if found is None:
            return False
        passed, last = found
        losses = passed["loss"]
        note(self._model.history, passed)
        self._warn(losses, self._epoch + 1, None)
        self._epoch += len(losses)
        if every and self._epoch % every == 0:
            say(f"epoch: {self._epoch}, {line(*last)}")
        if self._validation is not None:
            self._validated = self._model._step.means()
        if self._bar is not None:
            self._bar.update(len(losses))
        return True

    def _epoch_by_steps(self) -> None:
        # an epoch, step by step
        self._epoch += 1
        if self._by_step:
            say(f"epoch: {self._epoch}")
        self._model._step.new_pass()
        order = None if self._order is None else self._order.of(self._epoch, len(self._data[0]))
        step = 0
        while step < self._count:
            found = self._next_steps(step, order)
            self._warn([figures[0] + figures[1] for figures in found], self._epoch, step)
            for step, figures in enumerate(found, step):
                if self._by_step and (step % self._by_step == 0 or step == self._count - 1):
                    say(f"step: {step}, {line(*figures)}")
            step += 1
            if self._bar is not None:
                self._bar.update(len(found))
        self._end()

    def _next_steps(self, step: int, order: Array | None) -> list[Figures]:
        # steps from this one on, as many as take a few ms
        data, batch = self._data, self._batch
        if self._count == 1 and order is None:
            return [self._steps.step(*data)]
        count = self._pace.next(len(data[0]) // batch - step) if self._count > 1 else 1
        rows: Any = slice(step * batch, (step + count) * batch)
        if order is not None:
            rows = order[rows]
        return self._steps.batches(tuple(each[rows] for each in data), batch)

    def _end(self) -> None:
        # of an epoch: its lines, its figures, its callbacks
        model, epoch = self._model, self._epoch
        loss, accuracy = model._step.means()
        penalty, rate = model._step.penalty / len(self._data[0]), float(model.optimizer.current_learning_rate)
        if self._by_step or self._by_epoch and epoch % self._by_epoch == 0:
            say(f"{'training' if self._by_step else f'epoch: {epoch}'}, {line(loss, penalty, accuracy, rate)}")
        found = {"loss": loss + penalty, "regularization_loss": penalty, "accuracy": accuracy, "learning_rate": rate}
        if self._validation is not None:
            self._validated = self._steps.validate(self._validation, self._batch_size)
            found["val_loss"], found["val_accuracy"] = self._validated
        note(model.history, {name: [value] for name, value in found.items() if value is not None})
        if self._by_step and self._validated:
            say_validation(*self._validated)
        if self._callbacks:
            for each in self._callbacks:
                each(epoch)
            self._steps.check(*self._data)

    def _warn(self, losses: list[float], epoch: int, step: int | None) -> None:
        # once, of the first loss that is not finite: of the steps from `step` on, or of epochs of one step
        if self._warned or math.isfinite(sum(losses)):
            return
        for place, loss in enumerate(losses):
            if not math.isfinite(loss):
                at = f"epoch {epoch + place}, step 0" if step is None else f"epoch {epoch}, step {step + place}"
                warnings.warn(f"the loss is {loss} in {at}: try a smaller learning rate, look for NaN in the data, or "
                              "end such trainings with nn.callbacks.TerminateOnNaN", RuntimeWarning, stacklevel=6)
                self._warned = True
                return


def line(loss: float, penalty: float, accuracy: float | None, rate: float) -> str:
    """The book's line of figures."""
    return (f"{'' if accuracy is None else f'acc: {accuracy:.3f}, '}loss: {loss + penalty:.3f} "
            f"(data_loss: {loss:.3f}, reg_loss: {penalty:.3f}), lr: {rate}")


def say_validation(loss: float, accuracy: float | None, title: str = "validation") -> None:
    """Print the book's line after a validation."""
    say(f"{title}, {'' if accuracy is None else f'acc: {accuracy:.3f}, '}loss: {loss:.3f}")


def as_callbacks(callback: Any) -> Sequence[Callable[[int], Any]]:
    """What `Model.train` was given as a sequence, checked: a fault would show after the first epoch, that of `finish`
    after the last."""
    found = () if callback is None else (callback,) if callable(callback) else callback
    if not isinstance(found, (tuple, list)) or not all(map(callable, found)):
        raise TypeError(f"callback must be a callable or a list of callables, got {shown(callback)}")
    for each in found:
        function("callback", each, "the number of the epoch", 1)
        for name, takes, example in (("begin", "the model", (None,)), ("finish", "no argument", ())):
            if hasattr(each, name):
                function(f"{name} of a callback", getattr(each, name), takes, *example)
    return found


def finish(callbacks: Sequence[Any]) -> None:
    """The end of a training, also by Ctrl-C."""
    for each in callbacks:
        if hasattr(each, "finish"):
            each.finish()

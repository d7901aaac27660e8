"""A training: its epochs, and what is printed, noted and called after each."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from ..checks import function, shown
from .batches import Batches
from .feeds import ArrayFeed, BatchFeed
from .history import note
from .progress import bar, compiling, say
from .step import Data
from .steps import Steps


class StopTraining(Exception):
    """Raised by a callback to end the training after this epoch."""


class Trainer:
    """One training of a model on what it is fed with: `run` makes its epochs.

    A batch goes from the feed to `Steps`, and on to a recorded step or layer by layer.
    """

    def __init__(self, model: Any, steps: Steps, feed: ArrayFeed | BatchFeed, *, validation: Data | Batches | None,
                 print_every: int | None, callbacks: Sequence[Any], progress: bool | None) -> None:
        self._model, self._steps, self._feed, self._validation = model, steps, feed, validation
        self._callbacks, self._progress = callbacks, progress
        # an epoch of one step has a line; one of several has a line for its steps, and more
        self._by_step = print_every if feed.several else None
        self._by_epoch = None if feed.several else print_every
        self._at_once = feed.at_once and not callbacks and not isinstance(validation, Batches)
        self._epoch = 0
        self._warned = False
        self._bar: Any = None
        self._validated: tuple[float, float | None] | None = None

    def run(self, epochs: int) -> None:
        """Make that many epochs, or as many as the callbacks let pass."""
        count = self._feed.count
        self._bar, hint = bar(None if count is None else epochs * count, self._progress), ExitStack()
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
                self._feed.end()
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
        found = self._feed.epochs(ahead, self._validation)  # type: ignore[union-attr, arg-type]
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
        step, figures = 0, None
        for found in self._feed.steps(self._epoch):
            self._warn([each[0] + each[1] for each in found], self._epoch, step)
            for step, figures in enumerate(found, step):
                if self._by_step and step % self._by_step == 0:
                    say(f"step: {step}, {line(*figures)}")
            step += 1
            if self._bar is not None:
                self._bar.update(len(found))
        if self._by_step and figures and (step - 1) % self._by_step:
            say(f"step: {step - 1}, {line(*figures)}")
        self._end()

    def _end(self) -> None:
        # of an epoch: its lines, its figures, its callbacks
        model, epoch = self._model, self._epoch
        loss, accuracy = model._step.means()
        penalty, rate = model._step.penalty / self._feed.samples, float(model.optimizer.current_learning_rate)
        if self._by_step or self._by_epoch and epoch % self._by_epoch == 0:
            say(f"{'training' if self._by_step else f'epoch: {epoch}'}, {line(loss, penalty, accuracy, rate)}")
        found = {"loss": loss + penalty, "regularization_loss": penalty, "accuracy": accuracy, "learning_rate": rate}
        if self._validation is not None:
            self._validated = self._steps.validate(self._validation, self._feed.batch_size)
            found["val_loss"], found["val_accuracy"] = self._validated
        note(model.history, {name: [value] for name, value in found.items() if value is not None})
        if self._by_step and self._validated:
            say_validation(*self._validated)
        if self._callbacks:
            for each in self._callbacks:
                each(epoch)
            self._feed.check()

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

"""What a training can call after each epoch: `model.train(..., callback=nn.callbacks.EarlyStopping(model))`."""

import csv
import math
import os
from pathlib import Path
from typing import Any

from .arrays import finite, whole
from .model import Model, StopTraining


class _Callback:
    def __init__(self, model: Model) -> None:
        if not isinstance(model, Model):
            raise TypeError(f"model must be an nn.Model, got {model!r}")
        self.model = model
        self._before: dict[str, tuple[int, float]] = {}  # how long the history's lists were, and their last values

    def begin(self, model: Model) -> None:
        """A training calls this before its first epoch. Raises ValueError when the callback is another model's."""
        if model is not self.model:
            raise ValueError(f"{type(self).__name__} was made for another model than the one that is trained")
        self._before = {name: (len(values), values[-1]) for name, values in model.history.items() if values}

    def _figures(self) -> dict[str, float]:
        # of this epoch: an earlier training's lists may end in others
        found = {}
        for name, values in self.model.history.items():
            count, last = self._before.get(name, (0, None))
            if values and (len(values) != count or values[-1] is not last):  # its user may have emptied it
                found[name] = values[-1]
        return found

    def _value(self, name: str) -> float:
        figures = self._figures()
        if name not in figures:
            raise ValueError(f"the training has no {name!r} to watch, only {', '.join(figures)}")
        return figures[name]


class _Watching(_Callback):
    def __init__(self, model: Model, watch: str, minimize: bool | None) -> None:
        super().__init__(model)
        if not isinstance(watch, str):
            raise TypeError(f"watch must be a name in the model's history, got {watch!r}")
        self.watch = watch
        self.minimize = "accuracy" not in watch if minimize is None else minimize
        self.best: float | None = None
        self.best_epoch = 0

    def _better(self, epoch: int, by: float = 0.0) -> bool:
        value = self._value(self.watch)
        if math.isnan(value):  # no number is better than it, so that it would stay the best
            return False
        better = self.best is None or (value < self.best - by if self.minimize else value > self.best + by)
        if better:
            self.best, self.best_epoch = value, epoch
        return better


class EarlyStopping(_Watching):
    """End the training when `watch` has not become better for `patience` epochs, and restore the best epoch's weights.

    watch: a name in the model's history; smaller is better, but for accuracies (`minimize` decides otherwise).
    least: by how much it must change to count.
    restore: give the model the weights of its best epoch at the end.
    """

    def __init__(self, model: Model, *, watch: str = "val_loss", patience: int = 10, least: float = 0.0,
                 restore: bool = True, minimize: bool | None = None) -> None:
        super().__init__(model, watch, minimize)
        self.patience, self.least, self.restore = whole("patience", patience), finite("least", least), restore
        self._parameters: Any = None

    def begin(self, model: Model) -> None:
        """A training calls this before its first epoch: an earlier training's best one counts no more."""
        super().begin(model)
        self.best, self.best_epoch, self._parameters = None, 0, None

    def __call__(self, epoch: int) -> None:
        if self._better(epoch, self.least):
            if self.restore:
                self._parameters = self.model.get_parameters()
        elif epoch - self.best_epoch >= self.patience:
            raise StopTraining

    def finish(self) -> None:
        """Restore the best epoch's weights; a training calls this at its end."""
        if self._parameters is not None:
            self.model.set_parameters(self._parameters)


class Checkpoint(_Watching):
    """Save the model to `path` after each epoch, or only after those in which `watch` became better."""

    def __init__(self, model: Model, path: str | os.PathLike[str], *, watch: str | None = None,
                 minimize: bool | None = None) -> None:
        super().__init__(model, "" if watch is None else watch, minimize)
        self.path = os.fspath(path)

    def __call__(self, epoch: int) -> None:
        if not self.watch or self._better(epoch):
            self.model.save(self.path)


class TerminateOnNaN(_Callback):
    """End the training after an epoch in which the loss was NaN or infinite, as Keras's does."""

    def __call__(self, epoch: int) -> None:
        if not math.isfinite(self._value("loss")):
            raise StopTraining


class CSVLog(_Callback):
    """Write a line with the epoch and its figures to `path` after each epoch; a new file at the first, or, to `append`,
    behind the lines of an earlier training. A figure that this training lacks is left empty.

    Raises ValueError at the first epoch's end for a file without a column for one of the figures."""

    def __init__(self, model: Model, path: str | os.PathLike[str], *, append: bool = False) -> None:
        super().__init__(model)
        self.path, self.append = Path(path), append
        self._names: list[str] = []

    def __call__(self, epoch: int) -> None:
        figures = self._figures()
        first = not self._names
        if first:
            self._names = self._columns() if self.append else []
        header = not self._names
        self._names = self._names or list(figures)
        for name in figures:
            if name not in self._names:
                raise ValueError(f"{self.path} has no column {name!r}, only {', '.join(self._names)}: "
                                 "log this training to another file")
        with open(self.path, "w" if first and not self.append else "a", newline="", encoding="utf-8") as file:
            lines = csv.writer(file)
            if header:
                lines.writerow(["epoch", *self._names])
            lines.writerow([epoch, *[figures.get(name, "") for name in self._names]])

    def _columns(self) -> list[str]:
        # of the file as it is; a pipe is not for reading
        if not self.path.is_file():
            return []
        try:
            with open(self.path, newline="", encoding="utf-8") as file:
                header = next(csv.reader(file), [])
        except (UnicodeDecodeError, csv.Error):
            header = [""]
        if header and header[0] != "epoch":
            raise ValueError(f"{self.path} is no log of a training: its first line must begin with 'epoch'")
        return header[1:]

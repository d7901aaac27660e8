"""Callbacks for `model.train`, called after each epoch: `callback=nn.callbacks.EarlyStopping(model)`."""

import csv
import math
import os
from pathlib import Path
from typing import Any

from ..checks import checked, finite, flag, optional_flag, shown, whole
from ..files import naming
from .model import Model, StopTraining


class _Callback:
    def __init__(self, model: Model) -> None:
        if not isinstance(model, Model):
            raise TypeError(f"model must be an nn.Model, got {shown(model)}")
        self.model = model
        self._before: dict[str, tuple[int, float]] = {}  # how long the history's lists were, and their last values

    def begin(self, model: Model) -> None:
        """Called by a training before its first epoch. Raises ValueError if the callback was made for another model."""
        if model is not self.model:
            raise ValueError(f"{type(self).__name__} was made for another model than the one that is trained")
        self._before = {name: (len(values), values[-1]) for name, values in model.history.items() if values}

    def _figures(self) -> dict[str, float]:
        # of this epoch only: other lists may be from an earlier training
        found = {}
        for name, values in self.model.history.items():
            count, last = self._before.get(name, (0, None))
            if values and (len(values) != count or values[-1] is not last):  # the user may have emptied it
                found[name] = values[-1]
        return found

    def _value(self, name: str) -> float:
        figures = self._figures()
        if name not in figures:
            remedy = ": give train validation_data" if name.startswith("val_") else ""
            raise ValueError(f"the training has no {name!r} to watch, only {', '.join(figures)}{remedy}")
        return figures[name]


class _Watching(_Callback):
    minimize: bool = checked(flag)

    def __init__(self, model: Model, watch: str, minimize: bool | None) -> None:
        super().__init__(model)
        if not isinstance(watch, str):
            raise TypeError(f"watch must be a name in the model's history, got {shown(watch)}")
        self.watch = watch
        minimize = optional_flag("minimize", minimize)
        self.minimize = "accuracy" not in watch if minimize is None else minimize
        self.best: float | None = None
        self.best_epoch = 0

    def _better(self, epoch: int, by: float = 0.0) -> bool:
        value = self._value(self.watch)
        if math.isnan(value):  # nothing compares as better than NaN, so it would stay the best
            return False
        better = self.best is None or (value < self.best - by if self.minimize else value > self.best + by)
        if better:
            self.best, self.best_epoch = value, epoch
        return better


class EarlyStopping(_Watching):
    """End the training when `watch` has not improved for `patience` epochs, and restore the weights of the best epoch.

    watch: a name in the model's history. Smaller is better, except for accuracies; `minimize` overrides this.
    least: the smallest change that counts as an improvement.
    restore: set the weights of the best epoch at the end, also if Ctrl-C ends the training.
    """

    patience: int = checked(whole)
    least: float = checked(finite)
    restore: bool = checked(flag)

    def __init__(self, model: Model, *, watch: str = "val_loss", patience: int = 10, least: float = 0.0,
                 restore: bool = True, minimize: bool | None = None) -> None:
        super().__init__(model, watch, minimize)
        self.patience, self.least, self.restore = patience, least, restore
        self._parameters: Any = None

    def begin(self, model: Model) -> None:
        """Called by a training before its first epoch. Forgets the best epoch of an earlier training."""
        super().begin(model)
        self.best, self.best_epoch, self._parameters = None, 0, None

    def __call__(self, epoch: int) -> None:
        if self._better(epoch, self.least):
            if self.restore:
                self._parameters = self.model.get_parameters()
        elif epoch - self.best_epoch >= self.patience:
            raise StopTraining

    def finish(self) -> None:
        """Restore the weights of the best epoch. Called by a training at its end."""
        if self._parameters is not None:
            self.model.set_parameters(self._parameters)


class Checkpoint(_Watching):
    """Save the model to `path` after each epoch, or only after epochs in which `watch` improved."""

    def __init__(self, model: Model, path: str | os.PathLike[str], *, watch: str | None = None,
                 minimize: bool | None = None) -> None:
        super().__init__(model, "" if watch is None else watch, minimize)
        self.path = os.fspath(path)

    def __call__(self, epoch: int) -> None:
        if not self.watch or self._better(epoch):
            self.model.save(self.path)


class TerminateOnNaN(_Callback):
    """End the training after an epoch whose loss was NaN or infinite, as in Keras."""

    def __call__(self, epoch: int) -> None:
        if not math.isfinite(self._value("loss")):
            raise StopTraining


class CSVLog(_Callback):
    """Write a line with the epoch and its figures to `path` after each epoch. The first epoch starts a new file; with
    `append` the lines follow those of an earlier training, and figures that this training lacks are left empty.

    Raises ValueError after the first epoch if the file has no column for one of the figures."""

    append: bool = checked(flag)

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
        mode = "w" if first and not self.append else "a"
        with naming(self.path), open(self.path, mode, newline="", encoding="utf-8") as file:
            lines = csv.writer(file)
            if header:
                lines.writerow(["epoch", *self._names])
            lines.writerow([epoch, *[figures.get(name, "") for name in self._names]])

    def _columns(self) -> list[str]:
        # of the existing file; a pipe cannot be read back
        if not self.path.is_file():
            return []
        try:
            with open(self.path, newline="", encoding="utf-8") as file:
                header = next(csv.reader(file), [])
        except (UnicodeDecodeError, csv.Error):
            header = [""]
        if header and header[0] != "epoch":
            raise ValueError(f"{self.path} is not the log of a training: its first line must begin with 'epoch'")
        return header[1:]

"""What makes the steps of a training's epochs: arrays that are cut into batches, or a user's iterable of batches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array, as_floats
from ..checks import Seed, as_seed, flag, function, optional_flag, shown, whole
from .batches import Batches, check_batches
from .guards import uncounted
from .inputs import warn_of_levels
from .pace import Pace
from .step import Data
from .steps import Figures


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


def augmented(augment: Any, X: ArrayLike, epoch: int, samples: Array) -> Any:
    """What a user's function makes of images. Its errors of values name it."""
    try:
        return augment(X, epoch, samples)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"augment: {error}") from error


class ArrayFeed:
    """Arrays, which are checked and converted as a whole. `begin` comes before the first epoch, `end` after the last.
    """

    def __init__(self, model: Any, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, *,
                 batch_size: int | None, shuffle: bool | None, seed: Seed, drop_last: bool, augment: Any) -> None:
        self._model, self._y, self._augment, self._before = model, y, augment, 0
        self._steps = model._steps  # a callback may finalize the model again, and y was checked for the outputs of now
        self._data: Data = model._samples("training", X, y, sample_weight, prepare=True)
        warn_of_levels(X, self._data[0], model._taker, 5)
        all_samples = len(self._data[0])
        self.batch_size = None if batch_size is None else whole("batch_size", batch_size)
        self._batch = batch = min(self.batch_size or all_samples, all_samples)
        self._rest = 0 if drop_last else all_samples % batch
        if drop_last and batch_size is not None and batch_size > all_samples:
            raise ValueError(f"drop_last=True leaves no batch: X has {all_samples} samples, and batch_size is "
                             f"{batch_size}")
        self.samples = all_samples - all_samples % batch + self._rest  # of an epoch
        self.count = -(-self.samples // batch)  # steps of an epoch
        self.several = self.count > 1
        shuffle, seed = optional_flag("shuffle", shuffle), as_seed("seed", seed)
        self._shuffle, self._seed = all_samples > batch if shuffle is None else shuffle, seed
        self._order: Order | None = None

    def begin(self, before: int) -> None:
        """After so many epochs of earlier trainings."""
        self._before = before
        if self._shuffle:
            self._order = Order(self._seed, before)
        if hasattr(self._model.accuracy, "prepare"):
            self._model.accuracy.prepare(self._y)
        self._steps.begin(self._data, self._batch, self._rest)
        self._data = self._steps.apart(self._data)
        self._pace = Pace(self._steps.pace(self._batch))

    @property
    def at_once(self) -> bool:
        """Whether each epoch is the same step."""
        return not self.several and self._order is None and self._augment is None

    def epochs(self, most: int, validation: Data | None) -> Any:
        """Some epochs of one step each, and what `Steps.epochs` returns for them; None if they must be made by
        `steps`."""
        return self._steps.epochs(self._whole, self._pace.next(most), validation, self.batch_size)

    @property
    def _whole(self) -> Data:
        samples = self.samples
        return self._data if samples == len(self._data[0]) else tuple([each[:samples] for each in self._data])

    def steps(self, epoch: int) -> Iterator[list[Figures]]:
        """The steps of an epoch, from 1, as many at a time as take a few ms."""
        order = None if self._order is None else self._order.of(epoch, len(self._data[0]))
        step = 0
        while step < self.count:
            found = self._next(epoch, step, order)
            step += len(found)
            yield found

    def _next(self, epoch: int, step: int, order: Array | None) -> list[Figures]:
        batch = self._batch
        if not self.several and order is None and self._augment is None:
            return [self._steps.step(*self._whole)]
        count = self._pace.next(max(1, self.samples // batch - step)) if self.several else 1  # the last may be smaller
        rows: Any = slice(step * batch, (step + count) * batch)
        if order is not None:
            rows = order[rows]
        X, *more = (each[rows] for each in self._data)
        if self._augment is not None:
            numbers = np.arange(len(self._data[0]))[rows]
            X = X if order is not None else X.copy()  # the function may change it in place
            with uncounted(self._model):
                changed = augmented(self._augment, X, self._before + epoch - 1, numbers)
            found = as_floats(changed, X.dtype, "X")
            if found.shape != X.shape:
                raise ValueError(f"augment must keep the shape of X, {X.shape}, got {found.shape}: images may become "
                                 "smaller in an iterable of batches")
            X = np.ascontiguousarray(found)
        return self._steps.batches((X, *more), batch)

    def check(self) -> None:
        """After callbacks, which may have changed anything."""
        self._steps.check(*self._data)

    def end(self) -> None:
        """After the last step, also of a training that fails."""
        self._steps.end(self._batch, self._pace.steps)


class BatchFeed:
    """An iterable of batches, which is passed once in each epoch. Each batch is checked and converted as it comes."""

    at_once = False
    several = True  # as far as is known

    def __init__(self, model: Any, batches: Any, drop_last: bool, augment: Any) -> None:
        self._model, self._drop_last, self._augment = model, drop_last, augment
        self._before = self._epoch = self._taken = 0  # epochs before, this one, and its samples that were taken
        self._batches = Batches("X", batches, self._prepared, around=partial(uncounted, model))
        self.batch_size: int | None = None  # that of the first batch
        self.samples = 0  # of this epoch
        self._largest = 0  # batch so far
        self._why: str | None = None  # a step was not recorded: the last may be so only because its size is new

    @property
    def count(self) -> int | None:
        """Steps of an epoch, if they are known."""
        return self._batches.count

    def begin(self, before: int) -> None:
        """After so many epochs of earlier trainings."""
        self._before = before

    def _prepared(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Data:
        model = self._model
        model._check_ready("loss", "optimizer")
        if self._augment is not None:
            numbers = np.arange(self._taken, self._taken + len(X))  # type: ignore[arg-type]
            X = X.copy() if isinstance(X, np.ndarray) else X  # the function may change it in place
            X = augmented(self._augment, X, self._before + self._epoch - 1, numbers)
            self._taken += len(numbers)
        data: Data = model._samples("training", X, y, sample_weight)
        if self.batch_size is None:
            warn_of_levels(X, data[0], model._taker, 10)
            self.batch_size = len(data[0])
            if hasattr(model.accuracy, "prepare"):
                model.accuracy.prepare(y)
        X, *more = data
        return X if X.flags.carray else X.copy(), *more

    def steps(self, epoch: int) -> Iterator[list[Figures]]:
        """The steps of an epoch, from 1, one at a time."""
        self.samples, self._epoch, self._taken = 0, epoch, 0
        for data in self._kept():
            steps = self._model._steps
            found = steps.single(*data)
            self._why = steps.why or self._why
            self.samples += len(data[0])
            yield [found]
        if not self.samples:
            raise ValueError("drop_last=True leaves no batch: X has a single one in this epoch, smaller than before")

    def _kept(self) -> Iterator[Data]:
        # all batches, or those but the last if it is smaller than others: which is the last one shows only afterwards
        held: Data | None = None
        for data in self._batches:
            if held is not None:
                yield held
                held = None
            self._largest = max(self._largest, len(data[0]))
            if self._drop_last and len(data[0]) < self._largest:
                held = data[0].copy(), *data[1:]  # an iterable may write all batches into one array
            else:
                yield data

    def check(self) -> None:
        """After callbacks: each step checks itself."""

    def end(self) -> None:
        """After the last step, also of a training that fails."""
        self._model._steps.why = self._why
        self._model._steps.release()


def feed(model: Any, X: Any, y: ArrayLike | None, sample_weight: ArrayLike | None, *, epochs: int,
         batch_size: int | None, shuffle: bool | None, seed: Seed, drop_last: bool, augment: Any
         ) -> ArrayFeed | BatchFeed:
    """What `Model.train` was given. Raises TypeError or ValueError that says what is wrong with it."""
    drop_last = flag("drop_last", drop_last)
    if augment is not None:
        if not callable(augment):
            raise TypeError("augment must be a function such as nn.data.Augment(RandomHorizontalFlip()), got "
                            f"{shown(augment)}")
        function("augment", augment, "images, an epoch and the numbers of the images", None, 0, None)
    if y is not None:
        return ArrayFeed(model, X, y, sample_weight, batch_size=batch_size, shuffle=shuffle, seed=seed,
                         drop_last=drop_last, augment=augment)
    check_batches(X, epochs, sample_weight, batch_size)
    as_seed("seed", seed)
    if optional_flag("shuffle", shuffle):
        raise ValueError("shuffle=True needs arrays X and y: let an iterable give its batches in another order each "
                         "time")
    return BatchFeed(model, X, drop_last, augment)

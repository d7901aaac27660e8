"""The tasks of `nnjit train`, and the training: on one backend, or on both for comparison."""

import argparse
import math
import shlex
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data import datasets
from .. import backend
from ..arrays import Array
from ..layers import Dense, Layer, Sigmoid, Softmax
from ..losses import BinaryCrossentropy, CategoricalCrossentropy, Loss, MeanSquaredError
from ..metrics import Accuracy, BinaryAccuracy, RegressionAccuracy
from ..training.model import Model
from ..optimizers import Adam
from ..training.progress import compiling, note, say

REST = 0.1  # seconds until OpenBLAS's threads sleep: they spin, and take the cores from the other twin
ENOUGH, MOST_TRAININGS = 4.0, 5  # seconds of trainings that are compared, and how many of each
COMPARED_STEPS = 20  # one ulp grows with the steps: after 20 it is still far below 1e-4
FIGURES = (("loss", "loss"), ("accuracy", "accuracy"), ("validation loss", "val_loss"),
           ("validation accuracy", "val_accuracy"))  # title, and name in the history


@dataclass
class Data:
    """Inputs and labels to train on, and others to evaluate after each epoch."""

    train: tuple[Array, Array]
    validation: tuple[Array, Array]


@dataclass(frozen=True)
class Task:
    """A data set, and the network and training that suit it.

    load: the data for a seed and a folder; output: the last activation, None for a linear output; network: the name of
    one of nn.models, in place of dense layers of these sizes.
    """

    load: Callable[[int, str | None], Data]
    sizes: tuple[int, ...]
    epochs: int
    batch_size: int | None
    learning_rate: float
    decay: float
    output: Callable[[], Layer] | None = Softmax
    loss: Callable[[], Loss] = CategoricalCrossentropy
    accuracy: Callable[[], object] = Accuracy
    network: str | None = None

    @property
    def title(self) -> str:
        """The network in words."""
        return self.network or "-".join(map(str, self.sizes))

    def model(self, options: argparse.Namespace) -> Model:
        rng = np.random.default_rng(options.seed)
        model = self._network(rng) if self.network else Model(self._layers(rng))
        model.set(loss=self.loss(), optimizer=Adam(options.learning_rate, decay=self.decay), accuracy=self.accuracy())
        model.finalize()
        return model

    def _network(self, rng: np.random.Generator) -> Model:
        from .. import models  # 5 ms that the others need not wait for
        found: Model = getattr(models, self.network or "")(rng=rng)
        return found

    def _layers(self, rng: np.random.Generator) -> list[Layer]:
        found: list[Layer] = [Dense(inputs, neurons, activation="relu", rng=rng)
                              for inputs, neurons in zip(self.sizes[:-2], self.sizes[1:-1])]
        found.append(Dense(*self.sizes[-2:], rng=rng))
        return [*found, self.output()] if self.output else found


def _points(create: Callable[..., datasets.Pair], classes: int) -> Callable[[int, str | None], Data]:
    return lambda seed, folder: Data(create(100, classes, seed=seed), create(100, classes, seed=(seed + 1) % 2**32))


TASKS = {
    "spiral": Task(_points(datasets.spiral, 3), (2, 64, 3), 2000, None, 0.02, 1e-5),
    "vertical": Task(_points(datasets.vertical, 3), (2, 64, 3), 500, None, 0.05, 1e-3),
    "two-spirals": Task(_points(datasets.spiral, 2), (2, 64, 1), 2000, None, 0.02, 1e-3, Sigmoid, BinaryCrossentropy,
                        BinaryAccuracy),
    # 999 and 1000 points have no x in common but 0. With Glorot's weights, Dense's default, five seeds of five reach a
    # loss below 3e-5; with He's, one of three stayed at 0.14.
    "sine": Task(lambda seed, folder: Data(datasets.sine(1000), datasets.sine(999)), (1, 64, 64, 1), 3000, None, 0.005,
                 1e-2, None, MeanSquaredError, RegressionAccuracy),
    "fashion-mnist": Task(lambda seed, folder: Data(*datasets.fashion_mnist(folder)), (784, 128, 128, 10), 10, 128,
                          0.001, 1e-3),
}

# other networks for a data set; "dense" is that of TASKS
NETWORKS = {
    "lenet5": Task(lambda seed, folder: Data(*datasets.fashion_mnist(folder, images=True)), (), 5, 32, 0.001, 0.0,
                   network="lenet5"),
}


def task_of(options: argparse.Namespace) -> Task:
    """The task that the options ask for."""
    return TASKS[options.dataset] if options.model == "dense" else NETWORKS[options.model]


def train(options: argparse.Namespace, data: Data) -> None:
    """Train the task of the options on its data, print the progress, and save and plot according to the options."""
    task = task_of(options)
    samples = len(data.train[0])
    options.batch_size = min(options.batch_size or samples, samples)
    batch = f"batches of {options.batch_size}" if options.batch_size < samples else "all in one batch"
    print(f"{options.dataset}: {samples} samples, {batch}; network {task.title}, Adam at "
          f"{options.learning_rate:g}, {options.epochs} epoch{'s' * (options.epochs > 1)}")
    model = task.model(options)
    trained = False
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():  # the printed nan shows it
            warnings.simplefilter("ignore", RuntimeWarning)
            if options.compare:
                sound = _compare(task, options, data, model)
            else:
                if options.backend == "numba":
                    _warm_up(task, options.backend, options, data)
                seconds, validation = _fit(model, options.backend, options, data)
                print(f"{seconds:.3f} s on {options.backend}, of which validation {validation:.3f} s")
                sound = _sound(model)
        trained = True
        if options.save:
            model.save(options.save)
    except KeyboardInterrupt as stop:
        stop.args = (_rescue(options, data, model),)
        raise
    except OSError:  # of an output, say a closed pipe
        if options.save and not trained:
            note(_rescue(options, data, model))
        raise
    if not sound:
        print("the training diverged, its loss is no longer finite: try a smaller --learning-rate")
    if options.save:
        path = str(options.save)
        print(f"model: {path} (nnjit predict {shlex.quote(path)} DATA; in Python nn.Model.load({path!r}))")
    if options.plot:
        _draw(options, data, model)
        print(f"plot: {options.plot}")


def _sound(model: Model) -> bool:
    return all(map(math.isfinite, model.history["loss"][-1:] + model.history["val_loss"][-1:]))


def _draw(options: argparse.Namespace, data: Data, model: Model) -> None:
    from ..inspect.plot import plot
    with backend.use(options.backend), compiling(), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of figures that are not finite
        task = task_of(options)
        shown = data.validation if task.network else data.train
        plot(options.plot, model, *shown, title=f"{options.dataset}, {task.title}")


def _rescue(options: argparse.Namespace, data: Data, model: Model) -> str:
    # saves and draws what an interrupted training has reached; what was done, in words
    done = len(model.history["loss"])
    began = model.optimizer.iterations > 0
    sound = _sound(model)
    when = ("before the first step" if not began else f"in epoch {done + 1} of {options.epochs}"
            if done < options.epochs else f"after epoch {done} of {done}") + f" on {options.backend}" * options.compare
    text = f"interrupted {when}{'' if sound else ', the loss no longer finite'}: "
    if not began or not sound:
        kept = options.save and options.save.exists()
        return f"{text}nothing is saved{f', {options.save} stays as it was' if kept else ''}"
    try:
        if options.save:
            model.save(options.save)
        if options.plot and done:
            _draw(options, data, model)
    except OSError as error:
        return f"{text}{error}"
    except KeyboardInterrupt:
        path = options.save or options.plot
        return f"interrupted again, while {path} was being written: it is the old file or the new"
    drawn = f"drawn in {options.plot}" if options.plot and done else ""
    if options.save:
        return f"{text}the model as of then is saved to {options.save}{', and ' * bool(drawn)}{drawn}"
    text += f"the model as of then is {drawn}, but not" if drawn else "nothing is"
    return f"{text} saved without --save FILE.npz"


def _warm_up(task: Task, twin: str, options: argparse.Namespace, data: Data) -> None:
    # some steps of another model, so that the training's time is not the compiler's
    parts = _first_batches(4, options.batch_size, data.train), _first_batches(1, options.batch_size, data.validation)
    epochs = 2 if options.batch_size < len(data.train[0]) else 1  # until several batches are taken at once
    with compiling():
        _fit(task.model(options), twin, argparse.Namespace(**{**vars(options), "epochs": epochs}), Data(*parts), True)


def _first_batches(count: int, batch: int, pair: tuple[Array, Array]) -> tuple[Array, Array]:
    # and a smaller one at the end, where there is one
    X, y = pair
    end = count * batch + len(X) % batch
    return X[:end], y[:end]


def _fit(model: Model, twin: str, options: argparse.Namespace, data: Data, quiet: bool = False) -> tuple[float, float]:
    """Train, print about ten lines, and return the seconds that it took, and those of them for validation."""
    every = max(1, options.epochs // 10)
    validate, validation = model._steps.validate, 0.0

    def timed(*arguments: Any) -> tuple[float, float | None]:
        nonlocal validation
        start = time.perf_counter()
        found = validate(*arguments)
        validation += time.perf_counter() - start
        return found

    def report(epoch: int) -> None:
        if not quiet and (epoch % every == 0 or epoch in (1, options.epochs)):
            loss, accuracy, validation_loss, validation_accuracy = (_last(model, name) for _, name in FIGURES)
            say(f"epoch {epoch:{len(str(options.epochs))}}   loss {loss}   accuracy {accuracy}   "
                f"validation loss {validation_loss}   accuracy {validation_accuracy}")

    model._steps.validate = timed  # type: ignore[assignment, method-assign]
    start = time.perf_counter()
    try:
        with backend.use(twin):
            model.train(*data.train, epochs=options.epochs, batch_size=options.batch_size, seed=options.seed,
                        validation_data=data.validation, callback=report, progress=False if quiet else None)
        return time.perf_counter() - start, validation
    finally:
        del model._steps.validate


def _last(model: Model, name: str) -> str:
    value = model.history[name][-1]
    if "accuracy" in name:
        return f"{value:.3f}"
    return f"{value:.1e}" if 0 < value < 0.001 else f"{value:.4f}"


def _compare(task: Task, options: argparse.Namespace, data: Data, model: Model) -> bool:
    # whether both trainings are sound
    models = {twin: model if twin == options.backend else task.model(options) for twin in backend.TWINS}
    times: dict[str, list[tuple[float, float]]] = {twin: [] for twin in models}
    for twin, each in models.items():
        print(f"\n{twin}:")
        _warm_up(task, twin, options, data)
        time.sleep(REST)
        times[twin].append(_fit(each, twin, options, data))
    # a machine has slow seconds: short trainings are repeated, in turns
    count = 1
    sound = all(map(_sound, models.values()))
    while (sound and sum(seconds for found in times.values() for seconds, _ in found) < ENOUGH
           and count < MOST_TRAININGS):
        for twin in models:
            time.sleep(REST)
            times[twin].append(_fit(task.model(options), twin, options, data, quiet=True))
        count += 1
    print(f"\n{'':28}{'numba':>10}{'numpy':>10}")
    for title, name in FIGURES:
        print(f"{title:28}{_last(models['numba'], name):>10}{_last(models['numpy'], name):>10}")
    if not sound:
        return False
    (ours, our_validation), (theirs, their_validation) = (
        map(statistics.median, zip(*times[twin])) for twin in ("numba", "numpy"))
    difference = _difference(task, options, data)
    print(f"{'time of the training, s':28}{ours:10.3f}{theirs:10.3f}")
    print(f"{'of which validation, s':28}{our_validation:10.3f}{their_validation:10.3f}")
    print(f"\nnumba trains {theirs / ours:.1f} times as fast as numpy, validation included, "
          f"compilation not{f' (medians of {count} trainings each)' * (count > 1)}")
    after = f"after {COMPARED_STEPS} steps from the same weights,"
    print(f"a training makes differences in rounding grow: {after} no weight differs by more than {difference:.1e}"
          if math.isfinite(difference) else f"{after} these are no longer finite: try a smaller --learning-rate")
    return True


def _difference(task: Task, options: argparse.Namespace, data: Data) -> float:
    """The largest difference of a weight after COMPARED_STEPS equal steps, on the first batches, unshuffled."""
    batch = options.batch_size
    X, y = data.train
    steps = max(n for n in range(1, COMPARED_STEPS + 1) if COMPARED_STEPS % n == 0 and n * batch <= len(X))
    parameters = []
    for twin in backend.TWINS:
        model = task.model(options)
        with backend.use(twin):
            model.train(X[:steps * batch], y[:steps * batch], epochs=COMPARED_STEPS // steps, batch_size=batch,
                        shuffle=False, progress=False)
        parameters.append(model.get_parameters())
    return float(np.max([np.abs(a - b).max() for pairs in zip(*parameters) for a, b in zip(*pairs)]))  # nan stays

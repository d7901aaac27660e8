"""What `nnjit train` trains, and the training itself: on one backend, or on both side by side."""

import argparse
import math
import shlex
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import backend, datasets
from .arrays import Array
from .layers import Dense, Layer, Sigmoid, Softmax
from .losses import BinaryCrossentropy, CategoricalCrossentropy, Loss, MeanSquaredError
from .metrics import Accuracy, BinaryAccuracy, RegressionAccuracy
from .model import Model
from .optimizers import Adam
from .progress import say

REST = 0.1  # seconds in which OpenBLAS's threads fall asleep: they spin on, and take the cores from the other twin
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

    load: the data for a seed and a folder; output: the last activation, None for a linear output.
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

    def model(self, options: argparse.Namespace) -> Model:
        rng = np.random.default_rng(options.seed)
        model = Model()
        for inputs, neurons in zip(self.sizes[:-2], self.sizes[1:-1]):
            model.add(Dense(inputs, neurons, activation="relu", rng=rng))
        model.add(Dense(*self.sizes[-2:], rng=rng))
        if self.output:
            model.add(self.output())
        model.set(loss=self.loss(), optimizer=Adam(options.learning_rate, decay=self.decay), accuracy=self.accuracy())
        model.finalize()
        return model


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


def train(options: argparse.Namespace, data: Data) -> None:
    """Train the task `options.dataset` on its data, print how it goes, and save and plot as the options say."""
    task = TASKS[options.dataset]
    samples = len(data.train[0])
    options.batch_size = min(options.batch_size or samples, samples)
    batch = f"batches of {options.batch_size}" if options.batch_size < samples else "all in one batch"
    network = "-".join(map(str, task.sizes))
    print(f"{options.dataset}: {samples} samples, {batch}; network {network}, Adam at "
          f"{options.learning_rate:g}, {options.epochs} epoch{'s' * (options.epochs > 1)}")
    model = task.model(options)
    trained = False
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():  # the printed nan says it
            warnings.simplefilter("ignore", RuntimeWarning)
            if options.compare:
                _compare(task, options, data, model)
            else:
                _fit(task, model, options.backend, options, data)
        trained = True
        if options.save:
            model.save(options.save)
    except KeyboardInterrupt as stop:
        stop.args = (_rescue(options, data, model),)
        raise
    except OSError:  # of an output, say a closed pipe
        if options.save and not trained:
            print(f"nnjit: {_rescue(options, data, model)}", file=sys.stderr)
        raise
    if not _sound(model):
        print("the loss is no longer a number: try a smaller --learning-rate")
    if options.save:
        path = str(options.save)
        print(f"model: {path} (nnjit predict {shlex.quote(path)} DATA; in Python nn.Model.load({path!r}))")
    if options.plot:
        _draw(options, data, model)
        print(f"plot: {options.plot}")


def _sound(model: Model) -> bool:
    return not math.isnan(model.history["loss"][-1])


def _draw(options: argparse.Namespace, data: Data, model: Model) -> None:
    from .plot import plot
    sizes = "-".join(map(str, TASKS[options.dataset].sizes))
    with backend.use(options.backend):
        plot(options.plot, model, *data.train, title=f"{options.dataset}, {sizes}")


def _rescue(options: argparse.Namespace, data: Data, model: Model) -> str:
    # saves and draws what an interrupted training has reached; what was done, in words
    done = len(model.history["loss"])
    began = model.optimizer.iterations > 0
    sound = not done or _sound(model)
    when = ("before the first step" if not began else f"in epoch {done + 1} of {options.epochs}"
            if done < options.epochs else f"after epoch {done} of {done}") + f" on {options.backend}" * options.compare
    text = f"interrupted {when}{'' if sound else ', the loss no longer a number'}: "
    if not began or not sound:
        kept = options.save and options.save.exists()
        return f"{text}nothing is saved{f', {options.save} stays as it was' if kept else ''}"
    try:
        if options.save:
            model.save(options.save)
        if options.plot and done:
            _draw(options, data, model)
    except OSError as error:
        return f"{text}{error.filename or options.save}: {error}"
    except KeyboardInterrupt:
        path = options.save or options.plot
        return f"interrupted again, while {path} was being written: it is the old file or the new"
    drawn = f"drawn in {options.plot}" if options.plot and done else ""
    if options.save:
        return f"{text}the model as of then is saved to {options.save}{', and ' * bool(drawn)}{drawn}"
    text += f"the model as of then is {drawn}, but not" if drawn else "nothing is"
    return f"{text} saved without --save FILE.npz"


def _compile(task: Task, options: argparse.Namespace, data: Data) -> None:
    # a step of another model, so that the training's time is not the compiler's
    start = time.perf_counter()
    model = task.model(options)
    X, y = (values[:options.batch_size] for values in data.train)
    model.train(X, y, validation_data=(X, y), progress=False)
    seconds = time.perf_counter() - start
    if seconds > 2:
        kept = any(Path(backend.TWINS["numba"].info()["cache folder"]).glob("*.bin"))
        say(f"the kernels were compiled in {seconds:.0f} s, " + (
            "which the cache saves the next time" if kept else
            "and will be the next time: the cache folder cannot be written, set NNJIT_CACHE_DIR to another"))


def _fit(task: Task, model: Model, twin: str, options: argparse.Namespace, data: Data) -> None:
    if twin == "numba":
        with backend.use(twin):
            _compile(task, options, data)
    # about ten lines, whatever the number of epochs
    every = max(1, options.epochs // 10)
    start = time.perf_counter()

    def report(epoch: int) -> None:
        if epoch % every == 0 or epoch in (1, options.epochs):
            loss, accuracy, validation_loss, validation_accuracy = (_last(model, name) for _, name in FIGURES)
            say(f"epoch {epoch:{len(str(options.epochs))}}   loss {loss}   accuracy {accuracy}   "
                f"validation loss {validation_loss}   accuracy {validation_accuracy}")

    with backend.use(twin):
        model.train(*data.train, epochs=options.epochs, batch_size=options.batch_size, validation_data=data.validation,
                    seed=options.seed, callback=report)
    print(f"{time.perf_counter() - start:.3f} s on {twin}, validation included")


def _last(model: Model, name: str) -> str:
    value = model.history[name][-1]
    if "accuracy" in name:
        return f"{value:.3f}"
    return f"{value:.1e}" if 0 < value < 0.001 else f"{value:.4f}"


def _compare(task: Task, options: argparse.Namespace, data: Data, model: Model) -> None:
    models = {twin: model if twin == options.backend else task.model(options) for twin in backend.TWINS}
    for twin, each in models.items():
        print(f"\n{twin}:")
        _fit(task, each, twin, options, data)
    difference, seconds = _race(task, options, data)
    print(f"\n{'':28}{'numba':>10}{'numpy':>10}")
    for title, name in FIGURES:
        print(f"{title:28}{_last(models['numba'], name):>10}{_last(models['numpy'], name):>10}")
    print("\nin turns of 20 steps, after the trainings and without validation:")
    print(f"{'median time a step, us':28}{seconds['numba'] * 1e6:10.1f}{seconds['numpy'] * 1e6:10.1f}")
    print(f"numba does {seconds['numpy'] / seconds['numba']:.1f} times as many steps a second as numpy")
    print("a training makes differences in rounding grow: "
          f"after {COMPARED_STEPS} steps from the same weights, no weight differs by more than {difference:.1e}")


def _race(task: Task, options: argparse.Namespace, data: Data) -> tuple[float, dict[str, float]]:
    """The largest difference of a weight after COMPARED_STEPS equal steps, and the median seconds of a step.

    Both train on the first batches, unshuffled, and take turns of 20 steps, for 4 seconds or 20 turns.
    """
    models = {twin: task.model(options) for twin in backend.TWINS}
    X, y = data.train
    batch = options.batch_size
    steps = max(n for n in range(1, COMPARED_STEPS + 1) if COMPARED_STEPS % n == 0 and n * batch <= len(X))
    X, y = X[:steps * batch], y[:steps * batch]
    difference = 0.0
    times: dict[str, list[float]] = {twin: [] for twin in models}
    deadline = time.perf_counter() + 4
    for turn in range(20):
        for twin, model in models.items():
            time.sleep(REST)
            with backend.use(twin):
                if turn:  # wake the threads
                    model.train(X, y, epochs=COMPARED_STEPS // steps, batch_size=batch, shuffle=False,
                                progress=False)
                start = time.perf_counter()
                model.train(X, y, epochs=COMPARED_STEPS // steps, batch_size=batch, shuffle=False, progress=False)
                times[twin].append((time.perf_counter() - start) / COMPARED_STEPS)
        if turn == 0:
            parameters = [model.get_parameters() for model in models.values()]
            difference = max(float(np.abs(a - b).max()) for pairs in zip(*parameters) for a, b in zip(*pairs))
        if turn > 1 and time.perf_counter() > deadline:
            break
    # the first turn of each is the warm-up
    return difference, {twin: statistics.median(found[1:]) for twin, found in times.items()}

"""The command `nnjit`: train a classifier, compare both backends, check the kernels, measure them."""

import argparse
import importlib.util
import math
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from . import backend, datasets
from .arrays import Array
from .layers import Dense, Softmax
from .losses import CategoricalCrossentropy
from .metrics import Accuracy
from .model import Model
from .optimizers import Adam
from .progress import say

DESCRIPTION = """\
Train small neural networks on compiled kernels, and see that they are right and how fast they are.

  nnjit train spiral --compare          train on the kernels and on plain NumPy, side by side
  nnjit train fashion-mnist             pictures of clothes, ten epochs
  nnjit check                           do the kernels keep their promises on this machine?
  nnjit bench --quick                   how fast are they here?
"""
TRAIN = """\
Train a classifier and print its loss and accuracy.

  spiral         300 points in the plane, 3 intertwined arms; network 2-64-3
  vertical       300 points in the plane, 3 upright clouds; network 2-64-3
  fashion-mnist  60000 pictures of clothes, 10 kinds; network 784-128-128-10
"""
TRAIN_EXAMPLES = """\
examples:
  nnjit train spiral --compare
  nnjit train spiral --epochs 5000 --learning-rate 0.01 --plot spiral.png
  nnjit train fashion-mnist --epochs 3 --save clothes.npz
  nnjit train fashion-mnist --data ~/fashion-mnist --backend numpy

The same command gives the same weights each time, to the bit. Load what --save wrote with model.load_parameters(FILE).
"""


class Mistake(Exception):
    """What the user can mend: printed as one line."""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Mistake(f"{message} (see {self.prog} --help)")


@dataclass
class Task:
    """A data set, and the network and training that suit it."""

    sizes: tuple[int, ...]
    epochs: int
    batch_size: int | None
    learning_rate: float
    decay: float

    def model(self, options: argparse.Namespace) -> Model:
        rng = np.random.default_rng(options.seed)
        model = Model()
        for inputs, neurons in zip(self.sizes[:-2], self.sizes[1:-1]):
            model.add(Dense(inputs, neurons, activation="relu", rng=rng))
        model.add(Dense(*self.sizes[-2:], rng=rng))
        model.add(Softmax())
        model.set(loss=CategoricalCrossentropy(), optimizer=Adam(options.learning_rate, decay=self.decay),
                  accuracy=Accuracy())
        model.finalize()
        return model


TASKS = {
    "spiral": Task((2, 64, 3), 2000, None, 0.02, 1e-5),
    "vertical": Task((2, 64, 3), 500, None, 0.05, 1e-3),
    "fashion-mnist": Task((784, 128, 128, 10), 10, 128, 0.001, 1e-3),
}
REST = 0.1  # seconds in which OpenBLAS's threads fall asleep: they spin on, and take the cores from the other twin
COMPARED_STEPS = 20  # one ulp grows with the steps: after 20 it is still far below 1e-4


def main(argv: list[str] | None = None) -> int:
    """Run `nnjit` with these arguments (the process's own by default) and return its exit code."""
    try:
        try:
            options = _parser().parse_args(argv)
            code = options.run(options)
        except SystemExit as stop:  # --help
            code = stop.code if isinstance(stop.code, int) else 0
        sys.stdout.flush()
        return code
    except Mistake as mistake:
        return _fail(mistake)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter complains when it flushes at its end
        return 1
    except OSError as error:
        return _fail(error)
    except KeyboardInterrupt:
        print("nnjit: interrupted", file=sys.stderr)
        return 130


def _fail(reason: Exception) -> int:
    print(f"nnjit: error: {' '.join(str(reason).split())}", file=sys.stderr)
    return 2


# ---- options


def _parser() -> Parser:
    parser = Parser(prog="nnjit", description=DESCRIPTION, allow_abbrev=False,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(run=lambda options: parser.parse_args(["--help"]))
    from .. import __version__
    parser.add_argument("--version", action="version", version=f"nnjit {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, run: Any, summary: str, **more: Any) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, allow_abbrev=False,
                                    formatter_class=argparse.RawDescriptionHelpFormatter,
                                    **{"description": summary, **more})
        added.set_defaults(run=run)
        return added

    train = command("train", _train, "train a classifier", description=TRAIN, epilog=TRAIN_EXAMPLES)
    train.add_argument("dataset", choices=TASKS, metavar="DATASET", help=" or ".join(TASKS))
    train.add_argument("--epochs", type=_whole(1), metavar="N",
                       help=f"passes over the data (default: {_defaults('epochs')})")
    train.add_argument("--batch-size", type=_whole(1), metavar="N",
                       help="samples a step (default: all, and 128 for fashion-mnist)")
    train.add_argument("--learning-rate", type=_rate, metavar="X",
                       help=f"length of Adam's steps (default: {_defaults('learning_rate')})")
    train.add_argument("--seed", type=_whole(0, 2**32 - 1), default=0, metavar="N",
                       help="of the first weights, the points and the order of samples (default: 0)")
    train.add_argument("--backend", choices=backend.TWINS, default="numba",
                       help="numba: the compiled kernels (default); numpy: the same in plain NumPy")
    train.add_argument("--compare", action="store_true",
                       help="train on both backends from the same weights: results, and time a step")
    train.add_argument("--save", type=_output(".npz"), metavar="FILE.npz", help="write the trained weights")
    train.add_argument("--plot", type=_output(".png", ".svg", ".pdf"), metavar="FILE.png",
                       help="draw loss and accuracy by epoch, and for points the decision boundary (needs matplotlib)")
    train.add_argument("--data", metavar="FOLDER", help="where Fashion-MNIST's four IDX files are (default: "
                       "$NNJIT_DATA, Debian's folder, or a download of 30 MB)")

    command("check", _check, "check that the kernels keep their promises on this machine (seconds, once compiled)",
            description="Check on this machine that the kernels are right and give the same bits whatever the number\n"
            "of threads, and print a digest of the results, which is the same on every machine.")
    bench = command("bench", _bench, "measure the kernels and whole training steps against plain NumPy, or other peers")
    bench.add_argument("--quick", action="store_true", help="fewer sizes and repeats")
    bench.add_argument("--peers", action="store_true",
                       help="against PyTorch, JAX and scikit-learn too, where they are installed (15 minutes)")
    bench.add_argument("--json", type=_output(".json"), metavar="FILE.json", help="write the figures")
    bench.add_argument("--markdown", type=_output(".md"), metavar="FILE.md", help="write the report")
    bench.add_argument("--roofline", type=_output(".png", ".svg", ".pdf"), metavar="FILE.png",
                       help="draw GFLOP/s against flops per byte under the machine's limits (needs matplotlib)")
    bench.add_argument("--against", metavar="FILE.json",
                       help="name what is slower than in this older report, and exit with 1 if anything is")
    bench.set_defaults(ops=[], source=None, readme=None)
    command("warm", _warm, "compile all kernels into the cache now, so that nothing waits later")
    command("info", _info, "versions, processor, vectors, threads, cache folder")
    return parser


def _defaults(field: str) -> str:
    return ", ".join(f"{getattr(task, field)} for {name}" for name, task in TASKS.items())


def _whole(least: int, most: float = math.inf) -> Any:
    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}") from None
        if not least <= value <= most:
            limit = f"at least {least}" if most == math.inf else f"in {least}..{most}"
            raise argparse.ArgumentTypeError(f"must be {limit}, got {value}")
        return value
    return convert


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be above 0 and finite, got {text}")
    return value


def _output(*suffixes: str) -> Any:
    # checked before hours of training, not after
    def convert(text: str) -> Path:
        path = Path(text)
        if path.suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(f"must end in {' or '.join(suffixes)}, got {text!r}")
        if path.is_dir():
            raise argparse.ArgumentTypeError(f"{text} is a folder")
        if not path.parent.is_dir():
            raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise argparse.ArgumentTypeError(f"{text} cannot be written")
        return path
    return convert


# ---- nnjit train


@dataclass
class Data:
    train: tuple[Array, Array]
    validation: tuple[Array, Array]


def _load(options: argparse.Namespace) -> Data:
    if options.dataset == "fashion-mnist":
        try:
            return Data(*datasets.fashion_mnist(options.data))
        except ValueError as error:
            raise Mistake(error) from error
    create = datasets.spiral if options.dataset == "spiral" else datasets.vertical
    return Data(create(100, 3, seed=options.seed), create(100, 3, seed=(options.seed + 1) % 2**32))


def _train(options: argparse.Namespace) -> int:
    task = TASKS[options.dataset]
    if options.data is not None and options.dataset != "fashion-mnist":
        raise Mistake(f"--data goes with fashion-mnist, {options.dataset} is computed")
    if options.plot and importlib.util.find_spec("matplotlib") is None:
        raise Mistake("--plot needs matplotlib: pip install matplotlib")
    for name in ("epochs", "batch_size", "learning_rate"):
        if getattr(options, name) is None:
            setattr(options, name, getattr(task, name))
    data = _load(options)
    samples = len(data.train[0])
    options.batch_size = min(options.batch_size or samples, samples)
    batch = f"batches of {options.batch_size}" if options.batch_size < samples else "all in one batch"
    print(f"{options.dataset}: {samples} samples, {batch}; network {'-'.join(map(str, task.sizes))}, Adam at "
          f"{options.learning_rate:g}, {options.epochs} epoch{'s' * (options.epochs > 1)}")
    model = task.model(options)
    with np.errstate(all="ignore"):  # NumPy would warn of what the printed nan says
        if options.compare:
            _compare(task, options, data, model)
        else:
            _fit(task, model, options.backend, options, data)
    if math.isnan(model.history["loss"][-1]):
        print("the loss is no longer a number: try a smaller --learning-rate")
    if options.save:
        model.save_parameters(options.save)
        print(f"weights: {options.save}")
    if options.plot:
        from .plot import plot
        with backend.use(options.backend):
            plot(options.plot, model, *data.train, title=f"{options.dataset}, {'-'.join(map(str, task.sizes))}")
        print(f"plot: {options.plot}")
    return 0


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
    history = model.history
    start = time.perf_counter()

    def report(epoch: int) -> None:
        if epoch % every == 0 or epoch in (1, options.epochs):
            say(f"epoch {epoch:{len(str(options.epochs))}}   loss {history['loss'][-1]:.4f}   "
                f"accuracy {history['accuracy'][-1]:.3f}   validation loss {history['val_loss'][-1]:.4f}   "
                f"accuracy {history['val_accuracy'][-1]:.3f}")

    with backend.use(twin):
        model.train(*data.train, epochs=options.epochs, batch_size=options.batch_size, validation_data=data.validation,
                    shuffle=options.batch_size < len(data.train[0]), seed=options.seed, callback=report)
    print(f"{time.perf_counter() - start:.3f} s on {twin}, validation included")


def _compare(task: Task, options: argparse.Namespace, data: Data, model: Model) -> None:
    models = {twin: model if twin == options.backend else task.model(options) for twin in backend.TWINS}
    for twin, each in models.items():
        print(f"\n{twin}:")
        _fit(task, each, twin, options, data)
    difference, seconds = _race(task, options, data)
    numba, numpy = models["numba"].history, models["numpy"].history
    print(f"\n{'':28}{'numba':>10}{'numpy':>10}")
    for title, name, places in (("loss", "loss", 4), ("accuracy", "accuracy", 3), ("validation loss", "val_loss", 4),
                                ("validation accuracy", "val_accuracy", 3)):
        print(f"{title:28}{numba[name][-1]:10.{places}f}{numpy[name][-1]:10.{places}f}")
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
                    model.train(X, y, epochs=COMPARED_STEPS // steps, batch_size=batch, progress=False)
                start = time.perf_counter()
                model.train(X, y, epochs=COMPARED_STEPS // steps, batch_size=batch, progress=False)
                times[twin].append((time.perf_counter() - start) / COMPARED_STEPS)
        if turn == 0:
            parameters = [model.get_parameters() for model in models.values()]
            difference = max(float(np.abs(a - b).max()) for pairs in zip(*parameters) for a, b in zip(*pairs))
        if turn > 1 and time.perf_counter() > deadline:
            break
    # the first turn of each is the warm-up
    return difference, {twin: statistics.median(found[1:]) for twin, found in times.items()}


# ---- the other commands


def _check(options: argparse.Namespace) -> int:
    from ..bench import contract
    return contract.check(progress=True)


def _bench(options: argparse.Namespace) -> int:
    from ..bench import report
    for name in ("json", "markdown", "roofline"):
        path = getattr(options, name)
        setattr(options, name, None if path is None else str(path))
    return report.main(options)


def _warm(options: argparse.Namespace) -> int:
    from ..bench import contract
    contract.warm(progress=True)
    return 0


def _info(options: argparse.Namespace) -> int:
    from .. import kernels
    for name, value in kernels.info().items():
        print(f"{name + ':':24} {value}")
    return 0

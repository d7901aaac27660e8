"""The command `nnjit`: train and predict, compare both backends, check the kernels, measure them."""

import argparse
import importlib.util
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, NoReturn, TextIO

import numpy as np

from .nn.arrays import Array
from .nn.commands import tasks
from .nn.files import naming
from .nn.training.model import Model
from .nn.training.progress import compiling, note
from .options import Mistake, parser

STDOUT = "stdout"


class Ended(KeyboardInterrupt):
    """A signal that ends the command, which has the exit code that a shell gives."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number


class Output:
    """A stream such as stdout, whose errors name it."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name = stream, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with naming(self._name):
            return self._stream.write(text)

    def flush(self) -> None:
        with naming(self._name):
            self._stream.flush()


def main(argv: list[str] | None = None) -> int:
    """Run `nnjit` with these arguments (the process's own by default) and return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may hold characters that the output cannot encode
    try:
        with redirect_stdout(sys.stdout and Output(sys.stdout, STDOUT)):  # it may be closed, and then is None
            return _run(argv)
    except Mistake as mistake:
        return _fail(mistake)
    except OSError as error:
        if error.filename == STDOUT:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter complains when it flushes at its end
        return 1 if isinstance(error, BrokenPipeError) else _fail(error)
    except KeyboardInterrupt as stop:
        note(str(stop) or "interrupted")
        return stop.code if isinstance(stop, Ended) else 130


def _run(argv: list[str] | None) -> int:
    try:
        options, unknown = parser(COMMANDS).parse_known_args(argv)
        if unknown:
            options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        code: int = options.run(options)
    except SystemExit as stop:  # --help
        code = stop.code if isinstance(stop.code, int) else 0
    print(end="", flush=True)
    return code


def _fail(reason: Exception) -> int:
    note(f"error: {' '.join(str(reason).split())}")
    return 2


def _train(options: argparse.Namespace) -> int:
    task = tasks.task_of(options)
    if options.model != "dense" and options.dataset != "fashion-mnist":
        raise Mistake(f"--model {options.model} goes with fashion-mnist, {options.dataset} has no images")
    if options.data is not None and options.dataset != "fashion-mnist":
        raise Mistake(f"--data goes with fashion-mnist, {options.dataset} is computed")
    if options.compare and options.backend and not (options.save or options.plot):
        raise Mistake("--compare trains on both backends; --backend then says whose model --save and --plot use, "
                      "so give one of these")
    if options.plot and importlib.util.find_spec("matplotlib") is None:
        raise Mistake("--plot needs matplotlib: .venv/bin/pip install '.[plot]'")
    options.backend = options.backend or "numba"
    for name in ("epochs", "batch_size", "learning_rate"):
        if getattr(options, name) is None:
            setattr(options, name, getattr(task, name))
    try:
        data = task.load(options.seed, options.data)
    except ValueError as error:
        raise Mistake(error) from error
    with _ended_as_by_ctrl_c():
        tasks.train(options, data)
    return 0


@contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    # a job that is terminated, or whose terminal is closed, saves its model; handled or ignored signals stay so
    def end(number: int, frame: Any) -> NoReturn:
        raise Ended(number)

    former: dict[int, Any] = {}
    try:
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if (number is not None and threading.current_thread() is threading.main_thread()
                    and signal.getsignal(number) is signal.SIG_DFL):
                former[number] = signal.signal(number, end)
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _predict(options: argparse.Namespace) -> int:
    from .nn.commands import predict
    with np.errstate(all="ignore"):  # what is not finite is said in words
        try:
            model = Model.load(options.model)
            X, names = predict.read(options.data, options.scale, options.background)
            X = predict.as_samples(model, X, "stdin" if options.data == "-" else options.data)
        except (TypeError, ValueError, ImportError) as error:
            raise Mistake(error) from error
        strange = _not_finite(X)
        if strange.any():
            note(f"warning: {strange.sum()} of {len(X)} samples contain nan or infinity, the first is number "
                 f"{strange.argmax() + 1}: their predictions are meaningless")
        try:
            with compiling():
                outputs = model.predict(X, batch_size=4096)
        except (TypeError, ValueError) as error:
            raise Mistake(f"{options.model}: {error}") from error
        lost = _not_finite(outputs) & ~strange
        if lost.any():
            note(f"warning: {lost.sum()} of {len(X)} predictions are nan or infinity, but their samples are finite: "
                 "the model's training may have diverged")
    if options.output:
        try:
            predict.write(options.output, outputs)
        except ValueError as error:
            raise Mistake(error) from error
    for line in predict.describe(model, outputs, names):
        print(line)
    return 0


def _not_finite(rows: Array) -> Array:
    return np.asarray(~np.isfinite(rows).reshape(len(rows), -1).all(axis=1))


def _check(options: argparse.Namespace) -> int:
    from .bench import selfcheck
    _info(options)  # a report of a fault needs it
    print()
    return selfcheck.check(progress=True)


def _bench(options: argparse.Namespace) -> int:
    from .bench import report
    for name in ("json", "markdown", "roofline"):
        path = getattr(options, name)
        setattr(options, name, None if path is None else str(path))
    return report.main(options)


def _warm(options: argparse.Namespace) -> int:
    from .bench import contract
    contract.warm(progress=True)
    return 0


def _info(options: argparse.Namespace) -> int:
    from . import __version__, kernels
    for name, value in {"nnjit": __version__, **kernels.info()}.items():
        print(f"{name + ':':24} {value}")
    return 0


COMMANDS = {"train": _train, "predict": _predict, "check": _check, "bench": _bench, "warm": _warm, "info": _info}

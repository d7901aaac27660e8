"""The trainings of "Neural Networks from Scratch in Python" whose figures are published.

`ROWS` is the table of them. They run in processes of their own (`trained` of book_runs.py), since `nnfs.init()`
replaces functions of NumPy for a whole process; `python -m nnjit.bench.book_rows` is such a process.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .book_programs import Program, fashion, sine, spirals, two_spirals

FIRST = 20  # epochs over which the kernels, the NumPy twins and the book's classes are compared
BAND = (0.03, 0.05)  # of accuracy and loss, around what the book and NumPy gave
DIGITS = (0.0005, 0.0005)  # the same where a training is not chaotic
WARM = 3  # epochs that go before a timed training


@dataclass(frozen=True)
class Row:
    """A training; its last figures (accuracy, loss) in print, and from the book's code under one build of NumPy."""

    name: str
    title: str
    chapter: int
    build: Callable[[Any], Program]  # from a module of the classes
    published: tuple[float, float] | None
    numpy_run: tuple[float, float]
    published_validation: tuple[float, float] | None = None
    numpy_run_validation: tuple[float, float] | None = None
    chaotic: bool = True
    epochs: int = 10001
    batch_size: int | None = None
    model: bool = False  # trained by Model
    timed: int | None = None  # epochs that tell the time of a second run
    long: bool = False  # nine minutes on the NumPy twins, which therefore run the timed epochs only

    def train(self, by: str, epochs: int | None = None, change: int | None = None) -> dict[str, Any]:
        """Train from the seed that `nnfs.init()` sets, which must have run.

        by : "numba", the kernels; "numpy", the NumPy twins; or "book", the book's classes, where they train by hand
        change : seeds a change of the initial weights; then `Model` trains, which is faster

        `seconds` are those of the training alone.
        """
        epochs = self.epochs if epochs is None else epochs
        with _classes(by) as classes:
            np.random.seed(0)
            program = self.build(classes)
            start = program.start()
            if change is not None:
                program.change(change)
            begin = time.perf_counter()
            if self.model or change is not None and by != "book":
                figures, validation = program.by_model(epochs, self.batch_size)
            else:
                figures, validation = program.by_hand(epochs, self.penalties), program.validate_by_hand()
            seconds = time.perf_counter() - begin
        return {"start": start, "first": figures[:FIRST], "last": figures[-1], "validation": validation,
                "seconds": seconds}

    @property
    def penalties(self) -> bool:
        return self.chapter >= 14

    def misses(self, found: Sequence[float], *, validation: bool = False) -> bool:
        """Whether (accuracy, loss) lies outside the band around what the book and NumPy gave."""
        columns = ((self.published_validation, self.numpy_run_validation) if validation else
                   (self.published, self.numpy_run) if self.chaotic else (self.numpy_run,))
        return outside(found, [column for column in columns if column], BAND if self.chaotic else DIGITS)


@contextlib.contextmanager
def _classes(by: str) -> Iterator[Any]:
    """The module of the classes, with the backend set. Imports nothing else of nnjit for the book's."""
    if by == "book":
        from . import book_classes
        yield book_classes
        return
    from .. import nn
    from ..kernels import reference
    from ..nn import nnfs
    with nn.use(by):
        if by == "numpy":
            nn.backend.ops = reference  # a NumPy program checks no arguments
        yield nnfs


def outside(found: Sequence[float], columns: Sequence[tuple[float, float]], band: tuple[float, float]) -> bool:
    """Whether accuracy or loss is further than the band from all between the columns' lowest and highest."""
    return not all(min(given) - room <= value <= max(given) + room
                   for value, given, room in zip(found, zip(*columns), band))


ROWS = (
    Row("sgd", "`SGD()`", 10, lambda of: spirals(of, of.Optimizer_SGD()), (.647, .87), (.647, .874)),
    Row("sgd-decay", "`SGD(decay=1e-3)`", 10,
        lambda of: spirals(of, of.Optimizer_SGD(decay=1e-3)), (.647, .76), (.647, .761)),
    Row("sgd-momentum-0.5", "`SGD(decay=1e-3, momentum=0.5)`", 10,
        lambda of: spirals(of, of.Optimizer_SGD(decay=1e-3, momentum=0.5)), (.780, .55), (.780, .553)),
    Row("sgd-momentum-0.9", "`SGD(decay=1e-3, momentum=0.9)`", 10,
        lambda of: spirals(of, of.Optimizer_SGD(decay=1e-3, momentum=0.9)), (.957, .12), (.957, .121)),
    Row("adagrad", "`Adagrad(decay=1e-4)`", 10,
        lambda of: spirals(of, of.Optimizer_Adagrad(decay=1e-4)), (.840, .38), (.840, .385)),
    Row("rmsprop", "`RMSprop(0.02, decay=1e-5, rho=0.999)`", 10,
        lambda of: spirals(of, of.Optimizer_RMSprop(learning_rate=0.02, decay=1e-5, rho=0.999)),
        (.900, .24), (.900, .238)),
    Row("adam", "`Adam(0.02, decay=1e-5)`", 10,
        lambda of: spirals(of, of.Optimizer_Adam(learning_rate=0.02, decay=1e-5)), (.963, .08), (.967, .081)),
    Row("adam-model", "`Adam(0.02, decay=1e-5)`, by `Model`", 18,
        lambda of: spirals(of, of.Optimizer_Adam(learning_rate=0.02, decay=1e-5)),
        (.963, .08), (.967, .081), model=True),
    Row("adam-validated", "`Adam(0.05, decay=5e-7)`", 11,
        lambda of: spirals(of, of.Optimizer_Adam(learning_rate=0.05, decay=5e-7), validation="after"),
        (.983, .074), (.967, .074), (.803, .858)),
    Row("adam-l2", "`Adam(0.05, decay=5e-7)`, L2 of 5e-4", 14,
        lambda of: spirals(of, of.Optimizer_Adam(learning_rate=0.05, decay=5e-7), l2=5e-4, validation="after"),
        (.947, .217), (.950, .226), (.830, .435)),
    Row("dropout", "`Adam(0.05, decay=5e-5)`, L2, dropout of 0.1, 1000 points a class", 15,
        lambda of: spirals(of, of.Optimizer_Adam(learning_rate=0.05, decay=5e-5), samples=1000, l2=5e-4,
                           dropout=0.1, validation="after"),
        (.688, .727), (.694, .703), (.757, .712), timed=500),
    Row("dropout-model", "the same with 2-512-3, by `Model`", 18,
        lambda of: spirals(of, of.Optimizer_Adam(learning_rate=0.05, decay=5e-5), samples=1000, neurons=512,
                           l2=5e-4, dropout=0.1, validation="before"),
        (.859, .451), (.855, .447), (.843, .385), epochs=10000, model=True, timed=200, long=True),
    Row("binary", "two arms, 2-64-1 and sigmoid, `Adam(decay=5e-7)`, L2", 16,
        lambda of: two_spirals(of, of.Optimizer_Adam(decay=5e-7)), (.965, .219), (.945, .260), (.945, .207)),
    Row("sine", "sine, 1-64-1, `Adam()`", 17,
        lambda of: sine(of, of.Optimizer_Adam(), 64), (.004, .145), (.004, .1455), chaotic=False),
    Row("sine-deeper", "sine, 1-64-64-1, weights of 0.1, `Adam(0.005, decay=1e-3)`", 17,
        lambda of: sine(of, of.Optimizer_Adam(learning_rate=0.005, decay=1e-3), 64, 64, scale=0.1), None, (.981, .000)),
    Row("fashion-mnist", "Fashion-MNIST, 784-128-128-10, `Adam(decay=1e-3)`, 10 epochs", 19,
        lambda of: fashion(of, of.Optimizer_Adam(decay=1e-3)), (.892, .298), (.894, .291), (.870, .359), (.874, .355),
        epochs=10, batch_size=128, model=True),
)
BY_NAME = {row.name: row for row in ROWS}
# Where one training strays further than the band: (accuracy, loss) by row and whether of validation data, the median of
# 20 runs of the book's classes in float64 (`{"by": "book", "change": seed}`), from weights changed as in
# `Program.change`. They lie within 0.71 to 0.97 / 0.10 to 0.58, and 0.72 to 0.85 / 0.39 to 1.09.
MEDIANS = {("sgd-momentum-0.9", False): (.930, .182), ("adam-l2", True): (.827, .496)}


def main(dtype: str, requests: list[dict[str, Any]]) -> None:
    """Print what `Row.train` gives for each request as JSON; see `trained` of book_runs.py."""
    import nnfs
    # in float32 np.dot computes in float64 and rounds, as in the book
    nnfs.init(default_dtype=dtype, dot_precision_workaround=dtype == "float32")
    found = []
    with contextlib.redirect_stdout(sys.stderr):
        for request in requests:
            row = BY_NAME[request.pop("row")]
            if request.pop("warm", False):
                row.train(request["by"], WARM if row.batch_size is None else 1)
            found.append(row.train(**request))
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))

"""What the benchmarks share: a case is one row of the report, `suite` makes pytest-benchmark tests of a list of them.

    python -m pytest bench/bench_softmax.py                        both contenders in one process, all threads
    NNJIT_NUM_THREADS=1 python -m pytest bench/bench_softmax.py    the same on one thread, NumPy's BLAS too
    python -m pytest -o python_files="bench_*.py" --pyargs nnjit.bench.bench_softmax         where there is no setup.cfg

`python -m nnjit.bench.report` runs each contender in a process of its own, since two pools of threads that spin in one
process slow each other down; see running.py for their turns. NNJIT_BENCH_CONTENDER names the one of a process, which
may be a peer of peers.py.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from statistics import median
from typing import Any, Protocol

import numpy as np
import pytest

from .. import kernels, nn
from ..kernels import reference
from . import contract, machine, peers

TWINS = {"numpy": reference, "nnjit": kernels}
BACKENDS = {"numpy": "numpy", "nnjit": "numba"}
ONLY = os.environ.get("NNJIT_BENCH_CONTENDER")
CONTENDERS = [ONLY] if ONLY else list(TWINS)
TURN = os.environ.get("NNJIT_BENCH_TURN")  # three descriptors of pipes: this process's, the next one's, the parent's
SETTLE = 0.005  # seconds, in which the threads of another process stop spinning
STEPS, SHORT, SHORT_STEPS = 10, 1_000_000, 100  # of a training that is timed; more where steps have few multiply-adds
LARGE = 1e7  # operations of a step from which the gain by threads is measured
PAIRS, PAIRS_SECONDS = 5, 1.5  # of trainings on one thread and on all, for that: at most
PEAK_SECONDS = 0.002
# so small that thousands of steps on one batch leave the numbers what they are in a training
LEARNING_RATE = 1e-6
UNREAD = {"linear": 1, "step": 1, "avg_pool2d": 1, "global_avg_pool": 1, "max_pool2d": 2}  # of backward: y, or x
WITH_ACTIVATIONS = ("dense", "conv2d", "conv_transpose2d")  # their y is needed with one only
DTYPES = {"f32": np.float32, "f64": np.float64}


@dataclass(frozen=True)
class Work:
    """What a call computes, what it must read and write, and how much memory that is.

    An exp, log, tanh, root or division counts as one operation, a fused multiply-add as two. What is updated in place
    counts twice in `bytes`, once in `footprint`. `repeats`: how many times in a row the call does all this.
    """

    flops: float
    bytes: float
    footprint: float
    repeats: int = 1


class Case(Protocol):
    dtype: str

    @property
    def group(self) -> str: ...

    def prepare(self, contender: str) -> tuple[Callable[[], Any] | None, Work]:
        """The call to time, with everything set up, and its work; no call where a peer has no such operation."""


@dataclass(frozen=True)
class Kernel:
    """A verb of an operation on `reference.<op>.inputs(...)` of one shape.

    entry : which of the inputs with this verb
    note : what distinguishes that entry, for the group's name
    out : write to arrays that are there already, instead of new ones
    gathered : of the first argument only one number a row is needed
    """

    op: str
    verb: str
    shape: tuple[int, ...]
    flops: float
    dtype: str = "f32"
    entry: int = 0
    note: str = ""
    out: bool = False
    gathered: bool = False

    @property
    def group(self) -> str:
        parts = [f"{self.op}.{self.verb}", "x".join(map(str, self.shape)), self.dtype, self.note]
        return " ".join(part for part in [*parts, "out=" * self.out] if part)

    def inputs(self) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
        """Calls to choose from, as a twin lists them."""
        return _inputs(self.op, self.shape, self.dtype)

    def prepare(self, contender: str) -> tuple[Callable[[], Any] | None, Work]:
        cases = [case for case in self.inputs() if case[0] == self.verb]
        _, args, options = cases[self.entry]
        if contract.updated(self.op, self.verb, options):
            args = tuple(x.copy() for x in args)
        call = None
        if contender in peers.NAMES:
            call = peers.kernel(contender, self.op, self.verb, args, options, self.out)
        function = getattr(getattr(TWINS.get(contender, reference), self.op), self.verb)
        result = function(*args, **options)  # compiles too
        if contender in TWINS:
            given = {**options, "out": result} if self.out else options
            call = lambda: function(*args, **given)  # noqa: E731
        read = sum(_size(x) for x in args)
        if self.gathered:
            read -= args[0].nbytes - len(args[0]) * args[0].itemsize
        if self.verb == "backward" and self.op in WITH_ACTIVATIONS and not self.note:
            read -= _size(args[3])
        if self.verb == "backward" and self.op in UNREAD:
            read -= _size(args[UNREAD[self.op]])
        made = _size(result)
        updated = read - _size(args[1:2]) if self.verb == "step" else 0  # all but a gradient, the second
        return call, Work(self.flops, read + made + updated, read + made)


@dataclass(frozen=True)
class Product:
    """One of a dense layer's products through `matmul.forward`; the backward ones take transposed views.

    shape : batch, inputs and outputs of the layer
    """

    what: str  # "x w", "dy w^T" or "x^T dy"
    shape: tuple[int, int, int]
    dtype: str = "f32"

    @property
    def group(self) -> str:
        return f"product {self.what} {'x'.join(map(str, self.shape))} {self.dtype}"

    def prepare(self, contender: str) -> tuple[Callable[[], Any] | None, Work]:
        batch, inputs, outputs = self.shape
        rng = np.random.default_rng(0)
        x, w, dy = (rng.standard_normal(shape).astype(DTYPES[self.dtype])
                    for shape in ((batch, inputs), (inputs, outputs), (batch, outputs)))
        args = {"x w": (x, w), "dy w^T": (dy, w.T), "x^T dy": (x.T, dy)}[self.what]
        moved = x.nbytes + w.nbytes + dy.nbytes
        work = Work(2 * batch * inputs * outputs, moved, moved)
        if contender in peers.NAMES:
            return peers.kernel(contender, "matmul", "forward", args, {}), work
        function = TWINS[contender].matmul.forward
        return lambda: function(*args), work

    def beside(self, call: Callable[[], Any]) -> dict[str, float]:
        """The multiply-add peak in GFLOP/s, measured in the same second."""
        return {"peak": machine.peak(DTYPES[self.dtype], PEAK_SECONDS)}


@dataclass(frozen=True)
class Network:
    """Dense layers on `batch` random samples, float32, with ReLU between them and softmax at the end.

    what : "step": forward, loss, backward and Adam in a training; "epoch": a step of all samples with the accuracy, and
        their validation; "evaluate": loss and accuracy; "predict": the outputs alone
    regression : instead with tanh between them, nothing at the end, and mean squared error
    """

    what: str
    sizes: tuple[int, ...]
    batch: int
    regression: bool = False
    dtype: str = "f32"

    @property
    def group(self) -> str:
        return f"{self.what} {'-'.join(map(str, self.sizes))} {'tanh MSE ' * self.regression}batch {self.batch}"

    def prepare(self, contender: str) -> tuple[Callable[[], Any] | None, Work]:
        rng = np.random.default_rng(0)
        model = nn.Model()
        for inputs, neurons in zip(self.sizes[:-2], self.sizes[1:-1]):
            model.add(nn.Dense(inputs, neurons, activation="tanh" if self.regression else "relu", rng=rng))
        model.add(nn.Dense(*self.sizes[-2:], rng=rng))
        x = rng.standard_normal((self.batch, self.sizes[0])).astype(np.float32)
        y: Any
        if self.regression:
            y = rng.standard_normal((self.batch, self.sizes[-1])).astype(np.float32)
        else:
            model.add(nn.Softmax())
            y = rng.integers(0, self.sizes[-1], self.batch)
        model.set(loss=nn.MeanSquaredError() if self.regression else nn.CategoricalCrossentropy(),
                  optimizer=nn.Adam(LEARNING_RATE),
                  accuracy=nn.Accuracy() if self.what in ("epoch", "evaluate") else None)
        model.finalize()
        if contender in peers.NAMES:
            parameters = [(w, b.ravel()) for w, b in model.get_parameters()]
            return peers.network(contender, self.what, parameters, x, y, self._steps, LEARNING_RATE), self._work()
        calls = {"step": lambda: model.train(x, y, epochs=self._steps),
                 "epoch": lambda: model.train(x, y, epochs=self._steps, validation_data=(x, y)),
                 "evaluate": lambda: model.evaluate(x, y), "predict": lambda: model.predict(x)}
        return calls[self.what], self._work()

    def beside(self, call: Callable[[], Any]) -> dict[str, float]:
        """How many times as fast all threads are as one, for a large step: a model for each, in turns."""
        threads = kernels.get_num_threads()
        if threads == 1 or self.what != "step" or self._work().flops < LARGE:
            return {}
        alone, _ = self.prepare("nnjit")
        ratios: list[float] = []
        try:
            deadline = time.perf_counter() + PAIRS_SECONDS
            while len(ratios) < 2 or len(ratios) <= PAIRS and time.perf_counter() < deadline:
                times = []
                for count, each in ((1, alone), (threads, call)):
                    kernels.set_num_threads(count)
                    start = time.perf_counter()
                    each()  # type: ignore[misc]
                    times.append(time.perf_counter() - start)
                ratios.append(times[0] / times[1])
        finally:
            kernels.set_num_threads(threads)
        return {"gain": median(ratios[1:])}  # the first one records

    @property
    def _weights(self) -> int:
        return sum(k * c for k, c in zip(self.sizes, self.sizes[1:]))

    @property
    def _steps(self) -> int:
        # the start of a training takes 20 to 60 us
        return SHORT_STEPS if self.batch * self._weights < SHORT else STEPS

    def _work(self) -> Work:
        weights = self._weights
        parameters = weights + sum(self.sizes[1:])
        inputs, outputs = self.batch * self.sizes[0], self.batch * sum(self.sizes[1:])
        forward = Work(2 * self.batch * weights, 4 * (parameters + inputs + 2 * outputs),
                       4 * (parameters + inputs + outputs))
        if self.what in ("predict", "evaluate"):
            return forward
        # three products a layer, but no gradient for the inputs; 13 operations of Adam
        flops: float = 6 * self.batch * weights - 2 * inputs * self.sizes[1] + 13 * parameters
        # parameters: forward, backward, gradient, and 7 in Adam; outputs and their gradients: written, read twice
        moved: float = 4 * (10 * parameters + 2 * inputs + 6 * outputs)
        if self.what == "epoch":
            flops, moved = flops + forward.flops, moved + forward.bytes
        return Work(flops, moved, 4 * (4 * parameters + inputs + 2 * outputs), self._steps)


@lru_cache(maxsize=1)  # forward and backward of one shape stand side by side
def _inputs(op: str, shape: tuple[int, ...], dtype: str) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    return getattr(reference, op).inputs(np.random.default_rng(0), shape, DTYPES[dtype])


def _size(x: Any) -> int:
    if isinstance(x, tuple):
        return sum(_size(each) for each in x)
    return x.nbytes if isinstance(x, np.ndarray) else 0


@contextmanager
def _set_up(contender: str, blas: bool) -> Iterator[None]:
    """The backend of `nn`, and as many BLAS threads as the kernels may use; one where NumPy only makes the inputs."""
    from threadpoolctl import threadpool_limits

    threads = kernels.get_num_threads()
    blas = blas or contender in ("numpy", "sklearn")
    with (nn.use(BACKENDS.get(contender, "numpy")), threadpool_limits(threads if blas else 1, user_api="blas"),
          peers.held(contender, threads)):
        if contender == "numpy":
            nn.backend.ops = reference  # a NumPy program checks no arguments
        yield


@contextmanager
def _turn() -> Iterator[None]:
    """Wait until the other contenders' processes have measured this case, or wait for their turn; see `running`."""
    if not TURN:
        yield
        return
    mine, following, ready = map(int, TURN.split(","))
    os.write(ready, b".")
    os.read(mine, 1)
    try:
        time.sleep(SETTLE)
        yield
    finally:
        os.write(following, b".")


def suite(cases: list[Any], *, blas: bool = False) -> Callable[..., None]:
    """A test for each case and contender; `blas`: the calls to our kernels need NumPy's products too."""

    @pytest.mark.parametrize("contender", CONTENDERS)
    @pytest.mark.parametrize("case", cases, ids=lambda case: case.group)
    def test(benchmark: Any, case: Case, contender: str) -> None:
        with _turn(), _set_up(contender, blas):
            call, work = case.prepare(contender)
            if call is None:
                pytest.skip(f"{contender} has no such operation")
            call()  # compiles, and is no part of what follows
            benchmark.group = case.group
            benchmark.extra_info.update(contender=contender, threads=kernels.get_num_threads(), dtype=case.dtype,
                                        **asdict(work))
            benchmark(call)
            if contender == "nnjit" and hasattr(case, "beside"):
                benchmark.extra_info.update(case.beside(call))

    return test

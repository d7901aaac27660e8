"""`nnjit check`: is this machine sound?

Every operation is compared with NumPy in float64, with itself on other numbers of threads, and by its digest with all
other machines, in processes of their own: one that crashes is a fault, too. Then trainings, several Python threads at
once, child processes, and a model's file.
"""

import hashlib
import multiprocessing
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np

from .. import kernels, nn
from ..nn.training.progress import bar
from .contract import DTYPES, call, every_case, operation_digest, operations, outcome, processes, total, twins
from .digests import DIGESTS
from .exact import feed
from .trainings import TRAININGS

# eps of the dtype, times the largest number of the result: the largest seen of dense is 267, where a sum of 410
# products goes through tanh; without such a step it is 16. The gradients of two samples' normalization cancel.
ERROR, ERRORS = 32, {"dense": 500, "batch_norm": np.inf}
PYTHON_THREADS = 8
PATIENCE = 60  # seconds until a child process counts as hanging
QUICK = ("matmul", "softmax", "adam")  # operations for threads and children, of all kinds


def error(dtype, results, expected):
    """The largest difference in eps of the dtype, relative to the largest number of each result. The unit is at least
    the smallest normal number: optimizers end what fades at 16 times that, and eps of a denormal number may be 0."""
    largest, info = 0.0, np.finfo(dtype)
    for x, r in zip(results, expected, strict=True):
        unit = max(float(np.max(np.abs(r), initial=0.0) * info.eps), float(info.smallest_normal))
        largest = max(largest, float(np.max(np.abs(x - r), initial=0.0)) / unit)
    return largest


def as_float64(x):
    """A floating-point array as float64, anything else as it is."""
    return x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x


def _same(results, others):
    # the sign of a NaN is not promised
    return all(x.dtype == z.dtype and x.shape == z.shape and np.array_equal(x, z, equal_nan=x.dtype.kind == "f")
               and np.array_equal(np.signbit(x) & (x == x), np.signbit(z) & (z == z)) for x, z in zip(
                   map(np.asarray, results), map(np.asarray, others), strict=True))


def _numbers_of_threads() -> list[int]:
    """1, 2 and as many as are set, as far as this machine allows."""
    before, found = kernels.get_num_threads(), []
    for n in sorted({1, 2, before}):
        try:
            kernels.set_num_threads(n)
        except ValueError:
            continue
        found.append(n)
    kernels.set_num_threads(before)
    return found


def _outcome(kernel, function, args, options):
    if function == "step":
        return call(kernel, function, args, options, parallel=False), []
    return outcome(kernel, function, args, options, parallel=False)


# ---- the checks: faults as text, columns of the table, digests


def check_operation(operation: str, threads: list[int]) -> tuple[list[str], str, str]:
    """An operation's precision and bits: faults, the largest errors, the digest."""
    kernel, twin = twins(operation)
    faults, errors, state = [], dict.fromkeys(DTYPES, 0.0), hashlib.sha256()
    for dtype, (function, args, options) in every_case(operation):
        where = f"{operation}.{function} {np.dtype(dtype)} {[x.shape for x in args]}"
        results, *changed = _outcome(kernel, function, args, options)
        feed(state, [*results, *changed[0]])
        if not _same(results, call(kernel, function, args, options, parallel=False)):
            faults.append(f"{where}: two runs differ")
        for n in threads:
            kernels.set_num_threads(n)
            if not _same(results, call(kernel, function, args, options, parallel=True)):
                faults.append(f"{where}: {n} thread{'s' * (n > 1)} and the serial variant differ")
        if all(np.isfinite(x).all() for x in args):
            expected = call(twin, function, [as_float64(x) for x in args], options)
            found = error(dtype, results, expected)
            errors[dtype] = max(errors[dtype], found)
            if not found <= ERRORS.get(operation, ERROR):
                faults.append(f"{where}: NumPy in float64 differs by {found:.1f} eps")
    return faults, f"{errors[np.float32]:8.1f}{errors[np.float64]:9.1f}", state.hexdigest()


def check_training(name: str, threads: list[int]) -> tuple[list[str], str, str]:
    """A training on each number of threads."""
    found = {}
    for n in threads:
        kernels.set_num_threads(n)
        found[n] = TRAININGS[name]()
    faults = [f"{name} on {n} threads and on {threads[0]} differ" for n in threads if found[n] != found[threads[0]]]
    return faults, "", found[threads[0]]


def _digests() -> list[str]:
    return [operation_digest(name, parallel=True) for name in QUICK]


RIGHT = [DIGESTS[name] for name in QUICK]


def check_python_threads() -> list[str]:
    """Several Python threads that call kernels at the same time."""
    found: list[Any] = [None] * PYTHON_THREADS

    def run(number: int) -> None:
        found[number] = _digests()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(PYTHON_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [f"Python thread {number} of {PYTHON_THREADS}: other bits"
            for number, digests in enumerate(found, 1) if digests != RIGHT]


def _send(pipe: Any) -> None:
    pipe.send(_digests())


def check_children() -> list[str]:
    """Child processes, forked after kernels used threads, and spawned."""
    faults = []
    for method in multiprocessing.get_all_start_methods():
        context: Any = multiprocessing.get_context(method)
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=_send, args=(there,))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is what is checked
            child.start()
        there.close()
        try:
            if not here.poll(PATIENCE):
                faults.append(f"a child by {method} hangs")
            else:
                if here.recv() != RIGHT:
                    faults.append(f"a child by {method}: other bits")
                child.join(PATIENCE)  # before it is killed: it still gives back what it holds
        except EOFError:
            child.join()
            faults.append(f"a child by {method} ended with code {child.exitcode}")
        finally:
            child.kill()
            child.join()
    return faults


def check_file() -> list[str]:
    """A model saved, loaded, and trained on."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((90, 4)).astype(np.float32), rng.integers(0, 3, 90)
    model = nn.Model()
    for layer in (nn.Dense(4, 16, activation="relu", rng=0), nn.Dense(16, 3, rng=1), nn.Softmax()):
        model.add(layer)
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.01), accuracy=nn.Accuracy())
    model.finalize()
    model.train(X, y, epochs=3, progress=False)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.npz")
        loaded = nn.Model.load(Path(folder) / "model.npz")
    for each in (model, loaded):
        each.train(X, y, epochs=3, progress=False)
    return [] if _same([model.predict(X)], [loaded.predict(X)]) else ["a model that was saved and loaded trains apart"]


OTHERS: dict[str, Callable[[], list[str]]] = {
    f"{PYTHON_THREADS} Python threads": check_python_threads,
    "child processes": check_children,
    "save, load, train on": check_file,
}


# ---- the command


def _found(threads: list[int]) -> Iterator[tuple[str, list[str], str, str | None]]:
    """Name, faults, columns and digest (None: has none) of each check."""
    with processes() as pool:
        running = {name: pool.submit(check_operation, name, threads) for name in operations()}
        running |= {name: pool.submit(check_training, name, threads) for name in TRAININGS}
        for name, result in running.items():
            try:
                yield name, *result.result()
            except BrokenProcessPool:
                yield name, [f"{name}, or a check at the same time, crashed its process"], "", ""
                break
            except Exception as error:
                yield name, [_text(name, error)], "", ""
    for name, run in OTHERS.items():
        try:
            yield name, run(), "", None
        except Exception as error:
            yield name, [_text(name, error)], "", None


def _text(name: str, error: Exception) -> str:
    return f"{name}: {type(error).__name__}: {error}"


def check(progress: bool = True) -> int:
    """Check the promises on this machine, print a table, and return 0 if all are kept, else 1."""
    threads = _numbers_of_threads()
    faults: list[str] = []
    found: dict[str, str] = {}
    print(f"largest error against NumPy in float64, in eps; bits of the serial variant against "
          f"{', '.join(map(str, threads))} threads and a second run\n")
    print(f"{'':28}{'float32':>8}{'float64':>9}   digest")
    running = bar(len(operations()) + len(TRAININGS) + len(OTHERS), None if progress else False)
    say = print if running is None else running.write
    try:
        for name, wrong, columns, digest in _found(threads):
            if digest is not None:
                found[name] = digest
                if digest != DIGESTS.get(name):
                    wrong.append(f"{name}: the digest is {digest}, expected {DIGESTS.get(name)}")
            faults += wrong
            say(f"{name:28}{columns:17}   {(digest or '')[:16]:16}  {'FAULT' if wrong else 'ok'}")
            if running is not None:
                running.update()
    finally:
        if running is not None:
            running.close()
    for fault in faults:
        print(f"fault: {fault}")
    print(f"\ndigest of this machine: {total(found)}")
    print("please report the faults with all of this text" if faults
          else "all checks passed; every machine prints this digest")
    return int(bool(faults))

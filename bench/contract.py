"""The cases by which the promises of `nnjit.kernels` are checked, and the digests of their results.

`warm()` compiles everything into the cache. `python -m nnjit.bench.contract --write` writes the digests to digests.py,
for a new operation or when a change of bits is meant.
"""

import argparse
import hashlib
import inspect
import multiprocessing
import pkgutil
import signal
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib import import_module
from pathlib import Path

import numpy as np

from .. import kernels
from ..kernels import reference
from ..kernels.core import cache, public
from ..nn.files import write_text
from ..nn.training.progress import bar
from .exact import Exact, feed
from .trainings import TRAININGS

DTYPES = (np.float32, np.float64)
# Shapes by the number of dimensions. Those peculiar to an operation are in its twin.
SHAPES = {  # around 3, 10, 16, 17 columns, over each block and each switch of method: the digests are of these
    1: ((1,), (63,), (64,), (65,), (1000,), (4161,), (270_001,)),
    2: ((0, 3), (1, 1), (2, 3), (7, 10), (17, 16), (65, 3), (70, 9), (33, 17), (130, 100), (5, 1000), (9, 4100)),
    3: ((0, 3, 2), (3, 0, 2), (1, 1, 1), (3, 5, 3), (7, 17, 10), (33, 20, 16), (64, 64, 64), (17, 100, 17),
        (350, 31, 3), (400, 90, 10), (40, 400, 100), (200, 410, 170),
        (1, 30, 300), (30, 256, 7), (20, 0, 3), (40, 7, 1)),
    4: ((0, 3, 4, 5), (2, 0, 4, 5), (1, 1, 1, 1), (2, 3, 5, 7), (3, 2, 8, 16), (1, 5, 9, 33), (2, 17, 6, 6),
        (9, 3, 28, 28), (1, 2, 40, 100), (300, 1, 2, 3)),
    5: ((0, 2, 5, 4, 3), (2, 0, 4, 5, 3), (1, 1, 1, 1, 1), (2, 2, 7, 6, 5), (3, 4, 8, 9, 17), (1, 6, 14, 14, 16),
        (70, 2, 4, 4, 8), (2, 18, 3, 33, 10), (2, 8, 17, 16, 12)),
}
SPECIAL_SHAPES = {1: ((200,),), 2: ((40, 18),), 3: ((33, 12, 19), (40, 5, 3)), 4: ((3, 4, 10, 9),),
                  5: ((3, 4, 6, 5, 7),)}
# another length for each letter, so that no mistake fits by chance
SMALL = {1: (19,), 2: (19, 10), 3: (9, 7, 5), 4: (2, 3, 6, 5), 5: (2, 4, 6, 5, 3)}
LARGE = {1: (2**20 + 77,), 2: (1030, 1021), 3: (410, 300, 411), 4: (31, 33, 32, 32),  # a million elements
         5: (17, 4, 126, 125, 3)}
MOST_PROCESSES = 8  # a compiling process takes 300 MB


# ---- operations and their cases


def operations():
    """The names of all operations: the modules of kernels/reference."""
    return sorted(module.name for module in pkgutil.iter_modules(reference.__path__))


def twins(operation):
    """The module of an operation's kernels and that of its NumPy twin."""
    return import_module(f"{kernels.__name__}.{operation}"), import_module(f"{reference.__name__}.{operation}")


def dimensions(operation):
    """The number of dimensions of an operation's shape."""
    return len(twins(operation)[1].DIMENSIONS)


def shapes(operation):
    """The shapes worth testing: those of every operation, and its twin's own."""
    return tuple(dict.fromkeys((*SHAPES[dimensions(operation)], *twins(operation)[1].SHAPES)))


def small(operation):
    """A shape where one is enough."""
    return SMALL[dimensions(operation)]


def cases(operation, shape, dtype, specials=False):
    """The cases that the twin lists, (function, args, kwargs), with arguments that are the same on every machine."""
    kernel, twin = twins(operation)
    rng = Exact(f"{operation} {shape} {np.dtype(dtype)}", specials)
    found, forward = [], None
    with np.errstate(all="ignore"):
        listed = twin.inputs(rng, shape, dtype)
    for function, args, options in listed:
        names = list(inspect.signature(getattr(twin, function)).parameters)
        args = dict(zip(names, args))
        if "p" in args:  # the twin divides by a sum, whose order is NumPy's
            p = rng.random(args["p"].shape).astype(dtype)
            p.reshape(-1)[::7], p.reshape(-1)[3::7] = 0, 1
            args["p"] = p
        # the twin computed y by libm and BLAS, unless it is what forward takes, as in losses
        if function == "backward" and "y" in args and "y" not in inspect.signature(twin.forward).parameters:
            y = call(kernel, *forward, parallel=False)[-1]  # type: ignore[misc]
            assert y.shape == args["y"].shape, f"{operation}.backward: y must be the last result of forward"
            args["y"] = y
        if function == "backward" and hasattr(twin, "SAVED"):
            args |= zip(twin.SAVED, call(kernel, *forward, parallel=False)[1:], strict=True)  # type: ignore[misc]
        # a power of an option is libm's: keep 20 bits of it
        options = {name: round(value * 2**20) / 2**20 if isinstance(value, float) else value
                   for name, value in options.items()}
        found.append((function, tuple(args.values()), options))
        if function == "forward":
            forward = found[-1]
    return found


def updated(operation, function, options=None):
    """The names of the arguments that a call updates in place with these options, or with some: for a step, all arrays
    but the gradients."""
    twin = twins(operation)[1]
    if function == "step":
        return [name for name in inspect.signature(twin.step).parameters if not name.startswith("d")]
    trains = function == "forward" and (options is None or options.get("training"))
    return getattr(twin, "UPDATED", ()) if trains else ()


def call(module, function, args, options, **more):
    """The results of a call as a list of arrays: what it returns or, for a step in place, copies of its arguments."""
    if function == "step":
        args = [np.array(x) for x in args]
        getattr(module, function)(*args, **options, **more)
        return args
    return outcome(module, function, args, options, **more)[0]


def outcome(module, function, args, options, **more):
    """The results of a call that is no step, and what it updated: copies of arguments."""
    names = [*inspect.signature(getattr(module, function)).parameters]
    changing = updated(module.__name__.rpartition(".")[2], function, options)
    args = [np.array(x) if name in changing else x for name, x in zip(names, args)]
    result = getattr(module, function)(*args, **options, **more)
    found = [x for name, x in zip(names, args) if name in changing]
    return _arrays(result), found


def _arrays(result):
    return [np.asarray(x) for x in (result if isinstance(result, tuple) else (result,))]


def every_case(operation):
    """(dtype, case) for all that goes into the digest of an operation."""
    number = dimensions(operation)
    for dtype in DTYPES:
        for shape in SHAPES[number]:
            for case in cases(operation, shape, dtype):
                yield dtype, case
        for shape in SPECIAL_SHAPES[number]:
            for case in cases(operation, shape, dtype, specials=True):
                yield dtype, case


# ---- digests


def operation_digest(operation, parallel=False):
    """The digest of all results of an operation."""
    kernel, state = twins(operation)[0], hashlib.sha256()
    for _, case in every_case(operation):
        if case[0] == "step":
            feed(state, call(kernel, *case, parallel=parallel))
        else:
            results, changed = outcome(kernel, *case, parallel=parallel)
            feed(state, results + changed)
    return state.hexdigest()


def digest(name, parallel=False):
    """The digest of an operation or a training."""
    return TRAININGS[name]() if name in TRAININGS else operation_digest(name, parallel)


def digests(parallel=False):
    """All digests by name: those of the operations and of the trainings."""
    return {name: digest(name, parallel) for name in (*operations(), *TRAININGS)}


def total(found):
    """One digest of all."""
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()


# ---- compiling


def processes():
    """As many processes as kernels may use threads: compiling and checking take one core each. Ctrl-C ends them."""
    return ProcessPoolExecutor(min(kernels.get_num_threads(), MOST_PROCESSES), multiprocessing.get_context("spawn"),
                               signal.signal, (signal.SIGINT, signal.SIG_DFL))


def compiled(operation, dtype):
    """Compile an operation's kernels for a dtype, serial and parallel, and their calls from recorded trainings."""
    for parallel in (False, True):
        with kernels.capture(checks=True) as calls:
            for case in cases(operation, small(operation), dtype):
                call(twins(operation)[0], *case, parallel=parallel)
        kernels.Replay(calls)


def compiled_gate():
    """Compile the gate of frequent calls, and the check of the labels that `nnfs.datasets` gives."""
    public.install()
    with kernels.capture(checks=True) as calls:
        kernels.softmax_cross_entropy.forward(np.empty((1, 2)), np.array([0], np.uint8))
    kernels.Replay(calls)


def warm(progress=True):
    """Compile every kernel, for both dtypes, serial and parallel, into the cache, so that nothing compiles later.

    Raises OSError, before it compiles, if nothing can be saved.
    """
    folder = kernels.info()["cache folder"]
    if not cache.writable():
        raise OSError(f"nothing can be saved in the cache folder, {folder}")
    # products first: they take longest, and the last task should be a short one
    names = sorted(operations(), key=lambda name: (-dimensions(name), name))
    tasks = [(compiled, name, dtype) for name in names for dtype in DTYPES] + [(compiled_gate,)] * bool(names)
    running = bar(len(tasks), None if progress else False)
    with processes() as pool:
        for done in as_completed([pool.submit(*task) for task in tasks]):
            done.result()
            if running is not None:
                running.update()
    if running is not None:
        running.close()
    if not any(Path(folder).glob("*.bin")):
        raise OSError(f"what was compiled could not be saved in the cache folder, {folder}")
    print(f"{len(names)} operations are compiled in {folder}")


def main(arguments=None):
    """Print digests.py, or write it."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}.contract", description=main.__doc__)
    parser.add_argument("--write", action="store_true", help="write bench/digests.py, once all are computed")
    write = parser.parse_args(arguments).write
    lines = "".join(f'    "{name}": "{digest}",\n' for name, digest in digests().items())
    about = "What contract.py computes, as digests, the same on every machine: a change of bits is a decision."
    text = f'"""{about}"""\n\nDIGESTS = {{\n{lines}}}\n'
    if write:
        write_text(Path(__file__).with_name("digests.py"), text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()

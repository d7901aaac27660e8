"""The promises of `nnjit.kernels`, checked on this machine: right results, and the same bits as everywhere else.

`check()` runs every operation, compares it with NumPy, with itself on other numbers of threads, and its digest with
the one in digests.py. `warm()` compiles everything into the cache. `python -m nnjit.bench.contract` prints the digests
as digests.py holds them: write them there when a change of bits is meant.

The inputs behind the digests come from integers, so that they too are the same on every machine.
"""

import hashlib
import inspect
import math
import pkgutil
from importlib import import_module

import numpy as np

from .. import kernels, nn
from ..kernels import reference
from ..nn.progress import bar

DTYPES = (np.float32, np.float64)
SHAPES = {  # by the number of dimensions: around 3, 10, 16, 17 columns, over each block and each switch of method
    1: ((1,), (63,), (64,), (65,), (1000,), (4161,), (270_001,)),
    2: ((0, 3), (1, 1), (2, 3), (7, 10), (17, 16), (65, 3), (70, 9), (33, 17), (130, 100), (5, 1000), (9, 4100)),
    3: ((0, 3, 2), (3, 0, 2), (1, 1, 1), (3, 5, 3), (7, 17, 10), (33, 20, 16), (64, 64, 64), (17, 100, 17),
        (350, 31, 3), (400, 90, 10), (40, 400, 100), (200, 410, 170),
        (1, 30, 300), (30, 256, 7), (20, 0, 3), (40, 7, 1)),
}
SPECIAL_SHAPES = {1: ((200,),), 2: ((40, 18),), 3: ((33, 12, 19), (40, 5, 3))}
SPECIALS = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-40, -5e-324, 3e38, -1e-30)
ERRORS = {"dense": 500}  # eps of the dtype, times the largest number of the result: the largest seen is 267, where a
ERROR = 32  # sum of 410 products goes through tanh; without such a step it is 16
STEPS = 200


class Exact:
    """The part of a NumPy generator that `inputs` of the twins need, from integers (splitmix64) and exact products."""

    def __init__(self, seed, specials=False):
        self.state = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "little")
        self.specials = specials

    def _words(self, shape):
        count = math.prod(shape) if isinstance(shape, tuple) else shape
        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(self.state)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        self.state = (self.state + count * 0x9E3779B97F4A7C15) % 2**64
        return (z ^ z >> np.uint64(31)).reshape(shape)

    def random(self, shape):
        """Numbers in 0..1, multiples of 2^-53."""
        return (self._words(shape) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def standard_normal(self, shape):
        """Numbers in -2..2, not normal; a few of SPECIALS among them if wished."""
        x = 4 * self.random(shape) - 2
        if self.specials:
            flat = x.reshape(-1)
            flat[::29] = np.resize(SPECIALS, flat[::29].size)
        return x

    def integers(self, low, high, shape):
        """Whole numbers in low..high-1."""
        return low + (self._words(shape) % np.uint64(high - low)).astype(np.int64)


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


def cases(operation, shape, dtype, specials=False):
    """The cases that the twin lists, (function, args, kwargs), with arguments that are the same on every machine."""
    kernel, twin = twins(operation)
    rng = Exact(f"{operation} {shape} {np.dtype(dtype)}", specials)
    found, forward = [], None
    with np.errstate(all="ignore"):
        listed = twin.inputs(rng, shape, dtype)
    for function, args, knobs in listed:
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
        # a power of a knob is libm's: keep 20 bits of it
        knobs = {name: round(value * 2**20) / 2**20 if isinstance(value, float) else value
                 for name, value in knobs.items()}
        found.append((function, tuple(args.values()), knobs))
        if function == "forward":
            forward = found[-1]
    return found


def call(module, function, args, knobs, **more):
    """The results of a call as a list of arrays: what it returns or, for a step in place, copies of its arguments."""
    if function == "step":
        args = [np.array(x) for x in args]
        getattr(module, function)(*args, **knobs, **more)
        return args
    result = getattr(module, function)(*args, **knobs, **more)
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


def feed(state, arrays):
    """Add arrays to a hash: dtype, shape and little-endian bits, every NaN as the same NaN."""
    for x in arrays:
        x = np.array(x, x.dtype.newbyteorder("<"), order="C")
        if x.dtype.kind == "f":
            x[np.isnan(x)] = np.nan
        state.update(f"{x.dtype.str} {x.shape} ".encode() + x.tobytes())


def operation_digest(operation, parallel=False):
    """The digest of all results of an operation."""
    kernel, state = twins(operation)[0], hashlib.sha256()
    for _, case in every_case(operation):
        feed(state, call(kernel, *case, parallel=parallel))
    return state.hexdigest()


def train(optimizer, activation, dtype):
    """A model after 200 steps: losses, accuracies and weights, from data and first weights made of integers."""
    rng = Exact(f"training {activation}")
    X, y = rng.standard_normal((300, 64)).astype(dtype), rng.integers(0, 10, 300)
    model = nn.Model()
    for sizes in ((64, 64), (64, 48), (48, 10)):
        layer = nn.Dense(*sizes, activation=activation if sizes[1] > 10 else None, dtype=dtype, rng=0)
        layer.weights = rng.standard_normal(sizes) / 8
        model.add(layer)
    model.add(nn.Softmax())
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=optimizer, accuracy=nn.Accuracy())
    model.finalize()
    history = model.train(X, y, epochs=STEPS // 5, batch_size=64)  # 4 batches of 64 and one of 44
    assert history["loss"][-1] < history["loss"][0] / 2, "the training does not learn"
    return ([np.array(history[name]) for name in ("loss", "accuracy", "learning_rate")]
            + [x for pair in model.get_parameters() for x in pair])


def training_digest():
    """The digest of three trainings through `nnjit.nn`: losses, accuracies and final weights."""
    state = hashlib.sha256()
    with nn.use("numba"):
        feed(state, train(nn.Adam(0.005, decay=1e-3), "relu", np.float32))
        feed(state, train(nn.SGD(0.25, decay=1e-3, momentum=0.875), "tanh", np.float32))
        feed(state, train(nn.SGD(1.0, momentum=0.75), "sigmoid", np.float64))
    return state.hexdigest()


def digests(parallel=False):
    """All digests by name: one an operation, and `training`."""
    return {**{name: operation_digest(name, parallel) for name in operations()}, "training": training_digest()}


def total(found):
    """One digest of all."""
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()


# ---- the commands


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
    return all(np.array_equal(x.view(f"u{x.itemsize}"), z.view(f"u{z.itemsize}"))
               for x, z in zip(map(np.ascontiguousarray, results), map(np.ascontiguousarray, others), strict=True))


def _numbers_of_threads():
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


def _check_operation(operation, threads):
    """Faults as text, the largest error by dtype, the digest."""
    kernel, twin = twins(operation)
    faults, errors, state = [], dict.fromkeys(DTYPES, 0.0), hashlib.sha256()
    for dtype, (function, args, knobs) in every_case(operation):
        where = f"{operation}.{function} {np.dtype(dtype)} {[x.shape for x in args]}"
        results = call(kernel, function, args, knobs, parallel=False)
        feed(state, results)
        if not _same(results, call(kernel, function, args, knobs, parallel=False)):
            faults.append(f"{where}: two runs differ")
        for n in threads:
            kernels.set_num_threads(n)
            if not _same(results, call(kernel, function, args, knobs, parallel=True)):
                faults.append(f"{where}: {n} thread{'s' * (n > 1)} and the serial variant differ")
        if all(np.isfinite(x).all() for x in args):
            expected = call(twin, function, [as_float64(x) for x in args], knobs)
            found = error(dtype, results, expected)
            errors[dtype] = max(errors[dtype], found)
            if not found <= ERRORS.get(operation, ERROR):
                faults.append(f"{where}: NumPy in float64 differs by {found:.1f} eps")
    return faults, errors, state.hexdigest()


def check(progress=True):
    """Check the promises on this machine, print a table, and return 0 if all are kept, else 1."""
    from .digests import DIGESTS
    before, threads, names = kernels.get_num_threads(), _numbers_of_threads(), operations()
    faults, found = [], {}
    print(f"largest error against NumPy in float64, in eps; bits of the serial variant against "
          f"{', '.join(map(str, threads))} threads and a second run\n")
    print(f"{'':28}{'float32':>8}{'float64':>9}   digest")
    running = bar(len(names) + 1, None if progress else False)
    try:
        for name in (*names, "training"):
            if name == "training":
                wrong, columns, found[name] = _check_training(threads)
            else:
                wrong, errors, found[name] = _check_operation(name, threads)
                columns = f"{errors[np.float32]:8.1f}{errors[np.float64]:9.1f}"
            if found[name] != DIGESTS.get(name):
                wrong.append(f"{name}: the digest is {found[name]}, expected {DIGESTS.get(name)}")
            faults += wrong
            line = f"{name:28}{columns}   {found[name][:16]}  {'FAULT' if wrong else 'ok'}"
            if running is None:
                print(line)
            else:
                running.write(line)
                running.update()
    finally:
        kernels.set_num_threads(before)
        if running is not None:
            running.close()
    for fault in faults:
        print(f"fault: {fault}")
    print(f"\ndigest of this machine: {total(found)}")
    print("please report the faults with the output of `nnjit info`" if faults
          else "all promises kept; every machine prints this digest")
    return int(bool(faults))


def _check_training(threads):
    found = {}
    for n in threads:
        kernels.set_num_threads(n)
        found[n] = training_digest()
    faults = [f"training on {n} threads and on {threads[0]} differ" for n in threads if found[n] != found[threads[0]]]
    return faults, f"{STEPS:8} steps   ", found[threads[0]]


def warm(progress=True):
    """Compile every kernel, for both dtypes, serial and parallel, into the cache, so that nothing compiles later."""
    names = operations()
    running = bar(len(names) * len(DTYPES) * 2, None if progress else False)
    for name in names:
        for dtype in DTYPES:
            for parallel in (False, True):
                for case in cases(name, (5, 4, 3)[:dimensions(name)], dtype):
                    call(twins(name)[0], *case, parallel=parallel)
                if running is not None:
                    running.set_description(name, refresh=False)
                    running.update()
    if running is not None:
        running.close()
    print(f"{len(names)} operations are compiled in {kernels.info()['cache folder']}")


def main():
    """Print digests.py."""
    print('"""What contract.py computes, as digests, the same on every machine: a change of bits is a decision."""\n')
    print("DIGESTS = {")
    for name, digest in digests().items():
        print(f'    "{name}": "{digest}",')
    print("}")


if __name__ == "__main__":
    main()

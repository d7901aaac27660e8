"""What is fuzzed: each target writes the bytes of one file, has the library read it, and checks its promise.

The promise: the file is read, or a ValueError says in one printable line what is wrong with which file; in either case
soon, and without memory that the file does not fill. What was read can be used.
"""

import faulthandler
import shutil
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from nnjit import nn
from nnjit.nn.commands import predict
from nnjit.nn.data import datasets

CORPUS = Path(__file__).parent / "corpus"
SECONDS = 60  # for one file of a few kB, which take milliseconds: then it hangs
MEMORY = 64 << 20  # bytes that one such file may take
LONGEST = 400  # characters of an error
WIDEST = 10_000  # numbers per sample up to which a model is used


def text_of(error, path):
    """The reason in an error of the library. AssertionError unless it is one that the library declares."""
    assert type(error) is ValueError, f"{type(error).__name__} is not declared"
    text = str(error)
    assert text.startswith(str(path)), f"the error does not name the file: {text[:LONGEST]!r}"
    assert len(text) <= LONGEST + len(str(path)), f"an error of {len(text)} characters"
    assert text.isprintable(), f"an error that is not one printable line: {text!r}"
    reason = text.removeprefix(str(path)).partition(": ")[2] or text.removeprefix(str(path)).strip(" :")
    assert reason.strip() and not reason.endswith("contains no model"), f"an error without a reason: {text!r}"
    return reason


def model(data, folder):
    """Model.load; then the model predicts, trains a step, and comes back from a file of its own."""
    path = folder / "a.npz"
    path.write_bytes(data)
    try:
        found = nn.Model.load(path)
    except Exception as error:
        return text_of(error, path)
    repr(found)
    found.save(folder / "again.npz")
    again = nn.Model.load(folder / "again.npz")
    assert bits(again) == bits(found) and repr(again) == repr(found), "saved and loaded again it is another model"
    try:
        _use(found)
    except (TypeError, ValueError, RuntimeError) as error:  # its layers may fit no data
        assert not isinstance(error, RecursionError)
        return f"used: {error}"
    return ""


def bits(found):
    return [parameter.tobytes() for pair in found.get_parameters() for parameter in pair]


def _use(found):
    first = found.layers[0]
    shape = first.shape if isinstance(first, nn.Input) else (getattr(first, "n_inputs", 2),)
    if np.prod(shape, dtype=float) > WIDEST:
        return
    X = np.zeros((2, *shape))
    outputs = found.predict(X)
    assert len(outputs) == 2
    if found.loss is not None and found.optimizer is not None:
        categorical = isinstance(found.loss, nn.losses._Categorical)
        found.train(X, np.zeros(2, int) if categorical else np.zeros(outputs.shape), epochs=2, progress=False,
                    **({"print_every": None} if type(found) is not nn.Model else {}))


def small():
    """A model for whose parameters files are read."""
    found = nn.Model()
    found.add(nn.Dense(2, 3, rng=0, activation="tanh"))
    found.add(nn.Dense(3, 2, rng=1))
    found.finalize()
    return found


SMALL = small()


def parameters(data, folder):
    """Model.load_parameters, which leaves the model as it was when it fails."""
    path = folder / "a.npz"
    path.write_bytes(data)
    before = bits(SMALL)
    try:
        SMALL.load_parameters(path)
    except Exception as error:
        assert bits(SMALL) == before, "a failed load_parameters changed the model"
        return text_of(error, path)
    return ""


NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx_of(x):
    """An array of bytes as an IDX file."""
    x = np.asarray(x, np.uint8)
    return bytes((0, 0, 8, x.ndim)) + b"".join(size.to_bytes(4, "big") for size in x.shape) + x.tobytes()


def idx(data, folder):
    """datasets.fashion_mnist with this file, gzip or plain, as images or labels of the training set."""
    for name in NAMES:
        content = idx_of(np.zeros((1, 28, 28) if "images" in name else 1))
        (folder / name).write_bytes(content)
        (folder / f"{name}.gz").unlink(missing_ok=True)
    zipped = data[:2] == b"\x1f\x8b"
    name = NAMES[1 if data[3:4] == b"\1" or zipped and data[4:5] == b"\1" else 0] + (".gz" if zipped else "")
    (folder / name).write_bytes(data)
    try:
        (X, y), _ = datasets.fashion_mnist(folder)
    except Exception as error:
        return text_of(error, folder)
    assert X.shape == (len(y), 784) and abs(X).max() <= 1 and 0 <= y.min() <= y.max() < 10
    return ""


def load_idx(data, folder):
    """datasets.load_idx."""
    path = folder / "a"
    path.write_bytes(data)
    try:
        found = datasets.load_idx(path)
    except Exception as error:
        return text_of(error, path)
    assert found.dtype.kind in "uif" and found.dtype.isnative and 1 <= found.ndim
    return ""


def cifar(data, folder):
    """datasets.cifar10 with this file: the archive, a binary file, or a pickle as its last batch."""
    zipped, binary = data[:2] == b"\x1f\x8b", data[:1] < b"\x0a"
    for name in ("cifar-10-python.tar.gz", "test_batch", "test_batch.bin"):
        (folder / name).unlink(missing_ok=True)
    for number in range(1, 6):
        row = bytes([number]) + bytes(3072)
        (folder / f"data_batch_{number}.bin").write_bytes(row)
        (folder / f"data_batch_{number}").write_bytes(PICKLE)
    last = folder / ("cifar-10-python.tar.gz" if zipped else "test_batch.bin" if binary else "test_batch")
    last.write_bytes(data)
    try:
        _, (X, y) = datasets.cifar10(folder)
    except Exception as error:
        return text_of(error, last)
    assert X.shape == (len(y), 3, 32, 32) and abs(X).max() <= 1 and 0 <= y.min() <= y.max() < 10
    return ""


PICKLE = (CORPUS / "cifar" / "good-python-3").read_bytes()


def _samples(suffix):
    def read(data, folder):
        path = folder / f"a{suffix}"
        path.write_bytes(data)
        try:
            X, names = predict.read(str(path))
            assert X.dtype.kind in "fiub" and names == []
            predict.as_samples(SMALL, X, str(path))
        except Exception as error:
            return text_of(error, path)
        return ""
    read.__doc__ = f"What `nnjit predict` reads from a {suffix} file."
    return read


TARGETS = {"model": model, "parameters": parameters, "idx": idx, "load_idx": load_idx, "cifar": cifar,
           "csv": _samples(".csv"), "npy": _samples(".npy"), "npz": _samples(".npz")}


def peak():
    """The largest memory of this process so far, in bytes; 0 where there is no /proc."""
    try:
        # not getrusage, which begins with the largest memory of the process that started this one
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) << 10
    except OSError:
        return 0


@contextmanager
def runner(name, backend="numpy"):
    """A function that runs a target on bytes, watches time and memory, and returns the reason or "".

    A file that hangs or crashes stays in a folder fuzz-* for temporary files; TMPDIR=/dev/shm takes half of the time.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    target = TARGETS[name]

    def run(data):
        before = peak()
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            reason = target(data, folder)
        finally:
            faulthandler.cancel_dump_traceback_later()
        taken = peak() - before
        assert taken <= MEMORY, f"{len(data)} bytes took {taken >> 20} MB: {reason}"
        return reason

    with warnings.catch_warnings(), np.errstate(all="ignore"), nn.use(backend):
        warnings.simplefilter("ignore")
        for path in sorted((CORPUS / name).glob("good*")):  # what is imported and cached once
            target(path.read_bytes(), folder)
        yield run
    shutil.rmtree(folder)

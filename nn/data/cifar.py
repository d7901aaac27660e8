"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), from the files for Python or the binary ones. Pickles run no code."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..arrays import Array
from ..checks import flag, shown
from ..files import LARGEST, reading
from . import pickles
from .places import Pair, Source, find, pixels

URL = "https://www.cs.toronto.edu/~kriz/"
CIFAR10 = Source("CIFAR-10", "cifar10(folder)", "cifar-10", URL, {
    "cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"}, 1 << 28)
CIFAR100 = Source("CIFAR-100", "cifar100(folder)", "cifar-100", URL, {
    "cifar-100-python.tar.gz": "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"}, 1 << 28)
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = 3, 32, 32
SIZE = 3 * 32 * 32
MOST = 1 << 28  # bytes of a file, the largest of which has 155 MB

TEN = [*[f"data_batch_{number}" for number in range(1, 6)], "test_batch"]
HUNDRED = ["train", "test"]
Layouts = list[tuple[str, str, list[str]]]  # of files: their folder, their archive, their names
LAYOUTS10: Layouts = [("cifar-10-batches-py", "cifar-10-python.tar.gz", TEN),
                      ("cifar-10-batches-bin", "cifar-10-binary.tar.gz", [f"{name}.bin" for name in TEN])]
LAYOUTS100: Layouts = [("cifar-100-python", "cifar-100-python.tar.gz", HUNDRED),
                       ("cifar-100-binary", "cifar-100-binary.tar.gz", [f"{name}.bin" for name in HUNDRED])]


def cifar10(folder: str | os.PathLike[str] | None = None, *, scale: bool = True) -> tuple[Pair, Pair]:
    """CIFAR-10 as ((X_train, y_train), (X_test, y_test)): 50000 and 10000 images in 10 `CIFAR10_CLASSES`.

    X (N, 3, 32, 32) is float32, red, green and blue, each scaled to [-1, 1], or without `scale` uint8, 0 to 255; y (N,)
    is int64. `folder` contains the archive for Python or the binary one, or the files in it, such as data_batch_1 or
    data_batch_1.bin, also in a folder of their own. Without it they are searched for in the folder of the environment
    variable NNJIT_DATA and in the user's cache folder, into which the archive is downloaded (170 MB) and checked. No
    code of a pickle is run.

    Raises FileNotFoundError that lists these places if none has the files, ValueError for a damaged file.
    """
    return _sets(CIFAR10, LAYOUTS10, folder, (("labels", 10),), "labels", scale)


def cifar100(folder: str | os.PathLike[str] | None = None, *, coarse: bool = False, scale: bool = True
             ) -> tuple[Pair, Pair]:
    """CIFAR-100 as ((X_train, y_train), (X_test, y_test)): 50000 and 10000 images in 100 classes, or with `coarse` in
    their 20 superclasses.

    The rest is as for `cifar10`.
    """
    chosen = "coarse_labels" if flag("coarse", coarse) else "fine_labels"
    return _sets(CIFAR100, LAYOUTS100, folder, (("coarse_labels", 20), ("fine_labels", 100)), chosen, scale)


Kinds = tuple[tuple[str, int], ...]  # of labels in a file: their names, and how many classes they have


def _sets(source: Source, layouts: Layouts, folder: Any, kinds: Kinds, chosen: str, scale: bool) -> tuple[Pair, Pair]:
    flag("scale", scale)

    def look(place: Path) -> tuple[Any, str]:
        some = ""  # the first that is missing where there are others
        for inner, archive, names in layouts:
            for base in (place / inner, place):
                missing = [name for name in names if not (base / name).is_file()]
                if not missing:
                    return (base, names), ""
                if len(missing) < len(names):
                    some = some or missing[0]
            if (place / archive).is_file():
                return (place / archive, names), ""
        return None, some or layouts[0][1]

    base, names = find(source, look, folder)
    parts = {}
    for name, content in _members(base, names) if base.is_file() else _files(base, names):
        try:
            parts[name] = _read(content, kinds, chosen, name.endswith(".bin"))
        except ValueError as error:
            raise ValueError(f"{base / name}: {error}") from error
    *train, test = (parts[name] for name in names)
    X, y = (np.concatenate([part[which] for part in train]) for which in (0, 1))
    return (pixels(X, scale), y), (pixels(test[0], scale), test[1])


def _files(base: Path, names: list[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        try:
            with reading(base / name, pipes=False) as file:
                yield name, _up_to(file, MOST)
        except ValueError as error:
            if str(error).startswith(str(base)):
                raise
            raise ValueError(f"{base / name}: {error}") from error


def _members(archive: Path, names: list[str]) -> Iterator[tuple[str, bytes]]:
    # of a tar.gz; tarfile knows many kinds more, some of which take any memory
    seen: set[str] = set()
    wanted, total = set(names), 0
    try:
        with reading(archive, pipes=False) as stream, gzip.open(stream) as file:
            while len(header := file.read(512)) == 512 and header.strip(b"\0"):
                name = header[:100].partition(b"\0")[0].rpartition(b"/")[2].decode("latin-1")
                size = _size_of(header)
                padded = -(-size // 512) * 512
                total += padded
                if total > LARGEST:
                    raise ValueError(f"it would expand to more than {LARGEST} bytes")
                content = _up_to(file, padded, exactly=True)
                if name in wanted - seen and header[156:157] in (b"0", b"\0"):
                    seen.add(name)
                    yield name, content[:size]
            while total <= LARGEST and (block := file.read(1 << 20)):  # to the checksum at the end
                total += len(block)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{archive}: damaged: {error}") from error
    except ValueError as error:
        if str(error).startswith(str(archive)):
            raise
        raise ValueError(f"{archive}: {error}") from error
    if lacking := [name for name in names if name not in seen]:
        raise ValueError(f"{archive}: it lacks {lacking[0]}")


def _size_of(header: bytes) -> int:
    digits = header[124:136].strip(b" \0")
    if not digits.isdigit() or b"8" in digits or b"9" in digits:
        raise ValueError(f"it is no tar archive: a size in it is {shown(digits)}")
    return int(digits, 8)


def _up_to(file: IO[bytes] | gzip.GzipFile, size: int, exactly: bool = False) -> bytes:
    # a false size allocates no memory
    found = bytearray()
    while block := file.read(min(1 << 20, size - len(found) + (not exactly))):
        found += block
        if len(found) > size:
            raise ValueError(f"it has more than {size} bytes")
    if exactly and len(found) < size:
        raise ValueError("the archive ends within a file")
    return bytes(found)


def _read(content: bytes, kinds: Kinds, chosen: str, binary: bool) -> Pair:
    # images (N, 3, 32, 32) as uint8, and labels
    found = _rows(content, kinds) if binary else _pickled(content, kinds)
    labels = dict(zip((name for name, _ in kinds), found[1:]))
    for name, classes in kinds:
        wrong = np.flatnonzero((labels[name] < 0) | (labels[name] >= classes))
        if len(wrong):
            raise ValueError(f"{name} must lie in 0..{classes - 1}, got {labels[name][wrong[0]]} at image {wrong[0]}")
    return found[0].reshape(len(found[0]), *SHAPE), labels[chosen]


def _rows(content: bytes, kinds: Kinds) -> tuple[Array, ...]:
    row = len(kinds) + SIZE
    if not content or len(content) % row:
        raise ValueError(f"it must have {row} bytes for each image, got {len(content)} in all, which ends within image "
                         f"{len(content) // row}")
    found = np.frombuffer(content, np.uint8).reshape(-1, row)
    return found[:, len(kinds):].copy(), *[found[:, at].astype(np.int64) for at in range(len(kinds))]


def _pickled(content: bytes, kinds: Kinds) -> tuple[Array, ...]:
    found = pickles.load(content)
    if not isinstance(found, dict):
        raise ValueError(f"its pickle must be of a dict, got {type(found).__name__}")
    given = {key.decode("latin-1") if isinstance(key, bytes) else key: value for key, value in found.items()}
    X = given.get("data")
    if not isinstance(X, np.ndarray) or X.ndim != 2 or X.shape[1] != SIZE or not len(X):
        shape = f"an array {X.shape}" if isinstance(X, np.ndarray) else type(X).__name__
        raise ValueError(f"data must be an array (N, {SIZE}) of uint8, got {shape}")
    labels = []
    for name, _ in kinds:
        each = given.get(name)
        if not isinstance(each, list) or len(each) != len(X) or not all(
                type(label) is int and abs(label) < 2**31 for label in each):
            raise ValueError(f"{name} must be a list of {len(X)} whole numbers")
        labels.append(np.array(each, np.int64))
    return np.ascontiguousarray(X), *labels

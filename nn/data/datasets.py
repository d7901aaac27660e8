"""Data sets: the `nnfs` package's spiral, vertical and sine, IDX files, Fashion-MNIST, folders of images."""

import gzip
import hashlib
import math
import os
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from ..arrays import Array, fits
from ..checks import whole
from ..files import LARGEST, reading, replacing
from .images import image_folder, train_test_images

__all__ = ["CLASSES", "fashion_mnist", "image_folder", "load_idx", "sine", "spiral", "train_test_images", "vertical"]

Pair = tuple[Array, Array]


def spiral(samples: int, classes: int, *, seed: int | None = None) -> Pair:
    """Points (samples * classes, 2) as float32 on `classes` intertwined arms, and their class numbers as int64.

    The noise comes from NumPy's global generator, as in the `nnfs` package; `seed` seeds it and restores it after.

    Raises TypeError or ValueError unless samples and classes are whole numbers of at least 1, and
    seed is a whole number in 0..2**32 - 1.
    """
    from nnfs.datasets import spiral_data
    return _points(spiral_data, samples, classes, seed)


def vertical(samples: int, classes: int, *, seed: int | None = None) -> Pair:
    """Points (samples * classes, 2) as float32 in `classes` upright clouds, and their class numbers as int64.

    `seed` and errors as for `spiral`.
    """
    from nnfs.datasets import vertical_data
    return _points(vertical_data, samples, classes, seed)


def sine(samples: int = 1000) -> Pair:
    """x (samples, 1) from 0 to 1, and y (samples, 1) = sin(2 pi x), both float32.

    Raises TypeError or ValueError unless samples is a whole number of at least 1.
    """
    from nnfs.datasets import sine_data
    samples = whole("samples", samples)
    fits("samples", (samples, 2))
    x, y = sine_data(samples)
    return x.astype(np.float32), y.astype(np.float32)


def _points(create: Callable[[int, int], Pair], samples: int, classes: int, seed: int | None) -> Pair:
    samples, classes = whole("samples", samples), whole("classes", classes)
    fits("samples times classes", (samples, classes, 2))
    if seed is not None:
        seed = whole("seed", seed, 0, 2**32 - 1)
    former = np.random.get_state()
    try:
        if seed is not None:
            np.random.seed(seed)
        X, y = create(samples, classes)
    finally:
        if seed is not None:
            np.random.set_state(former)
    return X.astype(np.float32), y.astype(np.int64)


# ---- IDX files, MNIST's format

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
DIMENSIONS = 64  # the most that NumPy has


def load_idx(path: str | os.PathLike[str]) -> Array:
    """Read an IDX file, the format of MNIST and similar datasets, as an array. It may be compressed by gzip.

    The array has 1 to 64 dimensions and dtype uint8, int8, int16, int32, float32 or float64, in native byte order.

    Raises OSError if the file cannot be read, ValueError that names the file if it is not an IDX file, damaged,
    truncated, longer than its header says, or contains more than 2**30 bytes of data.
    """
    path = os.fsdecode(os.fspath(path))  # a number would be a file that is open
    try:
        with reading(path) as file:
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            return _idx(gzip.open(file) if zipped else file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: damaged: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _idx(file: IO[bytes] | gzip.GzipFile) -> Array:
    # two zero bytes, one of the type, one of the number of dimensions, each of them as 4 bytes big-endian, the data
    start = file.read(4)
    if len(start) < 4 or start[:2] != bytes(2):
        raise ValueError(f"not an IDX file: it begins with {start.hex()!r}")
    kind, dimensions = start[2:]
    if kind not in TYPES:
        *most, last = (f"0x{each:02x}" for each in TYPES)
        raise ValueError(f"it has elements of type 0x{kind:02x}, which must be {', '.join(most)} or {last}")
    if not 1 <= dimensions <= DIMENSIONS:
        raise ValueError(f"it has {dimensions} dimensions, which must be 1 to {DIMENSIONS}")
    sizes = file.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise ValueError("the file ends within its header")
    shape = [int.from_bytes(sizes[at:at + 4], "big") for at in range(0, len(sizes), 4)]
    dtype = np.dtype(TYPES[kind])
    largest = math.prod(filter(None, shape)) * dtype.itemsize  # sizes beside a 0 count too: NumPy has the same limit
    if largest > LARGEST:
        raise ValueError(f"the header promises more than {LARGEST} bytes of data")
    size = 0 if 0 in shape else largest
    data = bytearray()
    while len(data) <= size and (block := file.read(1 << 20)):  # a false header allocates no memory
        data += block
    if len(data) != size:
        raise ValueError(f"the header promises {size} bytes of data, but the file has "
                         f"{'more' if len(data) > size else len(data)}")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


# ---- Fashion-MNIST (Xiao, Rasul, Vollgraf 2017)

FILES = {  # name: SHA-256 of the official gzip file
    "train-images-idx3-ubyte": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images-idx3-ubyte": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}
BASE_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"  # plain http: the checksums guard the files
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # package dataset-fashion-mnist
CLASSES = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
TIMEOUT = 20  # seconds without data
DOWNLOAD = 1 << 26  # bytes of a file, the largest of which has 26 MB


def fashion_mnist(folder: str | os.PathLike[str] | None = None) -> tuple[Pair, Pair]:
    """Fashion-MNIST as ((X_train, y_train), (X_test, y_test)): 60000 and 10000 images of clothes in 10 `CLASSES`.

    X (N, 784) is float32, each pixel scaled to [-1, 1]; y (N,) is int64. The four IDX files, gzip or plain, with names
    such as train-images-idx3-ubyte or train-images.idx3-ubyte, are read from `folder`. Without it they are searched in
    the folder of the environment variable NNJIT_DATA, in Debian's folder, and in the user's cache folder, into which
    they are downloaded (30 MB) and checked.

    Raises FileNotFoundError that lists these places if none has the files, ValueError for a damaged file.
    """
    found = _find(folder)
    train = _images(found[0]), _labels(found[1])
    test = _images(found[2]), _labels(found[3])
    for (X, y), paths in ((train, found[:2]), (test, found[2:])):
        if not len(X) or X.shape[1] != 784:
            raise ValueError(f"{paths[0]} must contain images of 28 x 28 pixels, got {len(X)} of {X.shape[1]}")
        if len(X) != len(y):
            raise ValueError(f"{paths[0]} has {len(X)} images, but {paths[1]} has {len(y)} labels")
    return train, test


def _find(folder: str | os.PathLike[str] | None) -> list[Path]:
    if folder is not None:
        found, missing = _in_folder(Path(folder))
        if missing:
            raise FileNotFoundError(f"no Fashion-MNIST in {os.fspath(folder)}: {missing} is missing. Without a folder, "
                                    f"the places are NNJIT_DATA, {DEBIAN_FOLDER} and a download")
        return found
    variable = os.environ.get("NNJIT_DATA")
    for place in (variable, DEBIAN_FOLDER):
        if place and (found := _looked(Path(place))):
            return found
    last = "nothing can be downloaded without a home folder"
    try:
        cache = _cache_folder()
        if found := _looked(cache):
            return found
        last = f"the download from {BASE_URL} into {cache} failed"
        for name, digest in FILES.items():
            _download(f"{name}.gz", digest, cache)
    except (OSError, ValueError, RuntimeError) as error:
        raise FileNotFoundError(
            "no Fashion-MNIST: (1) no folder was given; (2) "
            + (f"NNJIT_DATA={variable} lacks files" if variable else "NNJIT_DATA is not set")
            + f"; (3) {DEBIAN_FOLDER} (Debian's package dataset-fashion-mnist) lacks files; (4) {last}: {error}"
        ) from error
    return _in_folder(cache)[0]


def _cache_folder() -> Path:
    from platformdirs import user_cache_path
    folder = user_cache_path("nnjit", appauthor=False) / "fashion-mnist"
    if not folder.is_absolute():  # before its version 4, platformdirs left a ~ that it could not resolve
        raise RuntimeError("could not determine the home directory")
    return folder


def _looked(folder: Path) -> list[Path]:
    # the files, or none if one is missing or the folder cannot be read
    with suppress(OSError):
        return _in_folder(folder)[0]
    return []


def _in_folder(folder: Path) -> tuple[list[Path], str]:
    # the files in the order of FILES, and the name of the first that is missing, or ""
    found = []
    for name in FILES:
        names = (f"{name}.gz", name, f"{name.replace('-idx', '.idx')}.gz", name.replace("-idx", ".idx"))
        there = [folder / each for each in names if (folder / each).is_file()]
        if not there:
            return [], f"{name}.gz"
        found.append(there[0])
    return found, ""


def _download(name: str, digest: str, folder: Path) -> None:
    if (folder / name).is_file():
        return
    import urllib.request  # not at the top: its import would cost every start 30 ms
    folder.mkdir(parents=True, exist_ok=True)
    print(f"downloading {BASE_URL}{name} into {folder}", file=sys.stderr)
    content = bytearray()
    with urllib.request.urlopen(BASE_URL + name, timeout=TIMEOUT) as answer:
        while block := answer.read(1 << 20):
            content += block
            if len(content) > DOWNLOAD:
                raise ValueError(f"{name} has more than {DOWNLOAD} bytes")
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise ValueError(f"{name} has SHA-256 {found}, not {digest}")
    with replacing(folder / name) as file:
        file.write(content)


def _images(path: Path) -> Array:
    pixels = _bytes(path, 3)
    X = pixels.reshape(len(pixels), math.prod(pixels.shape[1:])).astype(np.float32)
    X -= 127.5  # one subtraction and one division a pixel: the same bits on every CPU
    X /= 127.5
    return X


def _labels(path: Path) -> Array:
    labels = _bytes(path, 1).astype(np.int64)
    if len(labels) and labels.max() >= len(CLASSES):
        raise ValueError(f"{path}: labels must lie in 0..{len(CLASSES) - 1}, got {labels.max()}")
    return labels


def _bytes(path: Path, dimensions: int) -> Array:
    found = load_idx(path)
    if found.dtype != np.uint8 or found.ndim != dimensions:
        raise ValueError(f"{path} must contain uint8 in {dimensions} dimensions, got {found.dtype} in {found.ndim}")
    return found

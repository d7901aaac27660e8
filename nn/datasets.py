"""Data sets: the `nnfs` package's spiral, vertical and sine, Fashion-MNIST from its IDX files, folders of pictures."""

import gzip
import hashlib
import math
import os
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from .arrays import Array, whole
from .images import image_folder, train_test_images

__all__ = ["CLASSES", "fashion_mnist", "image_folder", "sine", "spiral", "train_test_images", "vertical"]

Pair = tuple[Array, Array]


def spiral(samples: int, classes: int, *, seed: int | None = None) -> Pair:
    """Points (samples * classes, 2) as float32 on `classes` intertwined arms, and their class numbers as int64.

    The noise comes from NumPy's global generator, as in the `nnfs` package; `seed` seeds it and restores it after.

    Raises TypeError or ValueError unless samples and classes are whole numbers of at least 1, seed one in 0..2**32 - 1.
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
    whole("samples", samples, 1)
    x, y = sine_data(samples)
    return x.astype(np.float32), y.astype(np.float32)


def _points(create: Callable[[int, int], Pair], samples: int, classes: int, seed: int | None) -> Pair:
    whole("samples", samples, 1)
    whole("classes", classes, 1)
    if seed is not None:
        whole("seed", seed, 0, 2**32 - 1)
    former = np.random.get_state()
    try:
        if seed is not None:
            np.random.seed(seed)
        X, y = create(samples, classes)
    finally:
        if seed is not None:
            np.random.set_state(former)
    return X.astype(np.float32), y.astype(np.int64)


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
TIMEOUT = 20  # seconds without a byte
LARGEST = 1 << 30  # bytes that a header may promise


def fashion_mnist(folder: str | os.PathLike[str] | None = None) -> tuple[Pair, Pair]:
    """Fashion-MNIST as ((X_train, y_train), (X_test, y_test)): 60000 and 10000 pictures of clothes in 10 `CLASSES`.

    X (N, 784) is float32, each pixel scaled to [-1, 1]; y (N,) int64. The four IDX files, gzip or plain, are taken from
    `folder` or, without one, from the folder in the environment variable NNJIT_DATA, Debian's folder, or the user's
    cache folder, into which they are downloaded (30 MB) and checked.

    Raises FileNotFoundError that lists the four places when they hold no files, ValueError for a damaged file.
    """
    found = _find(folder)
    train = _images(found[0]), _labels(found[1])
    test = _images(found[2]), _labels(found[3])
    for (X, y), paths in ((train, found[:2]), (test, found[2:])):
        if not len(X) or X.shape[1] != 784:
            raise ValueError(f"{paths[0]} must hold images of 28 x 28 pixels, got {len(X)} of {X.shape[1]}")
        if len(X) != len(y):
            raise ValueError(f"{paths[0]} holds {len(X)} images but {paths[1]} {len(y)} labels")
    return train, test


def _find(folder: str | os.PathLike[str] | None) -> list[Path]:
    if folder is not None:
        found, missing = _in_folder(Path(folder))
        if missing:
            raise FileNotFoundError(f"no Fashion-MNIST in {os.fspath(folder)}: {missing} is missing. Without a folder, "
                                    f"the places are NNJIT_DATA, {DEBIAN_FOLDER} and a download")
        return found
    from platformdirs import user_cache_path
    cache = user_cache_path("nnjit", appauthor=False) / "fashion-mnist"
    variable = os.environ.get("NNJIT_DATA")
    for place in (variable, DEBIAN_FOLDER, cache):
        if place:
            found, missing = _in_folder(Path(place))
            if not missing:
                return found
    try:
        for name, digest in FILES.items():
            _download(f"{name}.gz", digest, cache)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            "no Fashion-MNIST: (1) no folder was given; (2) "
            + (f"NNJIT_DATA={variable} lacks files" if variable else "NNJIT_DATA is not set")
            + f"; (3) {DEBIAN_FOLDER} (Debian's package dataset-fashion-mnist) lacks files; (4) the download from "
            f"{BASE_URL} into {cache} failed: {error}") from error
    return _in_folder(cache)[0]


def _in_folder(folder: Path) -> tuple[list[Path], str]:
    # the files in the order of FILES, and the name of the first that is missing, or ""
    found = []
    for name in FILES:
        there = [path for path in (folder / f"{name}.gz", folder / name) if path.is_file()]
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
    state = hashlib.sha256()
    with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{name}.", delete=False) as file:
        try:
            with urllib.request.urlopen(BASE_URL + name, timeout=TIMEOUT) as answer:
                while block := answer.read(1 << 20):
                    state.update(block)
                    file.write(block)
            if state.hexdigest() != digest:
                raise ValueError(f"{name} has SHA-256 {state.hexdigest()}, not {digest}")
            file.close()
            os.replace(file.name, folder / name)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _images(path: Path) -> Array:
    pixels = _read_idx(path, 3)
    X = pixels.reshape(len(pixels), math.prod(pixels.shape[1:])).astype(np.float32)
    X -= 127.5  # one subtraction and one division a pixel: the same bits on every CPU
    X /= 127.5
    return X


def _labels(path: Path) -> Array:
    labels = _read_idx(path, 1).astype(np.int64)
    if len(labels) and labels.max() >= len(CLASSES):
        raise ValueError(f"{path}: labels must lie in 0..{len(CLASSES) - 1}, got {labels.max()}")
    return labels


def _read_idx(path: Path, dimensions: int) -> Array:
    # IDX: two zero bytes, 8 for unsigned bytes, the number of dimensions, each as 4 bytes big-endian, then the data
    try:
        with _open(path) as file:
            header = file.read(4 + 4 * dimensions)
            if header[:4] != bytes((0, 0, 8, dimensions)) or len(header) != 4 + 4 * dimensions:
                raise ValueError(f"{path}: no IDX file of {dimensions} dimensions, it begins with {header[:4].hex()!r}")
            shape = tuple(int.from_bytes(header[at:at + 4], "big") for at in range(4, len(header), 4))
            size = math.prod(shape)
            largest = max(size, *shape)  # beside a 0, too, where NumPy takes no more either
            if largest > LARGEST:
                raise ValueError(f"{path}: the header promises {largest} bytes, more than {LARGEST}")
            data = bytearray()
            while len(data) <= size and (block := file.read(1 << 20)):  # a header that lies takes no memory
                data += block
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: damaged: {error}") from error
    if len(data) != size:
        raise ValueError(f"{path}: the header promises {size} bytes of data, the file holds "
                         f"{'more' if len(data) > size else len(data)}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _open(path: Path) -> IO[Any]:
    return gzip.open(path) if path.suffix == ".gz" else open(path, "rb")  # type: ignore[return-value]

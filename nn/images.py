"""Pictures as arrays: folders with a subfolder for each label. Needs Pillow."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import INT64, Array

# suffix, and the only format that such files may have: among Pillow's others are some that start programs
FORMATS = {".bmp": "BMP", ".gif": "GIF", ".jpeg": "JPEG", ".jpg": "JPEG", ".pgm": "PPM", ".png": "PNG", ".ppm": "PPM",
           ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"}
GREY = ("1", "L", "LA")  # Pillow's modes without colour, the last with transparency


def image_folder(path: str | os.PathLike[str], *, color: bool | None = None) -> tuple[Array, Array, tuple[str, ...]]:
    """The pictures in the subfolders of `path`, the numbers of their labels, and the labels: (X, y, classes).

        X, y, classes = nn.datasets.image_folder("fashion_mnist_images/train")
        X = (X.reshape(len(X), -1).astype(np.float32) - 127.5) / 127.5

    X is uint8, (N, height, width) of grey levels where all pictures are grey, else (N, height, width, 3) of red, green
    and blue; `color` True or False wants one or the other. y (N,), int64, is the place of the picture's folder among
    `classes`, the names of the folders. Names that are numbers sort as numbers, before the others; so do the pictures.
    Hidden files, and those with other suffixes than pictures have, are passed over.

    Raises ImportError without Pillow, OSError for a folder that cannot be read, FileNotFoundError for one without
    labels or a label without pictures, ValueError that names the file for one that is damaged, of another size than the
    first, of more than 8 bits a channel or so large that Pillow warns of it.
    """
    paths, y, classes = _labelled(Path(path))
    return read_images(paths, color=color), y, classes


def train_test_images(path: str | os.PathLike[str], *, color: bool | None = None
                      ) -> tuple[tuple[Array, Array], tuple[Array, Array], tuple[str, ...]]:
    """The folders `train` and `test` in `path` as ((X_train, y_train), (X_test, y_test), classes).

    See `image_folder`. All pictures must have one size. Raises ValueError, too, when the labels of both differ.
    """
    train, y_train, classes = _labelled(Path(path) / "train")
    test, y_test, others = _labelled(Path(path) / "test")
    if classes != others:
        raise ValueError(f"train and test in {os.fspath(path)} must have the same labels, got "
                         f"{', '.join(classes)} and {', '.join(others)}")
    X = read_images(train + test, color=color)
    return (X[:len(train)], y_train), (X[len(train):], y_test), classes


def find_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The pictures in a folder, then those in its subfolders, in the order of `image_folder`."""
    files, folders = _entries(Path(folder))
    return files + [path for each in folders for path in _entries(each)[0]]


def read_images(paths: Sequence[Path], *, color: bool | None = None) -> Array:
    """Pictures of one size as X (N, height, width) or (N, height, width, 3), uint8. See `image_folder`.

    Looks at the sizes of all before it decodes the first.
    """
    if color not in (None, True, False):
        raise TypeError(f"color must be True, False or None, got {color!r}")
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("pictures need Pillow: .venv/bin/pip install '.[images]'") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        modes, size = set(), None
        for path in paths:
            with _picture(path) as picture:
                if picture.mode[0] in "IF":
                    raise ValueError(f"it has mode {picture.mode}, but must have 8 bits a channel")
                if any(_deep(tile[3]) for tile in picture.tile):
                    raise ValueError("it has more than 8 bits a channel")
                size = size or picture.size
                if picture.size != size:
                    raise ValueError("it has {} x {} pixels, but {} has {} x {}".format(
                        *picture.size, paths[0], *size))
                modes.add(picture.mode)
        if color is None:
            color = not modes <= set(GREY)
        width, height = size or (0, 0)
        X = np.empty((len(paths), height, width, 3)[:4 if color else 3], np.uint8)
        for place, path in enumerate(paths):
            with _picture(path) as picture:
                X[place] = np.asarray(picture.convert("RGB" if color else "L"))
    return X


def _deep(arguments: Any) -> bool:
    # of a decoder, which cuts 16 bits of colours to 8 in silence: 'RGB;16B', or of a ppm ('RGB', 65535)
    parts = arguments if isinstance(arguments, tuple) else (arguments,)
    if parts[:1] in (("RGB",), ("L",)) and len(parts) == 2:
        return isinstance(parts[1], int) and parts[1] > 255
    return isinstance(parts[0], str) and ";16" in parts[0] and parts[0] != "BGR;16"  # bmp's: 16 bits for all three


@contextmanager
def _picture(path: Path) -> Iterator[Any]:
    # a file of which only the header has been read; whatever is wrong with it, also while it is used, names it
    from PIL import Image, UnidentifiedImageError
    kind = FORMATS[path.suffix.lower()]
    try:
        with Image.open(path, formats=[kind]) as picture:
            yield picture
    except UnidentifiedImageError as error:
        raise ValueError(f"{path}: it is damaged, or no {kind} picture") from error
    except Exception as error:  # decoders fail in a dozen ways
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{path}: {error or 'it is damaged'}") from error


def _labelled(folder: Path) -> tuple[list[Path], Array, tuple[str, ...]]:
    folders = _entries(folder)[1]
    if not folders:
        raise FileNotFoundError(f"{folder} has no subfolders: it must hold one for each label, with its pictures")
    paths = [_entries(each)[0] for each in folders]
    for each, found in zip(folders, paths):
        if not found:
            raise FileNotFoundError(f"no pictures in {each}: it counts as a label, and must hold {', '.join(FORMATS)}")
    y = np.repeat(np.arange(len(folders), dtype=INT64), [len(found) for found in paths])
    return [path for found in paths for path in found], y, tuple(each.name for each in folders)


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    # pictures and subfolders, in order; names that are numbers as numbers: 2 before 10
    def order(path: Path) -> tuple[bool, int, str]:
        number = path.stem.isdecimal()
        return not number, int(path.stem) if number else 0, path.name

    with os.scandir(folder) as entries:
        seen = [entry for entry in entries if not entry.name.startswith(".")]
    files = [Path(entry.path) for entry in seen if entry.is_file()]
    return (sorted((path for path in files if path.suffix.lower() in FORMATS), key=order),
            sorted((Path(entry.path) for entry in seen if entry.is_dir()), key=order))

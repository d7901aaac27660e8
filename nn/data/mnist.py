"""MNIST (LeCun, Cortes, Burges 1998) and the data sets in its format: Fashion-MNIST (Xiao, Rasul, Vollgraf 2017) and
EMNIST (Cohen, Afshar, Tapson, van Schaik 2017)."""

from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path

import numpy as np

from ..arrays import Array
from ..checks import flag, shown
from ..files import reading
from .idx import load_idx, read_idx
from .places import Pair, Source, find, pixels

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
FASHION = Source(
    "Fashion-MNIST", "fashion_mnist(folder)", "fashion-mnist",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",  # plain http: the checksums guard the files
    dict(zip([f"{name}.gz" for name in NAMES], (
        "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
        "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
        "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
        "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05"))),
    1 << 26, system=Path("/usr/share/datasets/fashion-mnist"), package="dataset-fashion-mnist")
MNIST = Source(
    "MNIST", "mnist(folder)", "mnist", "https://ossci-datasets.s3.amazonaws.com/mnist/",
    dict(zip([f"{name}.gz" for name in NAMES], (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"))),
    1 << 26, names=False)  # they are those of Fashion-MNIST, too
EMNIST = Source("EMNIST", "emnist(split, folder)", "emnist", "https://biometrics.nist.gov/cs_links/EMNIST/",
                {"gzip.zip": "58c8d27c78d21e728a6bc7b3cc06412e"}, 1 << 30)
CLASSES = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
SPLITS = {"balanced": 47, "byclass": 62, "bymerge": 47, "digits": 10, "letters": 26, "mnist": 10}  # classes of each


def fashion_mnist(folder: str | os.PathLike[str] | None = None, *, images: bool = False, scale: bool = True
                  ) -> tuple[Pair, Pair]:
    """Fashion-MNIST as ((X_train, y_train), (X_test, y_test)): 60000 and 10000 images of clothes in 10 `CLASSES`.

    X (N, 784) is float32, each pixel scaled to [-1, 1]; y (N,) is int64. With `images` X has shape (N, 1, 28, 28);
    without `scale` it is uint8, 0 to 255. The four IDX files, gzip or plain, with names such as train-images-idx3-ubyte
    or train-images.idx3-ubyte, are read from `folder`. Without it they are searched for in the folder of the
    environment variable NNJIT_DATA, in Debian's folder, and in the user's cache folder, into which they are downloaded
    (30 MB) and checked.

    Raises FileNotFoundError that lists these places if none has the files, ValueError for a damaged file.
    """
    return _sets(find(FASHION, _in_folder, folder), 10, images, scale)


def mnist(folder: str | os.PathLike[str] | None = None, *, images: bool = False, scale: bool = True
          ) -> tuple[Pair, Pair]:
    """MNIST as ((X_train, y_train), (X_test, y_test)): 60000 and 10000 images of digits; y are the digits.

    Arguments, files and errors are those of `fashion_mnist`, and so are the places of the files, except for Debian's
    folder. In NNJIT_DATA they must be in a folder `mnist`, since they have the same names as those of Fashion-MNIST.
    The download has 12 MB.
    """
    return _sets(find(MNIST, _in_folder, folder), 10, images, scale)


def emnist(split: str, folder: str | os.PathLike[str] | None = None, *, images: bool = False, scale: bool = True
           ) -> tuple[Pair, Pair]:
    """EMNIST as ((X_train, y_train), (X_test, y_test)): images of letters and digits, upright as those of MNIST.

    split: "balanced" (47 classes), "byclass" (62), "bymerge" (47), "digits" (10), "letters" (26, whose labels 1 to 26
        become 0 to 25) or "mnist" (10).

    The other arguments and errors are those of `fashion_mnist`. `folder` has IDX files such as
    emnist-letters-train-images-idx3-ubyte.gz, or gzip.zip with all of them, which is what is downloaded (560 MB).
    """
    if not isinstance(split, str) or split not in SPLITS:
        raise (ValueError if isinstance(split, str) else TypeError)(
            f"split must be one of {', '.join(map(repr, SPLITS))}, got {shown(split)}")
    names = [f"emnist-{split}-{name.replace('t10k', 'test')}" for name in NAMES]

    def look(place: Path) -> tuple[list[Path], str]:
        for inner in (place, place / "gzip"):
            found, missing = _in_folder(inner, names)
            if not missing:
                return found, ""
        archive = place / "gzip.zip"
        return ([archive / f"gzip/{name}.gz" for name in names], "") if archive.is_file() else ([], f"{names[0]}.gz")

    return _sets(find(EMNIST, look, folder), SPLITS[split], images, scale, first=int(split == "letters"), turned=True)


def _in_folder(folder: Path, names: list[str] | tuple[str, ...] = NAMES) -> tuple[list[Path], str]:
    # the files in the order of their names, and the first that is missing, or ""
    found = []
    for name in names:
        variants = (f"{name}.gz", name, f"{name.replace('-idx', '.idx')}.gz", name.replace("-idx", ".idx"))
        there = [folder / each for each in variants if (folder / each).is_file()]
        if not there:
            return [], f"{name}.gz"
        found.append(there[0])
    return found, ""


def _sets(paths: list[Path], classes: int, images: bool, scale: bool, first: int = 0, turned: bool = False
          ) -> tuple[Pair, Pair]:
    images = flag("images", images)
    flag("scale", scale)
    found = []
    for place in (0, 2):
        of_images, of_labels = paths[place:place + 2]
        X, y = _bytes(of_images, 3), _labels(of_labels, first, classes)
        if not len(X) or X.shape[1:] != (28, 28):
            raise ValueError(f"{of_images} must contain images of 28 x 28 pixels, got {len(X)} of "
                             f"{' x '.join(map(str, X.shape[1:]))}")
        if len(X) != len(y):
            raise ValueError(f"{of_images} has {len(X)} images, but {of_labels} has {len(y)} labels")
        if turned:
            X = np.ascontiguousarray(X.transpose(0, 2, 1))
        found.append((pixels(X.reshape(len(X), *((1, 28, 28) if images else (784,))), scale), y))
    train, test = found
    return train, test


def _labels(path: Path, first: int, classes: int) -> Array:
    labels = _bytes(path, 1).astype(np.int64)
    if len(labels) and not first <= labels.min() <= labels.max() < first + classes:
        wrong = labels[(labels < first) | (labels >= first + classes)][0]
        raise ValueError(f"{path}: labels must lie in {first}..{first + classes - 1}, got {wrong}")
    return labels - first


def _bytes(path: Path, dimensions: int) -> Array:
    zipped = path.parent.parent.suffix == ".zip" and path.parent.parent.is_file()
    found = _in_zip(path.parent.parent, f"gzip/{path.name}") if zipped else load_idx(path)
    if found.dtype != np.uint8 or found.ndim != dimensions:
        raise ValueError(f"{path} must contain uint8 in {dimensions} dimensions, got {found.dtype} in {found.ndim}")
    return found


def _in_zip(archive: Path, name: str) -> Array:
    try:
        with reading(archive, pipes=False) as stream, zipfile.ZipFile(stream) as file, file.open(name) as member:
            return read_idx(gzip.open(member))
    except Exception as error:  # a damaged zip fails in a dozen ways
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{archive}: {name} is damaged, or missing: {error}") from error

"""What `nnjit predict` does: it reads samples from a file and prints a model's prediction for each, one per line."""

import errno
import io
import math
import os
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..training import endings
from ..data import images
from .. import backend
from . import tables
from ..arrays import Array, as_floats
from ..files import check_expansion, lines, read_array, read_member, reading, reason, replacing
from ..layers import Input, LogSoftmax, Sigmoid, Softmax, shape_through
from ..losses import SigmoidBinaryCrossentropy, SoftmaxCategoricalCrossentropy
from ..parameters import named
from ..training.model import Model
from .tables import count

PICTURES = (-1.0, 1.0)  # what 0 and 255 become in images, as in datasets.fashion_mnist


def read(source: str, scale: Sequence[float] | None = None, background: int | None = None
         ) -> tuple[Array, list[str]]:
    """The samples in a file, in a folder of images or, for "-", on stdin, and for a folder the names of its images.

    scale: what 0 and 255 become; the default for images is -1 and 1.
    background: the grey level behind transparent images; the default is white.
    Raises OSError for what cannot be read, ImportError for images without Pillow, ValueError for anything else.
    """
    path = Path(source)
    suffix = path.suffix.lower()
    names: list[str] = []
    behind = images.WHITE if background is None else background
    if background is not None and not path.is_dir() and suffix not in images.FORMATS:
        raise ValueError(f"--background goes with images, got {source}")
    if source == "-":
        X = tables.read(_lines(source, "stdin"), "stdin")
    elif path.is_dir():
        paths = images.find_images(path)
        if not paths:
            raise ValueError(f"no images in {source}")
        X, names = images.read_images(paths, color=False, background=behind), list(map(str, paths))
        scale = scale or PICTURES
    elif suffix in images.FORMATS:
        X = images.read_images([path], color=False, background=behind)
        scale = scale or PICTURES
    elif suffix == ".csv":
        X = tables.read(_lines(source, source), source)
    elif suffix in (".npy", ".npz"):
        X = _array(path)
    else:
        raise ValueError(f"{source} must end in .csv, .npy, .npz or {', '.join(images.FORMATS)}, or be a folder or -")
    if X.dtype.kind not in "fiub":
        raise ValueError(f"{source} must contain real numbers, got dtype {X.dtype}")
    return (_scaled(X, *scale, source=source) if scale else X), names


def _scaled(X: Array, low: float, high: float, *, source: str) -> Array:
    if ((X < 0) | (X > 255)).any():  # false for nan
        raise ValueError(f"--scale takes numbers in 0..255, {source} holds {np.nanmin(X):g} to {np.nanmax(X):g}")
    return low + X.astype(np.float64) * (high - low) / 255


def _lines(source: str, name: str) -> Iterator[str]:
    # of a file or, for "-", of stdin
    if source == "-" and sys.stdin is None:
        raise ValueError("stdin is closed")
    try:
        if source == "-":
            text = lines(sys.stdin)
            yield next(text, "").removeprefix("\ufeff")
            yield from text
        else:
            with reading(source) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as file:
                yield from lines(file)
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _array(path: Path) -> Array:
    try:
        with reading(path) as stream:
            if path.suffix.lower() == ".npy":
                return read_array(stream)
            with zipfile.ZipFile(stream) as file:
                names = [name.removesuffix(".npy") for name in file.namelist()]
                if "X" not in names and len(names) != 1:
                    raise ValueError(f"it must contain an array X, or a single array, got {', '.join(names) or 'none'}")
                member = file.infolist()[names.index("X") if "X" in names else 0]
                check_expansion(member, stream.seek(0, os.SEEK_END))
                return read_member(file, member)
    except Exception as error:  # a damaged zip fails in a dozen ways
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise ValueError(f"{path} contains no samples: {reason(error)}") from error


def as_samples(model: Model, X: Array, source: str) -> Array:
    """X in the shape (N, ...) of the model's first layers, and in its dtype. Raises ValueError if it does not fit."""
    if X.ndim < 2 and X.size:
        raise ValueError(f"{source} must have shape (samples, numbers), got {X.shape}")
    if not X.size:
        raise ValueError(f"{source} contains no samples")
    dense = [layer for layer in model.layers if hasattr(layer, "n_inputs")]
    shape = _sample_shape(model, X.shape[1:], source)
    if math.prod(X.shape[1:]) != math.prod(shape):
        found = count(X.shape[1], "column") if X.ndim == 2 else f"samples of {_size(X.shape[1:])}"
        raise ValueError(f"{source} has {found}, the model takes {_size(shape)} per sample"
                         f"{_way_out(X, math.prod(shape), source) if X.ndim == 2 else _grey(shape, source)}")
    return as_floats(X.reshape(len(X), *shape), dense[0].dtype if dense else None, source,
                     infinite=True)  # of which the command warns


def _sample_shape(model: Model, given: tuple[int, ...], source: str) -> tuple[int, ...]:
    # the shape (...) of the samples that the model takes, as near to the given one as its layers tell
    first = model.layers[0]
    known = first.shape if isinstance(first, Input) else model._input_shape or None
    if known is not None:
        return known
    if hasattr(first, "n_inputs"):  # rows, since it was told of no others
        return (first.n_inputs,)
    shapes = [given, (1, *given)] if len(given) == 2 else [given]  # grey images have a channel
    for shape in shapes:
        try:
            shape_through(model.layers, shape)
            return shape
        except ValueError as error:
            wrong = error
    for _, layer in named(model.layers):
        if hasattr(layer, "n_inputs"):
            return (layer.n_inputs,)
        if hasattr(layer, "in_channels"):
            way_out = _grey((layer.in_channels, *given), source)
            raise ValueError(f"{source} does not fit the model: {wrong}{way_out}") from wrong
    return given


def _grey(shape: tuple[int, ...], source: str) -> str:
    # what to do about images for a model that takes samples of another shape
    pixels = Path(source).is_dir() or Path(source).suffix.lower() in images.FORMATS
    return ": images are read as grey levels, use Model.predict for colours" * (pixels and shape[:1] == (3,))


def _way_out(X: Array, inputs: int, source: str) -> str:
    # what to do about columns of X (N, C) of which there must be as many as inputs
    advice = []
    text = source == "stdin" or source.lower().endswith(".csv")
    if text and X.shape[1] == 2 * inputs and (X == np.trunc(X)).all() and (X[:, 1::2] >= 0).all():
        advice.append(tables.DECIMAL_COMMAS)
    if X.shape[1] == inputs + 1:
        first = X[:, 0].tolist()
        numbered = len(first) > 1 and first in ([*range(len(first))], [*range(1, len(first) + 1)])
        column = ("the first column numbers the rows, leave it out" if numbered
                  else "leave out a column of labels or of row numbers")
        advice.append(f"{'else ' * len(advice)}{column} (pandas: to_csv(..., index=False))")
    return "".join(f": {each}" for each in advice)


def _size(shape: Sequence[int]) -> str:
    return f"{' x '.join(map(str, shape))} numbers" if len(shape) > 1 else count(math.prod(shape), "number")


def describe(model: Model, outputs: Array, names: Sequence[str] = ()) -> Iterator[str]:
    """A line for each row of the model's outputs (N, ...): after a softmax the class and its probability, after a
    sigmoid the probability and 0 or 1, in the last layer or in the loss, else the outputs; then the sample's name, if
    given."""
    outputs = outputs.reshape(len(outputs), -1)
    last, loss = endings.source(model.layers), model.loss
    given, threshold = outputs, getattr(model.accuracy, "threshold", None)
    if threshold is None:
        threshold = endings.middle(model.layers, loss)
    softmax = isinstance(last, (Softmax, LogSoftmax))
    sigmoid = isinstance(last, Sigmoid) or getattr(last, "activation", None) == "sigmoid"
    if isinstance(loss, SoftmaxCategoricalCrossentropy) or isinstance(last, LogSoftmax):  # their softmax is exp
        outputs, softmax = backend.ops.softmax.forward(outputs), True
    elif isinstance(loss, SigmoidBinaryCrossentropy):
        outputs, sigmoid = backend.ops.sigmoid.forward(outputs), True
    for place, (row, x) in enumerate(zip(outputs, given)):
        if softmax:
            k = row.argmax()
            said = [str(k) if row[k] == row[k] else "nan", f"{row[k]:.4f}"]
        elif sigmoid:
            said = [f"{p:.4f}" for p in row] + ["nan" if score != score else str(int(score > threshold)) for score in x]
        else:
            said = [str(value) for value in row]
        yield " ".join([*said, *names[place:place + 1]])


def write(path: str | os.PathLike[str], outputs: Array) -> None:
    """Write outputs (N, ...) as npy, or (N, C) as csv that reads back to the same bits. A failure leaves no partial
    file.

    Raises OSError when it cannot be written, ValueError for a csv file and outputs of more dimensions.
    """
    binary = Path(path).suffix.lower() == ".npy"
    if outputs.ndim > 2 and not binary:
        raise ValueError(f"--output {path} has one line per sample, and the outputs have shape {outputs.shape}: "
                         "write to a .npy file")
    with replacing(path) as file:
        if binary:
            np.save(file, outputs)
        else:
            file.writelines(f"{','.join(map(str, row))}\n".encode() for row in outputs.reshape(len(outputs), -1))

"""What `nnjit predict` does: it reads samples from a file and prints a model's prediction for each, one per line."""

import csv
import errno
import io
import math
import os
import sys
import zipfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from . import backend, endings, images
from .arrays import Array, as_floats
from .files import check_expansion, lines, read_array, read_member, reading, reason, replacing
from .layers import Input, LogSoftmax, Sigmoid, Softmax
from .losses import SigmoidBinaryCrossentropy, SoftmaxCategoricalCrossentropy
from .model import Model
from .progress import note

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
        X = _csv(_lines(source, "stdin"), "stdin")
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
        X = _csv(_lines(source, source), source)
    elif suffix in (".npy", ".npz"):
        X = _array(path)
    else:
        raise ValueError(f"{source} must end in .csv, .npy, .npz or {', '.join(images.FORMATS)}, or be a folder or -")
    if X.dtype.kind not in "fiub":
        raise ValueError(f"{source} must hold real numbers, got dtype {X.dtype}")
    return (_scaled(X, *scale, source=source) if scale else X), names


def _scaled(X: Array, low: float, high: float, *, source: str) -> Array:
    if ((X < 0) | (X > 255)).any():  # false for nan
        raise ValueError(f"--scale takes numbers in 0..255, {source} holds {X.min():g} to {X.max():g}")
    return low + X.astype(np.float64) * (high - low) / 255


def _lines(source: str, name: str) -> Iterator[str]:
    # of a file or, for "-", of stdin
    if source == "-" and sys.stdin is None:
        raise ValueError("stdin is closed")
    try:
        if source == "-":
            yield from lines(sys.stdin)
        else:
            with reading(source) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
                yield from lines(text)
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _csv(lines: Iterable[str], source: str) -> Array:
    numbers, columns = array("d"), 0  # an array for each row would take a hundred times the memory for short rows
    reader = csv.reader(lines)
    header: list[str] = []
    remark = ""
    try:
        for fields in reader:
            if not fields:  # an empty line
                continue
            if reader.line_num == 1:
                fields[0] = fields[0].removeprefix("\ufeff")  # of stdin; in a file it is decoded
            place = f"{source}, line {reader.line_num}"
            first = not numbers and not header
            if first and _names_columns(fields):
                header = fields
                if any(map(_is_number, fields)):
                    remark = f"{place}: {_short(fields)} is taken as column names, not as a sample{_way_out(fields)}"
                continue
            if first and _short(fields) == "0":
                remark = f"{place}: 0 is taken as a sample: if it is the column's name, delete the line"
            try:
                row = [float(field) for field in fields]
            except ValueError:
                raise ValueError(place + (_other_separator(fields) or _no_number(fields, first))) from None
            if numbers and len(row) != columns:
                raise ValueError(f"{place}: {len(row)} columns, but {columns} before")
            columns = len(row)
            numbers.extend(row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{source} is no text with commas: {error}") from error
    if header and not numbers:
        raise ValueError(f"{source} holds no samples, only " + (
            f"the column names {_short(header)}{_way_out(header, 'they are a sample')}" if remark
            else "a header: numbers must be separated by commas"))
    if remark:
        note(f"note: {remark}")
    return np.array(numbers).reshape(-1, max(1, columns))


MISSING = {"", "na", "n/a", "null", "none", "?", "-"}  # what stands for a missing number
SURELY = 10  # so many consecutive whole numbers are not a sample


def _names_columns(fields: Sequence[str]) -> bool:
    # pandas numbers columns without names, from 0 unless some were dropped; some may have names
    names = [field.strip() for field in fields if not _is_number(field)]
    numbers = [field.strip() for field in fields if _is_number(field)]
    known = [name for name in names if name.lower() not in MISSING]
    if not numbers:
        return bool(known) and not _other_separator(fields)
    if len(numbers) < 2 or not numbers[0].isdecimal() or len(known) < len(names):
        return False
    first = int(numbers[0][:9])  # Python converts at most some thousands of digits
    return (numbers == [str(k) for k in range(first, first + len(numbers))] and (not first or len(fields) >= SURELY)
            and all(name[0].isalpha() for name in names))


def _short(fields: Sequence[str]) -> str:
    texts = [field.strip()[:40] for field in fields]
    return ",".join(texts if len(texts) <= 4 else [*texts[:3], "...", texts[-1]])


def _way_out(fields: Sequence[str], condition: str = "it is one") -> str:
    # how to mark a line of numbers as a sample instead of column names
    return f": if {condition}, write {fields[0].strip()}.0 for its first number" if all(map(_is_number, fields)) else ""


SEPARATORS = {";": "';'", "\t": "tabs", "|": "'|'", None: "spaces"}


def _other_separator(fields: Sequence[str]) -> str:
    # what is wrong with a line of numbers that are not separated by commas; empty for other lines
    line = ",".join(fields).replace('"', "")
    for separator, name in SEPARATORS.items():
        parts = [part.strip() for part in line.split(separator) if part.strip()]
        if len(parts) > 1 and all(_is_number(part.replace(",", ".")) and part.strip(",") == part for part in parts):
            decimal = next((part for part in parts if "," in part), "")
            example = decimal if len(decimal) <= 20 else "1,5"
            more = f", and write {example.replace(',', '.')} for {example}" if decimal else ""
            return f": separate the numbers by commas, not by {name}{more}"
    return ""


def _no_number(fields: Sequence[str], first: bool) -> str:
    # what is wrong with a line that holds more than numbers
    column = [_is_number(field) for field in fields].index(False)
    more = ""
    if first and not fields[0] and _names_columns(fields[1:]):
        more = ": if pandas has numbered the rows there, write to_csv(..., index=False)"
    return f", column {column + 1}: must be a number, got {fields[column][:40]!r}{more}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _array(path: Path) -> Array:
    try:
        with reading(path) as stream:
            if path.suffix.lower() == ".npy":
                return read_array(stream)
            with zipfile.ZipFile(stream) as file:
                names = [name.removesuffix(".npy") for name in file.namelist()]
                if "X" not in names and len(names) != 1:
                    raise ValueError(f"it must hold an array X, or a single one, got {', '.join(names) or 'none'}")
                member = file.infolist()[names.index("X") if "X" in names else 0]
                check_expansion(member, stream.seek(0, os.SEEK_END))
                return read_member(file, member)
    except Exception as error:  # a damaged zip fails in a dozen ways
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise ValueError(f"{path} holds no samples: {reason(error)}") from error


def as_samples(model: Model, X: Array, source: str) -> Array:
    """X in the shape (N, ...) of the model's first layers, and in its dtype. Raises ValueError if it does not fit."""
    if X.ndim < 2 and X.size:
        raise ValueError(f"{source} must have shape (samples, numbers), got {X.shape}")
    if not X.size:
        raise ValueError(f"{source} holds no samples")
    first = model.layers[0]
    dense = [layer for layer in model.layers if hasattr(layer, "n_inputs")]
    shape = first.shape if isinstance(first, Input) else (dense[0].n_inputs,) if dense else X.shape[1:]
    if math.prod(X.shape[1:]) != math.prod(shape):
        found = f"{X.shape[1]} columns" if X.ndim == 2 else f"samples of {_size(X.shape[1:])} numbers"
        raise ValueError(f"{source} has {found}, the model takes {_size(shape)} numbers a sample"
                         f"{_one_more(X) if X.ndim == 2 and X.shape[1] == math.prod(shape) + 1 else ''}")
    return as_floats(X.reshape(len(X), *shape), dense[0].dtype if dense else None, source)


def _one_more(X: Array) -> str:
    # which column to leave out of X (N, C), in words
    first = X[:, 0].tolist()
    numbered = len(first) > 1 and first in ([*range(len(first))], [*range(1, len(first) + 1)])
    return (": the first column numbers the rows, leave it out" if numbered
            else ": leave out a column of labels or of row numbers") + " (pandas: to_csv(..., index=False))"


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def describe(model: Model, outputs: Array, names: Sequence[str] = ()) -> Iterator[str]:
    """A line for each row of the model's outputs (N, C): after a softmax the class and its probability, after a sigmoid
    the probability and 0 or 1, in the last layer or in the loss, else the outputs; then the sample's name, if given."""
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
    """Write outputs (N, C) as npy, or as csv that reads back to the same bits. A failure leaves no partial file.

    Raises OSError when it cannot be written.
    """
    with replacing(path) as file:
        if Path(path).suffix.lower() == ".npy":
            np.save(file, outputs)
        else:
            file.writelines(f"{','.join(map(str, row))}\n".encode() for row in outputs)

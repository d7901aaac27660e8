"""IDX files, the format of MNIST."""

import gzip
import math
import os
import zlib
from typing import IO

import numpy as np

from ..arrays import Array
from ..files import LARGEST, reading

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
            return read_idx(gzip.open(file) if zipped else file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: damaged: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_idx(file: IO[bytes] | gzip.GzipFile) -> Array:
    """The array in an open file, to its end. Raises as `load_idx`, but does not name the file."""
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

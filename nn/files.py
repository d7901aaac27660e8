"""Files written so that nothing is lost, and npz files read so that nothing in them is run."""

import errno
import glob
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from .arrays import Array

STALE = 3600  # seconds after which what a killed process was writing is removed


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write that becomes `path` at the end; a reader sees the old file or the new, and when it fails the old
    one stays. A pipe or a device is written to as it is. Raises OSError when it cannot be written."""
    path = os.fspath(path)  # a number would be a file that is open
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        with open(path, "wb") as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    # a signal's handler may save in the middle of this, and a container shares a folder, but no numbers of processes
    temporary = target.with_name(f"{_start(target)}{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            with suppress(OSError):
                shutil.copymode(target, temporary)  # whoever could not read the old file cannot read the new one
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _tidy(target)
    except OSError as error:
        if error.filename == str(temporary):  # the file that the caller knows
            error.filename, error.filename2 = str(target), None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _start(target: Path) -> str:
    # of a temporary file's name, which may have 255 bytes: 4 for a character, and 22 more
    return f".{target.name[:58]}."


def _tidy(target: Path) -> None:
    # what was left when a process was killed, but not what another one is writing now
    for path in target.parent.glob(f"{glob.escape(_start(target))}*.tmp"):
        with suppress(OSError):
            if target.stat().st_mtime - path.stat().st_mtime > STALE:
                path.unlink()


def write(path: str | os.PathLike[str], arrays: dict[str, Array]) -> None:
    """Write an npz file, as `replacing` does."""
    with replacing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_member(file: zipfile.ZipFile, name: str | zipfile.ZipInfo) -> Array:
    """An array in an npz file. Raises an error of some kind when it is damaged or something else."""
    with file.open(name) as stream:
        return read_array(stream)


def read_array(stream: IO[bytes]) -> Array:
    """The array that an npy file holds, no more and no less. Raises an error of some kind otherwise."""
    found: Array = np.lib.format.read_array(stream, allow_pickle=False)
    if stream.read(1):  # reaching the end of a member also checks its checksum
        raise ValueError("there is more data than the header says")
    return found


def reason(error: Exception) -> str:
    """What an error says, in one printable line; its words may come from a damaged file."""
    if isinstance(error, zipfile.BadZipFile):
        return "it is damaged, or no npz file"
    if "Object arrays" in str(error):
        return "it holds Python objects, not numbers, and loading those could run code"
    text = f"it lacks {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
    text = "".join(filter(str.isprintable, " ".join(text.split())))
    return text if len(text) <= 200 else f"{text[:200]}..."


def read(path: str | os.PathLike[str], take: Callable[[dict[str, Array]], Any], what: str) -> Any:
    """`take` applied to the arrays of an npz file. Raises OSError when it cannot be read, ValueError for anything else:
    that it holds no `what`, and why."""
    path = os.fspath(path)  # a number would be a file that is open
    try:
        with open(path, "rb") as stream, zipfile.ZipFile(stream) as file:
            members = file.infolist()
            if (any(each.compress_type for each in members)
                    or sum(each.file_size for each in members) > os.fstat(stream.fileno()).st_size):
                raise ValueError("its parts are compressed, or overlap")  # and could fill the memory
            arrays = {each.filename.removesuffix(".npy"): read_member(file, each) for each in members}
        for name, values in arrays.items():
            if values.dtype.kind not in "fiub":  # strings may have no bytes, and so any shape
                raise ValueError(f"{name} must hold real numbers, got dtype {values.dtype}")
        return take(arrays)
    except Exception as error:  # a damaged zip fails in a dozen ways, among them seeks to before its beginning
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise ValueError(f"{os.fsdecode(path)} holds no {what}: {reason(error)}") from error

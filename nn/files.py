"""Files written so that nothing is lost, and npz files read so that nothing in them is run."""

import errno
import glob
import os
import threading
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
    one stays. Raises OSError when it cannot be written."""
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with open(temporary, "wb") as file:
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


def _tidy(target: Path) -> None:
    # what was left when a process was killed, but not what another one is writing now
    for path in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        with suppress(OSError):
            if target.stat().st_mtime - path.stat().st_mtime > STALE:
                path.unlink()


def write(path: str | os.PathLike[str], arrays: dict[str, Array]) -> None:
    """Write an npz file, as `replacing` does."""
    with replacing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read(path: str | os.PathLike[str], take: Callable[[dict[str, Array]], Any], what: str) -> Any:
    """`take` applied to the arrays of an npz file. Raises OSError when it cannot be read, ValueError for anything else:
    that it holds no `what`, and why."""
    path = os.fspath(path)  # a number would be a file that is open
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            with zipfile.ZipFile(stream) as file:
                if any(member.compress_type or member.file_size > size for member in file.infolist()):
                    raise ValueError("its parts are compressed")  # and could fill the memory
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as found:
                arrays = {name: found[name] for name in found.files}
        return take(arrays)
    except Exception as error:  # a damaged zip fails in a dozen ways, among them seeks to before its beginning
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        foreign = isinstance(error, zipfile.BadZipFile) or "pickle" in str(error)
        raise ValueError(f"{os.fsdecode(path)} holds no {what}: {'it is no npz file' if foreign else error}") from error

"""Writing files without losing the old one, and reading files of any kind: it always terminates and runs no code.

A regular file is limited by its own size; pipes and compressed data have a limit here.
"""

import errno
import glob
import io
import json
import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TextIO

import numpy as np

from .arrays import Array
from .checks import shown

STALE = 3600  # seconds after which the partial file of a killed process is removed
PIPE = 1 << 28  # the most bytes that are read from a pipe
LINE = 1 << 24  # the most characters of a line
LARGEST = 1 << 30  # the most bytes that compressed data may expand to, or
BOMB = 100  # times its size, if that is more


def path_of(path: str | bytes | os.PathLike[Any]) -> str:
    """A path as text. Raises TypeError for another kind: a number would be a file that is open."""
    try:
        return os.fsdecode(path)
    except TypeError:
        raise TypeError(f"path must be text or a path, got {type(path).__name__}") from None


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Where a file is written: an OSError that names none, such as that of a full disk, names this one."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        if error.errno is None:  # NumPy's own
            raise OSError(f"{os.fsdecode(path)} cannot be written: {error}") from error
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write that becomes `path` at the end; a reader sees the old file or the new, and when it fails the old
    one stays. A pipe or a device is written to as it is. Raises OSError when it cannot be written."""
    path = path_of(path)
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        with naming(path), open(path, "wb") as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    # random, since a signal handler may save meanwhile, and containers share folders, but not process ids
    temporary = target.with_name(f"{_start(target)}{os.urandom(8).hex()}.tmp")
    try:
        with naming(path), open(temporary, "xb") as file:
            with suppress(OSError):
                shutil.copymode(target, temporary)  # who could not read the old file must not read the new one
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _tidy(target)
    except OSError as error:
        if error.filename == str(temporary):  # name the caller's file
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _start(target: Path) -> str:
    # of a temporary file's name, which may have 255 bytes: 4 for a character, and 22 more
    return f".{target.name[:58]}."


def _tidy(target: Path) -> None:
    # remove files of killed processes, but not those that another process is writing now
    for path in target.parent.glob(f"{glob.escape(_start(target))}*.tmp"):
        with suppress(OSError):
            if target.stat().st_mtime - path.stat().st_mtime > STALE:
                path.unlink()


def write(path: str | os.PathLike[str], arrays: dict[str, Array]) -> None:
    """Write an npz file, as `replacing` does."""
    with replacing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in UTF-8, as `replacing` does."""
    with replacing(path) as file:
        file.write(text.encode())


@contextmanager
def reading(path: str | os.PathLike[str], pipes: bool = True) -> Iterator[IO[bytes]]:
    """A seekable file to read: a regular one, or the whole content of a pipe.

    Raises OSError if it cannot be read, ValueError (which does not name the file) for a device or a socket, a pipe
    without `pipes`, or one that gives more than `PIPE` bytes.
    """
    path = path_of(path)
    mode = os.stat(path).st_mode  # opening a device may do something
    _check_kind(mode, pipes)
    with open(path, "rb") as stream:
        if not stat.S_ISFIFO(mode):
            yield stream
            return
        content = io.BytesIO()
        while block := stream.read(1 << 20):
            content.write(block)
            _check_pipe(content.tell())
    content.seek(0)
    yield content


def lines(stream: TextIO) -> Iterator[str]:
    """The lines of a text stream such as stdin, which may be a terminal or a socket. Raises ValueError as `reading`
    does, and for a line of more than `LINE` characters."""
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except OSError:  # it has no file descriptor
        mode = stat.S_IFREG
    if not stat.S_ISSOCK(mode) and not stream.isatty():
        _check_kind(mode, pipes=True)
    read = 0
    while line := stream.readline(LINE + 1):
        if len(line) > LINE:
            raise ValueError(f"it has a line of more than {LINE} characters")
        read += len(line)
        if not stat.S_ISREG(mode):
            _check_pipe(read)
        yield line


def _check_kind(mode: int, pipes: bool) -> None:
    kind = ("a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else
            "a device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "")
    if kind and not (pipes and kind == "a pipe"):
        raise ValueError(f"it is {kind}, must be a regular file{' or a pipe' if pipes else ''}")


def _check_pipe(size: int) -> None:
    if size > PIPE:
        raise ValueError(f"the pipe gives more than {PIPE} bytes: write them to a file")


def read_member(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """An array in an npz file. Raises an exception of any type if it is damaged or no array."""
    with file.open(member) as stream:
        return read_array(stream)


def check_expansion(member: zipfile.ZipInfo, size: int) -> None:
    """Raise ValueError if a member of an npz file of that size could fill the memory when it is expanded."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # 4 kB of bzip2 become 4 GB at once
        raise ValueError("it is compressed in another way than by numpy.savez_compressed")
    if member.file_size > max(LARGEST, BOMB * size):
        raise ValueError(f"it would expand to {member.file_size} bytes, more than {BOMB} times its size: save it by "
                         "numpy.savez")


def read_array(stream: IO[bytes]) -> Array:
    """The array that is the whole content of an npy file. Raises an exception of any type otherwise."""
    found: Array = np.lib.format.read_array(stream, allow_pickle=False)
    if stream.read(1):  # reaching the end of a member also checks its checksum
        raise ValueError("there is more data than the header says")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise KeyError(next(name for name in names if names.count(name) > 1))
    return found


def read_json(content: bytes, what: str) -> dict[str, Any]:
    """The object that JSON describes. Raises ValueError that says where it is damaged."""
    try:
        found = json.loads(content, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise ValueError(f"{what} is damaged at line {error.lineno}, column {error.colno}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{what} is damaged at byte {error.start}") from error
    except (ValueError, RecursionError) as error:  # a number of too many digits, too many brackets
        raise ValueError(f"{what} is damaged: a number in it is too long, or brackets are nested too deeply") from error
    except KeyError as error:
        raise ValueError(f"{what} is damaged: an object in it has {shown(error.args[0])} twice") from error
    if not isinstance(found, dict):
        raise ValueError(f"{what} is damaged: it is not a JSON object")
    return found


def reason(error: Exception) -> str:
    """The message of an error in one printable line; its text may come from a damaged file."""
    if isinstance(error, zipfile.BadZipFile):
        return "it is damaged, or not an npz file"
    if "Object arrays" in str(error):
        return "it contains Python objects, not numbers, and loading them could run code"
    text = f"it lacks {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
    text = "".join(filter(str.isprintable, " ".join(text.split())))
    return text if len(text) <= 200 else f"{text[:200]}..."


def read(path: str | os.PathLike[str], take: Callable[[dict[str, Array]], Any], what: str) -> Any:
    """`take` applied to the arrays of an npz file. Raises OSError when it cannot be read, ValueError for anything else:
    that it holds no `what`, and why."""
    path = path_of(path)
    try:
        with reading(path) as stream, zipfile.ZipFile(stream) as file:
            members = file.infolist()
            if (any(each.compress_type for each in members)
                    or sum(each.file_size for each in members) > stream.seek(0, os.SEEK_END)):
                raise ValueError("its parts are compressed, or overlap")  # and could fill the memory
            arrays: dict[str, Array] = {}
            for each in members:
                name = each.filename.removesuffix(".npy")
                if name in arrays:
                    raise ValueError(f"it has {name} twice")
                arrays[name] = read_member(file, each)
        for name, values in arrays.items():
            if values.dtype.kind not in "fiub":  # strings may have size 0, and so any shape
                raise ValueError(f"{name} must contain real numbers, got dtype {values.dtype}")
        return take(arrays)
    except Exception as error:  # a damaged zip fails in a dozen ways, such as seeks to negative positions
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise ValueError(f"{os.fsdecode(path)} contains no {what}: {reason(error)}") from error

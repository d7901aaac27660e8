"""The cache of compiled code: a folder named by everything that the code depends on, a file for each signature.

Numba's own cache would load serial code for the parallel variant of the same source, and stale code after a change in a
callee's file.
"""

import contextlib
import functools
import hashlib
import os
import pickle
import re
import stat
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import llvmlite
import numba
import numpy
from llvmlite import binding
from numba.core import caching, compiler, serialize
from numba.core.runtime import _nrt_python

KERNELS = Path(__file__).parent.parent
PACKAGE = __package__.rpartition(".")[0]
COMPILER_SETTINGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "ENABLE_AVX", "BOUNDSCHECK", "DEBUGINFO_DEFAULT")


def _sources():
    # all that is compiled: not the twins; `rglob` takes 2 ms longer
    return {Path(folder, name) for folder, _, names in os.walk(KERNELS) if Path(folder) != KERNELS / "reference"
            for name in names if name.endswith(".py")}


def _digest():
    state = hashlib.sha256()
    for path in sorted(_sources()):
        state.update(path.relative_to(KERNELS).as_posix().encode() + b"\0" + path.read_bytes())
    state.update(repr((numba.__version__, llvmlite.__version__, numpy.__version__, sys.version_info[:3])).encode())
    state.update(repr(numba.core.registry.cpu_target.target_context.codegen().magic_tuple()).encode())
    state.update(repr([(name, str(getattr(numba.config, name, None))) for name in COMPILER_SETTINGS]).encode())
    return state.hexdigest()[:24]


def cache_folder():
    """The folder of compiled code: NNJIT_CACHE_DIR or the user's cache folder, then a digest of what it depends on."""
    chosen = os.environ.get("NNJIT_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute() / DIGEST
    from platformdirs import user_cache_path
    folder = user_cache_path("nnjit", appauthor=False) / "code" / DIGEST
    if not folder.is_absolute():  # platformdirs leaves a ~ that it can't resolve
        raise RuntimeError("could not determine home directory")
    return folder


# Entries are code that runs as the user, so a folder that others can write to is not used. Root could write
# anyway, and may fill a cache for all. The folders above are 0700 where they were made here, else the user's choice.


def distrusted(folder):
    """Why this folder of code must not be used, or None. A missing folder is no danger."""
    if not hasattr(os, "geteuid"):
        return None
    with contextlib.suppress(OSError):
        for place in (folder.parent, folder):
            found = place.stat() if place != folder else place.lstat()
            if stat.S_ISLNK(found.st_mode):
                return f"{place} is a symbolic link"
            if found.st_uid not in (0, os.geteuid()):
                return f"{place} belongs to another user"
            sticky = place != folder and found.st_mode & stat.S_ISVTX  # as /tmp: others can't replace what is ours
            if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not sticky:
                return f"other users can write to {place}"
    return None


def _usable_folder():
    """The folder of compiled code, or None. One that is not trusted gives a warning, once."""
    try:
        folder = cache_folder()
    except RuntimeError:  # a user without a home folder
        return None
    reason = distrusted(folder)
    if reason and reason not in _warned:
        _warned.add(reason)
        warnings.warn(f"compiled code is neither loaded nor saved, since {reason}: set NNJIT_CACHE_DIR to a folder "
                      "that only you can write to", RuntimeWarning)
    return None if reason else folder


_warned: set[str] = set()


def _make(folder):
    if not folder.parent.exists():
        _make(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


# Folders of older versions and of other CPUs are removed when they were not used for a month. Their modification
# time tells: loading from one sets it, at most once a day.
DAY = 24 * 3600
UNUSED = 30 * DAY


def _touch(folder):
    with contextlib.suppress(OSError):  # it may be one that only root writes to
        if time.time() - folder.stat().st_mtime > DAY:
            os.utime(folder)


def _tidy(cache):
    """Remove folders that were not used for long. A process that still uses one has its code in memory."""
    for folder in cache.iterdir():
        with contextlib.suppress(OSError):  # another process was faster, or there are other files
            if (re.fullmatch("[0-9a-f]{24}", folder.name) and time.time() - folder.stat().st_mtime > UNUSED
                    and not distrusted(folder)):
                for entry in folder.glob(f"{PACKAGE}.*"):
                    entry.unlink()
                folder.rmdir()


def _prepare(folder):
    if not folder.exists():
        _make(folder)
        _tidy(folder.parent)


def writable():
    """Whether compiled code can be saved."""
    folder = _usable_folder()
    if folder is None:
        return False
    try:
        _prepare(folder)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


_waiting: list[Callable[[str | None], object]] = []  # the functions that `before_compiling` calls


class before_compiling:
    """Within `with before_compiling(tell):`, call `tell(folder)` once before code is compiled that the cache lacks.

    folder: where the code will be kept, as text, or None if it can't be. Of several that are nested, or in other
    threads, only the first is called.
    """

    def __init__(self, tell):
        self._tell = tell

    def __enter__(self):
        _waiting.append(self._tell)

    def __exit__(self, *exception):
        with contextlib.suppress(ValueError):  # it was called
            _waiting.remove(self._tell)


def _tell():
    first = _waiting[:1]
    _waiting.clear()
    for tell in first:
        tell(str(cache_folder()) if writable() else None)


@functools.cache
def _know_runtime():
    """Tell LLVM where the functions of Numba's runtime are that compiled code calls: all that loading needs of its
    `rtsys.initialize`, which also compiles some for 18 ms, and of `refresh`, which takes 0.3 s and imports SciPy."""
    for name, address in _nrt_python.c_helpers.items():
        binding.add_symbol(name if name.startswith("_") else f"NRT_{name}", address)


def _reduced(data, included):
    """What is saved of compiled code, without two parts of what Numba saves.

    The environments of Numba's own functions, such as `min`, are for errors whose text is made at run time, and for
    `print`: to import their modules takes up to 40 ms. LLVM code lets other functions include this one, and reading it
    takes half the time of loading: unless it is `included`, only the names that are looked up remain.
    """
    (name, kind, (code, llvm)), fndesc, *more, environments = data._reduce()
    environments = tuple(each for each in environments if each.globals["__name__"].startswith(PACKAGE))
    if not included:
        names = fndesc.llvm_func_name, fndesc.llvm_cpython_wrapper_name, fndesc.llvm_cfunc_wrapper_name
        outline = binding.parse_assembly("".join(f'define void @"{each}"() {{ ret void }}\n' for each in names))
        llvm = outline.as_bitcode()
    return (name, kind, (code, llvm)), fndesc, *more, environments


def _seal(path, content):
    # covers the name as well: an entry that was moved or copied to another name is damaged
    return hashlib.sha256(f"{path.parent.name}/{path.name}\0".encode() + content).digest()


class Cache(caching._Cache):
    """One file for each compiled signature, checked by its digest when read. After any failure, code is compiled."""

    def __init__(self, name, included):
        self._name = name
        self._included = included  # by other functions
        self._enabled = True

    @property
    def cache_path(self):
        return str(cache_folder())

    def enable(self):
        self._enabled = True

    def disable(self):
        self._enabled = False

    def flush(self):
        pass

    def _file(self, folder, sig):
        signature = hashlib.sha256(repr(sig).encode()).hexdigest()[:16]
        return folder / f"{self._name}-{signature}.bin"

    def load_overload(self, sig, target_context):
        found = self._load(sig, target_context)
        if found is None and _waiting:
            _tell()
        return found

    def _load(self, sig, target_context):
        folder = _usable_folder() if self._enabled else None
        if folder is None:
            return None
        _know_runtime()
        try:
            path = self._file(folder, sig)
            content = path.read_bytes()
            if _seal(path, content[32:]) != content[:32]:
                return None
            _touch(folder)
            return compiler.CompileResult._rebuild(target_context, *pickle.loads(content[32:]))
        except Exception:  # a damaged entry may fail anywhere in unpickling or linking
            return None

    def save_overload(self, sig, data):
        if not self._enabled or data.lifted or data.library.has_dynamic_globals:
            return
        folder = _usable_folder()
        if folder is None:
            return
        temporary = None
        try:
            _prepare(folder)
            path = self._file(folder, sig)
            content = serialize.dumps(_reduced(data, self._included))
            handle, temporary = tempfile.mkstemp(prefix=path.name, suffix=".tmp", dir=folder)
            with os.fdopen(handle, "wb") as file:
                file.write(_seal(path, content) + content)
            os.replace(temporary, path)  # readers see the old entry or the whole new one
        except OSError:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)


DIGEST = _digest()
DIGESTED = frozenset(_sources())  # none in an archive, or where there is bytecode alone

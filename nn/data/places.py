"""Where the files of a data set are: in a given folder, in that of NNJIT_DATA, in one of the system, in the cache, or
on a server, from which they are downloaded and checked."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from ..checks import flag
from ..files import replacing

Pair = tuple[Array, Array]

TIMEOUT = 20  # seconds without data


@dataclass(frozen=True)
class Source:
    """A data set and where its files are."""

    title: str
    call: str  # that reads it from a folder
    folder: str  # its name in the cache, and in the folder of NNJIT_DATA
    url: str
    files: dict[str, str]  # that are downloaded, and the SHA-256 or MD5 of each
    most: int  # bytes of a file
    names: bool = True  # whether the names of its files are its own; else NNJIT_DATA must have its folder
    system: Path | None = None
    package: str = ""  # of Debian, which has that folder


Look = Callable[[Path], tuple[Any, str]]  # what is found in a folder, and what is missing there, or ""


def find(source: Source, look: Look, folder: str | os.PathLike[str] | None) -> Any:
    """What `look` finds in the first of the places that has it. Raises FileNotFoundError that lists them."""
    if folder is not None:
        found, missing = look(Path(folder))
        if missing:
            system = f"{source.system} and " if source.system else ""
            raise FileNotFoundError(f"no {source.title} in {os.fspath(folder)}: {missing} is missing. Without a "
                                    f"folder, the places are NNJIT_DATA, {system}a download")
        return found
    variable = os.environ.get("NNJIT_DATA")
    places = [Path(variable) / source.folder, *[Path(variable)] * source.names] if variable else []
    if source.system:
        places.append(source.system)
    for place in places:
        if found := _looked(look, place):
            return found
    last = "nothing can be downloaded without a home folder"
    try:
        cache = _cache_folder(source)
        if found := _looked(look, cache):
            return found
        last = f"the download from {source.url} into {cache} failed"
        for name, digest in source.files.items():
            _download(source, name, digest, cache)
    except (OSError, ValueError, RuntimeError) as error:
        reasons = ["no folder was given", f"NNJIT_DATA={variable} lacks files" if variable else "NNJIT_DATA is not set"]
        if source.system:
            reasons.append(f"{source.system} (Debian's package {source.package}) lacks files")
        listed = "; ".join(f"({number}) {each}" for number, each in enumerate([*reasons, last], 1))
        raise FileNotFoundError(f"no {source.title}: {listed}: {error}. Get {', '.join(source.files)} on another "
                                f"machine, and put it into a folder for {source.call}") from error
    return look(cache)[0]


def _cache_folder(source: Source) -> Path:
    from platformdirs import user_cache_path
    folder = user_cache_path("nnjit", appauthor=False) / source.folder
    if not folder.is_absolute():  # before its version 4, platformdirs left a ~ that it could not resolve
        raise RuntimeError("could not determine the home directory")
    return folder


def _looked(look: Look, folder: Path) -> Any:
    # what is found, or None if something is missing or the folder cannot be read
    with suppress(OSError):
        found, missing = look(folder)
        return None if missing else found
    return None


def _download(source: Source, name: str, digest: str, folder: Path) -> None:
    if (folder / name).is_file():
        return
    import urllib.request  # not at the top: its import would cost every start 30 ms
    folder.mkdir(parents=True, exist_ok=True)
    print(f"downloading {source.url}{name} into {folder}", file=sys.stderr)
    kind = "SHA-256" if len(digest) == 64 else "MD5"
    check, size = hashlib.new(kind.replace("-", "")), 0
    with urllib.request.urlopen(source.url + name, timeout=TIMEOUT) as answer, replacing(folder / name) as file:
        while block := answer.read(1 << 20):
            size += len(block)
            if size > source.most:
                raise ValueError(f"{name} has more than {source.most} bytes")
            check.update(block)
            file.write(block)
        if check.hexdigest() != digest:
            raise ValueError(f"{name} has {kind} {check.hexdigest()}, not {digest}")


def pixels(images: Array, scale: bool) -> Array:
    """Pixels as float32 in -1..1, without `scale` as the uint8 that they are."""
    if not flag("scale", scale):
        return images
    found: Array = images.astype(np.float32)
    found -= 127.5  # one subtraction and one division a pixel: the same bits on every CPU
    found /= 127.5
    return found

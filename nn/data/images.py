"""Images as arrays: folders with a subfolder for each label. Needs Pillow."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import INT64, Array, room
from ..checks import optional_flag, shown, whole
from ..files import reading

# by suffix, the only format that a file may have: some of Pillow's other formats start programs
FORMATS = {".bmp": "BMP", ".gif": "GIF", ".jpeg": "JPEG", ".jpg": "JPEG", ".pgm": "PPM", ".png": "PNG", ".ppm": "PPM",
           ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"}
GREY = ("1", "L", "LA")  # Pillow's modes without colour, the last with transparency
WHITE = 255
ORIENTATION = 0x112  # the EXIF tag: which way up the camera was held
TURNS = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE",
         8: "ROTATE_90"}
SIDEWAYS = tuple(TURNS.values())[3:]  # by which width and height change places
SCALES = {"1": 255, "L;2": 85, "L;4": 17}  # factors of grey levels with fewer bits, but not of the transparent one

Background = int | Sequence[int]


def image_folder(path: str | os.PathLike[str], *, color: bool | None = None, background: Background = WHITE
                 ) -> tuple[Array, Array, tuple[str, ...]]:
    """Read the images in the subfolders of `path`, one subfolder per label, as (X, y, classes).

        X, y, classes = nn.datasets.image_folder("fashion_mnist_images/train")
        X = (X.reshape(len(X), -1).astype(np.float32) - 127.5) / 127.5

    X is uint8: grey levels (N, height, width) if all images are grey, else (N, height, width, 3) with red, green and
    blue; `color=True` or `color=False` chooses. y (N,), int64, are the indices of the labels in `classes`, the names of
    the subfolders. Names that are numbers are sorted as numbers, before the others; file names likewise. Hidden files,
    and files whose suffix is not that of an image, are ignored.

    Transparent images are composited onto `background`, a grey level or (red, green, blue), each in 0..255; the default
    is white. A background that is not grey makes X coloured if any image is transparent. Images are rotated to their
    EXIF orientation. Only the first frame of an animation is read.

    Raises ImportError without Pillow, OSError for a folder that cannot be read, FileNotFoundError for one without
    subfolders or a subfolder without images, ValueError that names the file for one that is damaged, of another size
    than the first, of more than 8 bits a channel or so large that Pillow warns of it.
    """
    paths, y, classes = labelled(Path(path))
    return read_images(paths, color=color, background=background), y, classes


def train_test_images(path: str | os.PathLike[str], *, color: bool | None = None, background: Background = WHITE
                      ) -> tuple[tuple[Array, Array], tuple[Array, Array], tuple[str, ...]]:
    """Read the folders `train` and `test` in `path` as ((X_train, y_train), (X_test, y_test), classes).

    See `image_folder`. All images must have the same size. Also raises ValueError if the labels of the two differ.
    """
    train, y_train, classes = labelled(Path(path) / "train")
    test, y_test, others = labelled(Path(path) / "test")
    if classes != others:
        raise ValueError(f"train and test in {os.fspath(path)} must have the same labels, got "
                         f"{', '.join(classes)} and {', '.join(others)}")
    X = read_images(train + test, color=color, background=background)
    return (X[:len(train)], y_train), (X[len(train):], y_test), classes


def find_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The images in a folder, then those in its subfolders, in the order of `image_folder`."""
    files, folders = _entries(Path(folder))
    return files + [path for each in folders for path in _entries(each)[0]]


def read_images(paths: Sequence[Path], *, color: bool | None = None, background: Background = WHITE,
                size: tuple[int, int] | None = None, first: Path | None = None) -> Array:
    """Images as X (N, height, width) or (N, height, width, 3), uint8, resized to a `size` (height, width) if that is
    given. Otherwise all must have the same size, also that of the image `first`. See `image_folder`.

    Reads the sizes of all images before it decodes the second.
    """
    color = optional_flag("color", color)
    behind = _colour(background)
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("images need Pillow: .venv/bin/pip install '.[images]'") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        grey, wish = True, None if size is None else size[::-1]
        alike = [*paths] if first is None or size is not None else [first, *paths]
        for path in alike:
            with _opened(path) as image:
                if image.mode[0] in "IF":
                    raise ValueError(f"it has mode {image.mode}, but must have 8 bits a channel")
                if any(_deep(tile[3]) for tile in image.tile):
                    raise ValueError("it has more than 8 bits a channel")
                seen = image.has_transparency_data and len(set(behind)) > 1
                grey = grey and image.mode in GREY and not seen
                if size is not None:
                    continue
                if image.format in ("PNG", "TIFF") and image.size != wish:
                    image.load()  # the orientation may follow the pixels, and a tiff is rotated only now
                wish = wish or _size(image)
                _same_size(_size(image), wish, alike)
        color = not grey if color is None else color
        width, height = wish or (0, 0)
        shape = (len(paths), height, width, 3)[:4 if color else 3]
        with room(f"{len(paths)} images of this size", shape, 1):
            X = np.empty(shape, np.uint8)
        for place, path in enumerate(paths):
            with _opened(path) as image:
                upright = _upright(image, behind).convert("RGB" if color else "L")
                if size is not None and upright.size != wish:
                    upright = upright.resize(wish, Image.Resampling.BILINEAR)
                pixels = np.asarray(upright)
                _same_size(pixels.shape[1::-1], wish, alike)
                X[place] = pixels
    return X


def _colour(background: Background) -> tuple[int, ...]:
    # red, green and blue
    if isinstance(background, (int, np.integer)):
        return (whole("background", background, 0, 255),) * 3
    if isinstance(background, (tuple, list, np.ndarray)) and np.shape(background)[:1] == (3,):
        return tuple(whole("background", level, 0, 255) for level in background)
    raise TypeError(f"background must be a grey level or (red, green, blue), got {shown(background)}")


def _same_size(found: tuple[int, int], size: Any, paths: Sequence[Path]) -> None:
    if found != size:
        raise ValueError("it has {} x {} pixels, but {} has {} x {}: resize them, as nn.data.ImageFolder(..., "
                         "size=({}, {})) does".format(*found, paths[0], *size, *size[::-1]))


def _turn(image: Any) -> str | None:
    from PIL import Image
    if image.format == "TIFF":  # Pillow turns it when it decodes it
        return None
    try:
        return TURNS.get(Image.Image.getexif(image).get(ORIENTATION, 1))  # a png's own would decode it
    except Exception:  # damaged metadata do not make an image unusable
        return None


def _size(image: Any) -> tuple[int, int]:
    # width and height of the upright image, as far as it has been read
    width, height = image.size
    return (height, width) if _turn(image) in SIDEWAYS else (width, height)


def _upright(image: Any, behind: tuple[int, ...]) -> Any:
    # the image without transparency
    from PIL import Image
    scale = SCALES.get(image.tile[0][3], 1) if image.format == "PNG" and image.tile else 1
    image.load()
    turn = _turn(image)
    if image.has_transparency_data:
        if scale > 1:
            image.info["transparency"] = min(255, scale * image.info["transparency"])  # later Pillows scale bits
        image = image.convert("RGBA")
        flat = Image.new("RGB", image.size, behind)
        flat.paste(image, mask=image)  # each level rounded from (alpha * level + (255 - alpha) * behind) / 255
        image = flat
    elif image.mode == "LAB":
        image = image.convert("RGB")  # Pillow knows no way from it to grey
    return image.transpose(Image.Transpose[turn]) if turn else image


def _deep(arguments: Any) -> bool:
    # of a decoder, which silently cuts 16 bits of colours to 8: 'RGB;16B', or of a ppm ('RGB', 65535)
    parts = arguments if isinstance(arguments, tuple) else (arguments,)
    if parts[:1] in (("RGB",), ("L",)) and len(parts) == 2:
        return isinstance(parts[1], int) and parts[1] > 255
    return isinstance(parts[0], str) and ";16" in parts[0] and parts[0] != "BGR;16"  # bmp's: 16 bits for all three


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    # a file of which only the header has been read; an error while it is used names the file, too
    from PIL import Image, UnidentifiedImageError
    kind = FORMATS[path.suffix.lower()]
    try:
        # not of a path, whose tiff may be mapped, with its width for its height if it must be turned
        with reading(path, pipes=False) as stream, Image.open(stream, formats=[kind]) as image:  # twice, so no pipe
            yield image
    except UnidentifiedImageError as error:
        raise ValueError(f"{path}: it is damaged, or not a {kind} image") from error
    except Exception as error:  # decoders fail in a dozen ways
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{path}: {error or 'it is damaged'}") from error


def labelled(folder: Path) -> tuple[list[Path], Array, tuple[str, ...]]:
    """The images in the subfolders of a folder, their labels, and the names of the subfolders. Raises OSError as
    `image_folder`."""
    folders = _entries(folder)[1]
    if not folders:
        raise FileNotFoundError(f"{folder} has no subfolders: it must have one for each label, with its images")
    paths = [_entries(each)[0] for each in folders]
    for each, found in zip(folders, paths):
        if not found:
            raise FileNotFoundError(f"no images in {each}: it counts as a label, and must contain {', '.join(FORMATS)}")
    y = np.repeat(np.arange(len(folders), dtype=INT64), [len(found) for found in paths])
    return [path for found in paths for path in found], y, tuple(each.name for each in folders)


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    # images and subfolders, sorted; names that are numbers as numbers: 2 before 10
    def order(path: Path) -> tuple[bool, int, str]:
        number = path.stem.isdecimal()
        return not number, int(path.stem) if number else 0, path.name

    with os.scandir(folder) as entries:
        seen = [entry for entry in entries if not entry.name.startswith(".")]
    # a broken link, too: left out, images would be missing in silence
    files = [Path(entry.path) for entry in seen if entry.is_file() or not os.path.exists(entry.path)]
    return (sorted((path for path in files if path.suffix.lower() in FORMATS), key=order),
            sorted((Path(entry.path) for entry in seen if entry.is_dir()), key=order))

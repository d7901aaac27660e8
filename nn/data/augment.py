"""Augmentation: images that are flipped, shifted and rotated at random, the same for the same seed on every machine.

What happens to an image depends on the seed, the epoch, the number of the image and the place of the transform alone:
not on the batch that it came in. The random words are Philox 4x32-10's; pixels are moved, never computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import backend
from ..arrays import Array, as_plain, room
from ..checks import checked, finite, real, shown, whole, word
from ..iterables import check_iterable
from ..schedules import _half_wave
from .folder import as_size

WORDS = 1 << 32  # that a random word may be
TRANSFORMS = 1 << 16  # of an Augment, so that streams differ


def _share(name: str, value: float) -> float:
    share = real(name, value)
    if not 0 <= share <= 1:  # NaN, too
        raise ValueError(f"{name} must be in 0..1, got {share}")
    return share


class _Transform:
    def _apply(self, images: Array, words: Array) -> Array:
        """New images (N, C, H, W), by four random words (N, 4) for each."""
        raise NotImplementedError


class _Flip(_Transform):
    axis = 3
    p: float = checked(_share)

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.p})"

    def _apply(self, images: Array, words: Array) -> Array:
        chosen = words[:, 0] < int(self.p * WORDS)
        found = images.copy()
        found[chosen] = np.flip(images[chosen], self.axis)
        return found


class RandomHorizontalFlip(_Flip):
    """Mirrors images left to right, each with probability `p`. Raises TypeError or ValueError unless p is in 0..1."""


class RandomVerticalFlip(_Flip):
    """Mirrors images top to bottom, each with probability `p`. Raises TypeError or ValueError unless p is in 0..1."""

    axis = 2


class RandomCrop(_Transform):
    """Takes a part of `size` at a random place of each image, which first gets `padding` more pixels on each side.

    size: (height, width), or a number for both. RandomCrop(32, padding=4) shifts images of 32 x 32 by up to 4 pixels.
    padding: pixels, at least 0.
    padding_mode: "constant" pads with `fill`, "edge" with the nearest pixel.
    fill: the value of these pixels, such as -1 for black in images that are scaled to [-1, 1].

    Raises TypeError or ValueError for other arguments, and when it gets images that are smaller than `size`.
    """

    padding: int = checked(lambda name, value: whole(name, value, 0))
    fill: float = checked(real)

    def __init__(self, size: int | Sequence[int], *, padding: int = 0, padding_mode: str = "constant", fill: float = 0.0
                 ) -> None:
        found = as_size("size", size)
        if found is None:
            raise TypeError("size must be (height, width) or a number for both, got None")
        if not isinstance(padding_mode, str) or padding_mode not in ("constant", "edge"):
            raise (ValueError if isinstance(padding_mode, str) else TypeError)(
                f"padding_mode must be 'constant' or 'edge', got {shown(padding_mode)}")
        self.size, self.padding, self.padding_mode, self.fill = found, padding, padding_mode, fill

    def __repr__(self) -> str:
        return f"RandomCrop({self.size}, padding={self.padding})"

    def _apply(self, images: Array, words: Array) -> Array:
        border, (height, width) = self.padding, self.size
        pads = (0, 0), (0, 0), (border, border), (border, border)
        padded = *images.shape[:2], images.shape[2] + 2 * border, images.shape[3] + 2 * border
        with room("the images with their padding", padded, images.itemsize):
            wide = np.pad(images, pads, "edge") if self.padding_mode == "edge" else np.pad(
                images, pads, constant_values=_filling(images, self.fill))
        rows, columns = wide.shape[2] - height + 1, wide.shape[3] - width + 1
        if rows < 1 or columns < 1:
            raise ValueError(f"images must have at least {height} x {width} pixels with their padding, got "
                             f"{wide.shape[2]} x {wide.shape[3]}")
        top, left = (words[:, 0] * rows >> 32).tolist(), (words[:, 1] * columns >> 32).tolist()
        found = np.empty((*images.shape[:2], height, width), images.dtype)
        for place, (row, column) in enumerate(zip(top, left)):
            found[place] = wide[place, :, row:row + height, column:column + width]
        return found


class RandomRotation(_Transform):
    """Rotates images about their centre by a random angle, to the nearest pixel.

    degrees: a number d for an angle in -d..d, or (low, high); positive angles turn counter-clockwise.
    fill: the value of pixels that come from outside.

    Raises TypeError or ValueError for other arguments.
    """

    fill: float = checked(real)

    def __init__(self, degrees: float | Sequence[float], *, fill: float = 0.0) -> None:
        if isinstance(degrees, (tuple, list)):
            if len(degrees) != 2:
                raise ValueError(f"degrees must be a number or (low, high), got {shown(degrees)}")
            low, high = (real("degrees", each) for each in degrees)
        else:
            high = finite("degrees", degrees)  # type: ignore[arg-type]
            low = -high
        if not -360 <= low <= high <= 360:
            raise ValueError(f"degrees must be in -360..360, the lower first, got {shown(degrees)}")
        self.degrees, self.fill = (low, high), fill

    def __repr__(self) -> str:
        return f"RandomRotation({self.degrees})"

    def _apply(self, images: Array, words: Array) -> Array:
        height, width = images.shape[2:]
        low, high = self.degrees
        y, x = np.arange(height)[:, None] - (height - 1) / 2, np.arange(width) - (width - 1) / 2
        # a pixel more, for places outside
        flat = np.full((*images.shape[:2], height * width + 1), _filling(images, self.fill))
        flat[..., :-1] = images.reshape(*images.shape[:2], height * width)
        found = np.empty_like(images, order="C")
        for place, share in enumerate((words[:, 0] / WORDS).tolist()):
            cosine, sine = _turn(low + (high - low) * share)
            # where each pixel comes from; a product and a sum at a time, which all machines round alike
            row = np.floor((y * cosine + x * sine) + (height - 1) / 2 + 0.5)
            column = np.floor((x * cosine - y * sine) + (width - 1) / 2 + 0.5)
            at = (row * width + column).astype(np.int64)
            at[(row < 0) | (row >= height) | (column < 0) | (column >= width)] = height * width
            found[place] = flat[place].take(at, axis=1)
        return found


def _turn(degrees: float) -> tuple[float, float]:
    # cosine and sine; libm's differ between machines
    def cosine(angle: float) -> float:
        angle = abs(angle) % 360
        return 2 * _half_wave(min(angle, 360 - angle) / 180) - 1

    return cosine(degrees), cosine(degrees - 90)


def _filling(images: Array, fill: float) -> Any:
    with np.errstate(all="ignore"):
        found = np.array(fill).astype(images.dtype)
    if images.dtype.kind != "f" and found != fill:
        raise ValueError(f"fill must be a value of {images.dtype}, as the images have, got {fill}")
    return found


class Augment:
    """Random transforms of images, one after the other: for `model.train(X, y, augment=...)`, or around an iterable of
    batches.

        augment = nn.data.Augment(nn.data.RandomCrop(32, padding=4), nn.data.RandomHorizontalFlip(), seed=1)
        model.train(X, y, epochs=10, batch_size=64, augment=augment)
        model.train(augment.over(nn.data.ImageFolder("images", batch_size=64, size=32)), epochs=10)

    transforms: at least one of `RandomCrop`, `RandomHorizontalFlip`, `RandomRotation` and `RandomVerticalFlip`.
    seed: a whole number, 0 <= seed < 2^64.

    Raises TypeError or ValueError for other arguments.
    """

    seed: int = checked(word)

    def __init__(self, *transforms: Any, seed: int = 0) -> None:
        for each in transforms:
            if not isinstance(each, _Transform):
                raise TypeError(f"Augment takes transforms such as RandomCrop(32, padding=4), got {shown(each)}")
        if not 1 <= len(transforms) <= TRANSFORMS:
            raise ValueError("Augment needs at least one transform, such as RandomHorizontalFlip()")
        self.transforms, self.seed = transforms, seed

    def __repr__(self) -> str:
        return f"Augment({', '.join(map(repr, self.transforms))}, seed={self.seed})"

    def __call__(self, images: ArrayLike, epoch: int = 0, samples: ArrayLike | None = None) -> Array:
        """Augmented images, a new array of the shape (N, C, H, W) and the dtype of `images`.

        epoch: each epoch has other random numbers, 0 <= epoch < 2^47.
        samples: the numbers (N,) of the images in the data set; None means 0 to N - 1.

        Raises TypeError for anything but numbers, ValueError for other shapes.
        """
        found = as_plain(images, "images")
        if found.dtype.kind not in "fiub":
            raise TypeError(f"images must contain real numbers, got dtype {found.dtype}")
        if found.ndim != 4:
            raise ValueError(f"images must have shape (N, C, H, W), got {found.shape}")
        epoch = whole("epoch", epoch, 0, 2**47 - 1)
        numbers = np.arange(len(found)) if samples is None else as_plain(samples, "samples")
        if numbers.shape != (len(found),) or numbers.dtype.kind not in "iu" or numbers.size and numbers.min() < 0:
            raise ValueError(f"samples must be {len(found)} whole numbers of at least 0, one for each image, got shape "
                             f"{numbers.shape} of {numbers.dtype}")
        for place, transform in enumerate(self.transforms):
            words = backend.random_words(numbers.astype(np.uint64), self.seed, epoch * TRANSFORMS + place)
            found = transform._apply(found, words)
        return found

    def over(self, batches: Any) -> Augmented:
        """An iterable of the batches of another one, (x, y) or (x, y, sample_weight), with augmented x. Each pass is
        another epoch, in which images are numbered as they come. Raises TypeError for what is no such iterable."""
        check_iterable("batches", batches)
        return Augmented(self, batches)


class Augmented:
    """What `Augment.over` returns."""

    def __init__(self, augment: Callable[..., Array], batches: Any) -> None:
        self._augment, self._batches = augment, batches
        self.passes = 0  # so far

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        epoch, first = self.passes, 0
        self.passes += 1
        for batch in self._batches:
            if not isinstance(batch, (tuple, list)) or not batch:
                raise TypeError(f"a batch must be (x, y) or (x, y, sample_weight), got {shown(batch)}")
            x, *more = batch
            images = as_plain(x, "images")
            count = len(images) if images.ndim else 0
            yield self._augment(images, epoch, np.arange(first, first + count)), *more
            first += count

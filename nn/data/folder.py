"""A folder of images that is read a batch at a time. Needs Pillow."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from ..checks import Seed, as_seed, flag, is_whole, shown, whole
from .images import WHITE, Background, labelled, read_images
from .places import Pair, pixels
from .preparation import to_nchw


class ImageFolder:
    """Batches of the images in the subfolders of `path`, one subfolder for each label, for `model.train(folder)`.

        folder = nn.data.ImageFolder("images/train", batch_size=64, size=(32, 32))
        model.train(folder, epochs=10, validation_data=nn.data.ImageFolder("images/test", batch_size=64, size=(32, 32),
                                                                           shuffle=False))

    It yields pairs (x, y): images x (N, C, H, W) and their labels y (N,), int64, which are the indices of the
    subfolders in `classes`, sorted as by `nn.datasets.image_folder`. `len` is the number of batches. Images are read
    again in each pass, so only one batch is in memory. `paths` and `labels` are those of all images.

    size: (height, width), or a number for both, to which images are resized (bilinear). None takes them as they are;
        then all must have the same size.
    color: True for red, green and blue, False for grey levels (C = 1).
    background: the colour behind transparent images, a grey level or (red, green, blue).
    scale: True gives float32, each pixel scaled to [-1, 1], False uint8, 0 to 255.
    shuffle: True takes the images of each pass in a new random order, which depends on `seed` and on the number of
        passes so far.
    seed: a whole number, a NumPy Generator, or None for another order in each run.
    drop_last: True leaves out the last batch if it is smaller.

    Raises the errors of `nn.datasets.image_folder`: those of folders when it is made, those of an image, which they
    name, when its batch is read. Also raises ValueError if `drop_last` leaves no batch.
    """

    def __init__(self, path: str | os.PathLike[str], *, batch_size: int, size: int | Sequence[int] | None = None,
                 color: bool = True, background: Background = WHITE, scale: bool = True, shuffle: bool = True,
                 seed: Seed = 0, drop_last: bool = False) -> None:
        self.batch_size, self.size = whole("batch_size", batch_size), as_size("size", size)
        self._color, self._scale, self._shuffle = flag("color", color), flag("scale", scale), flag("shuffle", shuffle)
        self._drop_last, self._background, self._seed = flag("drop_last", drop_last), background, as_seed("seed", seed)
        self._random = np.random.default_rng(self._seed)
        self.paths, self.labels, self.classes = labelled(Path(path))
        self.passes = 0  # so far
        if not len(self):
            raise ValueError(f"drop_last=True leaves no batch: {os.fspath(path)} has {len(self.paths)} images, and "
                             f"batch_size is {self.batch_size}")
        read_images(self.paths[:0], background=background)  # raises for a wrong background, and without Pillow

    def __len__(self) -> int:
        count = len(self.paths)
        return count // self.batch_size if self._drop_last else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[Pair]:
        order = np.arange(len(self.paths))
        if self._shuffle:
            if isinstance(self._seed, int):
                self._random = np.random.default_rng([self._seed, self.passes])
            order = self._random.permutation(len(self.paths))
        self.passes += 1
        return self._batches(order)

    def _batches(self, order: Array) -> Iterator[Pair]:
        for number in range(len(self)):
            rows = order[number * self.batch_size:(number + 1) * self.batch_size]
            images = read_images([self.paths[row] for row in rows], color=self._color, background=self._background,
                                 size=self.size, first=self.paths[0])
            yield pixels(to_nchw(images), self._scale), self.labels[rows]


def as_size(name: str, size: int | Sequence[int] | None) -> tuple[int, int] | None:
    """(height, width) of a size given so, or as a number for both. Raises TypeError or ValueError for anything else."""
    if size is None:
        return None
    both: Any = (size, size) if is_whole(size) else size
    if not isinstance(both, (tuple, list)) or len(both) != 2:
        raise TypeError(f"{name} must be (height, width) or a number for both, got {shown(size)}")
    height, width = (whole(name, each) for each in both)
    return height, width

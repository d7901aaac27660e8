"""Data sets: spiral, vertical and sine as in the `nnfs` package, IDX files, MNIST and others in its format, CIFAR,
folders of images."""

from collections.abc import Callable

import numpy as np

from ..arrays import fits
from ..checks import whole
from .cifar import CIFAR10_CLASSES, cifar10, cifar100
from .idx import load_idx
from .images import image_folder, train_test_images
from .mnist import CLASSES, emnist, fashion_mnist, mnist
from .places import Pair

__all__ = ["CIFAR10_CLASSES", "CLASSES", "cifar10", "cifar100", "emnist", "fashion_mnist", "image_folder", "load_idx",
           "mnist", "sine", "spiral", "train_test_images", "vertical"]


def spiral(samples: int, classes: int, *, seed: int | None = None) -> Pair:
    """Points (samples * classes, 2) as float32 on `classes` intertwined arms, and their class numbers as int64.

    The noise comes from NumPy's global generator, as in the `nnfs` package; `seed` seeds it and restores it after.

    Raises TypeError or ValueError unless samples and classes are whole numbers of at least 1, and
    seed is a whole number in 0..2**32 - 1.
    """
    from nnfs.datasets import spiral_data
    return _points(spiral_data, samples, classes, seed)


def vertical(samples: int, classes: int, *, seed: int | None = None) -> Pair:
    """Points (samples * classes, 2) as float32 in `classes` upright clouds, and their class numbers as int64.

    `seed` and errors as for `spiral`.
    """
    from nnfs.datasets import vertical_data
    return _points(vertical_data, samples, classes, seed)


def sine(samples: int = 1000) -> Pair:
    """x (samples, 1) from 0 to 1, and y (samples, 1) = sin(2 pi x), both float32.

    Raises TypeError or ValueError unless samples is a whole number of at least 1.
    """
    from nnfs.datasets import sine_data
    samples = whole("samples", samples)
    fits("samples", (samples, 2))
    x, y = sine_data(samples)
    return x.astype(np.float32), y.astype(np.float32)


def _points(create: Callable[[int, int], Pair], samples: int, classes: int, seed: int | None) -> Pair:
    samples, classes = whole("samples", samples), whole("classes", classes)
    fits("samples times classes", (samples, classes, 2))
    if seed is not None:
        seed = whole("seed", seed, 0, 2**32 - 1)
    former = np.random.get_state()
    try:
        if seed is not None:
            np.random.seed(seed)
        X, y = create(samples, classes)
    finally:
        if seed is not None:
            np.random.set_state(former)
    return X.astype(np.float32), y.astype(np.int64)

"""Data sets, folders of images, preparation and augmentation."""

from .augment import Augment, RandomCrop, RandomHorizontalFlip, RandomRotation, RandomVerticalFlip
from .folder import ImageFolder

__all__ = ["Augment", "ImageFolder", "RandomCrop", "RandomHorizontalFlip", "RandomRotation", "RandomVerticalFlip"]

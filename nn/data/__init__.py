"""Data: sets to learn from, images, and what prepares and augments them."""

from .augment import Augment, RandomCrop, RandomHorizontalFlip, RandomRotation, RandomVerticalFlip
from .folder import ImageFolder

__all__ = ["Augment", "ImageFolder", "RandomCrop", "RandomHorizontalFlip", "RandomRotation", "RandomVerticalFlip"]

"""Data: sets to learn from, images, and what prepares them."""

from .folder import ImageFolder

__all__ = ["ImageFolder"]

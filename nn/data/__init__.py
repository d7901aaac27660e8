"""Data: sets to learn from, images, and what prepares them."""

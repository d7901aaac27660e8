"""Benchmarks of every operation and of whole training steps, and the report made from them."""

"""A loop that mixes NumPy's products with our kernels: two pools of threads in one process, in turns.

A pool that spins after its work takes the cores from the other; `SPIN_COUNT` in kernels/core/threads.py is set by this.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnjit.bench.cases import TWINS, Work, suite


@dataclass(frozen=True)
class Mixed:
    """tanh.forward of np.matmul."""

    shape: tuple[int, int, int]
    dtype: str = "f32"

    @property
    def group(self) -> str:
        return f"mixed np.matmul {'x'.join(map(str, self.shape))}, tanh.forward"

    def prepare(self, contender: str) -> tuple[Callable[[], Any] | None, Work]:
        m, k, n = self.shape
        rng = np.random.default_rng(0)
        a, b = rng.random((m, k), np.float32), rng.random((k, n), np.float32)
        size = a.nbytes + b.nbytes + 4 * m * n
        work = Work((2 * k + 1) * m * n, size + 8 * m * n, size + 4 * m * n)
        if contender not in TWINS:  # peers have no NumPy in their midst
            return None, work
        tanh = TWINS[contender].tanh.forward
        return lambda: tanh(np.matmul(a, b)), work


CASES = [Mixed((128, 784, 128)), Mixed((256, 784, 512))]

test_mixed = suite(CASES, blas=True)

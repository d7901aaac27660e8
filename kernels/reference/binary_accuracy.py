"""Binary accuracy: the number of outputs on the side of a threshold that their targets name.

p > threshold is class 1, as in "Neural Networks from Scratch in Python" (Activation_Sigmoid.predictions), and so is
a target above 0.5. NaN is of neither class.
"""

import numpy as np

DIMENSIONS = ("N", "C")
SHAPES = ((0,), (1,), (7,), (8,), (9,), (15,), (16,), (17,), (40,), (4095,), (4096,), (4097,), (70_001,))


def inputs(rng, shape, dtype):
    p = rng.random(shape).astype(dtype)
    targets = rng.integers(0, 2, shape).astype(dtype)
    # a threshold that float32 has, so that no result is a matter of rounding
    return [("forward", (p, targets), {}),
            ("forward", (p, rng.standard_normal(shape).astype(dtype)), {"threshold": 0.25})]


def forward(p, targets, *, threshold=0.5, parallel=None):
    ones = (p > threshold) & (targets > 0.5)
    zeros = (p <= threshold) & (targets <= 0.5)
    return int(np.count_nonzero(ones | zeros))

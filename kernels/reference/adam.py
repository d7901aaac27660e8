"""Adam (Kingma, Ba 2015, algorithm 1): m = beta_1 m + (1 - beta_1) dw; v = beta_2 v + (1 - beta_2) dw^2;
w = (1 - learning_rate * weight_decay) w - learning_rate * (m / correction_1) / (sqrt(v / correction_2) + epsilon).

With a weight_decay it is AdamW (Loshchilov, Hutter 2019, algorithm 2, in PyTorch's form). At step t the corrections
are 1 - beta_1^t and 1 - beta_2^t; epsilon stands outside the root, 1e-7 as in "Neural Networks from Scratch in Python".
The kernel ends m and v before they are denormal.
"""

import numpy as np

DIMENSIONS = ("K", "C")
SHAPES = ((0,), (1,), (7,), (8,), (9,), (15,), (16,), (17,), (100,), (4095,), (4096,), (4097,), (10_001,))


def inputs(rng, shape, dtype):
    w, dw, m, v = (rng.standard_normal(shape).astype(dtype) for _ in range(4))
    options = {"learning_rate": 0.05, "correction_1": 1 - 0.9**3, "correction_2": 1 - 0.999**3}
    unused = [x.copy() for x in (w, dw, m, v * v)]
    for x, rest in zip(unused[1:], (0, 5, 499)):  # where the moments of unused weights come to rest, in denormal steps
        x[..., ::16] = rest * np.finfo(dtype).smallest_subnormal
    return [("step", (w, dw, m, v * v), options), ("step", tuple(unused), options),
            ("step", (w, dw, m, v * v), {**options, "weight_decay": 0.25})]


def step(w, dw, m, v, *, learning_rate, correction_1, correction_2, beta_1=0.9, beta_2=0.999, epsilon=1e-7,
         weight_decay=0.0, parallel=None):
    w *= 1 - learning_rate * weight_decay
    m *= beta_1
    m += (1 - beta_1) * dw
    v *= beta_2
    v += (1 - beta_2) * dw**2
    w -= learning_rate * (m / correction_1) / (np.sqrt(v / correction_2) + epsilon)

"""Adam's update of one layer's weights: 13 operations and 7 numbers moved for each weight."""

import math

from nnjit.bench.cases import Kernel, suite
from nnjit.bench.peers import BETA_1, BETA_2, EPSILON

SHAPES = [(64, 3), (64, 64), (784, 128), (784, 512), (2048, 2048)]

CASES = [Kernel("adam", "step", (k, c), 13 * k * c) for k, c in SHAPES]
CASES.append(Kernel("adam", "step", (784, 128), 13 * 784 * 128, "f64"))
CASES.append(Kernel("adam", "step", (784, 128), 13 * 784 * 128, entry=1, note="one neuron in 16 unused"))

test_adam = suite(CASES)


def in_torch(torch):
    def step(w, dw, m, v, *, learning_rate, correction_1, correction_2, weight_decay=0.0):
        w.grad = dw
        kind = torch.optim.AdamW if weight_decay else torch.optim.Adam
        optimizer = kind([w], learning_rate, (BETA_1, BETA_2), EPSILON, weight_decay, fused=True)
        done = round(math.log(1 - correction_1, BETA_1)) - 1  # steps before this one
        optimizer.state[w] = {"step": torch.tensor(float(done)), "exp_avg": m, "exp_avg_sq": v}
        return optimizer.step

    return {"step": step}


def in_jax(jax):
    def step(w, dw, m, v, *, learning_rate, correction_1, correction_2, weight_decay=0.0):
        if weight_decay:
            w = w * (1 - learning_rate * weight_decay)
        m = BETA_1 * m + (1 - BETA_1) * dw
        v = BETA_2 * v + (1 - BETA_2) * dw * dw
        return w - learning_rate * (m / correction_1) / (jax.numpy.sqrt(v / correction_2) + EPSILON), m, v

    return {"step": step}

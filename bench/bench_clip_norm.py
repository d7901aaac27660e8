"""The norm of one layer's gradient, and its scaling."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for k, c in [(64, 64), (784, 128), (784, 512), (2048, 2048)]:
    CASES += [
        Kernel("clip_norm", "forward", (k, c), 2 * k * c),
        Kernel("clip_norm", "step", (k, c), k * c),
        Kernel("clip_norm", "step", (k, c), 3 * k * c, entry=2, note="and norm"),
    ]

test_clip_norm = suite(CASES)

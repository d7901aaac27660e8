"""Binary cross-entropy: one output, as in binary classification, of a batch and of many; narrow and wide rows."""

from nnjit.bench.cases import Kernel, suite
from nnjit.bench.peers import CLIP

CASES = []
for n, c in [(300, 1), (1_000_000, 1), (128, 10), (512, 1000)]:
    CASES += [
        Kernel("binary_cross_entropy", "forward", (n, c), 7 * n * c),
        Kernel("binary_cross_entropy", "backward", (n, c), 5 * n * c),
    ]

test_binary_cross_entropy = suite(CASES)


def in_torch(torch):
    forward, mean = torch.nn.functional.binary_cross_entropy, 1
    backward = torch.ops.aten.binary_cross_entropy_backward.default
    return {
        "forward": lambda p, t: forward(p, t, reduction="none").mean(1),
        "backward": lambda p, t: backward(p.new_ones(()), p, t, None, mean),
    }


def in_jax(jax):
    def clipped(p):
        return jax.numpy.clip(p, CLIP, 1 - CLIP)

    log = jax.numpy.log
    return {
        "forward": lambda p, t: -(t * log(clipped(p)) + (1 - t) * log(clipped(1 - p))).mean(1),
        "backward": lambda p, t: (p - t) / (clipped(p) * clipped(1 - p) * p.size),
    }

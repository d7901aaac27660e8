"""ReLU: in cache, and with a fresh output, where the system's page faults count."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 64), (512, 1000), (4096, 1024)]:
    CASES += [
        Kernel("relu", "forward", (n, c), n * c),
        Kernel("relu", "forward", (n, c), n * c, out=True),
        Kernel("relu", "backward", (n, c), n * c),
    ]

test_relu = suite(CASES)


def in_torch(torch):
    return {
        "forward": torch.relu,
        "forward out=": lambda x, out: torch.clamp_min(x, 0, out=out),  # the fastest of those that take out
        "backward": lambda dy, y: torch.ops.aten.threshold_backward.default(dy, y, 0),
    }


def in_jax(jax):
    return {
        "forward": lambda x: jax.numpy.maximum(x, 0),
        "backward": lambda dy, y: jax.numpy.where(y > 0, dy, 0),
    }

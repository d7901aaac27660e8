"""ReLU6, at sizes of MobileNet for small images."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 64), (512, 1000)]:
    CASES += [
        Kernel("relu6", "forward", (n, c), 2 * n * c),
        Kernel("relu6", "backward", (n, c), 2 * n * c),
    ]

test_relu6 = suite(CASES)


def in_torch(torch):
    return {
        "forward": torch.nn.functional.relu6,
        "backward": lambda dy, y: torch.ops.aten.hardtanh_backward.default(dy, y, 0, 6),
    }


def in_jax(jax):
    return {
        "forward": lambda x: jax.numpy.clip(x, 0, 6),
        "backward": lambda dy, y: jax.numpy.where((y > 0) & (y < 6), dy, 0),
    }

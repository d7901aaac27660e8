"""Softmax: narrow rows as behind a classifier, wide rows, and more than a core's cache holds."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 3), (128, 10), (512, 1000), (4096, 1024)]:
    CASES += [Kernel("softmax", "forward", (n, c), 5 * n * c), Kernel("softmax", "backward", (n, c), 4 * n * c)]
CASES += [
    Kernel("softmax", "forward", (512, 1000), 5 * 512 * 1000, out=True),
    Kernel("softmax", "forward", (512, 1000), 5 * 512 * 1000, "f64"),
]

test_softmax = suite(CASES)


def in_torch(torch):
    return {
        "forward": lambda x: torch.softmax(x, 1),
        "forward out=": lambda x, out: torch.softmax(x, 1, out=out),
        "backward": lambda dy, y: torch._softmax_backward_data(dy, y, 1, y.dtype),
    }


def in_jax(jax):
    return {
        "forward": lambda x: jax.nn.softmax(x, 1),
        "backward": lambda dy, y: y * (dy - (dy * y).sum(1, keepdims=True)),
    }

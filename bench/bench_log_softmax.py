"""Logarithm of softmax: narrow rows as behind a classifier, wide rows, and more than a core's cache holds."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 3), (128, 10), (512, 1000), (4096, 1024)]:
    CASES += [Kernel("log_softmax", "forward", (n, c), 5 * n * c), Kernel("log_softmax", "backward", (n, c), 4 * n * c)]
CASES += [
    Kernel("log_softmax", "forward", (512, 1000), 5 * 512 * 1000, out=True),
    Kernel("log_softmax", "forward", (512, 1000), 5 * 512 * 1000, "f64"),
]

test_log_softmax = suite(CASES)


def in_torch(torch):
    return {
        "forward": lambda x: torch.log_softmax(x, 1),
        "forward out=": lambda x, out: torch.log_softmax(x, 1, out=out),
        "backward": lambda dy, y: torch._log_softmax_backward_data(dy, y, 1, y.dtype),
    }


def in_jax(jax):
    return {
        "forward": lambda x: jax.nn.log_softmax(x, 1),
        "backward": lambda dy, y: dy - jax.numpy.exp(y) * dy.sum(1, keepdims=True),
    }

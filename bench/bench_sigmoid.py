"""Sigmoid: in cache, and with a fresh output, where the system's page faults count."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 64), (512, 1000)]:
    CASES += [
        Kernel("sigmoid", "forward", (n, c), 3 * n * c),
        Kernel("sigmoid", "forward", (n, c), 3 * n * c, out=True),
        Kernel("sigmoid", "backward", (n, c), 3 * n * c),
    ]
CASES.append(Kernel("sigmoid", "forward", (512, 1000), 3 * 512 * 1000, "f64", out=True))

test_sigmoid = suite(CASES)


def in_torch(torch):
    return {
        "forward": torch.sigmoid,
        "forward out=": lambda x, out: torch.sigmoid(x, out=out),
        "backward": torch.ops.aten.sigmoid_backward.default,
    }


def in_jax(jax):
    return {"forward": jax.nn.sigmoid, "backward": lambda dy, y: dy * y * (1 - y)}

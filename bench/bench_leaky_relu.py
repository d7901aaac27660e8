"""Leaky ReLU: in cache, and with a fresh output, where the system's page faults count."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 64), (512, 1000), (4096, 1024)]:
    CASES += [
        Kernel("leaky_relu", "forward", (n, c), n * c),
        Kernel("leaky_relu", "forward", (n, c), n * c, out=True),
        Kernel("leaky_relu", "backward", (n, c), n * c),
    ]

test_leaky_relu = suite(CASES)


def in_torch(torch):
    aten = torch.ops.aten
    return {
        "forward": torch.nn.functional.leaky_relu,
        "forward out=": lambda x, out: aten.leaky_relu.out(x, 0.01, out=out),
        "backward": lambda dy, y: aten.leaky_relu_backward.default(dy, y, 0.01, True),
    }


def in_jax(jax):
    return {"forward": jax.nn.leaky_relu, "backward": lambda dy, y: jax.numpy.where(y > 0, dy, 0.01 * dy)}

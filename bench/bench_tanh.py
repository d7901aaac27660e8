"""Hyperbolic tangent: in cache, and with a fresh output, where the system's page faults count."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 64), (512, 1000)]:
    CASES += [
        Kernel("tanh", "forward", (n, c), n * c),
        Kernel("tanh", "forward", (n, c), n * c, out=True),
        Kernel("tanh", "backward", (n, c), 4 * n * c),
    ]
CASES.append(Kernel("tanh", "forward", (512, 1000), 512 * 1000, "f64", out=True))

test_tanh = suite(CASES)


def in_torch(torch):
    return {
        "forward": torch.tanh,
        "forward out=": lambda x, out: torch.tanh(x, out=out),
        "backward": torch.ops.aten.tanh_backward.default,
    }


def in_jax(jax):
    return {"forward": jax.numpy.tanh, "backward": lambda dy, y: dy * (1 - y) * (1 + y)}

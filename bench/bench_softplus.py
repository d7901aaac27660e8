"""Softplus: in cache, and with a fresh output, where the system's page faults count."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 64), (512, 1000)]:
    CASES += [
        Kernel("softplus", "forward", (n, c), 4 * n * c),
        Kernel("softplus", "forward", (n, c), 4 * n * c, out=True),
        Kernel("softplus", "backward", (n, c), 4 * n * c),
    ]
CASES.append(Kernel("softplus", "forward", (512, 1000), 4 * 512 * 1000, "f64", out=True))

test_softplus = suite(CASES)


def in_torch(torch):
    aten = torch.ops.aten
    return {
        "forward": torch.nn.functional.softplus,
        "forward out=": lambda x, out: aten.softplus.out(x, out=out),
        "backward": lambda dy, x: aten.softplus_backward(dy, x, 1, 20),  # x itself from 20 on
    }


def in_jax(jax):
    return {"forward": jax.nn.softplus, "backward": lambda dy, x: dy * jax.nn.sigmoid(x)}

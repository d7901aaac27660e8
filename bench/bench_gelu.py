"""Gaussian error linear unit: in cache, and with a fresh output, where the system's page faults count."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 64), (512, 1000)]:
    CASES += [
        Kernel("gelu", "forward", (n, c), 5 * n * c),
        Kernel("gelu", "forward", (n, c), 5 * n * c, out=True),
        Kernel("gelu", "backward", (n, c), 10 * n * c),
    ]
CASES.append(Kernel("gelu", "forward", (512, 1000), 5 * 512 * 1000, "f64", out=True))

test_gelu = suite(CASES)


def in_torch(torch):
    return {
        "forward": torch.nn.functional.gelu,
        "forward out=": lambda x, out: torch.ops.aten.gelu.out(x, out=out),
        "backward": torch.ops.aten.gelu_backward.default,
    }


def in_jax(jax):
    def forward(x):
        return jax.nn.gelu(x, approximate=False)

    return {"forward": forward, "backward": lambda dy, x: jax.vjp(forward, x)[1](dy)[0]}

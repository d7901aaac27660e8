"""SiLU: in cache, and with a fresh output, where the system's page faults count."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 64), (512, 1000)]:
    CASES += [
        Kernel("silu", "forward", (n, c), 4 * n * c),
        Kernel("silu", "forward", (n, c), 4 * n * c, out=True),
        Kernel("silu", "backward", (n, c), 8 * n * c),
    ]
CASES.append(Kernel("silu", "forward", (512, 1000), 4 * 512 * 1000, "f64", out=True))

test_silu = suite(CASES)


def in_torch(torch):
    return {
        "forward": torch.nn.functional.silu,
        "forward out=": lambda x, out: torch.ops.aten.silu.out(x, out=out),
        "backward": torch.ops.aten.silu_backward.default,
    }


def in_jax(jax):
    def backward(dy, x):
        s = jax.nn.sigmoid(x)
        return dy * (s * (1 + x * (1 - s)))

    return {"forward": jax.nn.silu, "backward": backward}

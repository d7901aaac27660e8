"""Exponential linear unit: in cache, and with a fresh output, where the system's page faults count."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 64), (512, 1000)]:
    CASES += [
        Kernel("elu", "forward", (n, c), 3 * n * c),
        Kernel("elu", "forward", (n, c), 3 * n * c, out=True),
        Kernel("elu", "backward", (n, c), 2 * n * c),
    ]
CASES.append(Kernel("elu", "forward", (512, 1000), 3 * 512 * 1000, "f64", out=True))

test_elu = suite(CASES)


def in_torch(torch):
    elu = torch.ops.aten.elu
    return {
        "forward": torch.nn.functional.elu,
        "forward out=": lambda x, out, alpha=1.0: elu.out(x, alpha, out=out),
        # True: from the output
        "backward": lambda dy, y, alpha=1.0: torch.ops.aten.elu_backward.default(dy, alpha, 1, 1, True, y),
    }


def in_jax(jax):
    return {
        "forward": jax.nn.elu,
        "backward": lambda dy, y, alpha=1.0: jax.numpy.where(y > 0, dy, dy * (y + alpha)),
    }

"""Hard swish: in cache, and with a fresh output, where the system's page faults count."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 64), (512, 1000), (4096, 1024)]:
    CASES += [
        Kernel("hardswish", "forward", (n, c), 3 * n * c),
        Kernel("hardswish", "forward", (n, c), 3 * n * c, out=True),
        Kernel("hardswish", "backward", (n, c), 3 * n * c),
    ]

test_hardswish = suite(CASES)


def in_torch(torch):
    return {
        "forward": torch.nn.functional.hardswish,
        "forward out=": lambda x, out: torch.ops.aten.hardswish.out(x, out=out),
        "backward": torch.ops.aten.hardswish_backward.default,
    }


def in_jax(jax):
    where = jax.numpy.where
    return {
        "forward": jax.nn.hard_swish,
        "backward": lambda dy, x: where(x <= -3, 0, where(x >= 3, dy, dy * (x / 3 + 0.5))),
    }

"""The identity, which is a copy: in cache, and with a fresh output, where the system's page faults count."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 64), (512, 1000), (4096, 1024)]:
    CASES += [
        Kernel("linear", "forward", (n, c), n * c),
        Kernel("linear", "forward", (n, c), n * c, out=True),
        Kernel("linear", "backward", (n, c), n * c),
    ]

test_linear = suite(CASES)


def in_torch(torch):
    return {
        "forward": torch.clone,
        "forward out=": lambda x, out: out.copy_(x),
        "backward": lambda dy, y: torch.clone(dy),
    }


def in_jax(jax):
    return {"forward": jax.numpy.copy, "backward": lambda dy, y: jax.numpy.copy(dy)}

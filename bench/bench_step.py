"""The perceptron's step: in cache, and with a fresh output, where the system's page faults count."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 64), (512, 1000), (4096, 1024)]:
    CASES += [
        Kernel("step", "forward", (n, c), n * c),
        Kernel("step", "forward", (n, c), n * c, out=True),
        Kernel("step", "backward", (n, c), n * c),
    ]

test_step = suite(CASES)


def in_torch(torch):
    return {
        "forward": lambda x: torch.gt(x, 0, out=torch.empty_like(x)),  # heaviside takes 20 times as long
        "forward out=": lambda x, out: torch.gt(x, 0, out=out),
        "backward": lambda dy, y: dy * 0,
    }


def in_jax(jax):
    return {"forward": lambda x: jax.numpy.heaviside(x, 0), "backward": lambda dy, y: dy * 0}

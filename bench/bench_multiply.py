"""The product of two arrays element by element, and its two gradients."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 64), (512, 1000), (4096, 1024)]:
    CASES += [
        Kernel("multiply", "forward", (n, c), n * c),
        Kernel("multiply", "forward", (n, c), n * c, out=True),
        Kernel("multiply", "backward", (n, c), 2 * n * c),
    ]

test_multiply = suite(CASES)


def in_torch(torch):
    return {
        "forward": torch.mul,
        "forward out=": lambda a, b, out: torch.mul(a, b, out=out),
        "backward": lambda dy, a, b: (dy * b, dy * a),
    }


def in_jax(jax):
    return {"forward": jax.numpy.multiply, "backward": lambda dy, a, b: (dy * b, dy * a)}

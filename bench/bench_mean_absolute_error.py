"""Mean absolute error: one output, as in regression, of a batch and beyond a core's cache; narrow and wide rows."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 1), (1_000_000, 1), (128, 10), (512, 1000)]:
    CASES += [
        Kernel("mean_absolute_error", "forward", (n, c), 3 * n * c),
        Kernel("mean_absolute_error", "backward", (n, c), 2 * n * c),
    ]

test_mean_absolute_error = suite(CASES)


def in_torch(torch):
    return {
        "forward": lambda y, t: torch.nn.functional.l1_loss(y, t, reduction="none").mean(1),
        "backward": lambda y, t: torch.sub(y, t).sgn_().div_(y.numel()),
    }


def in_jax(jax):
    return {
        "forward": lambda y, t: abs(t - y).mean(1),
        "backward": lambda y, t: jax.numpy.sign(y - t) / y.size,
    }

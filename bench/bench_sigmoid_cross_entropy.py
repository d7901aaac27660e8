"""Sigmoid and binary cross-entropy in one: a single output, of a batch and of many; narrow and wide rows."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 1), (1_000_000, 1), (128, 10), (512, 1000)]:
    CASES += [
        Kernel("sigmoid_cross_entropy", "forward", (n, c), 11 * n * c),
        Kernel("sigmoid_cross_entropy", "backward", (n, c), 2 * n * c),
    ]

test_sigmoid_cross_entropy = suite(CASES)


def in_torch(torch):
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    return {
        "forward": lambda x, t: (loss(x, t, reduction="none").mean(1), torch.sigmoid(x)),
        "backward": lambda y, t: torch.sub(y, t).div_(y.numel()),
    }


def in_jax(jax):
    return {
        "forward": lambda x, t: ((jax.nn.softplus(x) - t * x).mean(1), jax.nn.sigmoid(x)),
        "backward": lambda y, t: (y - t) / y.size,
    }

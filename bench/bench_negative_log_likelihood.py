"""Cross-entropy of log-probabilities: narrow rows with class numbers and one-hot rows, and wide rows."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 3), (128, 10), (512, 1000)]:
    CASES += [
        Kernel("negative_log_likelihood", "forward", (n, c), n, gathered=True),
        Kernel("negative_log_likelihood", "backward", (n, c), n, gathered=True),
    ]
CASES += [
    Kernel("negative_log_likelihood", "forward", (128, 10), 2 * 128 * 10, entry=1, note="one-hot"),
    Kernel("negative_log_likelihood", "backward", (128, 10), 128 * 10, entry=1, note="one-hot"),
]

test_negative_log_likelihood = suite(CASES)


def in_torch(torch):
    return {
        "forward": lambda x, labels: torch.nn.functional.nll_loss(x, labels, reduction="none"),
        "forward one-hot": lambda x, t: torch.mul(x, t).sum(1).neg_(),
        "backward": lambda x, labels: torch.zeros_like(x).scatter_(1, labels.unsqueeze(1), -1 / len(x)),
        "backward one-hot": lambda x, t: torch.div(t, -len(x)),
    }


def in_jax(jax):
    return {
        "forward": lambda x, labels: -jax.numpy.take_along_axis(x, labels[:, None], 1)[:, 0],
        "forward one-hot": lambda x, t: -(x * t).sum(1),
        "backward": lambda x, labels: jax.nn.one_hot(labels, x.shape[1], dtype=x.dtype) * (-1 / len(x)),
        "backward one-hot": lambda x, t: t / -len(x),
    }

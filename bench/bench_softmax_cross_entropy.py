"""Softmax and cross-entropy in one: narrow rows with class numbers and one-hot rows, and wide rows."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 3), (128, 10), (512, 1000)]:
    CASES += [
        Kernel("softmax_cross_entropy", "forward", (n, c), 5 * n * c),
        Kernel("softmax_cross_entropy", "backward", (n, c), n * c),
    ]
CASES += [
    Kernel("softmax_cross_entropy", "forward", (128, 10), 9 * 128 * 10, entry=1, note="one-hot"),
    Kernel("softmax_cross_entropy", "backward", (128, 10), 2 * 128 * 10, entry=1, note="one-hot"),
]

test_softmax_cross_entropy = suite(CASES)


def in_torch(torch):
    def forward(x, labels):
        logarithms = torch.log_softmax(x, 1)
        return torch.nn.functional.nll_loss(logarithms, labels, reduction="none"), logarithms.exp_()

    def forward_one_hot(x, t):
        logarithms = torch.log_softmax(x, 1)
        return torch.mul(logarithms, t).sum(1).neg_(), logarithms.exp_()

    def backward(y, labels):
        share = 1 / len(y)
        return torch.mul(y, share).scatter_add_(1, labels.unsqueeze(1), y.new_full((len(y), 1), -share))

    return {
        "forward": forward,
        "forward one-hot": forward_one_hot,
        "backward": backward,
        "backward one-hot": lambda y, t: torch.sub(y, t).div_(len(y)),
    }


def in_jax(jax):
    jnp = jax.numpy

    def forward(x, labels):
        logarithms = jax.nn.log_softmax(x, 1)
        return -jnp.take_along_axis(logarithms, labels[:, None], 1)[:, 0], jnp.exp(logarithms)

    def forward_one_hot(x, t):
        logarithms = jax.nn.log_softmax(x, 1)
        return -(t * logarithms).sum(1), jnp.exp(logarithms)

    return {
        "forward": forward,
        "forward one-hot": forward_one_hot,
        "backward": lambda y, labels: (y / len(y)).at[jnp.arange(len(y)), labels].add(-1 / len(y)),
        "backward one-hot": lambda y, t: (y - t) / len(y),
    }

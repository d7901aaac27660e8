"""Batch normalization: of images of a small network, and of rows; in training, and by the running statistics."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for shape in [(32, 16, 32, 32), (32, 64, 8, 8), (64, 64, 14, 14)]:
    numbers = shape[0] * shape[1] * shape[2] * shape[3]
    CASES += [Kernel("batch_norm", "forward", shape, 7 * numbers),
              Kernel("batch_norm", "backward", shape, 10 * numbers)]
CASES += [
    Kernel("batch_norm", "forward", (32, 16, 32, 32), 3 * 32 * 16 * 32 * 32, entry=1, note="inference"),
    # of these shapes the third entry has rows
    Kernel("batch_norm", "forward", (128, 256, 1, 1), 7 * 128 * 256, entry=2, note="rows"),
    Kernel("batch_norm", "backward", (128, 256, 1, 1), 10 * 128 * 256, entry=2, note="rows"),
]

test_batch_norm = suite(CASES)


def in_torch(torch):
    def forward(x, gamma, beta, mean, variance, training, momentum, eps):
        y, m, r = torch.ops.aten.native_batch_norm(x, gamma, beta, mean, variance, training, momentum, eps)
        return (y, m, r) if training else (y, mean, torch.rsqrt(variance + eps))

    def backward(dy, x, gamma, m, r, training):
        # without training it takes running statistics, and a variance
        variance = m if training else 1 / r ** 2
        return torch.ops.aten.native_batch_norm_backward(dy, x, gamma, m, variance, m, r, training, 0.0, [True] * 3)

    return {"forward": forward, "backward": backward}


def in_jax(jax):
    jnp = jax.numpy

    def beside(x, channel):
        return channel.reshape(-1, *[1] * (x.ndim - 2))

    def forward(x, gamma, beta, mean, variance, training, momentum, eps):
        over = (0, *range(2, x.ndim))
        m, v = (x.mean(over), x.var(over)) if training else (mean, variance)
        r = 1 / jnp.sqrt(v + eps)
        return (x - beside(x, m)) * beside(x, gamma * r) + beside(x, beta), m, r

    def backward(dy, x, gamma, m, r, training):
        over = (0, *range(2, x.ndim))
        u = (x - beside(x, m)) * beside(x, r)
        dgamma, dbeta = (dy * u).sum(over), dy.sum(over)
        count = x.size // x.shape[1]
        given = dy - beside(x, dbeta) / count - u * beside(x, dgamma) / count if training else dy
        return beside(x, gamma * r) * given, dgamma, dbeta

    return {"forward": forward, "backward": backward}

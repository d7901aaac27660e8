"""Huber loss: one output, as in regression, of a batch and beyond a core's cache; narrow and wide rows."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 1), (1_000_000, 1), (128, 10), (512, 1000)]:
    CASES += [Kernel("huber", "forward", (n, c), 7 * n * c), Kernel("huber", "backward", (n, c), 4 * n * c)]

test_huber = suite(CASES)


def in_torch(torch):
    forward, backward, mean = torch.nn.functional.huber_loss, torch.ops.aten.huber_loss_backward.default, 1
    return {
        "forward": lambda y, t: forward(y, t, reduction="none").mean(1),
        "backward": lambda y, t: backward(y.new_ones(()), y, t, mean, 1.0),
    }


def in_jax(jax):
    def forward(y, t):
        r = abs(t - y)
        return jax.numpy.where(r <= 1, 0.5 * r**2, r - 0.5).mean(1)

    return {"forward": forward, "backward": lambda y, t: jax.numpy.clip(y - t, -1, 1) / y.size}

"""Mean squared error: one output, as in regression, of a batch and beyond a core's cache; narrow and wide rows."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 1), (1_000_000, 1), (128, 10), (512, 1000)]:
    CASES += [
        Kernel("mean_squared_error", "forward", (n, c), 3 * n * c),
        Kernel("mean_squared_error", "backward", (n, c), 2 * n * c),
    ]

test_mean_squared_error = suite(CASES)


def in_torch(torch):
    forward, backward, mean = torch.nn.functional.mse_loss, torch.ops.aten.mse_loss_backward.default, 1
    return {
        "forward": lambda y, t: forward(y, t, reduction="none").mean(1),
        "backward": lambda y, t: backward(y.new_ones(()), y, t, mean),
    }


def in_jax(jax):
    return {"forward": lambda y, t: ((t - y)**2).mean(1), "backward": lambda y, t: (y - t) * (2 / y.size)}

"""The losses of a batch by the samples' weights, and the gradients."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 3), (128, 10), (512, 1000), (4096, 1024)]:
    CASES += [
        Kernel("scale_rows", "forward", (n, c), n, entry=1, note="losses"),
        Kernel("scale_rows", "backward", (n, c), n * c),
    ]

test_scale_rows = suite(CASES)


def _scaled(x, weights):
    return x * (weights if x.ndim == 1 else weights[:, None])


def in_torch(torch):
    return {"forward": _scaled, "backward": _scaled}


def in_jax(jax):
    return {"forward": _scaled, "backward": _scaled}

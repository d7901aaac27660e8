"""The norm of one layer's gradient, and its scaling."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for k, c in [(64, 64), (784, 128), (784, 512), (2048, 2048)]:
    CASES += [
        Kernel("clip_norm", "forward", (k, c), 2 * k * c),
        Kernel("clip_norm", "step", (k, c), k * c),
        Kernel("clip_norm", "step", (k, c), 3 * k * c, entry=2, note="and norm"),
    ]

test_clip_norm = suite(CASES)


def in_torch(torch):
    def step(x, *, max_norm, norm=None):
        parameter = torch.empty_like(x)
        parameter.grad = x
        if norm is None:
            return lambda: torch.nn.utils.clip_grad_norm_([parameter], max_norm)
        total = torch.tensor(norm, dtype=x.dtype)
        return lambda: torch.nn.utils.clip_grads_with_norm_([parameter], max_norm, total)

    return {"forward": lambda x: torch.linalg.vector_norm(x).item(), "step": step}


def in_jax(jax):
    def norm_of(x):
        return jax.numpy.sqrt((x * x).sum())

    def step(x, *, max_norm, norm=None):
        norm = norm_of(x) if norm is None else norm
        return (x * jax.numpy.minimum(max_norm / (norm + 1e-6), 1),)

    return {"forward": norm_of, "step": step}

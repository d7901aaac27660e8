"""The penalty of one layer's weights, and its gradient added to theirs."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for k, c in [(64, 64), (784, 128), (784, 512), (2048, 2048)]:
    CASES += [
        Kernel("penalty", "forward", (k, c), 3 * k * c),
        Kernel("penalty", "backward", (k, c), 3 * k * c),
    ]

test_penalty = suite(CASES)


def in_torch(torch):
    def forward(w, l1=0.0, l2=0.0):
        parts = ([l1 * torch.linalg.vector_norm(w, 1)] if l1 else []) + ([l2 * (w * w).sum()] if l2 else [])
        return sum(parts).item()

    def backward(dw, w, l1=0.0, l2=0.0):
        dx = torch.add(dw, w, alpha=2 * l2) if l2 else dw
        return torch.add(dx, torch.where(w < 0, -1.0, 1.0), alpha=l1) if l1 else dx

    return {"forward": forward, "backward": backward}


def in_jax(jax):
    return {
        "forward": lambda w, l1=0.0, l2=0.0: l1 * jax.numpy.abs(w).sum() + l2 * (w * w).sum(),
        "backward": lambda dw, w, l1=0.0, l2=0.0: dw + jax.numpy.where(w < 0, -l1, l1) + 2 * l2 * w,
    }

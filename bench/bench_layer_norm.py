"""Layer normalization: rows of a transformer, and of a small one."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(128, 64), (2048, 128), (512, 768)]:
    CASES += [Kernel("layer_norm", "forward", (n, c), 7 * n * c), Kernel("layer_norm", "backward", (n, c), 14 * n * c)]

test_layer_norm = suite(CASES)


def in_torch(torch):
    def forward(x, gamma, beta, eps):
        y, m, r = torch.ops.aten.native_layer_norm(x, gamma.shape, gamma, beta, eps)
        return y, m[..., 0], r[..., 0]

    def backward(dy, x, gamma, m, r):
        return torch.ops.aten.native_layer_norm_backward(dy, x, gamma.shape, m[..., None], r[..., None], gamma, gamma,
                                                         [True] * 3)

    return {"forward": forward, "backward": backward}


def in_jax(jax):
    jnp = jax.numpy

    def forward(x, gamma, beta, eps):
        m, r = x.mean(-1), 1 / jnp.sqrt(x.var(-1) + eps)
        return (x - m[..., None]) * r[..., None] * gamma + beta, m, r

    def backward(dy, x, gamma, m, r):
        u, g = (x - m[..., None]) * r[..., None], dy * gamma
        given = g - g.mean(-1, keepdims=True) - u * (g * u).mean(-1, keepdims=True)
        return r[..., None] * given, (dy * u).sum(0), dy.sum(0)

    return {"forward": forward, "backward": backward}

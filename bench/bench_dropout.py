"""Dropout: forward makes its random numbers and two arrays, backward is a product."""

from nnjit.bench.cases import Kernel, suite
from nnjit.bench.peers import DROPPED

CASES = []
for n, c in [(300, 64), (512, 1000)]:
    CASES += [
        Kernel("dropout", "forward", (n, c), n * c),
        Kernel("dropout", "backward", (n, c), n * c),
    ]
CASES += [Kernel("dropout", "forward", (512, 1000), 512 * 1000, "f64")]

test_dropout = suite(CASES)


def in_torch(torch):
    def forward(x, **options):
        # what torch.nn.functional.dropout does without a gradient, but it does not return the mask
        mask = torch.empty_like(x).bernoulli_(1 - DROPPED).div_(1 - DROPPED)
        return x * mask, mask

    return {"forward": forward, "backward": torch.mul}


def in_jax(jax):
    def forward(x, **options):
        # with a key known when it is compiled, the numbers could be drawn then
        key = jax.random.key(jax.lax.bitcast_convert_type(x[0, 0].astype("float32"), "uint32"))
        mask = jax.numpy.where(jax.random.bernoulli(key, 1 - DROPPED, x.shape), 1 / (1 - DROPPED), 0).astype(x.dtype)
        return x * mask, mask

    return {"forward": forward, "backward": jax.numpy.multiply}

"""Average pooling: the shapes of max pooling."""

from nnjit.bench.bench_max_pool2d import windows
from nnjit.bench.cases import Kernel, suite

CASES = []
for shape, entry, note in [((64, 6, 28, 28), 0, "2x2"), ((64, 16, 10, 10), 0, "2x2"),
                           ((64, 16, 32, 32), 1, "3x3 stride 2")]:
    flops = 2 * shape[0] * shape[1] * shape[2] * shape[3]
    CASES += [Kernel("avg_pool2d", verb, shape, flops, entry=entry, note=note) for verb in ("forward", "backward")]

test_avg_pool2d = suite(CASES)


def in_torch(torch):
    def forward(x, size, stride=None, padding=0, count_include_pad=True):
        return torch.nn.functional.avg_pool2d(x, size, stride, padding, count_include_pad=count_include_pad)

    def backward(dy, x, size, stride=None, padding=0, count_include_pad=True):
        return torch.ops.aten.avg_pool2d_backward(dy, x, size, stride or size, padding, False, count_include_pad, None)

    return {"forward": forward, "backward": backward}


def in_jax(jax):
    def forward(x, size, stride=None, padding=0, count_include_pad=True):
        given = windows(size, stride, padding)
        if count_include_pad:
            count = given[0][2] * given[0][3]
        else:
            count = jax.lax.reduce_window(jax.numpy.ones_like(x), 0.0, jax.lax.add, *given)
        return jax.lax.reduce_window(x, 0.0, jax.lax.add, *given) / count

    def backward(dy, x, **options):
        return jax.vjp(lambda x: forward(x, **options), x)[1](dy)[0]

    return {"forward": forward, "backward": backward}

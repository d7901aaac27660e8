"""Max pooling: windows of LeNet-5, which lie side by side, and those of a ResNet's stem, which overlap."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for shape, entry, note in [((64, 6, 28, 28), 0, "2x2"), ((64, 16, 10, 10), 0, "2x2"),
                           ((64, 16, 32, 32), 1, "3x3 stride 2")]:
    flops = 3 * shape[0] * shape[1] * shape[2] * shape[3]
    CASES += [Kernel("max_pool2d", verb, shape, flops, entry=entry, note=note) for verb in ("forward", "backward")]

test_max_pool2d = suite(CASES)


def in_torch(torch):
    pool = torch.ops.aten.max_pool2d_with_indices
    known: dict = {}  # of x: the indices that PyTorch's forward gives for its backward

    def backward(dy, x, y, size, stride=None, padding=0):
        # forward keeps them in a training: they are found once
        key = x.data_ptr(), size, stride, padding
        if key not in known:
            known.clear()
            known[key] = pool(x, size, stride or size, padding)[1]
        back = torch.ops.aten.max_pool2d_with_indices_backward
        return back(dy, x, size, stride or size, padding, 1, False, known[key])

    return {"forward": lambda x, size, stride=None, padding=0: pool(x, size, stride or size, padding)[0],
            "backward": backward}


def in_jax(jax):
    def forward(x, size, stride=None, padding=0):
        return jax.lax.reduce_window(x, -jax.numpy.inf, jax.lax.max, *windows(size, stride, padding))

    def backward(dy, x, y, **options):
        return jax.vjp(lambda x: forward(x, **options), x)[1](dy)[0]

    return {"forward": forward, "backward": backward}


def windows(size, stride, padding):
    """As `reduce_window` takes them."""
    size, stride, padding = (number if isinstance(number, tuple) else (number, number)
                             for number in (size, size if stride is None else stride, padding))
    return (1, 1, *size), (1, 1, *stride), ((0, 0), (0, 0), *((n, n) for n in padding))

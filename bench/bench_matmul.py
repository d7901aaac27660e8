"""Matrix products of small and large networks: outputs of 3 and 10 classes, one sample, and squares.

The three products of each of ten dense layers, and MORE, are the list by which products are compared with other
libraries.
"""

from nnjit.bench.cases import Kernel, Product, suite

SHAPES = [(64, 64, 64), (300, 64, 3), (1, 784, 128), (128, 128, 10), (128, 128, 128), (128, 784, 128), (256, 784, 512),
          (512, 512, 512), (1024, 1024, 1024)]
# batch, inputs, outputs: the networks of bench_training_step.py, one sample, and tall and wide layers
LAYERS = [(300, 2, 64), (300, 64, 3), (32, 64, 64), (128, 784, 128), (128, 128, 10), (256, 784, 512),
          (512, 1024, 1024), (1, 784, 128), (64, 4096, 256), (16, 256, 4096)]
MORE = {  # squares, large layers, odd sizes, few k
    "x w": [(32, 64, 10), (64, 64, 64), (128, 128, 128), (32, 784, 128), (784, 128, 128), (512, 512, 512),
            (512, 784, 1024), (1024, 1024, 1024), (2048, 2048, 2048), (100, 333, 77), (1000, 17, 1000),
            (256, 16, 4096)],
    "dy w^T": [(256, 1024, 1024)],
    "x^T dy": [(256, 512, 784), (256, 1024, 1024)],
}
BACKWARD = [(64, 64, 64), (300, 64, 3), (128, 784, 128), (256, 784, 512)]

CASES: list[Kernel | Product] = []
for m, k, n in SHAPES:
    CASES.append(Kernel("matmul", "forward", (m, k, n), 2 * m * k * n))
    if (m, k, n) in BACKWARD:
        CASES.append(Kernel("matmul", "backward", (m, k, n), 4 * m * k * n))
CASES += [
    Kernel("matmul", "forward", (128, 784, 128), 2 * 128 * 784 * 128, entry=1, note="transposed"),
    Kernel("matmul", "forward", (256, 784, 512), 2 * 256 * 784 * 512, "f64"),
    Kernel("matmul", "backward", (256, 784, 512), 4 * 256 * 784 * 512, "f64"),
]
CASES += [Product(what, layer) for layer in LAYERS for what in ("x w", "dy w^T", "x^T dy")]
CASES += [Product(what, shape) for what, shapes in MORE.items() for shape in shapes]

test_matmul = suite(CASES)


def in_torch(torch):
    return {"forward": torch.mm, "backward": lambda dc, a, b: (torch.mm(dc, b.t()), torch.mm(a.t(), dc))}


def in_jax(jax):
    return {"forward": jax.numpy.matmul, "backward": lambda dc, a, b: (dc @ b.T, a.T @ dc)}

"""Dense layers of the networks of bench_training_step.py."""

from nnjit.bench import bench_relu, bench_sigmoid, bench_tanh
from nnjit.bench.cases import Kernel, suite

ACTIVATIONS = {"relu": bench_relu, "sigmoid": bench_sigmoid, "tanh": bench_tanh}
ENTRIES = {"": 0, "relu": 1, "sigmoid": 2, "tanh": 3}


def both(n: int, k: int, c: int, activation: str = "") -> list[Kernel]:
    entry = ENTRIES[activation]
    return [Kernel("dense", "forward", (n, k, c), 2 * n * k * c, entry=entry, note=activation),
            Kernel("dense", "backward", (n, k, c), 4 * n * k * c, entry=entry, note=activation)]


CASES = [
    *both(300, 2, 64, "relu"),
    *both(300, 64, 3),
    *both(32, 64, 64, "relu"),
    *both(128, 784, 128, "relu"),
    *both(128, 784, 128, "sigmoid"),
    *both(128, 784, 128, "tanh"),
    *both(128, 128, 10),
    *both(256, 784, 512, "relu"),
]

test_dense = suite(CASES)


def _backward(product, slope):
    def backward(dy, x, w, y):
        dz = slope(dy, y)
        return product(dz, w.T), product(x.T, dz), dz.sum(0)

    return backward


def in_torch(torch):
    found = {"forward": lambda x, w, b: torch.addmm(b, x, w), "backward": _backward(torch.mm, lambda dy, y: dy)}
    for name, of in ACTIVATIONS.items():
        found[f"forward {name}"] = lambda x, w, b, name=name: getattr(torch.addmm(b, x, w), f"{name}_")()
        found[f"backward {name}"] = _backward(torch.mm, of.in_torch(torch)["backward"])
    return found


def in_jax(jax):
    found = {"forward": lambda x, w, b: x @ w + b, "backward": _backward(jax.numpy.matmul, lambda dy, y: dy)}
    for name, of in ACTIVATIONS.items():
        found[f"forward {name}"] = lambda x, w, b, f=of.in_jax(jax)["forward"]: f(x @ w + b)
        found[f"backward {name}"] = _backward(jax.numpy.matmul, of.in_jax(jax)["backward"])
    return found

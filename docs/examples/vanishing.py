"""Vanishing gradients: the norms of the gradients of 20 layers, and what keeps them alive."""

import sys

import numpy as np

from nnjit import nn

DEPTH, WIDTH = 20, 32
rng = np.random.default_rng(0)
X, y = rng.standard_normal((256, WIDTH)).astype(np.float32), rng.integers(0, 3, 256)


def network(block):
    layers = [layer for number in range(DEPTH) for layer in block(number)]
    model = nn.Model([*layers, nn.Dense(WIDTH, 3, rng=DEPTH), nn.Softmax()])
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam())
    model.finalize()
    return model


def dense(number, **options):
    return nn.Dense(WIDTH, WIDTH, rng=number, **options)


NETWORKS = {
    "sigmoid": lambda number: [dense(number, activation="sigmoid")],
    "ReLU": lambda number: [dense(number, activation="relu", initializer="he_normal")],
    "sigmoid, batch norm": lambda number: [dense(number), nn.BatchNorm(WIDTH), nn.Sigmoid()],
    "sigmoid, residual": lambda number: [nn.Residual(dense(number, activation="sigmoid"))]}

curves = {}
for name, block in NETWORKS.items():
    norms = [norm for layer, norm in nn.inspect.gradient_norms(network(block), X, y).items()]
    curves[name] = norms = [norm for norm in norms if norm > 0][:-1]
    print(f"{name:20} gradient of the first layer {norms[0]:.0e}, of the last {norms[-1]:.0e}")

if len(sys.argv) > 1:
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
    for name, norms in curves.items():
        axes.semilogy(np.linspace(1, DEPTH, len(norms)), norms, label=name)
    axes.set(xlabel="layer", title="norm of the gradient of the weights")
    axes.legend()
    figure.savefig(sys.argv[1], dpi=80)

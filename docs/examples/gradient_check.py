"""A layer of one's own, first with a mistake in its backward, and what nn.check_gradients says. With a path, a picture."""

import sys

import numpy as np

from nnjit import nn


class Square:
    """y = x^2."""

    def forward(self, x, training=True):
        self.inputs = x
        return x * x

    def backward(self, dy):
        return dy * self.inputs  # the 2 is missing


class Mended(Square):
    def backward(self, dy):
        return dy * 2 * self.inputs


X, y = nn.datasets.spiral(samples=10, classes=3, seed=0)
models = []
for own in (Square(), Mended()):
    model = nn.Model()
    for layer in (nn.Dense(2, 8, rng=0, weight_regularizer_l2=1e-3), own, nn.Dense(8, 3, rng=1), nn.Softmax()):
        model.add(layer)
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.05))
    model.finalize()
    if nn.check_gradients(model, X, y):  # prints the table; true if all is right
        print("ready to train")
    print()
    models.append(model)

if len(sys.argv) > 1:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
    for model, label in zip(models, ("without the 2: it learns, but worse", "right")):
        model.train(X, y, epochs=150)
        axes.plot(np.arange(1, 151), model.history["loss"], label=label)
    axes.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(sys.argv[1], dpi=80)

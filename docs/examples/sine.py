"""Regression: a sine by 1-64-64-1, as in chapter 17. With a path as argument, an image of the fit."""

import sys

from nnjit import nn

X, y = nn.datasets.sine(samples=1000)

model = nn.Model()
model.add(nn.Dense(1, 64, activation="relu", rng=0))
model.add(nn.Dense(64, 64, activation="relu", rng=1))
model.add(nn.Dense(64, 1, rng=2))
# right is what lies within 0.003 of the sine: a 250th of the targets' standard deviation
model.set(loss=nn.MeanSquaredError(), optimizer=nn.Adam(0.005, decay=1e-3), accuracy=nn.RegressionAccuracy())
model.finalize()

shown = {}  # what the network says after some of the epochs


def keep(epoch):
    if epoch in (10, 100, 2000):
        shown[epoch] = model.predict(X)
        print(f"epoch {epoch:4}: loss {model.history['loss'][-1]:.5f}, "
              f"accuracy {model.history['accuracy'][-1]:.3f}")


model.train(X, y, epochs=2000, callback=keep)

if len(sys.argv) > 1:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    axes.plot(X, y, color="black", linewidth=5, alpha=0.2, label="sin(2 pi x)")
    for (epoch, outputs), color in zip(shown.items(), ("tab:orange", "tab:green", "tab:blue")):
        axes.plot(X, outputs, color=color, linewidth=1.3, label=f"after {epoch} epochs")
    axes.set(xlabel="x")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(sys.argv[1], dpi=80)

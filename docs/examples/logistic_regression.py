"""Logistic regression: one Dense neuron and a sigmoid, on two overlapping clouds. With a path, an image."""

import sys

import numpy as np

from nnjit import nn

# two classes with means (-1, -1) and (1, 1); then the features get different scales, and the first an offset of 500
rng = np.random.default_rng(0)
y = np.repeat([0, 1], 200)
X = rng.standard_normal((400, 2)) * [1, 1.5] + np.where(y, 1, -1)[:, None]
X = X * [100, 0.1] + [500, 0]
X, X_test, y, y_test = nn.preparation.train_test_split(X, y, test=0.25, seed=0)
scaler = nn.preparation.StandardScaler().fit(X)

model = nn.Model()
model.add(nn.Dense(2, 1, initializer="zeros"))
model.add(nn.Sigmoid())
model.set(loss=nn.BinaryCrossentropy(), optimizer=nn.Adam(0.1), accuracy=nn.BinaryAccuracy())
model.finalize()
model.train(scaler.transform(X), y, epochs=300)

print("training: loss %.3f, accuracy %.3f" % model.evaluate(scaler.transform(X), y))
print("test:     loss %.3f, accuracy %.3f" % model.evaluate(scaler.transform(X_test), y_test))
(w1, w2), (b,) = model.layers[0].weights[:, 0], model.layers[0].biases[0]
print(f"p = sigmoid({w1:.3f} x1 + {w2:.3f} x2 {b:+.3f}), with x1 and x2 scaled")

if len(sys.argv) > 1:
    import matplotlib.pyplot as plt

    across, up = np.meshgrid(np.linspace(50, 950, 200), np.linspace(-0.6, 0.6, 200))
    p = model.predict(scaler.transform(np.stack([across, up], axis=-1).reshape(-1, 2))).reshape(200, 200)
    figure, axes = plt.subplots(figsize=(5.5, 4), layout="constrained")
    shown = axes.contourf(across, up, p, np.linspace(0, 1, 11), cmap="RdBu", alpha=0.6)
    axes.contour(across, up, p, [0.5], colors="black", linewidths=1.5)
    axes.scatter(*X_test.T, c=y_test, cmap="RdBu", vmin=0, vmax=1, s=18, edgecolors="black", linewidths=0.4)
    axes.set(xlabel="x1", ylabel="x2", title="probability of class 1, and the test's points",
             xlim=(50, 950), ylim=(-0.6, 0.6))
    figure.colorbar(shown)
    figure.savefig(sys.argv[1], dpi=80)

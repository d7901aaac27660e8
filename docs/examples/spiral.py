"""Three spirals, 2-64-3: chapter 10's network with Adam. With a path as argument, an image of its decisions."""

import sys

import numpy as np

from nnjit import nn

X, y = nn.datasets.spiral(samples=100, classes=3, seed=0)
X_test, y_test = nn.datasets.spiral(samples=100, classes=3, seed=1)

model = nn.Model()
model.add(nn.Dense(2, 64, activation="relu", rng=0, weight_regularizer_l2=5e-4, bias_regularizer_l2=5e-4))
model.add(nn.Dense(64, 3, rng=1))
model.add(nn.Softmax())
model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.05, decay=5e-7), accuracy=nn.Accuracy())
model.finalize()
model.train(X, y, epochs=2000)

print("training: loss %.3f, accuracy %.3f" % model.evaluate(X, y))
print("test:     loss %.3f, accuracy %.3f" % model.evaluate(X_test, y_test))

if len(sys.argv) > 1:
    import matplotlib.pyplot as plt

    # the class that the network gives each point of a grid
    line = np.linspace(-1.1, 1.1, 300)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    decided = model.predict(grid).argmax(axis=1).reshape(300, 300)

    colors = plt.get_cmap("tab10").resampled(10)
    figure, panels = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
    for axes, title, points, labels in zip(panels, ("training", "test"), (X, X_test), (y, y_test)):
        axes.imshow(decided, origin="lower", extent=(-1.1, 1.1, -1.1, 1.1), cmap=colors, vmin=0, vmax=9, alpha=0.3,
                    interpolation="nearest")
        axes.scatter(*points.T, c=labels, s=9, cmap=colors, vmin=0, vmax=9, linewidths=0)
        axes.set(title=f"{title}: {model.evaluate(points, labels)[1]:.1%} right", xticks=[], yticks=[])
    figure.savefig(sys.argv[1], dpi=72)

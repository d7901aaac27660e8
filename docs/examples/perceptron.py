"""Rosenblatt's perceptron (1958): one neuron with a step, and a rule that needs no gradient. With a path, an image."""

import sys

import numpy as np

from nnjit import nn

# points of a square, none closer than 0.05 to the line 2 x1 - x2 = 0.3 that separates the classes
rng = np.random.default_rng(0)
X = rng.uniform(-1, 1, (120, 2))
distance = (X @ [2, -1] - 0.3) / np.sqrt(5)
X, y = X[abs(distance) > 0.05], distance[abs(distance) > 0.05] > 0

neuron, step = nn.Dense(2, 1, initializer="zeros", dtype=np.float64), nn.Step()
lines = []
for epoch in range(1, 101):
    mistakes = 0
    for x, target in zip(X, y):
        error = target - step.forward(neuron.forward([x]))[0, 0]  # 0 if right, else 1 or -1
        neuron.weights[:, 0] += error * x
        neuron.biases[0] += error
        mistakes += error != 0
    (w1, w2), (b,) = neuron.weights[:, 0], neuron.biases[0]
    lines.append((w1, w2, b))
    print(f"epoch {epoch}: {mistakes:2} mistakes, then step({w1:.3f} x1 {w2:+.3f} x2 {b:+.0f})")
    if not mistakes:
        break

right = (step.forward(neuron.forward(X))[:, 0] == y).sum()
print(f"{right} of {len(X)} points are on the right side")

if len(sys.argv) > 1:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4.5, 4.3), layout="constrained")
    axes.scatter(*X.T, c=np.where(y, "tab:blue", "tab:orange"), s=18)
    across = np.array([-1.0, 1.0])
    for number, (w1, w2, b) in enumerate(lines, 1):
        last = number == len(lines)
        axes.plot(across, -(w1 * across + b) / w2, color="black", alpha=1 if last else 0.2 + 0.3 * number / len(lines),
                  linewidth=2 if last else 1)
    axes.set(xlabel="x1", ylabel="x2", xlim=(-1.05, 1.05), ylim=(-1.05, 1.05),
             title=f"its line after each of {len(lines)} epochs")
    figure.savefig(sys.argv[1], dpi=80)

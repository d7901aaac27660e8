"""A layer of your own, first with a mistake, checked by nn.check_gradients. With a path, an image."""

import sys

from nnjit import nn


class Square:
    """y = x^2."""

    def forward(self, x, training=True):
        self.inputs = x
        return x * x

    def backward(self, dy):
        return dy * self.inputs  # the 2 is missing


class Fixed(Square):
    def backward(self, dy):
        return dy * 2 * self.inputs


X, y = nn.datasets.spiral(samples=10, classes=3, seed=0)
checks = []
for own in (Square(), Fixed()):
    model = nn.Model()
    for layer in (nn.Dense(2, 8, rng=0, weight_regularizer_l2=1e-3), own, nn.Dense(8, 3, rng=1), nn.Softmax()):
        model.add(layer)
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.05))
    model.finalize()
    check = nn.check_gradients(model, X, y)  # prints the table; true if all is right
    if check:
        print("ready to train")
    checks.append(check)

if len(sys.argv) > 1:
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(8, 2.8), sharey=True, layout="constrained")
    for axes, check, title in zip(panels, checks, ("without the 2", "fixed")):
        labels = [f"{row.layer}: {row.name}" for row in checks[0].rows]
        axes.barh(labels, [row.error for row in check.rows], left=1e-13,
                  color=["tab:green" if row.passed else "tab:red" for row in check.rows])
        axes.axvline(check.tolerance, color="black", linestyle=":")
        axes.set(xscale="log", xlim=(1e-13, 10), xlabel="error (dotted: tolerance)", title=title)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].invert_yaxis()
    figure.savefig(sys.argv[1], dpi=80)

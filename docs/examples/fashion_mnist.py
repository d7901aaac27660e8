"""Fashion-MNIST, 784-128-128-10: chapter 19's network. With a path, an image; --epochs N for fewer epochs."""

import argparse

import numpy as np

from nnjit import nn

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("image", nargs="?", help="where to write the image")
parser.add_argument("--epochs", type=int, default=10)
options = parser.parse_args()

(X, y), (X_test, y_test) = nn.datasets.fashion_mnist()  # from Debian's folder, or a download of 30 MB
rng = np.random.default_rng(0)

model = nn.Model()
model.add(nn.Dense(784, 128, activation="relu", rng=rng))
model.add(nn.Dense(128, 128, activation="relu", rng=rng))
model.add(nn.Dense(128, 10, rng=rng))
model.add(nn.Softmax())
model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(decay=1e-3), accuracy=nn.Accuracy())
model.finalize()
model.train(X, y, epochs=options.epochs, batch_size=128)

print("training: loss %.3f, accuracy %.3f" % model.evaluate(X, y, batch_size=1000))
print("test:     loss %.3f, accuracy %.3f" % model.evaluate(X_test, y_test, batch_size=1000))

p = model.predict(X_test)
found = p.argmax(axis=1)
print("first five of the test:", ", ".join(nn.datasets.CLASSES[k] for k in found[:5]))

if options.image:
    import matplotlib.pyplot as plt

    # of the mistakes, those that the network is most sure of
    wrong = np.flatnonzero(found != y_test)
    wrong = wrong[np.argsort(-p[wrong, found[wrong]], kind="stable")]
    figure, panels = plt.subplots(2, 6, figsize=(9, 3.9), layout="constrained")
    figure.suptitle("first of the test, and the surest mistakes")
    for axes, at in zip(panels.flat, [*range(6), *wrong[:6]]):
        axes.imshow(X_test[at].reshape(28, 28), cmap="gray_r")
        truth = "" if found[at] == y_test[at] else f"\nis {nn.datasets.CLASSES[y_test[at]]}"
        axes.set_title(f"{nn.datasets.CLASSES[found[at]]} {p[at, found[at]]:.0%}{truth}", fontsize=9,
                       color="tab:red" if truth else "black")
        axes.axis("off")
    figure.savefig(options.image, dpi=80)

"""An autoencoder: images through a layer of 16 numbers, and back. With a path, images before and after."""

import argparse

import numpy as np

from nnjit import nn

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("image", nargs="?", help="where to write the image")
parser.add_argument("--epochs", type=int, default=4)
parser.add_argument("--images", type=int, default=3000)
options = parser.parse_args()

(X, _), (X_test, _) = nn.datasets.fashion_mnist(images=True)
X, X_test = X[:options.images], X_test[:500]

model = nn.Model()
model.add(nn.Conv2d(1, 8, 3, stride=2, padding=1, activation="relu", rng=0))      # (8, 14, 14)
model.add(nn.Conv2d(8, 16, 3, stride=2, padding=1, activation="relu", rng=1))     # (16, 7, 7)
model.add(nn.Flatten())
model.add(nn.Dense(784, 16, rng=2))                                               # the code
model.add(nn.Dense(16, 784, activation="relu", rng=3))
model.add(nn.Reshape((16, 7, 7)))
model.add(nn.Upsample(2))
model.add(nn.Conv2d(16, 8, 3, padding="same", activation="relu", rng=4))
model.add(nn.ConvTranspose2d(8, 1, 4, stride=2, padding=1, activation="tanh", rng=5))
model.add(nn.Flatten())
model.set(loss=nn.MeanSquaredError(), optimizer=nn.Adam(0.003))
model.finalize(input_shape=(1, 28, 28))

before, _ = model.evaluate(X_test, X_test.reshape(len(X_test), -1))
model.train(X, X.reshape(len(X), -1), epochs=options.epochs, batch_size=64)
after, _ = model.evaluate(X_test, X_test.reshape(len(X_test), -1))
print("squared error per pixel: %.3f before, %.3f after training" % (before, after))

if options.image:
    shown = model.predict(X_test[:12]).reshape(-1, 1, 28, 28)
    nn.inspect.save_grid(options.image, np.concatenate([X_test[:12], shown]), columns=12)

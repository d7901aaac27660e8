"""LeNet-5 on 6000 images of Fashion-MNIST, and the feature maps of its first layer. --images N, --epochs N for more."""

import argparse

from nnjit import nn

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("image", nargs="?", help="where to write the image")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--images", type=int, default=6000)
options = parser.parse_args()

(X, y), (X_test, y_test) = nn.datasets.fashion_mnist(images=True)  # (N, 1, 28, 28)
X, y = X[:options.images], y[:options.images]

model = nn.Model()
model.add(nn.Conv2d(1, 6, 5, padding=2, activation="relu", rng=0))
model.add(nn.MaxPool2d(2))
model.add(nn.Conv2d(6, 16, 5, activation="relu", rng=1))
model.add(nn.MaxPool2d(2))
model.add(nn.Flatten())
model.add(nn.Dense(400, 120, activation="relu", rng=2))
model.add(nn.Dense(120, 84, activation="relu", rng=3))
model.add(nn.Dense(84, 10, rng=4))
model.add(nn.Softmax())
model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.002), accuracy=nn.Accuracy())
model.finalize(input_shape=(1, 28, 28))
model.summary()
model.train(X, y, epochs=options.epochs, batch_size=32)

print("test: loss %.3f, accuracy %.3f" % model.evaluate(X_test, y_test, batch_size=500))

if options.image:
    maps = nn.inspect.feature_maps(model, X_test[:4])  # (4, 6, 28, 28)
    nn.inspect.save_grid(options.image, maps.reshape(-1, 28, 28), columns=6)

"""ResNet-8 on CIFAR-10. Without --data, on 300 generated images in that format: bars and rings of random colours."""

import argparse
import pickle
import tempfile
from pathlib import Path

import numpy as np

from nnjit import nn

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("image", nargs="?", help="where to write the image")
parser.add_argument("--data", help="the folder with CIFAR-10's archive or files")
parser.add_argument("--epochs", type=int, default=4)
options = parser.parse_args()


def write_shapes(folder, count, seed):
    """Files as those of CIFAR-10, of upright bars (0), level bars (1) and rings (2)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:32, :32]
    for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        labels = rng.integers(0, 3, count)
        x = rng.integers(0, 80, (count, 3, 32, 32))
        for k, label in enumerate(labels):
            row, column = rng.integers(10, 22, 2)
            away = (abs(columns - column), abs(rows - row), abs(np.hypot(rows - row, columns - column) - 7))[label]
            x[k] += np.where(away < 2, rng.integers(60, 176, (3, 1, 1)), 0)
        content = {b"data": x.astype(np.uint8).reshape(count, 3072), b"labels": labels.tolist()}
        (Path(folder) / name).write_bytes(pickle.dumps(content, protocol=2))


with tempfile.TemporaryDirectory() as folder:
    if options.data is None:
        write_shapes(folder, 60, seed=0)
    (X, y), (X_test, y_test) = nn.datasets.cifar10(options.data or folder)  # X (N, 3, 32, 32), -1..1

model = nn.models.resnet8(classes=10, rng=0)
model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.003), accuracy=nn.Accuracy())
model.finalize()
augment = nn.data.Augment(nn.data.RandomCrop(32, padding=2), seed=1)
model.train(X, y, epochs=options.epochs, batch_size=32, augment=augment)
print("test: loss %.3f, accuracy %.3f" % model.evaluate(X_test, y_test, batch_size=100))
if options.image:
    nn.inspect.save_grid(options.image, (X_test[:8] + 1) / 2, columns=8)

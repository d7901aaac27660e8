"""Chapter 19: a real data set, images in folders named by their class."""

import os

import nnfs
import numpy as np
from PIL import Image

from nnjit.nn.nnfs import *

nnfs.init()


def load_images(folder):
    images, labels = [], []
    for label in sorted(os.listdir(folder)):
        for name in sorted(os.listdir(os.path.join(folder, label))):
            images.append(np.asarray(Image.open(os.path.join(folder, label, name))))
            labels.append(label)
    return np.array(images), np.array(labels).astype("uint8")


X, y = load_images("fashion_mnist_images/train")
X_test, y_test = load_images("fashion_mnist_images/test")
keys = np.arange(len(X))
np.random.shuffle(keys)
X, y = X[keys], y[keys]
X = (X.reshape(len(X), -1).astype(np.float32) - 127.5) / 127.5
X_test = (X_test.reshape(len(X_test), -1).astype(np.float32) - 127.5) / 127.5

model = Model()
model.add(Layer_Dense(X.shape[1], 32))
model.add(Activation_ReLU())
model.add(Layer_Dense(32, 32))
model.add(Activation_ReLU())
model.add(Layer_Dense(32, 10))
model.add(Activation_Softmax())
model.set(loss=Loss_CategoricalCrossentropy(), optimizer=Optimizer_Adam(decay=1e-3), accuracy=Accuracy_Categorical())
model.finalize()
model.train(X, y, validation_data=(X_test, y_test), epochs=5, batch_size=16, print_every=10)

np.savez("images.npz", X=X, y=y, X_test=X_test, y_test=y_test)  # for the next chapters

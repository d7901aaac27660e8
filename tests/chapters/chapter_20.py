"""Chapter 20: evaluation, and parameters taken from one model and given to another."""

import nnfs
import numpy as np

from nnjit.nn.nnfs import *

nnfs.init()

images = np.load("images.npz")
X, y, X_test, y_test = (images[name] for name in ("X", "y", "X_test", "y_test"))


def network():
    model = Model()
    model.add(Layer_Dense(X.shape[1], 32))
    model.add(Activation_ReLU())
    model.add(Layer_Dense(32, 10))
    model.add(Activation_Softmax())
    return model


model = network()
model.set(loss=Loss_CategoricalCrossentropy(), optimizer=Optimizer_Adam(decay=1e-3), accuracy=Accuracy_Categorical())
model.finalize()
model.train(X, y, epochs=2, batch_size=16, print_every=100)
model.evaluate(X_test, y_test, batch_size=32)
model.evaluate(X, y)

parameters = model.get_parameters()
other = network()
other.set(loss=Loss_CategoricalCrossentropy(), accuracy=Accuracy_Categorical())
other.finalize()
other.evaluate(X_test, y_test, batch_size=32)
other.set_parameters(parameters)
other.evaluate(X_test, y_test, batch_size=32)

model.save_parameters("fashion_mnist.parms")

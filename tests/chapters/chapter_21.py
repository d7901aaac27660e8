"""Chapter 21: parameters, and whole models, in files."""

import nnfs
import numpy as np

from nnjit.nn.nnfs import *

nnfs.init()

images = np.load("images.npz")
X, y, X_test, y_test = (images[name] for name in ("X", "y", "X_test", "y_test"))

model = Model()
model.add(Layer_Dense(X.shape[1], 32))
model.add(Activation_ReLU())
model.add(Layer_Dense(32, 10))
model.add(Activation_Softmax())
model.set(loss=Loss_CategoricalCrossentropy(), optimizer=Optimizer_Adam(decay=1e-3), accuracy=Accuracy_Categorical())
model.finalize()
model.load_parameters("fashion_mnist.parms")
model.evaluate(X_test, y_test)

model.train(X, y, epochs=1, batch_size=16, print_every=100)
model.evaluate(X_test, y_test)
model.save("fashion_mnist.model")
loaded = Model.load("fashion_mnist.model")
loaded.evaluate(X_test, y_test)

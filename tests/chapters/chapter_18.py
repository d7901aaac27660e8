"""Chapter 18: the Model object, for regression, for two classes, and for three with dropout and batches."""

import nnfs
import numpy as np
from nnfs.datasets import sine_data, spiral_data

from nnjit.nn.nnfs import *

nnfs.init()

X, y = sine_data()
regression = Model()
regression.add(Layer_Dense(1, 64, weight_scale=0.1))
regression.add(Activation_ReLU())
regression.add(Layer_Dense(64, 64, weight_scale=0.1))
regression.add(Activation_ReLU())
regression.add(Layer_Dense(64, 1, weight_scale=0.1))
regression.add(Activation_Linear())
regression.set(loss=Loss_MeanSquaredError(), optimizer=Optimizer_Adam(learning_rate=0.005, decay=1e-3),
               accuracy=Accuracy_Regression())
regression.finalize()
regression.train(X, y, epochs=20, print_every=5)

X, y = spiral_data(samples=100, classes=2)
X_test, y_test = spiral_data(samples=100, classes=2)
y, y_test = y.reshape(-1, 1), y_test.reshape(-1, 1)
binary = Model()
binary.add(Layer_Dense(2, 64, weight_regularizer_l2=5e-4, bias_regularizer_l2=5e-4))
binary.add(Activation_ReLU())
binary.add(Layer_Dense(64, 1))
binary.add(Activation_Sigmoid())
binary.set(loss=Loss_BinaryCrossentropy(), optimizer=Optimizer_Adam(decay=5e-7),
           accuracy=Accuracy_Categorical(binary=True))
binary.finalize()
binary.train(X, y, validation_data=(X_test, y_test), epochs=20, print_every=5)

X, y = spiral_data(samples=100, classes=3)
X_test, y_test = spiral_data(samples=100, classes=3)
keys = np.array(range(len(X)))
np.random.shuffle(keys)
X, y = X[keys], y[keys]
categorical = Model()
categorical.add(Layer_Dense(2, 64, weight_regularizer_l2=5e-4, bias_regularizer_l2=5e-4))
categorical.add(Activation_ReLU())
categorical.add(Layer_Dropout(0.1))
categorical.add(Layer_Dense(64, 3))
categorical.add(Activation_Softmax())
categorical.set(loss=Loss_CategoricalCrossentropy(), optimizer=Optimizer_Adam(learning_rate=0.05, decay=5e-5),
                accuracy=Accuracy_Categorical())
categorical.finalize()
categorical.train(X, y, validation_data=(X_test, y_test), epochs=20, batch_size=128, print_every=2)

# what a reader looks at afterwards
output = categorical.forward(X_test, training=False)
predictions = categorical.output_layer_activation.predictions(output)
data_loss, regularization_loss = categorical.loss.calculate(output, y_test, include_regularization=True)
categorical.backward(output, y_test)

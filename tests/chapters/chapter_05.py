"""Chapter 5: how wrong a network is. Loss and accuracy, with class numbers and with one-hot labels."""

import nnfs
import numpy as np
from nnfs.datasets import spiral_data

from nnjit.nn.nnfs import *

nnfs.init()

X, y = spiral_data(samples=100, classes=3)
dense1 = Layer_Dense(2, 3)
activation1 = Activation_ReLU()
dense2 = Layer_Dense(3, 3)
activation2 = Activation_Softmax()
loss_function = Loss_CategoricalCrossentropy()

dense1.forward(X)
activation1.forward(dense1.output)
dense2.forward(activation1.output)
activation2.forward(dense2.output)
loss = loss_function.calculate(activation2.output, y)
print("loss:", loss)

predictions = np.argmax(activation2.output, axis=1)
accuracy = np.mean(predictions == y)
print("acc:", accuracy)

one_hot = np.eye(3)[y]
print("one-hot:", loss_function.calculate(activation2.output, one_hot) == loss)
certain = loss_function.forward(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 0]))
print("no and full confidence:", certain)

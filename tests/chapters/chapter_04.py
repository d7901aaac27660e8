"""Chapter 4: activation functions. ReLU in the hidden layer, softmax at the end."""

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

dense1.forward(X)
activation1.forward(dense1.output)
dense2.forward(activation1.output)
activation2.forward(dense2.output)
print(activation2.output[:5])

softmax = Activation_Softmax()
softmax.forward(np.array([[4.8, 1.21, 2.385]]))
print(softmax.output)
softmax.forward([[1000, 999, -1000]])
print(softmax.output)

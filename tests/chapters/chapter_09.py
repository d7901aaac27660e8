"""Chapter 9: backpropagation. Softmax and loss in one class, then each with a backward of its own."""

import nnfs
import numpy as np
from nnfs.datasets import spiral_data

from nnjit.nn.nnfs import *

nnfs.init()

X, y = spiral_data(samples=100, classes=3)
dense1 = Layer_Dense(2, 3)
activation1 = Activation_ReLU()
dense2 = Layer_Dense(3, 3)
loss_activation = Activation_Softmax_Loss_CategoricalCrossentropy()

dense1.forward(X)
activation1.forward(dense1.output)
dense2.forward(activation1.output)
loss = loss_activation.forward(dense2.output, y)
accuracy = np.mean(np.argmax(loss_activation.output, axis=1) == y)
print(loss_activation.output[:5])
print("loss:", loss)
print("acc:", accuracy)

loss_activation.backward(loss_activation.output, y)
dense2.backward(loss_activation.dinputs)
activation1.backward(dense2.dinputs)
dense1.backward(activation1.dinputs)
for gradient in dense1.dweights, dense1.dbiases, dense2.dweights, dense2.dbiases:
    print(gradient)

combined = loss_activation.dinputs
activation = Activation_Softmax()
activation.forward(dense2.output)
loss_function = Loss_CategoricalCrossentropy()
loss_function.backward(activation.output, y)
activation.backward(loss_function.dinputs)
separate = activation.dinputs
print("combined and separate agree:", np.allclose(combined, separate, rtol=0, atol=1e-8))

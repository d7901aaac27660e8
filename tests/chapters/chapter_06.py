"""Chapter 6: a search at random. Weights change a little, and what is better stays."""

import nnfs
import numpy as np
from nnfs.datasets import vertical_data

from nnjit.nn.nnfs import *

nnfs.init()

X, y = vertical_data(samples=100, classes=3)
dense1 = Layer_Dense(2, 3)
activation1 = Activation_ReLU()
dense2 = Layer_Dense(3, 3)
activation2 = Activation_Softmax()
loss_function = Loss_CategoricalCrossentropy()

lowest_loss = 9999999
best = {}
for iteration in range(2000):
    for dense in dense1, dense2:
        dense.weights += 0.05 * np.random.randn(*dense.weights.shape)
        dense.biases += 0.05 * np.random.randn(*dense.biases.shape)
    dense1.forward(X)
    activation1.forward(dense1.output)
    dense2.forward(activation1.output)
    activation2.forward(dense2.output)
    loss = loss_function.calculate(activation2.output, y)
    if loss < lowest_loss:
        accuracy = np.mean(activation2.predictions(activation2.output) == y)
        print(f"iteration: {iteration}, loss: {loss:.6f}, acc: {accuracy:.3f}")
        best = {dense: (dense.weights.copy(), dense.biases.copy()) for dense in (dense1, dense2)}
        lowest_loss = loss
    else:
        for dense, (weights, biases) in best.items():
            dense.weights, dense.biases = weights.copy(), biases.copy()

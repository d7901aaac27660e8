"""Chapter 10: four optimizers, each from the same weights, in a loop written by hand."""

import nnfs
import numpy as np
from nnfs.datasets import spiral_data

from nnjit.nn.nnfs import *

nnfs.init()

X, y = spiral_data(samples=100, classes=3)
trained = {}
for optimizer in (Optimizer_SGD(), Optimizer_SGD(decay=1e-2, momentum=0.9), Optimizer_Adagrad(decay=1e-4),
                  Optimizer_RMSprop(learning_rate=0.02, decay=1e-5, rho=0.999),
                  Optimizer_Adam(learning_rate=0.02, decay=1e-5)):
    np.random.seed(1)
    dense1 = Layer_Dense(2, 64)
    activation1 = Activation_ReLU()
    dense2 = Layer_Dense(64, 3)
    loss_activation = Activation_Softmax_Loss_CategoricalCrossentropy()
    for epoch in range(21):
        dense1.forward(X)
        activation1.forward(dense1.output)
        dense2.forward(activation1.output)
        loss = loss_activation.forward(dense2.output, y)
        predictions = np.argmax(loss_activation.output, axis=1)
        accuracy = np.mean(predictions == y)
        if not epoch % 5:
            print(f"epoch: {epoch}, acc: {accuracy:.3f}, loss: {loss:.6f}, lr: {optimizer.current_learning_rate}")

        loss_activation.backward(loss_activation.output, y)
        dense2.backward(loss_activation.dinputs)
        activation1.backward(dense2.dinputs)
        dense1.backward(activation1.dinputs)
        optimizer.pre_update_params()
        optimizer.update_params(dense1)
        optimizer.update_params(dense2)
        optimizer.post_update_params()
    trained[optimizer] = dense1, dense2

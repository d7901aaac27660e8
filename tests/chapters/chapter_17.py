"""Chapter 17: regression, once with squares and once with absolute values."""

import nnfs
import numpy as np
from nnfs.datasets import sine_data

from nnjit.nn.nnfs import *

nnfs.init()

X, y = sine_data()
accuracy_precision = np.std(y) / 250
trained = {}
for loss_function in Loss_MeanSquaredError(), Loss_MeanAbsoluteError():
    np.random.seed(2)
    dense1, activation1 = Layer_Dense(1, 32, weight_scale=0.1), Activation_ReLU()
    dense2, activation2 = Layer_Dense(32, 32, weight_scale=0.1), Activation_ReLU()
    dense3, activation3 = Layer_Dense(32, 1, weight_scale=0.1), Activation_Linear()
    network = [dense1, activation1, dense2, activation2, dense3, activation3]
    optimizer = Optimizer_Adam(learning_rate=0.005, decay=1e-3)
    for epoch in range(21):
        output = X
        for layer in network:
            layer.forward(output)
            output = layer.output
        data_loss = loss_function.calculate(activation3.output, y)
        regularization_loss = sum(loss_function.regularization_loss(dense) for dense in (dense1, dense2, dense3))
        loss = data_loss + regularization_loss
        accuracy = np.mean(np.absolute(activation3.output - y) < accuracy_precision)
        if not epoch % 5:
            print(f"epoch: {epoch}, acc: {accuracy:.3f}, loss: {loss:.6f} (data_loss: {data_loss:.6f}, "
                  f"reg_loss: {regularization_loss:.6f}), lr: {optimizer.current_learning_rate}")

        loss_function.backward(activation3.output, y)
        gradient = loss_function.dinputs
        for layer in reversed(network):
            layer.backward(gradient)
            gradient = layer.dinputs
        optimizer.pre_update_params()
        for dense in dense1, dense2, dense3:
            optimizer.update_params(dense)
        optimizer.post_update_params()
    trained[loss_function] = dense1, dense2, dense3

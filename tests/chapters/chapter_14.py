"""Chapter 14: L1 and L2 regularization, the penalties asked for by layer, then those of all layers at once."""

import nnfs
import numpy as np
from nnfs.datasets import spiral_data

from nnjit.nn.nnfs import *

nnfs.init()

X, y = spiral_data(samples=100, classes=3)
dense1 = Layer_Dense(2, 64, weight_regularizer_l1=1e-4, weight_regularizer_l2=5e-4, bias_regularizer_l2=5e-4)
activation1 = Activation_ReLU()
dense2 = Layer_Dense(64, 3, 0, 0, 1e-3, 0)
loss_activation = Activation_Softmax_Loss_CategoricalCrossentropy()
optimizer = Optimizer_Adam(learning_rate=0.02, decay=5e-7)

for epoch in range(21):
    dense1.forward(X)
    activation1.forward(dense1.output)
    dense2.forward(activation1.output)
    data_loss = loss_activation.forward(dense2.output, y)
    regularization_loss = (loss_activation.loss.regularization_loss(dense1)
                           + loss_activation.loss.regularization_loss(dense2))
    loss = data_loss + regularization_loss
    predictions = np.argmax(loss_activation.output, axis=1)
    accuracy = np.mean(predictions == y)
    if not epoch % 5:
        print(f"epoch: {epoch}, acc: {accuracy:.3f}, loss: {loss:.6f} (data_loss: {data_loss:.6f}, "
              f"reg_loss: {regularization_loss:.6f}), lr: {optimizer.current_learning_rate}")

    loss_activation.backward(loss_activation.output, y)
    dense2.backward(loss_activation.dinputs)
    activation1.backward(dense2.dinputs)
    dense1.backward(activation1.dinputs)
    optimizer.pre_update_params()
    optimizer.update_params(dense1)
    optimizer.update_params(dense2)
    optimizer.post_update_params()

# the style of chapter 18
loss_function = Loss_CategoricalCrossentropy()
loss_function.remember_trainable_layers([dense1, dense2])
at_once = loss_function.regularization_loss()
data_loss, the_same = loss_function.calculate(loss_activation.output, y, include_regularization=True)
by_layer = [loss_function.regularization_loss(dense) for dense in (dense1, dense2)]

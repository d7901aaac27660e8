"""What readers write after the last chapter: classes of their own, which set attributes and return nothing."""

import nnfs
import numpy as np
from nnfs.datasets import sine_data, spiral_data

from nnjit.nn.nnfs import *

nnfs.init()


class Layer_Own:
    def __init__(self, n_inputs, n_neurons, weight_regularizer_l2=0):
        self.weights = 0.5 * np.random.randn(n_inputs, n_neurons)
        self.biases = np.zeros((1, n_neurons))
        self.weight_regularizer_l2 = weight_regularizer_l2

    def forward(self, inputs, training):
        self.inputs = inputs
        self.output = np.dot(inputs, self.weights) + self.biases

    def backward(self, dvalues):
        self.dweights = np.dot(self.inputs.T, dvalues) + 2 * self.weight_regularizer_l2 * self.weights
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        self.dinputs = np.dot(dvalues, self.weights.T)


class Activation_Tanh:
    def forward(self, inputs, training):
        self.output = np.tanh(inputs)

    def backward(self, dvalues):
        self.dinputs = dvalues * (1 - self.output**2)

    def predictions(self, outputs):
        return outputs


class Loss_Huber(Loss):
    def forward(self, y_pred, y_true):
        off = np.abs(y_true - y_pred)
        return np.mean(np.where(off <= 1, off**2 / 2, off - 0.5), axis=-1)

    def backward(self, dvalues, y_true):
        self.dinputs = np.clip(dvalues - y_true, -1, 1) / dvalues.size


class Loss_Focal(Loss):
    def forward(self, y_pred, y_true):
        right = np.clip(y_pred[range(len(y_pred)), y_true], 1e-7, 1 - 1e-7)
        return -(1 - right)**2 * np.log(right)

    def backward(self, dvalues, y_true):
        rows = range(len(dvalues))
        right = np.clip(dvalues[rows, y_true], 1e-7, 1 - 1e-7)
        self.dinputs = np.zeros_like(dvalues)
        self.dinputs[rows, y_true] = (2 * (1 - right) * np.log(right) - (1 - right)**2 / right) / len(dvalues)


class Accuracy_Near(Accuracy):
    def init(self, y):
        self.near = np.std(y) / 10

    def compare(self, predictions, y):
        return np.absolute(predictions - y) < self.near


class Accuracy_Close(Accuracy):
    def compare(self, predictions, y):
        return np.where(predictions == y, 1, np.where(np.abs(predictions - y) == 1, 0.5, 0))


class Optimizer_Own:
    def __init__(self, learning_rate):
        self.learning_rate = self.current_learning_rate = learning_rate
        self.iterations = 0

    def pre_update_params(self):
        self.current_learning_rate = self.learning_rate * 0.99**self.iterations

    def update_params(self, layer):
        if not hasattr(layer, "weight_momentums"):
            layer.weight_momentums = np.zeros_like(layer.weights)
            layer.bias_momentums = np.zeros_like(layer.biases)
        layer.weight_momentums = 0.5 * layer.weight_momentums - self.current_learning_rate * layer.dweights
        layer.bias_momentums = 0.5 * layer.bias_momentums - self.current_learning_rate * layer.dbiases
        layer.weights += layer.weight_momentums
        layer.biases += layer.bias_momentums

    def post_update_params(self):
        self.iterations += 1


X, y = sine_data()
regression = Model()
regression.add(Layer_Own(1, 16, weight_regularizer_l2=1e-3))
regression.add(Activation_Tanh())
regression.add(Layer_Own(16, 1))
regression.set(loss=Loss_Huber(), optimizer=Optimizer_Adam(learning_rate=0.02), accuracy=Accuracy_Near())
regression.finalize()
regression.train(X, y, epochs=40, batch_size=300, validation_data=(X, y), print_every=100)

X, y = spiral_data(samples=50, classes=3)
mixed = Model()
mixed.add(Layer_Dense(2, 16))
mixed.add(Activation_Tanh())
mixed.add(Layer_Own(16, 3))
mixed.add(Activation_Softmax())
mixed.set(loss=Loss_Focal(), optimizer=Optimizer_Own(1.0), accuracy=Accuracy_Close())
mixed.finalize()
mixed.train(X, y, epochs=30, print_every=10)
mixed.evaluate(X, y)

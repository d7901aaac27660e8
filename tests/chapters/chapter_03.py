"""Chapter 3: layers. A batch passes two of them, then the spiral data one."""

import nnfs
import numpy as np
from nnfs.datasets import spiral_data

from nnjit.nn.nnfs import *

nnfs.init()

batch = [[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]]
hidden, outer = Layer_Dense(3, 4), Layer_Dense(4, 2)
hidden.weights = np.arange(12).reshape(3, 4) / 10
hidden.biases = [[1, 2, 3, 4]]
outer.weights = np.eye(4)[:, :2]
hidden.forward(batch)
outer.forward(hidden.output)
print(outer.output)

X, y = spiral_data(samples=100, classes=3)
dense1 = Layer_Dense(2, 3)
dense1.forward(X)
print(dense1.output[:5])

"""Chapter 22: prediction. A model from a file says what is on a picture of another kind."""

import numpy as np
from PIL import Image

from nnjit.nn.nnfs import *

NAMES = dict(enumerate(["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
                        "Ankle boot"]))

# dark on white, and larger than those of the training
picture = Image.open("photograph.png").convert("L").resize((28, 28))
pixels = 255 - np.asarray(picture)
X = (pixels.reshape(1, -1).astype(np.float32) - 127.5) / 127.5

model = Model.load("fashion_mnist.model")
confidences = model.predict(X)
[prediction] = model.output_layer_activation.predictions(confidences)
print(NAMES[prediction])

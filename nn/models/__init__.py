"""Well-known image networks as functions that return a Model, in the published size by default.

    model = nn.models.lenet5(rng=0)
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(), accuracy=nn.Accuracy())
    model.finalize()
    model.train(X, y, epochs=5, batch_size=128)          # X (N, 1, 28, 28)

classes: the number of outputs, after a Softmax.
channels, size: the shape of an image is (channels, size, size). ValueError for a size that is too small.
width: a factor for the numbers of channels, below 1 for smaller networks.
rng: a seed or a NumPy Generator for the initial weights; None for other weights in each run.
dtype: float32 or float64.
"""

from .branches import densenet121, googlenet, squeezenet1_1
from .gan import dcgan_discriminator, dcgan_generator
from .mobile import efficientnet_b0, mobilenet_v2
from .plain import alexnet, lenet5, vgg11, vgg16
from .residual import resnet8, resnet18, resnet20, resnet34, resnet50

__all__ = ["alexnet", "dcgan_discriminator", "dcgan_generator", "densenet121", "efficientnet_b0", "googlenet",
           "lenet5", "mobilenet_v2", "resnet8", "resnet18", "resnet20", "resnet34", "resnet50", "squeezenet1_1",
           "vgg11", "vgg16"]

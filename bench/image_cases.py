"""Networks of images as cases, and what a peer needs to know of one: its parts."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import numpy as np

from .. import nn
from ..kernels.reference.conv2d import _paddings
from ..nn.inspect.summary import _placed
from . import peers
from .cases import LEARNING_RATE, Work

LATENT, FILTERS = 64, 64  # of the DCGAN: random numbers of an image, channels of its largest images
SHAPES = {"lenet5": (1, 28, 28), "resnet8": (3, 32, 32), "dcgan": (1, 28, 28)}
STEPS = {"lenet5": 10}  # of a training that is timed, where a step is short


@dataclass(frozen=True)
class Part:
    """A layer, or the activation behind it, for a peer to make its own of.

    kind : the operation, "reshape" or "residual"
    arrays : parameters, then running statistics; None where there are no biases
    options : of the operation; of a residual the parts of its ways, body and shortcut
    """

    kind: str
    arrays: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


def parts(layers: Iterable[Any]) -> list[Part]:
    """The layers of a model, one after the other."""
    return [part for layer in layers for part in _parts(layer)]


def _parts(layer: Any) -> list[Part]:
    if isinstance(layer, nn.Sequential):
        return parts(layer.layers)
    if isinstance(layer, nn.Residual):
        ways = {"body": parts([layer.body]), "shortcut": parts([layer.shortcut] if layer.shortcut else [])}
        return [Part("residual", options=ways), *parts([layer.activation] if layer.activation else [])]
    if isinstance(layer, nn.Flatten):
        return [Part("reshape", options={"shape": (-1,)})]
    if isinstance(layer, nn.Reshape):
        return [Part("reshape", options={"shape": layer.shape})]
    if isinstance(layer, nn.BatchNorm):
        arrays = layer.gamma, layer.beta, layer.running_mean, layer.running_variance
        return [Part("batch_norm", arrays, {"momentum": layer.momentum, "eps": layer.eps})]
    if isinstance(layer, nn.Dense):
        found = Part("dense", (layer.weights, layer.biases.ravel()))
    elif isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        options = {name: value for name, value in layer._options.items() if name not in ("activation", "padding_mode")}
        around = _paddings(layer.padding, layer.kernel_size, layer.dilation)
        found = Part(layer._operation, (layer.weights, layer.biases), {**options, "padding": around})
    else:
        return [Part(layer.operation, options=layer._options)]
    return [found, *([Part(layer.activation)] if layer.activation else [])]


@dataclass(frozen=True)
class ImageNetwork:
    """A network of `nn.models` on `batch` random images, float32.

    what : "step": forward, loss, backward and Adam; "predict": the outputs alone
    name : of the model; "dcgan": a step of the discriminator on real images, one on the generator's, and one of the
        generator through the discriminator, as in docs/examples/dcgan.py; without NumPy, whose twin takes seconds
    """

    what: str
    name: str
    batch: int
    options: tuple[tuple[str, Any], ...] = ()  # of the model
    dtype: str = "f32"

    @property
    def group(self) -> str:
        return f"{self.what} {self.name} batch {self.batch}"

    def prepare(self, contender: str) -> tuple[Callable[[], Any] | None, Work]:
        models, data = self.models(), self.data()
        steps = 1 if contender == "numpy" else STEPS.get(self.name, 1)  # NumPy's take 0.15 s and more
        if contender in peers.NAMES:
            networks = [parts(model.layers) for model in models]
            return peers.images(contender, self.what, networks, data, steps, LEARNING_RATE), self._work(models, steps)
        call: Callable[[], Any] | None = None
        if self.name == "dcgan":
            if contender == "nnjit":
                call = gan_step(*models, *data)
        elif self.what == "predict":
            call = lambda: models[0].predict(*data)  # noqa: E731
        else:
            call = lambda: models[0].train(*data, epochs=steps)  # noqa: E731
        return call, self._work(models, steps)

    def models(self, learning_rate: float = LEARNING_RATE) -> list[nn.Model]:
        """The model, or generator and discriminator, ready for training."""
        if self.name == "dcgan":
            options = {"channels": 1, "size": 28, "filters": FILTERS, **dict(self.options)}
            models = [nn.models.dcgan_generator(LATENT, rng=1, **options),
                      nn.models.dcgan_discriminator(rng=2, **options)]
        else:
            models = [getattr(nn.models, self.name)(rng=0, **dict(self.options))]
        for model in models:
            model.set(optimizer=nn.Adam(learning_rate))
        models[-1].set(loss=nn.BinaryCrossentropy() if self.name == "dcgan" else nn.CategoricalCrossentropy())
        for model in models:
            model.finalize()
        return models

    def data(self) -> tuple[Any, ...]:
        """Images; for a step also their labels, of the DCGAN random numbers of two batches."""
        rng = np.random.default_rng(0)
        x = rng.standard_normal((self.batch, *SHAPES[self.name])).astype(np.float32)
        if self.what == "predict":
            return x,
        if self.name == "dcgan":
            return x, rng.standard_normal((2, self.batch, LATENT)).astype(np.float32)
        return x, rng.integers(0, 10, self.batch)

    def _work(self, models: list[nn.Model], steps: int) -> Work:
        counts = [_Count.of(model, self.batch) for model in models]
        parameters, outputs = sum(each.parameters for each in counts), sum(each.outputs for each in counts)
        if self.what == "predict":
            return Work(counts[0].forward, 4 * (parameters + 2 * outputs), 4 * (parameters + outputs))
        flops = [each.step for each in counts]
        if self.name == "dcgan":
            # the discriminator makes two, and one without the gradients of its own parameters
            flops += [flops[1], 2 * counts[1].forward]
            outputs += 2 * counts[1].outputs
        moved = 4 * (10 * parameters + 6 * outputs)  # as in cases.Network
        return Work(sum(flops), moved, 4 * (4 * parameters + 2 * outputs), steps)


def gan_step(generator: nn.Model, discriminator: nn.Model, x: Any, z: Any) -> Callable[[], list[float]]:
    """A step of both; returns the losses of the discriminator."""
    real, made, random = np.ones((len(x), 1), np.float32), np.zeros((len(x), 1), np.float32), cycle(z)

    def call() -> list[float]:
        images = generator.forward(next(random))
        losses = [discriminator.train_step(x, real)[0], discriminator.train_step(images, made)[0]]
        discriminator.trainable = False
        gradient: Any = discriminator.backward(discriminator.forward(images), real)
        discriminator.trainable = True
        generator.step_from(gradient)
        return losses

    return call


@dataclass(frozen=True)
class _Count:
    """Of a model on a batch: operations of its products, forward and in a step with Adam; parameters and outputs."""

    forward: float
    step: float
    parameters: int
    outputs: int

    @classmethod
    def of(cls, model: nn.Model, batch: int) -> "_Count":
        products, outputs = [], 0
        for _, layer, shape in _placed("", model, model._input_shape):
            if isinstance(layer, (nn.Sequential, nn.Residual)):
                continue
            after = layer.output_shape(shape) if hasattr(layer, "output_shape") else shape
            outputs += batch * math.prod(after)
            if isinstance(layer, nn.Dense):
                products.append(2 * batch * layer.weights.size)
            elif isinstance(layer, nn.Conv2d):
                products.append(2 * batch * layer.weights.size * math.prod(after[1:]))
            elif isinstance(layer, nn.ConvTranspose2d):
                products.append(2 * batch * layer.weights.size * math.prod(shape[1:]))
        parameters, forward = nn.summary(model).total, sum(products)
        # three products a layer, but no gradient for the inputs; 13 operations of Adam
        return cls(forward, 3 * forward - products[0] + 13 * parameters, parameters, outputs)

"""Networks of images in PyTorch, in the memory format that is the faster one."""

from collections.abc import Sequence
from functools import partial
from itertools import cycle
from typing import Any

from .image_cases import Part
from .peer_torch import torch
from .peers import BETA_1, BETA_2, EPSILON, Call, fastest

FORMATS = torch.contiguous_format, torch.channels_last
functional = torch.nn.functional


class Residual(torch.nn.Module):
    """The sum of two ways."""

    def __init__(self, body: Sequence[Part], shortcut: Sequence[Part]) -> None:
        super().__init__()
        self.body, self.shortcut = module(body), module(shortcut)

    def forward(self, x: Any) -> Any:
        return self.body(x) + self.shortcut(x)


class Reshape(torch.nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Any) -> Any:
        return x.reshape(len(x), *self.shape)


def module(parts: Sequence[Part]) -> Any:
    """PyTorch's module of these parts, with the same parameters."""
    return torch.nn.Sequential(*map(_module, parts))


def _module(part: Part) -> Any:
    options = dict(part.options)
    if part.kind in ("conv2d", "conv_transpose2d"):
        w, b = part.arrays
        if any(before != after for before, after in options["padding"]):
            raise ValueError("PyTorch has the same padding on both sides")
        options["padding"] = tuple(before for before, _ in options["padding"])
        inputs, outputs = (w.shape[1] * options["groups"], len(w))
        kind = torch.nn.Conv2d
        if part.kind == "conv_transpose2d":
            inputs, outputs, kind = len(w), inputs, torch.nn.ConvTranspose2d
        return _filled(kind(inputs, outputs, w.shape[2:], bias=b is not None, **options), weight=w, bias=b)
    if part.kind == "dense":
        w, b = part.arrays
        return _filled(torch.nn.Linear(*w.shape), weight=w.T, bias=b)
    if part.kind == "batch_norm":
        gamma, beta, mean, variance = part.arrays
        return _filled(torch.nn.BatchNorm2d(len(gamma), **options), weight=gamma, bias=beta, running_mean=mean,
                       running_var=variance)
    if part.kind == "max_pool2d":
        return torch.nn.MaxPool2d(options["size"], options["stride"], options["padding"])
    if part.kind == "global_avg_pool":
        return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    others = {"residual": Residual, "reshape": Reshape, "relu": torch.nn.ReLU, "leaky_relu": torch.nn.LeakyReLU,
              "tanh": torch.nn.Tanh, "sigmoid": torch.nn.Sigmoid, "softmax": lambda: torch.nn.Softmax(1)}
    return others[part.kind](**options)


def _filled(layer: Any, **arrays: Any) -> Any:
    with torch.no_grad():
        for name, values in arrays.items():
            if values is not None:
                getattr(layer, name).copy_(torch.tensor(values))
    return layer


def images(what: str, networks: Sequence[Sequence[Part]], data: tuple[Any, ...], steps: int, learning_rate: float
           ) -> Call:
    return fastest([partial(_images, what, networks, data, steps, learning_rate, order) for order in FORMATS])


def _images(what: str, networks: Sequence[Sequence[Part]], data: tuple[Any, ...], steps: int, learning_rate: float,
            order: Any) -> Call:
    with torch.inference_mode(False), torch.enable_grad():
        # the losses take what goes into the last activation
        models = [module(parts if parts[-1].kind == "tanh" or what == "predict" else parts[:-1]).to(memory_format=order)
                  for parts in networks]
        x, *others = map(torch.tensor, data)
        x = x.contiguous(memory_format=order) if x.ndim == 4 else x
        optimizers = [torch.optim.Adam(model.parameters(), learning_rate, (BETA_1, BETA_2), EPSILON, fused=True)
                      for model in models]
        ones, zeros, random = torch.ones(len(x), 1), torch.zeros(len(x), 1), cycle(others[0] if others else [])

    def step(inputs: Any, targets: Any, criterion: Any = functional.binary_cross_entropy_with_logits) -> float:
        optimizers[-1].zero_grad(set_to_none=True)
        loss = criterion(models[-1](inputs), targets)
        loss.backward()
        optimizers[-1].step()
        found: float = loss.item()
        return found

    def gan_step() -> list[float]:
        generator, discriminator = models
        made = generator(next(random))
        losses = [step(x, ones), step(made.detach(), zeros)]
        guess = functional.binary_cross_entropy_with_logits(discriminator(made), ones)
        trained = list(generator.parameters())
        for parameter, gradient in zip(trained, torch.autograd.grad(guess, trained)):
            parameter.grad = gradient
        optimizers[0].step()
        return losses

    def train() -> list[float]:
        with torch.inference_mode(False), torch.enable_grad():
            if len(models) == 2:
                return [loss for _ in range(steps) for loss in gan_step()]
            return [step(x, others[0], functional.cross_entropy) for _ in range(steps)]

    if what == "predict":
        models[0].eval()
        return lambda: models[0](x)
    return train

"""Convolutions of LeNet, of small ResNets and of a GAN's discriminator; depthwise ones, and a single image."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from nnjit.bench.bench_dense import ACTIVATIONS
from nnjit.bench.cases import DTYPES, Kernel, suite
from nnjit.kernels import reference
from nnjit.kernels.reference.conv2d import MODES, _pair, _paddings


@dataclass(frozen=True)
class Convolution(Kernel):
    """A verb of a convolution.

    shape : of the images; outputs and kernel : channels out, and height and width of the kernel
    """

    outputs: int = 1
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    groups: int = 1

    @property
    def group(self) -> str:
        text = f"{self.outputs} {self.kernel}x{self.kernel} s{self.stride} p{self.padding}"
        return f"{super().group} to {text}{f' groups {self.groups}' * (self.groups > 1)}"

    def inputs(self) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
        rng, dtype = np.random.default_rng(0), DTYPES[self.dtype]
        twin, channels = getattr(reference, self.op), self.shape[1]
        x = rng.standard_normal(self.shape).astype(dtype)
        sides = (self.outputs, channels) if self.op == "conv2d" else (channels, self.outputs)
        w = rng.standard_normal((sides[0], sides[1] // self.groups, self.kernel, self.kernel)).astype(dtype)
        b = rng.standard_normal(self.outputs).astype(dtype)
        options = {"stride": self.stride, "padding": self.padding, "groups": self.groups}
        y = twin.forward(x, w, b, **options)
        return [("forward", (x, w, b), options),
                ("backward", (rng.standard_normal(y.shape).astype(dtype), x, w, y), options)]


def both(op: str, shape: tuple[int, int, int, int], outputs: int, kernel: int, stride: int = 1, padding: int = 0,
         groups: int = 1) -> list[Convolution]:
    n, channels, height, width = shape
    if op == "conv2d":
        pixels = ((height + 2 * padding - kernel) // stride + 1) * ((width + 2 * padding - kernel) // stride + 1)
    else:
        pixels = height * width
    flops = 2 * n * pixels * channels * outputs // groups * kernel * kernel
    return [Convolution(op, verb, shape, times * flops, outputs=outputs, kernel=kernel, stride=stride, padding=padding,
                        groups=groups) for verb, times in (("forward", 1), ("backward", 2))]


CASES = [
    *both("conv2d", (64, 1, 28, 28), 6, 5, padding=2),
    *both("conv2d", (64, 6, 14, 14), 16, 5),
    *both("conv2d", (32, 3, 32, 32), 16, 3, padding=1),
    *both("conv2d", (32, 16, 32, 32), 16, 3, padding=1),
    *both("conv2d", (32, 16, 32, 32), 32, 3, 2, 1),
    *both("conv2d", (32, 16, 32, 32), 32, 1, 2),
    *both("conv2d", (32, 32, 16, 16), 32, 3, padding=1),
    *both("conv2d", (32, 64, 8, 8), 64, 3, padding=1),
    *both("conv2d", (64, 64, 14, 14), 64, 4, 2, 1),
    *both("conv2d", (16, 64, 32, 32), 64, 3, padding=1, groups=64),
    *both("conv2d", (1, 64, 32, 32), 64, 3, padding=1),
]

test_conv2d = suite(CASES)


def with_activations(peer, forward, backward):
    """What a peer's functions are with each activation, by verb."""
    found = {"forward": forward, "backward": lambda dy, x, w, y, **options: backward(dy, x, w, **options)}
    for name, of in ACTIVATIONS.items():
        f = getattr(of, f"in_{peer.__name__}")(peer)
        found[f"forward {name}"] = lambda x, w, b, f=f, **options: f["forward"](forward(x, w, b, **options))
        found[f"backward {name}"] = lambda dy, x, w, y, f=f, **options: backward(f["backward"](dy, y), x, w, **options)
    return found


def pads(padding, w, dilation):
    """PyTorch's list of how much to add on each side."""
    return [n for sides in reversed(_paddings(padding, w.shape[2:], dilation)) for n in sides]


def in_torch(torch):
    functional, aten = torch.nn.functional, torch.ops.aten
    modes = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate"}
    folds = {"reflect": aten.reflection_pad2d_backward, "replicate": aten.replication_pad2d_backward}

    def forward(x, w, b, *, padding=0, padding_mode="zeros", **options):
        if not isinstance(padding, int):
            x = functional.pad(x, pads(padding, w, options.get("dilation", 1)), modes[padding_mode])
            padding = 0
        return functional.conv2d(x, w, b, padding=padding, **options)

    def backward(dy, x, w, *, padding=0, padding_mode="zeros", stride=1, dilation=1, groups=1):
        plain, around = isinstance(padding, int), pads(padding, w, dilation)
        image = x if plain else functional.pad(x, around, modes[padding_mode])
        dx, dw, db = aten.convolution_backward(
            dy, image, w, [len(w)], _pair(stride), _pair(padding) if plain else [0, 0], _pair(dilation), False, [0, 0],
            groups, [True] * 3)
        if not plain and padding_mode == "zeros":
            dx = dx[:, :, around[2]:around[2] + x.shape[2], around[0]:around[0] + x.shape[3]]
        elif not plain:
            dx = folds[padding_mode](dx, x, around)
        return dx, dw, db

    return with_activations(torch, forward, backward)


def convolution_in_jax(jax):
    def convolution(x, w, *, padding=0, padding_mode="zeros", stride=1, dilation=1, groups=1):
        X = jax.numpy.pad(x, ((0, 0), (0, 0), *_paddings(padding, w.shape[2:], dilation)), MODES[padding_mode])
        return jax.lax.conv_general_dilated(X, w, _pair(stride), "VALID", rhs_dilation=_pair(dilation),
                                            feature_group_count=groups)

    return convolution


def in_jax(jax):
    convolution = convolution_in_jax(jax)

    def forward(x, w, b, **options):
        return convolution(x, w, **options) + b[:, None, None]

    def backward(dy, x, w, **options):
        return *jax.vjp(lambda x, w: convolution(x, w, **options), x, w)[1](dy), dy.sum((0, 2, 3))

    return with_activations(jax, forward, backward)

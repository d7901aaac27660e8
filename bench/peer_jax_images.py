"""Networks of images in JAX, with the channels before or behind rows and columns, whichever is faster."""

import math
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import numpy as np

from .image_cases import Part
from .peer_jax import _device, _widths, adam_step, jax, jnp
from .peers import Call, fastest

ORDERS = "NCHW", "NHWC"
KERNELS = {"NCHW": "OIHW", "NHWC": "HWIO"}
lax = jax.lax


class Program:
    """A network as a function of its arrays: lists of the learned ones and of the running statistics."""

    def __init__(self, parts: Sequence[Part], order: str) -> None:
        self.parts, self.order = parts, order
        self.spatial = (2, 3) if order == "NCHW" else (1, 2)

    def arrays(self) -> tuple[list[Any], list[Any]]:
        """The learned arrays and the running statistics before the first step."""
        learned: list[Any] = []
        running: list[Any] = []
        self._collect(self.parts, learned, running)
        return learned, running

    def _collect(self, parts: Sequence[Part], learned: list[Any], running: list[Any]) -> None:
        for part in parts:
            if part.kind == "residual":
                self._collect(part.options["body"], learned, running)
                self._collect(part.options["shortcut"], learned, running)
            elif part.kind == "batch_norm":
                learned.append(tuple(map(_device, part.arrays[:2])))
                running.append(tuple(map(_device, part.arrays[2:])))
            elif part.arrays:
                w, *biases = (each for each in part.arrays if each is not None)
                learned.append(tuple(map(_device, (self._kernel(part, w), *biases))))

    def _kernel(self, part: Part, w: Any) -> Any:
        if part.kind == "conv_transpose2d":  # a convolution of spread images with turned windows
            w = w.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
        return w.transpose(2, 3, 1, 0) if w.ndim == 4 and self.order == "NHWC" else w

    def images(self, x: Any) -> Any:
        """Images (N, C, H, W) in the order of the program."""
        return x if self.order == "NCHW" or x.ndim != 4 else x.transpose(0, 2, 3, 1)

    def __call__(self, learned: Any, running: Any, x: Any, training: bool = True) -> tuple[Any, Any]:
        """The outputs, and the running statistics afterwards."""
        found: list[Any] = []
        arrays = iter(learned), iter(running), found
        return self._through(self.parts, x, training, *arrays), found

    def _through(self, parts: Sequence[Part], x: Any, *given: Any) -> Any:
        for part in parts:
            x = self._part(part, x, *given)
        return x

    def _part(self, part: Part, x: Any, training: bool, learned: Any, running: Any, found: list[Any]) -> Any:
        options = part.options
        if part.kind == "residual":
            given = training, learned, running, found
            body = self._through(options["body"], x, *given)
            return body + self._through(options["shortcut"], x, *given)
        if part.kind in ("conv2d", "conv_transpose2d"):
            return self._convolution(part, x, *next(learned))
        if part.kind == "dense":
            w, b = next(learned)
            return x @ w + b
        if part.kind == "batch_norm":
            return self._batch_norm(part, x, training, next(learned), next(running), found)
        if part.kind == "max_pool2d":
            sizes = [self._sizes(options[name], fill) for name, fill in (("size", 1), ("stride", 1))]
            around = self._sizes([(edge, edge) for edge in options["padding"]], (0, 0))
            return lax.reduce_window(x, -jnp.inf, lax.max, *sizes, around)
        if part.kind == "global_avg_pool":
            return x.mean(self.spatial)
        if part.kind == "reshape":
            if x.ndim == 4 and self.order == "NHWC":
                x = x.transpose(0, 3, 1, 2)
            return self.images(x.reshape(len(x), *options["shape"]))
        return ACTIVATIONS[part.kind](x, **options)

    def _sizes(self, pair: Any, other: Any) -> tuple[Any, ...]:
        return (other, other, *pair) if self.order == "NCHW" else (other, *pair, other)

    def _of_channels(self, x: Any) -> Any:
        return x[:, None, None] if self.order == "NCHW" else x

    def _convolution(self, part: Part, x: Any, w: Any, *biases: Any) -> Any:
        options, spread = part.options, {}
        stride, around, dilation = options["stride"], options["padding"], options["dilation"]
        if part.kind == "conv_transpose2d":
            if options["groups"] > 1:
                raise ValueError("transposed convolutions have one group here")
            reach = [(size - 1) * step for size, step in zip(part.arrays[0].shape[2:], dilation)]
            around = [(all_ - before, all_ - after + more) for all_, (before, after), more in
                      zip(reach, around, options["output_padding"])]
            spread, stride = {"lhs_dilation": stride}, (1, 1)
        y = lax.conv_general_dilated(x, w, stride, around, rhs_dilation=dilation, **spread,
                                     dimension_numbers=(self.order, KERNELS[self.order], self.order),
                                     feature_group_count=options["groups"])
        return y + self._of_channels(biases[0]) if biases else y

    def _batch_norm(self, part: Part, x: Any, training: bool, learned: Any, running: Any, found: list[Any]) -> Any:
        mean, variance = running
        if training:
            axes, momentum = (0, *self.spatial), part.options["momentum"]
            count = math.prod(x.shape[axis] for axis in axes)
            mean, variance = x.mean(axes), x.var(axes)
            found.append(tuple((1 - momentum) * old + momentum * new for old, new in
                               zip(running, (mean, variance * (count / (count - 1))))))
        gamma, beta = learned
        factor = gamma * lax.rsqrt(variance + part.options["eps"])
        return x * self._of_channels(factor) + self._of_channels(beta - mean * factor)


ACTIVATIONS = {"relu": lambda x: jnp.maximum(x, 0), "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid,
               "leaky_relu": lambda x, negative_slope: jnp.where(x > 0, x, negative_slope * x),
               "softmax": lambda x: jax.nn.softmax(x, 1)}


def images(what: str, networks: Sequence[Sequence[Part]], data: tuple[Any, ...], steps: int, learning_rate: float
           ) -> Call:
    _widths(np.dtype(np.float32))
    return fastest([_images(what, networks, data, steps, learning_rate, order) for order in ORDERS])


def _images(what: str, networks: Sequence[Sequence[Part]], data: tuple[Any, ...], steps: int, learning_rate: float,
            order: str) -> Callable[[], Call]:
    """A function that makes calls, which share a compiled program."""
    # the losses take what goes into the last activation
    programs = [Program(parts if parts[-1].kind == "tanh" or what == "predict" else parts[:-1], order)
                for parts in networks]
    x = _device(programs[0].images(data[0]))
    if what == "predict":
        [program] = programs
        predict = jax.jit(lambda learned, running, x: program(learned, running, x, False)[0])
        arrays = program.arrays()
        return lambda: lambda: predict(*arrays, x).block_until_ready()
    advance = (_gan_step(programs[0], programs[1], learning_rate) if len(programs) == 2 else
               _step(programs[0], learning_rate))
    run = jax.jit(advance, donate_argnums=0)
    batches = [_device(each) for each in (data[1] if len(programs) == 2 else [data[1]])]

    def begin() -> Call:
        following, state = cycle(batches), [_beginning(each) for each in programs]

        def call() -> list[float]:
            nonlocal state
            found = []
            for _ in range(steps):
                state, losses = run(state, x, next(following))
                found += losses
            jax.block_until_ready(state)
            return [float(loss) for loss in found]

        return call

    return begin


def _beginning(program: Program) -> tuple[Any, ...]:
    learned, running = program.arrays()
    return learned, running, [jax.tree_util.tree_map(jnp.zeros_like, learned) for _ in range(2)], jnp.zeros(())


def _loss(program: Program, criterion: Any, learned: Any, running: Any, x: Any, y: Any) -> tuple[Any, Any]:
    outputs, running = program(learned, running, x)
    return criterion(outputs, y), running


def _cross_entropy(scores: Any, y: Any) -> Any:
    return -jnp.take_along_axis(jax.nn.log_softmax(scores, 1), y[:, None], 1).mean()


def _sigmoid_cross_entropy(scores: Any, y: float) -> Any:
    return (jnp.maximum(scores, 0) - scores * y + jnp.log1p(jnp.exp(-jnp.abs(scores)))).mean()


def _trained(program: Program, criterion: Any, state: Any, x: Any, y: Any, learning_rate: float) -> tuple[Any, Any]:
    learned, running, moments, count = state
    (loss, running), gradients = jax.value_and_grad(
        lambda learned: _loss(program, criterion, learned, running, x, y), has_aux=True)(learned)
    learned, moments, count = adam_step(learned, gradients, moments, count, learning_rate)
    return (learned, running, moments, count), loss


def _step(program: Program, learning_rate: float) -> Any:
    def advance(state: Any, x: Any, y: Any) -> tuple[Any, Any]:
        after, loss = _trained(program, _cross_entropy, state[0], x, y, learning_rate)
        return [after], [loss]

    return advance


def _gan_step(generator: Program, discriminator: Program, learning_rate: float) -> Any:
    def advance(states: Any, x: Any, z: Any) -> tuple[Any, Any]:
        (learned, running, moments, count), state = states
        made, back, running = jax.vjp(lambda learned: generator(learned, running, z), learned, has_aux=True)
        losses = []
        for images, target in ((x, 1.0), (made, 0.0)):
            state, loss = _trained(discriminator, _sigmoid_cross_entropy, state, images, target, learning_rate)
            losses.append(loss)
        # the generator learns what the discriminator would take for real
        weights, statistics, *rest = state
        gradient, statistics = jax.grad(
            lambda images: _loss(discriminator, _sigmoid_cross_entropy, weights, statistics, images, 1.0),
            has_aux=True)(made)
        [changes] = back(gradient)
        learned, moments, count = adam_step(learned, changes, moments, count, learning_rate)
        return [(learned, running, moments, count), (weights, statistics, *rest)], losses

    return advance

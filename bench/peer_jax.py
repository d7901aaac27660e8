"""The benchmarks' operations in JAX: one compiled program a call, or a training step."""

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from .peers import BETA_1, BETA_2, CLIP, EPSILON, Call, Parameters

jax: Any = import_module("jax")  # by name: checkers of types need not find it
jnp, tree = jax.numpy, jax.tree_util

ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "relu": lambda z: jnp.maximum(z, 0), "sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}
DERIVATIVES: dict[str, Callable[..., Any]] = {
    "relu": lambda dy, y: jnp.where(y > 0, dy, 0), "sigmoid": lambda dy, y: dy * y * (1 - y),
    "tanh": lambda dy, y: dy * (1 - y) * (1 + y)}


def products(dz: Any, x: Any, w: Any) -> tuple[Any, ...]:
    return dz @ w.T, x.T @ dz, dz.sum(0)


def one_hot(labels: Any, like: Any) -> Any:
    return jax.nn.one_hot(labels, like.shape[1], dtype=like.dtype)


def picked(x: Any, labels: Any) -> Any:
    return jnp.take_along_axis(x, labels[:, None], 1)[:, 0]


def fused(x: Any, labels: Any) -> tuple[Any, Any]:
    logarithms = jax.nn.log_softmax(x, 1)
    return -picked(logarithms, labels), jnp.exp(logarithms)


def fused_one_hot(x: Any, t: Any) -> tuple[Any, Any]:
    logarithms = jax.nn.log_softmax(x, 1)
    return -(t * logarithms).sum(1), jnp.exp(logarithms)


def clipped(p: Any) -> Any:
    return jnp.clip(p, CLIP, 1 - CLIP)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "matmul.forward": jnp.matmul,
    "matmul.backward": lambda dc, a, b: (dc @ b.T, a.T @ dc),
    "dense.forward": lambda x, w, b: x @ w + b,
    "dense.backward": lambda dy, x, w, y: products(dy, x, w),
    "softmax.forward": lambda x: jax.nn.softmax(x, 1),
    "softmax.backward": lambda dy, y: y * (dy - (dy * y).sum(1, keepdims=True)),
    "categorical_cross_entropy.forward": lambda p, labels: -jnp.log(clipped(picked(p, labels))),
    "categorical_cross_entropy.forward one-hot": lambda p, t: -(t * jnp.log(clipped(p))).sum(1),
    # of 512 x 1000 half the time of a scatter
    "categorical_cross_entropy.backward":
        lambda p, labels: one_hot(labels, p) * (1 / (clipped(picked(p, labels)) * -len(p)))[:, None],
    "categorical_cross_entropy.backward one-hot": lambda p, t: t / (clipped(p) * -len(p)),
    "softmax_cross_entropy.forward": fused,
    "softmax_cross_entropy.forward one-hot": fused_one_hot,
    "softmax_cross_entropy.backward": lambda y, labels: (y / len(y)).at[jnp.arange(len(y)), labels].add(-1 / len(y)),
    "softmax_cross_entropy.backward one-hot": lambda y, t: (y - t) / len(y),
    "categorical_accuracy.forward": lambda y, labels: (y.argmax(1) == labels).sum(),
    "categorical_accuracy.forward one-hot": lambda y, t: (y.argmax(1) == t.argmax(1)).sum(),
    "mean.forward": jnp.mean,
}
for name, forward in ACTIVATIONS.items():
    backward = DERIVATIVES[name]
    FUNCTIONS[f"{name}.forward"], FUNCTIONS[f"{name}.backward"] = forward, backward
    FUNCTIONS[f"dense.forward {name}"] = lambda x, w, b, f=forward: f(x @ w + b)
    FUNCTIONS[f"dense.backward {name}"] = lambda dy, x, w, y, f=backward: products(f(dy, y), x, w)


def _widths(dtype: Any) -> None:
    jax.config.update("jax_enable_x64", dtype == np.float64)


def _device(x: Any) -> Any:
    return jnp.array(x).block_until_ready()  # the copy would go on while x changes


def kernel(key: str, args: tuple[Any, ...], out: bool) -> Call | None:
    _widths(args[0].dtype)
    function = FUNCTIONS.get(key)
    if function is None:
        return None
    # its arrays have no strides: what is transposed here is transposed in the program there
    flips = [x.ndim == 2 and not x.flags.c_contiguous for x in args]
    arrays = [_device(x.T if flip else x) for x, flip in zip(args, flips)]

    def program(*given: Any) -> Any:
        return function(*(x.T if flip else x for x, flip in zip(given, flips)))

    if out:  # nor can they be written: the result before gives its memory
        again = jax.jit(lambda old, *given: program(*given), donate_argnums=0, keep_unused=True)
        given = jax.jit(program)(*arrays)

        def call() -> Any:
            nonlocal given
            given = again(given, *arrays)
            return given.block_until_ready()

        return call
    run = jax.jit(program)
    if key.startswith("mean"):
        return lambda: float(run(*arrays))
    if key.startswith("categorical_accuracy"):
        return lambda: int(run(*arrays))
    return lambda: jax.block_until_ready(run(*arrays))


def _adam(w: Any, dw: Any, m: Any, v: Any, rate: Any, correction_1: Any, correction_2: Any) -> Any:
    m = BETA_1 * m + (1 - BETA_1) * dw
    v = BETA_2 * v + (1 - BETA_2) * dw * dw
    return w - rate * (m / correction_1) / (jnp.sqrt(v / correction_2) + EPSILON), m, v


def step(op: str, args: tuple[Any, ...], knobs: dict[str, Any]) -> Call | None:
    _widths(args[0].dtype)
    rate = knobs["learning_rate"]

    def update(dw: Any, w: Any, *state: Any) -> Any:
        if op == "adam":
            m, v = state
            return _adam(w, dw, m, v, rate, knobs["correction_1"], knobs["correction_2"])
        if not state:
            return (w - rate * dw,)
        v = knobs["momentum"] * state[0] - rate * dw
        return w + v, v

    if op not in ("adam", "sgd"):
        return None
    w, dw, *rest = (_device(x) for x in args)
    state = (w, *rest)
    run = jax.jit(update, donate_argnums=range(1, len(args)))

    def call() -> Any:
        nonlocal state
        state = jax.block_until_ready(run(dw, *state))
        return state[0]

    return call


def network(what: str, parameters: Parameters, x: Any, labels: Any, steps: int, learning_rate: float) -> Call:
    _widths(x.dtype)
    inputs, targets = _device(x), _device(labels)
    trained = [(_device(w), _device(b)) for w, b in parameters]

    def scores(layers: Any, y: Any) -> Any:
        for w, b in layers[:-1]:
            y = jnp.maximum(y @ w + b, 0)
        w, b = layers[-1]
        return y @ w + b

    if what == "predict":
        predict = jax.jit(lambda layers, y: jax.nn.softmax(scores(layers, y), 1))
        return lambda: predict(trained, inputs).block_until_ready()

    def loss(layers: Any, y: Any, labels: Any) -> Any:
        return -jnp.take_along_axis(jax.nn.log_softmax(scores(layers, y), 1), labels[:, None], 1).mean()

    def advance(layers: Any, moments: Any, count: Any, y: Any, labels: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)(layers, y, labels)
        count = count + 1
        first, second = (-jnp.expm1(count * math.log(beta)) for beta in (BETA_1, BETA_2))  # 1 - beta^count, exactly
        leaves = zip(*(tree.tree_leaves(each) for each in (layers, gradients, *moments)))
        new = zip(*(_adam(w, dw, m, v, learning_rate, first, second) for w, dw, m, v in leaves))
        layers, *moments = (tree.tree_unflatten(tree.tree_structure(layers), each) for each in new)
        return layers, moments, count, value

    run = jax.jit(advance, donate_argnums=(0, 1, 2))
    moments = [tree.tree_map(jnp.zeros_like, trained) for _ in range(2)]
    count = jnp.zeros(())

    def call() -> Parameters:
        nonlocal trained, moments, count
        losses = []
        for _ in range(steps):
            trained, moments, count, value = run(trained, moments, count, inputs, targets)
            losses.append(value)
        [float(value) for value in losses]  # our training reports them, too
        return jax.block_until_ready(trained)

    return call

"""The benchmarks' operations in JAX: one compiled program a call, or a training step."""

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from .peers import BETA_1, BETA_2, CLIP, DROPPED, EPSILON, RHO, Call, Parameters

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


def silu_backward(dy: Any, x: Any) -> Any:
    s = jax.nn.sigmoid(x)
    return dy * (s * (1 + x * (1 - s)))


def clipped(p: Any) -> Any:
    return jnp.clip(p, CLIP, 1 - CLIP)


def dropped(x: Any, **knobs: Any) -> tuple[Any, Any]:
    # with a key known when it is compiled, the numbers could be drawn then
    key = jax.random.key(jax.lax.bitcast_convert_type(x[0, 0].astype(np.float32), np.uint32))
    mask = jnp.where(jax.random.bernoulli(key, 1 - DROPPED, x.shape), 1 / (1 - DROPPED), 0).astype(x.dtype)
    return x * mask, mask


def binary_cross_entropy(p: Any, t: Any) -> Any:
    return -(t * jnp.log(clipped(p)) + (1 - t) * jnp.log(clipped(1 - p))).mean(1)


def binary_cross_entropy_backward(p: Any, t: Any) -> Any:
    return (p - t) / (clipped(p) * clipped(1 - p) * p.size)


def huber(y: Any, t: Any) -> Any:
    r = abs(t - y)
    return jnp.where(r <= 1, 0.5 * r**2, r - 0.5).mean(1)


def scaled_rows(x: Any, weights: Any) -> Any:
    return x * (weights if x.ndim == 1 else weights[:, None])


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "matmul.forward": jnp.matmul,
    "matmul.backward": lambda dc, a, b: (dc @ b.T, a.T @ dc),
    "dense.forward": lambda x, w, b: x @ w + b,
    "dense.backward": lambda dy, x, w, y: products(dy, x, w),
    "add.forward": jnp.add,
    "multiply.forward": jnp.multiply,
    "multiply.backward": lambda dy, a, b: (dy * b, dy * a),
    "concatenate.forward": lambda a, b: jnp.concatenate((a, b), 1),
    "split.forward": lambda x, columns: (x[:, :columns], x[:, columns:]),
    "leaky_relu.forward": jax.nn.leaky_relu,
    "leaky_relu.backward": lambda dy, y: jnp.where(y > 0, dy, 0.01 * dy),
    "linear.forward": jnp.copy,
    "linear.backward": lambda dy, y: jnp.copy(dy),
    "step.forward": lambda x: jnp.heaviside(x, 0),
    "step.backward": lambda dy, y: dy * 0,
    "silu.forward": jax.nn.silu,
    "silu.backward": silu_backward,
    "elu.forward": jax.nn.elu,
    "elu.backward": lambda dy, y, alpha=1.0: jnp.where(y > 0, dy, dy * (y + alpha)),
    "gelu.forward": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu.backward": lambda dy, x: jax.vjp(lambda v: jax.nn.gelu(v, approximate=False), x)[1](dy)[0],
    "softplus.forward": jax.nn.softplus,
    "softplus.backward": lambda dy, x: dy * jax.nn.sigmoid(x),
    "softmax.forward": lambda x: jax.nn.softmax(x, 1),
    "softmax.backward": lambda dy, y: y * (dy - (dy * y).sum(1, keepdims=True)),
    "binary_cross_entropy.forward": binary_cross_entropy,
    "binary_cross_entropy.backward": binary_cross_entropy_backward,
    "log_softmax.forward": lambda x: jax.nn.log_softmax(x, 1),
    "log_softmax.backward": lambda dy, y: dy - jnp.exp(y) * dy.sum(1, keepdims=True),
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
    "sigmoid_cross_entropy.forward": lambda x, t: ((jax.nn.softplus(x) - t * x).mean(1), jax.nn.sigmoid(x)),
    "sigmoid_cross_entropy.backward": lambda y, t: (y - t) / y.size,
    "negative_log_likelihood.forward": lambda x, labels: -picked(x, labels),
    "negative_log_likelihood.forward one-hot": lambda x, t: -(x * t).sum(1),
    "negative_log_likelihood.backward": lambda x, labels: one_hot(labels, x) * (-1 / len(x)),
    "negative_log_likelihood.backward one-hot": lambda x, t: t / -len(x),
    "categorical_accuracy.forward": lambda y, labels: (y.argmax(1) == labels).sum(),
    "categorical_accuracy.forward one-hot": lambda y, t: (y.argmax(1) == t.argmax(1)).sum(),
    "dropout.forward": dropped,
    "dropout.backward": jnp.multiply,
    "huber.forward": huber,
    "huber.backward": lambda y, t: jnp.clip(y - t, -1, 1) / y.size,
    "binary_accuracy.forward": lambda p, t, threshold=0.5: ((p > threshold) == (t > 0.5)).sum(),
    "regression_accuracy.forward": lambda y, t, precision: (abs(y - t) < precision).sum(),
    "clip_norm.forward": lambda x: jnp.sqrt((x * x).sum()),
    "mean.forward": jnp.mean,
    "scale_rows.forward": scaled_rows,
    "scale_rows.backward": scaled_rows,
    "mean_absolute_error.forward": lambda y, t: abs(t - y).mean(1),
    "mean_absolute_error.backward": lambda y, t: jnp.sign(y - t) / y.size,
    "mean_squared_error.forward": lambda y, t: ((t - y)**2).mean(1),
    "mean_squared_error.backward": lambda y, t: (y - t) * (2 / y.size),
    "penalty.forward": lambda w, l1=0.0, l2=0.0: l1 * jnp.abs(w).sum() + l2 * (w * w).sum(),
    "penalty.backward": lambda dw, w, l1=0.0, l2=0.0: dw + jnp.where(w < 0, -l1, l1) + 2 * l2 * w,
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


def normal(shape: tuple[int, ...], dtype: Any, seed: int, stream: int) -> Call:
    _widths(np.dtype(dtype))
    # known when it is compiled, the key would have the numbers drawn then
    key, run = jax.random.key(stream), jax.jit(lambda key: jax.random.normal(key, shape, dtype))
    return lambda: run(key).block_until_ready()


def kernel(key: str, args: tuple[Any, ...], knobs: dict[str, Any], out: bool) -> Call | None:
    if key == "normal.forward":
        return normal(**knobs)
    _widths(args[0].dtype)
    function = FUNCTIONS.get(key)
    if function is None:
        return None
    # its arrays have no strides: what is transposed here is transposed in the program there
    flips = [x.ndim == 2 and not x.flags.c_contiguous for x in args]
    arrays = [_device(x.T if flip else x) for x, flip in zip(args, flips)]

    def program(*given: Any) -> Any:
        return function(*(x.T if flip else x for x, flip in zip(given, flips)), **knobs)

    if out:  # nor can they be written: the result before gives its memory
        again = jax.jit(lambda old, *given: program(*given), donate_argnums=0, keep_unused=True)
        given = jax.jit(program)(*arrays)

        def call() -> Any:
            nonlocal given
            given = again(given, *arrays)
            return given.block_until_ready()

        return call
    run = jax.jit(program)
    if key in ("clip_norm.forward", "mean.forward", "penalty.forward"):
        return lambda: float(run(*arrays))
    if "accuracy" in key:
        return lambda: int(run(*arrays))
    return lambda: jax.block_until_ready(run(*arrays))


def _adagrad(w: Any, dw: Any, cache: Any, *, learning_rate: Any) -> Any:
    cache = cache + dw * dw
    return w - learning_rate * dw / (jnp.sqrt(cache) + EPSILON), cache


def _adam(w: Any, dw: Any, m: Any, v: Any, *, learning_rate: Any, correction_1: Any, correction_2: Any,
          weight_decay: float = 0.0) -> Any:
    if weight_decay:
        w = w * (1 - learning_rate * weight_decay)
    m = BETA_1 * m + (1 - BETA_1) * dw
    v = BETA_2 * v + (1 - BETA_2) * dw * dw
    return w - learning_rate * (m / correction_1) / (jnp.sqrt(v / correction_2) + EPSILON), m, v


def _rmsprop(w: Any, dw: Any, cache: Any, *, learning_rate: Any) -> Any:
    cache = RHO * cache + (1 - RHO) * dw * dw
    return w - learning_rate * dw / (jnp.sqrt(cache) + EPSILON), cache


def _sgd(w: Any, dw: Any, v: Any = None, *, learning_rate: Any, momentum: Any = 0.0, nesterov: bool = False) -> Any:
    if v is None:
        return (w - learning_rate * dw,)
    v = momentum * v - learning_rate * dw
    return w + (momentum * v - learning_rate * dw if nesterov else v), v


def _clip_norm(x: Any, *, max_norm: float, norm: float | None = None) -> Any:
    norm = jnp.sqrt((x * x).sum()) if norm is None else norm
    return (x * jnp.minimum(max_norm / (norm + 1e-6), 1),)


UPDATES: dict[str, Callable[..., Any]] = {
    "adagrad": _adagrad, "adam": _adam, "clip_norm": _clip_norm, "rmsprop": _rmsprop, "sgd": _sgd}


def step(op: str, args: tuple[Any, ...], knobs: dict[str, Any]) -> Call | None:
    _widths(args[0].dtype)
    rule = UPDATES.get(op)
    if rule is None:
        return None

    def update(gradient: Any, w: Any, *state: Any) -> Any:
        return rule(w, *gradient, *state, **knobs)

    w, *rest = (_device(x) for x in args)
    gradient, state = rest[:1], (w, *rest[1:])
    run = jax.jit(update, donate_argnums=range(1, 1 + len(state)))

    def call() -> Any:
        nonlocal state
        state = jax.block_until_ready(run(gradient, *state))
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
        numbers = {"learning_rate": learning_rate, "correction_1": first, "correction_2": second}
        new = zip(*(_adam(w, dw, m, v, **numbers) for w, dw, m, v in leaves))
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

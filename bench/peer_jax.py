"""Calls of JAX: one compiled program a call, or a training step."""

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from .peers import BETA_1, BETA_2, Call, Parameters, functions

jax: Any = import_module("jax")  # by name: checkers of types need not find it
jnp, tree = jax.numpy, jax.tree_util


def _widths(dtype: Any) -> None:
    jax.config.update("jax_enable_x64", dtype == np.float64)


def _device(x: Any) -> Any:
    return jnp.array(x).block_until_ready()  # the copy would go on while x changes


def kernel(found: dict[str, Callable[..., Any]], key: str, args: tuple[Any, ...], options: dict[str, Any],
           out: bool) -> Call | None:
    function = found.get(key)
    if function is None:
        return None
    _widths(args[0].dtype if args else np.dtype(options["dtype"]))
    if not args:  # of random numbers: it gives the call itself
        return function(**options)
    # its arrays have no strides: what is transposed here is transposed in the program there
    flips = [x.ndim == 2 and not x.flags.c_contiguous for x in args]
    arrays = [_device(x.T if flip else x) for x, flip in zip(args, flips)]

    def program(*given: Any) -> Any:
        return function(*(x.T if flip else x for x, flip in zip(given, flips)), **options)

    if out:  # nor can they be written: the result before gives its memory
        again = jax.jit(lambda old, *given: program(*given), donate_argnums=0, keep_unused=True)
        given = jax.jit(program)(*arrays)

        def call() -> Any:
            nonlocal given
            given = again(given, *arrays)
            return given.block_until_ready()

        return call
    run = jax.jit(program)
    if getattr(jax.eval_shape(program, *arrays), "shape", None) == ():
        return lambda: run(*arrays).item()
    return lambda: jax.block_until_ready(run(*arrays))


def step(rule: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Call:
    _widths(args[0].dtype)

    def update(gradient: Any, w: Any, *state: Any) -> Any:
        return rule(w, *gradient, *state, **options)

    w, *rest = (_device(x) for x in args)
    gradient, state = rest[:1], (w, *rest[1:])
    run = jax.jit(update, donate_argnums=range(1, 1 + len(state)))

    def call() -> Any:
        nonlocal state
        state = jax.block_until_ready(run(gradient, *state))
        return state[0]

    return call


def adam_step(layers: Any, gradients: Any, moments: Any, count: Any, learning_rate: float) -> tuple[Any, Any, Any]:
    """Parameters, moments and the number of steps after one."""
    adam, count = functions("jax", "adam")["step"], count + 1
    first, second = (-jnp.expm1(count * math.log(beta)) for beta in (BETA_1, BETA_2))  # 1 - beta^count, exactly
    leaves = zip(*(tree.tree_leaves(each) for each in (layers, gradients, *moments)))
    numbers = {"learning_rate": learning_rate, "correction_1": first, "correction_2": second}
    new = zip(*(adam(w, dw, m, v, **numbers) for w, dw, m, v in leaves))
    layers, *moments = (tree.tree_unflatten(tree.tree_structure(layers), each) for each in new)
    return layers, moments, count


def network(what: str, parameters: Parameters, x: Any, y: Any, steps: int, learning_rate: float) -> Call:
    _widths(x.dtype)
    inputs, targets = _device(x), _device(y)
    trained = [(_device(w), _device(b)) for w, b in parameters]
    regression = y.ndim > 1

    def scores(layers: Any, y: Any) -> Any:
        for w, b in layers[:-1]:
            y = y @ w + b
            y = jnp.tanh(y) if regression else jnp.maximum(y, 0)
        w, b = layers[-1]
        return y @ w + b

    if what == "predict":
        predict = jax.jit(scores if regression else lambda layers, y: jax.nn.softmax(scores(layers, y), 1))
        return lambda: predict(trained, inputs).block_until_ready()

    def loss(layers: Any, x: Any, y: Any) -> tuple[Any, Any]:
        """The loss, and the accuracy of classes."""
        found = scores(layers, x)
        if regression:
            return ((found - y)**2).mean(), None
        accuracy = (found.argmax(1) == y).mean() if what in ("epoch", "evaluate") else None
        return -jnp.take_along_axis(jax.nn.log_softmax(found, 1), y[:, None], 1).mean(), accuracy

    evaluate = jax.jit(loss)
    if what == "evaluate":
        return lambda: tuple(float(value) for value in evaluate(trained, inputs, targets))

    def advance(layers: Any, moments: Any, count: Any, x: Any, y: Any) -> Any:
        values, gradients = jax.value_and_grad(loss, has_aux=True)(layers, x, y)
        return *adam_step(layers, gradients, moments, count, learning_rate), values

    run = jax.jit(advance, donate_argnums=(0, 1, 2))
    moments = [tree.tree_map(jnp.zeros_like, trained) for _ in range(2)]
    count = jnp.zeros(())

    def call() -> Parameters:
        nonlocal trained, moments, count
        found = []
        for _ in range(steps):
            trained, moments, count, values = run(trained, moments, count, inputs, targets)
            found.append(values)
            if what == "epoch":
                found.append(evaluate(trained, inputs, targets))
        [float(value) for value in tree.tree_leaves(found)]  # our training reports them, too
        return jax.block_until_ready(trained)

    return call

"""The same operations in PyTorch, JAX and scikit-learn: what the benchmarks time beside NumPy and nnjit.

`kernel` and `network` give a call on the inputs that ours gets, converted before, with the same results as the NumPy
twin's (tests/test_bench.py compares them), or None where the peer has no such operation. PyTorch runs its native
operations in inference mode and its fused optimizers, JAX one `jax.jit` a call or training step. Dropout draws random
numbers of its own in each. Peers are imported by name and late: none of them need be installed.

How a peer computes an operation stands in the operation's own benchmark, as functions that take the peer's module:

    def in_torch(torch):
        return {"forward": torch.relu, "forward out=": lambda x, out: torch.clamp_min(x, 0, out=out)}

    "forward", "backward"       a function of the twin's arguments and options, which gives the twin's results
    "... one-hot", "... relu"   the same for one-hot labels, and for a dense layer's activation
    "... out="                  the same into an array that is there already; JAX needs none
    "step"                      in PyTorch a function of the twin's arguments and options that gives a call to make one
                                step; in JAX one that gives the arrays to update, without the gradient, after a step
"""

import importlib.util
import inspect
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module, metadata
from typing import Any

import numpy as np

from ..kernels import reference

Call = Callable[[], Any]
Parameters = list[tuple[Any, Any]]  # weights (inputs, neurons) and biases of each layer

NAMES = {"torch": "PyTorch", "jax": "JAX", "sklearn": "scikit-learn"}
PACKAGES = {"torch": "torch", "jax": "jax", "sklearn": "scikit-learn"}
CLIP = 1e-7
DROPPED = 0.1  # the rate of dropout's inputs
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # of Adam; epsilon of all optimizers
RHO = 0.9  # of RMSprop


def installed() -> list[str]:
    """The peers that are there, without importing them."""
    return [name for name in NAMES if importlib.util.find_spec(name)]


def versions(names: Sequence[str]) -> dict[str, str]:
    """Package and version of each of these peers."""
    return {PACKAGES[name]: metadata.version(PACKAGES[name]) for name in names}


@contextmanager
def held(contender: str, threads: int) -> Iterator[None]:
    """The settings a peer is timed with. JAX changes the process for good: nothing else should run in it."""
    if contender == "torch":
        torch = import_module("torch")
        torch.set_num_threads(threads)
        with torch.inference_mode():
            yield
        return
    if contender == "jax":
        # XLA ignores the variables of the other pools, but makes a thread for each CPU it may use
        if hasattr(os, "sched_setaffinity"):
            cpus = sorted(os.sched_getaffinity(0))
            if threads < len(cpus):
                os.sched_setaffinity(0, cpus[:threads])
        import_module("jax").config.update("jax_platforms", "cpu")
    yield


def kernel(peer: str, op: str, verb: str, args: tuple[Any, ...], options: dict[str, Any],
           out: bool = False) -> Call | None:
    """The call to time of an operation's verb on these arguments of its NumPy twin.

    A step updates copies and returns the weights. out: write to memory that is there already.
    """
    if peer == "sklearn":
        return None
    found, module = functions(peer, op), _module(peer)
    if verb == "step":
        return module.step(found["step"], args, options) if "step" in found else None
    key, more = named(op, verb, args, options)
    return module.kernel(found, key, args, more, out)


def named(op: str, verb: str, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The key of `functions` for these arguments of the twin, and the options that remain."""
    labelled = "labels" in inspect.signature(getattr(getattr(reference, op), verb)).parameters
    note = "one-hot" if labelled and args[1].ndim == 2 else options.get("activation")
    return f"{verb} {note}" if note else verb, {name: value for name, value in options.items() if name != "activation"}


@lru_cache
def functions(peer: str, op: str) -> dict[str, Callable[..., Any]]:
    """How a peer computes an operation, by verb, as the operation's benchmark has it."""
    file = import_module(f"{__package__}.bench_{op}")
    return getattr(file, f"in_{peer}")(import_module(peer)) if hasattr(file, f"in_{peer}") else {}


def network(peer: str, what: str, parameters: Parameters, x: Any, y: Any, steps: int, learning_rate: float
            ) -> Call | None:
    """The call to time of a network from these parameters, weights (inputs, neurons).

    y : labels, for ReLU between the layers and softmax at the end, or as many outputs as the network has, for tanh
        between the layers and mean squared error
    what : "predict" returns the outputs for x, "evaluate" loss and accuracy; "step" takes `steps` of Adam on the batch
        x, y and returns the parameters, "epoch" so many with the accuracy, each followed by an evaluation
    """
    if peer == "sklearn":
        known = what in ("step", "predict") and y.ndim == 1
        return _sklearn_network(what, parameters, x, y, steps, learning_rate) if known else None
    call: Call = _module(peer).network(what, parameters, x, y, steps, learning_rate)
    return call


def images(peer: str, what: str, networks: Sequence[Sequence[Any]], data: tuple[Any, ...], steps: int,
           learning_rate: float) -> Call | None:
    """The call to time of a network of images, of the parts that `image_cases` makes of ours.

    what : "predict" returns the outputs for images; "step" takes `steps` of Adam on images and labels, or of two
        networks, generator and discriminator, on images and random numbers, a batch a step; it returns the losses
    """
    if peer == "sklearn":
        return None
    call: Call = import_module(f"{__package__}.peer_{peer}_images").images(what, networks, data, steps, learning_rate)
    return call


def fastest(made: Sequence[Callable[[], Call]], seconds: float = 0.3) -> Call:
    """A new call of the kind whose calls take the least time; they take turns, five times or for a while."""
    calls = [make() for make in made]
    for call in calls:
        call()  # compiles
    times: list[list[float]] = [[] for _ in calls]
    deadline = time.perf_counter() + seconds
    while len(times[0]) < 5 or time.perf_counter() < deadline:
        for call, found in zip(calls, times):
            start = time.perf_counter()
            call()
            found.append(time.perf_counter() - start)
    least = [min(found) for found in times]
    return made[least.index(min(least))]()


def _module(peer: str) -> Any:
    return import_module(f"{__package__}.peer_{peer}")  # here, because it imports the peer


# ---- scikit-learn


def _sklearn_network(what: str, parameters: Parameters, x: Any, labels: Any, steps: int, learning_rate: float) -> Call:
    widths = [len(b) for _, b in parameters]
    # its epsilon stands beside the root before the correction: this one makes the first step the book's
    model = import_module("sklearn.neural_network").MLPClassifier(
        widths[:-1], solver="adam", alpha=0.0, batch_size=len(x), learning_rate_init=learning_rate, shuffle=False,
        beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON * math.sqrt(1 - BETA_2))
    model.partial_fit(x, labels, classes=np.arange(widths[-1]))  # makes the layers
    for (w, b), weights, biases in zip(parameters, model.coefs_, model.intercepts_):
        weights[...], biases[...] = w, b
    del model._optimizer  # and with it the moving means
    if what == "predict":
        return lambda: model.predict_proba(x)

    def call() -> Parameters:
        for _ in range(steps):
            model.partial_fit(x, labels)
        return list(zip(model.coefs_, model.intercepts_))

    return call

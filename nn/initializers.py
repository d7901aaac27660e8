"""First weights of a layer: functions of its sizes and a NumPy Generator, as `Dense(..., initializer=...)` takes them.

They are the same numbers on every CPU: the uniform ones are whole bits, one product and one difference, the normal ones
those of the kernel `normal` under a seed that the Generator gives. NumPy's twin (`nn.use`) rounds these otherwise.
"""

import math
from collections.abc import Callable

import numpy as np

from . import backend
from .arrays import Array, finite, generator, whole

Initializer = Callable[[int, int, np.random.Generator], Array]


def _shape(n_inputs: int, n_neurons: int) -> tuple[int, int]:
    return whole("n_inputs", n_inputs), whole("n_neurons", n_neurons)


def _uniform(limit: float, n_inputs: int, n_neurons: int, rng: np.random.Generator) -> Array:
    return generator("rng", rng).random(_shape(n_inputs, n_neurons)) * (2 * limit) - limit


def _normal(deviation: float, n_inputs: int, n_neurons: int, rng: np.random.Generator) -> Array:
    seed = int(generator("rng", rng).integers(2**64, dtype=np.uint64))
    return backend.ops.normal.forward(_shape(n_inputs, n_neurons), seed=seed, dtype=np.float64) * deviation


def glorot_uniform(n_inputs: int, n_neurons: int, rng: np.random.Generator) -> Array:
    """Within +-sqrt(6 / (n_inputs + n_neurons)): for tanh, sigmoid and no activation (Glorot, Bengio 2010)."""
    return _uniform(math.sqrt(6 / sum(_shape(n_inputs, n_neurons))), n_inputs, n_neurons, rng)


def glorot_normal(n_inputs: int, n_neurons: int, rng: np.random.Generator) -> Array:
    """Of deviation sqrt(2 / (n_inputs + n_neurons)) (Glorot, Bengio 2010)."""
    return _normal(math.sqrt(2 / sum(_shape(n_inputs, n_neurons))), n_inputs, n_neurons, rng)


def he_uniform(n_inputs: int, n_neurons: int, rng: np.random.Generator) -> Array:
    """Within +-sqrt(6 / n_inputs): for ReLU and its kin (He et al. 2015)."""
    return _uniform(math.sqrt(6 / _shape(n_inputs, n_neurons)[0]), n_inputs, n_neurons, rng)


def he_normal(n_inputs: int, n_neurons: int, rng: np.random.Generator) -> Array:
    """Of deviation sqrt(2 / n_inputs) (He et al. 2015)."""
    return _normal(math.sqrt(2 / _shape(n_inputs, n_neurons)[0]), n_inputs, n_neurons, rng)


def zeros(n_inputs: int, n_neurons: int, rng: np.random.Generator) -> Array:
    """All 0: for a layer without one before or behind it, since equal neurons stay equal."""
    return np.zeros(_shape(n_inputs, n_neurons))


def uniform(limit: float = 0.05) -> Initializer:
    """Within +-limit."""
    limit = finite("limit", limit)
    return lambda n_inputs, n_neurons, rng: _uniform(limit, n_inputs, n_neurons, rng)


def normal(deviation: float = 0.01) -> Initializer:
    """Of that deviation; 0.01 is that of "Neural Networks from Scratch in Python"."""
    deviation = finite("deviation", deviation)
    return lambda n_inputs, n_neurons, rng: _normal(deviation, n_inputs, n_neurons, rng)


BY_NAME: dict[str, Initializer] = {
    "glorot_uniform": glorot_uniform, "glorot_normal": glorot_normal, "he_uniform": he_uniform,
    "he_normal": he_normal, "normal": normal(), "uniform": uniform(), "zeros": zeros}


def find(initializer: str | Initializer) -> Initializer:
    """The function of that name, or the function itself. Raises ValueError for a name that there is not."""
    if callable(initializer):
        return initializer
    if not isinstance(initializer, str) or initializer not in BY_NAME:
        raise ValueError(f"initializer must be a function or one of {', '.join(map(repr, BY_NAME))}, "
                         f"got {initializer!r}")
    return BY_NAME[initializer]

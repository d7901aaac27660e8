"""Initial weights of a layer: functions of its sizes and a NumPy Generator, for `Dense(..., initializer=...)`.

They are the same on every CPU. Uniform weights are the Generator's random bits with one product and one difference;
normal ones come from the kernel `normal`, seeded by the Generator. The NumPy twin (`nn.use`) rounds these differently.
"""

import math
import sys
from collections.abc import Callable

import numpy as np

from . import backend
from .arrays import Array, fits
from .checks import as_seed, finite, function, generator, shown, whole

Initializer = Callable[[int, int, np.random.Generator], Array]

LARGEST = sys.float_info.max / 16  # of a normal number at most 9.5 deviations
WEIGHTS = "weights (n_inputs, n_neurons)"


def _shape(n_inputs: int, n_neurons: int) -> tuple[int, int]:
    shape = whole("n_inputs", n_inputs), whole("n_neurons", n_neurons)
    fits(WEIGHTS, shape)
    return shape


def _uniform(limit: float, n_inputs: int, n_neurons: int, rng: np.random.Generator) -> Array:
    return generator("rng", rng).random(_shape(n_inputs, n_neurons)) * (2 * limit) - limit


def _normal(deviation: float, n_inputs: int, n_neurons: int, rng: np.random.Generator) -> Array:
    seed = int(generator("rng", rng).integers(2**64, dtype=np.uint64))
    return backend.ops.normal.forward(_shape(n_inputs, n_neurons), seed=seed, dtype=np.float64) * deviation


def glorot_uniform(n_inputs: int, n_neurons: int, rng: np.random.Generator) -> Array:
    """Uniform in +-sqrt(6 / (n_inputs + n_neurons)), for tanh, sigmoid and no activation (Glorot, Bengio 2010)."""
    return _uniform(math.sqrt(6 / sum(_shape(n_inputs, n_neurons))), n_inputs, n_neurons, rng)


def glorot_normal(n_inputs: int, n_neurons: int, rng: np.random.Generator) -> Array:
    """Normal with standard deviation sqrt(2 / (n_inputs + n_neurons)) (Glorot, Bengio 2010)."""
    return _normal(math.sqrt(2 / sum(_shape(n_inputs, n_neurons))), n_inputs, n_neurons, rng)


def he_uniform(n_inputs: int, n_neurons: int, rng: np.random.Generator) -> Array:
    """Uniform in +-sqrt(6 / n_inputs), for ReLU and similar activations (He et al. 2015)."""
    return _uniform(math.sqrt(6 / _shape(n_inputs, n_neurons)[0]), n_inputs, n_neurons, rng)


def he_normal(n_inputs: int, n_neurons: int, rng: np.random.Generator) -> Array:
    """Normal with standard deviation sqrt(2 / n_inputs) (He et al. 2015)."""
    return _normal(math.sqrt(2 / _shape(n_inputs, n_neurons)[0]), n_inputs, n_neurons, rng)


def zeros(n_inputs: int, n_neurons: int, rng: np.random.Generator) -> Array:
    """All 0, for a network of a single layer: in hidden layers equal neurons would stay equal."""
    as_seed("rng", rng)
    return np.zeros(_shape(n_inputs, n_neurons))


def uniform(limit: float = 0.05) -> Initializer:
    """Uniform in +-limit."""
    limit = finite("limit", limit, LARGEST)
    return lambda n_inputs, n_neurons, rng: _uniform(limit, n_inputs, n_neurons, rng)


def normal(deviation: float = 0.01) -> Initializer:
    """Normal with this standard deviation; "Neural Networks from Scratch in Python" uses 0.01."""
    deviation = finite("deviation", deviation, LARGEST)
    return lambda n_inputs, n_neurons, rng: _normal(deviation, n_inputs, n_neurons, rng)


BY_NAME: dict[str, Initializer] = {
    "glorot_uniform": glorot_uniform, "glorot_normal": glorot_normal, "he_uniform": he_uniform,
    "he_normal": he_normal, "normal": normal(), "uniform": uniform(), "zeros": zeros}


def find(initializer: str | Initializer) -> Initializer:
    """The initializer of that name, or the function itself. Raises ValueError for an unknown name, TypeError for a
    function of other arguments and for another kind."""
    if callable(initializer):
        found: Initializer = function("initializer", initializer, "n_inputs, n_neurons and rng", 1, 1, None)
        return found
    if not isinstance(initializer, str) or initializer not in BY_NAME:
        raise (ValueError if isinstance(initializer, str) else TypeError)(
            f"initializer must be a function or one of {', '.join(map(repr, BY_NAME))}, got {shown(initializer)}")
    return BY_NAME[initializer]

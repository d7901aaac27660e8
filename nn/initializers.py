"""Initial weights of a layer: functions of its sizes and a NumPy Generator, for `Dense(..., initializer=...)`.

A layer whose weights have another shape than (n_inputs, n_neurons), such as a convolution, passes it as `shape`;
n_inputs is then the number of inputs that an output reads (fan-in), n_neurons that of outputs that an input goes to
(fan-out).
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

Initializer = Callable[..., Array]  # of n_inputs, n_neurons and rng, and perhaps shape
Shape = tuple[int, ...] | None

LARGEST = sys.float_info.max / 16  # of a normal number at most 9.5 deviations
WEIGHTS = "weights (n_inputs, n_neurons)"


def _shape(n_inputs: int, n_neurons: int, shape: Shape = None) -> tuple[int, ...]:
    sizes = whole("n_inputs", n_inputs), whole("n_neurons", n_neurons)
    fits(WEIGHTS, shape or sizes)
    return shape or sizes


def _uniform(limit: float, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    return generator("rng", rng).random(shape) * (2 * limit) - limit


def _normal(deviation: float, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    seed = int(generator("rng", rng).integers(2**64, dtype=np.uint64))
    return backend.ops.normal.forward(shape, seed=seed, dtype=np.float64) * deviation


def glorot_uniform(n_inputs: int, n_neurons: int, rng: np.random.Generator, shape: Shape = None) -> Array:
    """Uniform in +-sqrt(6 / (n_inputs + n_neurons)), for tanh, sigmoid and no activation (Glorot, Bengio 2010)."""
    shape = _shape(n_inputs, n_neurons, shape)
    return _uniform(math.sqrt(6 / (n_inputs + n_neurons)), shape, rng)


def glorot_normal(n_inputs: int, n_neurons: int, rng: np.random.Generator, shape: Shape = None) -> Array:
    """Normal with standard deviation sqrt(2 / (n_inputs + n_neurons)) (Glorot, Bengio 2010)."""
    shape = _shape(n_inputs, n_neurons, shape)
    return _normal(math.sqrt(2 / (n_inputs + n_neurons)), shape, rng)


def he_uniform(n_inputs: int, n_neurons: int, rng: np.random.Generator, shape: Shape = None) -> Array:
    """Uniform in +-sqrt(6 / n_inputs), for ReLU and similar activations (He et al. 2015)."""
    shape = _shape(n_inputs, n_neurons, shape)
    return _uniform(math.sqrt(6 / n_inputs), shape, rng)


def he_normal(n_inputs: int, n_neurons: int, rng: np.random.Generator, shape: Shape = None) -> Array:
    """Normal with standard deviation sqrt(2 / n_inputs) (He et al. 2015)."""
    shape = _shape(n_inputs, n_neurons, shape)
    return _normal(math.sqrt(2 / n_inputs), shape, rng)


def zeros(n_inputs: int, n_neurons: int, rng: np.random.Generator, shape: Shape = None) -> Array:
    """All 0, for a network of a single layer: in hidden layers equal neurons would stay equal."""
    as_seed("rng", rng)
    return np.zeros(_shape(n_inputs, n_neurons, shape))


def uniform(limit: float = 0.05) -> Initializer:
    """Uniform in +-limit."""
    limit = finite("limit", limit, LARGEST)
    return lambda n_inputs, n_neurons, rng, shape=None: _uniform(limit, _shape(n_inputs, n_neurons, shape), rng)


def normal(deviation: float = 0.01) -> Initializer:
    """Normal with this standard deviation; "Neural Networks from Scratch in Python" uses 0.01."""
    deviation = finite("deviation", deviation, LARGEST)
    return lambda n_inputs, n_neurons, rng, shape=None: _normal(deviation, _shape(n_inputs, n_neurons, shape), rng)


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

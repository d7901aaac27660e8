"""Learning rates that change with the number of updates, for `learning_rate=` of an optimizer.

    nn.Adam(learning_rate=nn.schedules.WarmUp(100, nn.schedules.Cosine(0.01, steps=1000)))

A schedule is called with the number of updates made so far. Any such function can be used. Those here use only exact
operations and their own cosine, so a training has the same bits on every machine.
"""

import math
from collections.abc import Callable

import numpy as np

from .arrays import real

Schedule = Callable[[int], float]


def _positive(name: str, value: float, least: float = 0.0) -> float:
    value = real(name, value)
    if not least <= value < math.inf:
        raise ValueError(f"{name} must be a finite number of at least {least:g}, got {value!r}")
    return value


def _steps(name: str, value: int) -> int:
    if isinstance(value, (bool, np.timedelta64)) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    return int(value)


def _power(base: float, exponent: int) -> float:
    # by squaring: libm's pow differs between machines
    if exponent < 0:
        raise ValueError(f"iteration must be at least 0, got {exponent}")
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


def _half_wave(x: float) -> float:
    """(1 + cos(pi x)) / 2 for x in 0..1, by the series of sine and cosine; libm's cos differs between machines."""
    if x > 0.5:
        return 1.0 - _half_wave(1.0 - x)
    square = (math.pi * x / 2) ** 2  # (1 + cos 2a) / 2 = cos(a)^2, a up to pi / 4
    cosine = 0.0
    for n in range(18, 0, -2):
        cosine = (1.0 + cosine) * (-square / (n * (n - 1)))
    return (1.0 + cosine) * (1.0 + cosine)


def foreseeable(rate: float | Schedule) -> bool:
    """Whether the rates of later updates may be computed now: not those of a user's function, which may have state."""
    return not callable(rate) or type(rate).__module__ == __name__ and all(map(foreseeable, vars(rate).values()))


class Constant:
    """The same rate at every update."""

    def __init__(self, rate: float) -> None:
        self.rate = _positive("rate", rate)

    def __call__(self, iteration: int) -> float:
        return self.rate


class Step:
    """Multiplies the rate by `factor` after every `every` updates."""

    def __init__(self, rate: float, *, every: int, factor: float = 0.1) -> None:
        self.rate, self.factor = _positive("rate", rate), _positive("factor", factor)
        self.every = _steps("every", every)

    def __call__(self, iteration: int) -> float:
        return self.rate * _power(self.factor, iteration // self.every)


class Exponential:
    """Multiplies the rate by `factor` after every update."""

    def __init__(self, rate: float, *, factor: float) -> None:
        self.rate, self.factor = _positive("rate", rate), _positive("factor", factor)

    def __call__(self, iteration: int) -> float:
        return self.rate * _power(self.factor, iteration)


class Cosine:
    """Falls from `rate` to `final` in `steps` updates along half a cosine, then stays (Loshchilov, Hutter 2017)."""

    def __init__(self, rate: float, *, steps: int, final: float = 0.0) -> None:
        self.rate, self.steps, self.final = _positive("rate", rate), _steps("steps", steps), _positive("final", final)

    def __call__(self, iteration: int) -> float:
        if iteration >= self.steps:
            return self.final
        return self.final + (self.rate - self.final) * _half_wave(iteration / self.steps)


class WarmUp:
    """Rises in `steps` updates to the first rate of another schedule (or to a number), then follows that schedule."""

    def __init__(self, steps: int, schedule: Schedule | float) -> None:
        self.steps = _steps("steps", steps)
        self.schedule = schedule if callable(schedule) else Constant(schedule)

    def __call__(self, iteration: int) -> float:
        if iteration < self.steps:
            return self.schedule(0) * ((iteration + 1) / self.steps)
        return self.schedule(iteration - self.steps)

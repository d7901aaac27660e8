"""Learning rates that change with the number of updates, for `learning_rate=` of an optimizer.

    nn.Adam(learning_rate=nn.schedules.WarmUp(100, nn.schedules.Cosine(0.01, steps=1000)))

A schedule is called with the number of updates made so far. Any such function can be used. Those here use only exact
operations and their own cosine, so a training has the same bits on every machine.
"""

import math
from collections.abc import Callable
from typing import Any

from .checks import checked, finite, function, whole

Schedule = Callable[[int], float]


def _power(base: float, exponent: int) -> float:
    # by squaring: libm's pow differs between machines
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


def _known_in_advance(rate: float | Schedule) -> bool:
    """Whether the rates of later updates may be computed now: not those of a user's function, which may have state."""
    return not callable(rate) or type(rate).__module__ == __name__ and all(map(_known_in_advance, vars(rate).values()))


def _as_rate(name: str, value: Any) -> Any:
    """A number of at least 0 as a float, or a schedule as it is. Raises TypeError or ValueError for anything else."""
    return function(name, value, "the number of updates", 0) if callable(value) else finite(name, value)


class _Schedule:
    def __call__(self, iteration: int) -> float:
        """The rate after so many updates."""
        return self._at(whole("iteration", iteration, 0))

    def _at(self, iteration: int) -> float:
        raise NotImplementedError


class Constant(_Schedule):
    """The same rate at every update."""

    rate: float = checked(finite)

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def _at(self, iteration: int) -> float:
        return self.rate


class Step(_Schedule):
    """Multiplies the rate by `factor` after every `every` updates."""

    rate: float = checked(finite)
    factor: float = checked(finite)
    every: int = checked(whole)

    def __init__(self, rate: float, *, every: int, factor: float = 0.1) -> None:
        self.rate, self.every, self.factor = rate, every, factor

    def _at(self, iteration: int) -> float:
        return self.rate * _power(self.factor, iteration // self.every)


class Exponential(_Schedule):
    """Multiplies the rate by `factor` after every update."""

    rate: float = checked(finite)
    factor: float = checked(finite)

    def __init__(self, rate: float, *, factor: float) -> None:
        self.rate, self.factor = rate, factor

    def _at(self, iteration: int) -> float:
        return self.rate * _power(self.factor, iteration)


class Cosine(_Schedule):
    """Falls from `rate` to `final` in `steps` updates along half a cosine, then stays (Loshchilov, Hutter 2017)."""

    rate: float = checked(finite)
    steps: int = checked(whole)
    final: float = checked(finite)

    def __init__(self, rate: float, *, steps: int, final: float = 0.0) -> None:
        self.rate, self.steps, self.final = rate, steps, final

    def _at(self, iteration: int) -> float:
        if iteration >= self.steps:
            return self.final
        return self.final + (self.rate - self.final) * _half_wave(iteration / self.steps)


class WarmUp(_Schedule):
    """Rises in `steps` updates to the first rate of another schedule (or to a number), then follows that schedule."""

    steps: int = checked(whole)
    schedule: Schedule = checked(lambda name, value: value if callable(_as_rate(name, value)) else Constant(value))

    def __init__(self, steps: int, schedule: Schedule | float) -> None:
        self.steps, self.schedule = steps, schedule  # type: ignore[assignment]

    def _at(self, iteration: int) -> float:
        later = max(0, iteration - self.steps)
        rate = finite(f"the rate that schedule returned for iteration {later}", self.schedule(later))
        return rate if iteration >= self.steps else rate * ((iteration + 1) / self.steps)

"""The optimizers: what each computes, and from which numbers."""

from functools import partial
from itertools import accumulate, repeat
from operator import mul
from typing import Any

import numpy as np

from .. import backend
from ..arrays import Array
from ..checks import checked, finite, flag
from ..schedules import Schedule, _power
from .base import _Optimizer

MOST = 10**7  # updates whose betas are multiplied one by one, which takes half a second

_fraction = partial(finite, below=1)


class SGD(_Optimizer):
    """Stochastic gradient descent: w -= learning_rate * dw.

    With momentum: v = momentum * v - learning_rate * dw; w += v. With nesterov, from the new v:
    w += momentum * v - learning_rate * dw.

    A second training continues with the state and the decayed rate; see `reset`.
    Raises ValueError unless learning_rate and decay are finite and >= 0, and 0 <= momentum < 1, and for nesterov
    without momentum.
    """

    momentum: float = checked(_fraction)
    nesterov: bool = checked(flag)

    def __init__(self, learning_rate: float | Schedule = 1.0, decay: float = 0.0, momentum: float = 0.0,
                 nesterov: bool = False) -> None:
        super().__init__(learning_rate, decay)
        self.momentum = momentum
        self.nesterov = nesterov
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")

    @property
    def buffers(self) -> int:  # type: ignore[override]
        return 1 if self.momentum else 0

    @property
    def _variant(self) -> Any:
        return self.buffers, self.nesterov

    def _numbers(self, powers: tuple[float, ...]) -> tuple[float, ...]:
        return (self.current_learning_rate, self.momentum) if self.momentum else (self.current_learning_rate,)

    def _step(self, values: Array, gradients: Any, state: tuple[Array, ...], numbers: tuple[float, ...]) -> None:
        if state:
            backend.ops.sgd.step(values, gradients, state[0], learning_rate=numbers[0], momentum=numbers[1],
                                 nesterov=self.nesterov)
        else:
            backend.ops.sgd.step(values, gradients, learning_rate=numbers[0])


class Adagrad(_Optimizer):
    """w -= learning_rate * dw / (sqrt(cache) + epsilon); the cache is the sum of all dw^2 so far (Duchi et al. 2011).

    A second training continues with the state and the decayed rate; see `reset`.
    Raises ValueError unless learning_rate, decay and epsilon are finite and >= 0.
    """

    buffers = 1
    epsilon: float = checked(finite)

    def __init__(self, learning_rate: float | Schedule = 1.0, decay: float = 0.0, epsilon: float = 1e-7) -> None:
        super().__init__(learning_rate, decay)
        self.epsilon = epsilon

    def _numbers(self, powers: tuple[float, ...]) -> tuple[float, ...]:
        return self.current_learning_rate, self.epsilon

    def _step(self, values: Array, gradients: Any, state: tuple[Array, ...], numbers: tuple[float, ...]) -> None:
        rate, epsilon = numbers
        backend.ops.adagrad.step(values, gradients, state[0], learning_rate=rate, epsilon=epsilon)


class RMSprop(_Optimizer):
    """w -= learning_rate * dw / (sqrt(cache) + epsilon); the cache is a moving mean of dw^2 (Tieleman, Hinton 2012).

    A second training continues with the state and the decayed rate; see `reset`.
    Raises ValueError unless learning_rate, decay and epsilon are finite and >= 0, and 0 <= rho < 1.
    """

    buffers = 1
    epsilon: float = checked(finite)
    rho: float = checked(_fraction)

    def __init__(self, learning_rate: float | Schedule = 0.001, decay: float = 0.0, epsilon: float = 1e-7,
                 rho: float = 0.9) -> None:
        super().__init__(learning_rate, decay)
        self.epsilon = epsilon
        self.rho = rho

    def _numbers(self, powers: tuple[float, ...]) -> tuple[float, ...]:
        return self.current_learning_rate, self.rho, self.epsilon

    def _step(self, values: Array, gradients: Any, state: tuple[Array, ...], numbers: tuple[float, ...]) -> None:
        rate, rho, epsilon = numbers
        backend.ops.rmsprop.step(values, gradients, state[0], learning_rate=rate, rho=rho, epsilon=epsilon)


def _product(beta: float, count: int) -> float:
    """beta ** count, up to MOST with the bits of `Adam._next_powers`; beyond, faster, for files that claim more."""
    power = 1.0
    for _ in range(min(count, MOST)):
        before, power = power, power * beta
        if power == before:  # so small that it no longer changes
            return power
    return power * _power(beta, max(0, count - MOST))


class Adam(_Optimizer):
    """Moving means of the gradient and of its square, corrected for their start at 0 (Kingma, Ba 2015).

    The correction uses the number of updates of each layer, as in PyTorch, not `iterations`. With weight_decay, all
    parameters are first multiplied by 1 - learning_rate * weight_decay, as in `AdamW`.
    A second training continues with the state and the decayed rate; see `reset`.
    Raises ValueError unless learning_rate, decay, epsilon and weight_decay are finite and >= 0, and both betas >= 0
    and < 1.
    """

    buffers = 2
    powers = (1.0, 1.0)  # the products of the betas of all updates
    epsilon: float = checked(finite)
    beta_1: float = checked(_fraction)
    beta_2: float = checked(_fraction)
    weight_decay: float = checked(finite)

    def __init__(self, learning_rate: float | Schedule = 0.001, decay: float = 0.0, epsilon: float = 1e-7,
                 beta_1: float = 0.9, beta_2: float = 0.999, weight_decay: float = 0.0) -> None:
        super().__init__(learning_rate, decay)
        self.epsilon = epsilon
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.weight_decay = weight_decay

    def _next_powers(self, powers: tuple[float, ...]) -> tuple[float, ...]:
        # beta ** t as a running product: libm's pow differs between machines
        return powers[0] * self.beta_1, powers[1] * self.beta_2

    def _powers_after(self, updates: int) -> tuple[float, ...]:
        return _product(self.beta_1, updates), _product(self.beta_2, updates)

    def _fill_corrections(self, table: Array, powers: tuple[float, ...]) -> tuple[float, ...]:
        first, second = (list(accumulate(repeat(beta, len(table)), mul, initial=power))[1:]
                         for beta, power in zip((self.beta_1, self.beta_2), powers))
        table[:, 1], table[:, 2] = 1 - np.array(first), 1 - np.array(second)
        return first[-1], second[-1]

    def _numbers(self, powers: tuple[float, ...]) -> tuple[float, ...]:
        return (self.current_learning_rate, 1 - powers[0], 1 - powers[1], self.beta_1, self.beta_2, self.epsilon,
                self.weight_decay)

    def _step(self, values: Array, gradients: Any, state: tuple[Array, ...], numbers: tuple[float, ...]) -> None:
        rate, correction_1, correction_2, beta_1, beta_2, epsilon, weight_decay = numbers
        backend.ops.adam.step(values, gradients, state[0], state[1], learning_rate=rate, correction_1=correction_1,
                              correction_2=correction_2, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon,
                              weight_decay=weight_decay)


class AdamW(Adam):
    """Adam with weight decay (Loshchilov, Hutter 2019), by default 0.01 as in PyTorch; biases decay too, as there.

    A second training continues with the state and the decayed rate; see `reset`.
    """

    def __init__(self, learning_rate: float | Schedule = 0.001, decay: float = 0.0, epsilon: float = 1e-7,
                 beta_1: float = 0.9, beta_2: float = 0.999, weight_decay: float = 0.01) -> None:
        super().__init__(learning_rate, decay, epsilon, beta_1, beta_2, weight_decay)

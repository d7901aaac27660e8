"""Batch normalization (Ioffe, Szegedy 2015): y = (x - m) r gamma + beta, r = 1 / sqrt(v + eps), with the mean m and the
biased variance v of a channel over the M numbers of a batch in training, and the running ones else.

Gradients in training, with u = (x - m) r: dgamma = sum of dy u, dbeta = sum of dy, dx = gamma r (dy - dbeta / M -
u dgamma / M); else the statistics do not depend on x, and dx = gamma r dy. As torch.nn.functional.batch_norm: the
running variance takes v M / (M - 1), and eps, momentum mean the same.
"""

import math

import numpy as np

DIMENSIONS = ("N", "C", "H", "W")
SAVED = ("m", "r")  # of backward's arguments, what forward returns after y
UPDATED = ("mean", "variance")  # what forward updates in training
SHAPES = ((2, 1, 1, 1), (1, 3, 1, 2), (3, 5, 4, 4), (2, 17, 3, 5), (5, 16, 1, 1), (3, 40, 1, 1), (2, 3, 9, 33),
          (260, 2, 1, 3), (515, 3, 1, 1))


def inputs(rng, shape, dtype):
    c = shape[1]
    x, dy = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    gamma, beta, mean = (rng.standard_normal(c).astype(dtype) for _ in range(3))
    variance = (rng.random(c) + 0.5).astype(dtype)
    flat = [each[:, :, 0, 0].copy() for each in (x, dy)]
    cases: list = []
    for x, dy in ((x, dy), flat):
        for training in (True, False):
            if training and x.size < 2 * c:
                continue
            running = mean.copy(), variance.copy()  # of this case alone: they are updated
            _, m, r = forward(x, gamma, beta, mean.copy(), variance.copy(), training=training)
            options = {"training": training}
            cases.append(("forward", (x, gamma, beta, *running), {**options, "momentum": 0.1, "eps": 1e-5}))
            cases.append(("backward", (dy, x, gamma, m, r), options))
    return cases


def _fits(lengths, training, **others):
    """Whether lengths by letters have statistics."""
    return not training or lengths["N"] * lengths.get("H", 1) * lengths.get("W", 1) > 1


def _beside(x, channel):
    """A number for each channel, beside x."""
    return channel.reshape(-1, *[1] * (x.ndim - 2))


def _over(x):
    """All axes but that of the channels."""
    return (0, *range(2, x.ndim))


def forward(x, gamma, beta, mean, variance, *, training, momentum=0.1, eps=1e-5, out=(None, None, None), parallel=None):
    v = variance
    m = np.empty_like(mean) if out[1] is None else out[1]
    m[...] = np.mean(x, axis=_over(x)) if training else mean
    if training:
        v, count = np.mean((x - _beside(x, m)) ** 2, axis=_over(x)), x.size // x.shape[1] if x.shape[1] else 2
        mean[...] = mean * (1 - momentum) + m * momentum
        variance[...] = variance * (1 - momentum) + v * count / (count - 1) * momentum
    r = np.divide(1, np.sqrt(v + x.dtype.type(eps)), out=out[2])
    y = np.multiply(x - _beside(x, m), _beside(x, gamma * r), out=out[0])
    y += _beside(x, beta)
    return y, m, r


def backward(dy, x, gamma, m, r, *, training, out=(None, None, None), parallel=None):
    u, count = (x - _beside(x, m)) * _beside(x, r), math.prod(x.shape[axis] for axis in _over(x))
    dgamma, dbeta = np.sum(dy * u, axis=_over(x), out=out[1]), np.sum(dy, axis=_over(x), out=out[2])
    given = dy - _beside(x, dbeta) / count - u * (_beside(x, dgamma) / count) if training else dy
    return np.multiply(_beside(x, gamma * r), given, out=out[0]), dgamma, dbeta

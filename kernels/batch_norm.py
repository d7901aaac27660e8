"""Batch normalization: y = (x - mean) / sqrt(variance + eps) * gamma + beta, by the mean and variance of a channel."""

import math

import numpy as np
from numba import prange

from .core import check
from .core.blocks import SUM_ROWS
from .core.compile import inline, loops, pick, shared
from .core.memory import load, pointer, store
from .core.moments import four_rows, known, row_moments
from .core.public import public
from .core.vectors import fma, fold_sum, lanes, splat, sqrt

FOUR, WIDE = 4, 8  # channels at a time, and vectors of them where images are single numbers
PARALLEL_FROM = 65_536  # elements


@inline
def _block_sum(term, a, b, c, d, first, last):
    """The sum over the images of `term(a, b, at, end, c, d)`, of a vector of channels, by blocks."""
    images, channels = a.shape[0], a.shape[1]
    total = splat(a, -0.0 if images else 0.0)
    for start in range(0, images, SUM_ROWS):
        block = splat(a, -0.0)
        for i in range(start, min(start + SUM_ROWS, images)):
            block = block + term(a, b, i * channels + first, i * channels + last, c, d)
        total = total + block
    return total


@inline
def _sum(sums, others, at, end, m, n):
    return load(sums, at, end, 0.0)


@inline
def _spread(sums, squares, at, end, m, n):
    """Of one image, the squares within it and between it and all."""
    d = load(sums, at, end, 0.0) / n - m
    return d * d if n == 1 else load(squares, at, end, 0.0) + d * d * n


@shared
def _statistics(sums, squares, n, mean, variance, momentum, eps, m, r, first, last):
    """Mean and 1 / deviation of a vector of channels, and the running statistics."""
    count = sums.shape[0] * n
    center = _block_sum(_sum, sums, squares, 0.0, n, first, last) / count
    spread = _block_sum(_spread, sums, squares, center, n, first, last) / count
    store(m, first, last, center)
    store(r, first, last, 1.0 / sqrt(spread + eps))
    store(mean, first, last, load(mean, first, last, 0.0) * (1.0 - momentum) + center * momentum)
    unbiased = spread * count / (count - 1)
    store(variance, first, last, load(variance, first, last, 0.0) * (1.0 - momentum) + unbiased * momentum)


@shared
def _normalize(x, gamma, beta, m, r, y, i, first, last):
    """Some channels of image i."""
    channels, n = x.shape[1], x.shape[2]
    start = i * channels
    if n == 1:
        for j in range(first, last, lanes(x)):
            scale = load(gamma, j, last, 0.0) * load(r, j, last, 0.0)
            v = load(x, start + j, start + last, 0.0) - load(m, j, last, 0.0)
            store(y, start + j, start + last, fma(v, scale, load(beta, j, last, 0.0)))
    else:
        for j in range(first, last):
            center, scale, shift = splat(x, m[j]), splat(x, gamma[j]) * splat(x, r[j]), splat(x, beta[j])
            end = (start + j + 1) * n
            for at in range((start + j) * n, end, lanes(x)):
                store(y, at, end, fma(load(x, at, end, 0.0) - center, scale, shift))


@shared
def _train(x, gamma, beta, mean, variance, momentum, eps, y, m, r, sums, squares, first, last):
    images, channels, n = x.shape
    if n == 1:
        for j in range(first, last, lanes(x)):
            _statistics(x, squares, n, mean, variance, momentum, eps, m, r, j, min(j + lanes(x), last))
    else:
        for i in range(images):
            row_moments(x, n, i * channels + first, i * channels + last, pointer(sums), pointer(squares))
        _statistics(sums, squares, n, mean, variance, momentum, eps, m, r, first, last)
    for i in range(images):
        _normalize(x, gamma, beta, m, r, y, i, first, last)


@shared
def _infer(mean, variance, eps, m, r):
    for j in range(0, m.size, lanes(m)):
        store(m, j, m.size, load(mean, j, m.size, 0.0))
        store(r, j, m.size, 1.0 / sqrt(load(variance, j, m.size, 0.0) + eps))


@loops(writes=("y", "m", "r", "sums", "squares"), updates=("mean", "variance"))
def _forward(x, gamma, beta, mean, variance, training, momentum, eps, y, m, r, sums, squares):
    """x and y (N, C, H W); sums and squares (N, C, 1) are room, unless H W = 1."""
    images, channels, n = x.shape
    if training:
        # a few channels at a time, which are still in the second-level cache when they are read again
        width = WIDE * lanes(x) if n == 1 else FOUR
        for group in prange((channels + width - 1) // width):
            _train(x, gamma, beta, mean, variance, momentum, eps, y, m, r, sums, squares, group * width,
                   min((group + 1) * width, channels))
    else:
        _infer(mean, variance, eps, m, r)
        for i in prange(images):
            _normalize(x, gamma, beta, m, r, y, i, 0, channels)


@public
def forward(x, gamma, beta, mean, variance, *, training, momentum=0.1, eps=1e-5, out=None, parallel=None):
    """Normalize each channel, by the batch in training and by the running statistics else.

    x : (N, C, H, W) or (N, C) float32 or float64, any strides; not modified
    gamma, beta : (C,) dtype of x, any strides; not modified
    mean, variance : (C,) dtype of x: the running statistics; in training C-contiguous and updated, else only read
    training : True or False
    momentum : a finite number: the share of this batch in the running statistics
    eps : a finite number, at least 0
    out : a tuple of arrays to write, None for those to allocate: y, m and r, shape of x, (C,) and (C,), C-contiguous;
        none may overlap an input
    parallel : None decides by size; True or False overrides

    Returns (y, m, r): y = fma(x - m, gamma r, beta), shape and dtype of x, and for `backward` m (C,), the mean, and r
    (C,) = 1 / sqrt(v + eps) with the biased variance v. In training they are of the M = N H W numbers of a channel:
    sums along the rows of H W numbers, blocks of 256 images added in order, and squares within images and between them.
    Then mean = (1 - momentum) mean + momentum m, and variance likewise with v M / (M - 1).
    Raises TypeError for other or unequal dtypes, ValueError for shapes that do not fit, and in training for M < 2,
    as in a last batch of one sample. NaN propagates within its channel.
    Formula and source: kernels/reference/batch_norm.py
    """
    training = check.flag("training", training)
    momentum, eps = check.number("momentum", momentum), check.not_negative("eps", eps)
    y, m, r = check.outs(out, 3)
    x, images = _images(x, training)
    channels = x.shape[1]
    gamma, beta = _of_channels("gamma", gamma, x), _of_channels("beta", beta, x)
    if training:
        mean, variance = check.written("mean", mean), check.written("variance", variance)
    mean, variance = _of_channels("mean", mean, x), _of_channels("variance", variance, x)
    if training:
        check.apart(("mean", "variance", "x", "gamma", "beta"), (mean, variance, x, gamma, beta), 2)
    read = (x, gamma, beta, mean, variance)
    y = check.out("out[0]", y, x.shape, x.dtype, *read)
    m = check.out("out[1]", m, (channels,), x.dtype, *read, y)
    r = check.out("out[2]", r, (channels,), x.dtype, *read, y, m)
    room = np.empty((2, *_room(images, training)), x.dtype)
    pick(_forward, x.size >= PARALLEL_FROM, parallel)(
        images, gamma, beta, mean, variance, training, momentum, eps, y.reshape(images.shape), m, r, *room)
    return y, m, r


def _images(x, training):
    """The array, and as (N, C, H W)."""
    x = check.array("x", x)
    if x.ndim not in (2, 4):
        raise ValueError(f"x must have shape (N, C, H, W) or (N, C), got shape {x.shape}")
    numbers = math.prod(x.shape[2:])
    if training and x.shape[0] * numbers < 2:
        raise ValueError(f"x must have at least two numbers a channel in training, got shape {x.shape}: one number has "
                         "no variance; a last batch of one sample is the usual cause")
    return x, x.reshape(*x.shape[:2], numbers)


def _of_channels(name, given, x):
    given = check.array(name, given, 1)
    check.dtype_of(name, given, "x", x)
    if given.shape[0] != x.shape[1]:
        raise ValueError(f"{name} must have shape ({x.shape[1]},) to match x {x.shape}, got {given.shape}")
    return given


def _room(images, used):
    """The shape of what holds a number for each image and channel, where that is needed."""
    return (*images.shape[:2], 1) if used and images.shape[2] != 1 else (0, 0, 1)


@inline
def _unit(x, at, end, m, r):
    return (load(x, at, end, 0.0) - m) * r


@shared
def _row_gradients(dy, x, n, row, last, m, r, sums, products):
    """sums[i] = the sum of row i of dy, products[i] that of dy (x - m) r, for four rows."""
    channels = x.shape[1]
    i, j, k, p = four_rows(row, last)
    a = b = c = d = e = f = g = h = splat(x, -0.0)
    m_i, m_j, m_k, m_p = m[i % channels], m[j % channels], m[k % channels], m[p % channels]
    r_i, r_j, r_k, r_p = r[i % channels], r[j % channels], r[k % channels], r[p % channels]
    for at in range(0, n, lanes(x)):
        a, e = _add_gradient(dy, x, n, i, at, m_i, r_i, a, e)
        b, f = _add_gradient(dy, x, n, j, at, m_j, r_j, b, f)
        c, g = _add_gradient(dy, x, n, k, at, m_k, r_k, c, g)
        d, h = _add_gradient(dy, x, n, p, at, m_p, r_p, d, h)
    sums[i], sums[j], sums[k], sums[p] = fold_sum(a), fold_sum(b), fold_sum(c), fold_sum(d)
    products[i], products[j], products[k], products[p] = fold_sum(e), fold_sum(f), fold_sum(g), fold_sum(h)


@inline
def _add_gradient(dy, x, n, row, at, m, r, total, product):
    u = _unit(x, row * n + at, (row + 1) * n, splat(x, m), splat(x, r))
    v = load(dy, row * n + at, (row + 1) * n, -0.0)
    return total + v, product + known(x, v * u, n - at)


@inline
def _product(dy, x, at, end, m, r):
    return load(dy, at, end, 0.0) * _unit(x, at, end, m, r)


@shared
def _channel_gradients(dy, x, n, m, r, sums, products, dgamma, dbeta, first, last):
    """dgamma and dbeta of a vector of channels."""
    if n == 1:
        center, inverse = load(m, first, last, 0.0), load(r, first, last, 0.0)
        a = _block_sum(_sum, dy, x, 0.0, n, first, last)
        b = _block_sum(_product, dy, x, center, inverse, first, last)
    else:
        a = _block_sum(_sum, sums, products, 0.0, n, first, last)
        b = _block_sum(_sum, products, sums, 0.0, n, first, last)
    store(dbeta, first, last, a)
    store(dgamma, first, last, b)


@inline
def _gradient(dy, x, at, end, m, r, scale, a, b, training):
    if training:
        return scale * ((load(dy, at, end, 0.0) - a) - _unit(x, at, end, m, r) * b)
    return load(dy, at, end, 0.0) * scale


@shared
def _input_gradient(dy, x, gamma, m, r, training, dx, dgamma, dbeta, i, first, last):
    """Of some channels of image i."""
    images, channels, n = x.shape
    count, start = images * n, i * channels
    if n == 1:
        for j in range(first, last, lanes(x)):
            center, inverse = load(m, j, last, 0.0), load(r, j, last, 0.0)
            a, b = load(dbeta, j, last, 0.0) / count, load(dgamma, j, last, 0.0) / count
            scale = load(gamma, j, last, 0.0) * inverse
            store(dx, start + j, start + last,
                  _gradient(dy, x, start + j, start + last, center, inverse, scale, a, b, training))
    else:
        for j in range(first, last):
            center, inverse = splat(x, m[j]), splat(x, r[j])
            a, b = splat(x, dbeta[j]) / count, splat(x, dgamma[j]) / count
            scale, end = splat(x, gamma[j]) * inverse, (start + j + 1) * n
            for at in range((start + j) * n, end, lanes(x)):
                store(dx, at, end, _gradient(dy, x, at, end, center, inverse, scale, a, b, training))


@shared
def _gradients(dy, x, gamma, m, r, training, dx, dgamma, dbeta, sums, products, first, last):
    images, channels, n = x.shape
    if n != 1:
        for i in range(images):
            row, end = i * channels + first, i * channels + last
            _row_gradients(dy, x, n, row, end, m, r, pointer(sums), pointer(products))
    for j in range(first, last, lanes(x)):
        _channel_gradients(dy, x, n, m, r, sums, products, dgamma, dbeta, j, min(j + lanes(x), last))
    for i in range(images):
        _input_gradient(dy, x, gamma, m, r, training, dx, dgamma, dbeta, i, first, last)


@loops(writes=("dx", "dgamma", "dbeta", "sums", "products"))
def _backward(dy, x, gamma, m, r, training, dx, dgamma, dbeta, sums, products):
    channels = x.shape[1]
    width = WIDE * lanes(x) if x.shape[2] == 1 else FOUR
    for group in prange((channels + width - 1) // width):
        _gradients(dy, x, gamma, m, r, training, dx, dgamma, dbeta, sums, products, group * width,
                   min((group + 1) * width, channels))


@public
def backward(dy, x, gamma, m, r, *, training, out=None, parallel=None):
    """The gradients with respect to x, gamma and beta.

    dy, x : (N, C, H, W) or (N, C) float32 or float64, same dtype and shape, any strides; not modified
    gamma : (C,) as given to `forward`, dtype of x; not modified
    m, r : (C,) of `forward`, dtype of x, any strides; not modified
    training : True or False, as given to `forward`
    out : a tuple of arrays to write, None for those to allocate: dx, dgamma and dbeta, shape of x, (C,) and (C,),
        C-contiguous; none may overlap an input
    parallel : None decides by size; True or False overrides

    Returns (dx, dgamma, dbeta), dtype of x. With u = (x - m) r, dbeta and dgamma are the sums of dy and dy u, in the
    order of `forward`, and dx = gamma r ((dy - dbeta / M) - u dgamma / M); without training, by statistics that do not
    depend on x, dx = dy gamma r.
    Raises TypeError for other or unequal dtypes, ValueError for shapes that do not fit, and in training for M < 2.
    NaN propagates.
    Formula and source: kernels/reference/batch_norm.py
    """
    training = check.flag("training", training)
    dx, dgamma, dbeta = check.outs(out, 3)
    x, images = _images(x, training)
    dy = check.same("dy", dy, "x", x)
    gamma, m, r = _of_channels("gamma", gamma, x), _of_channels("m", m, x), _of_channels("r", r, x)
    read = (dy, x, gamma, m, r)
    dx = check.out("out[0]", dx, x.shape, x.dtype, *read)
    dgamma = check.out("out[1]", dgamma, gamma.shape, x.dtype, *read, dx)
    dbeta = check.out("out[2]", dbeta, gamma.shape, x.dtype, *read, dx, dgamma)
    room = np.empty((2, *_room(images, True)), x.dtype)
    pick(_backward, x.size >= PARALLEL_FROM, parallel)(
        dy.reshape(images.shape), images, gamma, m, r, training, dx.reshape(images.shape), dgamma, dbeta, *room)
    return dx, dgamma, dbeta

"""Convolutions as DEFINITIONS has them, one chain of fma a number: what kernels must agree with bit for bit."""

import itertools

import numpy as np
from scalar import block_sum, fma, lane_sum

from nnjit.kernels.reference import conv2d

BLOCK = 1024  # pixels


def chain(a, b):
    """Chains of fma over the first axis, of many numbers side by side."""
    total = np.zeros(np.broadcast_shapes(a.shape[1:], b.shape[1:]), a.dtype)
    for x, y in zip(a, b):
        total = fma(x, y, total)
    return total


def padded(x, kernel, options):
    """x with its padding, and how much that is."""
    around = conv2d._paddings(options.get("padding", 0), kernel, options.get("dilation", 1))
    return np.pad(x, ((0, 0), (0, 0), *around), conv2d.MODES[options.get("padding_mode", "zeros")]), around


def geometry(options):
    return (*(conv2d._pair(options.get(name, 1)) for name in ("stride", "dilation")), options.get("groups", 1))


def output_size(X, kernel, options):
    strides, dilations, _ = geometry(options)
    return tuple((n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(X.shape[2:], kernel, strides, dilations))


def met(X, kernel, size, options):
    """(C, KH, KW, N, P, Q): what each tap meets."""
    (sy, sx), (dy, dx), _ = geometry(options)
    return np.array([[[X[:, c, ky * dy:ky * dy + (size[0] - 1) * sy + 1:sy, kx * dx:kx * dx + (size[1] - 1) * sx + 1:sx]
                       for kx in range(kernel[1])] for ky in range(kernel[0])] for c in range(X.shape[1])])


def correlate(X, w, b, options):
    """The outputs for a padded image: chains over c, ky, kx."""
    there = met(X, w.shape[2:], output_size(X, w.shape[2:], options), options)
    groups, channels = options.get("groups", 1), w.shape[1]
    y = []
    for k in range(len(w)):
        g = k // (len(w) // groups)
        part = there[g * channels:(g + 1) * channels].reshape(-1, *there.shape[3:])
        y.append(chain(w[k].reshape(-1, 1, 1, 1), part) + (0 if b is None else b[k]))
    return np.array(y).swapaxes(0, 1)


def spread(dy, w, shape, start, options):
    """The gradient of x: chains over o, ky, kx, for the pixels of each phase side by side."""
    strides, dilations, groups = geometry(options)
    o, channels, (height, width) = len(w) // groups, w.shape[1], shape[2:]
    room = [max((k - 1) * d + p, 0) for k, d, p in zip(w.shape[2:], dilations, start)]
    wide = np.pad(dy, ((0, 0), (0, 0), *((r, r + length) for r, length in zip(room, (height, width)))))
    dx = np.zeros(shape, dy.dtype)
    for c, fy, fx in itertools.product(range(shape[1]), range(strides[0]), range(strides[1])):
        total = dx[:, c, fy::strides[0], fx::strides[1]].copy()
        g = c // channels
        for k, ky, kx in itertools.product(range(g * o, (g + 1) * o), range(w.shape[2]), range(w.shape[3])):
            t = fy + start[0] - ky * dilations[0], fx + start[1] - kx * dilations[1]
            if t[0] % strides[0] == 0 and t[1] % strides[1] == 0:
                row, column = (each // s + r for each, s, r in zip(t, strides, room))
                part = wide[:, k, row:row + total.shape[1], column:column + total.shape[2]]
                total = fma(w[k, c % channels, ky, kx], part, total)
        dx[:, c, fy::strides[0], fx::strides[1]] = total
    return dx


def input_gradient(dy, w, x, options):
    X, ((top, _), (left, _)) = padded(x, w.shape[2:], options)
    if options.get("padding_mode", "zeros") == "zeros":
        return spread(dy, w, x.shape, (top, left), options)
    copies = spread(dy, w, X.shape, (0, 0), options)
    numbers, _ = padded(np.arange(x[0, 0].size).reshape(1, 1, *x.shape[2:]), w.shape[2:], options)
    dx = np.full((*x.shape[:2], x[0, 0].size), -0.0, x.dtype)
    for at, number in np.ndenumerate(numbers[0, 0]):
        dx[:, :, number] = dx[:, :, number] + copies[:, :, at[0], at[1]]
    return dx.reshape(x.shape)


def kernel_gradient(dy, X, w, options):
    """Chains over n, oy, ox within blocks of images, and the sums of these."""
    there, groups = met(X, w.shape[2:], dy.shape[2:], options), options.get("groups", 1)
    o, channels = len(w) // groups, w.shape[1]
    block, dw = -(-BLOCK // (dy.shape[2] * dy.shape[3])), np.empty_like(w)
    for g in range(groups):
        of, part = slice(g * o, (g + 1) * o), there[g * channels:(g + 1) * channels]
        sums = []
        for first in range(0, len(dy), block):
            gradients = np.moveaxis(dy[first:first + block, of], 1, -1).reshape(-1, o, 1, 1, 1)
            images = part[:, :, :, first:first + block].reshape(1, *part.shape[:3], -1)
            sums.append(chain(gradients, np.moveaxis(images, -1, 0)))
        dw[of] = block_sum(np.array(sums), len(sums))
    return dw


def bias_gradient(dy):
    return np.array([block_sum(np.array([lane_sum(image[k].ravel()) for image in dy]), 256)
                     for k in range(dy.shape[1])])

import itertools

import numpy as np
import pytest
from scalar import LANES, assert_same_bits, block_sum, fma, gamma, lane_sum

from nnjit.kernels import conv2d, dense, matmul, reference, relu, sigmoid, tanh

ACTIVATIONS = {None: None, "relu": relu, "sigmoid": sigmoid, "tanh": tanh}
DTYPES = (np.float32, np.float64)
OPTIONS = ("stride", "padding", "dilation", "groups", "padding_mode")


def chain(a, b):
    """Chains of fma over the first axis, of many numbers side by side."""
    total = np.zeros(np.broadcast_shapes(a.shape[1:], b.shape[1:]), a.dtype)
    for x, y in zip(a, b):
        total = fma(x, y, total)
    return total


def padded(x, kernel, options):
    around = reference.conv2d.paddings(options.get("padding", 0), kernel, options.get("dilation", 1))
    mode = reference.conv2d.MODES[options.get("padding_mode", "zeros")]
    return np.pad(x, ((0, 0), (0, 0), *around), mode), around


def geometry(options):
    return (*(reference.conv2d.pair(options.get(name, 1)) for name in ("stride", "dilation")), options.get("groups", 1))


def size_of(X, w, options):
    (sy, sx), (dy, dx), _ = geometry(options)
    return (X.shape[2] - dy * (w.shape[2] - 1) - 1) // sy + 1, (X.shape[3] - dx * (w.shape[3] - 1) - 1) // sx + 1


def windows(X, w, options):
    """(C, KH, KW, N, P, Q): what each tap meets."""
    (sy, sx), (dy, dx), _ = geometry(options)
    height, width = size_of(X, w, options)
    return np.array([[[X[:, c, ky * dy:ky * dy + (height - 1) * sy + 1:sy, kx * dx:kx * dx + (width - 1) * sx + 1:sx]
                       for kx in range(w.shape[3])] for ky in range(w.shape[2])] for c in range(X.shape[1])])


def scalar_forward(x, w, b, options):
    X, _ = padded(x, w.shape[2:], options)
    met, groups = windows(X, w, options), options.get("groups", 1)
    o, channels = len(w) // groups, w.shape[1]
    y = []
    for k in range(len(w)):
        g = k // o
        part = met[g * channels:(g + 1) * channels].reshape(-1, *met.shape[3:])
        y.append(chain(w[k].reshape(-1, 1, 1, 1), part) + (0 if b is None else b[k]))
    return np.array(y).swapaxes(0, 1)


def scalar_spread(dy, w, shape, start, options):
    (sy, sx), (ky_step, kx_step), groups = geometry(options)
    o, channels = len(w) // groups, w.shape[1]
    dx = np.zeros(shape, dy.dtype)
    for c, iy, ix in np.ndindex(shape[1:]):
        g, total = c // channels, np.zeros(shape[0], dy.dtype)
        for k, ky, kx in itertools.product(range(g * o, (g + 1) * o), range(w.shape[2]), range(w.shape[3])):
            ty, tx = iy + start[0] - ky * ky_step, ix + start[1] - kx * kx_step
            if ty % sy == 0 and tx % sx == 0:
                there = 0 <= ty // sy < dy.shape[2] and 0 <= tx // sx < dy.shape[3]
                v = dy[:, k, ty // sy, tx // sx] if there else np.zeros(shape[0], dy.dtype)
                total = fma(w[k, c % channels, ky, kx], v, total)
        dx[:, c, iy, ix] = total
    return dx


def scalar_input_gradient(dy, w, x, options):
    X, ((top, _), (left, _)) = padded(x, w.shape[2:], options)
    if options.get("padding_mode", "zeros") == "zeros":
        return scalar_spread(dy, w, x.shape, (top, left), options)
    copies = scalar_spread(dy, w, X.shape, (0, 0), options)
    numbers, _ = padded(np.arange(x[0, 0].size).reshape(1, 1, *x.shape[2:]), w.shape[2:], options)
    dx = np.full((*x.shape[:2], x[0, 0].size), -0.0, x.dtype)
    for at, number in np.ndenumerate(numbers[0, 0]):
        dx[:, :, number] = dx[:, :, number] + copies[:, :, at[0], at[1]]
    return dx.reshape(x.shape)


def scalar_kernel_gradient(dy, X, w, options):
    met, groups = windows(X, w, options), options.get("groups", 1)
    o, channels, pixels = len(w) // groups, w.shape[1], dy.shape[2] * dy.shape[3]
    block, dw = -(-1024 // pixels), []
    for k in range(len(w)):
        g = k // o
        part = met[g * channels:(g + 1) * channels]
        sums = [chain(dy[first:first + block, k].reshape(-1, 1, 1, 1),
                      np.moveaxis(part[:, :, :, first:first + block].reshape(*part.shape[:3], -1), -1, 0))
                for first in range(0, len(dy), block)]
        total = sums[0]
        for each in sums[1:]:
            total = total + each
        dw.append(total)
    return np.array(dw)


def scalar_bias_gradient(dy):
    return np.array([block_sum(np.array([lane_sum(image[k].ravel()) for image in dy]), 256)
                     for k in range(dy.shape[1])])


def arguments(shape, outputs, kernel, options, dtype, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype(dtype)
    w = rng.standard_normal((outputs, shape[1] // options.get("groups", 1), *kernel)).astype(dtype)
    return x, w, rng.standard_normal(outputs).astype(dtype), rng


# rows that are whole vectors and not, single vectors and images that share tiles, each number of channels left over,
# strides, dilations, groups, channels of their own, kernels as large as the image
CASES = (
    ((2, 1, 28, 28), 6, (5, 5), {"padding": 2}),
    ((3, 6, 14, 14), 16, (5, 5), {}),
    ((1, 3, 16, 16), 11, (3, 3), {"padding": 1}),
    ((2, 4, 11, 13), 15, (3, 3), {"stride": 2, "padding": 1}),
    ((1, 2, 8, 36), 3, (3, 3), {"stride": 2, "padding": 1}),
    ((2, 12, 9, 8), 10, (3, 3), {"stride": 2, "padding": 2, "dilation": 2, "groups": 2}),
    ((2, 4, 13, 13), 7, (4, 4), {"stride": 3, "padding": 1}),
    ((7, 3, 4, 4), 9, (1, 1), {"stride": 2}),
    ((5, 2, 3, 4), 20, (3, 4), {}),
    ((2, 35, 6, 6), 9, (3, 3), {"padding": 1}),
    ((2, 8, 9, 7), 8, (3, 3), {"padding": 1, "groups": 8}),
    ((1, 20, 5, 34), 20, (3, 3), {"padding": 1, "groups": 20, "stride": (1, 2)}),
    ((2, 3, 7, 6), 6, (2, 3), {"groups": 3, "padding": "same"}),
    ((1, 2, 9, 17), 5, (3, 5), {"padding": ((1, 2), (0, 3)), "dilation": (2, 1)}),
    ((2, 3, 5, 6), 4, (3, 3), {"padding": 1, "padding_mode": "reflect"}),
    ((1, 2, 4, 5), 3, (4, 3), {"padding": "same", "padding_mode": "replicate", "dilation": (1, 2)}),
    ((1, 17, 4, 5), 17, (3, 3), {"padding": (3, 2), "padding_mode": "reflect", "groups": 17, "stride": 2}),
    ((2, 2, 3, 3), 2, (2, 2), {"padding": (4, 0), "stride": (5, 1)}),
    ((70, 2, 4, 4), 3, (1, 3), {"padding": (0, 1)}),
)
each_case = pytest.mark.parametrize("shape, outputs, kernel, options", CASES, ids=str)


@pytest.mark.parametrize("dtype", DTYPES)
@each_case
def test_outputs_are_chains(shape, outputs, kernel, options, dtype):
    x, w, b, _ = arguments(shape, outputs, kernel, options, dtype)
    for bias in (None, b):
        z = scalar_forward(x, w, bias, options)
        for parallel in (False, True):
            assert_same_bits(conv2d.forward(x, w, bias, parallel=parallel, **options), z)
    for activation, f in ACTIVATIONS.items():
        found = conv2d.forward(x, w, b, activation=activation, parallel=True, **options)
        assert_same_bits(found, z if f is None else f.forward(np.ascontiguousarray(z)), activation)


@pytest.mark.parametrize("dtype", DTYPES)
@each_case
def test_gradients_are_chains_and_sums_of_blocks(shape, outputs, kernel, options, dtype):
    x, w, _, rng = arguments(shape, outputs, kernel, options, dtype)
    X, _ = padded(x, kernel, options)
    dy = rng.standard_normal((len(x), outputs, *size_of(X, w, options))).astype(dtype)
    expected = (scalar_input_gradient(dy, w, x, options), scalar_kernel_gradient(dy, X, w, options),
                scalar_bias_gradient(dy))
    for parallel in (False, True):
        found = conv2d.backward(dy, x, w, parallel=parallel, **options)
        for name, gradient, right in zip(("dx", "dw", "db"), found, expected):
            assert_same_bits(gradient, right, f"{name}, parallel {parallel}")

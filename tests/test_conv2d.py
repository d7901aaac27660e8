import numpy as np
import pytest
from convolutions import bias_gradient, correlate, input_gradient, kernel_gradient, output_size, padded
from scalar import assert_same_bits, gamma

from nnjit.kernels import conv2d, dense, matmul, reference, relu, sigmoid, tanh

ACTIVATIONS = {None: None, "relu": relu, "sigmoid": sigmoid, "tanh": tanh}
DTYPES = (np.float32, np.float64)


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
        z = correlate(padded(x, kernel, options)[0], w, bias, options)
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
    dy = rng.standard_normal((len(x), outputs, *output_size(X, kernel, options))).astype(dtype)
    expected = input_gradient(dy, w, x, options), kernel_gradient(dy, X, w, options), bias_gradient(dy)
    for parallel in (False, True):
        found = conv2d.backward(dy, x, w, parallel=parallel, **options)
        for name, gradient, right in zip(("dx", "dw", "db"), found, expected):
            assert_same_bits(gradient, right, f"{name}, parallel {parallel}")

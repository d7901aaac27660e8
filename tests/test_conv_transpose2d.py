import numpy as np
import pytest
from convolutions import bias_gradient, correlate, kernel_gradient, padded, spread
from scalar import assert_same_bits, gamma

from nnjit.kernels import conv_transpose2d, reference, relu, sigmoid, tanh

ACTIVATIONS = {None: None, "relu": relu, "sigmoid": sigmoid, "tanh": tanh}
DTYPES = (np.float32, np.float64)


def arguments(shape, outputs, kernel, options, dtype, seed=0):
    rng = np.random.default_rng(seed)
    groups = options.get("groups", 1)
    x = rng.standard_normal(shape).astype(dtype)
    w = rng.standard_normal((shape[1], outputs // groups, *kernel)).astype(dtype)
    b = rng.standard_normal(outputs).astype(dtype)
    y = reference.conv_transpose2d.forward(x, w, b, **options)
    return x, w, b, rng.standard_normal(y.shape).astype(dtype)


# strides 1 to 3, phases without a tap, rows that are whole vectors and not, groups, channels of their own, all cut off
CASES = (
    ((2, 5, 7, 7), 6, (4, 4), {"stride": 2, "padding": 1}),
    ((1, 3, 4, 16), 9, (3, 3), {"padding": 1}),
    ((3, 4, 5, 6), 2, (3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    ((2, 6, 5, 4), 4, (2, 3), {"stride": (1, 3), "groups": 2, "dilation": (2, 1), "output_padding": (1, 2)}),
    ((1, 2, 6, 17), 3, (1, 1), {"stride": (3, 2)}),
    ((2, 18, 6, 5), 18, (3, 3), {"stride": 2, "padding": 1, "groups": 18}),
    ((1, 2, 5, 5), 1, (5, 5), {"stride": 2, "padding": (4, 3)}),
    ((5, 7, 1, 1), 8, (4, 4), {}),
    ((2, 3, 1, 1), 2, (1, 2), {"stride": 4}),
)
each_case = pytest.mark.parametrize("shape, outputs, kernel, options", CASES, ids=str)


@pytest.mark.parametrize("dtype", DTYPES)
@each_case
def test_outputs_are_chains(shape, outputs, kernel, options, dtype):
    x, w, b, dy = arguments(shape, outputs, kernel, options, dtype)
    z = spread(x, w, dy.shape, reference.conv2d.pair(options.get("padding", 0)), options)
    for parallel in (False, True):
        assert_same_bits(conv_transpose2d.forward(x, w, parallel=parallel, **options), z)
    z = z + b[:, None, None]
    for activation, f in ACTIVATIONS.items():
        found = conv_transpose2d.forward(x, w, b, activation=activation, parallel=True, **options)
        assert_same_bits(found, z if f is None else f.forward(np.ascontiguousarray(z)), activation)


@pytest.mark.parametrize("dtype", DTYPES)
@each_case
def test_gradients_are_those_of_a_convolution(shape, outputs, kernel, options, dtype):
    x, w, _, dy = arguments(shape, outputs, kernel, options, dtype)
    options_too = {name: value for name, value in options.items() if name != "output_padding"}
    image = padded(dy, kernel, options_too)[0]
    expected = (correlate(image, w, None, options_too)[:, :, :shape[2], :shape[3]],
                kernel_gradient(x, image, w, options_too), bias_gradient(dy))
    for parallel in (False, True):
        found = conv_transpose2d.backward(dy, x, w, parallel=parallel, **options)
        for name, gradient, right in zip(("dx", "dw", "db"), found, expected):
            assert_same_bits(gradient, right, f"{name}, parallel {parallel}")

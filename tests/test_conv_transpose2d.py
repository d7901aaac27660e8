import itertools

import numpy as np
import pytest
from convolutions import bias_gradient, correlate, kernel_gradient, padded, spread
from scalar import assert_same_bits, gamma

from nnjit.kernels import conv_transpose2d, reference, relu, sigmoid, tanh

ACTIVATIONS = {None: None, "relu": relu, "sigmoid": sigmoid, "tanh": tanh}
DTYPES = (np.float32, np.float64)


def bound(function, u, expected, *args, activation=None, output_padding=0, **options):
    """As in conv2d, with the two directions in each other's place."""
    twin = reference.conv_transpose2d
    if function == "forward":
        x, w, b = args
        sizes = twin.forward(np.abs(x), np.abs(w), np.abs(b), output_padding=output_padding, **options)
        slope, own = {None: (1, 0), "relu": (1, 0), "sigmoid": (0.25, 2 * u), "tanh": (1, 2.1 * u)}[activation]
        return [slope * gamma(w.size // max(w.shape[1], 1) + 1, u) * sizes + own * np.abs(expected[0])]
    dy, x, w, y = args
    roundings = {None: 0, "relu": 0, "sigmoid": 3, "tanh": 4}[activation]
    factor = {None: 1, "relu": ~(y <= 0), "sigmoid": y * (1 - y), "tanh": (1 - y) * (1 + y)}[activation]
    terms = (w.size // max(len(w), 1), x.shape[2] * x.shape[3] * len(x), dy[:, :1].size + len(dy))
    sizes = twin.backward(np.abs(dy * factor), np.abs(x), np.abs(w), output_padding=output_padding, **options)
    return [gamma(count + roundings, u) * size for count, size in zip(terms, sizes)]


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
    ((2, 20, 7, 31), 20, (3, 3), {"padding": 1, "groups": 20}),
    ((1, 3, 9, 14), 3, (3, 3), {"groups": 3}),
    ((1, 2, 5, 5), 1, (5, 5), {"stride": 2, "padding": (4, 3)}),
    ((5, 7, 1, 1), 8, (4, 4), {}),
    ((2, 3, 1, 1), 2, (1, 2), {"stride": 4}),
    ((1030, 2, 1, 1), 3, (2, 1), {}),
    ((2, 260, 1, 1), 2, (2, 3), {}),
    ((5, 3, 4, 5), 64, (4, 4), {"stride": 2, "padding": 1}),
    ((5, 4, 3, 6), 64, (3, 2), {"groups": 2}),
)
each_case = pytest.mark.parametrize("shape, outputs, kernel, options", CASES, ids=str)


@pytest.mark.parametrize("shape, kernel", (((2, 3, 1, 1), (3, 2)), ((2, 3, 2, 4), (3, 3))))
def test_zeros_around_an_image_are_data(shape, kernel):
    x, w, _, _ = arguments(shape, 4, kernel, {}, np.float32)
    w[1, 2, 0, 1] = np.inf
    y = conv_transpose2d.forward(x, w)
    assert np.isnan(y[:, 2]).sum() == y[:, 2].size - x[:, 1].size and np.isfinite(y[:, :2]).all()


@pytest.mark.parametrize("numbers", ((np.inf, 1), (np.nan, 0), (-np.inf, np.inf), (1, np.inf), "small"), ids=str)
def test_single_pixels_have_zeros_around_them(numbers):
    x, w, b, dy = arguments((3, 4, 1, 1), 5, (5, 4), {}, np.float32)
    if numbers == "small":  # products that are -0, which a zero's product with a positive weight makes +0
        x, w = x * 2 * np.finfo(np.float32).smallest_subnormal, w / 8
    else:
        w[2, 3, 4, 1], x[1, 0, 0, 0] = numbers
    b[3] = -0.0
    with np.errstate(all="ignore"):
        z = spread(x, w, dy.shape, (0, 0), {})
        assert (np.signbit(z[z == 0]).any() and (z == 0).sum() > 9) == (numbers == "small")
        assert_same_bits(conv_transpose2d.forward(x, w), z)
        z = z + b[:, None, None]
        for activation, f in ACTIVATIONS.items():
            found = conv_transpose2d.forward(x, w, b, activation=activation)
            assert_same_bits(found, z if f is None else f.forward(np.ascontiguousarray(z)), activation)


def test_no_infinite_weight_of_single_pixels_is_overlooked():
    x, w, _, _ = arguments((2, 3, 1, 1), 4, (4, 4), {}, np.float32)  # rows of w are whole vectors
    for place in range(w.size):
        v = w.copy()
        v.flat[place] = np.inf
        y, channel = conv_transpose2d.forward(x, v), place // 16 % 4
        assert np.isnan(y[:, channel]).sum() == y[:, channel].size - 2 and np.isinf(y[:, channel]).sum() == 2
        assert np.isfinite(np.delete(y, channel, 1)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@each_case
def test_outputs_are_chains(shape, outputs, kernel, options, dtype):
    x, w, b, dy = arguments(shape, outputs, kernel, options, dtype)
    z = spread(x, w, dy.shape, reference.conv2d._pair(options.get("padding", 0)), options)
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


@pytest.mark.parametrize("shape, kernel", (((3, 2, 6, 5), (3, 3)), ((3, 2, 1, 1), (4, 4))), ids=str)
def test_without_the_weight_gradient(shape, kernel):
    x, w, _, dy = arguments(shape, 4, kernel, {}, np.float32)
    dx, _, db = conv_transpose2d.backward(dy, x, w)
    dx_too, nothing, db_too = conv_transpose2d.backward(dy, x, w, weight_gradient=False)
    assert nothing is None
    assert_same_bits(dx_too, dx)
    assert_same_bits(db_too, db)


def test_mistakes_are_named():
    x, w, b, dy = arguments((2, 4, 5, 6), 6, (3, 3), {}, np.float32)
    for pattern, options in (
            (r"output_padding must be less than stride or dilation, \(2, 2\) and \(1, 1\), got \(2, 0\)",
             {"stride": 2, "output_padding": (2, 0)}),
            ("x must have a multiple of 3 channels, one for each of the groups, got 4", {"groups": 3}),
            ("padding must be at least 0 and below 2\\^31, got -1", {"padding": -1}),
            (r"x and w must leave a row and a column of the output with padding \(4, 4\), got -1 x 0", {"padding": 4})):
        for call in (lambda: conv_transpose2d.forward(x, w, **options),
                     lambda: conv_transpose2d.backward(dy, x, w, **options)):
            with pytest.raises(ValueError, match=pattern):
                call()
    wrong = r"w must have shape \(4, i, k, l\) to match x \(2, 4, 5, 6\), got \(3, 6, 3, 3\)"
    with pytest.raises(ValueError, match=wrong):
        conv_transpose2d.forward(x, w[:3])
    with pytest.raises(ValueError, match=r"b must have shape \(6,\) to match w, got \(5,\)"):
        conv_transpose2d.forward(x, w, b[:5])
    with pytest.raises(ValueError, match=r"x must have at least one row and column, got shape \(2, 4, 0, 6\)"):
        conv_transpose2d.forward(x[:, :, :0], w)


TORCH = [dict(zip(("kernel", "stride", "padding", "output_padding", "dilation", "groups"), values))
         for values in itertools.product(((1, 1), (3, 4), (5, 5)), (1, 2, (1, 3)), (0, 1), (0, (1, 0)), (1, (2, 1)),
                                         (1, 2, 6))]


@pytest.mark.parametrize("activation", (None, "relu", "sigmoid", "tanh"))
@pytest.mark.parametrize("options", TORCH, ids=lambda options: " ".join(map(str, options.values())))
def test_torch_agrees(torch, options, activation):
    options = {**options}
    kernel = options.pop("kernel")
    if options["output_padding"] and options["stride"] != 2:
        options["output_padding"] = (0, 1) if options["stride"] == (1, 3) else 0
    x, w, b, dy = arguments((3, 6, 7, 5), 12, kernel, options, np.float64)
    w /= 10
    leaves = [torch.tensor(v, requires_grad=True) for v in (x, w, b)]
    z = torch.nn.functional.conv_transpose2d(*leaves, **options)
    z = z if activation is None else getattr(torch, activation)(z)
    z.backward(torch.tensor(dy))
    y = conv_transpose2d.forward(x, w, b, activation=activation, **options)
    np.testing.assert_allclose(y, z.detach().numpy(), rtol=0, atol=1e-13)
    for found, leaf in zip(conv_transpose2d.backward(dy, x, w, y, activation=activation, **options), leaves):
        np.testing.assert_allclose(found, leaf.grad.numpy(), rtol=0, atol=1e-11)

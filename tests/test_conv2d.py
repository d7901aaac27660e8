import itertools

import numpy as np
import pytest
from convolutions import bias_gradient, correlate, input_gradient, kernel_gradient, output_size, padded
from scalar import assert_same_bits, gamma

from nnjit.kernels import conv2d, dense, matmul, reference, relu, sigmoid, tanh

ACTIVATIONS = {None: None, "relu": relu, "sigmoid": sigmoid, "tanh": tanh}
DTYPES = (np.float32, np.float64)


def bound(function, u, expected, *args, activation=None, **options):
    """Chains as in matmul with one rounding more for the bias; the slope of f passes the error on, f adds its own."""
    twin = reference.conv2d
    if function == "forward":
        x, w, b = args
        chain = gamma(w.size // max(len(w), 1) + 1, u) * twin.forward(np.abs(x), np.abs(w), np.abs(b), **options)
        slope, own = {None: (1, 0), "relu": (1, 0), "sigmoid": (0.25, 2 * u), "tanh": (1, 2.1 * u)}[activation]
        return [slope * chain + own * np.abs(expected[0])]
    dy, x, w, y = args
    roundings = {None: 0, "relu": 0, "sigmoid": 3, "tanh": 4}[activation]
    factor = {None: 1, "relu": ~(y <= 0), "sigmoid": y * (1 - y), "tanh": (1 - y) * (1 + y)}[activation]
    pixels = dy.shape[2] * dy.shape[3]
    # of each number in the padding at most so many are added
    copies = 0 if options.get("padding_mode", "zeros") == "zeros" else x.shape[2] * x.shape[3]
    terms = (w.size // max(w.shape[1], 1) + copies, pixels * len(x), pixels + len(x))
    sizes = twin.backward(np.abs(dy * factor), np.abs(x), np.abs(w), **options)
    return [gamma(count + roundings, u) * size for count, size in zip(terms, sizes)]


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
    ((5, 3, 8, 8), 48, (3, 3), {"padding": 1}),
    ((4, 23, 14, 14), 64, (4, 4), {"stride": 2, "padding": 1}),
    ((4, 6, 5, 5), 64, (2, 2), {"groups": 2}),
    ((4, 6, 6, 6), 64, (2, 2), {"groups": 2}),
    ((3, 5, 9, 30), 5, (3, 3), {"padding": 1, "groups": 5}),
    ((1, 3, 5, 49), 3, (3, 3), {"padding": (0, 1), "groups": 3}),
    ((1, 2, 7, 17), 2, (3, 3), {"padding": (1, 0), "groups": 2, "padding_mode": "replicate"}),
    ((1, 2, 9, 17), 5, (3, 5), {"padding": ((1, 2), (0, 3)), "dilation": (2, 1)}),
    ((2, 3, 5, 6), 4, (3, 3), {"padding": 1, "padding_mode": "reflect"}),
    ((1, 2, 4, 5), 3, (4, 3), {"padding": "same", "padding_mode": "replicate", "dilation": (1, 2)}),
    ((1, 17, 4, 5), 17, (3, 3), {"padding": (3, 2), "padding_mode": "reflect", "groups": 17, "stride": 2}),
    ((2, 17, 12, 21), 17, (3, 2), {"padding": (2, 1), "padding_mode": "reflect", "groups": 17}),
    ((2, 2, 3, 3), 2, (2, 2), {"padding": (4, 0), "stride": (5, 1)}),
    ((70, 2, 4, 4), 3, (1, 3), {"padding": (0, 1)}),
    ((1030, 2, 2, 1), 3, (2, 1), {}),
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


@pytest.mark.parametrize("parallel", (False, True))
def test_a_kernel_of_one_pixel_and_one_as_large_as_the_image_are_products(parallel):
    x, w, b, _ = arguments((3, 7, 5, 6), 11, (1, 1), {}, np.float32)
    y = conv2d.forward(x, w, parallel=parallel)
    rows = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(-1, 7)
    assert_same_bits(y.transpose(0, 2, 3, 1).reshape(-1, 11), matmul.forward(rows, w.reshape(11, 7).T))
    x, w, b, rng = arguments((9, 2, 5, 3), 37, (5, 3), {}, np.float32)
    y = conv2d.forward(x, w, b, activation="tanh", parallel=parallel)
    assert_same_bits(y.reshape(9, 37), dense.forward(x.reshape(9, -1), w.reshape(37, -1).T, b, activation="tanh"))


def test_a_sample_has_the_same_bits_alone_and_in_any_batch():
    for shape, outputs, kernel, options in CASES:
        x, w, b, rng = arguments((5, *shape[1:]), outputs, kernel, options, np.float32)
        y = conv2d.forward(x, w, b, **options)
        dy = rng.standard_normal(y.shape).astype(np.float32)
        dx = conv2d.backward(dy, x, w, **options)[0]
        for n in range(5):
            assert_same_bits(conv2d.forward(x[n:n + 1], w, b, **options), y[n:n + 1])
            assert_same_bits(conv2d.backward(dy[n:n + 1], x[n:n + 1], w, **options)[0], dx[n:n + 1])
        assert_same_bits(conv2d.forward(x[::-1], w, b, **options), y[::-1])


def test_padding_is_data():
    x, w = np.ones((1, 1, 3, 3), np.float32), np.ones((1, 1, 3, 3), np.float32)
    w[0, 0, 0, 0] = np.inf
    y = conv2d.forward(x, w, padding=1)
    assert np.isnan(y[0, 0, 0]).all() and np.isnan(y[0, 0, :, 0]).all() and np.isinf(y[0, 0, 1:, 1:]).all()
    dx = conv2d.backward(np.ones_like(x), x, w, padding=1)[0]
    assert np.isnan(dx[0, 0, 2]).all() and np.isnan(dx[0, 0, :, 2]).all() and np.isinf(dx[0, 0, :2, :2]).all()
    assert np.isinf(conv2d.forward(x, w, padding=1, padding_mode="replicate")).all()


def test_without_the_input_gradient():
    x, w, b, rng = arguments((3, 2, 6, 5), 4, (3, 3), {}, np.float32)
    y = conv2d.forward(x, w, b, activation="relu")
    dy = rng.standard_normal(y.shape).astype(np.float32)
    dx, dw, db = conv2d.backward(dy, x, w, y, activation="relu")
    nothing, dw_too, db_too = conv2d.backward(dy, x, w, y, activation="relu", input_gradient=False)
    assert nothing is None
    assert_same_bits(dw_too, dw)
    assert_same_bits(db_too, db)


@pytest.mark.parametrize("shape, kernel", (((3, 2, 6, 5), (3, 3)), ((3, 2, 4, 4), (4, 4))), ids=str)
def test_without_the_weight_gradient(shape, kernel):
    x, w, b, rng = arguments(shape, 4, kernel, {}, np.float32)
    y = conv2d.forward(x, w, b, activation="relu")
    dy = rng.standard_normal(y.shape).astype(np.float32)
    dx, _, db = conv2d.backward(dy, x, w, y, activation="relu")
    dx_too, nothing, db_too = conv2d.backward(dy, x, w, y, activation="relu", weight_gradient=False)
    assert nothing is None
    assert_same_bits(dx_too, dx)
    assert_same_bits(db_too, db)
    found = conv2d.backward(dy, x, w, y, activation="relu", weight_gradient=False, bias_gradient=False)
    assert found[1:] == (None, None)
    assert_same_bits(found[0], dx)


def test_the_bias_gradient_adds_blocks_of_images():
    x, w, _, rng = arguments((600, 1, 2, 2), 2, (1, 1), {}, np.float32)
    dy = rng.standard_normal((600, 2, 2, 2)).astype(np.float32)
    for parallel in (False, True):
        _, dw, db = conv2d.backward(dy, x, w, parallel=parallel)
        assert_same_bits(db, bias_gradient(dy))
        assert_same_bits(dw, kernel_gradient(dy, x, w, {}))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_bias_gradient_of_negative_zeros_is_negative(dtype):
    for shape in ((2, 3, 2, 5), (2, 3, 4, 4), (300, 3, 1, 1)):
        dy, w = np.full(shape, -0.0, dtype), np.ones((3, 2, 1, 1), dtype)
        db = conv2d.backward(dy, np.ones((shape[0], 2, *shape[2:]), dtype), w)[2]
        assert_same_bits(db, bias_gradient(dy), f"{shape}")


def test_sizes_of_zero():
    b = np.array([-1.0, 0.0, 2.0], np.float32)
    y = conv2d.forward(np.empty((2, 0, 4, 4), np.float32), np.empty((3, 0, 3, 3), np.float32), b, activation="relu")
    assert_same_bits(y, np.broadcast_to(np.maximum(b, 0)[:, None, None], (2, 3, 2, 2)))
    x, w = np.empty((0, 2, 4, 4), np.float32), np.ones((3, 2, 3, 3), np.float32)
    y = conv2d.forward(x, w, b)
    dx, dw, db = conv2d.backward(y, x, w, y)
    assert y.shape == (0, 3, 2, 2) and dx.shape == x.shape
    assert_same_bits(dw, np.zeros_like(w))
    assert_same_bits(db, np.zeros(3, np.float32))
    x, w = np.ones((2, 2, 4, 4), np.float32), np.empty((0, 2, 3, 3), np.float32)
    dx, dw, db = conv2d.backward(conv2d.forward(x, w), x, w)
    assert_same_bits(dx, np.zeros_like(x))
    assert dw.shape == w.shape and db.shape == (0,)


def test_mistakes_are_named():
    x, w, b, _ = arguments((2, 4, 5, 6), 6, (3, 3), {}, np.float32)
    y = conv2d.forward(x, w, b)
    for pattern, options in (
            (r"stride must be a whole number or a pair of them, got 1\.5", {"stride": 1.5}),
            ("stride must be at least 1 and below 2\\^31, got 0", {"stride": 0}),
            (r"dilation must be a whole number or a pair of them, got \(1, 2, 3\)", {"dilation": (1, 2, 3)}),
            ("padding must be at least 0 and below 2\\^31, got -1", {"padding": -1}),
            (r'padding must be numbers for a stride other than 1, got "same" for stride \(2, 2\)',
             {"padding": "same", "stride": 2}),
            (r'padding must be a whole number, a pair of them, \(\(top, bottom\), \(left, right\)\) or "same", got '
             r"\(\(1, 1\), 2\)", {"padding": ((1, 1), 2)}),
            ("padding must be a whole number or a pair of them, got 'valid'", {"padding": "valid"}),
            ("x must have a multiple of 3 channels, one for each of the groups, got 4", {"groups": 3}),
            (r"w must have shape \(o, 2, k, l\) to match x \(2, 4, 5, 6\), got \(6, 4, 3, 3\)", {"groups": 2}),
            ("padding_mode must be one of 'zeros', 'reflect', 'replicate', got 'circular'",
             {"padding_mode": "circular"}),
            ("w must not cover more than the padded x, 5 x 6, got 7 x 7", {"dilation": 3}),
            ("x must be higher and wider than what is reflected or replicated of it, 5, got 5",
             {"padding": 5, "padding_mode": "reflect"})):
        for call in (lambda: conv2d.forward(x, w, b, **options), lambda: conv2d.backward(y, x, w, **options)):
            with pytest.raises((TypeError, ValueError), match=pattern):
                call()
    with pytest.raises(ValueError, match=r"b must have shape \(6,\) to match w, got \(5,\)"):
        conv2d.forward(x, w, b[:5])
    with pytest.raises(ValueError, match=r"dy must have shape \(2, 6, 3, 4\) to match x and w, got \(2, 6, 5, 6\)"):
        conv2d.backward(np.ones((2, 6, 5, 6), np.float32), x, w)
    with pytest.raises(ValueError, match="y, the output of forward, is needed for activation 'tanh'"):
        conv2d.backward(y, x, w, activation="tanh")


TORCH = [dict(zip(("kernel", "stride", "padding", "dilation", "groups"), values)) for values in itertools.product(
    ((1, 1), (3, 3), (4, 2), (5, 5)), (1, 2, (1, 3)), (0, 1, (2, 1)), (1, (2, 1)), (1, 2, 6))]


@pytest.mark.parametrize("activation", (None, "relu", "sigmoid", "tanh"))
@pytest.mark.parametrize("options", TORCH, ids=lambda options: " ".join(map(str, options.values())))
def test_torch_agrees(torch, options, activation):
    options = {**options}
    kernel = options.pop("kernel")
    x, w, b, rng = arguments((3, 6, 13, 11), 12, kernel, options, np.float64)
    w /= 10
    leaves = [torch.tensor(v, requires_grad=True) for v in (x, w, b)]
    z = torch.nn.functional.conv2d(*leaves, **options)
    z = z if activation is None else getattr(torch, activation)(z)
    dy = rng.standard_normal(z.shape)
    z.backward(torch.tensor(dy))
    y = conv2d.forward(x, w, b, activation=activation, **options)
    np.testing.assert_allclose(y, z.detach().numpy(), rtol=0, atol=1e-13)
    for found, leaf in zip(conv2d.backward(dy, x, w, y, activation=activation, **options), leaves):
        np.testing.assert_allclose(found, leaf.grad.numpy(), rtol=0, atol=1e-11)


@pytest.mark.filterwarnings("ignore:Using padding=.same.")
@pytest.mark.parametrize("mode", ("zeros", "reflect", "replicate"))
@pytest.mark.parametrize("padding", (2, (3, 1), "same"), ids=str)
@pytest.mark.parametrize("dilation", (1, 2))
def test_torch_agrees_on_what_padding_is(torch, mode, padding, dilation):
    x, w, b, rng = arguments((2, 3, 7, 6), 5, (3, 4), {}, np.float64)
    layer = torch.nn.Conv2d(3, 5, (3, 4), padding=padding, dilation=dilation, padding_mode=mode, dtype=torch.float64)
    layer.weight, layer.bias = (torch.nn.Parameter(torch.tensor(v)) for v in (w, b))
    leaf = torch.tensor(x, requires_grad=True)
    z = layer(leaf)
    dy = rng.standard_normal(z.shape)
    z.backward(torch.tensor(dy))
    options = {"padding": padding, "dilation": dilation, "padding_mode": mode}
    np.testing.assert_allclose(conv2d.forward(x, w, b, **options), z.detach().numpy(), rtol=0, atol=1e-12)
    for found, right in zip(conv2d.backward(dy, x, w, **options), (leaf.grad, layer.weight.grad, layer.bias.grad)):
        np.testing.assert_allclose(found, right.numpy(), rtol=0, atol=1e-11)

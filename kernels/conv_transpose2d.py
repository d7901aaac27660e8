"""Transposed convolution of images: the gradient of `conv2d` with respect to its input, as a layer's output."""

from .conv2d import IMAGES, _checked_bias, _checked_output, _gradients, _images, _output_gradients, _rows
from .core import check
from .core.convolutions import transposed_shapes, transposed_window
from .core.convolve import correlate
from .core.kernel_gradient import kernel_gradient
from .core.public import public
from .core.spread import spread
from .dense import ACTIVATIONS
from .matmul import A_TRANSPOSED, B_TRANSPOSED, NO_ACTIVATION, product


@public
def forward(x, w, b=None, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1, activation=None, out=None,
            parallel=None):
    """The output of a transposed convolution.

    x : (N, C, H, W) float32 or float64, any strides; not modified
    w : (C, I, K, L) dtype of x, any strides, I = O / groups, the kernel K x L; not modified
    b : None, or (O,) dtype of x, any strides; not modified
    stride, dilation : a whole number, at least 1, or a pair of them, for rows and columns
    padding : a whole number, at least 0, or a pair of them: rows and columns cut off on each side
    output_padding : a whole number, at least 0, or a pair of them: rows and columns more at the end; less than stride
        or dilation
    groups : a whole number, at least 1, that divides C
    activation : None, "relu", "sigmoid" or "tanh"
    out : (N, O, P, Q) dtype of x, C-contiguous, written and returned; must not overlap an input
    parallel : None decides by size; True or False overrides

    Returns y (N, O, P, Q), dtype of x, P = (H - 1) stride - 2 padding + dilation (K - 1) + output_padding + 1: each sum
    one chain over c, ky, kx of the numbers that meet, zeros outside of x included, then + b, then f.
    Raises TypeError for other or unequal dtypes, ValueError for shapes that do not fit, as H = 0, W = 0, K = 0, L = 0,
    P = 0 or Q = 0. C = 0 gives f(b) everywhere, N = 0 or O = 0 an empty array; NaN propagates.
    Formula and source: kernels/reference/conv_transpose2d.py
    """
    how, more = transposed_window(stride, padding, output_padding, dilation, groups)
    function = check.one_of("activation", activation, ACTIVATIONS)
    x, w = _images(x, w)
    shape = transposed_shapes(how, more, x, w)
    b = _checked_bias(b, shape[1], x)
    y = check.out("out", out, shape, x.dtype, x, w, *[] if b is None else [b])
    return spread(x, w, b, y, (how.top, how.left), how, function, parallel)


def _is_pixel(how, more, x, w):
    """Whether images are single pixels, of which each makes a window: then both gradients are matrix products, with the
    same chains. For y see core/pixels.py."""
    return (x.shape[2:] == (1, 1) and how.groups == 1 and not (how.top or how.left) and more == (0, 0)
            and how.dilation == (1, 1) and 0 < x.shape[0] <= IMAGES and x.size > 0 and w.size > 0)


@public
def backward(dy, x, w, y=None, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1, activation=None,
             input_gradient=True, weight_gradient=True, bias_gradient=True, out=None, parallel=None):
    """The gradients with respect to x, w and b.

    dy : (N, O, P, Q) float32 or float64, any strides; not modified
    x : (N, C, H, W), w : (C, I, K, L) as given to `forward`, dtype of dy; not modified
    y : (N, O, P, Q) the output of `forward`; needed where there is an activation
    stride, dilation : as given to `forward`
    padding : as given to `forward`
    output_padding : as given to `forward`
    groups : as given to `forward`
    activation : as given to `forward`
    input_gradient : True, or False: skips dx (a network's first layer needs none) and returns None for it
    weight_gradient : True, or False: skips dw (a layer that is not trained needs none) and returns None for it
    bias_gradient : True, or False: skips db (a layer without biases needs none) and returns None for it
    out : a tuple of (N, C, H, W), (C, I, K, L) and (O,) arrays to write, None for those to allocate
    parallel : None decides by size; True or False overrides

    Returns (dx, dw, db), shapes of x, w and b, dtype of dy. dx is the `conv2d` of dy, dw its gradient with dy as the
    image, db adds each image's pixels and then images in blocks of 256.
    Raises TypeError for other or unequal dtypes, ValueError for shapes that do not fit, as H = 0, W = 0, K = 0, L = 0,
    P = 0 or Q = 0. N = 0 gives zeros for dw and db; NaN propagates.
    Formula and source: kernels/reference/conv_transpose2d.py
    """
    how, more = transposed_window(stride, padding, output_padding, dilation, groups)
    function = check.one_of("activation", activation, ACTIVATIONS)
    input_gradient = check.flag("input_gradient", input_gradient)
    weight_gradient = check.flag("weight_gradient", weight_gradient)
    bias_gradient = check.flag("bias_gradient", bias_gradient)
    dx, dw, db = check.outs(out, 3)
    x, w = _images(x, w)
    shape = transposed_shapes(how, more, x, w)
    dy, y, read = _checked_output(dy, y, function, activation, shape, x, "x and w")
    read = (*read, x, w)
    dx, dw, db = _gradients((dx, dw, db), x, w, shape[1], input_gradient, weight_gradient, bias_gradient, read)
    dz = _output_gradients(dy, y, function, db, parallel)
    if _is_pixel(how, more, x, w):
        if weight_gradient:
            product(_rows(x), _rows(dz), _rows(dw), A_TRANSPOSED, dz.size * x.shape[1], parallel)
        if input_gradient:
            product(_rows(dz), _rows(w), _rows(dx), B_TRANSPOSED, dz.size * x.shape[1], parallel)
        return dx, dw, db
    if weight_gradient:
        kernel_gradient(x, dz, dw, how, parallel)
    if input_gradient:
        correlate(dz, w, None, dx, how, NO_ACTIVATION, parallel)
    return dx, dw, db

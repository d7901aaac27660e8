"""Average pooling: y[n, c, i, j] = the mean of window (i, j) of image x[n, c]."""

from numba import prange

from .core import check, windows
from .core.compile import inline, loops, pick, shared
from .core.memory import load, pointer, shift, store
from .core.public import public
from .core.shuffles import even_lanes, halves, high_lanes, lane_numbers, odd_lanes
from .core.vectors import interleave, lanes, select, splat, to_float
from .core.windows import PARALLEL_FROM, clear, gather_rows, inside, load_spaced, planes_together


@inline
def _counts(x, height, width, i, j, kh, kw, sh, sw, ph, pw, include_pad):
    """By how much the sums of windows (i, j), (i, j + 1), ... are divided."""
    if include_pad:
        ph, pw, height, width = 0, 0, height + 2 * ph, width + 2 * pw
    top, bottom = inside(i * sh - ph, kh, height)
    start = lane_numbers(x) * sw + (j * sw - pw)
    left, right = select(start < 0, 0 - start, 0), width - start
    return to_float((select(right < kw, right, kw) - left) * (bottom - top))


@shared
def _forward_plane(x, y, plane, kh, kw, sh, sw, ph, pw, include_pad):
    height, width = x.shape[1], x.shape[2]
    rows, columns = y.shape[1], y.shape[2]
    for i in range(rows):
        to = (plane * rows + i) * columns
        top, bottom = inside(i * sh - ph, kh, height)
        for j in range(0, columns, lanes(x)):
            start = j * sw - pw
            left, right = max(0, -start - (lanes(x) - 1) * sw), min(kw, width - start)
            total = splat(x, -0.0)
            for ky in range(top, bottom):
                begin = (plane * height + i * sh - ph + ky) * width
                for kx in range(left, right):
                    total = total + load_spaced(x, begin + start + kx, sw, begin, begin + width, 0.0)
            if bottom - top < kh or right - left < kw:
                total = total + 0.0
            store(y, to + j, to + columns,
                  total / _counts(x, height, width, i, j, kh, kw, sh, sw, ph, pw, include_pad))


@loops(writes=("y",), rows=True)
def _forward_planes(x, y, kh, kw, sh, sw, ph, pw, include_pad):
    for plane in prange(x.shape[0]):
        _forward_plane(x, y, plane, kh, kw, sh, sw, ph, pw, include_pad)


@shared
def _forward_halves_of(x, y, first, last):
    height, width = x.shape[1], x.shape[2]
    rows, columns = y.shape[1], y.shape[2]
    w, end = lanes(x), last * rows * columns
    # vectors may reach into the next rows, which are stored after
    for plane in range(first, last):
        for i in range(rows):
            at, to = (plane * height + 2 * i) * width, (plane * rows + i) * columns
            if width <= w:  # both rows in a vector
                a, b = load(x, at, x.size, 0.0), load(x, at + width, x.size, 0.0)
                a, b = even_lanes(a, b), odd_lanes(a, b)
                store(y, to, end, (a + b + high_lanes(a, a) + high_lanes(b, b)) * 0.25)
                continue
            for j in range(0, columns, w):
                a, b = load(x, at + 2 * j, x.size, 0.0), load(x, at + 2 * j + w, x.size, 0.0)
                c, d = load(x, at + width + 2 * j, x.size, 0.0), load(x, at + width + 2 * j + w, x.size, 0.0)
                store(y, to + j, end, (even_lanes(a, b) + odd_lanes(a, b) + even_lanes(c, d) + odd_lanes(c, d)) * 0.25)


@loops(writes=("y",), rows=True)
def _forward_halves(x, y):
    together = planes_together(x)
    for block in prange((x.shape[0] + together - 1) // together):
        _forward_halves_of(x, y, block * together, min((block + 1) * together, x.shape[0]))


@public
def forward(x, *, size, stride=None, padding=0, count_include_pad=True, ceil_mode=False, out=None, parallel=None):
    """The mean of each window of each image.

    x : (N, C, H, W) float32 or float64, any strides; not modified
    size : a whole number or a pair, at least 1: rows and columns of a window
    stride : None takes size; else a whole number or a pair, at least 1: from window to window
    padding : a whole number or a pair, at least 0, at most half of size: rows and columns of zeros around the image
    count_include_pad : True divides by size, as PyTorch does; False by how many numbers of the window lie in the image,
        as Keras does; what lies beyond the padding never counts
    ceil_mode : True or False: whether windows may reach beyond the padding, with P and Q rounded up, unless they begin
        there
    out : (N, C, P, Q) dtype of x, C-contiguous, written and returned; must not overlap an input
    parallel : None decides by size; True or False overrides

    Returns y (N, C, P, Q), dtype of x, with P = (H + 2 padding - size) // stride + 1 and Q likewise: the numbers added
    in the order of rows, then divided.
    Raises TypeError for another dtype or what is no whole number, ValueError for a number out of range, windows larger
    than the image, H = 0 or W = 0. N = 0 or C = 0 gives an empty array. NaN propagates.
    Formula and source: kernels/reference/avg_pool2d.py
    """
    window = windows.checked(size, stride, padding)
    include_pad = check.flag("count_include_pad", count_include_pad)
    x, shape = windows.images("x", x, window, ceil_mode)
    y = check.out("out", out, shape, x.dtype, x)
    if windows.are_halves(window, x, shape):
        pick(_forward_halves, x.size >= PARALLEL_FROM, parallel)(windows.planes(x), windows.planes(y))
    else:
        nest = pick(_forward_planes, x.size >= PARALLEL_FROM, parallel)
        nest(windows.planes(x), windows.planes(y), *window, include_pad)
    return y


@inline
def _given(shares, _, at, tap):
    return load(shares, at, at + lanes(shares), 0.0)


@shared
def _backward_block(dy, room, dx, task, first, last, kh, kw, sh, sw, ph, pw, include_pad):
    height, width = dx.shape[1], dx.shape[2]
    rows, columns, step = dy.shape[1], dy.shape[2], room.shape[3]
    shares = shift(pointer(room), task * rows * step)
    clear(shares, 0.0, rows * step)
    for plane in range(first, last):
        for i in range(rows):
            at, to = (plane * rows + i) * columns, i * step + lanes(dx)
            for j in range(0, columns, lanes(dx)):
                counts = _counts(dx, height, width, i, j, kh, kw, sh, sw, ph, pw, include_pad)
                store(shares, to + j, to + columns, load(dy, at + j, at + columns, 0.0) / counts)
        gather_rows(_given, shares, shares, step, rows, columns, dx, plane, kh, kw, sh, sw, ph, pw)


@loops(writes=("room", "dx"))
def _backward_planes(dy, room, dx, kh, kw, sh, sw, ph, pw, include_pad):
    tasks, planes = room.shape[0], dx.shape[0]
    for task in prange(tasks):
        _backward_block(dy, room, dx, task, task * planes // tasks, (task + 1) * planes // tasks, kh, kw, sh, sw, ph,
                        pw, include_pad)


@shared
def _backward_halves_of(dy, dx, first, last):
    height, width = dx.shape[1], dx.shape[2]
    rows, columns = dy.shape[1], dy.shape[2]
    w, end = lanes(dx), last * height * width
    # vectors may reach into the next rows, which are stored after
    for plane in range(first, last):
        for i in range(rows):
            at, to = (plane * height + 2 * i) * width, (plane * rows + i) * columns
            if width <= w:
                g = select(lane_numbers(dx) < columns, load(dy, to, dy.size, 0.0) * 0.25 + 0.0, 0.0)
                both, _ = halves(interleave(g, g, 1))
                store(dx, at, end, both)
                store(dx, at + width, end, both)
                continue
            upper_end = end if width <= 2 * w else at + width
            for j in range(0, (width + 1) // 2, w):
                g = load(dy, to + j, to + columns, 0.0) * 0.25 + 0.0
                both = interleave(g, g, 1)
                store(dx, at + 2 * j, upper_end, both)
                store(dx, at + width + 2 * j, end, both)
        for at in range((plane * height + 2 * rows) * width, (plane + 1) * height * width, w):
            store(dx, at, end, splat(dx, 0.0))


@loops(writes=("dx",), rows=True)
def _backward_halves(dy, dx):
    together = planes_together(dx)
    for block in prange((dx.shape[0] + together - 1) // together):
        _backward_halves_of(dy, dx, block * together, min((block + 1) * together, dx.shape[0]))


@public
def backward(dy, x, *, size, stride=None, padding=0, count_include_pad=True, ceil_mode=False, out=None, parallel=None):
    """The gradient with respect to x, from the gradient dy.

    dy : (N, C, P, Q) float32 or float64, any strides; not modified
    x : (N, C, H, W) as given to `forward`, dtype of dy; not modified, and only its shape is read
    size, stride, padding, count_include_pad : as given to `forward`
    ceil_mode : as given to `forward`
    out : (N, C, H, W) dtype of x, C-contiguous, written and returned; must not overlap an input
    parallel : None decides by size; True or False overrides

    Returns dx (N, C, H, W), dtype of x: for each number 0 + dy / count of each of its windows, ascending.
    Raises TypeError and ValueError as `forward`, and for other dtypes or shapes; H = 0 and W = 0 are no images.
    NaN propagates.
    Formula and source: kernels/reference/avg_pool2d.py
    """
    window = windows.checked(size, stride, padding)
    include_pad = check.flag("count_include_pad", count_include_pad)
    x, shape = windows.images("x", x, window, ceil_mode)
    dy = windows.results("dy", dy, x, shape)
    dx = check.out("out", out, x.shape, x.dtype, dy, x)
    large = x.size >= PARALLEL_FROM
    if windows.are_halves(window, x, shape):
        pick(_backward_halves, large, parallel)(windows.planes(dy), windows.planes(dx))
    else:
        nest = pick(_backward_planes, large, parallel)
        nest(windows.planes(dy), windows.room(shape, x.dtype, 1), windows.planes(dx), *window, include_pad)
    return dx

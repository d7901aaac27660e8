"""Max pooling: y[n, c, i, j] = the largest number of window (i, j) of image x[n, c]."""

from numba import prange

from .core import check, windows
from .core.compile import inline, loops, pick, shared
from .core.memory import load, pointer, shift, store
from .core.public import public
from .core.shuffles import even_lanes, halves, high_lanes, lane_numbers, low_lanes, odd_lanes
from .core.vectors import bits, from_bits, interleave, lanes, select, splat
from .core.windows import PARALLEL_FROM, clear, gather_rows, inside, load_spaced, planes_together
from .core.winners import better, give_row, of_three, replaces, store_row


@shared
def _forward_plane(x, y, plane, kh, kw, sh, sw, ph, pw):
    height, width = x.shape[1], x.shape[2]
    rows, columns = y.shape[1], y.shape[2]
    for i in range(rows):
        to = (plane * rows + i) * columns
        top, bottom = inside(i * sh - ph, kh, height)
        for j in range(0, columns, lanes(x)):
            start = j * sw - pw
            best = splat(x, float("-inf"))
            for ky in range(top, bottom):
                begin = (plane * height + i * sh - ph + ky) * width
                for kx in range(max(0, -start - (lanes(x) - 1) * sw), min(kw, width - start)):
                    v = load_spaced(x, begin + start + kx, sw, begin, begin + width, float("-inf"))
                    best = better(v, best)
            store(y, to + j, to + columns, best)


@loops(writes=("y",), rows=True)
def _forward_planes(x, y, kh, kw, sh, sw, ph, pw):
    for plane in prange(x.shape[0]):
        _forward_plane(x, y, plane, kh, kw, sh, sw, ph, pw)


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
                both = better(odd_lanes(a, b), even_lanes(a, b))
                store(y, to, end, better(high_lanes(both, both), both))
                continue
            for j in range(0, columns, w):
                a, b = load(x, at + 2 * j, x.size, 0.0), load(x, at + 2 * j + w, x.size, 0.0)
                upper = better(odd_lanes(a, b), even_lanes(a, b))
                a, b = load(x, at + width + 2 * j, x.size, 0.0), load(x, at + width + 2 * j + w, x.size, 0.0)
                lower = better(odd_lanes(a, b), even_lanes(a, b))
                store(y, to + j, end, better(lower, upper))


@loops(writes=("y",), rows=True)
def _forward_halves(x, y):
    together = planes_together(x)
    for block in prange((x.shape[0] + together - 1) // together):
        _forward_halves_of(x, y, block * together, min((block + 1) * together, x.shape[0]))


@public
def forward(x, *, size, stride=None, padding=0, ceil_mode=False, out=None, parallel=None):
    """The largest number of each window of each image.

    x : (N, C, H, W) float32 or float64, any strides; not modified
    size : a whole number or a pair, at least 1: rows and columns of a window
    stride : None takes size; else a whole number or a pair, at least 1: from window to window
    padding : a whole number or a pair, at least 0, at most half of size: rows and columns around the image that windows
        reach into; what lies there is no candidate
    ceil_mode : True or False: whether windows may reach beyond the padding, with P and Q rounded up, unless they begin
        there
    out : (N, C, P, Q) dtype of x, C-contiguous, written and returned; must not overlap an input
    parallel : None decides by size; True or False overrides

    Returns y (N, C, P, Q), dtype of x, with P = (H + 2 padding - size) // stride + 1 and Q likewise. Exact.
    Of equal numbers, such as 0.0 and -0.0, it is the first in the order of rows; a NaN counts as the largest.
    Raises TypeError for another dtype or what is no whole number, ValueError for a number out of range, windows larger
    than the image, H = 0 or W = 0. N = 0 or C = 0 gives an empty array.
    Formula and source: kernels/reference/max_pool2d.py
    """
    window = windows.checked(size, stride, padding)
    x, shape = windows.images("x", x, window, ceil_mode)
    y = check.out("out", out, shape, x.dtype, x)
    if windows.are_halves(window, x, shape):
        pick(_forward_halves, x.size >= PARALLEL_FROM, parallel)(windows.planes(x), windows.planes(y))
    else:
        pick(_forward_planes, x.size >= PARALLEL_FROM, parallel)(windows.planes(x), windows.planes(y), *window)
    return y


@inline
def _find_winners(dy, x, winners, shares, step, plane, kh, kw, sh, sw, ph, pw):
    """The number of the largest element of each window, ky * kw + kx, as the bits of integers, and a copy of dy."""
    height, width = x.shape[1], x.shape[2]
    rows, columns = dy.shape[1], dy.shape[2]
    for i in range(rows):
        at, end = i * step + lanes(x), i * step + lanes(x) + columns
        top, bottom = inside(i * sh - ph, kh, height)
        for j in range(0, columns, lanes(x)):
            start = j * sw - pw
            best, left = splat(x, float("-inf")), lane_numbers(x) * -sw + -start
            winner = select(left > 0, left, 0) + top * kw  # the first inside: all may be -inf
            for ky in range(top, bottom):
                begin = (plane * height + i * sh - ph + ky) * width
                for kx in range(max(0, -start - (lanes(x) - 1) * sw), min(kw, width - start)):
                    v = load_spaced(x, begin + start + kx, sw, begin, begin + width, float("-inf"))
                    winner = replaces(v, best, bits(splat(x, 0.0)) + (ky * kw + kx), winner)
                    best = better(v, best)
            store(winners, at + j, end, from_bits(winner))
            given = (plane * rows + i) * columns
            store(shares, at + j, end, load(dy, given + j, given + columns, 0.0))


@inline
def _given(winners, shares, at, tap):
    winner = bits(load(winners, at, at + lanes(winners), 0.0))
    return select(winner == tap, load(shares, at, at + lanes(shares), 0.0), 0.0)


@shared
def _backward_block(dy, x, room, dx, task, first, last, kh, kw, sh, sw, ph, pw):
    rows, columns, step = dy.shape[1], dy.shape[2], room.shape[3]
    winners = shift(pointer(room), 2 * task * rows * step)
    shares = shift(winners, rows * step)
    clear(winners, -1.0, 2 * rows * step)  # as integers less than any number of an element
    for plane in range(first, last):
        _find_winners(dy, x, winners, shares, step, plane, kh, kw, sh, sw, ph, pw)
        gather_rows(_given, winners, shares, step, rows, columns, dx, plane, kh, kw, sh, sw, ph, pw)


@loops(writes=("room", "dx"))
def _backward_planes(dy, x, room, dx, kh, kw, sh, sw, ph, pw):
    tasks, planes = room.shape[0], x.shape[0]
    for task in prange(tasks):
        _backward_block(dy, x, room, dx, task, task * planes // tasks, (task + 1) * planes // tasks, kh, kw, sh, sw, ph,
                        pw)


@shared
def _backward_halves_of(dy, x, dx, first, last):
    height, width = x.shape[1], x.shape[2]
    rows, columns = dy.shape[1], dy.shape[2]
    w, end = lanes(x), last * height * width
    # vectors may reach into the next rows, which are stored after
    for plane in range(first, last):
        for i in range(rows):
            at, to = (plane * height + 2 * i) * width, (plane * rows + i) * columns
            if width <= w:  # both rows in a vector
                a, b = load(x, at, x.size, 0.0), load(x, at + width, x.size, 0.0)
                a, b = even_lanes(a, b), odd_lanes(a, b)
                g = select(lane_numbers(x) < columns, load(dy, to, dy.size, 0.0) + 0.0, 0.0)
                upper = better(b, a)
                lower = high_lanes(upper, upper)
                g = low_lanes(replaces(lower, upper, 0.0, g), replaces(lower, upper, g, 0.0))
                upper, lower = halves(interleave(replaces(b, a, 0.0, g), replaces(b, a, g, 0.0), 1))
                store(dx, at, end, upper)
                store(dx, at + width, end, lower)
                continue
            upper_end = end if width <= 2 * w else at + width
            for j in range(0, (width + 1) // 2, w):
                a, b = load(x, at + 2 * j, x.size, 0.0), load(x, at + 2 * j + w, x.size, 0.0)
                c, d = load(x, at + width + 2 * j, x.size, 0.0), load(x, at + width + 2 * j + w, x.size, 0.0)
                a, b = even_lanes(a, b), odd_lanes(a, b)
                c, d = even_lanes(c, d), odd_lanes(c, d)
                g = load(dy, to + j, to + columns, 0.0) + 0.0
                upper, lower = better(b, a), better(d, c)
                above, below = replaces(lower, upper, 0.0, g), replaces(lower, upper, g, 0.0)
                a, b = replaces(b, a, 0.0, above), replaces(b, a, above, 0.0)
                c, d = replaces(d, c, 0.0, below), replaces(d, c, below, 0.0)
                store(dx, at + 2 * j, upper_end, interleave(a, b, 1))
                store(dx, at + width + 2 * j, end, interleave(c, d, 1))
        for at in range((plane * height + 2 * rows) * width, (plane + 1) * height * width, w):
            store(dx, at, end, splat(dx, 0.0))


@loops(writes=("dx",), rows=True)
def _backward_halves(dy, x, dx):
    together = planes_together(x)
    for block in prange((x.shape[0] + together - 1) // together):
        _backward_halves_of(dy, x, dx, block * together, min((block + 1) * together, x.shape[0]))


@shared
def _backward_thirds_of(dy, x, dx, plane, partner, first, ph, pw):
    """The columns that windows from `first` on meet; or of two narrow planes all, each in half of the lanes."""
    height, width = x.shape[1], x.shape[2]
    rows, columns = dy.shape[1], dy.shape[2]
    alone, w = partner == plane, lanes(x)
    at, other = plane * height * width, partner * height * width
    skip, column = w if alone else 0, 2 * first
    inside = lane_numbers(x) & ((w if alone else w // 2) - 1)
    inside = select(inside * 2 + (column - pw) < 0, inside * 0 + 1, inside * 0)
    even = odd = upper = splat(x, 0.0)
    number = inside
    if ph == 0:
        upper, number = of_three(x, at, other, column - pw, skip, width, inside)
    for i in range(rows):
        row = 2 * i - ph
        here, there = at + row * width, other + row * width
        best, winner = of_three(x, here + width, there + width, column - pw, skip, width, inside)
        winner = winner + 3
        if row >= 0:
            winner, best = replaces(best, upper, winner, number), better(best, upper)
        if row + 2 < height:
            upper, number = of_three(x, here + 2 * width, there + 2 * width, column - pw, skip, width, inside)
            winner = replaces(upper, best, number + 6, winner)
        given = (plane * rows + i) * columns
        share = load(dy, given + first, given + columns, 0.0)
        if not alone:
            given = (partner * rows + i) * columns
            share = low_lanes(share, load(dy, given, given + columns, 0.0))
        if row >= 0:
            even, odd = give_row(even, odd, winner, share, 0, pw)
            store_row(dx, here, there, alone, column, width, even, odd)
        even, odd = give_row(splat(x, 0.0), splat(x, 0.0), winner, share, 3, pw)
        store_row(dx, here + width, there + width, alone, column, width, even, odd)
        even, odd = give_row(splat(x, 0.0), splat(x, 0.0), winner, share, 6, pw)
    for row in range(2 * rows - ph, height):
        store_row(dx, at + row * width, other + row * width, alone, column, width, even, odd)
        even = odd = splat(x, 0.0)


@loops(writes=("dx",), rows=True)
def _backward_thirds(dy, x, dx, ph, pw):
    planes, width, w = x.shape[0], x.shape[2], lanes(x)
    together = 2 if width <= w else 1
    # two columns at each end of a vector may lack what a window beside it gives: the next vector has them, too
    steps = 1 if width <= 2 * w else 1 + ((width + 1) // 2 - 2) // (w - 1)
    for block in prange((planes + together - 1) // together):
        plane = block * together
        for step in range(steps):
            first = (step if pw else steps - 1 - step) * (w - 1)
            _backward_thirds_of(dy, x, dx, plane, min(plane + together, planes) - 1, first, ph, pw)


@public
def backward(dy, x, y, *, size, stride=None, padding=0, ceil_mode=False, out=None, parallel=None):
    """The gradient with respect to x, from the gradient dy and the input x of `forward`.

    dy, y : (N, C, P, Q) float32 or float64, any strides; not modified, and y, the output of forward, is not read
    x : (N, C, H, W) as given to `forward`, dtype of dy; not modified
    size, stride, padding : as given to `forward`
    ceil_mode : as given to `forward`
    out : (N, C, H, W) dtype of x, C-contiguous, written and returned; must not overlap an input
    parallel : None decides by size; True or False overrides

    Returns dx (N, C, H, W), dtype of x: for each number 0 + dy of each window whose largest it is, the windows
    ascending. Of equal numbers the first gets all, and so does the first NaN.
    Raises TypeError and ValueError as `forward`, and for other dtypes or shapes; H = 0 and W = 0 are no images.
    Formula and source: kernels/reference/max_pool2d.py
    """
    window = windows.checked(size, stride, padding)
    x, shape = windows.images("x", x, window, ceil_mode)
    dy = windows.results("dy", dy, x, shape)
    y = windows.results("y", y, x, shape)
    dx = check.out("out", out, x.shape, x.dtype, dy, x, y)
    large = x.size >= PARALLEL_FROM
    if windows.are_halves(window, x, shape):
        pick(_backward_halves, large, parallel)(windows.planes(dy), windows.planes(x), windows.planes(dx))
    elif window[:4] == (3, 3, 2, 2) and windows.lie_within(window, x, shape):
        pick(_backward_thirds, large, parallel)(windows.planes(dy), windows.planes(x), windows.planes(dx), *window[4:])
    else:
        nest = pick(_backward_planes, large, parallel)
        nest(windows.planes(dy), windows.planes(x), windows.room(shape, x.dtype, 2), windows.planes(dx), *window)
    return dx

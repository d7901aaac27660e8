"""The first columns of an array and the rest, each as an array of its own."""

from .core import check
from .concatenate import PARALLEL_FROM, copy_columns
from .core.compile import pick
from .core.public import public


@public
def forward(x, *, columns, out=None, parallel=None):
    """Cut each row in two. The gradient with respect to x is that of both parts, side by side: see `concatenate`.

    x : (N, C) float32 or float64, any strides; not modified
    columns : a whole number, 0 <= columns < 2^64, how many go to the first part; from C on all do, as in a slice
    out : a tuple of arrays to write, (N, min(columns, C)) and (N, C - min(columns, C)), dtype of x, None for those to
        be made
    parallel : None decides by size; True or False overrides

    Returns x[:, :columns] and x[:, columns:], C-contiguous, dtype of x. Exact.
    Raises TypeError for another dtype or what is no whole number, ValueError for a shape that does not fit.
    Size 0 is allowed everywhere; NaN stays NaN.
    Formula and source: kernels/reference/split.py
    """
    word = check.word("columns", columns)
    first, second = check.outs(out, 2)
    x = check.array("x", x, 2)
    rows, width = x.shape
    cut = width if word < 0 else min(word, width)  # from 2^63 on a word is negative
    first = check.out("out[0]", first, (rows, cut), x.dtype, x)
    second = check.out("out[1]", second, (rows, width - cut), x.dtype, x, first)
    nest = pick(copy_columns, x.size >= PARALLEL_FROM, parallel)
    nest(x, 0, first, 0, cut)
    nest(x, cut, second, 0, width - cut)
    return first, second

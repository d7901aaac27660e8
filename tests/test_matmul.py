import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scalar import LANES, assert_same_bits, fma, gamma, product

from nnjit.kernels import matmul

DTYPES = (np.float32, np.float64)


def bound(function, u, expected, *args):
    """A chain of K fused multiply-adds has K roundings (Higham 2002, section 3.1)."""
    def of(a, b):
        return gamma(a.shape[1], u) * np.matmul(np.abs(a), np.abs(b))
    if function == "forward":
        return [of(*args)]
    dc, a, b = args
    return [of(dc, b.T), of(a.T, dc)]


def fraction(x):
    return Fraction(float(x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_fma_of_these_tests_is_rounded_once(dtype):
    rng = np.random.default_rng(0)
    x, y, z = (rng.standard_normal(4000).astype(dtype) for _ in range(3))
    z[::3] = -x[::3] * y[::3]  # cancels all but the rounding error of the product
    z[1::3] *= dtype(2.0**-20)
    for a, b, c, found in zip(x, y, z, fma(x, y, z)):
        exact = fraction(a) * fraction(b) + fraction(c)
        distance = abs(fraction(found) - exact)
        for other in (np.nextafter(found, dtype(np.inf)), np.nextafter(found, dtype(-np.inf))):
            away = abs(fraction(other) - exact)
            even = not int(found.view(f"u{found.itemsize}")) & 1
            assert distance < away or distance == away and even


def operands(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    m, k, n = shape
    return [rng.standard_normal(size).astype(dtype) for size in ((m, k), (k, n), (m, n))]


def as_layout(x, transposed):
    return np.asfortranarray(x) if transposed else x


# each height of tile, each edge of vectors; columns up to two panels and a part
@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=60)
@given(m=st.integers(0, 40), k=st.integers(0, 20), n=st.integers(0, 140), a_t=st.booleans(), b_t=st.booleans(),
       parallel=st.booleans())
def test_each_number_is_one_chain(dtype, m, k, n, a_t, b_t, parallel):
    a, b, _ = operands((m, k, n), dtype)
    c = matmul.forward(as_layout(a, a_t), as_layout(b, b_t), parallel=parallel)
    assert_same_bits(c, product(a, b), f"{(m, k, n)}")


# columns, k and rows over the blocks and the switches between the ways, tasks over the edges
COLUMNS = matmul.COLUMNS * 16
SHAPES = ((matmul.COPIED_ROWS + 5, 7, 3), (3, 2 * matmul.DEPTH + 3, 5), (100, matmul.DEPTH + 1, 260), (1, 500, 401),
          (401, 500, 1), (matmul.COPIED_ROWS + 100, 2 * matmul.PANEL_DEPTH, 133), (130, 60, 130),
          (500, matmul.PANEL_DEPTH + 70, 4), (500, 300, 10), (35, 700, COLUMNS + 37), (17, 2 * matmul.DEPTH + 1, 450),
          (64, matmul.FEW_K, 2000), (60, 1, 2100), (14, matmul.PANEL_DEPTH + 3, 300), (7, 600, 70))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_chains_over_all_thresholds(dtype, shape):
    a, b, _ = operands(shape, dtype)
    expected = product(a, b)
    for a_t, b_t, parallel in itertools.product((False, True), (False, True), (False, True, None)):
        c = matmul.forward(as_layout(a, a_t), as_layout(b, b_t), parallel=parallel)
        assert_same_bits(c, expected, f"transposed {a_t} {b_t}, parallel {parallel}")


@pytest.mark.parametrize("shape", (
    (matmul.COPIED_ROWS + 3, 20, 10), (matmul.PANEL_DEPTH + 3, 33, 11), (2 * matmul.PANEL_DEPTH + 2, 100, 3),
    (matmul.PANEL_DEPTH + 2, 96, 200), (40, 30, 20), (500, 133, 4), (500, 270, 133)), ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_backward_is_two_products(dtype, shape):
    a, b, dc = operands(shape, dtype)
    for parallel in (False, True):
        da, db = matmul.backward(dc, a, b, parallel=parallel)
        assert_same_bits(da, product(dc, b.T))
        assert_same_bits(db, product(a.T, dc))


def test_empty_sums_are_zero():
    c = matmul.forward(np.empty((3, 0)), np.empty((0, 40)))
    assert_same_bits(c, np.zeros((3, 40)))
    assert matmul.forward(np.empty((0, 3)), np.empty((3, 4))).shape == (0, 4)
    assert matmul.forward(np.empty((2, 3)), np.empty((3, 0))).shape == (2, 0)


def test_transposed_operands_are_not_copied(monkeypatch):
    a, b, _ = operands((30, 20, 40), np.float32)
    given = []
    monkeypatch.setattr(matmul, "product", lambda *args, **options: given.append(args))
    matmul.forward(np.asfortranarray(a), b.T.copy().T)
    matmul.forward(a, b)
    assert [args[3] for args in given] == [matmul.A_TRANSPOSED + matmul.B_TRANSPOSED, 0]
    w = np.ascontiguousarray(b.T)
    matmul.forward(a, w.T)
    assert np.shares_memory(given[-1][1], w)
    matmul.backward(np.ones((30, 40), np.float32), np.asfortranarray(a), w.T)
    assert [args[3] for args in given[-2:]] == [0, 0]
    assert all(x.flags.c_contiguous for args in given for x in args[:2])


def test_shapes_must_fit():
    a, b = np.ones((3, 5)), np.ones((4, 2))
    with pytest.raises(ValueError, match=r"b must have shape \(5, n\) to match a \(3, 5\), got \(4, 2\)"):
        matmul.forward(a, b)
    with pytest.raises(ValueError):
        matmul.backward(np.ones((3, 3)), a, np.ones((5, 2)))
    with pytest.raises(ValueError, match="a must have 2 dimensions"):
        matmul.forward(np.ones(5), b)
    with pytest.raises(ValueError, match="out must have shape"):
        matmul.forward(a, np.ones((5, 2)), out=np.empty((2, 3)))


def test_backward_reads_its_inputs_before_they_are_written():
    # K = N, so that dc, a and da have one shape
    a, b, dc = operands((9, 6, 6), np.float32)
    expected = matmul.backward(dc, a, b)
    for place in range(2):
        for name, x in (("a", a), ("b", b), ("dc", dc)):
            if x.shape != expected[place].shape:
                continue
            args = {"dc": dc.copy(), "a": a.copy(), "b": b.copy()}
            out = [None, None]
            out[place] = args[name]
            try:
                found = matmul.backward(**args, out=tuple(out))
            except ValueError as error:
                assert "out" in str(error)
            else:
                for x, y in zip(found, expected):
                    assert_same_bits(x, y, f"out[{place}] is {name}")


def test_torch_agrees(torch):
    a, b, dc = operands((33, 70, 19), np.float64)
    x, y = (torch.tensor(v, requires_grad=True) for v in (a, b))
    z = x @ y
    z.backward(torch.tensor(dc))
    da, db = matmul.backward(dc, a, b)
    for found, wish in ((matmul.forward(a, b), z.detach()), (da, x.grad), (db, y.grad)):
        np.testing.assert_allclose(found, wish.numpy(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tiles_of_each_height_and_width(dtype):
    """In two blocks of k, so that c is read back. Rows that are left over from high tiles go to lower ones."""
    w = LANES[np.dtype(dtype)]
    for columns in (1, w, w + 1, 2 * w, 2 * w + 1, 3 * w, 3 * w + 1, 4 * w, 5 * w):
        a, b, _ = operands((25, matmul.PANEL_DEPTH + 5, columns), dtype)
        expected = product(a, b)
        for rows in range(1, 26):
            c = matmul.forward(a[:rows], as_layout(b, True), parallel=False)
            assert_same_bits(c, expected[:rows], f"{rows} rows, {columns} columns")


@pytest.mark.parametrize("shape", ((3, 5, 64), (47, 30, 200), (70, 40, 11), (9, 300, 1000), (200, 513, 450),
                                   (243, 3100, 64)), ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_number_of_tasks(dtype, shape):
    """Of some a task has a single row; then it must step through a^T by its rows. Of the last the last of 16 has three,
    though b is large."""
    a, b, _ = operands(shape, dtype)
    expected = product(a, b)
    for tasks, a_t, b_t in itertools.product((1, 2, 3, 8, 16), (False, True), (False, True)):
        whole = np.full((shape[0] + 6, shape[2]), np.nan, dtype)
        c = whole[:shape[0]]
        flags = matmul.A_TRANSPOSED * a_t + matmul.B_TRANSPOSED * b_t
        left, right = (np.ascontiguousarray(x.T if t else x) for x, t in ((a, a_t), (b, b_t)))
        matmul._product.serial(left, right, c, left, flags, 0, tasks)
        assert_same_bits(c, expected, f"{tasks} tasks, transposed {a_t} {b_t}")
        assert np.isnan(whole[shape[0]:]).all()


@pytest.mark.parametrize("shape", ((20, 40, 13), (14, 70, 33), (300, 9, 3), (40, 513, 450)), ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_spoils_its_own_sums_only(dtype, shape):
    """What fills up the copies must not meet an infinity of the next row or column."""
    a, b, _ = operands(shape, dtype)
    a[3, 2], a[5, 0], b[1, -1], b[4, 0] = np.inf, np.nan, -np.inf, np.nan
    expected = np.isfinite(a).all(axis=1)[:, None] & np.isfinite(b).all(axis=0)
    for a_t, b_t in itertools.product((False, True), (False, True)):
        c = matmul.forward(as_layout(a, a_t), as_layout(b, b_t), parallel=False)
        assert np.array_equal(np.isfinite(c), expected), f"transposed {a_t} {b_t}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_empty_sums_are_zero_on_every_way(dtype):
    for m, n, parallel in itertools.product((1, 3, 20, 500), (1, 3, 10, 40, 300), (False, True)):
        nan = np.full((max(m, n), 4), np.nan, dtype)
        matmul.forward(nan[:m], nan[:n].T.copy(), parallel=parallel)  # leaves NaN on the stack
        out = np.full((m, n), np.nan, dtype)
        matmul.forward(np.empty((m, 0), dtype), np.empty((0, n), dtype), out=out, parallel=parallel)
        assert_same_bits(out, np.zeros((m, n), dtype), f"{(m, n)}")


@pytest.mark.parametrize("a_t", (False, True))
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_copied_block_has_all_its_rows(dtype, a_t):
    """A transposed a is copied a few rows at a time if b is large; of the last ones a single row is left."""
    a, b, _ = operands((169, 512, 450), dtype)
    c = matmul.forward(as_layout(a, a_t), b, parallel=False)
    few = [matmul.forward(a[row:row + 7].copy(), b, parallel=False) for row in range(0, 169, 7)]  # not copied
    assert_same_bits(c, np.concatenate(few))


@pytest.mark.parametrize("dtype", DTYPES)
def test_few_rows_and_few_columns(dtype):
    """A side of at most panels.FEW is multiplied by what is transposed in registers: all edges of vectors, of k too."""
    w = LANES[np.dtype(dtype)]
    for few, many, k in itertools.product(range(1, 5), (1, w - 1, 2 * w - 1, 2 * w, 2 * w + 1, 5 * w - 3),
                                          (1, w - 1, w, w + 1, 3 * w - 2)):
        a, b, _ = operands((few, k, many), dtype)
        expected = product(a, b)
        for a_t in (False, True):
            where = f"{(few, k, many)}, transposed {a_t}"
            assert_same_bits(matmul.forward(as_layout(a, a_t), as_layout(b, True), parallel=False), expected, where)
            found = matmul.forward(as_layout(b.T, False), as_layout(a, a_t).T, parallel=False)
            assert_same_bits(found, expected.T, where)


@pytest.mark.parametrize("shape", ((16, 200, 1100), (33, 97, 2085), (64, 600, 500), (65, 600, 500)), ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_block_is_copied_by_its_first_rows(dtype, shape):
    """Up to COPYING_ROWS rows; each shape has a last panel that is copied before, and several blocks of k."""
    a, b, _ = operands(shape, dtype)
    assert_same_bits(matmul.forward(a, b, parallel=False), product(a, b))


# one for each way, and most with edges of tiles: rows in lanes, a single row, few rows, panels one by one and in blocks
EDGED = ((20, 7, 3), (33, 20, 7), (1, 5, 131), (2, 19, 37), (7, 6, 45), (17, 500, 500))


@pytest.mark.parametrize("shape", EDGED, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_is_written_beside_the_result(dtype, shape):
    a, b, c = operands(shape, dtype)
    expected, margin = product(a, b), 200
    for a_t, b_t in itertools.product((False, True), (False, True)):
        room = np.full(c.size + 2 * margin, 7, dtype)
        out = room[margin:margin + c.size].reshape(c.shape)
        matmul.forward(as_layout(a, a_t), as_layout(b, b_t), out=out, parallel=False)
        assert_same_bits(out, expected)
        assert (room[:margin] == 7).all() and (room[-margin:] == 7).all(), f"transposed {a_t} {b_t}"

import numpy as np
import pytest
from scalar import LANES, assert_same_bits, depth, fma, gamma, lane_sum

from nnjit.kernels import penalty, reference

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.penalty.SHAPES]
BLOCK = 4096
KNOBS = ({"l1": 0.3, "l2": 0.7}, {"l1": 0.3}, {"l2": 0.7}, {})


def bound(function, u, expected, *args, l1=0.0, l2=0.0):
    """forward: a number is rounded once as a square, then with each addition of its lane, of the fold and of the later
    blocks; the rest is in float64. backward: l1, 2 l2, the inner sum and the result are rounded."""
    if function == "backward":
        dw, w = args
        return [u * (2 * abs(l1) + np.abs(dw) + np.abs(2 * l2 * w) + np.abs(expected[0]))]
    w, = args
    roundings = 1 + depth(max(1, min(w.size, BLOCK)), u) + max(0, -(-w.size // BLOCK) - 1)
    total = abs(l1) * np.sum(np.abs(w)) + abs(l2) * np.sum(w**2)
    return [(gamma(roundings, u) + gamma(4, 2.0**-53)) * total]


def numbers(size, dtype, seed=0):
    x = np.random.default_rng(seed + size).standard_normal(size).astype(dtype)
    x[::5] = 0
    x[::15] = -0.0
    return x


def squares(values):
    """The sum of squares along a row, in lanes, each a chain of fma."""
    w = LANES[values.dtype]
    padded = np.zeros(-(-values.size // w) * w, values.dtype)
    padded[:values.size] = values
    lanes = np.zeros(w, values.dtype)
    for row in padded.reshape(-1, w):
        lanes = fma(row, row, lanes)
    while lanes.size > 1:
        lanes = lanes[:lanes.size // 2] + lanes[lanes.size // 2:]
    return lanes[0]


def blockwise(row_sum, values):
    total = values.dtype.type(0)
    for start in range(0, values.size, BLOCK):
        total = total + row_sum(values[start:start + BLOCK])
    return float(total)


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_order_of_operations(dtype, size, parallel):
    w, dw = numbers(size, dtype), numbers(size, dtype, 1)
    of_sizes, of_squares = blockwise(lane_sum, np.abs(w)), blockwise(squares, w)
    for options in KNOBS:
        l1, l2 = options.get("l1", 0.0), options.get("l2", 0.0)
        found = penalty.forward(w, **options, parallel=parallel)
        assert type(found) is float and found == l1 * of_sizes + l2 * of_squares, options
        signed = np.where(w < 0, -dtype(l1), dtype(l1))
        assert_same_bits(penalty.backward(dw, w, **options, parallel=parallel), fma(w, dtype(2 * l2), dw + signed))


def test_a_large_array_takes_the_same_blocks():
    w = numbers(penalty.PARALLEL_FROM + 7, np.float32)
    expected = 0.3 * blockwise(lane_sum, np.abs(w)) + 0.7 * blockwise(squares, w)
    assert {penalty.forward(w, l1=0.3, l2=0.7, parallel=parallel) for parallel in (False, True, None)} == {expected}


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_sign_of_zero_is_one(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    w = np.array([0.0, -0.0, tiny, -tiny, 2, -2], dtype)
    found = penalty.backward(np.full(6, 8, dtype), w, l1=0.5, l2=0.25)
    assert_same_bits(found, np.array([8.5, 8.5, 8.5, 7.5, 9.5, 6.5], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_numbers(dtype):
    inf, nan = np.inf, np.nan
    w = np.ones(5000, dtype)
    for at in (0, 4095, 4096, 4999):
        for value, expected in ((nan, nan), (inf, inf), (-inf, inf)):
            w[at] = value
            for options in KNOBS[:3]:
                np.testing.assert_equal(penalty.forward(w, **options), expected)
            assert penalty.forward(w) == 0
            w[at] = 1
    w, dw = np.array([nan, inf, -inf, 1, 1, inf], dtype), np.array([0, 0, 0, nan, -inf, -inf], dtype)
    assert_same_bits(penalty.backward(dw, w, l1=1, l2=1), np.array([nan, inf, -inf, nan, -inf, nan], dtype))
    assert_same_bits(penalty.backward(dw, w, l1=1), np.array([nan, nan, nan, nan, -inf, nan], dtype))


def test_a_square_beyond_float32_is_left_out_with_its_factor():
    w = np.full(20, 1e20, np.float32)
    assert penalty.forward(w, l1=0.5) == 10 * float(w[0])
    assert penalty.forward(w, l2=0.5) == np.inf
    assert penalty.forward(w.astype(float), l2=0.5) == pytest.approx(1e41, rel=1e-6)


def test_torch_agrees(torch):
    w, dw = (np.random.default_rng(seed).standard_normal(1000) for seed in (0, 1))
    leaf = torch.tensor(w, requires_grad=True)
    loss = 0.3 * leaf.abs().sum() + 0.7 * (leaf**2).sum()
    (loss + (leaf * torch.tensor(dw)).sum()).backward()
    # in any order of 1000 numbers
    assert penalty.forward(w, l1=0.3, l2=0.7) == pytest.approx(loss.item(), rel=2 * gamma(1002, 2.0**-53))
    # three numbers below 6 in magnitude, each and their sums rounded
    np.testing.assert_allclose(penalty.backward(dw, w, l1=0.3, l2=0.7), leaf.grad.numpy(), rtol=0, atol=12 * 6 * 2**-53)

import math

import numpy as np
import pytest
from scalar import LANES, assert_same_bits, fma, gamma

from nnjit.kernels import clip_norm, reference

DTYPES = (np.float32, np.float64)
SIZES = [size for size, in reference.clip_norm.SHAPES]
BLOCK = 4096


def bound(function, u, expected, x, **options):
    """forward: both sums are in float64 at least, each in an order of its own; a root halves their errors. Squares that
    underflow are off by a denormal number each at most, and |sqrt a - sqrt b| <= sqrt |a - b|. step: the factor is
    rounded, so is the product; nothing where there is none."""
    if function == "forward":
        return [(gamma(x.size, 2.0**-53) + 2 * 2.0**-53) * expected[0] + math.sqrt(x.size * 5e-324)]
    norm, roundings = options.get("norm"), 2
    if norm is None:  # its relative error, at most as above, is the factor's
        norm, roundings = math.sqrt(np.sum(np.square(x, dtype=np.float64))), 2 + (x.size + 2) * 2.0**-53 / u
    return [gamma(roundings, u) * np.abs(expected[0]) if not norm + 1e-6 < options["max_norm"] else 0 * x]


def numbers(size, dtype):
    return np.random.default_rng(size).standard_normal(size).astype(dtype)


def norm(x):
    """The sum of squares in blocks, of each in lanes of float64 that are chains of fma; and its root."""
    w, total = LANES[x.dtype], 0.0
    for start in range(0, x.size, BLOCK):
        block = x[start:start + BLOCK].astype(np.float64)
        padded = np.zeros(-(-block.size // w) * w)
        padded[:block.size] = block
        lanes = np.zeros(w)
        for row in padded.reshape(-1, w):
            lanes = fma(row, row, lanes)
        while lanes.size > 1:
            lanes = lanes[:lanes.size // 2] + lanes[lanes.size // 2:]
        total = total + float(lanes[0])
    return math.sqrt(total)


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_order_of_operations(dtype, size, parallel):
    x = numbers(size, dtype)
    found = clip_norm.forward(x, parallel=parallel)
    assert type(found) is float and found == norm(x)
    scaled = x * dtype(0.7 / (3.0 + 1e-6))
    assert clip_norm.step(x, norm=3.0, max_norm=0.7, parallel=parallel) == 3.0
    assert_same_bits(x, scaled)
    before = norm(x)
    scaled = x * dtype(min(1.0, 0.3 / (before + 1e-6)))
    assert clip_norm.step(x, max_norm=0.3, parallel=parallel) == before
    assert_same_bits(x, scaled)


def test_a_large_array_takes_the_same_blocks():
    x = numbers(clip_norm.PARALLEL_FROM + 7, np.float32)
    assert {clip_norm.forward(x, parallel=parallel) for parallel in (False, True, None)} == {norm(x)}


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_small_norm_changes_nothing(dtype):
    x = numbers(50, dtype)
    x[:3] = np.nan, np.inf, -0.0
    before = x.copy()
    for small, largest in ((0, 0.5), (0.5, 0.5 + 1e-6), (0, 1e-6), (2, 3)):
        clip_norm.step(x, norm=small, max_norm=largest)
        assert_same_bits(x, before)
    clip_norm.step(x, norm=2, max_norm=2)  # 1e-6 more than it is
    assert_same_bits(x, before * dtype(2 / (2 + 1e-6)))
    clip_norm.step(x[3:], norm=0, max_norm=0)
    assert_same_bits(x[3:], before[3:] * dtype(0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_numbers(dtype):
    x = np.ones(5000, dtype)
    for at in (0, 4095, 4096, 4999):
        for value, expected in ((np.nan, np.nan), (np.inf, np.inf), (-np.inf, np.inf)):
            x[at] = value
            np.testing.assert_equal(clip_norm.forward(x), expected)
            x[at] = 1
    x = np.array([1, -1, np.inf, np.nan], dtype)
    clip_norm.step(x, norm=np.inf, max_norm=1)
    assert_same_bits(x, np.array([0, -0.0, np.nan, np.nan], dtype))
    clip_norm.step(x, norm=np.nan, max_norm=1)
    assert_same_bits(x, np.full(4, np.nan, dtype))


def test_no_float32_is_too_large_or_too_small():
    for size in (np.finfo(np.float32).max, np.finfo(np.float32).smallest_subnormal):
        assert clip_norm.forward(np.full(16, size, np.float32)) == 4 * float(size)
    assert clip_norm.forward(np.full(2, 1e155)) == np.inf


def test_a_clipped_gradient_has_the_norm():
    x = numbers(10_000, np.float64)
    clip_norm.step(x, norm=clip_norm.forward(x), max_norm=0.5)
    assert clip_norm.forward(x) == pytest.approx(0.5, rel=2e-8)  # 1e-6 beside a norm of 100
    assert clip_norm.forward(x) < 0.5


def test_a_norm_of_0_is_given_too():
    """What the sums hold, which are then empty, does not matter."""
    x = numbers(10, np.float64)
    expected = x * (1e-9 / (0.0 + 1e-6))
    clip_norm._scale_blocks.serial(x, np.array([100.0]), 0.0, 1e-9)
    assert_same_bits(x, expected)


def test_mistakes_are_named():
    x = numbers(10, np.float32)
    for options in ({"norm": -1, "max_norm": 1}, {"norm": 1, "max_norm": -0.5}, {"norm": -np.inf, "max_norm": 1}):
        with pytest.raises(ValueError, match="norm must not be negative, got "):
            clip_norm.step(x, **options)


@pytest.mark.parametrize("largest", (0.1, 1e6))
def test_torch_agrees(torch, largest):
    arrays = [numbers(size, np.float64) for size in (50, 7, 1000)]
    leaves = [torch.zeros(x.size, dtype=torch.float64) for x in arrays]
    for leaf, x in zip(leaves, arrays):
        leaf.grad = torch.tensor(x)
    total = torch.nn.utils.clip_grad_norm_(leaves, largest).item()
    whole = math.sqrt(sum(clip_norm.forward(x)**2 for x in arrays))
    # each order of the 1057 squares has fewer than 1060 additions; roots and squares of parts
    assert whole == pytest.approx(total, rel=gamma(1070, 2.0**-53))
    for leaf, x in zip(leaves, arrays):
        clip_norm.step(x, norm=whole, max_norm=largest)
        np.testing.assert_allclose(x, leaf.grad.numpy(), rtol=gamma(1080, 2.0**-53), atol=0)

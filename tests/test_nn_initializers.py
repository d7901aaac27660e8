"""nn/initializers.py: ranges and deviations, the same numbers for a seed, and how Dense takes them."""

import math

import numpy as np
import pytest

from nnjit import kernels, nn
from nnjit.nn import initializers, nnfs

SIZES = 300, 200
WISHES = {  # largest number or None, deviation
    "glorot_uniform": (math.sqrt(6 / 500), math.sqrt(2 / 500)), "glorot_normal": (None, math.sqrt(2 / 500)),
    "he_uniform": (math.sqrt(6 / 300), math.sqrt(2 / 300)), "he_normal": (None, math.sqrt(2 / 300)),
    "normal": (None, 0.01), "uniform": (0.05, 0.05 / math.sqrt(3)), "zeros": (0, 0)}


@pytest.mark.parametrize("name", initializers.BY_NAME)
def test_ranges_and_deviations(name):
    limit, deviation = WISHES[name]
    found = initializers.BY_NAME[name](*SIZES, np.random.default_rng(0))
    assert found.shape == SIZES and found.dtype == np.float64
    # of 60000 numbers, the mean and the deviation are off by less than 5 of their own deviations
    assert abs(found.mean()) <= 5 * deviation / math.sqrt(found.size)
    assert abs(found.std() - deviation) <= 5 * deviation / math.sqrt(2 * found.size)
    if limit is not None:
        assert abs(found).max() <= limit
        assert abs(found).max() >= 0.99 * limit


def test_factories():
    rng = np.random.default_rng
    assert (initializers.normal(2.0)(3, 4, rng(1)) == initializers.normal(1.0)(3, 4, rng(1)) * 2).all()
    assert abs(initializers.uniform(3.0)(30, 40, rng(1))).max() > 2.9


NORMAL = "glorot_normal", "he_normal", "normal"


@pytest.mark.parametrize("name", NORMAL)
def test_normal_numbers_come_from_the_kernel_under_a_seed_from_the_generator(name):
    seed = int(np.random.default_rng(5).bit_generator.random_raw())  # the next 64 bits
    expected = kernels.normal.forward(SIZES, seed=seed, dtype=np.float64) * WISHES[name][1]
    rng = np.random.default_rng(5)
    found = initializers.BY_NAME[name](*SIZES, rng)
    assert (found == expected).all()
    assert not (initializers.BY_NAME[name](*SIZES, rng) == found).any()  # the next layer's are others


@pytest.mark.parametrize("name", NORMAL)
def test_both_backends_give_the_same_numbers_but_for_rounding(name):
    ours = initializers.BY_NAME[name](*SIZES, np.random.default_rng(5))
    with nn.use("numpy"):
        twins = initializers.BY_NAME[name](*SIZES, np.random.default_rng(5))
    # 24 u of a pair's radius, 9.5 deviations at most: tests/test_normal.py derives it
    np.testing.assert_allclose(ours, twins, rtol=0, atol=12 * 9.5 * np.finfo(np.float64).eps * WISHES[name][1])


def test_dense_takes_a_name_or_a_function():
    for given in ("he_uniform", initializers.he_uniform):
        layer = nn.Dense(*SIZES, initializer=given, rng=7)
        wish = initializers.he_uniform(*SIZES, np.random.default_rng(7)).astype(np.float32)
        assert (layer.weights == wish).all() and not layer.biases.any()
    assert (nn.Dense(3, 2, rng=7).weights == nn.Dense(3, 2, rng=7, initializer="glorot_uniform").weights).all()
    assert (nn.Dense(2, 2, initializer=lambda a, b, rng: np.eye(2)).weights == np.eye(2)).all()


def test_ranges_beyond_the_largest_number_are_named():
    for make, name in ((initializers.uniform, "limit"), (initializers.normal, "deviation")):
        with pytest.raises(ValueError, match=rf"^{name} must be at least 0 and below 1.12356e\+307, got 1e\+308$"):
            make(1e308)
        with pytest.raises(ValueError, match="^weights must contain numbers that float32 can represent, got .* at "):
            nn.Dense(20, 20, initializer=make(1e307), rng=0)
        assert np.isfinite(nn.Dense(20, 20, initializer=make(1e307), rng=0, dtype="f8").weights).all()
    with pytest.raises(ValueError, match=r"^weight_scale must be at least 0 and below 1.12356e\+307, got 1e\+308$"):
        nnfs.Layer_Dense(2, 2, weight_scale=1e308)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="initializer must be a function or one of 'glorot_uniform', .* got 'he'"):
        nn.Dense(2, 3, initializer="he")
    with pytest.raises(ValueError, match=r"weights must have shape \(2, 3\), got \(3, 2\)"):
        nn.Dense(2, 3, initializer=lambda a, b, rng: np.zeros((b, a)))

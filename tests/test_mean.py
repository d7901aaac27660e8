import numpy as np
import pytest
from scalar import block_sum, gamma

from nnjit.kernels import mean, reference


def bound(function, u, expected, *args):
    """Each number passes through at most 63 additions in its block and one for each later block."""
    x, = args
    adds = min(len(x), 64) - 1 + -(-len(x) // 64) - 1
    return [gamma(adds, u) * np.sum(np.abs(x)) / len(x) + 2.0**-53 * np.abs(expected[0])]


@pytest.mark.parametrize("parallel", (False, True))
@pytest.mark.parametrize("size", [size for size, in reference.mean.SHAPES])
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_blocks_of_64_one_after_another(dtype, size, parallel):
    x = np.random.default_rng(size).standard_normal(size).astype(dtype)
    found = mean.forward(x, parallel=parallel)
    assert type(found) is float
    assert found == float(block_sum(x, 64)) / size


def test_a_large_vector_takes_the_same_blocks():
    x = np.random.default_rng(0).standard_normal(mean.PARALLEL_FROM + 7).astype(np.float32)
    expected = float(block_sum(x, 64)) / x.size
    assert {mean.forward(x, parallel=parallel) for parallel in (False, True, None)} == {expected}


def test_edges():
    with pytest.raises(ValueError, match="x must have at least one element"):
        mean.forward(np.empty(0))
    with pytest.raises(ValueError, match="x must have 1 dimension, got shape"):
        mean.forward(np.ones((2, 3)))
    x = np.ones(200, np.float32)
    for at in (0, 63, 64, 199):
        x[at] = np.nan
        assert np.isnan(mean.forward(x))
        x[at] = np.inf
        assert mean.forward(x) == np.inf
        x[at] = 1
    assert mean.forward(-0.0 * x) == 0

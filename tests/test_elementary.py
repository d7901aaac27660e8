"""exp, log, sigmoid and tanh: largest errors, special values, order."""

import decimal
import hashlib

import numpy as np
import pytest

from nnjit.kernels import elementary
from nnjit.kernels.jit import loops
from nnjit.kernels.simd import lanes, load, store

NAMES = ["exp", "log", "sigmoid", "tanh"]
EXP, LOG, SIGMOID, TANH = range(4)
BOUND = {"float32": {"exp": 0.90, "log": 0.84, "sigmoid": 0.81, "tanh": 0.96},  # the contract's is 1
         "float64": {"exp": 0.95, "log": 0.86, "sigmoid": 0.98, "tanh": 0.96}}


@loops
def _apply(which, x, y):
    for at in range(0, x.size, lanes(x)):
        v = load(x, at, x.size, 0.0)
        if which == EXP:
            v = elementary.exp(v)
        elif which == LOG:
            v = elementary.log(v)
        elif which == SIGMOID:
            v = elementary.sigmoid(v)
        else:
            v = elementary.tanh(v)
        store(y, at, x.size, v)


def ours(name, x):
    y = np.empty_like(x)
    _apply.serial(NAMES.index(name), x, y)
    return y


def truth(name, x):
    """The value in the precision of x, which is higher than that of the function under test."""
    with np.errstate(all="ignore"):
        return 1 / (1 + np.exp(-x)) if name == "sigmoid" else getattr(np, name)(x)


def errors(y, exact):
    """|y - exact| in ulp of y's type, as float64; infinity counts as the next power of two, NaN only equals NaN."""
    info = np.finfo(y.dtype)
    largest = np.ldexp(exact.dtype.type(1), info.maxexp)
    nan = np.isnan(exact)
    exact = np.where(nan, 0, np.clip(exact, -largest, largest))
    got = np.where(np.isnan(y), exact.dtype.type("inf"), np.clip(y.astype(exact.dtype), -largest, largest))
    exponent = np.maximum(np.frexp(exact)[1] - 1, info.minexp)
    exponent[exact == 0] = info.minexp
    exponent[np.abs(exact) == largest] -= 1
    found = np.ldexp(np.abs(got - exact), info.nmant - exponent).astype(np.float64)
    return np.where(nan, np.where(np.isnan(y), 0.0, np.inf), found)


def sweep(name, step, chunk=2**20):
    """Largest error over every `step`-th float32 bit pattern, and the input where it is."""
    worst, where = -1.0, None
    for start in range(0, 2**32, chunk * step):
        patterns = np.arange(start, min(start + chunk * step, 2**32), step, dtype=np.uint64)
        x = patterns.astype(np.uint32).view(np.float32)
        with np.errstate(invalid="ignore"):
            wide = x.astype(np.float64)
        error = errors(ours(name, x), truth(name, wide))
        at = error.argmax()
        if error[at] > worst:
            worst, where = error[at], x[at]
    return worst, where


def test_errors_counts_ulp():
    y = np.array([1, 1 + 2**-23, 1, 2**-149, np.inf, np.nan, np.nan, np.inf, 0], np.float32)
    exact = np.array([1 + 2**-24, 1, 1 - 2**-25, 0, 2.0**128 - 2.0**103, np.nan, 1, np.nan, -(2.0**-150)])
    assert errors(y, exact).tolist() == [0.5, 1, 0.5, 1, 0.5, 0, np.inf, np.inf, 0.5]


@pytest.mark.parametrize("name", NAMES)
def test_float32_sweep(name):
    worst, where = sweep(name, 257)
    assert worst <= BOUND["float32"][name], f"{worst} ulp at {where!r}"


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", NAMES)
def test_every_float32(name):
    worst, where = sweep(name, 1)
    print(f"{name}: largest error {worst:.4f} ulp at {float(where).hex()}")
    assert worst <= BOUND["float32"][name], f"{worst} ulp at {where!r}"


def samples(name, count, rng):
    """float64 inputs of all magnitudes, half of them where the function is neither constant nor the identity."""
    wild = rng.integers(0, 2**64, count // 2, dtype=np.uint64).view(np.float64)
    wild = wild[np.isfinite(wild)]
    if name == "log":
        return np.abs(np.concatenate([wild, rng.uniform(0.5, 2, count // 4), 2.0 ** rng.uniform(-30, 30, count // 4)]))
    low, high = {"exp": (-746, 710), "sigmoid": (-746, 40), "tanh": (-20, 20)}[name]
    return np.concatenate([wild, rng.uniform(low, high, count // 4), rng.uniform(-1.5, 1.5, count // 4)])


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than float64 here")
@pytest.mark.parametrize("name", NAMES)
def test_float64_against_long_double(name, rng=None):
    x = samples(name, 400_000, np.random.default_rng(0))
    error = errors(ours(name, x), truth(name, x.astype(np.longdouble)))
    assert error.max() <= BOUND["float64"][name], f"{error.max()} ulp at {x[error.argmax()]!r}"


def in_decimal(name, x):
    """sign, exponent and error in ulp need more digits than any NumPy type has: 60 of them."""
    x = decimal.Decimal(float(x))
    if name == "exp":
        return x.exp()
    if name == "log":
        return x.ln()
    if name == "sigmoid":
        return 1 / (1 + (-x).exp())
    if abs(x) < decimal.Decimal("1e-9"):
        return x - x**3 / 3
    return ((2 * x).exp() - 1) / ((2 * x).exp() + 1)


@pytest.mark.parametrize("name", NAMES)
def test_float64_against_decimal(name):
    x = samples(name, 4000, np.random.default_rng(1))
    x = x[np.abs(x) < 800] if name != "log" else x
    y = ours(name, x)
    worst = 0.0
    with decimal.localcontext(prec=60):
        for value, got in zip(x, y):
            exact = in_decimal(name, value)
            if got == np.inf:
                assert float(exact) == np.inf
                continue
            ulp = decimal.Decimal(np.spacing(float(exact)))
            worst = max(worst, float(abs(decimal.Decimal(float(got)) - exact) / ulp))
    assert 0.5 < worst <= BOUND["float64"][name]


# a coefficient changed by 1 ulp moves one float32 result in 10^5, which no bound in ulp sees
DIGESTS = {"exp": "27a9fba04a8a8732", "log": "1b8c75457716451a", "sigmoid": "ccca001d207e43a6",
           "tanh": "8293e0ac2db7cf57"}


@np.errstate(all="ignore")
def digest(name, step=257, chunk=2**20):
    state = hashlib.sha256()
    for start in range(0, 2**32, chunk * step):  # signalling NaN are among them
        x = np.arange(start, min(start + chunk * step, 2**32), step, dtype=np.uint64).astype(np.uint32)
        y = ours(name, x.view(np.float32))
        y[np.isnan(y)] = np.nan  # one NaN for all
        state.update(y.tobytes())
        # the same number of float64 of like exponents: the upper half of the bits, and a mixed lower half
        if name in ("exp", "sigmoid", "tanh"):
            wide = x.view(np.float32).astype(np.float64) * (1 + (x % 1021) * 2.0**-33)
        else:
            wide = np.abs(x.view(np.float32).astype(np.float64)) * (1 + (x % 1021) * 2.0**-33)
        y = ours(name, wide)
        y[np.isnan(y)] = np.nan
        state.update(y.tobytes())
    return state.hexdigest()[:16]


@pytest.mark.parametrize("name", NAMES)
def test_bits_of_the_sweep(name):
    assert digest(name) == DIGESTS[name]

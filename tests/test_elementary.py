"""exp, log, sigmoid, tanh, expm1, softplus, gelu, cosine and sine: largest errors, special values, order."""

import decimal
import hashlib
import math

import numpy as np
import pytest
from scalar import assert_same_bits, cos_sin

from nnjit.kernels.core import elementary
from nnjit.kernels.core.compile import loops
from nnjit.kernels.core.memory import load, store
from nnjit.kernels.core.vectors import lanes

NAMES = ["exp", "log", "sigmoid", "tanh", "expm1", "softplus", "gelu"]
EXP, LOG, SIGMOID, TANH, EXPM1, SOFTPLUS, GELU, GELU_SLOPE = range(8)
BOUND = {"float32": {"exp": 0.90, "log": 0.84, "sigmoid": 0.81, "tanh": 0.96, "expm1": 0.83,
                     "softplus": 0.92, "gelu": 1.31},  # the contract's is 1
         "float64": {"exp": 0.95, "log": 0.86, "sigmoid": 0.98, "tanh": 0.96, "expm1": 0.91,
                     "softplus": 0.98, "gelu": 1.45}}
FIRST = {name: 2**31 if name == "expm1" else 0 for name in NAMES}  # bit pattern: expm1 is for x <= 0 alone


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
        elif which == TANH:
            v = elementary.tanh(v)
        elif which == EXPM1:
            v = elementary.expm1(v)
        elif which == SOFTPLUS:
            v = elementary.softplus(v)
        elif which == GELU:
            v = elementary.gelu(v)
        else:
            v = elementary.gelu_slope(v)
        store(y, at, x.size, v)


def ours(name, x):
    if name == "cos_sin":
        return np.concatenate(cos_sin(x.view(f"i{x.itemsize}"), x))  # the quadrants are x's last bits
    y = np.empty_like(x)
    _apply.serial([*NAMES, "gelu_slope"].index(name), x, y)
    return y


def truth(name, x):
    """The value in the precision of x, which is higher than that of the function under test."""
    with np.errstate(all="ignore"):
        if name == "sigmoid":
            return 1 / (1 + np.exp(-x))
        if name == "softplus":
            return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
        if name == "gelu":
            return np.maximum(x, -40) * normal(x)
        return getattr(np, name)(x)


def normal(x):
    """The normal distribution function in float64. It may be off by x^2 of its ulp: nothing in float32."""
    return np.array([math.erfc(v) for v in (x * -math.sqrt(0.5)).tolist()]) / 2


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
    for start in range(FIRST[name], 2**32, chunk * step):
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
    if name == "expm1":
        return -np.abs(np.concatenate([wild, rng.uniform(0, 40, count // 4), rng.uniform(0, 1.5, count // 4)]))
    low, high = {"exp": (-746, 710), "sigmoid": (-746, 40), "softplus": (-746, 40), "gelu": (-39, 10),
                 "tanh": (-20, 20)}[name]
    return np.concatenate([wild, rng.uniform(low, high, count // 4), rng.uniform(-1.5, 1.5, count // 4)])


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than float64 here")
@pytest.mark.parametrize("name", [name for name in NAMES if name != "gelu"])  # NumPy has no erfc
def test_float64_against_long_double(name, rng=None):
    x = samples(name, 400_000, np.random.default_rng(0))
    error = errors(ours(name, x), truth(name, x.astype(np.longdouble)))
    assert error.max() <= BOUND["float64"][name], f"{error.max()} ulp at {x[error.argmax()]!r}"


def in_log1p(e):
    return e - e**2 / 2 + e**3 / 3 if e < decimal.Decimal("1e-9") else (1 + e).ln()


def in_normal(x):
    """The normal distribution's function and density."""
    a, pi = abs(x), decimal.Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
    density = (-a * a / 2).exp() / (2 * pi).sqrt()
    if a < 4:  # a + a^3 / 3 + a^5 / 15 + ...
        total, term, i = a, a, 1
        while term > decimal.Decimal("1e-60"):
            i += 2
            term *= a * a / i
            total += term
        below = decimal.Decimal("0.5") - density * total
    else:  # 1 / (a + 1 / (a + 2 / (a + ...)))
        total = a
        for i in range(100, 0, -1):
            total = a + i / total
        below = density / total
    return below if x < 0 else 1 - below, density


def in_decimal(name, x):
    """sign, exponent and error in ulp need more digits than any NumPy type has: 60 of them."""
    x = decimal.Decimal(float(x))
    if name == "exp":
        return x.exp()
    if name == "log":
        return x.ln()
    if name == "sigmoid":
        return 1 / (1 + (-x).exp())
    if name == "gelu":
        return x * in_normal(x)[0]
    if name == "softplus":
        return max(x, 0) + in_log1p((-abs(x)).exp())
    if name == "expm1":
        return x + x**2 / 2 + x**3 / 6 if abs(x) < decimal.Decimal("1e-9") else x.exp() - 1
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
            ulp = decimal.Decimal(np.spacing(abs(float(exact))))
            worst = max(worst, float(abs(decimal.Decimal(float(got)) - exact) / ulp))
    assert 0.5 < worst <= BOUND["float64"][name]


SLOPE = {"float32": 2.25, "float64": 2.1}  # ulp of Phi(x) + |x| phi(x): the slope itself is 0 at -0.75


def test_slope_of_gelu_in_float32():
    x = np.arange(0, 2**32, 1021, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = x[np.abs(x) < 50]
    wide = x.astype(np.float64)
    phi, density = normal(wide), np.exp(-wide**2 / 2) / math.sqrt(2 * math.pi)
    size = (phi + np.abs(wide) * density).astype(np.float32)
    error = np.abs(ours("gelu_slope", x) - (phi + wide * density)) / np.spacing(size)
    assert 1 < error.max() <= SLOPE["float32"], f"{error.max()} ulp at {x[error.argmax()]!r}"


def test_slope_of_gelu_in_float64():
    x = samples("gelu", 4000, np.random.default_rng(2))
    x = x[np.abs(x) < 50]
    worst = 0.0
    with decimal.localcontext(prec=60):
        for value, got in zip(map(decimal.Decimal, x.tolist()), ours("gelu_slope", x).tolist()):
            phi, density = in_normal(value)
            ulp = decimal.Decimal(np.spacing(float(phi + abs(value) * density)))
            worst = max(worst, float(abs(decimal.Decimal(got) - (phi + value * density)) / ulp))
    assert 1 < worst <= SLOPE["float64"]


def test_gelu_at_its_ends():
    for dtype in (np.float32, np.float64):
        info = np.finfo(dtype)
        tiny, large = info.smallest_subnormal, info.max
        x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 50, -50, large, -large, 2 * tiny], dtype)
        found, slope = ours("gelu", x), ours("gelu_slope", x)
        expected = np.array([0, 0, np.inf, 0, np.nan, 50, 0, large, 0, tiny], dtype)
        np.testing.assert_array_equal(found, expected)
        assert (np.signbit(found) == np.signbit(x)).all()
        np.testing.assert_array_equal(slope, np.array([0.5, 0.5, 1, 0, np.nan, 1, 0, 1, 0, 0.5], dtype))


# ---- cosine and sine of quarter turns

TURN = {"float32": (0.88, 0.73), "float64": (0.88, 0.70)}  # ulp of the cosine, of the sine
TINY = 0.97  # ulp of the sine in float32 below 2^-120, where a part of it is a denormal number
PI = "3.14159265358979323846264338327950288419716939937510582097494459"


def turn_errors(start, end, step, chunk=2**20):
    """Largest errors of cosine and sine over every `step`-th float32 from one bit pattern up to another."""
    worst = [0.0, 0.0]
    for first in range(start, end, chunk * step):
        t = np.arange(first, min(first + chunk * step, end), step, dtype=np.uint64).astype(np.uint32).view(np.float32)
        angle = t.astype(np.float64) * (math.pi / 2)
        for i, (found, exact) in enumerate(zip(cos_sin(0, t), (np.cos(angle), np.sin(angle)))):
            worst[i] = max(worst[i], errors(found, exact).max())
    return worst


HALF, SMALL = 0x3F000000, 0x03800000  # the bits of 0.5 and of 2^-120 in float32


@pytest.mark.parametrize("start, step", ((SMALL, 1021), (HALF - 2**25, 64)))  # all sizes; 1/32 and more
def test_cosine_and_sine_in_float32(start, step):
    worst = turn_errors(start, HALF + 1, step)
    assert 0.5 < worst[0] <= TURN["float32"][0] and 0.5 < worst[1] <= TURN["float32"][1], worst


def test_sine_of_tiny_numbers():
    assert turn_errors(0, SMALL, 61)[1] <= TINY


@pytest.mark.exhaustive
def test_cosine_and_sine_of_every_float32():
    worst, tiny = turn_errors(SMALL, HALF + 1, 1), turn_errors(0, SMALL, 1)
    print(f"cosine, sine: largest errors {worst} ulp, below 2^-120 {tiny}")
    assert worst[0] <= TURN["float32"][0] and worst[1] <= TURN["float32"][1] and tiny[1] <= TINY


def quarter_turns(count):
    rng = np.random.default_rng(3)
    return np.concatenate([rng.uniform(0, 0.5, count), 0.5 ** rng.uniform(1, 60, count // 4), [0.5]])


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than float64 here")
def test_cosine_and_sine_in_float64_against_long_double():
    t = quarter_turns(400_000)
    angle = t.astype(np.longdouble) * (np.longdouble(PI) / 2)
    for found, exact, bound in zip(cos_sin(0, t), (np.cos(angle), np.sin(angle)), TURN["float64"]):
        worst = errors(found, exact).max()
        assert 0.5 < worst <= bound, worst


def test_cosine_and_sine_in_float64_against_decimal():
    t = quarter_turns(2000)
    worst = [0.0, 0.0]
    with decimal.localcontext(prec=60):
        for value, *pair in zip(t.tolist(), *cos_sin(0, t)):
            angle, term = decimal.Decimal(value) * decimal.Decimal(PI) / 2, decimal.Decimal(1)
            exact = [decimal.Decimal(0)] * 2
            for n in range(1, 41):  # the terms angle^(n - 1) / (n - 1)!
                exact[(n - 1) % 2] += term if n % 4 in (1, 2) else -term
                term *= angle / n
            for i, found in enumerate(pair):
                ulp = decimal.Decimal(math.ulp(float(exact[i])))
                worst[i] = max(worst[i], float(abs(decimal.Decimal(float(found)) - exact[i]) / ulp))
    assert 0.5 < worst[0] <= TURN["float64"][0] and 0.5 < worst[1] <= TURN["float64"][1], worst


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_quadrants_turn_and_change_signs(dtype):
    t = np.concatenate([np.linspace(-0.5, 0.5, 1001), [2.0**-30, -(2.0**-30)]]).astype(dtype)
    c, s = cos_sin(0, t)
    for found, expected in zip(cos_sin(0, -t), (c, -s)):
        assert (found == expected).all()
    largest = np.iinfo(f"i{t.itemsize}").max
    for quadrant, cosine, sine in ((0, c, s), (1, -s, c), (2, -c, -s), (3, s, -c)):
        for more in (0, 4, -4, 400, largest - 3, -largest - 1):  # all are whole turns
            found = cos_sin(quadrant + more, t)
            assert_same_bits(found[0], cosine, f"cosine in quadrant {quadrant} + {more}")
            assert_same_bits(found[1], sine, f"sine in quadrant {quadrant} + {more}")
    quadrants = np.arange(t.size) % 4  # a quadrant each
    for i in range(2):
        assert_same_bits(cos_sin(quadrants, t)[i], np.choose(quadrants, [cos_sin(q, t)[i] for q in range(4)]))


def test_whole_quarter_turns_are_exact():
    for dtype in (np.float32, np.float64):
        cosines, sines = cos_sin(np.arange(4), np.zeros(4, dtype))
        assert cosines.tolist() == [1, 0, -1, 0] and sines.tolist() == [0, 1, 0, -1]


# a coefficient changed by 1 ulp moves one float32 result in 10^5, which no bound in ulp sees
DIGESTS = {"exp": "27a9fba04a8a8732", "log": "1b8c75457716451a", "sigmoid": "ccca001d207e43a6",
           "tanh": "8293e0ac2db7cf57", "expm1": "f9da70a436c567be", "softplus": "0b3a1a658406253f",
           "gelu": "68c378cd363c79f2", "gelu_slope": "58a8ad687fb9ddfb", "cos_sin": "c1c51ee61265f3ed"}


@np.errstate(all="ignore")
def digest(name, step=257, chunk=2**20):
    state = hashlib.sha256()
    for start in range(FIRST.get(name, 0), 2**32, chunk * step):  # signalling NaN are among them
        x = np.arange(start, min(start + chunk * step, 2**32), step, dtype=np.uint64).astype(np.uint32)
        y = ours(name, x.view(np.float32))
        y[np.isnan(y)] = np.nan  # one NaN for all
        state.update(y.tobytes())
        # the same number of float64 of like exponents: the upper half of the bits, and a mixed lower half
        wide = x.view(np.float32).astype(np.float64) * (1 + (x % 1021) * 2.0**-33)
        y = ours(name, np.abs(wide) if name == "log" else wide)
        y[np.isnan(y)] = np.nan
        state.update(y.tobytes())
    return state.hexdigest()[:16]


@pytest.mark.parametrize("name", [*NAMES, "gelu_slope", "cos_sin"])
def test_bits_of_the_sweep(name):
    assert digest(name) == DIGESTS[name]

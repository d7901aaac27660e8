"""exp, log and similar functions on vectors: polynomials with explicit fma, the same bits on every CPU.

No libm and no SVML: both differ from machine to machine. Largest error over all float32 inputs, in ulp (and over 10^7
float64 inputs): exp 0.90 (0.94), log 0.84 (0.85), sigmoid 0.81 (0.97), tanh 0.96 (0.96), softplus 0.92 (0.97), expm1,
which is for x <= 0 alone, 0.83 (0.89), gelu 1.31 (1.4), and gelu_slope 2.22 (2.1) in ulp of Phi(x) + |x| phi(x), as it
is 0 at -0.75. Of these two all float32 between 2^-8 and 16 were taken, samples beyond, and 10^5 float64. cos_sin, of an
angle that is reduced already: cosine 0.88 (0.88), sine 0.73 (0.70), which of less than 2^-120 is off by 0.97. 0, -0,
infinities and NaN are exact; denormal results are as good as others. tests/test_elementary.py measures all of this.

The polynomials are minimax in the relative error of the result (Remez exchange in 60 digits, coefficients rounded
to float64), gelu's is fitted by least squares at Chebyshev's nodes; the reductions follow Muller, "Elementary
Functions", 3rd edition, chapter 11.
"""

from .compile import inline
from .vectors import absolute, bits, copysign, fma, from_bits, select, single, splat, to_float

LOG2E = 1.4426950408889634
LN2_HIGH_32, LN2_LOW_32 = 0.693145751953125, 1.4286068203094173e-06  # HIGH + LOW = ln 2, and n * HIGH is exact
LN2_HIGH_64, LN2_LOW_64 = 0.693147180559663, 2.8235290563031577e-13
HALF_PI = 1.5707963267948966  # what its rounding lost is part of cos_sin's polynomials
DENSITY = 0.3989422804014327  # of the normal distribution at 0: 1 / sqrt(2 pi)
SHIFT_32, SHIFT_64 = 1.5 * 2.0**23, 1.5 * 2.0**52  # adding it leaves the nearest integer in the low bits


@inline
def tiny(x):
    """16 times the smallest normal number of x's dtype, in every lane. What fades step by step is ended here: it would
    come to rest among denormal numbers, with which each operation takes a hundred times as long."""
    return splat(x, 2.0**-122 if single(x) else 2.0**-1018)


@inline
def _round(x):
    """The nearest integer to x / ln 2, as float lanes and as integer lanes, if it fits 22 bits. No float-to-integer
    conversion: that of NaN differs between machines."""
    shift = splat(x, SHIFT_32 if single(x) else SHIFT_64)
    shifted = fma(x, LOG2E, shift)
    return shifted - shift, bits(shifted) - bits(shift)


@inline
def _reduce(x, n):
    """x - n ln 2."""
    if single(x):
        return fma(n, -LN2_LOW_32, fma(n, -LN2_HIGH_32, x))
    return fma(n, -LN2_LOW_64, fma(n, -LN2_HIGH_64, x))


@inline
def _reduce_twice(x, n):
    """The same, and what its rounding lost."""
    high, low = (LN2_HIGH_32, LN2_LOW_32) if single(x) else (LN2_HIGH_64, LN2_LOW_64)
    exact = fma(n, -high, x)
    r = fma(n, -low, exact)
    return r, fma(n, -low, exact - r)


@inline
def _power_of_two(k):
    """2^k for integer lanes in the range of normal numbers."""
    if single(k):
        return from_bits((k + 127) << 23)
    return from_bits((k + 1023) << 52)


@inline
def _exp_rest(r, s):
    """p with exp(s r) = 1 + s r + r^2 p, for |s r| <= ln 2 / 2 and a power of two s."""
    if single(r):
        p = fma(r, 0.0013813144615996656 * s**6, 0.008369418854018424 * s**5)
        p = fma(p, r, 0.041668456788447036 * s**4)
        p = fma(p, r, 0.16666514791195872 * s**3)
        p = fma(p, r, 0.4999999305069898 * s**2)
    else:
        p = fma(r, 2.4998995880384042e-08 * s**11, 2.763168729818906e-07 * s**10)
        p = fma(p, r, 2.7557597178510918e-06 * s**9)
        p = fma(p, r, 2.4801489352444093e-05 * s**8)
        p = fma(p, r, 0.00019841269486167625 * s**7)
        p = fma(p, r, 0.0013888888946919733 * s**6)
        p = fma(p, r, 0.00833333333350766 * s**5)
        p = fma(p, r, 0.04166666666651916 * s**4)
        p = fma(p, r, 0.16666666666666385 * s**3)
        p = fma(p, r, 0.5000000000000012 * s**2)
    return p


@inline
def _expm1_rest(r):
    """The same p, fitted to the relative error of exp(r) - 1: it takes one more coefficient."""
    if single(r):
        p = fma(r, 0.00019845882893900762, 0.00139406281508216)
        p = fma(p, r, 0.008333389361259469)
        p = fma(p, r, 0.04166636089937069)
        p = fma(p, r, 0.16666666370485755)
        p = fma(p, r, 0.5000000044169307)
    else:
        p = fma(r, 2.0875318663710313e-09, 2.510897887060813e-08)
        p = fma(p, r, 2.7557402676814535e-07)
        p = fma(p, r, 2.7557244374276027e-06)
        p = fma(p, r, 2.4801587172503397e-05)
        p = fma(p, r, 0.00019841269885965783)
        p = fma(p, r, 0.0013888888888962385)
        p = fma(p, r, 0.008333333333321691)
        p = fma(p, r, 0.04166666666666651)
        p = fma(p, r, 0.16666666666666677)
        p = fma(p, r, 0.5)
    return p


@inline
def _clamp(x, low, high):
    """x moved into low..high; NaN stays."""
    x = select(x > high, high, x)
    return select(x < low, low, x)


@inline
def exp(x):
    # past these bounds the result is 0 or infinity
    x = _clamp(x, -104.0, 89.0) if single(x) else _clamp(x, -746.0, 710.0)
    n, k = _round(x)
    r = _reduce(x, n)
    e = fma(fma(_exp_rest(r, 1), r, 1.0), r, 1.0)
    half = k >> 1  # two factors, so that a denormal result is rounded once and infinity is reached
    return e * _power_of_two(half) * _power_of_two(k - half)


@inline
def expm1(x):
    # exp(x) - 1 for x <= 0 alone: with q = exp(r) - 1 = r + r^2 p it is 2^k q + (2^k - 1), rounded once
    a = select(x < -40.0, -40.0, x)  # -1 in either type from there on
    n, k = _round(a)
    r, r_low = _reduce_twice(a, n)
    q = r + fma(r * r, _expm1_rest(r), r_low)
    e = _power_of_two(k)
    return copysign(fma(e, q, e - 1.0), x)


@inline
def _scaled_exp(a):
    """exp(a) for a <= 0 to more than its type's precision, as (head + low) scale / one, the last two powers of two, so
    that head * scale stays normal where exp(a) is denormal."""
    if single(a):
        a = select(a < -104.0, -104.0, a)
        shift, one, mantissa = splat(a, SHIFT_32 + 191.0), splat(a, 2.0**64), 23  # the exponent's bias, 127, and 64
    else:
        a = select(a < -746.0, -746.0, a)
        shift, one, mantissa = splat(a, SHIFT_64 + 1535.0), splat(a, 2.0**512), 52
    shifted = fma(a, LOG2E, shift)
    r = _reduce(a, shifted - shift)
    one_r = r + 1.0
    rest = fma(r * r, _exp_rest(r, 1), r - (one_r - 1.0))
    head = one_r + rest
    return head, rest - (head - one_r), from_bits(bits(shifted) << mantissa), one


@inline
def sigmoid(x):
    # E / (1 + E) for negative x, else 1 / (1 + E), with E = exp(-|x|); products with `scale` are exact
    head, low, scale, one = _scaled_exp(copysign(x, splat(x, -1.0)))
    s = fma(head, scale, one)
    s_low = fma(low, scale, fma(head, scale, one - s))
    q = 1.0 / s
    left = fma(-q, s_low, fma(-q, s, 1.0))  # 1 / (s + s_low) is q (1 + left)
    negative = x < 0.0
    over, over_low = select(negative, head * scale, one), select(negative, low * scale, 0.0)
    return fma(over, q, q * fma(over, left, over_low))


@inline
def softplus(x):
    # max(x, 0) + log(1 + E), with E = exp(-|x|)
    head, low, scale, one = _scaled_exp(copysign(x, splat(x, -1.0)))
    e, e_low = head * scale / one, low * scale / one
    # 1 + E is 1 + f + f_low or, beyond sqrt(2), twice that
    double = e > 0.41421356237309503
    less = e - 1.0
    f = select(double, 0.5 * less, e)
    f_low = select(double, 0.5 * (e - (less + 1.0) + e_low), e_low)
    high, low = (LN2_HIGH_32, LN2_LOW_32) if single(x) else (LN2_HIGH_64, LN2_LOW_64)
    zero = splat(x, 0.0)
    rest = fma(f_low, fma(f, f - 1.0, 1.0), select(double, low, zero))  # 1 / (1 + f) is about 1 - f + f^2
    # the large numbers last: x + log 2 first would add half an ulp
    return select(double, high, zero) + (select(x > 0.0, x, 0.0) + _log1p(f, rest))


@inline
def tanh(x):
    a = absolute(x)
    # from 1 on: 1 - 2 / (exp(2a) + 1), with an exp of 1.5 ulp: the quotient is less than a third of the result. The
    # exponent's bias is added with the shift, so that the bits need a move only. r is half of what 2a leaves, rounded
    # alike, so that 2a itself is not needed
    b = select(a > 20.0, 20.0, a)  # it is 1 in either type from 20 on
    if single(x):
        shifted = fma(b, 2 * LOG2E, splat(x, SHIFT_32 + 127.0))
        n, scale = shifted - (SHIFT_32 + 127.0), from_bits(bits(shifted) << 23)
        r = fma(n, -LN2_LOW_32 / 2, fma(n, -LN2_HIGH_32 / 2, b))
    else:
        shifted = fma(b, 2 * LOG2E, splat(x, SHIFT_64 + 1023.0))
        n, scale = shifted - (SHIFT_64 + 1023.0), from_bits(bits(shifted) << 52)
        r = fma(n, -LN2_LOW_64 / 2, fma(n, -LN2_HIGH_64 / 2, b))
    e = fma(fma(_exp_rest(r, 2), r, 2.0), r, 1.0)
    large = 1.0 - 2.0 / fma(e, scale, 1.0)
    # below: a + a^3 p(a^2); p's last coefficients were rounded to the type first and the others fitted to them
    u = a * a
    if single(x):
        p = fma(u, 0.00013101631818077073, -0.000880689429008214)
        p = fma(p, u, 0.0031455158999261637)
        p = fma(p, u, -0.008654441684484482)
        p = fma(p, u, 0.021814076229929924)
        p = fma(p, u, -0.05396103486418724)
        p = fma(p, u, 0.13333305716514587)
        p = fma(p, u, -0.3333333432674408)
    else:
        p = fma(u, 2.182739684269391e-08, -2.3731608647007234e-07)
        p = fma(p, u, 1.28743889944008e-06)
        p = fma(p, u, -4.794326491800223e-06)
        p = fma(p, u, 1.4334813667927045e-05)
        p = fma(p, u, -3.812277919975883e-05)
        p = fma(p, u, 9.627386434383243e-05)
        p = fma(p, u, -0.00023885974688471609)
        p = fma(p, u, 0.0005899428845423097)
        p = fma(p, u, -0.0014558149192870759)
        p = fma(p, u, 0.0035921248450723193)
        p = fma(p, u, -0.008863235173981996)
        p = fma(p, u, 0.021869488511061963)
        p = fma(p, u, -0.05396825396727201)
        p = fma(p, u, 0.1333333333333174)
        p = fma(p, u, -0.3333333333333333)
    small = fma(u * a, p, a)
    return copysign(select(a >= 1.0, large, small), x)


@inline
def _normal_tail(x):
    """Of a = |x| the normal distribution function at -a, (R + R_low) (e + e_low) s s_2 with e = exp(-a^2 / 2) / (s s_2)
    and the powers of two s and s_2, as the tuple (a, R, R_low, e, e_low, s, s_2); a ends where all of this is 0. s_2 is
    a constant so small that e s is normal where the result is not."""
    a = absolute(x)
    a = select(a > 15.0, 15.0, a) if single(x) else select(a > 39.0, 39.0, a)
    # e, to more than its type's precision, with what rounding a^2 lost
    square = a * a
    h = square * -0.5
    if single(x):
        high, low = LN2_HIGH_32, LN2_LOW_32
        shift, mantissa, s_2 = splat(a, SHIFT_32 + 191.0), 23, splat(a, 2.0**-64)  # the exponent's bias, 127, and 64
    else:
        high, low = LN2_HIGH_64, LN2_LOW_64
        shift, mantissa, s_2 = splat(a, SHIFT_64 + 1535.0), 52, splat(a, 2.0**-512)
    shifted = fma(h, LOG2E, shift)
    n, s = shifted - shift, from_bits(bits(shifted) << mantissa)
    exact = fma(n, -high, h)
    more = fma(n, -low, fma(a, a, -square) * -0.5)
    r = exact + more
    one_r = r + 1.0
    rest = fma(r * r, _expm1_rest(r), fma(one_r, more - (r - exact), r - (one_r - 1.0)))
    e = one_r + rest
    # R = t p(q) with t = 4 / (4 + a) and q = 1 - 2 t = (a - 4) / (a + 4): a p between 0.1 and 0.5. Each coefficient was
    # rounded before the next ones were fitted; of the first, too, the rest counts
    d = a + 4.0
    t = 4.0 / d
    q = fma(t, -2.0, 1.0)
    if single(x):
        p = fma(q, -1.0390500392531976e-05, -5.340026109479368e-05)
        p = fma(p, q, 4.2407886212458834e-05)
        p = fma(p, q, 0.00040728115709498525)
        p = fma(p, q, -0.0008730249828658998)
        p = fma(p, q, -0.001885008648969233)
        p = fma(p, q, 0.015099615789949894)
        p = fma(p, q, -0.04663050174713135)
        p = fma(p, q, 0.0967843234539032)
        p = fma(p, q, -0.151974156498909)
        first, first_low = 0.18882128596305847, -3.146353096680116e-09
    else:
        p = fma(q, -1.721048622141048e-10, -6.099595938921407e-10)
        p = fma(p, q, 4.5615806139333595e-10)
        p = fma(p, q, 4.82995164567671e-09)
        p = fma(p, q, 3.334833673253999e-09)
        p = fma(p, q, -2.1233846440760996e-08)
        p = fma(p, q, -3.8728486001261104e-08)
        p = fma(p, q, 6.784530822313295e-08)
        p = fma(p, q, 2.553624506217064e-07)
        p = fma(p, q, -1.5736504309171318e-07)
        p = fma(p, q, -1.480024775492787e-06)
        p = fma(p, q, 1.7914523562828593e-07)
        p = fma(p, q, 8.786164235787327e-06)
        p = fma(p, q, -4.770596234095606e-07)
        p = fma(p, q, -5.777373209911024e-05)
        p = fma(p, q, 3.3336077364614403e-05)
        p = fma(p, q, 0.0004077046141662095)
        p = fma(p, q, -0.0008699230917838892)
        p = fma(p, q, -0.0018850472416645193)
        p = fma(p, q, 0.015099143722731195)
        p = fma(p, q, -0.046630464489914904)
        p = fma(p, q, 0.09678435018555369)
        p = fma(p, q, -0.15197416049297302)
        first, first_low = 0.18882128260393788, -5.717698947789311e-18
    u = fma(p, q, first)
    u_low = fma(p, q, first - u) + first_low
    ratio = t * u
    # t's own error moves a, times the slope of R, a R - 1 / sqrt(2 pi)
    moved = fma(-t, a - (d - 4.0), fma(-t, d, 4.0)) * (d * 0.25)
    ratio_low = fma(moved, fma(a, -ratio, DENSITY), fma(t, u_low, fma(t, u, -ratio)))
    return a, ratio, ratio_low, e, rest - (e - one_r), s, s_2


@inline
def gelu(x):
    # x Phi(x): for negative x it is -a Phi(-a), else x - a Phi(-a)
    a, ratio, ratio_low, e, e_low, s, s_2 = _normal_tail(x)
    m = a * ratio
    m_low = fma(a, ratio_low, fma(a, ratio, -m))
    return select(x < 0.0, -0.0, x) - fma(m, e, fma(m, e_low, m_low * e)) * s * s_2


@inline
def gelu_slope(x):
    # Phi(x) + x phi(x), the density phi: for negative x it is Phi(-a) - a phi(a), else 1 less that
    a, ratio, ratio_low, e, e_low, s, s_2 = _normal_tail(x)
    m = fma(a, -DENSITY, ratio) + ratio_low
    y = fma(m, e, m * e_low) * s * s_2
    return select(x < 0.0, y, 1.0 - y)


@inline
def cos_sin(quadrant, t):
    # of an angle of quadrant + t quarter turns, |t| <= 1/2; of the integer lanes `quadrant` the last two bits count, so
    # that a whole number of 2^-n turns is split exactly
    z = t * t
    # cos = 1 + z p and sin = t (pi / 2 + q); each coefficient was rounded before the next ones were fitted
    if single(t):
        p = fma(z, 0.0008944863802753389, -0.020855596289038658)
        p = fma(p, z, 0.25366854667663574)
        p = fma(p, z, -1.2337005138397217)
        q = fma(z, -0.004603731911629438, 0.07968108355998993)
        q = fma(q, z, -0.6459636092185974)
        q = fma(q, z, -4.371138828673793e-08)
    else:
        p = fma(z, -6.289399107947598e-09, 4.710334096517494e-07)
        p = fma(p, z, -2.520202744692398e-05)
        p = fma(p, z, 0.0009192602726323787)
        p = fma(p, z, -0.02086348076318097)
        p = fma(p, z, 0.2536695079010417)
        p = fma(p, z, -1.2337005501361697)
        q = fma(z, 5.6343158695252274e-08, -3.598646767531161e-06)
        q = fma(q, z, 0.00016044115191393216)
        q = fma(q, z, -0.004681754132533717)
        q = fma(q, z, 0.07969262624605838)
        q = fma(q, z, -0.6459640975062448)
        q = fma(q, z, 6.123233995736766e-17)
    cosine, sine = fma(p, z, 1.0), fma(t, HALF_PI, t * q)
    odd = (quadrant & 1) > 0
    sign = 30 if single(t) else 62  # moves 2 to the sign's place
    return (from_bits(bits(select(odd, sine, cosine)) ^ (((quadrant + 1) & 2) << sign)),
            from_bits(bits(select(odd, cosine, sine)) ^ ((quadrant & 2) << sign)))


@inline
def log(x):
    # x = 2^k m with m in sqrt(1/2)..sqrt(2); denormals are scaled first
    if single(x):
        tiny = x < 1.1754943508222875e-38
        k, m = _split(select(tiny, x * 2.0**23, x), 0x3F3504F3, 23, 127)
        k = k - select(tiny, 23.0, splat(x, 0.0))
        high, low = splat(x, 0.693145751953125), splat(x, 1.42860682030941723e-06)
    else:
        tiny = x < 2.2250738585072014e-308
        k, m = _split(select(tiny, x * 2.0**52, x), 0x3FE6A09E667F3BCD, 52, 1023)
        k = k - select(tiny, 52.0, splat(x, 0.0))
        high, low = splat(x, 0.693147180369123816490), splat(x, 1.90821492927058770002e-10)
    y = fma(k, high, _log1p(m - 1.0, k * low))
    y = select(x > 0.0, y, splat(x, float("nan")))
    y = select(absolute(x) <= 0.0, splat(x, float("-inf")), y)
    return select(x >= float("inf"), x, y)


@inline
def _log1p(f, low):
    """log(1 + f) + low, for 1 + f in sqrt(1/2)..sqrt(2) and a small `low`."""
    # 2 atanh(s), s = f / (2 + f): the series in z = s^2, Taylor's 2 / (2 i + 1), z < 0.0295
    s = f / (f + 2.0)
    z = s * s
    if single(f):
        p = fma(z, 2 / 11, 2 / 9)
    else:
        p = fma(z, 2 / 23, 2 / 21)
        p = fma(p, z, 2 / 19)
        p = fma(p, z, 2 / 17)
        p = fma(p, z, 2 / 15)
        p = fma(p, z, 2 / 13)
        p = fma(p, z, 2 / 11)
        p = fma(p, z, 2 / 9)
    p = fma(p, z, 2 / 7)
    p = fma(p, z, 2 / 5)
    p = fma(p, z, 2 / 3) * z
    # f - (f^2 / 2 - s (f^2 / 2 + p)): the large term f stays exact (as in FreeBSD's e_log.c)
    square = f * f * 0.5
    return f - (square - fma(s, square + p, low))


@inline
def _split(x, root_half, mantissa, bias):
    """k as float lanes and m = x / 2^k in sqrt(1/2)..sqrt(2), for positive normal x."""
    i = bits(x)
    k = (i - root_half) >> mantissa
    return to_float(k), from_bits(i - (k << mantissa))

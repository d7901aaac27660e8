"""Standard normal numbers: nothing is read, and random bits are not counted as operations."""

from nnjit.bench.cases import Kernel, suite

# a logarithm and a root a pair, a cosine or sine and a product a number
CASES = [Kernel("normal", "forward", (n, c), 3 * n * c, dtype) for n, c in [(300, 64), (512, 1000)]
         for dtype in ("f32", "f64")]

test_normal = suite(CASES)

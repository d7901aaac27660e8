"""Two arrays side by side: a copy, by rows."""

from nnjit.bench.cases import Kernel, suite

CASES = [Kernel("concatenate", "forward", (n, c, k), n * (c + k))
         for n, c, k in [(300, 64, 64), (512, 500, 500), (4096, 512, 512)]]

test_concatenate = suite(CASES)

"""Cross-entropy of log-probabilities: narrow rows with class numbers and one-hot rows, and wide rows."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for n, c in [(300, 3), (128, 10), (512, 1000)]:
    CASES += [
        Kernel("negative_log_likelihood", "forward", (n, c), n, gathered=True),
        Kernel("negative_log_likelihood", "backward", (n, c), n, gathered=True),
    ]
CASES += [
    Kernel("negative_log_likelihood", "forward", (128, 10), 2 * 128 * 10, entry=1, note="one-hot"),
    Kernel("negative_log_likelihood", "backward", (128, 10), 128 * 10, entry=1, note="one-hot"),
]

test_negative_log_likelihood = suite(CASES)

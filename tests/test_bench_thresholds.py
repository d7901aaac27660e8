"""The table of sizes from which threads pay."""

import pytest

from nnjit import kernels
from nnjit.bench import contract, thresholds


def test_every_operation_that_chooses_is_measured():
    # all but those whose products choose
    assert thresholds.operations() == sorted(set(contract.operations()) - {"conv2d", "conv_transpose2d", "dense"})
    assert thresholds.thresholds("tanh") == {"forward": kernels.tanh.PARALLEL_FROM,
                                             "backward": kernels.tanh.PARALLEL_BACKWARD_FROM}
    assert thresholds.thresholds("adam") == {"step": kernels.adam.PARALLEL_FROM}


@pytest.mark.parametrize("op", ("matmul", "mean", "softmax", "max_pool2d"))
def test_shapes_have_the_size_that_is_counted(op):
    for size in (1000, 1_000_000):
        product = 1
        for length in thresholds.shape(op, size):
            product *= length
        assert 0.9 * size <= product <= 1.1 * size


def test_a_ratio_is_serial_time_over_parallel_time(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(thresholds.time, "perf_counter", lambda: clock[0])

    def taking(seconds):
        def call():
            clock[0] += seconds
        return call
    assert thresholds.measure(taking(3.0), taking(2.0)) == pytest.approx(1.5)


def test_the_table(capsys, monkeypatch):
    monkeypatch.setattr(thresholds, "ROUNDS", 1)
    monkeypatch.setattr(thresholds, "SECONDS", 0)
    monkeypatch.setattr(thresholds, "STEPS", (0.5, 1))
    assert thresholds.main(["relu"]) == 0
    title, forward, backward = capsys.readouterr().out.splitlines()
    assert title.startswith("serial time over parallel time, ")
    for line, verb in ((forward, "forward"), (backward, "backward")):
        assert line.startswith(f"relu.{verb}, from {kernels.relu.PARALLEL_FROM} on:  1024x64 ") and " 2048x64 " in line
    assert thresholds.main(["nope"]) == 2
    assert "'nope' does not choose by size: choose from adagrad" in capsys.readouterr().err

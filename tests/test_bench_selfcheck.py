"""`nnjit check`: what it prints, and that it sees each kind of fault."""

import os
import re
import threading

import numpy as np
import pytest

from nnjit import kernels, nn
from nnjit.bench import contract, digests, selfcheck

FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


def test_it_keeps_its_word(capsys):
    assert selfcheck.check(progress=False) == 0
    text = capsys.readouterr().out
    assert f"digest of this machine: {contract.total(digests.DIGESTS)}" in text and "fault" not in text.lower()
    for name in (*contract.operations(), *selfcheck.TRAININGS, *selfcheck.OTHERS):
        assert re.search(rf"^{name} .* ok$", text, re.M), name


class Failing:
    """A pool whose processes do something else."""

    def __init__(self, function, *args):
        self._pool, self._task = contract.processes(), (function, *args)

    def __enter__(self):
        self._pool.__enter__()
        return self

    def __exit__(self, *exception):
        self._pool.__exit__(*exception)

    def submit(self, *ignored):
        return self._pool.submit(*self._task)


@pytest.fixture
def others(monkeypatch):
    """Without the checks that run in this process."""
    monkeypatch.setattr(selfcheck, "OTHERS", {})


def test_other_bits_and_a_wrong_result(monkeypatch, capsys, others):
    monkeypatch.setattr(selfcheck, "operations", lambda: ["relu", "tanh"])
    monkeypatch.setitem(digests.DIGESTS, "relu", "0" * 64)
    assert selfcheck.check(progress=False) == 1
    text = capsys.readouterr().out
    assert "fault: relu: the digest is" in text and re.search("^relu .* FAULT$", text, re.M)
    assert re.search("^tanh .* ok$", text, re.M) and "please report the faults" in text


def test_a_crash_is_a_fault(monkeypatch, capsys, others):
    monkeypatch.setattr(selfcheck, "processes", lambda: Failing(os._exit, 1))
    assert selfcheck.check(progress=False) == 1
    assert "fault: adagrad, or a check at the same time, crashed its process" in capsys.readouterr().out


def test_an_error_is_a_fault(monkeypatch, capsys, others):
    monkeypatch.setattr(selfcheck, "processes", lambda: Failing(int, "x"))
    assert selfcheck.check(progress=False) == 1
    assert "fault: tanh: ValueError: invalid literal for int()" in capsys.readouterr().out


def test_wrong_results_are_seen(monkeypatch):
    monkeypatch.setattr(kernels.core.threads, "_num_threads", kernels.get_num_threads())  # the check sets it
    twin = contract.twins("relu")[0]
    monkeypatch.setattr(twin, "forward", lambda x, parallel=None: np.maximum(x, 0) + (parallel is True) + 1e-3 * x)
    faults = "\n".join(selfcheck.check_operation("relu", [1])[0])
    assert "relu.forward float32 [(2, 3)]: 1 thread and the serial variant differ" in faults
    assert re.search(r"relu.forward float64 \[\(2, 3\)\]: NumPy in float64 differs by [0-9.e+]{6,} eps", faults)


def test_python_threads_that_disturb_each_other(monkeypatch):
    assert selfcheck.check_python_threads() == []
    monkeypatch.setattr(selfcheck, "_digests", lambda: ["other"])
    assert selfcheck.check_python_threads() == [f"Python thread {n} of 8: other bits" for n in range(1, 9)]


@FORK
@pytest.mark.parametrize("does, fault", [
    (lambda pipe: os._exit(3), "a child by fork ended with code 3"),
    (lambda pipe: pipe.send(["other"]), "a child by fork: other bits"),
    (lambda pipe: threading.Event().wait(), "a child by fork hangs"),
], ids=("crash", "bits", "hang"))
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_children_that_fail(monkeypatch, does, fault):
    monkeypatch.setattr(selfcheck.multiprocessing, "get_all_start_methods", lambda: ["fork"])
    monkeypatch.setattr(selfcheck, "_send", does)
    monkeypatch.setattr(selfcheck, "PATIENCE", 2)
    assert selfcheck.check_children() == [fault]


def test_a_model_that_loads_as_another(monkeypatch):
    assert selfcheck.check_file() == []
    load = nn.Model.load

    def forgetful(path):
        model = load(path)
        model.optimizer.reset()
        return model

    monkeypatch.setattr(nn.Model, "load", forgetful)
    assert selfcheck.check_file() == ["a model that was saved and loaded trains apart"]


def test_errors_are_relative_to_the_largest_number_or_the_smallest_normal():
    for dtype in contract.DTYPES:
        info = np.finfo(dtype)
        normal, one = info.smallest_normal, np.array([1, 4], dtype)
        assert selfcheck.error(dtype, [one], [one]) == selfcheck.error(dtype, [one[:0]], [one[:0]]) == 0
        assert selfcheck.error(dtype, [one * (1 + 3 * info.eps)], [one]) == 3
        assert selfcheck.error(dtype, [one, one - 2 * info.eps], [one, one]) == 0.5
        assert selfcheck.error(dtype, [16 * normal], [5 * info.smallest_subnormal]) == pytest.approx(16, rel=1e-5)
        assert selfcheck.error(dtype, [dtype(1e-9)], [dtype(0)]) > 10**20

"""The report's arithmetic and files on made-up measurements, and that the benchmarks cover the operations."""

import argparse
import copy
import importlib
import inspect
import json
import os
import pickle
import re
import subprocess
import sys
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import faults
import numpy as np
import pytest
import sampling
from optional import needs

from nnjit import kernels, nn
from nnjit.bench import against, cases, contract, figures, machine, peers, report, roofline, running, tables
from nnjit.bench import calls as small
from nnjit.kernels import reference

OPS = sorted(path.stem for path in Path(reference.__file__).parent.glob("*.py") if path.stem != "__init__")
FILES = sorted(path.stem for path in Path(report.__file__).parent.glob("bench_*.py"))


def row(group="softmax.forward 512x1000 f32", *, numpy: Any = (4e-4, 4e-4), nnjit: Any = (1e-4, 5e-5), flops=1e6,
        size=1e6, dtype="f32", **others: Any):
    """Times at 1 and 2 threads; a list stands for its rounds."""
    seconds = {name: {threads: t if isinstance(t, list) else [t, t, t] for threads, t in zip("12", times)}
               for name, times in {"numpy": numpy, "nnjit": nnjit, **others}.items()}
    return {"group": group, "dtype": dtype, "flops": flops, "bytes": size, "footprint": size, "seconds": seconds}


def made_up(*rows):
    limits: Any = {"gflops": {"f32": 100.0, "f64": 50.0}, "copy": [[1024, 64.0], [4096, 32.0], [1 << 20, 16.0]]}
    twice = {"gflops": {"f32": 200.0, "f64": 100.0}, "copy": [[size, 2 * rate] for size, rate in limits["copy"]]}
    return {
        "machine": {"processor": "Model T", "system": "Linux x86_64", "caches": {"L1": "32K", "L2": "1024K"},
                    "vector registers": "512 bits", "threads": 2,
                    "versions": {"nnjit": "0", "python": "3.11.0", "numpy": "2.4.0", "numba": "0.61", "blas": "1"}},
        "limits": {"1": limits, "2": twice},
        "rounds": 3,
        "rows": list(rows) or [row(), row("relu.forward 2x2 f32", numpy=(1e-6, 2e-6), nnjit=(2e-6, 1e-6))],
    }


def with_peers():
    """Rows that nnjit, JAX, NumPy and PyTorch win on one thread; scikit-learn and JAX are not in all of them."""
    report = made_up(
        row("step 2-3 batch 4", numpy=(4e-4, 4e-4), torch=(3e-4, 1e-4), jax=(2e-4, 2e-4), sklearn=(9e-4, 9e-4)),
        row("predict 2-3 batch 1", numpy=(2e-4, 2e-4), torch=(2e-4, 4e-4), jax=(5e-5, 4e-4), sklearn=(9e-4, 9e-4)),
        row("product x w 1x2x3 f32", numpy=(8e-5, 1e-4), torch=(2e-4, 2e-4), jax=(1e-3, 1e-3)),
        row("product dy w^T 1x2x3 f32", numpy=(8e-4, 1e-4), torch=(2e-5, 2e-4), jax=(1e-3, 1e-3)),
        row("mixed np.matmul 1x2x3, tanh.forward", numpy=(2e-4, 1e-4)),
    )
    report["machine"]["versions"] |= {"torch": "2.0", "jax": "0.5", "scikit-learn": "1.0"}
    return report


# ---- arithmetic


def test_a_time_is_the_median_over_the_rounds():
    one = row(numpy=([9e-4, 1e-4, 2e-4], [5e-4, 4e-4, 6e-4]))
    assert figures.seconds(one, "numpy", 1) == 2e-4
    assert figures.seconds(one, "numpy", 2) == 5e-4


def test_the_ratio_compares_equal_numbers_of_threads():
    one = row(numpy=(4e-4, 3e-4), nnjit=(1e-4, 2e-4))
    assert figures.ratio(one, 1) == pytest.approx(4)
    assert figures.ratio(one, 2) == pytest.approx(1.5)


def test_numpy_wins_where_the_shown_ratio_is_below_one():
    assert figures.loses(row(numpy=(0.98, 1), nnjit=(1, 1)), 1)
    assert not figures.loses(row(numpy=(0.98, 1), nnjit=(1, 1)), 2)
    assert not figures.loses(row(numpy=(0.997, 1), nnjit=(1, 1)), 1)


def test_the_ratio_is_to_the_fastest_other_contender():
    one = row(numpy=(4e-4, 2e-4), nnjit=(1e-4, 1e-4), torch=(3e-4, 3e-4), jax=(5e-4, 5e-5))
    assert [figures.rival(one, threads) for threads in (1, 2)] == ["torch", "jax"]
    assert [figures.ratio(one, threads) for threads in (1, 2)] == pytest.approx([3, 0.5])
    assert [figures.loses(one, threads) for threads in (1, 2)] == [False, True]


def test_the_ratio_is_that_of_a_round_not_of_medians_from_different_rounds():
    # a machine that is slow in different rounds for different contenders; the quotients are 2, 2 and 2
    one = row(numpy=([2e-4, 8e-4, 4e-4], [1e-4] * 3), nnjit=([1e-4, 4e-4, 2e-4], [1e-4] * 3),
              torch=([9e-4, 9e-4, 3e-4], [2e-4] * 3))
    assert figures.rival(one, 1) == "numpy" and figures.ratio(one, 1) == pytest.approx(2)
    two = row(numpy=([6e-4, 2e-4, 5e-4], [1e-4] * 3), nnjit=([2e-4, 1e-4, 5e-4], [1e-4] * 3))
    assert figures.ratio(two, 1) == pytest.approx(2)  # of the quotients 3, 2 and 1; the medians' is 2.5


def test_contenders_stand_in_the_order_of_the_columns():
    assert figures.contenders(made_up()) == ["numpy", "nnjit"]
    assert figures.contenders(with_peers()) == ["numpy", "torch", "jax", "sklearn", "nnjit"]
    assert figures.contenders(made_up(row(), row(jax=(1, 1)))) == ["numpy", "jax", "nnjit"]


def test_the_spread_is_the_widest_of_all_contenders():
    assert figures.spread(row(torch=(1.0, [1.0, 1.3, 1.0]))) == pytest.approx(0.3)
    assert figures.spread(row(numpy=([1.0, 1.1, 0.9], 1.0), nnjit=(1.0, [2.0, 2.6, 1.8]))) == pytest.approx(0.4)


def test_bandwidth_lies_between_the_measured_sizes():
    found = [[1024, 64.0], [4096, 32.0], [1 << 20, 16.0]]
    for size, expected in ((1, 64), (1024, 64), (2048, 48), (4096, 32), (1 << 16, 24), (1 << 20, 16), (1 << 30, 16)):
        assert figures.bandwidth(found, size) == pytest.approx(expected)


@pytest.mark.parametrize("one, threads, rate, unit, share", [
    (row(flops=2e6, size=1024, nnjit=(4e-5, 2e-5)), 1, 50, "GFLOP/s", 0.5),
    (row(flops=2e6, size=1024, nnjit=(4e-5, 2e-5)), 2, 100, "GFLOP/s", 0.5),
    (row(flops=2e6, size=1024, nnjit=(4e-5, 2e-5), dtype="f64"), 1, 50, "GFLOP/s", 1),
    (row(flops=1e3, size=2**20, nnjit=(2**20 / 4e9, 1)), 1, 4, "GB/s", 0.25),
    (row(flops=1e3, size=2**20, nnjit=(2**20 / 4e9, 1)) | {"footprint": 4096}, 1, 4, "GB/s", 0.125),
])
def test_a_row_is_rated_by_the_limit_it_meets_first(one, threads, rate, unit, share):
    found = figures.rate(made_up(), one, threads)
    assert found[1] == unit and (found[0], found[2]) == pytest.approx((rate, share))


def test_the_higher_of_two_measurements_is_the_limit():
    first = made_up()["limits"]
    second = copy.deepcopy(first)
    second["1"]["gflops"]["f32"], second["2"]["gflops"]["f64"] = 120.0, 10.0
    second["1"]["copy"][1][1], second["2"]["copy"][2][1] = 1.0, 99.0
    expected = copy.deepcopy(first)
    expected["1"]["gflops"]["f32"] = 120.0
    expected["2"]["copy"][2][1] = 99.0
    assert running._higher(first, second) == expected


# ---- running


@pytest.fixture
def calls(monkeypatch):
    """The children that `measure` would have run; the n-th one's medians are n."""
    made: list[tuple[str, int]] = []

    def together(contenders, threads, files, quick):
        found = {}
        for contender in contenders:
            made.append((contender, threads))
            found[contender] = [{"group": group, "dtype": "f32", "flops": 1, "bytes": 2, "footprint": 2,
                                 "median": float(len(made))} for group in ("a", "b")]
        return found

    monkeypatch.setattr(running, "together", together)
    monkeypatch.setattr(running, "run", lambda contender, *rest: together([contender], *rest)[contender])
    monkeypatch.setattr(running, "_limits", lambda threads, quick: made_up()["limits"])
    monkeypatch.setattr(running, "_calls", lambda ops, torch, quick: [
        {"call": "mean.forward 4", "seconds": {"numpy": float(len(made)), "nnjit": 1.0}}])
    monkeypatch.setattr(machine, "describe", lambda: made_up()["machine"])
    monkeypatch.setattr(running, "ROUNDS", 3)
    return made


TURN = [("numpy", 1), ("nnjit", 1), ("numpy", 2), ("nnjit", 2)]
OTHER_WAY = [("nnjit", 1), ("numpy", 1), ("nnjit", 2), ("numpy", 2)]


def test_contenders_take_turns_and_each_round_is_kept(calls):
    found = running.measure()
    assert calls == TURN + OTHER_WAY + TURN
    assert found["rounds"] == 3
    assert found["calls"] == [{"call": "mean.forward 4", "seconds": {"numpy": [4, 8, 12], "nnjit": [1, 1, 1]}}]
    assert found["rows"][1] == {"group": "b", "dtype": "f32", "flops": 1, "bytes": 2, "footprint": 2, "seconds": {
        "numpy": {"1": [1, 6, 9], "2": [3, 8, 11]}, "nnjit": {"1": [2, 5, 10], "2": [4, 7, 12]}}}


IN_TURNS = """
import os, time
import pytest
from nnjit.bench.cases import CONTENDERS, _turn

@pytest.mark.parametrize("case", "abc")
def test_in_turns(case):
    with _turn():
        with open({log!r}, "a") as log:
            log.write(f"{{CONTENDERS[0]}} {{case}}, ")
        assert CONTENDERS[0] != {broken!r}, "broken on purpose"
"""


def test_contenders_take_turns_at_each_case(tmp_path):
    log, file = tmp_path / "log", tmp_path / "bench_turns.py"
    file.write_text(IN_TURNS.format(log=str(log), broken=""))
    for contenders in (["numpy", "nnjit", "torch"], ["nnjit", "numpy"]):
        assert running.together(contenders, 1, [str(file)], True) == {contender: [] for contender in contenders}
        assert log.read_text() == "".join(f"{contender} {case}, " for case in "abc" for contender in contenders)
        log.unlink()


@pytest.mark.parametrize("broken", ("numpy", "torch"))
def test_nobody_waits_for_a_contender_that_failed(tmp_path, broken):
    file = tmp_path / "bench_turns.py"
    file.write_text(IN_TURNS.format(log=str(tmp_path / "log"), broken=broken))
    with pytest.raises(report.Failure, match=f"{figures.NAMES[broken]} at 1 thread failed"):
        running.together(["numpy", "nnjit", "torch"], 1, [str(file)], True)


def test_what_is_measured_beside_a_row_is_kept_by_round():
    rows: dict = {}
    facts = {"group": "a", "dtype": "f32", "flops": 1, "bytes": 2, "footprint": 2}
    for median, peak in ((1.0, 5.0), (2.0, 6.0)):
        running._collect(rows, [{**facts, "median": median, "peak": peak}], "nnjit", 2)
        running._collect(rows, [{**facts, "median": 3.0}], "numpy", 2)
    assert rows["a"] == {**facts, "seconds": {"nnjit": {"2": [1, 2]}, "numpy": {"2": [3, 3]}}, "peak": {"2": [5, 6]}}


def test_calls_are_measured_for_the_operations_that_are_wanted(monkeypatch):
    made = []
    monkeypatch.setattr(running, "_child", lambda command, *rest: made.append(command[2:]) or '{"calls": []}')
    assert running._calls(["training_step"], True, False) == [] == made
    for ops, torch, quick in (([], False, False), (["mixed", "relu"], True, True)):
        assert running._calls(ops, torch, quick) == []
    assert made == [["--json"], ["--json", "--torch", "--quick", "relu"]]


def test_a_quick_run_is_one_round(calls):
    assert running.measure(quick=True)["rounds"] == 1
    assert calls == TURN


def test_a_slow_machine_gets_fewer_rounds(calls, monkeypatch):
    monkeypatch.setattr(running, "BUDGET", 0)
    assert running.measure()["rounds"] == 1
    assert calls == TURN


def test_peers_take_turns_too_in_fewer_rounds(calls, monkeypatch):
    monkeypatch.setattr(running, "PEER_ROUNDS", 2)
    monkeypatch.setattr(peers, "versions", lambda names: {name: "7" for name in names})
    found = running.measure(others=["torch", "sklearn"])
    names = ["numpy", "nnjit", "torch", "sklearn"]
    assert calls == [(name, threads) for order in (names, names[::-1]) for threads in (1, 2) for name in order]
    assert found["rounds"] == 2 and found["machine"]["versions"]["torch"] == "7"
    assert found["rows"][0]["seconds"]["sklearn"] == {"1": [4, 9], "2": [8, 13]}
    monkeypatch.setattr(running, "PEER_BUDGET", 0)
    assert running.measure(others=["torch"])["rounds"] == 1


def test_only_what_is_installed_is_a_peer(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in ("torch", "jax") else None)
    assert report._peers() == ["torch", "jax"]
    assert capsys.readouterr().err == "not installed and left out: scikit-learn (.venv/bin/pip install '.[peers]')\n"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert report._peers() == ["torch", "jax", "sklearn"]
    assert capsys.readouterr().err == ""


def test_peers_are_measured_when_they_are_wanted(monkeypatch):
    monkeypatch.setattr(report, "_check_tools", lambda: None)
    monkeypatch.setattr(peers, "installed", lambda: ["jax"])
    wanted = []
    monkeypatch.setattr(report, "measure", lambda *given: wanted.append(given) or made_up())
    assert report.command(["--peers", "--quick"]) == report.command(["softmax"]) == 0
    assert wanted == [(True, [], ["jax"]), (False, ["softmax"], [])]


def test_a_peer_without_such_operations_measures_nothing():
    needs("threadpoolctl")
    assert running.run("sklearn", 1, running.bench_files(["mean"]), True) == []


SETTINGS = """
import os
from nnjit.bench.cases import suite

class Settings:
    group, dtype = "settings", "f32"
    def prepare(self, contender):
        raise ValueError({})

test_settings = suite([Settings()])
"""


@pytest.mark.parametrize("peer, found, expected", [
    ("torch", "__import__('torch').get_num_threads(), __import__('torch').is_inference_mode_enabled()", (1, True)),
    ("jax", "len(os.sched_getaffinity(0)), __import__('jax').default_backend()", (1, "cpu")),
])
def test_one_thread_of_a_peer_is_one(tmp_path, peer, found, expected):
    needs("threadpoolctl")
    if importlib.util.find_spec(peer) is None or not hasattr(os, "sched_setaffinity"):
        pytest.skip(f"no {peer}, or no way to hold it")
    before = os.sched_getaffinity(0)
    (tmp_path / "bench_settings.py").write_text(SETTINGS.format(found))
    with pytest.raises(figures.Failure, match=re.escape(f"ValueError: {expected}")):
        running.run(peer, 1, [str(tmp_path / "bench_settings.py")], True)
    assert os.sched_getaffinity(0) == before


def test_a_call_is_compiled_before_it_is_timed(monkeypatch):
    needs("threadpoolctl")
    done = []

    class Case:
        group, dtype = "case", "f32"

        def prepare(self, contender):
            return lambda: done.append("call"), cases.Work(1, 1, 1)

    class Benchmark:
        extra_info: dict = {}

        def __call__(self, call):
            done.append("timing")

    cases.suite([Case()])(Benchmark(), Case(), "numpy")
    assert done == ["call", "timing"]


def test_a_child_measures_one_contender():
    needs("threadpoolctl")
    found = running.run("nnjit", 1, running.bench_files(["mean"]), True)
    assert [each["group"] for each in found] == [case.group for case in bench_file("mean").CASES]
    assert all(0 < each["median"] < 1 and each["bytes"] > 0 for each in found)


@pytest.mark.parametrize("code, told", [
    ("def test_broken():\n    raise ValueError('no such luck')\n", "ValueError: no such luck | FAILED "),
    ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module' | ERROR "),
    ("", "no tests"),
])
def test_a_failing_child_is_told_in_one_line(tmp_path, code, told):
    broken = tmp_path / "bench_broken.py"
    broken.write_text(code)
    with pytest.raises(figures.Failure, match="the benchmarks of NumPy at 2 threads failed") as failure:
        running.run("numpy", 2, [str(broken)], True)
    assert told in str(failure.value) and "\n" not in str(failure.value)
    assert failure.value.code == 1


def test_a_child_is_held_to_its_contender_and_threads(tmp_path):
    names = ("NNJIT_BENCH_CONTENDER", "NNJIT_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    code = f"import os\n\n\ndef test_broken():\n    raise ValueError([os.environ[name] for name in {names}])\n"
    (tmp_path / "bench_broken.py").write_text(code)
    for contender, threads in (("numpy", 1), ("nnjit", 2)):
        with pytest.raises(figures.Failure) as failure:
            running.run(contender, threads, [str(tmp_path / "bench_broken.py")], True)
        assert str([contender, *3 * [str(threads)]]) in str(failure.value)


def test_unknown_operations_are_refused(capsys):
    needs("threadpoolctl")
    assert report.command(["softmaks"]) == 2
    assert "no benchmark of 'softmaks': choose from adagrad," in capsys.readouterr().err


@pytest.fixture
def measured(monkeypatch):
    """`measure` gives made-up numbers, and all tools are there."""
    monkeypatch.setattr(report, "measure", lambda quick, ops, others: made_up())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


def options(**given):
    names = ("json", "markdown", "roofline", "against", "source")
    fixed = {"quick": False, "peers": False, "ops": [], "pages": []}
    return argparse.Namespace(**fixed | dict.fromkeys(names) | given)


def test_main_prints_and_writes_what_is_wanted(measured, tmp_path, capsys):
    assert report.main(options()) == 0
    assert capsys.readouterr().out == tables.text(made_up()) + "\n"
    assert not list(tmp_path.iterdir())
    assert report.main(options(json=str(tmp_path / "a.json"), markdown=str(tmp_path / "a.md"))) == 0
    assert report.load(str(tmp_path / "a.json")) == made_up()
    assert (tmp_path / "a.md").read_text() == tables.markdown(made_up())


def test_outputs_are_checked_before_measuring(measured, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(report, "measure", lambda quick, ops, others: pytest.fail("measured"))
    for given, text in ((tmp_path / "no" / "a.json", "there is no folder"), (tmp_path, "is a folder")):
        assert report.main(options(json=str(given))) == 2
        assert report.main(options(markdown=str(given))) == 2
        errors = capsys.readouterr().err.splitlines()
        assert len(errors) == 2 and all(line.startswith("nnjit: error: ") and text in line for line in errors)


def test_the_plot_and_the_old_report_are_checked_before_measuring(measured, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(report, "measure", lambda quick, ops, others: pytest.fail("measured"))
    assert report.main(options(against=str(tmp_path / "none.json"))) == 2
    assert report.main(options(roofline=str(tmp_path / "a.jpg"))) == 2
    assert report.main(options(roofline=str(tmp_path / "no" / "a.png"))) == 2
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else name)
    assert report.main(options(roofline=str(tmp_path / "a.png"))) == 2
    errors = capsys.readouterr().err.splitlines()
    texts = ("none.json cannot be read", "must end in .png or .svg or .pdf", "there is no folder",
             "plotting needs matplotlib: .venv/bin/pip install '.[plot]'")
    assert len(errors) == len(texts)
    assert all(line.startswith("nnjit: error: ") and text in line for line, text in zip(errors, texts))


def test_missing_tools_are_named_with_the_command(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pytest_benchmark" else name)
    assert report.main(options()) == 2
    assert capsys.readouterr().err == \
        "nnjit: error: the benchmarks need pytest-benchmark: pip install pytest-benchmark\n"


def test_a_failure_ends_the_run_with_one_line(measured, monkeypatch, capsys):
    def fail(quick, ops, others):
        raise figures.Failure("the benchmarks failed:\nbadly")

    monkeypatch.setattr(report, "measure", fail)
    assert report.main(options()) == 1
    assert capsys.readouterr().err == "nnjit: error: the benchmarks failed: badly\n"


# ---- tables and files


def line_of(text, group):
    return next(line for line in text.splitlines() if group in line)


def test_losing_rows_are_marked_where_they_lose():
    text, page = tables.text(made_up()), tables.markdown(made_up())
    assert "4.00  " in line_of(text, "softmax") and "<" not in line_of(text, "softmax")
    left, right = line_of(text, "relu").split("|")[1:]
    assert "0.50<" in left and "2.00" in right and "<" not in right
    assert "**" not in line_of(page, "softmax")
    assert "| **0.50** |" in line_of(page, "relu") and "| 2.00 |" in line_of(page, "relu")
    assert "1 thread: NumPy's time is 1.41 times ours (geometric mean of 2 rows); NumPy is faster in 1" in text


def test_products_are_rated_by_the_peak_of_the_same_seconds():
    product = row("product x w 1x2x3 f32", nnjit=([2e-5, 1e-5, 4e-5], 1e-5), flops=1e6)
    product["peak"] = {"1": [100.0, 100.0, 50.0], "2": [400.0, 200.0, 400.0]}
    found = made_up(product, row())
    # the shares are 0.5, 1 and 0.5; 0.25, 0.5 and 0.25
    assert figures.rate(found, product, 1) == (pytest.approx(50), "GFLOP/s", pytest.approx(0.5))
    assert figures.rate(found, product, 2) == (pytest.approx(100), "GFLOP/s", pytest.approx(0.25))
    first, second = [line for line in tables.summary(found) if "products" in line]
    assert first.endswith("product x w 1x2x3 f32 (NumPy); 50% of the multiply-add peak in the same seconds")
    assert "against NumPy; the lowest is" in first and "25% of" in second
    assert "the share of the multiply-add peak" in tables.text(found) and "the share" not in tables.text(made_up())


def test_the_gain_by_threads_is_told():
    step = row("step 2-3 batch 4")
    step["gain"] = {"2": [1.5, 1.9, 1.7]}
    assert figures.gain(step, 2) == 1.7 and figures.gain(step, 1) is figures.gain(row(), 2) is None
    lines = [line for line in tables.summary(made_up(step)) if "in turns" in line]
    assert lines == ["2 threads: times as fast as nnjit on 1 thread, in turns: step 2-3 batch 4 1.70"]


def test_unsteady_rows_are_counted():
    assert len(tables.summary(made_up())) == 2
    unsteady = made_up(row(nnjit=([1e-4, 1.3e-4, 1e-4], 1e-4)), row("steady", nnjit=([1e-4, 1.2e-4, 1e-4], 1e-4)))
    assert tables.summary(unsteady)[2].startswith("1 of 2 rows differ by more than 25%")


def test_the_tables_show_times_rates_and_shares():
    # 1 MB in 100 us is 10 GB/s, of 16.1 between the sizes
    cells = line_of(tables.markdown(made_up()), "softmax").split(" | ")
    assert cells == ["| softmax.forward 512x1000 f32", "400.0", "100.0", "4.00", "10.0 GB/s", "62%", "400.0", "50.0",
                     "8.00", "20.0 GB/s", "62%", "0% |"]


def test_with_peers_each_row_names_the_fastest():
    text = tables.text(with_peers())
    first, second = (text.split(f" {threads} ")[1] for threads in ("1 thread ", "2 threads "))
    expected = {  # NumPy, PyTorch, JAX, scikit-learn, nnjit, ratio, fastest
        "step 2-3": ("400.0 300.0 200.0 900.0 100.0 2.00 nnjit", "400.0 100.0 200.0 900.0 50.0 2.00 nnjit"),
        "predict 2-3": ("200.0 200.0 50.0 900.0 100.0 0.50< JAX", "200.0 400.0 400.0 900.0 50.0 4.00 nnjit"),
        "product x w": ("80.0 200.0 1000 - 100.0 0.80< NumPy", "100.0 200.0 1000 - 50.0 2.00 nnjit"),
        "product dy": ("800.0 20.0 1000 - 100.0 0.20< PyTorch", "100.0 200.0 1000 - 50.0 2.00 nnjit"),
        "mixed": ("200.0 - - - 100.0 2.00 nnjit", "100.0 - - - 50.0 2.00 nnjit"),
    }
    for group, cells in expected.items():
        for table, each in zip((first, second), cells):
            assert " ".join(line_of(table, group).split("|")[1].split()[:7]) == each
    assert "NumPy us PyTorch us   JAX us scikit-learn us nnjit us  ratio       fastest" in text
    assert "ratio: the fastest other's time over ours" in text and "<: another is faster" in text


def test_with_peers_the_page_has_a_column_for_each():
    page = tables.markdown(with_peers())
    assert page.startswith("# Benchmarks: nnjit, NumPy, PyTorch, JAX and scikit-learn\n")
    assert "torch 2.0, jax 0.5, scikit-learn 1.0" in page
    head = "PyTorch | JAX | scikit-learn | nnjit | ratio | fastest | rate | of limit"
    assert f"| benchmark | NumPy, 1 thread | {head} | NumPy, 2 threads | {head} | spread |" in page
    assert line_of(page, "predict").startswith(
        "| predict 2-3 batch 1 | 200.0 | 200.0 | 50.0 | 900.0 | 100.0 | **0.50** | JAX | 10.0 GB/s | 62% | 200.0 |")
    assert len({line.count("|") for line in page.splitlines() if line.startswith("|")}) == 1
    assert tables.markdown(made_up()).startswith("# Benchmarks: nnjit and NumPy\n")


def test_the_summary_counts_what_is_lost_to_whom():
    first, products, *second = tables.summary(with_peers())
    assert first == ("1 thread: the fastest other's time is 0.80 times ours (geometric mean of 5 rows); "
                     "another is faster in 3: JAX 1, NumPy 1, PyTorch 1")
    assert products == ("1 thread: 0.40 times over the 2 products, against the fastest of NumPy, PyTorch and JAX; the "
                        "lowest is 0.20, product dy w^T 1x2x3 f32 (PyTorch)")
    assert second[0] == ("2 threads: the fastest other's time is 2.30 times ours (geometric mean of 5 rows); "
                         "another is faster in 0")
    assert second[1].endswith("the lowest is 2.00, product x w 1x2x3 f32 (NumPy)")
    assert not any("products" in line for line in tables.summary(made_up()))


def test_a_report_on_one_thread_has_one_column_group():
    whole = made_up()
    del whole["limits"]["2"]
    assert "2 threads" not in tables.text(whole).replace("Linux x86_64, 2 threads", "")
    head = tables.markdown(whole).split("\n| ")[1]
    assert head.count("|") == 7


def test_json_keeps_everything(tmp_path):
    path = str(tmp_path / "report.json")
    report.save(made_up(), path)
    assert report.load(path) == made_up()
    assert tables.markdown(report.load(path)) == tables.markdown(made_up())
    assert sum('"group"' in line for line in Path(path).read_text().splitlines()) == 2  # one row a line


def test_json_keeps_peers(tmp_path):
    path = str(tmp_path / "report.json")
    report.save(with_peers(), path)
    assert tables.text(report.load(path)) == tables.text(with_peers())


REPORTS = sorted(Path(__file__).parent.parent.glob("bench/results/*.json"))


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_committed_reports_still_load(path, capsys):
    assert report.command(["--from", str(path)]) == 0
    assert capsys.readouterr().out == tables.text(report.load(str(path))) + "\n"


NO_REPORT = "is no report that `nnjit bench --json` wrote"


def test_what_is_no_report_is_refused(tmp_path):
    path = tmp_path / "report.json"
    with pytest.raises(figures.Failure, match="cannot be read"):
        report.load(str(path))
    for content, message in ((b"{\n", "it is damaged at line 2, column 1"),
                             (b"[]", "it is damaged: it is not a JSON object"),
                             (b"\xff{}", "it is damaged at byte 0"), (b'{"rows": []}', "it must have 'machine'"),
                             (b'{"rows": [], "rows": [1]}', "it is damaged: an object in it has 'rows' twice"),
                             (b"PK\3\4" * 9, "it is damaged at line 1, column 1")):
        path.write_bytes(content)
        with pytest.raises(figures.Failure, match=f"report.json {NO_REPORT}: {message}"):
            report.load(str(path))
    with pytest.raises(figures.Failure, match=f"^/dev/null {NO_REPORT}: it is a device"):
        report.load("/dev/null")


SMALL_CALL = {"call": "relu.forward 128x10", "seconds": {
    "numpy": [1e-6] * 3, "torch": [2e-6] * 3, "nnjit": [7e-7, 9e-7, 8e-7], "numpy out=": [5e-7] * 3,
    "nnjit out=": [3e-7] * 3, "nest": [1e-7, 2e-7, 3e-7]}}
WRONG = (None, 7, 0, -1.5, 10**400, float("nan"), "", "x", [], [1], {}, {"x": 1}, faults.LEFT_OUT)


def test_each_fault_of_a_report_is_one_sentence(tmp_path, capsys):
    """Whatever is read prints, and compares with itself."""
    path, refused = tmp_path / "old.json", 0
    whole = made_up() | {"calls": [SMALL_CALL]}
    whole["rows"][0] |= {"peak": {"1": [1.0] * 3, "2": [1.0] * 3}, "gain": {"2": [1.0] * 3}}
    for _, found in faults.each(whole, WRONG):
        path.write_text(json.dumps(found))
        code = report.command(["--from", str(path), "--against", str(path)])
        out, err = capsys.readouterr()
        if code:
            refused += 1
            assert code == 2 and err.count("\n") == 1 and not faults.PYTHON.search(err), err
            assert err.startswith(f"nnjit: error: {path} {NO_REPORT}: ")
    assert refused > 700


def interrupted(*arguments):
    raise KeyboardInterrupt


@pytest.mark.parametrize("option, name", [("--json", "a.json"), ("--markdown", "a.md"), ("--roofline", "a.svg"),
                                          ("--pages", "speed.md")])
def test_an_output_is_written_whole_or_not_at_all(tmp_path, monkeypatch, capsys, option, name):
    if option == "--roofline":
        needs("matplotlib")
    source, path = tmp_path / "report.json", tmp_path / name
    report.save(made_up(*[row(name) for name in tables.SPEED_ROWS]), str(source))
    path.write_text(marked(LONG, "old"))
    monkeypatch.setattr(os, "fsync", interrupted)
    assert report.command(["--from", str(source), option, str(path)]) == 130
    assert path.read_text() == marked(LONG, "old") and len([*tmp_path.iterdir()]) == 2
    assert capsys.readouterr().err == "nnjit: error: interrupted\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device is always full here")
@pytest.mark.parametrize("option", ["--json", "--markdown"])
def test_a_full_disk_is_named(tmp_path, capsys, option):
    report.save(made_up(), str(tmp_path / "a.json"))
    assert report.command(["--from", str(tmp_path / "a.json"), option, "/dev/full"]) == 1
    assert capsys.readouterr().err == "nnjit: error: [Errno 28] No space left on device: '/dev/full'\n"


def test_a_page_that_cannot_be_read_is_named_before_measuring(measured, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(report, "measure", lambda quick, ops, others: pytest.fail("measured"))
    (tmp_path / "b.md").write_bytes(b"\xff")
    for name, text in (("a.md", "cannot be read: No such file"), ("b.md", "is no page: it is not text in UTF-8")):
        assert report.main(options(pages=[str(tmp_path / name)])) == 2
        assert capsys.readouterr().err.startswith(f"nnjit: error: {tmp_path / name} {text}")


SHORT, LONG = "benchmark in short", "benchmark"


def marked(name, text=""):
    return f"{tables.START.format(name)}\n{text}{tables.END.format(name)}\n"


def test_a_page_is_rewritten_between_its_markers():
    page = f"# before\n{marked(LONG, 'old')}after\n{marked(SHORT)}"
    texts = {SHORT: "short", LONG: "new\ntable"}
    once = tables.rewrite(page, texts)
    assert once == "# before\n" + marked(LONG, "new\ntable\n") + "after\n" + marked(SHORT, "short\n")
    assert tables.rewrite(once, texts) == once
    assert tables.rewrite(marked(LONG), texts) == marked(LONG, "new\ntable\n")
    start, end = tables.START.format(LONG), tables.END.format(LONG)
    for broken in ("no markers", page + page, f"{end} {start}", start, end):
        with pytest.raises(figures.Failure, match="must hold"):
            tables.rewrite(broken, texts)


def test_the_command_rewrites_all_pages_or_none(tmp_path, capsys):
    source, first, second = (tmp_path / name for name in ("report.json", "README.md", "speed.md"))
    command = ["--from", str(source), "--pages", str(first), str(second)]
    rows = [row(name, numpy=(0.5e-4, 4e-4)) for name in tables.SPEED_ROWS]
    report.save(made_up(row("extra"), *rows), str(source))
    first.write_text(f"x\n{marked(SHORT)}y\n")
    second.write_text(marked(LONG))
    assert report.command(command) == 0
    for page, shown in ((first, tables.README_ROWS), (second, tables.SPEED_ROWS)):
        lines = page.read_text().splitlines()
        assert [line for line in lines if line.startswith("| ")][1:] == [
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
            *(f"| {name} | 50.0 | 100.0 | **0.50** | 400.0 | 50.0 | 8.00 |" for name in shown)]
    assert first.read_text().startswith("x\n") and first.read_text().endswith("\ny\n")
    for line in tables.summary(report.load(str(source))):
        assert f"- {line}" in second.read_text()
    before = first.read_text()
    second.write_text("no markers")
    report.save(made_up(*[row(name) for name in tables.SPEED_ROWS]), str(source))
    assert report.command(command) == 2 and "must hold" in capsys.readouterr().err
    report.save(made_up(), str(source))
    assert report.command(command) == 2 and "the report lacks" in capsys.readouterr().err
    assert first.read_text() == before


def test_pages_have_the_peers_of_the_report(tmp_path):
    rows = [row(name, torch=(3e-4, 3e-4), jax=(5e-5, 1e-3), sklearn=(1, 1)) for name in tables.SPEED_ROWS]
    found = made_up(*rows)
    found["machine"]["versions"] |= {"torch": "2.0", "jax": "0.5"}
    table = tables.page_tables(found)[SHORT]
    contenders = ["NumPy, {}", "PyTorch, {}", "JAX, {}", "nnjit, {}", "ratio"]
    head = [name.format(threads) for threads in ("1 thread", "2 threads") for name in contenders]
    assert table.splitlines()[0] == f"| time in microseconds | {' | '.join(head)} |"
    assert f"| {tables.README_ROWS[0]} | 400.0 | 300.0 | 50.0 | 100.0 | **0.50** | 400.0 | 300.0 |" in table
    assert "PyTorch 2.0, JAX 0.5, float32" in table and table.endswith("**bold**: another is faster.")


@pytest.mark.parametrize("page", ["README.md", "docs/speed.md"])
def test_the_pages_have_the_tables_of_the_committed_report(page):
    [path] = REPORTS
    text = (Path(__file__).parent.parent / page).read_text()
    assert tables.rewrite(text, tables.page_tables(report.load(str(path)))) == text, (
        f"python -m nnjit.bench.report --from {path} --pages README.md docs/speed.md")


def test_one_of_the_readme_s_rows_is_lost():
    [path] = REPORTS
    rows = {row["group"]: row for row in report.load(str(path))["rows"]}
    lost = [any(figures.loses(rows[name], threads) for threads in (1, 2)) for name in tables.README_ROWS]
    assert lost == [False] * (len(lost) - 1) + [True]


# ---- against an older report


def old_and_new(before: Any, now: Any, numpy: Any = ([4.0, 4.1, 3.9], [4.0, 4.1, 3.9])):
    """Reports of one row with these rounds on two threads, and NumPy's rounds before and now."""
    return tuple(made_up(row(numpy=(1.0, of_numpy), nnjit=(1.0, ours)))
                 for ours, of_numpy in zip((before, now), numpy))


@pytest.mark.parametrize("now, numpy, named", [
    ([1.5, 1.6, 1.4], [4.0, 4.1, 3.9], True),
    ([1.5, 1.6, 1.0], [4.0, 4.1, 3.9], False),  # one round as fast as before
    ([1.5, 1.6, 1.4], [6.0, 6.4, 5.6], False),  # a slower machine
    ([1.1, 1.6, 1.4], [4.0, 4.1, 3.9], False),  # a fall within the spread of the rounds
    ([0.5, 0.6, 0.4], [4.0, 4.1, 3.9], False),  # faster
    ([0.9, 0.9, 0.9], [1.0, 1.0, 1.0], False),  # NumPy is faster
])
def test_a_row_is_named_when_every_round_and_the_ratio_are_worse(now, numpy, named):
    old, new = old_and_new([1.0, 1.05, 0.95], now, ([4.0, 4.1, 3.9], numpy))
    assert bool(against.slower(old, new)) is named


def test_a_slowdown_is_told_with_its_figures():
    assert against.slower(*old_and_new([1e-4] * 3, [2e-4] * 3, ([4e-4] * 3, [4e-4] * 3))) == [
        "slower: softmax.forward 512x1000 f32, 2 threads: 200.0 us, was 100.0; ratio to NumPy 2.00, was 4.00"]


@pytest.mark.parametrize("factor, named", [(1.5, False), (1.6, True)])
def test_a_single_round_is_taken_to_be_noisy(factor, named):
    assert bool(against.slower(*old_and_new([1.0], [factor], ([4.0], [4.0])))) is named  # 1.25 * 1.25 = 1.5625


def test_rounds_that_were_slow_for_both_do_not_widen_the_ratio():
    old, new = old_and_new([1.0, 2.0, 1.5], [2.1, 4.2, 3.15], ([4.0, 8.0, 6.0], [4.0, 8.0, 6.0]))
    assert len(against.slower(old, new)) == 1


def test_a_round_as_slow_before_excuses_a_row():
    old, new = old_and_new([1.0, 2.0], [1.5, 1.6], ([4.0, 8.0], [3.0, 3.2]))
    assert against.slower(old, new) == []


def test_rows_that_are_gone_or_new_are_counted():
    old, new = made_up(row("a"), row("b"), row("c")), made_up(row("c"), row("d"))
    assert against.slower(old, new) == []
    assert against.counts(old, new, 0, "x.json") == \
        "no slowdown against x.json: 1 rows compared, 2 are gone, 1 are new"
    assert against.counts(old, new, 1, "x").startswith("1 slowdown against x: ")


def test_numbers_of_threads_that_only_one_report_has_are_left_out():
    old, new = old_and_new([1.0] * 3, [2.0] * 3)
    del old["limits"]["2"], old["rows"][0]["seconds"]["nnjit"]["2"], old["rows"][0]["seconds"]["numpy"]["2"]
    assert against.slower(old, new) == []


def test_the_command_compares(tmp_path, capsys):
    paths = [str(tmp_path / "old.json"), str(tmp_path / "new.json")]
    for found, path in zip(old_and_new([1.0] * 3, [2.0] * 3), paths):
        report.save(found, path)
    assert report.command(["--from", paths[1], "--against", paths[0]]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-2].startswith("slower: softmax") and err == ""
    assert out.splitlines()[-1] == f"1 slowdown against {paths[0]}: 1 rows compared, 0 are gone, 0 are new"
    assert report.command(["--from", paths[0], "--against", paths[1]]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"no slowdown against {paths[1]}: ")


@pytest.mark.parametrize("name, value", [("processor", "Model A"), ("vector registers", "256 bits")])
def test_another_machine_is_a_warning(measured, tmp_path, capsys, name, value):
    old = made_up()
    old["machine"][name] = value
    report.save(old, str(tmp_path / "old.json"))
    assert report.main(options(against=str(tmp_path / "old.json"))) == 0
    [warning] = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: other machines are compared: ") and value in warning.split(" then")[0]


# ---- roofline


def test_kinds_of_rows_are_told_apart():
    kinds = {roofline.kind(row(case.group)): case for case in all_cases()}
    assert set(kinds) == {roofline.STEP, roofline.PRODUCT, roofline.OTHER}
    for group, kind in (("step 2-3 batch 4", roofline.STEP), ("predict 2-3 batch 1", roofline.STEP),
                        ("epoch 2-3 batch 4", roofline.STEP), ("evaluate 2-3 batch 1", roofline.STEP),
                        ("product x w 1x2x3 f32", roofline.PRODUCT), ("dense.backward 1x2x3 f32", roofline.PRODUCT),
                        ("softmax.forward 5x3 f32", roofline.OTHER)):
        assert roofline.kind(row(group)) == kind


def test_a_point_is_a_rate_at_an_intensity():
    found = made_up(row(flops=2e6, size=1e6, torch=(1e-3, 5e-4)), row("step 2-3 batch 1"), row(flops=1e6, size=4e6))
    assert roofline.points(found, 2, "torch", roofline.OTHER) == ([2.0], [pytest.approx(4.0)])
    assert roofline.points(found, 1, "nnjit", roofline.OTHER) == ([2.0, 0.25], pytest.approx([20, 10]))
    assert roofline.points(found, 1, "torch", roofline.STEP) == ([], [])


def test_the_roofs_are_caches_and_memory():
    # half of 32 KB and of 1 MB; 2 GB lie beyond what was measured
    found = made_up()
    found["machine"]["caches"] = {"L1": "2K", "L2": "1M", "L3": "2G", "L4": "odd"}
    expected = [("L1", 64.0), ("L2", figures.bandwidth(found["limits"]["1"]["copy"], 2**19)), ("memory", 16.0)]
    assert roofline.bandwidths(found, 1) == expected


def test_the_plot_shows_every_contender_and_kind():
    needs("matplotlib")
    figure = roofline.plot(with_peers())
    panels = figure.axes
    assert [axes.get_title() for axes in panels] == ["1 thread", "2 threads"]
    # NumPy 5, PyTorch and JAX 4, scikit-learn 2, nnjit 5
    assert [sum(len(points.get_offsets()) for points in axes.collections) for axes in panels] == [20, 20]
    [legend] = figure.legends
    assert [each.get_text() for each in legend.get_texts()] == [
        "NumPy", "PyTorch", "JAX", "scikit-learn", "nnjit", roofline.STEP, roofline.PRODUCT, roofline.OTHER]
    looks = {name: roofline._look(name, kind) for name in figures.NAMES for kind in (roofline.STEP,)}
    assert len({look["marker"] for look in looks.values()}) == len({look["edgecolors"] for look in looks.values()}) == 5
    named = [text.get_text() for text in panels[1].texts]
    assert "multiply-adds f32, 200 GFLOP/s" in named and "memory, 32 GB/s" in named


def test_the_command_draws(tmp_path, capsys):
    needs("matplotlib")
    source, path = str(tmp_path / "report.json"), tmp_path / "roofline.png"
    report.save(made_up(), source)
    assert report.command(["--from", source, "--roofline", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")


# ---- calls


def test_every_public_function_is_called():
    """But for matmul.product, for `dense` only, which has no twin."""
    public = {(op, name) for op in OPS for name, value in vars(getattr(kernels, op)).items()
              if inspect.isbuiltin(value) and value.__module__ == f"nnjit.kernels.{op}" and not name.startswith("_")}
    listed = small.functions()
    assert {(op, verb) for op, verb, _ in listed} == public - {("matmul", "product")}
    assert len({small.name(*each) for each in listed}) == len(listed)
    assert set(small.GOALS) <= {small.name(*each) for each in listed}
    assert {op for op, *_ in small.functions(["relu", "matmul"])} == {"relu", "matmul"}


def test_every_call_is_timed_with_and_without_out(pytestconfig):
    for op, verb, shape in sampling.some(pytestconfig, small.functions(), 20):
        found = small.timers(op, verb, shape, False)
        outs = ["", " out="] if "out" in inspect.signature(getattr(getattr(kernels, op), verb)).parameters else [""]
        assert list(found) == [*(f"{name}{out}" for name in ("numpy", "nnjit") for out in outs), "nest"], (op, verb)
        assert all(timer.timeit(2) > 0 for timer, _ in found.values())


def test_torch_is_called_where_it_has_the_operation():
    pytest.importorskip("torch")
    found = {each["call"]: each["seconds"] for each in small.measure(["relu", "adam", "normal", "dense"], True, True)}
    assert all(0 < value < 1 for each in found.values() for value in each.values())
    assert {call: {name for name in seconds if name.startswith("torch")} for call, seconds in found.items()} == {
        "adam.step 4x4": {"torch"}, "dense.forward 4x4x4": {"torch"}, "dense.backward 4x4x4": {"torch"},
        "normal.forward 4x4": {"torch"}, "relu.forward 4x4": {"torch", "torch out="}, "relu.backward 4x4": {"torch"},
        "relu.forward 128x10": {"torch", "torch out="}}


def test_numpy_s_own_functions_compute_what_the_twins_do():
    for (op, verb), (function, more) in small.NUMPY.items():
        inputs = getattr(reference, op).inputs(np.random.default_rng(0), contract.small(op), np.float32)
        args = next(args for name, args, _ in inputs if name == verb)
        np.testing.assert_array_equal(function(*args, *more), getattr(getattr(reference, op), verb)(*args))


class Fake:
    """A timer that takes so many seconds a call."""

    def __init__(self, seconds):
        self.seconds, self.numbers = seconds, []

    def timeit(self, number):
        self.numbers.append(number)
        return number * self.seconds


def test_turns_last_as_long_whatever_the_call_takes():
    short, nest = Fake(1e-6), Fake(1e-4)
    found = small.in_turns({"nnjit": (short, 1), "nest": (nest, 100)}, 5, 0.001)
    assert found == {"nnjit": pytest.approx(1e-6), "nest": pytest.approx(1e-6)}
    assert short.numbers[2:] == [1000] * 5 or short.numbers[2:] == [999] * 5
    assert nest.numbers[2:] in ([10] * 5, [9] * 5)


def test_the_overhead_is_what_a_call_takes_longer_than_its_nest():
    assert small.overhead(SMALL_CALL, "nnjit") == pytest.approx(6e-7)  # of 6, 7 and 5
    assert small.overhead(SMALL_CALL, "nnjit out=") == pytest.approx(1e-7)
    without = {"call": "x", "seconds": {"numpy": [1e-6], "nnjit": [1e-6]}}
    assert small.overhead(without, "nnjit") is small.overhead(SMALL_CALL, "torch out=") is None
    head, [cells, more] = small.table([SMALL_CALL, without])
    assert head == ["call", "NumPy", "PyTorch", "nnjit", "overhead", "NumPy out=", "PyTorch out=", "nnjit out=",
                    "overhead out=", "nest"]
    assert cells == ["relu.forward 128x10", "1.00", "2.00", "0.80", "0.60", "0.50", "-", "0.30", "0.10", "0.20"]
    assert more == ["x", "1.00", "-", "1.00", *["-"] * 6]


def test_a_report_shows_the_calls(tmp_path):
    found = made_up() | {"calls": [SMALL_CALL]}
    goal = "relu.forward 128x10 takes 0.80 us, 0.30 with out= (NumPy 1.00, PyTorch 2.00); goal: 0.40, not reached"
    assert tables.summary(found)[2:] == [
        "calls on tiny arrays, 1 thread: overhead in the median 0.60 us without out= (1 calls) and 0.10 us with it "
        "(1 calls)", goal]
    quick = copy.deepcopy(SMALL_CALL)
    quick["seconds"]["nnjit"] = [4e-7] * 3
    assert tables.summary(made_up() | {"calls": [quick]})[3].endswith("goal: 0.40, reached")
    assert line_of(tables.text(found), "relu.forward 128x10").split()[2:5] == ["1.00", "2.00", "0.80"]
    assert "## Calls\n" in tables.markdown(found) and "## Calls" not in tables.markdown(made_up())
    cells = "1.00 | 2.00 | 0.80 | 0.60 | 0.50 | - | 0.30 | 0.10 | 0.20"
    assert f"| relu.forward 128x10 | {cells} |" in tables.markdown(found)
    path = str(tmp_path / "report.json")
    report.save(found, path)
    assert report.load(path) == found and '{"call": "relu.forward 128x10"' in Path(path).read_text()


def test_the_table_of_calls_by_itself(capsys):
    assert small.main(["mean", "--quick"]) == 0
    title, head, line, summed = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["call", "NumPy"] and line.startswith("mean.forward 4 ") and "(1 calls)" in summed
    assert small.main(["mean", "--quick", "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)["calls"]
    assert found["call"] == "mean.forward 4" and set(found["seconds"]) == {"numpy", "nnjit", "nest"}
    assert small.main(["men"]) == 2
    assert capsys.readouterr().err.startswith("nnjit: error: there is no operation 'men': choose from adagrad, adam, ")


# ---- cases


def bench_file(op):
    return importlib.import_module(f"nnjit.bench.bench_{op}")


def all_cases():
    return [case for name in FILES for case in importlib.import_module(f"nnjit.bench.{name}").CASES]


@pytest.mark.parametrize("op", OPS)
def test_every_verb_has_benchmarks(op):
    verbs = {name for name, value in vars(getattr(reference, op)).items()
             if inspect.isfunction(value) and name != "inputs" and not name.startswith("_")}
    own = [case for case in bench_file(op).CASES if isinstance(case, cases.Kernel) and case.dtype == "f32"]
    assert {case.op for case in own} == {op}
    assert {case.verb for case in own} == verbs


def test_groups_are_distinct_and_those_of_the_pages_exist():
    groups = [case.group for case in all_cases()]
    assert len(set(groups)) == len(groups)
    assert set(tables.README_ROWS) < set(tables.SPEED_ROWS) <= set(groups)


@pytest.mark.parametrize("contender", cases.TWINS)
@pytest.mark.parametrize("name", FILES)
def test_the_smallest_case_of_a_file_runs(name, contender):
    case = importlib.import_module(f"nnjit.bench.{name}").CASES[0]
    call, work = case.prepare(contender)
    call()
    assert work.flops > 0 and work.bytes > 0


@pytest.mark.parametrize("case, size", [
    (cases.Kernel("softmax", "forward", (5, 3), 1), 2 * 15 * 4),
    (cases.Kernel("softmax", "backward", (5, 3), 1, "f64"), 3 * 15 * 8),
    (cases.Kernel("matmul", "backward", (2, 3, 4), 1), (8 + 6 + 12 + 6 + 12) * 4),
    (cases.Kernel("dense", "backward", (2, 3, 4), 1), (8 + 6 + 12 + 6 + 12 + 4) * 4),
    (cases.Kernel("dense", "backward", (2, 3, 4), 1, entry=1, note="relu"), (16 + 6 + 12 + 6 + 12 + 4) * 4),
    (cases.Kernel("linear", "backward", (5, 3), 1), 2 * 15 * 4),
    (cases.Kernel("adam", "step", (5, 3), 1), 7 * 15 * 4),
    (cases.Kernel("sgd", "step", (5, 3), 1), 3 * 15 * 4),
    (cases.Kernel("mean", "forward", (5,), 1), 5 * 4),
    (cases.Kernel("clip_norm", "step", (5, 3), 1), 2 * 15 * 4),
    (cases.Kernel("categorical_cross_entropy", "forward", (5, 3), 1, gathered=True), 5 * (4 + 8 + 4)),
])
def test_bytes_count_what_is_read_and_written(case, size):
    numpy, nnjit = case.prepare("numpy")[1], case.prepare("nnjit")[1]
    assert numpy == nnjit and numpy.bytes == size


def test_what_is_updated_in_place_is_one_piece_of_memory():
    assert cases.Kernel("adam", "step", (5, 3), 1).prepare("nnjit")[1].footprint == 4 * 15 * 4
    assert cases.Kernel("tanh", "forward", (5, 3), 1).prepare("nnjit")[1].footprint == 2 * 15 * 4


def test_a_network_s_products_are_counted():
    work = cases.Network("step", (2, 64, 3), 300).prepare("numpy")[1]
    # forward and weight gradients of both layers, input gradients of the second; 387 parameters
    assert work.flops == 2 * 300 * (2 * (2 * 64 + 64 * 3) + 64 * 3) + 13 * (2 * 64 + 64 * 3 + 64 + 3)


def test_an_epoch_is_a_step_and_a_prediction():
    step, epoch, predict, evaluate = (cases.Network(what, (2, 64, 3), 300).prepare("numpy")[1]
                                      for what in ("step", "epoch", "predict", "evaluate"))
    assert epoch.flops == step.flops + predict.flops and epoch.bytes == step.bytes + predict.bytes
    assert evaluate == predict and epoch.repeats == step.repeats > predict.repeats == 1


@pytest.mark.parametrize("contender", cases.BACKENDS)
def test_what_is_timed_of_a_network(contender):
    with cases._set_up(contender, False):
        history, step, evaluated, outputs = (cases.Network(what, (2, 5, 3), 8).prepare(contender)[0]()
                                             for what in ("epoch", "step", "evaluate", "predict"))
        regression = cases.Network("step", (2, 5, 3), 8, regression=True).prepare(contender)[0]()
    assert len(history["val_loss"]) == len(history["val_accuracy"]) == len(step["loss"]) == cases.SHORT_STEPS
    assert not step["val_loss"] and len(evaluated) == 2 and outputs.shape == (8, 3)
    np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-6)
    assert len(regression["loss"]) == cases.SHORT_STEPS


def test_a_large_step_takes_turns_with_itself_on_one_thread(monkeypatch):
    case, before = cases.Network("step", (2, 5, 3), 8), kernels.get_num_threads()
    call, _ = case.prepare("nnjit")
    assert case.beside(call) == {}
    monkeypatch.setattr(cases, "LARGE", 0)
    found = case.beside(call)
    assert kernels.get_num_threads() == before
    assert set(found) == ({"gain"} if before > 1 else set()) and all(value > 0 for value in found.values())
    assert cases.Network("predict", (2, 5, 3), 8).beside(call) == {}


def test_the_peak_is_measured_beside_a_product():
    assert cases.Product("x w", (4, 5, 3)).beside(lambda: None)["peak"] > 0


def test_given_outputs_are_written_again():
    case = cases.Kernel("relu", "forward", (5, 3), 1, out=True)
    assert case.group == "relu.forward 5x3 f32 out="
    call, _ = case.prepare("nnjit")
    assert call() is call()


def test_the_twins_are_measured_without_checks():
    with cases._set_up("numpy", False):
        assert nn.backend.ops is reference
    with cases._set_up("nnjit", False):
        assert nn.backend.ops is kernels


def test_blas_gets_the_threads_of_the_kernels():
    threadpoolctl = needs("threadpoolctl")

    def blas():
        return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}

    before = kernels.get_num_threads()
    try:
        kernels.set_num_threads(1)
        with cases._set_up("numpy", False):
            assert blas() <= {1}
        kernels.set_num_threads(before)
        with cases._set_up("numpy", False):
            assert blas() <= {before}
        with cases._set_up("nnjit", False):
            assert blas() <= {1}
        with cases._set_up("nnjit", True):
            assert blas() <= {before}
    finally:
        kernels.set_num_threads(before)


# ---- machine


def test_limits_are_measured_for_one_and_all_threads(monkeypatch):
    monkeypatch.setattr(machine, "SIZES", [2**14, 2**16])
    monkeypatch.setattr(machine, "MOVED", 2**18)
    before = kernels.get_num_threads()
    found = machine.limits(0.001)
    assert kernels.get_num_threads() == before
    assert list(found) == [str(count) for count in sorted({1, before})]
    for limits in found.values():
        rates = [*limits["gflops"].values(), *(rate for _, rate in limits["copy"])]
        assert set(limits["gflops"]) == set(cases.DTYPES) and [size for size, _ in limits["copy"]] == [2**14, 2**16]
        assert np.isfinite(rates).all() and min(rates) > 0


def test_limits_that_are_no_json_are_told_in_one_line(monkeypatch):
    monkeypatch.setattr(running, "_child", lambda *arguments, **more: "a warning\n{}\n")
    with pytest.raises(figures.Failure, match="what it printed is damaged at line 1, column 1: a warning"):
        running._limits(1, True)


def test_the_copy_copies():
    x = np.arange(100, dtype=np.float32)
    y = np.zeros_like(x)
    machine._copy_tasks.parallel(x, y, 60, 2)
    assert (x == y).all()


def test_the_machine_is_described_without_paths_and_dates():
    found = machine.describe()
    text = json.dumps(found)
    assert "/" not in text and found["threads"] == kernels.get_num_threads()
    assert {"nnjit", "python", "numpy", "numba", "llvmlite"} < set(found["versions"])
    assert tables.about(made_up() | {"machine": found})


# ---- peers


COMPARED_SHAPES = {"batch_norm": (7, 3, 6, 5)}  # the gradient of two samples is what rounding leaves


def compared():
    """A small case of every verb of the operations, with each of its inputs; in float64 where there is a benchmark."""
    doubles = {case.op for case in all_cases() if case.dtype == "f64"}
    written = {case.op for case in all_cases() if isinstance(case, cases.Kernel) and case.out}
    for op in OPS:
        shape = COMPARED_SHAPES.get(op, contract.small(op))
        inputs = getattr(reference, op).inputs(np.random.default_rng(0), shape, np.float32)
        for verb, count in Counter(name for name, *_ in inputs).items():
            for dtype in ("f32", "f64") if op in doubles else ("f32",):
                for entry in range(count):
                    yield cases.Kernel(op, verb, shape, 1, dtype, entry, f"entry {entry}")
            if verb == "forward" and op in written:
                yield cases.Kernel(op, verb, shape, 1, out=True)
    yield from (cases.Product(what, (13, 7, 5)) for what in ("x w", "dy w^T", "x^T dy"))


COMPARED: list[Any] = list(compared())
SIZES, BATCH, RATE = (5, 8, 6, 3), 20, 0.05
CHILD = """
import pickle, sys
import numpy as np
from nnjit.bench import cases, peers

def arrays(found):
    return [each for x in found for each in arrays(x)] if isinstance(found, (tuple, list)) else [np.array(found)]

peer, given, networks = pickle.load(sys.stdin.buffer)
found = {}
with cases._set_up(peer, False):
    for case in given:
        call, _ = case.prepare(peer)
        found[case.group] = None if call is None else [arrays(call()), arrays(call())]
    for name, args in networks.items():
        call = peers.network(peer, *args)
        found[name] = None if call is None else arrays(call())
sys.stdout.buffer.write(pickle.dumps(found))
"""


def network(regression=False):
    """Parameters, inputs and labels of a small network, or numbers to learn."""
    rng = np.random.default_rng(5)
    parameters = [(rng.standard_normal((k, c)).astype(np.float32), rng.standard_normal(c).astype(np.float32))
                  for k, c in zip(SIZES, SIZES[1:])]
    x, labels = rng.standard_normal((BATCH, SIZES[0])).astype(np.float32), rng.integers(0, SIZES[-1], BATCH)
    return parameters, x, rng.standard_normal((BATCH, SIZES[-1])).astype(np.float32) if regression else labels


@lru_cache
def child_of(peer):
    networks = {"predict": ("predict", *network(), 1, RATE), "evaluate": ("evaluate", *network(), 1, RATE),
                "epoch 3": ("epoch", *network(), 3, RATE), "outputs": ("predict", *network(True), 1, RATE),
                **{f"step {count}": ("step", *network(), count, RATE) for count in (1, 3)},
                **{f"regression {count}": ("step", *network(True), count, RATE) for count in (1, 3)}}
    return subprocess.run([sys.executable, "-c", CHILD], input=pickle.dumps((peer, COMPARED, networks)),
                          capture_output=True)


def results_of(peer):
    """What a peer returns for all that is compared here, from a process of its own: peers change theirs for good."""
    if importlib.util.find_spec(peer) is None:
        pytest.skip(f"no {peers.NAMES[peer]}")
    done = child_of(peer)
    assert done.returncode == 0, done.stderr.decode()
    return pickle.loads(done.stdout)


def flat(found):
    return [each for x in found for each in flat(x)] if isinstance(found, (tuple, list)) else [found]


def expected_of(case):
    """The NumPy twin's results, and of a step the weights."""
    if isinstance(case, cases.Product):
        return [case.prepare("numpy")[0]()]
    inputs = getattr(reference, case.op).inputs(np.random.default_rng(0), case.shape, cases.DTYPES[case.dtype])
    _, args, given = [each for each in inputs if each[0] == case.verb][case.entry]
    result = getattr(getattr(reference, case.op), case.verb)(*args, **given)
    return [args[0]] if case.verb == "step" else flat(result)


def random(case):
    """Whether a case draws random numbers."""
    return case.group.startswith(("dropout.forward", "normal.forward"))


@pytest.mark.parametrize("case", [case for case in COMPARED if not random(case)], ids=lambda case: case.group)
@pytest.mark.parametrize("peer", ("torch", "jax"))
def test_a_peer_computes_what_numpy_does(peer, case):
    first, second = results_of(peer)[case.group]
    expected = expected_of(case)
    assert len(first) == len(expected)
    for found, again, wanted in zip(first, second, expected):
        assert found.shape == np.shape(wanted)
        if isinstance(wanted, np.ndarray):
            assert found.dtype == wanted.dtype
        # both round their sums of 37 terms or fewer
        bound = 64 * np.finfo(cases.DTYPES[case.dtype]).eps * np.abs(wanted).max()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=bound)
        # a step goes on from where it was, all else repeats
        assert (found == again).all() != (getattr(case, "verb", "") == "step")


@pytest.mark.parametrize("case", [case for case in COMPARED if case.group.startswith("dropout.forward")],
                         ids=lambda case: case.group)
@pytest.mark.parametrize("peer", ("torch", "jax"))
def test_a_peer_drops_as_much(peer, case):
    dtype = cases.DTYPES[case.dtype]
    _, (x,), given = reference.dropout.inputs(np.random.default_rng(0), case.shape, dtype)[case.entry]
    for y, mask in results_of(peer)[case.group]:
        assert y.dtype == mask.dtype == dtype
        np.testing.assert_array_equal(y, x * mask)
        np.testing.assert_allclose(mask[mask != 0], 1 / (1 - given["rate"]), rtol=2 * np.finfo(dtype).eps)
        # Hoeffding's bound: but for a probability of 1e-9
        assert abs((mask == 0).mean() - given["rate"]) < np.sqrt(np.log(2e9) / (2 * x.size))


@pytest.mark.parametrize("case", [case for case in COMPARED if case.group.startswith("normal.forward")],
                         ids=lambda case: case.group)
@pytest.mark.parametrize("peer", ("torch", "jax"))
def test_a_peer_draws_normal_numbers(peer, case):
    for y, in results_of(peer)[case.group]:
        assert y.dtype == cases.DTYPES[case.dtype] and y.shape == case.shape
        # 370 numbers: the deviations of their mean and of their mean square, six times
        assert abs(y.mean()) < 6 / np.sqrt(y.size) and abs((y**2).mean() - 1) < 6 * np.sqrt(2 / y.size)


def test_every_benchmark_has_its_peers():
    compared = {(case.op, case.verb, case.dtype, case.entry) for case in COMPARED if isinstance(case, cases.Kernel)}
    others = {case.group.split()[0] for case in all_cases() if not isinstance(case, cases.Kernel)}
    assert others == {"product", "step", "epoch", "evaluate", "predict", "mixed"}
    for case in all_cases():
        if isinstance(case, cases.Kernel):
            assert (case.op, case.verb, case.dtype, case.entry) in compared
            assert peers.kernel("sklearn", case.op, case.verb, (), {}) is None


def train(steps, regression=False):
    """Parameters in float64 after so many steps of Adam, and how far they may be off in float32, after one."""
    parameters, x, labels = network(regression)
    between = "tanh" if regression else "relu"
    found = [each.astype(np.float64) for pair in parameters for each in pair]
    moments = [(np.zeros_like(each), np.zeros_like(each)) for each in found]
    eps = np.finfo(np.float32).eps
    for t in range(1, steps + 1):
        ys = [x.astype(np.float64)]
        for w, b in zip(found[::2], found[1::2]):
            ys.append(reference.dense.forward(ys[-1], w, b, activation=between if len(b) != SIZES[-1] else None))
        dy = (2 * (ys[-1] - labels) / labels.size if regression else
              reference.softmax_cross_entropy.backward(reference.softmax.forward(ys[-1]), labels))
        gradients: list = []
        for i in reversed(range(len(SIZES) - 1)):
            dy, *own = reference.dense.backward(dy, ys[i], found[2 * i], ys[i + 1],
                                                activation=between if i < len(SIZES) - 2 else None)
            gradients = own + gradients
        bounds = []
        for p, g, (m, v) in zip(found, gradients, moments):
            reference.adam.step(p, g, m, v, learning_rate=RATE, correction_1=1 - 0.9**t, correction_2=1 - 0.999**t)
            error = 64 * eps * np.abs(g).max()  # of a gradient in float32
            # the first step is RATE g / (|g| + epsilon), whose slope is RATE epsilon / (|g| + epsilon)^2
            slope = RATE * 1e-7 / (np.maximum(np.abs(g) - error, 0) + 1e-7)**2
            bounds.append(np.minimum(error * slope, 2 * RATE) + 8 * eps * (np.abs(p) + RATE))
    return found, bounds


@pytest.mark.parametrize("peer, what", [*((peer, "step") for peer in peers.NAMES), ("torch", "regression"),
                                        ("jax", "regression")])
def test_a_peer_trains_the_same_network(peer, what):
    results = results_of(peer)
    expected, bounds = train(1, what == "regression")
    assert len(results[f"{what} 1"]) == len(expected)
    for found, wanted, bound in zip(results[f"{what} 1"], expected, bounds):
        assert found.dtype == np.float32 and found.shape == wanted.shape
        assert np.median(bound) < 1e-4 * RATE
        assert (np.abs(found - wanted) <= bound).all()
    # a step more or less would move a parameter by RATE
    expected, _ = train(3, what == "regression")
    for found, wanted in zip(results[f"{what} 3"], expected):
        assert np.median(np.abs(found - wanted)) < 1e-2 * RATE


def scores(between):
    parameters, y, _ = network()
    for i, (w, b) in enumerate(parameters):
        y = reference.dense.forward(y, w, b, activation=between if i < len(parameters) - 1 else None)
    return y


@pytest.mark.parametrize("peer", peers.NAMES)
def test_a_peer_predicts_the_same(peer):
    [found] = results_of(peer)["predict"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference.softmax.forward(scores("relu")), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("peer", ("torch", "jax"))
def test_a_peer_evaluates_the_same(peer):
    results, y, labels = results_of(peer), scores("relu"), network()[2]
    loss, accuracy = results["evaluate"]
    assert loss == pytest.approx(reference.softmax_cross_entropy.forward(y, labels)[0].mean(), rel=1e-5)
    assert accuracy == pytest.approx((y.argmax(1) == labels).mean()) and 0 < accuracy < 1
    # evaluations leave the steps what they are
    assert all((a == b).all() for a, b in zip(results["epoch 3"], results["step 3"], strict=True))
    np.testing.assert_allclose(results["outputs"][0], scores("tanh"), rtol=1e-5, atol=1e-6)


def test_scikit_learn_has_steps_and_predictions_of_classes_only():
    results = results_of("sklearn")
    assert all(results[name] is None for name in ("evaluate", "epoch 3", "regression 1", "outputs"))


def test_peers_get_the_network_of_the_twins(monkeypatch):
    given = []
    monkeypatch.setattr(peers, "network", lambda *args: given.append(args))
    case = cases.Network("step", (4, 5, 3), 6)
    assert case.prepare("torch")[0] is None  # what `peers.network` gave
    [(peer, what, parameters, x, labels, steps, rate)] = given
    assert (peer, what, steps, rate) == ("torch", "step", cases.SHORT_STEPS, cases.LEARNING_RATE)
    assert [(w.shape, b.shape) for w, b in parameters] == [((4, 5), (5,)), ((5, 3), (3,))]
    assert x.shape == (6, 4) and labels.shape == (6,)


def test_a_step_leaves_the_inputs_of_the_next_case_alone():
    case = cases.Kernel("sgd", "step", (3, 2), 1)
    before = [x.copy() for x in cases._inputs("sgd", (3, 2), "f32")[0][1]]
    case.prepare("numpy")[0]()
    assert all((a == b).all() for a, b in zip(before, cases._inputs("sgd", (3, 2), "f32")[0][1]))


def test_the_list_of_products():
    products = [case for case in bench_file("matmul").CASES if isinstance(case, cases.Product)]
    assert len(products) == 45 and all(figures.is_product(row(case.group)) for case in products)
    of_layers = {(what, layer) for layer in bench_file("matmul").LAYERS for what in ("x w", "dy w^T", "x^T dy")}
    assert len(of_layers) == 30 and of_layers < {(case.what, case.shape) for case in products}
    assert not any(figures.is_product(row(case.group)) for case in all_cases() if case not in products)


@pytest.mark.parametrize("what, shapes", [("x w", [(2, 3), (3, 4)]), ("dy w^T", [(2, 4), (4, 3)]),
                                          ("x^T dy", [(3, 2), (2, 4)])])
def test_a_product_gets_the_views_of_a_layer(monkeypatch, what, shapes):
    given = []
    monkeypatch.setattr(reference.matmul, "forward", lambda a, b: given.extend((a, b)))
    call, work = cases.Product(what, (2, 3, 4)).prepare("numpy")
    call()
    assert [x.shape for x in given] == shapes
    assert [x.flags.c_contiguous for x in given] == [what != "x^T dy", what != "dy w^T"]
    assert work == cases.Work(2 * 2 * 3 * 4, 4 * (6 + 12 + 8), 4 * (6 + 12 + 8))


def test_a_damaged_old_report_is_refused_before_measuring(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(report, "measure", lambda quick, ops, others: pytest.fail("measured"))
    path = tmp_path / "old.json"
    texts = ["[" * 200_000, json.dumps({"machine": {}, "limits": {}, "rounds": 1, "rows": []})]
    for broken in ({}, {"nnjit": 3}, {"nnjit": {"1": []}}, {"nnjit": {"1": ["a"], "2": ["a"]}}, {"nnjit": {"1": [0.0]}},
                   {"nnjit": {"1": [float("nan")] * 3}}):
        old = json.loads(json.dumps(made_up()))
        old["rows"][0]["seconds"].update(broken) if broken else old["rows"][0]["seconds"].clear()
        texts.append(json.dumps(old))
    for text in texts:
        path.write_text(text)
        assert report.main(options(against=str(path))) == 2
        assert "old.json is no " in capsys.readouterr().err

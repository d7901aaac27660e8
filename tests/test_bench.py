"""The report's arithmetic and files on made-up measurements, and that the benchmarks cover the operations."""

import argparse
import copy
import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnjit import kernels
from nnjit.bench import cases, figures, machine, report, running, tables
from nnjit.kernels import reference

OPS = sorted(path.stem for path in Path(reference.__file__).parent.glob("*.py") if path.stem != "__init__")
FILES = sorted(path.stem for path in Path(report.__file__).parent.glob("bench_*.py"))


def row(group="softmax.forward 512x1000 f32", *, numpy: Any = (4e-4, 4e-4), nnjit: Any = (1e-4, 5e-5), flops=1e6,
        size=1e6, dtype="f32"):
    """Times at 1 and 2 threads; a list stands for its rounds."""
    seconds = {name: {threads: t if isinstance(t, list) else [t, t, t] for threads, t in zip("12", times)}
               for name, times in {"numpy": numpy, "nnjit": nnjit}.items()}
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


def test_the_spread_is_the_widest_of_all_contenders():
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

    def run(contender, threads, files, quick):
        made.append((contender, threads))
        return [{"group": group, "dtype": "f32", "flops": 1, "bytes": 2, "footprint": 2, "median": float(len(made))}
                for group in ("a", "b")]

    monkeypatch.setattr(running, "run", run)
    monkeypatch.setattr(running, "_limits", lambda threads, quick: made_up()["limits"])
    monkeypatch.setattr(machine, "describe", lambda: made_up()["machine"])
    monkeypatch.setattr(running, "ROUNDS", 3)
    return made


TURN = [("numpy", 1), ("nnjit", 1), ("numpy", 2), ("nnjit", 2)]


def test_contenders_take_turns_and_each_round_is_kept(calls):
    found = running.measure()
    assert calls == TURN + TURN[::-1] + TURN
    assert found["rounds"] == 3
    assert found["rows"][1] == {"group": "b", "dtype": "f32", "flops": 1, "bytes": 2, "footprint": 2, "seconds": {
        "numpy": {"1": [1, 8, 9], "2": [3, 6, 11]}, "nnjit": {"1": [2, 7, 10], "2": [4, 5, 12]}}}


def test_a_quick_run_is_one_round(calls):
    assert running.measure(quick=True)["rounds"] == 1
    assert calls == TURN


def test_a_slow_machine_gets_fewer_rounds(calls, monkeypatch):
    monkeypatch.setattr(running, "BUDGET", 0)
    assert running.measure()["rounds"] == 1
    assert calls == TURN


def test_a_child_measures_one_contender():
    pytest.importorskip("threadpoolctl")
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
    pytest.importorskip("threadpoolctl")
    assert report.command(["softmaks"]) == 2
    assert "no benchmark of 'softmaks': choose from adam," in capsys.readouterr().err


@pytest.fixture
def measured(monkeypatch):
    """`measure` gives made-up numbers, and all tools are there."""
    monkeypatch.setattr(report, "measure", lambda quick, ops, others: made_up())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


def options(**given):
    names = ("json", "markdown", "roofline", "against", "source", "readme")
    return argparse.Namespace(**{"quick": False, "peers": False, "ops": [], **dict.fromkeys(names)} | given)


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


def test_unsteady_rows_are_counted():
    assert len(tables.summary(made_up())) == 2
    unsteady = made_up(row(nnjit=([1e-4, 1.3e-4, 1e-4], 1e-4)), row("steady", nnjit=([1e-4, 1.2e-4, 1e-4], 1e-4)))
    assert tables.summary(unsteady)[2].startswith("1 of 2 rows differ by more than 25%")


def test_the_tables_show_times_rates_and_shares():
    # 1 MB in 100 us is 10 GB/s, of 16.1 between the sizes
    cells = line_of(tables.markdown(made_up()), "softmax").split(" | ")
    assert cells == ["| softmax.forward 512x1000 f32", "400.0", "100.0", "4.00", "10.0 GB/s", "62%", "400.0", "50.0",
                     "8.00", "20.0 GB/s", "62%", "0% |"]


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


def test_what_is_no_report_is_refused(tmp_path):
    path = tmp_path / "report.json"
    with pytest.raises(figures.Failure, match="cannot be read"):
        report.load(str(path))
    for content, message in (("{", "no JSON"), ("[]", "no report"), ('{"rows": []}', "no report")):
        path.write_text(content)
        with pytest.raises(figures.Failure, match=message):
            report.load(str(path))


def test_the_readme_is_rewritten_between_its_markers():
    page = f"# before\n{tables.START}\nold\n{tables.END}\nafter\n"
    once = tables.rewrite(page, "new\ntable")
    assert once == f"# before\n{tables.START}\nnew\ntable\n{tables.END}\nafter\n"
    assert tables.rewrite(once, "new\ntable") == once
    for broken in ("no markers", page + page, f"{tables.END} {tables.START}", tables.START):
        with pytest.raises(figures.Failure, match="must hold"):
            tables.rewrite(broken, "table")


def test_the_readme_command(tmp_path, capsys):
    source, page = tmp_path / "report.json", tmp_path / "README.md"
    rows = [row(name, numpy=(0.5e-4, 4e-4)) for name in tables.README_ROWS]
    report.save(made_up(row("extra"), *rows), str(source))
    page.write_text(f"x\n{tables.START}\n{tables.END}\ny\n")
    assert report.command(["--from", str(source), "--readme", str(page)]) == 0
    lines = page.read_text().splitlines()
    assert lines[0] == "x" and lines[-1] == "y" and "extra" not in page.read_text()
    assert f"| {tables.README_ROWS[0]} | 50.0 | 100.0 | **0.50** | 400.0 | 50.0 | 8.00 |" in lines
    report.save(made_up(), str(source))
    before = page.read_text()
    assert report.command(["--from", str(source), "--readme", str(page)]) == 2
    assert "the report lacks" in capsys.readouterr().err
    assert page.read_text() == before


# ---- cases


def bench_file(op):
    return importlib.import_module(f"nnjit.bench.bench_{op}")


def all_cases():
    return [case for name in FILES for case in importlib.import_module(f"nnjit.bench.{name}").CASES]


@pytest.mark.parametrize("op", OPS)
def test_every_verb_has_benchmarks(op):
    verbs = {name for name, value in vars(getattr(reference, op)).items()
             if inspect.isfunction(value) and name != "inputs"}
    own = [case for case in bench_file(op).CASES if isinstance(case, cases.Kernel) and case.dtype == "f32"]
    assert {case.op for case in own} == {op}
    assert {case.verb for case in own} == verbs


def test_groups_are_distinct_and_the_readme_s_exist():
    groups = [case.group for case in all_cases()]
    assert len(set(groups)) == len(groups)
    assert set(tables.README_ROWS) <= set(groups)


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
    (cases.Kernel("adam", "step", (5, 3), 1), 7 * 15 * 4),
    (cases.Kernel("sgd", "step", (5, 3), 1), 3 * 15 * 4),
    (cases.Kernel("mean", "forward", (5,), 1), 5 * 4),
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


def test_given_outputs_are_written_again():
    case = cases.Kernel("relu", "forward", (5, 3), 1, out=True)
    assert case.group == "relu.forward 5x3 f32 out="
    call, _ = case.prepare("nnjit")
    assert call() is call()


def test_blas_gets_the_threads_of_the_kernels():
    threadpoolctl = pytest.importorskip("threadpoolctl")

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

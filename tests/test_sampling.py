"""Which cases a run of the suite takes: see sampling.py. Each run is that of a small suite, in a child process."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import sampling

CASES = {"test_a.py::test_many": 40, "test_a.py::test_few": sampling.FEW, "test_a.py::test_one": 1,
         "test_b.py::test_many_more": 60, "test_b.py::test_one": 1, "test_b.py::test_seconds_each": 5,
         "test_b.py::test_slow": 9}
SHARES = CASES | {"test_a.py::test_many": 4, "test_b.py::test_many_more": 5, "test_b.py::test_seconds_each": 2}
OPERATION = """
import pytest
@pytest.mark.parametrize("operation", [f"{i:02}" for i in range(30)])
@pytest.mark.parametrize("dtype", "ab")
def test_one(operation, dtype): pass
@pytest.mark.parametrize("operation", [f"{i:02}" for i in range(30)])
@pytest.mark.parametrize("variant", "abcdefghij")
def test_other(operation, variant): pass
"""
MARKS = {"test_seconds_each": "@pytest.mark.sample(2)\n", "test_slow": "@pytest.mark.slow\n"}
GOES_OVER = """
import sampling
def test_one(pytestconfig):
    print("some", *sampling.some(pytestconfig, "abcdefgh", 3))
    print("one in", *sampling.one_in(pytestconfig, 5, range(1, 20)))
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = slow\n")
    texts = {}
    for name, count in CASES.items():
        file, test = name.split("::")
        mark = MARKS.get(test, "")
        marked = f"{mark}@pytest.mark.parametrize('case', range({count}))\ndef {test}(case): assert case != 10\n"
        texts[file] = texts.get(file, "import pytest\n") + (marked if count > 1 else GOES_OVER)
    for file, text in texts.items():
        (folder / file).write_text(text)
    return folder


@pytest.fixture
def run(suite):
    """The tests that a command runs, by name, and what it says."""
    def run(*arguments):
        command = [sys.executable, "-m", "pytest", "-rA", "-p", "xdist.plugin", "-p", "sampling", *arguments]
        done = subprocess.run(command, cwd=suite, capture_output=True, text=True, timeout=120,
                              env={"PYTHONPATH": str(Path(__file__).parent), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
        assert done.returncode in (0, 1), done.stdout + done.stderr
        cases = {}
        for name, case in re.findall(r"(?m)^(?:PASSED|FAILED) (test_\w+\.py::\w+)(\[\d+\])?", done.stdout):
            cases.setdefault(name, set()).add(case)
        return cases, done.stdout

    return run


def counts(cases):
    return {name: len(found) for name, found in cases.items()}


def seeds(text):
    return set(re.findall(r"--sample-seed (\d+)", text))


def test_a_seed_tells_the_cases(run):
    first, text = run("--sample-seed", "5")
    assert counts(first) == SHARES and seeds(text) == {"5"}
    assert run("--sample-seed", "5", "-p", "no:cacheprovider")[0] == first != run("--sample-seed", "6")[0]


def test_each_run_takes_others_and_tells_its_seed(run):
    (first, text), (second, more) = run(), run()
    assert counts(first) == counts(second) == SHARES and first != second
    assert len(seeds(text)) == len(seeds(more)) == 1 and seeds(text) != seeds(more)
    assert run("--sample-seed", *seeds(text))[0] == first


def test_all_processes_of_a_run_take_the_same(run):
    found, text = run("-n", "2")
    assert counts(found) == SHARES
    assert run("--sample-seed", *seeds(text))[0] == found


def test_the_whole(run):
    for arguments in ((), ("-n", "2")):
        found, text = run("--whole", *arguments)
        assert counts(found) == CASES and not seeds(text)


def test_what_one_test_goes_over(run):
    def found(*arguments):
        text = run("-k", "one", *arguments)[1]
        return [re.findall(rf"(?m)^{what} (.*)$", text) for what in ("some", "one in")]

    whole = [[" ".join("abcdefgh")] * 2, [" ".join(map(str, range(1, 20)))] * 2]
    assert found("--whole") == found("test_a.py", "test_b.py") == whole
    several = [found("--sample-seed", str(seed)) for seed in range(5)]
    assert all(len(set(some)) == 1 and len(some[0].split()) == 3 for some, _ in several)
    assert len({some[0] for some, _ in several}) > 1
    numbers = [number for _, one_in in several for number in one_in[0].split()]
    assert sorted(map(int, numbers)) == [*range(1, 20)]


def test_a_file_or_a_test_that_is_named_is_whole(run):
    for arguments in (["test_a.py"], ["test_a.py", "-n", "2"], ["./test_a.py::test_many", "test_a.py"]):
        found, text = run(*arguments)
        assert counts(found) == {name: count for name, count in CASES.items() if "test_a.py" in name}
        assert not seeds(text)
    assert run("test_a.py::test_many[33]")[0] == {"test_a.py::test_many": {"[33]"}}
    assert counts(run(".", "test_a.py")[0]) == SHARES | {"test_a.py::test_many": 40}


def test_names_are_chosen_first(run):
    """-k takes from all cases, and of what it leaves is the sample."""
    found, _ = run("-k", "many and 3")
    assert found["test_a.py::test_many"] <= {f"[{n}]" for n in (3, 13, 23, *range(30, 40))}
    assert counts(found) == dict.fromkeys(found, sampling.FEW) and len(found) == 2


def test_what_failed_is_run_again(run):
    """Also where the new sample has it not."""
    run("--whole")
    found, text = run("--lf")
    assert found == {"test_a.py::test_many": {"[10]"}, "test_b.py::test_many_more": {"[10]"}} and not seeds(text)


def test_the_seed_is_told_where_there_is_no_header(run):
    assert seeds(run("-q", "-k", "few", "--sample-seed", "7")[1]) == {"7"}


def test_the_seed_is_told_beside_the_failures(run):
    _, text = run("-k", "many and 10", "--sample-seed", "7")
    assert seeds(text.partition(" FAILURES ")[0]) == seeds(text.partition(" FAILURES ")[2]) == {"7"}


def test_all_tests_of_operations_take_the_same_ones(tmp_path):
    (tmp_path / "test_c.py").write_text(OPERATION)
    seen = []
    for seed in (1, 2):
        command = [sys.executable, "-m", "pytest", "-rA", "-p", "sampling", "--sample-seed", str(seed),
                   "-c", "/dev/null", "--rootdir", tmp_path, tmp_path]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120,
                              env={"PYTHONPATH": str(Path(__file__).parent), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
        found = re.findall(r"(?m)^PASSED \S*::(\w+)\[\w-(\d\d)\]", done.stdout)
        assert Counter(name for name, _ in found) == {"test_one": 5, "test_other": 24}, done.stdout
        seen.append({operation for _, operation in found})
        assert len(seen[-1]) <= sampling.OPERATIONS
    assert seen[0] != seen[1]

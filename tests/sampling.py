"""Tests with many cases run a part of them, another in each run. `--whole` runs all, and so does naming a file."""

import random
from collections import defaultdict
from math import ceil
from os.path import abspath
from pathlib import Path

import pytest

FEW = 3  # the cases of a test that are run in any case
SHARE = 0.08  # of the cases of a test that has many
OPERATIONS = 10  # that all tests of operations draw from in one run: each has to be compiled
WHOLE = ("slow", "long", "exhaustive")  # the markers of what somebody chose to wait for


def pytest_addoption(parser):
    group = parser.getgroup("sampling")
    group.addoption("--whole", action="store_true", help="run all cases of each test, not a sample")
    group.addoption("--sample-seed", type=int, metavar="SEED", help="take the sample of this seed, not of a new one")


def pytest_configure(config):
    config.addinivalue_line("markers", "sample(count): so many cases are in a sample, where each takes seconds")
    if config.option.sample_seed is None:
        config.option.sample_seed = getattr(config, "workerinput", {}).get("sample_seed", random.randrange(10**6))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """All processes of pytest-xdist must take the same sample."""
    node.workerinput["sample_seed"] = node.config.option.sample_seed


@pytest.hookimpl(trylast=True)  # after -k and -m
def pytest_collection_modifyitems(config, items):
    """Whether a case is in the sample depends on the seed and on the cases of its test."""
    if not is_sampled(config):
        return
    named, cases = files(config), defaultdict(list)
    for item in items:
        if hasattr(item, "callspec") and item.path not in named and not any(map(item.get_closest_marker, WHOLE)):
            cases[item.nodeid.partition("[")[0]].append(item)
    names = sorted({operation(item) for group in cases.values() for item in group} - {None})
    compiled = {None, *some(config, names, OPERATIONS)}
    left_out = set()
    for group in cases.values():
        group.sort(key=lambda item: (operation(item) not in compiled,
                                     random.Random(f"{config.option.sample_seed} {item.nodeid}").random()))
        mark = group[0].get_closest_marker("sample")
        left_out.update(group[mark.args[0] if mark else max(FEW, ceil(len(group) * SHARE)):])
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]


def pytest_report_header(config):
    return line(config) if is_sampled(config) else None


def pytest_terminal_summary(terminalreporter, config):
    if is_sampled(config) and (terminalreporter.verbosity < 0 or {"failed", "error"} & terminalreporter.stats.keys()):
        terminalreporter.write_line(line(config))


def is_sampled(config):
    """Not where all is asked for, what failed is run again, or every argument is a file or a test."""
    again = any(config.getoption(name, False) for name in ("lf", "failedfirst", "stepwise"))
    return not config.option.whole and not again and None in files(config)


def some(config, names, count):
    """So many of the names that one test goes over, by the seed; all of them where all cases are run."""
    if not is_sampled(config):
        return list(names)
    chosen = random.Random(config.option.sample_seed).sample(names, min(count, len(names)))
    return [name for name in names if name in chosen]


def one_in(config, count, numbers):
    """One in so many of the numbers that one test goes over, by the seed; all of them where all cases are run."""
    return numbers[config.option.sample_seed % count::count] if is_sampled(config) else numbers


def operation(item):
    """The operation that a case is of, or None."""
    return item.callspec.params.get("operation")


def files(config):
    """The file that each argument names, by itself or before ::, and None for a folder."""
    paths = [Path(abspath(config.invocation_params.dir / argument.partition("::")[0])) for argument in config.args]
    return {path if path.is_file() else None for path in paths}


def line(config):
    seed = config.option.sample_seed
    return f"a sample of the cases of each test: --sample-seed {seed} takes it again, --whole takes all"

"""The pages: their Python blocks run as they stand, and print what the comments behind their `print` calls say; their
tables have all names, their links lead somewhere, and the commands that they show exist."""

import argparse
import inspect
import re
import shlex
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from optional import needs

from nnjit import cli, kernels, nn
from nnjit.bench import contract

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
RUN = tuple(page for page in PAGES if page != "docs/examples.md")  # whose blocks are parts of scripts: test_examples.py
MORE = ("CONTRIBUTING.md", "bench/LIMITS.md")
PATCHED = ((np, "dot"), (np, "zeros"), (np, "eye"), (np.random, "randn"))  # by nnfs.init


def text(page):
    return (ROOT / page).read_text()


# ---- blocks


def blocks(page):
    """The blocks of a page with the line at which each begins."""
    return [(text(page)[:found.start()].count("\n") + 2, found[1])
            for found in re.finditer(r"^```python\n(.*?)^```$", text(page), re.M | re.S)]


BLOCKS = [pytest.param(page, line, block, id=f"{page}:{line}") for page in RUN for line, block in blocks(page)]


def test_there_are_blocks_and_expectations():
    assert {block.values[0] for block in BLOCKS} >= {"README.md", "docs/nn.md", "docs/kernels.md", "docs/book.md",
                                                     "docs/defects.md"}
    for page in RUN:
        fences = re.findall(r"^```", text(page), re.M)
        assert len(fences) == 2 * len(blocks(page)), f"{page} has a block that is not ```python"
    assert sum(len(expected(block.values[2])) for block in BLOCKS) > 25


def expected(block):
    return re.findall(r"^ *print\(.*\)  # (.*)$", block, re.M)


@pytest.mark.parametrize("page, line, block", BLOCKS)
def test_block(page, line, block, tmp_path, monkeypatch, capsys):
    needs("nnfs")
    monkeypatch.chdir(tmp_path)
    for owner, name in PATCHED:
        monkeypatch.setattr(owner, name, getattr(owner, name))
    state = np.random.get_state()
    module = types.ModuleType("block")
    monkeypatch.setitem(sys.modules, "block", module)  # where pickle looks for its classes
    # its lines have the numbers that they have on the page
    try:
        exec(compile("\n" * (line - 1) + block, str(ROOT / page), "exec"), vars(module))
    finally:
        np.random.set_state(state)
    printed = capsys.readouterr().out.splitlines()
    if expected(block):
        assert printed == expected(block)


# ---- links and names


def test_the_readme_is_a_front_page_and_leads_to_all_others():
    assert len(text("README.md").splitlines()) <= 130
    assert set(PAGES[1:]) <= set(links("README.md"))


def links(page):
    return re.findall(r"\]\((?!\w+:)([^)]+)\)", text(page))


def anchors(path):
    """Those that GitHub makes of the headings of a page."""
    without_code = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.+)$", without_code, re.M)}


@pytest.mark.parametrize("page", [*PAGES, *MORE])
def test_links_lead_somewhere(page):
    for link in links(page):
        name, _, anchor = link.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), link
        assert not anchor or anchor in anchors(path), link


def test_files_and_tests_that_pages_name_exist():
    scripts = {path.name: path.read_text() for path in (ROOT / "tests").glob("*.py")}
    functions = set(re.findall(r"^def (test_\w+)", "\n".join(scripts.values()), re.M))
    for page in [*PAGES, *MORE]:
        for name in re.findall(r"`([\w./]+)`", text(page)):
            if re.fullmatch(r"(kernels|nn|bench|tests|docs)/[\w./]+", name):
                assert (ROOT / name).exists(), f"{page}: {name}"
            elif re.fullmatch(r"test_\w+\.py", name):
                assert name in scripts, f"{page}: {name}"
            elif name.startswith("test_"):
                assert name in functions, f"{page}: {name}"


def code(page):
    """All names in the code within a page's lines and tables."""
    without_blocks = re.sub(r"^```.*?^```$", "", text(page), flags=re.M | re.S)
    return set(re.findall(r"\w+", " ".join(re.findall(r"`[^`]+`", without_blocks))))


def public(module):
    """The public classes and functions of a module that it does not have from elsewhere."""
    return getattr(module, "__all__", [name for name, value in vars(module).items() if not name.startswith("_")
                                       and (inspect.isclass(value) or inspect.isfunction(value))
                                       and value.__module__ == module.__name__])


INNER = {"find", "History"}  # not for users: what Dense calls, and what train returns


def test_the_page_of_nn_has_all_names():
    modules = (nn.callbacks, nn.schedules, nn.initializers, nn.preparation, nn.datasets, nn.data, nn.scores)
    names = {*nn.__all__, *(name for module in modules for name in public(module))} - INNER
    assert len(names) > 80 and names - code("docs/nn.md") == set()
    methods = {name for name, _ in inspect.getmembers(nn.Model, inspect.isfunction) if not name.startswith("_")}
    assert methods - code("docs/nn.md") == set()


def rows(part, pattern):
    """The cells of the rows of tables whose first cell matches, without the marks of code."""
    cells = [[cell.strip() for cell in line.strip("|").replace("`", "").split("|")] for line in part.splitlines()
             if line.startswith("|")]
    return [row for row in cells if re.fullmatch(pattern, row[0])]


def test_the_page_of_the_kernels_has_all_operations_and_their_functions():
    [part] = re.findall(r"^\| operation \|.*?\n\n", text("docs/kernels.md"), re.M | re.S)
    found = {name: verbs.split() for name, verbs, _ in rows(part, r"[a-z_]\w*")}
    del found["operation"]
    wish = {name: [verb for verb in ("forward", "backward", "step") if hasattr(getattr(kernels, name), verb)]
            for name in contract.operations()}
    assert found == wish
    assert set(kernels.__all__) - code("docs/kernels.md") == set()


def test_the_page_of_the_kernels_has_all_environment_variables():
    sources = [path.read_text() for room in ("kernels", "nn") for path in (ROOT / room).rglob("*.py")]
    named = {row[0] for row in rows(text("docs/kernels.md"), "NNJIT_.*")}
    assert set(re.findall(r"NNJIT_\w+", "".join(sources))) == named


# ---- commands


def test_the_page_of_the_command_has_all_commands_and_options():
    [commands] = [action.choices for action in cli.parser(cli.COMMANDS)._actions
                  if isinstance(action, argparse._SubParsersAction)]
    parts = text("docs/command.md").split("\n## ")
    assert {row[0].split()[1] for row in rows(parts[0], "nnjit .*")} == set(commands)
    for name, parser in commands.items():
        [part] = [part for part in parts[1:] if f"nnjit {name}" in part.splitlines()[0]]
        options = {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}
        assert {row[0].split()[0] for row in rows(part, "--[a-z].*")} == options, name


SHOWN = sorted({re.split(r" +[#<] ", command)[0] for page in [*PAGES, *MORE]
                for command in re.findall(r"^    (?:.*[ /])?(nnjit .+)$", text(page), re.M)})


def test_commands_are_shown():
    assert len(SHOWN) > 10


@pytest.mark.parametrize("command", SHOWN)
def test_commands_that_pages_show_are_understood(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = cli.parser(cli.COMMANDS).parse_args(shlex.split(command)[1:])
    assert options.run.__name__ == f"_{command.split()[1]}"

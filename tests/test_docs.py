"""The Python blocks of the pages run as they stand, and print what the comments behind their `print` calls say."""

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from optional import needs

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "docs/book.md", "docs/defects.md")
PATCHED = ((np, "dot"), (np, "zeros"), (np, "eye"), (np.random, "randn"))  # by nnfs.init


def blocks(page):
    """The blocks of a page with the line at which each begins."""
    text = (ROOT / page).read_text()
    return [(text[:found.start()].count("\n") + 2, found[1])
            for found in re.finditer(r"^```python\n(.*?)^```$", text, re.M | re.S)]


BLOCKS = [pytest.param(page, line, block, id=f"{page}:{line}") for page in PAGES for line, block in blocks(page)]


def test_there_are_blocks_and_expectations():
    assert {block.values[0] for block in BLOCKS} == set(PAGES)
    for page in PAGES:
        fences = re.findall(r"^```", (ROOT / page).read_text(), re.M)
        assert len(fences) == 2 * len(blocks(page)), f"{page} has a block that is not ```python"
    assert sum(len(expected(block.values[2])) for block in BLOCKS) > 15


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

"""No kernel reads or writes beyond an array: guarded.py tells how. Each run is a process, since a fault ends it."""

import inspect
import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import guarded
import pytest
import sampling
from test_contract import missing

from nnjit.bench import contract

VARIANTS = ("serial", "parallel", "planned")
FUNCTIONS = [f"{operation}.{name}" for operation in contract.operations() for name in ("forward", "backward", "step")
             if hasattr(contract.twins(operation)[0], name)]


def start(folder, *arguments, **environment):
    """A process that writes what it finds to files in `folder`."""
    folder.mkdir()
    with open(folder / "found", "w") as found, open(folder / "errors", "w") as errors:
        return subprocess.Popen([sys.executable, *arguments], env={**os.environ, **environment}, stdout=found,
                                stderr=errors)


def margins(folder, which, operations=(), **environment):
    """All variants at the same time; fails with the case that ended a process, or with what it says."""
    operations = operations or contract.operations()
    children = {variant: start(folder / variant, guarded.__file__, variant, which, str(folder / variant / "case"),
                               *operations, **environment) for variant in VARIANTS}
    try:
        for variant, child in children.items():
            status = child.wait(timeout=3000)
            errors = (folder / variant / "errors").read_text()
            if status < 0:
                case = (folder / variant / "case").read_text().strip()
                pytest.fail(f"{signal.Signals(-status).name} in {case}\n{errors}")
            assert status == 0, errors
            found = json.loads((folder / variant / "found").read_text())
            for function in (name for name in FUNCTIONS if name.split(".")[0] in operations):
                # each shape, in float32 and float64, at both ends; lengths of 0 may be refused
                shapes = [shape for shape in guarded.shapes(function.split(".")[0], which) if 0 not in shape]
                assert found["calls"].get(function, 0) >= 4 * len(shapes) >= 280, function
    finally:
        for child in children.values():
            child.kill()
            child.wait()


def test_no_kernel_reads_or_writes_beyond_an_array(tmp_path, pytestconfig):
    margins(tmp_path, "usual", sampling.some(pytestconfig, contract.operations(), 3))


@pytest.mark.long
def test_no_kernel_reads_or_writes_beyond_an_array_at_any_edge(tmp_path):
    margins(tmp_path, "all")


@pytest.mark.long
def test_no_kernel_for_narrower_vectors_reads_or_writes_beyond_an_array(tmp_path):
    if missing("haswell"):
        pytest.skip(f"this CPU has no {', '.join(missing('haswell'))}")
    margins(tmp_path, "usual", NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES="")


# ---- the guard itself


DEEDS = """
import ctypes
from guarded import Room

room = Room(5000)
for at in (0, 4, {other}, {beyond}):
    x = room.place((5,), "f8", {at_end})
    number = ctypes.c_double.from_address(x.ctypes.data + 8 * at)
    assert room.intact()
    {deed}
    print(at, room.intact(), flush=True)
"""


@pytest.mark.parametrize("deed", ("number.value", "number.value = 1.0"), ids=("reads", "writes"))
@pytest.mark.parametrize("at_end", (True, False), ids=("at the end", "at the start"))
def test_the_guard_sees(tmp_path, deed, at_end):
    """A number beyond the array ends the process; one on the other side changes the margin; those within do neither."""
    beyond, other = (5, -1) if at_end else (-1, 5)
    code = DEEDS.format(other=other, beyond=beyond, at_end=at_end, deed=deed)
    path = os.pathsep.join([str(Path(guarded.__file__).parent), *sys.path])
    child = start(tmp_path / "child", "-c", code, PYTHONPATH=path)
    assert child.wait(timeout=300) == -signal.SIGSEGV, (tmp_path / "child" / "errors").read_text()
    assert (tmp_path / "child" / "found").read_text() == f"0 True\n4 True\n{other} {'=' not in deed}\n"


def test_every_kernel_is_guarded():
    assert len(FUNCTIONS) >= 57 and {name.split(".")[0] for name in FUNCTIONS} == set(contract.operations())
    for operation, which in itertools.product(contract.operations(), ("usual", "all")):
        number = contract.dimensions(operation)
        shapes = [shape for shape in guarded.shapes(operation, which) if len(shape) == number]
        around = {edge + near for edge in (128, 256, 512, 1024, *((2048, 4096, 8192) if number < 3 else ()))
                  for near in (-1, 0, 1)}
        assert all({shape[axis] for shape in shapes} >= {*range(71)} | around for axis in range(number))
    for function in FUNCTIONS:
        operation, name = function.split(".")
        assert "parallel" in inspect.signature(getattr(contract.twins(operation)[0], name)).parameters

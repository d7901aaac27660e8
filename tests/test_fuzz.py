"""What reads files meets files that somebody made to do harm: see fuzz/targets.py for the promise, fuzz/run.py to fuzz.

All in child processes: a crash is a failed test, a hang ends after a minute, and no file of a few kB may take 64 MB.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from optional import needs

from nnjit import nn

FUZZ = Path(__file__).parent / "fuzz"
TARGETS = sorted(path.name for path in (FUZZ / "corpus").iterdir())


def run(folder, *arguments, seconds=300):
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # a disk takes three times as long
    with tempfile.TemporaryDirectory(dir=memory) as place:
        done = subprocess.run([sys.executable, FUZZ / "run.py", *map(str, arguments), "--findings", folder],
                              capture_output=True, text=True, errors="replace", timeout=seconds,
                              env={**os.environ, "TMPDIR": place})
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    return done.stdout + done.stderr


def test_every_file_of_the_corpus(tmp_path):
    said = run(tmp_path, "replay")
    for name in TARGETS:
        files = [path.name for path in (FUZZ / "corpus" / name).iterdir()]
        assert f"{name}: {len(files)} files, 0 failed" in said
        assert {file.split("-")[0].split(".")[0] for file in files} - {"odd"} == {"good", "bad"}


@pytest.mark.parametrize("executions", [1000, pytest.param(100_000, marks=pytest.mark.long)])
def test_mutations(tmp_path, executions):
    """The same ones each time; the long run has others."""
    said = run(tmp_path, "mutate", "--executions", executions, "--seconds", 1e9, "--seed", executions, seconds=7200)
    for name in TARGETS:
        assert f"{name}: {executions} executions" in said


@pytest.mark.parametrize("seconds", [pytest.param(5, marks=pytest.mark.slow),
                                     pytest.param(900, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", TARGETS)
def test_coverage_guided(tmp_path, name, seconds):
    needs("atheris")
    said = run(tmp_path, "cover", name, "--seconds", seconds, "--grow", tmp_path / "grown", seconds=2 * seconds + 300)
    executions, found = (int(re.search(rf"^stat::{what}: +(\d+)$", said, re.M)[1])
                         for what in ("number_of_executed_units", "new_units_added"))
    print(f"{name}: {executions} executions, {found} files that reached new code")  # -rP shows it
    assert executions > 100 and found > 0


def test_what_the_harness_finds(tmp_path):
    """Each of its rules fails a target that breaks it."""
    code = """
import sys
sys.path.insert(0, sys.argv[1])
import targets
def found(target, data=b""):
    targets.TARGETS["csv"] = target
    try:
        with targets.runner("csv") as run:
            run(data)
    except AssertionError as error:
        return str(error)
    return "nothing"
def refusing(error):
    def target(data, folder):
        return targets.text_of(error(str(folder / "a")), folder / "a") if data == b"" else ""
    return target
print(found(refusing(lambda path: ValueError(path + ": a reason"))))
print(found(refusing(lambda path: KeyError(path + ": a reason"))))
print(found(refusing(lambda path: ValueError("a reason"))))
print(found(refusing(lambda path: ValueError(path + ": "))))
print(found(refusing(lambda path: ValueError(path + ": two\\nlines"))))
print(found(refusing(lambda path: ValueError(path + ": " + "x" * 500))))
print(found(lambda data, folder: b"x" * (100 << 20) and "" if data == b"" else ""))
targets.SECONDS = 1
found(lambda data, folder: [None for _ in iter(int, 1)] if data == b"" else "")
"""
    done = subprocess.run([sys.executable, "-c", code, FUZZ], capture_output=True, text=True, timeout=300,
                          env={**os.environ, "TMPDIR": str(tmp_path)})
    for line, text in zip(done.stdout.splitlines(), (
            "nothing", "KeyError is not declared", "does not name the file", "without a reason",
            "not one printable line", "an error of 5", "0 bytes took "), strict=True):
        assert text in line
    assert done.returncode == 1 and "Timeout (0:00:01)!" in done.stderr


@pytest.mark.parametrize("loader", ("model", "parameters"))
def test_damage_is_noticed_or_does_no_harm(tmp_path, loader):
    """Any byte of a file may be another: what loads has the same bits."""
    random, path = np.random.default_rng(5), tmp_path / "a.npz"
    model = nn.Model()
    model.add(nn.Dense(40, 40, rng=0))  # more than zipfile reads ahead
    model.finalize()
    getattr(model, "save" if loader == "model" else "save_parameters")(path)
    whole, weights = path.read_bytes(), model.layers[0].weights.tobytes()
    places = [at for at in range(len(whole)) if not weights.startswith(whole[at:at + 200])
              and weights.find(whole[at:at + 200]) < 0 or random.random() < 0.01]
    read = 0
    for at in places:
        path.write_bytes(whole[:at] + bytes([random.integers(256)]) + whole[at + 1:])
        try:
            if loader == "model":
                found = nn.Model.load(path)
            else:
                found = model
                found.load_parameters(path)
        except ValueError:
            continue
        read += 1
        assert found.layers[0].weights.tobytes() == weights and not found.layers[0].biases.any(), f"byte {at}"
    assert 0 < read < len(places) / 2

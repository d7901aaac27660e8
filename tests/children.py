"""Child processes: Python that runs some code and prints a last line of JSON for the test."""

import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import sys
from importlib import metadata

import pytest

OWN = ("NUMBA_", "NNJIT_", "OMP_", "GOMP_", "PYTHON")
# From Python 3.12 on a fork beside threads warns, which is what the tests are about.
WARNINGS = "-W", "error", "-W", "ignore:This process:DeprecationWarning"

TBB_SAYS = "Unable to join threads to shut down before fork()"  # on stdout, when another thread is in a loop


def start(*arguments, before=(), **settings):
    """Python with these arguments, started by the command `before`; of the environment it keeps the cache folder and
    where modules are found."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(OWN) or name in ("NNJIT_CACHE_DIR", "PYTHONPATH")}
    command = [*before, sys.executable, *WARNINGS, *map(str, arguments)]
    return subprocess.Popen(command, text=True, env=environment | settings, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, start_new_session=True)


def finish(process, seconds=120):
    """What the child reported. It must end in time, well and without a word on stderr."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its children too
        pytest.fail(f"the process hangs: {process.communicate()}")
    assert process.returncode == 0 and err == "", f"{process.returncode}: {out}{err}"
    lines = [line for line in out.splitlines() if line and not line.startswith(TBB_SAYS)]
    return json.loads(lines[-1])


def without_hint(err):
    """What a command wrote to stderr, without the line that comes when kernels must be compiled."""
    return re.sub(r"^nnjit: compiling kernels .*\n", "", err, flags=re.M)


@functools.cache
def layer_settings(layer):
    """The settings by which a child takes this threading layer; skips the test if it does not load."""
    settings = {"NUMBA_THREADING_LAYER": layer}
    if layer == "tbb":  # pip puts it where the linker does not look
        with contextlib.suppress(metadata.PackageNotFoundError):
            for file in metadata.files("tbb"):
                if file.name == "libtbb.so.12":
                    settings["LD_LIBRARY_PATH"] = str(file.locate().resolve().parent)
    process = start("-c", "from numba.np.ufunc import parallel; parallel._launch_threads()", **settings)
    err = process.communicate(timeout=120)[1]
    if process.returncode:
        pytest.skip(f"{layer} does not load: {err.splitlines()[-1]}")
    return settings

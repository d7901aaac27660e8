"""The digests on aarch64, emulated: `python tests/aarch64.py FOLDER [operation...]`, or `--all` for everything.

Needs the programs qemu-aarch64-static and debootstrap (Debian's packages qemu-user-static and debootstrap), Debian's
packages and pip's index. FOLDER takes 450 MB and is used again by the next run. By default a few operations on small
arrays, in 131 s of processor time; `--all` takes every operation on every shape, and the trainings, in 1160 s: code is
compiled under emulation, too. Ends with 1 if a digest is not the one of this machine, with 77 if it
cannot get what it needs.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import nnjit

FEW = ("softmax", "normal", "sgd", "mean", "adam")
SMALL = 70_000  # elements of an array, or products of a matrix product
PACKAGES = ("numba", "llvmlite", "numpy", "nnfs", "tqdm", "platformdirs")
SUITE, PYTHON = "bookworm", "3.11"  # what Debian's python3 is
UNAVAILABLE = 77  # the exit code without what it needs
CHILD = """
import json, math, platform, sys
from nnjit import kernels
from nnjit.bench import contract
limit, names = float(sys.argv[1]), sys.argv[2:]
for number, shapes in contract.SHAPES.items():
    contract.SHAPES[number] = tuple(shape for shape in shapes if math.prod(shape) <= limit)
print(json.dumps({**kernels.info(), "machine": platform.machine()}), flush=True)
for name in names:
    print(json.dumps([name, contract.digest(name)]), flush=True)
"""


def prepare(folder):
    """Debian's arm64 files in folder/root, Python's packages in folder/site."""
    root, site = folder / "root", folder / "site"
    if not (folder / "ready").exists():
        for path in (root, site):
            shutil.rmtree(path, ignore_errors=True)
        run("debootstrap", "--arch=arm64", "--download-only", "--variant=minbase", "--include=python3,libgomp1",
            SUITE, folder / "debs")
        for package in sorted((folder / "debs").glob("var/cache/apt/archives/*.deb")):
            run("dpkg-deb", "-x", package, root)
        shutil.rmtree(folder / "debs")
        platforms = [f"--platform={name}_aarch64" for name in ("manylinux2014", "manylinux_2_27", "manylinux_2_28")]
        run(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", site, "--no-deps",
            "--only-binary=:all:", *platforms, f"--python-version={PYTHON}",
            *(f"{name}=={version(name)}" for name in PACKAGES))
        (folder / "package").mkdir(exist_ok=True)
        (folder / "ready").touch()
    link = folder / "package" / "nnjit"
    link.unlink(missing_ok=True)
    link.symlink_to(Path(nnjit.__file__).parent)


def run(*command):
    subprocess.run(command, check=True, stdout=sys.stderr)


def emulated(folder):
    """The command and the environment of the emulated Python."""
    root = folder / "root"
    libraries = ":".join(str(root / path / "aarch64-linux-gnu") for path in ("lib", "usr/lib"))
    command = ["qemu-aarch64-static", "-L", root, "-E", f"LD_LIBRARY_PATH={libraries}",
               root / "usr" / "bin" / f"python{PYTHON}"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONHOME": str(root / "usr"),
                   "PYTHONPATH": f"{folder / 'package'}:{folder / 'site'}", "PYTHONDONTWRITEBYTECODE": "1",
                   "NNJIT_CACHE_DIR": str(folder / "cache"), "NUMBA_NUM_THREADS": "2"}
    return command, environment


def start(command, environment, limit, names):
    return subprocess.Popen([*command, "-c", CHILD, str(limit), *names], env=environment, stdout=subprocess.PIPE,
                            text=True)


def read(process):
    for line in process.stdout:
        yield json.loads(line)
    if process.wait():
        raise SystemExit(f"the process ends with {process.returncode}")


def main(folder, *names):
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    try:
        prepare(folder)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"not prepared: {error}")
        return UNAVAILABLE
    print(f"prepared in {time.perf_counter() - begin:.0f} s", flush=True)
    limit = float("inf") if names == ("--all",) else SMALL
    if names == ("--all",):
        from nnjit.bench.contract import TRAININGS, operations
        names = (*operations(), *TRAININGS)
    names = names or FEW
    expected = start([sys.executable], os.environ, limit, names)
    cores = min(os.cpu_count(), len(names))
    found = [start(*emulated(folder), limit, names[core::cores]) for core in range(cores)]
    _, *expected = read(expected)
    faults = 0
    for process in found:
        info, *digests = read(process)
        assert info["machine"] == "aarch64"
        for name, digest in digests:
            same = digest == dict(expected)[name]
            faults += not same
            print(f"{name:28}{digest[:16]}  {'ok' if same else 'FAULT: here it is ' + dict(expected)[name][:16]}",
                  flush=True)
    used = os.times()
    print(f"CPU {info['cpu']!r}, registers of {info['vector registers']}; {time.perf_counter() - begin:.0f} s, of "
          f"processor time {used.children_user + used.children_system:.0f} s")
    print(f"{len(names) - faults} passed, {faults} failed")
    return int(bool(faults))


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        raise SystemExit(__doc__)
    missing = [name for name in ("qemu-aarch64-static", "debootstrap") if not shutil.which(name)]
    if missing:
        print(f"not found: {', '.join(missing)}")
        raise SystemExit(UNAVAILABLE)
    raise SystemExit(main(*sys.argv[1:]))

"""The wheel has every module of the checkout: a folder that setup.cfg forgets would be left out in silence."""

import configparser
import email
import fnmatch
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import import_module
from pathlib import Path

import pytest

import nnjit

ROOT = Path(__file__).parent.parent
NO_SOURCES = (".*", "__pycache__", "*.egg-info", "build", "dist")
UNPACKAGED = {"docs", "tests", "setup.py"}


def not_copied(folder, names):
    return [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in NO_SOURCES)
            or (Path(folder) / name / "pyvenv.cfg").exists()]


def copy(folder):
    return Path(shutil.copytree(ROOT, folder / "checkout", ignore=not_copied))


def build(checkout):
    """The wheel of a checkout, which gets a folder build/ by it. No isolation: that would ask the package index."""
    to = checkout.parent / "wheels"
    done = subprocess.run([sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index",
                           "--disable-pip-version-check", "--wheel-dir", to, "."],
                          cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    [wheel] = to.iterdir()
    return wheel


def files(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def modules(checkout):
    """All Python files that users shall get, as paths in the checkout."""
    found = (path.relative_to(checkout) for path in checkout.rglob("*.py"))
    return {path.as_posix() for path in found if path.parts[0] not in UNPACKAGED | {"build", "dist"}}


def forgotten(checkout, wheel):
    """The Python files of a checkout that its wheel lacks."""
    return sorted(path for path in modules(checkout) if f"nnjit/{path}" not in files(wheel))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    checkout = copy(tmp_path_factory.mktemp("package"))
    return checkout, build(checkout)


@pytest.fixture(scope="module")
def information(built):
    """The text of a file in the wheel's dist-info."""
    def read(name):
        with zipfile.ZipFile(built[1]) as archive:
            [path] = [path for path in archive.namelist() if path.endswith(f".dist-info/{name}")]
            return archive.read(path).decode()
    return read


def test_the_wheel_has_every_module_and_no_more(built):
    checkout, wheel = built
    assert forgotten(checkout, wheel) == []
    packages = {Path(path).parent.as_posix() for path in modules(checkout)}
    assert packages >= {".", "kernels", "kernels/reference", "nn", "bench"}
    installed = {path for path in files(wheel) if ".dist-info/" not in path}
    assert installed == {f"nnjit/{path}" for path in modules(checkout) | {"py.typed"}}


def test_a_new_folder_that_setup_cfg_does_not_list_is_named(tmp_path):
    checkout = copy(tmp_path)
    (checkout / "nn" / "extra").mkdir()
    (checkout / "nn" / "extra" / "new.py").touch()
    assert forgotten(checkout, build(checkout)) == ["nn/extra/new.py"]


def test_a_package_taken_from_setup_cfg_is_named(tmp_path):
    checkout = copy(tmp_path)
    settings = checkout / "setup.cfg"
    text = settings.read_text()
    assert text.count("    nnjit.kernels.reference\n") == 1
    settings.write_text(text.replace("    nnjit.kernels.reference\n", ""))
    lost = [f"kernels/reference/{path.name}" for path in (ROOT / "kernels" / "reference").glob("*.py")]
    assert forgotten(checkout, build(checkout)) == sorted(lost) != []


def test_pure_python_with_its_license(built, information):
    assert built[1].name == f"nnjit-{nnjit.__version__}-py3-none-any.whl"
    wheel = email.message_from_string(information("WHEEL"))
    assert (wheel["Root-Is-Purelib"], wheel.get_all("Tag")) == ("true", ["py3-none-any"])
    [path] = [path for path in files(built[1]) if Path(path).name == "LICENSE"]
    with zipfile.ZipFile(built[1]) as archive:
        assert archive.read(path) == (ROOT / "LICENSE").read_bytes()


def test_the_command(information):
    entries = configparser.ConfigParser()
    entries.read_string(information("entry_points.txt"))
    assert dict(entries["console_scripts"]) == {"nnjit": "nnjit:main"}
    module, function = entries["console_scripts"]["nnjit"].split(":")
    assert callable(getattr(import_module(module), function))


def test_metadata(information):
    metadata = email.message_from_string(information("METADATA"))
    assert (metadata["Name"], metadata["Version"]) == ("nnjit", nnjit.__version__)
    assert metadata["Requires-Python"] == ">=3.11"
    assert set(metadata.get_all("Provides-Extra")) == {"test", "bench", "plot", "images", "peers"}
    needs = metadata.get_all("Requires-Dist")
    assert [need for need in needs if not re.search(r">=\s*\d", need.split(";")[0])] == []
    always = {re.split(r"[^\w.-]", need)[0] for need in needs if ";" not in need}
    assert always == {"numpy", "numba", "nnfs", "tqdm", "platformdirs"}


def test_the_description_is_the_readme(information):
    metadata = email.message_from_string(information("METADATA"))
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload().strip() == (ROOT / "README.md").read_text().strip()


def test_the_constraints_are_the_lowest_versions(information):
    """Those from which setup.cfg allows a package, but for the peers of the benchmarks."""
    needs = email.message_from_string(information("METADATA")).get_all("Requires-Dist")
    lowest = dict(re.match(r"([\w.-]+)>=([\d.]+)", need.split(";")[0].replace(" ", "")).groups()
                  for need in needs if 'extra == "peers"' not in need)
    lines = (ROOT / "tests" / "lowest.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pinned.keys() == lowest.keys()
    for name, least in lowest.items():
        assert f"{pinned[name]}.".startswith(f"{least}."), f"{name}: {pinned[name]} is not {least}"

"""What test files share: the folder itself on the path (for `import scalar`), and outside oracles as fixtures."""

import shutil
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from nnjit import nn

sys.path.insert(0, str(Path(__file__).parent))

import optional  # noqa: E402: beside this file, as the next
import probed  # noqa: E402

pytest_plugins = "sampling"


def pytest_collection_modifyitems(items):
    """More time for what takes minutes or hours."""
    for item in items:
        for marker, hours in (("slow", 1), ("long", 12), ("exhaustive", 12)):
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.timeout(3600 * hours))


@pytest.fixture(scope="session")
def torch():
    """PyTorch on one thread; see `needs`."""
    module = optional.needs("torch")
    module.set_num_threads(1)
    return module


@pytest.fixture(params=["numba", "numpy"])
def twin(request):
    """The test once on the compiled kernels and once on NumPy; the value is the backend's name."""
    with nn.use(request.param):
        yield request.param


@pytest.fixture
def compiling_quietly(monkeypatch):
    """No line on stderr says that kernels are compiled: it comes only where the cache lacks them."""
    monkeypatch.setattr(nn.backend, "before_compiling", lambda tell: nullcontext())


@pytest.fixture(scope="session")
def copied(tmp_path_factory):
    """A folder with a copy of the package that also holds the probe."""
    folder = tmp_path_factory.mktemp("copied")
    ignored = shutil.ignore_patterns("__pycache__", "reference")
    shutil.copytree(probed.PACKAGE / "kernels", folder / "nnjit" / "kernels", ignore=ignored)
    shutil.copy(probed.PACKAGE / "__init__.py", folder / "nnjit")
    (folder / "nnjit" / "kernels" / "probe.py").write_text(probed.PROBE)
    (folder / "nnjit" / "kernels" / "helper.py").write_text(probed.HELPER.format(1))
    return folder


@pytest.fixture(scope="session")
def filled(copied, tmp_path_factory):
    """A cache folder that holds the probe in all variants and types, and tanh."""
    folder = tmp_path_factory.mktemp("filled")
    found = probed.child(copied, folder, "report(work=work(), cache=cache(), bits=[bits(False), bits(True)])")
    assert found["work"] == probed.RIGHT and found["cache"] == [0, 4]
    assert found["bits"][0] == found["bits"][1]
    (folder / "bits").write_text(found["bits"][0])
    return folder


@pytest.fixture
def full(filled, tmp_path):
    """A copy of the filled cache folder, free to be damaged."""
    return shutil.copytree(filled, tmp_path / "full")

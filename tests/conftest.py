"""What test files share: the folder itself on the path (for `import scalar`), and outside oracles as fixtures."""

import importlib
import os
import sys
import warnings
from pathlib import Path

import pytest

from nnjit import nn

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def torch():
    """PyTorch on one thread. Without it the test is skipped, but fails where CI=true: there it must be installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module("torch")
    except ImportError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("PyTorch is not installed")
    module.set_num_threads(1)
    return module


@pytest.fixture(params=["numba", "numpy"])
def twin(request):
    """The test once on the compiled kernels and once on NumPy; the value is the backend's name."""
    with nn.use(request.param):
        yield request.param

"""What test files share: the folder itself on the path (for `import scalar`), and outside oracles as fixtures."""

import importlib
import os
import sys
import warnings
from pathlib import Path

import pytest

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
